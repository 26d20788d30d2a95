"""The sums of specs that come one after another: what is compiled answers as the question itself does, or not at all."""

import pickle
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

import tscale
from tests.helpers import of_each, structures
from tscale.catalogue.models import built_in, names
from tscale.core.metric import Figure
from tscale.errors import TscaleError
from tscale.models.made import checked, mapped
from tscale.models.spec import ModelSpec
from tscale.sweeping.sums import sums_of

SPECS = {name: spec for name in names() if isinstance(spec := built_in(name), ModelSpec)}
VARIED = (
    "gpt3",  # learned positions, one block of each kind
    "t5-small",  # two stacks, distances
    "bert-base",  # a head with a transform
    "albert-base",  # layers that share weights
    "deepseek-v3",  # layers of several kinds, a latent cache, experts
    "mixtral-8x7b",  # experts in every layer
    "gemma-2-9b",  # windows
    "mamba-2.8b",  # no attention
    "zamba2-7b",  # blocks that are shared
)


def by_the_answer(spec: ModelSpec) -> dict[str, int] | None:
    """The sums of a spec as the question answers it; None of one that is refused."""
    from tscale.answers.params.answer import params_report

    try:
        data: Any = params_report([checked(spec)]).data
    except TscaleError:
        return None
    sums: dict[str, Figure] = data["params"]
    return {name: int(figure.value) for name, figure in sums.items()}


def changes(seed: int) -> Iterator[Callable[[str, Any], Any]]:
    """Ways to change the sizes of a spec: widths alike, some sizes by factors, and some a little, which mostly is refused."""
    dice = random.Random(seed)  # noqa: S311 (no secret)

    def is_size(path: str, leaf: Any) -> bool:
        no_size = ("year", "training", "published", "towers", "weights", "releases")
        return type(leaf) is int and not path.startswith(no_size) and ".on" not in path

    def widths_alike(times: int) -> Callable[[str, Any], Any]:
        alike = ("d_model", "head_dim", "d_ff", "heads")
        return lambda path, leaf: leaf * times if is_size(path, leaf) and path.endswith(alike) else leaf

    for times in (2, 3, 5):
        yield widths_alike(times)
        yield lambda path, leaf: leaf * dice.choice((1, 2, 3)) if is_size(path, leaf) and dice.random() < 0.3 else leaf
        yield lambda path, leaf: max(0, leaf + dice.choice((-1, 0, 0, 7))) if is_size(path, leaf) else leaf


def agree(name: str, seeds: int) -> int:
    """Holds the sums of changed copies of a model to the answer; how many of them were known."""
    known = 0
    for seed in range(seeds):
        for change in changes(seed):
            spec = mapped(SPECS[name], change)
            sums = sums_of(spec)
            assert sums is None or sums == by_the_answer(spec), spec
            known += sums is not None
    return known


@pytest.mark.parametrize("name", VARIED)
def test_sums_are_those_of_the_answer(name: str) -> None:
    assert agree(name, 1) > 1


@pytest.mark.slow
@of_each(structures()[::2])
def test_sums_of_every_other_structure_are_those_of_the_answer(name: str) -> None:
    assert agree(name, 1) > 0


GPT3 = SPECS["gpt3"]


def known(spec: ModelSpec = GPT3) -> None:
    """Lets the sums of specs like this one be known."""
    for layers in range(3):
        sums_of(replace(spec, layers=2 + layers))
    assert sums_of(replace(spec, layers=7)) is not None


def test_a_result_has_its_sums_before_its_report() -> None:
    known()
    spec = replace(GPT3, layers=11, name="mine")
    first, d = tscale.params(spec), spec.d_model
    assert first.embedding == (50257 + 2048) * d
    assert first.total == first.embedding + 11 * (12 * d**2 + 13 * d) + 2 * d  # Kaplan's 12 d^2, biases and norms
    plain = tscale.params(spec, set=["layers=11"])
    assert first.to_dict() == plain.to_dict()
    assert repr(first) == repr(plain) and first.explain() == plain.explain()
    assert first.params.total == first.total and dir(first) == dir(plain)
    assert pickle.loads(pickle.dumps(tscale.params(spec))) == plain  # noqa: S301 (our own)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layers": 0}, "layers must be a whole number from 1"),
        ({"layers": True}, "layers must be a whole number"),
        ({"layers": 9.0}, "layers must be a whole number"),
        ({"d_model": 12_289}, "96 heads do not divide d_model 12289"),
        ({"name": "of two\nlines"}, "name must be one line"),
        ({"tied": 1}, "tied must be true or false"),
        ({"context": 1024}, "more than the model's context of 1024"),
        ({"unique_layers": 97}, "97 layers of their own weights are more than 96"),
    ],
)
def test_what_is_wrong_is_refused_as_ever(change: dict[str, Any], said: str) -> None:
    known()
    known(replace(GPT3, unique_layers=1))
    wrong = replace(GPT3, **change)
    assert sums_of(wrong) is None
    with pytest.raises(TscaleError, match=said):
        tscale.params(wrong)


def test_a_spec_of_another_kind_is_not_taken_for_one_that_is_known() -> None:
    known()
    assert GPT3.attention == replace(GPT3.attention, bias=1)  # type: ignore[type-var]
    assert sums_of(replace(GPT3, attention=replace(GPT3.attention, bias=1))) is None  # type: ignore[type-var]
    assert sums_of("gpt3") is None
