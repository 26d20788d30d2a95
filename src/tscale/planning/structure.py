"""Layouts of one structure: rows that differ in sizes alone, so that one pass over a formula answers all of them.

Policies, the kinds of stages and whatever else a formula branches on tell structures apart; whoever asks a formula names that. What is
the same in all rows of a structure is a plain number, all else an array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from tscale.core.ledger import Ledger
from tscale.core.parallelism import MOST_STAGES, Parallelism, Schedule
from tscale.core.partition import stage_of_counts
from tscale.models.two_stacks import stage_of_part
from tscale.planning.layouts import Columns
from tscale.planning.stage_kinds import Kind, Model, Stages

PIPELINES: Final = ("pipeline", "interleave", "schedule", "stages")
"""Columns that say what the stages of a pipeline are."""

Orders = dict[tuple[int, int, int, int], tuple[Stages, ...]]
"""The stages of each pipeline, by stages, pieces, schedule and numbers of layers."""


class StageRows(NamedTuple):
    """Stages of one kind, in any layouts: the rows of these, and of each stage its layers, its place and how many are alike.

    `number`: which of the distinct stages of its pipeline it is, from 0 on.
    """

    kind: Kind
    rows: Any
    counts: tuple[Any, ...]
    number: Any
    place: Any
    many: Any
    first: tuple[Any, ...] = ()
    """Of layers that are computed again those of each group, where these are the first of a stage; nothing where none are of some."""

    def only(self, which: Any) -> StageRows:
        """Those that a mask chooses."""
        counts, first = (tuple(count[which] for count in every) for every in (self.counts, self.first))
        rows, number, place, many = (one[which] for one in (self.rows, self.number, self.place, self.many))
        return StageRows(self.kind, rows, counts, number, place, many, first)


def plain(column: Any) -> Any:
    """A column as the number that all of its rows have; as it is where they differ."""
    first = column[0]
    return int(first) if (column == first).all() else column


def plan_of(columns: Columns, rows: Any, order: Schedule) -> Parallelism:
    """The plan of rows of one structure, in arrays."""
    own: dict[str, Any] = {name: plain(column[rows]) for name, column in columns.items() if name in _DEGREES}
    sequence = plain(columns["sequence"][rows])
    hybrid = (columns["shards"][rows] > 0).any()
    sharing = plain(columns["sharing"][rows]) if hybrid else None
    own["sequence"] = bool(sequence) if isinstance(sequence, int) else sequence == 1
    return Parallelism(**own, shards=sharing, schedule=order)


_DEGREES: Final = ("tensor", "pipeline", "interleave", "data", "zero", "context", "expert", "expert_tensor")


def structures(columns: Columns, flags: Sequence[Any], names: Sequence[str]) -> Any:
    """A number for each row, the same in rows of one structure: those that agree in some conditions and some columns."""
    code = np.zeros(len(columns["tensor"]), dtype=np.int64)
    for flag in flags:
        code = 2 * code + flag
    for name in names:
        code = code * (int(columns[name].max(initial=0)) + 1) + columns[name]
    return code


def numbered(columns: Sequence[Any]) -> Any:
    """A number for each row, from 0 on, the same in rows that agree in all of some columns of whole numbers from 0 on."""
    code, size = np.zeros(len(columns[0]), dtype=np.int64), 1
    for column in columns:
        values = int(column.max(initial=0)) + 1
        if size * values > 2**63:
            code, size = np.unique(code, return_inverse=True)[1], len(code)
        code, size = code * values + column, size * values
    return np.unique(code, return_inverse=True)[1]


def stage_rows(model: Model, columns: Columns, orders: Orders) -> Iterator[StageRows]:
    """All stages of all layouts by kind."""
    by_kind: dict[Kind, list[tuple[Any, int, Stages]]] = {}
    for rows, stages in pipelines(columns, orders):
        for turn, one in enumerate(stages):
            by_kind.setdefault(one.kind, []).append((rows, turn, one))
    for kind, parts in by_kind.items():
        of_rows, numbers, of_kind = zip(*parts, strict=True)
        sizes = list(map(len, of_rows))
        all_rows = np.concatenate(of_rows)
        number, place, many, *counts = (
            np.repeat(values, sizes)
            for values in (
                numbers,
                [one.place for one in of_kind],
                [one.many for one in of_kind],
                *zip(*(one.counts for one in of_kind), strict=True),
            )
        )
        first = _first(model, of_rows, of_kind, columns["first"]) if columns["first"][all_rows].any() else ()
        yield StageRows(kind, all_rows, tuple(counts), number, place, many, first)


def _first(model: Model, of_rows: Sequence[Any], stages: Sequence[Stages], first: Any) -> tuple[Any, ...]:
    """How many layers of each group are among the first ones of a stage that are computed again."""
    found = []
    for rows, one in zip(of_rows, stages, strict=True):
        table = np.array(
            [np.array(of_group)[np.minimum(first[rows], len(of_group) - 1)] for of_group in model.firsts(one)]
        )
        found.append(table.reshape(len(one.counts), len(rows)))
    return tuple(np.concatenate(found, axis=1))


def evaluated(
    stages: StageRows,
    alike: Any,
    code: Any,
    evaluate: Callable[[StageRows], Sequence[Any]],
    size: int,
    dtype: type = float,
) -> Any:
    """So many numbers of each stage of a kind: of each structure at once, and of layouts that are alike once.

    `alike`: a number for each layout. `code`: one for each stage, the same in those of one structure.
    """
    alone = alike[stages.rows] * MOST_STAGES + stages.number
    _, first, number = np.unique(alone, return_index=True, return_inverse=True)
    own = stages.only(first)
    values: Any = np.zeros((size, len(first)), dtype=dtype)
    for _, places in split(code[first]):
        for row, value in zip(values, evaluate(own.only(places)), strict=True):
            row[places] = value
    return values[:, number]


def pipelines(columns: Columns, orders: Orders) -> Iterator[tuple[Any, tuple[Stages, ...]]]:
    """The rows of each pipeline, and its stages."""
    code = ((columns["pipeline"] * 2**14 + columns["interleave"]) * 8 + columns["schedule"]) * 2**16 + columns["stages"]
    for _, rows in split(code):
        pipeline, interleave, schedule, stages = (int(columns[name][rows[0]]) for name in PIPELINES)
        yield rows, orders[pipeline, interleave, schedule, stages]


def split(code: Any) -> Iterator[tuple[Any, Any]]:
    """Each distinct number, and the places that have it, in order."""
    if not len(code):
        return
    order = np.argsort(code, kind="stable")
    starts = np.flatnonzero(np.diff(code[order], prepend=code[order[0]] - 1))
    for part in np.split(order, starts[1:]):
        yield code[part[0]], part


def parts_of(model: Model, stage: StageRows) -> tuple[Ledger, Ledger]:
    """The ledgers of the first layers of stages, which are computed again, and of all the rest of them."""
    again = _counts(model, stage, stage.first)
    rest = _counts(model, stage, [count - first for count, first in zip(stage.counts, stage.first, strict=True)])
    return (
        stage_of_counts(model.whole, again, first=False, last=False),
        stage_of_counts(model.whole, rest, first=stage.kind.first, last=stage.kind.last),
    )


def _counts(model: Model, stage: StageRows, layers: Sequence[Any]) -> list[Any]:
    """Numbers of layers of a kind's groups, of each group of the model; None for those that there are none of."""
    counts: list[Any] = [None] * len(model.whole.groups)
    for place, count in zip(stage.kind.groups, layers, strict=True):
        counts[place] = plain(count) or None if isinstance(plain(count), int) else count
    return counts


def ledger_of(model: Model, stage: StageRows) -> Ledger:
    """The ledger of stages of one kind, its numbers of layers in arrays."""
    counts = _counts(model, stage, stage.counts)
    kind = stage.kind
    if kind.stack is None:
        return stage_of_counts(model.whole, counts, first=kind.first, last=kind.last)
    return stage_of_part(
        model.spec, model.whole, kind.stack, counts, first=kind.first, last=kind.closes, ends=kind.last
    )
