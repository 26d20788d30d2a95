"""Training layouts as columns: of each degree and each policy one array, a row for each layout.

Policies are columns too, of places in a list of names. Axes that depend on one another (stages and their pieces; tensor parallelism
and sequence parallelism; ZeRO and its shards) are one axis of pairs, so that nothing is tried that is no layout.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np

from tscale.core.costs.states import Offload
from tscale.core.parallelism import Parallelism, Schedule
from tscale.core.recompute import Again, Recompute
from tscale.errors import RequestError, field

Columns = Mapping[str, Any]
"""Arrays of whole numbers of one length, by name."""

MOST_LAYOUTS: Final = 4_000_000
"""Layouts that are tried at once: some seconds and a gigabyte."""

POLICIES: Final = ("schedule", "recompute", "precision", "optimizer", "loss", "offload")
"""Columns whose numbers are places in a list of names."""


class Axes(NamedTuple):
    """The values of each axis that is varied; `shards` has 0 for all devices of data and context parallelism.

    `schedule` and `loss` have None where it is the usual one; `data` is None where it is whatever the devices leave.
    """

    tensor: tuple[int, ...]
    pipeline: tuple[int, ...]
    context: tuple[int, ...]
    interleave: tuple[int, ...]
    expert: tuple[int, ...]
    expert_tensor: tuple[int, ...]
    micro_batch: tuple[int, ...]
    zero: tuple[int, ...]
    shards: tuple[int, ...]
    sequence: tuple[bool, ...]
    schedule: tuple[Schedule | None, ...] = (None,)
    data: tuple[int, ...] | None = None
    recompute: tuple[Recompute, ...] = ("none", "op", "full")
    precision: tuple[str, ...] = ("bf16",)
    optimizer: tuple[str, ...] = ("adamw",)
    loss: tuple[str | None, ...] = (None,)
    offload: tuple[frozenset[Offload], ...] = (frozenset(),)
    uneven: bool = True
    """Whether the pieces of a stage may be of unequal depth."""
    again: tuple[tuple[Recompute, int], ...] = ()
    """Policies of the first layers of each stage, and how many these are: `FEWEST` for as few as fit."""
    partial: bool = False
    """Whether `full` of as few layers as fit is tried too, where `none` does not fit and `full` does."""
    stages: tuple[tuple[int, ...] | None, ...] = (None,)
    """Layers of each stage, or of each piece in the order of the stack; None for as even as possible."""
    of_pieces: bool = True
    """Whether those numbers are of pieces alone, not of stages that have several too."""

    @property
    def policies(self) -> tuple[Recompute, ...]:
        """The policies of recomputation, of all layers or of some, each once."""
        searched: tuple[Recompute, ...] = ("full",) if self.partial else ()
        return tuple(dict.fromkeys((*self.recompute, *(policy for policy, _ in self.again), *searched)))


def lightest(axes: Axes) -> Axes:
    """The same axes without values that only take more memory: larger micro-batches, more pieces of a stage, less recomputation."""
    known = tuple(policy for policy in ("full", "op", "selective", "none") if policy in axes.recompute)
    return axes._replace(
        micro_batch=(min(axes.micro_batch),), interleave=(min(axes.interleave),), recompute=known[:1], partial=False
    )


class Layout(NamedTuple):
    """One layout: its plan and its policies."""

    plan: Parallelism
    micro_batch: int
    recompute: Recompute
    precision: str
    optimizer: str
    loss: str | None
    offload: frozenset[Offload]
    first: int = 0
    """The first layers of each stage that are computed again; 0 for all."""

    @property
    def again(self) -> Again:
        """What the backward pass computes again, and in which layers."""
        return Again(self.recompute, self.first or None)


class Layouts(NamedTuple):
    """All layouts of some axes on so many devices; `columns` has those of the degrees and the policies, and `data`."""

    axes: Axes
    gpus: int
    columns: Columns

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.columns["tensor"])

    def only(self, rows: Any) -> Layouts:
        """Those at some places, or that a mask chooses."""
        return self._replace(columns={name: column[rows] for name, column in self.columns.items()})

    def one(self, row: int) -> Layout:
        """One of them as numbers and names."""
        at = {name: int(column[row]) for name, column in self.columns.items()}
        axes, ranks = self.axes, at["data"] * at["context"]
        plan = Parallelism(
            tensor=at["tensor"],
            sequence=bool(at["sequence"]),
            pipeline=at["pipeline"],
            interleave=at["interleave"],
            data=at["data"],
            zero=at["zero"],
            shards=None if at["shards"] in (0, ranks) else at["shards"],
            context=at["context"],
            expert=at["expert"],
            expert_tensor=at["expert_tensor"],
            stages=axes.stages[at["stages"]],
            schedule=axes.schedule[at["schedule"]],
        )
        named = (axes.policies, axes.precision, axes.optimizer, axes.loss, axes.offload)
        places = (at[name] for name in POLICIES[1:])
        values: list[Any] = [names[place] for names, place in zip(named, places, strict=True)]
        values.append(at["first"])
        return Layout(plan, at["micro_batch"], *values)

    def with_(self, others: Layouts) -> Layouts:
        """These and others of the same axes."""
        columns = {name: np.concatenate([column, others.columns[name]]) for name, column in self.columns.items()}
        return self._replace(columns=columns)


def grid(axes: Axes, gpus: int, most: int = MOST_LAYOUTS) -> Layouts:
    """Every layout of some axes, at most so many. Raises `RequestError` before anything is allocated where there are too many."""
    joint = _joint(axes)
    sizes = [len(values) for _, values in joint]
    if prod(sizes) > most:
        raise RequestError(
            f"plan would try {prod(sizes):,} layouts of {gpus:,} devices: at most {most:,} here; fix some axes, such as {field('tensor', 8)} or {field('zero', 1)}"
        )
    places = np.unravel_index(np.arange(prod(sizes)), sizes)
    columns: dict[str, Any] = {}
    for (names, values), place in zip(joint, places, strict=True):
        table = np.array(values, dtype=np.int64).reshape(len(values), len(names))
        columns |= {name: table[place, number] for number, name in enumerate(names)}
    copies = columns["tensor"] * columns["pipeline"] * columns["context"]
    columns["data"] = np.maximum(gpus // copies, 1)
    return Layouts(axes, gpus, columns)


def _joint(axes: Axes) -> list[tuple[tuple[str, ...], Sequence[tuple[int, ...]]]]:
    """The axes that are multiplied, each with the columns that it makes."""
    cuts = [(t, s) for t, s in product(axes.tensor, axes.sequence) if t > 1 or not s or axes.sequence == (True,)]
    shards = [(z, s) for z, s in product(axes.zero, axes.shards) if z or not s]
    plain: tuple[tuple[str, Sequence[Any]], ...] = (
        ("context", axes.context),
        ("expert", axes.expert),
        ("expert_tensor", axes.expert_tensor),
        ("micro_batch", axes.micro_batch),
        *((name, range(len(getattr(axes, name)))) for name in POLICIES[2:]),
    )
    return [
        (("tensor", "sequence"), [(t, int(s)) for t, s in cuts]),
        (("pipeline", "interleave", "schedule", "stages"), list(_pipelines(axes))),
        (("zero", "shards"), shards),
        (("recompute", "first"), _again(axes)),
        *(((name,), [(int(value),) for value in values]) for name, values in plain),
    ]


def _again(axes: Axes) -> list[tuple[int, int]]:
    """Policies by their places, of all layers, and those of the first layers of each stage."""
    whole = [(place, 0) for place in range(len(axes.recompute))]
    return whole + [(axes.policies.index(policy), first) for policy, first in axes.again]


def _pipelines(axes: Axes) -> Iterator[tuple[int, int, int, int]]:
    """Stages with their pieces, their order and their layers; a single stage has one piece, unless only others were asked for."""
    fixed = 1 not in axes.interleave
    for p, v, place in product(axes.pipeline, axes.interleave, range(len(axes.schedule))):
        if (p > 1 or v == 1 or fixed) and (p > 1 or axes.schedule[place] is None or None not in axes.schedule):
            yield from ((p, v, place, number) for number, sizes in enumerate(axes.stages) if _are_of(sizes, p, v, axes))


def _are_of(sizes: tuple[int, ...] | None, pipeline: int, interleave: int, axes: Axes) -> bool:
    """Whether numbers of layers are of so many stages of so many pieces; None is of any."""
    if sizes is None:
        return True
    return len(sizes) == pipeline * interleave or (not axes.of_pieces and len(sizes) == pipeline)
