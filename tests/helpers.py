"""What several tests need."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar

import pytest
from typer.testing import CliRunner

from tscale.blocks import Computed, FeedForward, Mixer, Norm, SharedBlock
from tscale.catalogue.models import built_in, names
from tscale.cli import app
from tscale.core.costs.params import params
from tscale.core.derivation import CODE_NAMES, code_of
from tscale.core.ledger import Ledger, Saved
from tscale.core.parallelism import Parallelism
from tscale.core.tracing import TracedInt, innermost_first
from tscale.models.lower import lower
from tscale.models.made import mapped
from tscale.models.spec import Head, ModelSpec
from tscale.models.stages import stages

T = TypeVar("T")


class Answer(NamedTuple):
    """What a command line came to."""

    code: int
    out: str
    err: str


@cache
def disclosed() -> tuple[str, ...]:
    """The built-in models whose shape is known."""
    return tuple(name for name in names() if isinstance(built_in(name), ModelSpec))


UNRECORDED = {
    "glm-5", "glm-5.2", "deepseek-v3.2", "deepseek-v4-flash", "deepseek-v4-pro", "glm-5.3-flash", "mistral-large-4", "minimax-m3",
    "gemma-3n-e2b", "gemma-3n-e4b", "glm-5.1", "ling-3.0-flash", "longcat-flash",
}  # fmt: skip
"""Built-in models of which nobody has recorded what they keep for a backward pass: those with an indexer of keys, with several
residual streams, with gates on latent attention, or with experts that compute nothing."""


def trainable() -> tuple[str, ...]:
    """The built-in models whose saved activations are known."""
    return tuple(name for name in disclosed() if name not in UNRECORDED)


_TOLD = {
    "name",
    "title",
    "aliases",
    "year",
    "published",
    "weights",
    "releases",
    "sources",
    "evidence",
    "notes",
    "notes_on",
}


@cache
def structures() -> tuple[str, ...]:
    """A built-in model of each structure: of those that differ in sizes alone, the first. Their derivations have the same form."""
    first = dict[str, str]()
    for name in disclosed():
        spec = built_in(name)
        parts = [mapped(getattr(spec, one.name), _sizeless) for one in fields(spec) if one.name not in _TOLD]
        first.setdefault(repr(parts), name)
    return tuple(first.values())


def _sizeless(path: str, leaf: Any) -> Any:
    """A number as one or as more; a text that nothing is counted by as none."""
    told = path.endswith(("source", "evidence", "note"))
    return "" if told else min(leaf, 2) if type(leaf) in (int, float) else leaf


FEW: Final = 5
"""Of those that a promise is asked of, so many are quick, evenly spread."""


def of_each(
    ones: Iterable[T], *, quick: bool = False
) -> Callable[[Callable[[T], None]], Callable[[tuple[T, ...]], None]]:
    """Two tests of a promise about each model, file or record, of a few and, slow, of the others, which name every one that breaks it.

    For promises that take milliseconds each, where a test of each would take longer than what it asks. `quick`: one test, of all.
    """
    every = tuple(ones)
    step = 1 if quick else -(-len(every) // FEW)
    few, others = every[::step], tuple(one for place, one in enumerate(every) if place % step)
    cases = [few] if quick else [few, pytest.param(others, marks=pytest.mark.slow)]

    def asked(promise: Callable[[T], None]) -> Callable[[tuple[T, ...]], None]:
        @pytest.mark.parametrize("asked_of", cases, ids=["all"] if quick else ["few", "others"])
        def test(asked_of: tuple[T, ...]) -> None:
            broken = [fault for one in asked_of for fault in _fault(promise, one)]
            assert not broken, f"{len(broken)} of {len(asked_of)}\n" + "\n".join(broken)

        test.__name__, test.__doc__, test.__module__ = promise.__name__, promise.__doc__, promise.__module__
        return test

    return asked


def keeps(one: T, promises: Iterable[Callable[[T], None]]) -> None:
    """Several promises of what is dear to make, asked of it one after the other; all that are broken are named."""
    broken = [f"{promise.__name__}: {fault}" for promise in promises for fault in _fault(promise, one)]
    assert not broken, "\n".join(broken)


def _fault(promise: Callable[[T], None], one: T) -> list[str]:
    """How a promise is broken for one, figures and all."""
    try:
        promise(one)
    except Exception as error:  # noqa: BLE001 (whatever one raises, the others are asked)
        return [f"{str(one)[:200]}: {type(error).__name__}: {error}"]
    return []


def run(*args: str, stdin: str | bytes | None = None, columns: int | None = None) -> Answer:
    """A command run in this process; `columns` sets the width as a narrow or wide terminal would."""
    env = {"COLUMNS": None if columns is None else str(columns), "NO_COLOR": None}
    result = CliRunner().invoke(app, list(args), input=stdin, env=env, prog_name="tscale")
    return Answer(result.exit_code, result.stdout, result.stderr)


def use_hub(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the hub's client of this process ask a server on loopback, whatever its environment said as it was imported."""
    path = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", endpoint + path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def answer(*args: str) -> Any:
    """The JSON of a command that has an answer."""
    done = run(*args, "--format", "json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def one_layer(mixer: Mixer, d_model: int) -> ModelSpec:
    """A model of one layer, with this mixer and the least of everything else."""
    return ModelSpec(
        name="block",
        layers=1,
        d_model=d_model,
        vocabulary=1,
        attention=mixer,
        feed_forward=FeedForward(d_ff=1),
        positions=Computed(kind="none"),
        norm=Norm(kind="rmsnorm"),
        head=Head(kind="none"),
    )


def saves(spec: ModelSpec) -> tuple[Saved, ...]:
    """What the forward pass of a model keeps for its backward pass."""
    return lower(spec, saves=True).saved


def saves_of_stages(spec: ModelSpec, plan: Parallelism) -> tuple[tuple[Saved, ...], ...]:
    """The same of each pipeline stage."""
    return tuple(stage.saved for stage in stages(spec, plan, lower(spec, saves=True)))


def has_stages(spec: ModelSpec) -> bool:
    """Whether layers can be assigned to the stages of a pipeline: one stack, of which no layers read what another stage has."""
    mixed = spec.unique_layers is not None and spec.unique_layers > 1
    apart = spec.streams is None and spec.layer_input is None
    borrows = any(getattr(mixer, "borrows_latent", False) for mixer in spec.mixers)
    return spec.kind != "encoder-decoder" and not mixed and apart and not borrows


def table_of_all(spec: ModelSpec) -> int:
    """Numbers of the tables that all layers of a stack read, of which each stage of a pipeline has a copy."""
    tables = tuple(group for group in lower(spec).groups if group.where == "stack")
    return params(Ledger(spec.name, tables)).total


def shares_weights(spec: ModelSpec) -> bool:
    """Whether layers share weights, of which each stage of a pipeline has a copy."""
    return spec.unique_layers is not None or any(isinstance(mixer, SharedBlock) for mixer in spec.mixers)


def function_of(number: int) -> Callable[..., int]:
    """The derivation of a number as a function of the names that it was derived from.

    The function takes each name as a keyword, an int or an array of any one shape, and computes what the
    question would have answered for a model of the same structure with those sizes.
    """
    assert isinstance(number, TracedInt), "only a number that remembers can be made again"
    known, names = dict[int, str](), set[str]()
    for one in innermost_first(number):
        known[id(one)] = code_of(one, [known[id(part)] for part in (one.args if isinstance(one, TracedInt) else ())])
        if isinstance(one, TracedInt) and one.op == "name" and not one.args:
            names.add(one.label)
    assert all(name.isidentifier() for name in names), names
    code = f"lambda *, {', '.join(sorted(names))}: {known[id(number)]}"
    function: Callable[..., int] = eval(code, dict(CODE_NAMES))  # noqa: S307 (our own text)
    return function
