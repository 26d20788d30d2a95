"""The axes of a search of training layouts: as given, and by default what the model and the devices allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Final

from tscale.core.axis import Axis
from tscale.core.ledger import Ledger, Matmul
from tscale.core.loss_kernels import find_kernel
from tscale.core.parallelism import Parallelism, divisors
from tscale.core.recompute import Again
from tscale.core.sharding import is_expert, tensor_degrees
from tscale.errors import RequestError, field
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec
from tscale.models.stages import recomputed_stages
from tscale.planning.layouts import Axes
from tscale.planning.legal import check_given
from tscale.planning.uneven import head_layers, uneven_stages

MOST_VALUES: Final = 1_000
"""Values that one axis is varied over."""
_PIECES: Final = (1, 2, 3, 4, 5, 6, 8, 10)
_PIECES_OF_EXPERTS: Final = (1, 2, 4)
_LONG, _MOST_RING = 32_768, 16
"""Tokens of a sequence from which it is cut over devices by default, and over how many at the most."""
_MOST_MICRO: Final = 16

Given = Mapping[str, Axis | None]


def axes_of(
    spec: ModelSpec, whole: Ledger, given: Given, gpus: int, per_node: int, batch: int, length: int, *, unfused: bool
) -> Axes:
    """The axes of a search of steps of so many sequences of a length.

    By default tensor parallelism stays within a node, as everybody has it: no run that went beyond is among those that predictions
    are fitted to. Sequences are cut over devices where they are long.

    Raises `RequestError` for one of too many values, or of none that could be.
    """
    counts = _expert_counts(whole)
    ways = [number for number in divisors(gpus) if number <= int(spec.layers)]
    legal: dict[str, Sequence[int]] = {
        "tensor": [number for number in tensor_degrees(whole, experts=False) if gpus % number == 0],
        "pipeline": ways,
        "context_parallel": divisors(gpus),
        "interleave": range(1, int(spec.layers) + 1),
        "expert": _common(counts),
        "expert_tensor": divisors(gpus),
        "micro_batch": divisors(batch),
        "data": divisors(gpus),
        "shards": divisors(gpus),
        "zero": range(4),
    }
    usual = _usual(legal, gpus, per_node, counts) | _of_given_stages(given)
    if length >= _LONG:
        usual["context_parallel"] = [number for number in _of_two(divisors(gpus)) if number <= _MOST_RING]
    taken = {name: _values(name, given.get(name), legal[name], usual[name]) for name in usual}
    data, shards = given.get("data"), given.get("shards")
    sizes = _stages(spec, whole, given, taken)
    return Axes(
        tensor=taken["tensor"],
        pipeline=taken["pipeline"],
        context=taken["context_parallel"],
        interleave=taken["interleave"],
        expert=taken["expert"],
        expert_tensor=taken["expert_tensor"],
        micro_batch=taken["micro_batch"],
        zero=taken["zero"],
        data=None if data is None else _among("data", data, legal["data"]),
        shards=(0,) if shards is None else _among("shards", shards, legal["shards"]),
        uneven=given.get("interleave") is not None or given.get("stages") is not None,
        stages=sizes,
        of_pieces=given.get("stages") is None,
        **_policies(spec, given, unfused=unfused),
    )


def _usual(legal: Mapping[str, Sequence[int]], gpus: int, per_node: int, counts: set[int]) -> dict[str, Sequence[int]]:
    """The degrees that are tried where none are given."""
    return {
        "tensor": [number for number in legal["tensor"] if number <= per_node],
        "pipeline": legal["pipeline"],
        "context_parallel": [1],
        "interleave": [1] if gpus == 1 else _PIECES_OF_EXPERTS if counts else _PIECES,
        "expert": _of_two(legal["expert"]),
        "expert_tensor": [1],
        "micro_batch": [number for number in _of_two(legal["micro_batch"]) if number <= _MOST_MICRO],
        "zero": range(4),
    }


def _of_given_stages(given: Given) -> dict[str, Sequence[int]]:
    """The stages that have so many numbers of layers, or such pieces of them, where those are given and the others are not."""
    axis, pipeline, interleave = given.get("stages"), given.get("pipeline"), given.get("interleave")
    if axis is None:
        return {}
    count = len(axis.only)
    each = [count] if pipeline is None else [number for number in divisors(count) if number in pipeline.among([count])]
    return {
        "pipeline": [count] if interleave is None else divisors(count),
        "interleave": [count // number for number in each] or [1],
    }


def _stages(
    spec: ModelSpec, whole: Ledger, given: Given, taken: Mapping[str, tuple[int, ...]]
) -> tuple[tuple[int, ...] | None, ...]:
    """Layers of stages: those given; by default as even as can be, and some that relieve the first and the last stage.

    Raises `RequestError` for given ones that no pipeline of the search can have.
    """
    axis = given.get("stages")
    if axis is None:
        if spec.kind != "decoder":
            return (None,)
        layers = int(spec.layers)
        head = head_layers(whole, layers)
        return (None, *uneven_stages(layers, taken["pipeline"], taken["interleave"], head))
    problems: list[RequestError] = []
    for pipeline, interleave in product(taken["pipeline"], taken["interleave"]):
        try:
            check_given(spec, Parallelism(pipeline=pipeline, interleave=interleave, stages=axis.only))
        except RequestError as error:
            problems.append(error)
        else:
            return (axis.only,)
    raise next((one for one in problems if "add up" in str(one)), problems[0])


def _policies(spec: ModelSpec, given: Given, *, unfused: bool) -> dict[str, Any]:
    """The axes of names."""

    def named(name: str, usual: tuple[Any, ...]) -> tuple[Any, ...]:
        axis = given.get(name)
        return usual if axis is None else _among(name, axis, ())

    usual = ("none", "selective", "op", "full") if unfused else ("none", "op", "full")
    again = given.get("recompute")
    return {
        "sequence": named("sequence", (False, True)),
        "schedule": named("schedule", (None,)),
        **_recomputation(spec, usual, again),
        "precision": named("precision", ("bf16",)),
        "optimizer": named("optimizer", ("adamw",)),
        "loss": tuple(loss and find_kernel(loss).name for loss in named("loss", (None,))),
        "offload": named("offload", (frozenset(),)),
    }


def _recomputation(spec: ModelSpec, usual: tuple[str, ...], given: Axis | None) -> dict[str, Any]:
    """The policies of recomputation, of all layers and of the first ones of each stage."""
    if given is None:
        return {"recompute": usual, "partial": spec.kind != "encoder-decoder"}
    every = _among("recompute", given, ())
    return {
        "recompute": tuple(again.policy for again in every if not again.of_some),
        "again": tuple((again.policy, _first(spec, again)) for again in every if again.of_some),
    }


def _first(spec: ModelSpec, again: Again) -> int:
    """The first layers of each stage that a policy is about. Raises `RequestError` where it is about others."""
    if spec.kind == "encoder-decoder":
        recomputed_stages(spec, Parallelism(), again, lower(spec))
    if again.first is None or again.policy != "full":
        raise RequestError(
            f"{field('recompute', again.text)} is about some layers: plan varies policies of all, none, selective, op and full, and full:K "
            "(as few of the first layers of each stage as fit) or full:8"
        )
    return again.first


def _values(name: str, axis: Axis | None, legal: Sequence[int], usual: Sequence[int]) -> tuple[int, ...]:
    return tuple(usual) if axis is None else _among(name, axis, legal)


def _among(name: str, axis: Axis, legal: Sequence[int]) -> tuple[Any, ...]:
    """The values of an axis. Raises `RequestError` for too many, and for a range in which nothing is legal."""
    spelled = "--" + name.replace("_", "-")
    if axis.stepped_size > MOST_VALUES:
        raise RequestError(f"{spelled} {axis.text[:40]} has {axis.stepped_size:,} values: at most {MOST_VALUES:,}")
    values = axis.among(legal)
    if not values:
        shown = ", ".join(map(str, list(legal)[:12])) or "none"
        raise RequestError(f"{spelled} {axis.text[:40]} has no value that can be here: it may be {shown}")
    if len(values) > MOST_VALUES:
        raise RequestError(f"{spelled} {axis.text[:40]} has {len(values):,} values: at most {MOST_VALUES:,}")
    return values


def _expert_counts(whole: Ledger) -> set[int]:
    return {int(one.experts) for one in whole.entries if isinstance(one, Matmul) and is_expert(one) and one.experts > 1}


def _common(counts: set[int]) -> list[int]:
    """The degrees that divide all numbers of experts; 1 without any."""
    from math import gcd

    return divisors(gcd(*counts)) if counts else [1]


def _of_two(numbers: Sequence[int]) -> list[int]:
    """The powers of two among some numbers; all of them where those are few."""
    found = [number for number in numbers if number & (number - 1) == 0]
    return found if len(found) > 2 or len(numbers) > len(found) * 4 else list(numbers)
