"""Rows of a sweep as columns: sizes as arrays where the question compiles, row by row where it does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any, Final

import numpy as np

from tscale.sweeping.answers import Answer, answer_of
from tscale.sweeping.columns import OTHER, REFUSED, Column, Part, as_column, as_text, plain, put
from tscale.sweeping.compiled import WORTH_COMPILING, fields_of, path_of, sizes_of
from tscale.sweeping.exact import SMALL, as_ints, holds
from tscale.sweeping.grid import Block, places_of, rows_of
from tscale.sweeping.job import Job
from tscale.sweeping.path import Path, Places, Ratio, Text
from tscale.sweeping.quotients import quotients
from tscale.sweeping.wide import Wide

MOST_PATHS: Final = 64
"""Ways of the rows of one structure: where there are more, the rest are answered one by one."""

MOST_STRUCTURES: Final = 256
"""Structures that are kept compiled."""


@dataclass
class Structure:
    """What is known of the rows that differ in sizes alone."""

    paths: list[Path] = field(default_factory=list)
    checked: set[int] = field(default_factory=set)
    by_row: bool = False
    why: str = ""
    """Why its rows are answered one by one."""


@dataclass
class Evaluator:
    """Answers blocks of a sweep's rows, and keeps what was compiled for the next block."""

    job: Job
    columns: tuple[Column, ...]
    structures: dict[Places, Structure] = field(default_factory=dict)
    sizes: tuple[bool, ...] = ()
    known: dict[str, Column] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sizes = sizes_of(self.job)
        self.known = {column.name: column for column in self.columns}

    def part(self, block: Block) -> Part:
        """The rows of a block."""
        out = Part(rows_of(block), {}, {})
        self._put_axes(out, block)
        before = self.sizes
        if any(before) and all(self._sized(out, block, fixed) for fixed in self._structures(block)):
            return out
        if self.sizes != before:
            return self.part(block)
        self._by_row(out, block, np.ones(out.rows, dtype=bool))
        return out

    def _put_axes(self, out: Part, block: Block) -> None:
        """The values of the axes."""
        shape = _shape(block)
        for place, (axis, (start, stop)) in enumerate(zip(self.job.axes, block, strict=True)):
            values: Any = axis.values
            own = values[start:stop]
            column = self.known[axis.name]
            held = as_column(_along(_array(own, column.kind), place, len(shape)), column.kind)
            put(out, column, None, _chosen(held, shape, None))

    def _structures(self, block: Block) -> Iterator[Block]:
        """The block, cut to one place of each axis that is structure."""
        choices = [
            [span] if size else [(place, place + 1) for place in range(*span)]
            for span, size in zip(block, self.sizes, strict=True)
        ]
        yield from product(*choices)

    def _sized(self, out: Part, block: Block, fixed: Block) -> bool:
        """The rows of one structure: each way that they take at once. False where sizes of the spec are structure from now on.

        That is where they are no sizes of some way, or have too many: what compiles for each of them alone is worth more.
        """
        shape, within = _shape(fixed), _within(block, fixed)
        key = tuple(start for (start, _), size in zip(fixed, self.sizes, strict=True) if not size)
        if key not in self.structures and len(self.structures) >= MOST_STRUCTURES:
            del self.structures[next(iter(self.structures))]
        structure = self.structures.setdefault(key, Structure())
        rows = np.arange(out.rows).reshape(_shape(block))[within].reshape(-1)
        axes = self._axes(fixed)
        pending = np.ones(shape, dtype=bool)
        for number, path in enumerate(structure.paths):
            self._take(out, rows, structure, number, path, axes, pending, fixed)
        while pending.any() and not structure.by_row and len(structure.paths) < MOST_PATHS:
            found = path_of(self.job, _places(fixed, int(pending.argmax())), self.sizes)
            if isinstance(found, str):
                structure.by_row, structure.why = True, found
                break
            structure.paths.append(found)
            self._take(out, rows, structure, len(structure.paths) - 1, found, axes, pending, fixed)
        return not pending.any() or self._alone(out, rows, pending, block, fixed)

    def _alone(self, out: Part, rows: Any, pending: Any, block: Block, fixed: Block) -> bool:
        """The rows that take no way that is known, one by one; False where it is worth more that sizes are structure from now on."""
        fewer = fields_of(self.job, self.sizes)
        alone = zip(_shape(fixed), self.sizes, fewer, strict=True)
        structures = prod(length for length, size, still in alone if size and not still)
        if fewer != self.sizes and np.count_nonzero(pending) >= WORTH_COMPILING * structures:
            self.sizes = fewer
            self.structures.clear()
            return False
        todo = np.zeros(out.rows, dtype=bool)
        todo[rows[pending.reshape(-1)]] = True
        self._by_row(out, block, todo)
        return True

    def _axes(self, fixed: Block) -> dict[str, Any]:
        """The values of the sizes, each along its own axis."""
        found = {}
        for place, (axis, (start, stop), size) in enumerate(zip(self.job.axes, fixed, self.sizes, strict=True)):
            if size:
                values: Any = axis.values
                own = np.array(values[start:stop], dtype=_words(axis.bounds[1]))
                found[axis.name] = _along(own, place, len(fixed))
        return found

    def _take(
        self,
        out: Part,
        rows: Any,
        structure: Structure,
        number: int,
        path: Path,
        axes: Mapping[str, Any],
        pending: Any,
        fixed: Block,
    ) -> None:
        """Answers those of the rows that take a way, and strikes them off."""
        if structure.by_row or not pending.any():
            return
        mask = _taking(path, axes, pending)
        if not mask.any():
            return
        if number not in structure.checked and not self._agrees(path, axes, mask, fixed):
            structure.by_row, structure.why = True, "what was compiled is not what the question answers"
            return
        structure.checked.add(number)
        chosen: Any = None if mask.all() and mask.size == out.rows else rows[mask.reshape(-1)]
        where = None if chosen is None else mask
        shape = mask.shape
        if where is not None and 2 * len(chosen) < mask.size:  # most rows go another way: none of theirs is computed
            axes = {name: np.broadcast_to(array, shape)[mask] for name, array in axes.items()}
            where, shape = None, chosen.shape
        if path.refused is not None:
            put(out, self.known[REFUSED], chosen, _chosen(_texts(path, axes), shape, where))
        else:
            self._put_figures(out, self._values(path, axes), shape, chosen, where)
        pending &= ~mask

    def _put_figures(
        self, out: Part, values: Mapping[str, Any], shape: tuple[int, ...], chosen: Any, where: Any
    ) -> None:
        left: dict[str, Any] = {}
        for name, value in values.items():
            column = self.known.get(name)
            held = None if column is None else as_column(value, column.kind)
            if column is not None and held is not None:
                put(out, column, chosen, _chosen(held, shape, where))
            elif value is not None:
                left[name] = _chosen(as_ints(value), shape, where)
        if left:
            count = out.rows if chosen is None else len(chosen)
            texts = [as_text({name: _one(value, row) for name, value in left.items()}) for row in range(count)]
            put(out, self.known[OTHER], chosen, np.array(texts, dtype=object))

    def _agrees(self, path: Path, axes: Mapping[str, Any], mask: Any, fixed: Block) -> bool:
        """Whether what was compiled is what the question answers: asked of the last of the rows and of one between."""
        places = np.flatnonzero(mask)
        for place in {int(places[-1]), int(places[len(places) // 2])}:
            known = answer_of(self.job, _places(fixed, place))
            if self._answer_at(path, axes, mask.shape, place) != _plain_answer(known):
                return False
        return True

    def _answer_at(self, path: Path, axes: Mapping[str, Any], shape: tuple[int, ...], place: int) -> Any:
        """What was compiled says of one row."""
        own = {name: np.broadcast_to(array, shape).flat[place] for name, array in axes.items()}
        single = {name: np.array([value], dtype=_words(value)) for name, value in own.items()}
        if path.refused is not None:
            return np.broadcast_to(_texts(path, single), (1,))[0]
        return {name: plain(_one(as_ints(value), 0)) for name, value in self._values(path, single).items()}

    def _values(self, path: Path, axes: Mapping[str, Any]) -> dict[str, Any]:
        """The figures of the rows that take a way, of those that are asked for."""
        return {name: value for name, value in _values(path, axes).items() if self.job.wants(name)}

    def _by_row(self, out: Part, block: Block, todo: Any) -> None:
        """The rows that are marked, one by one."""
        for row in np.flatnonzero(todo):
            self._put_answer(out, int(row), answer_of(self.job, _places(block, int(row))))

    def _put_answer(self, out: Part, row: int, answer: Answer) -> None:
        if answer.refused is not None:
            put(out, self.known[REFUSED], row, answer.refused)
        left = {}
        for name, cell in answer.figures.items():
            value, column = plain(cell), self.known.get(name)
            held = None if column is None or value is None else as_column(value, column.kind)
            if column is not None and held is not None:
                put(out, column, row, held)
            elif value is not None:
                left[name] = value
        if left:
            put(out, self.known[OTHER], row, as_text(left))


def _taking(path: Path, axes: Mapping[str, Any], pending: Any) -> Any:
    """Which of the rows that are left take a way; where few are left, no others are looked at."""
    if 2 * np.count_nonzero(pending) > pending.size:
        return pending & holds(path.ops, path.holds.run(axes))
    found = np.zeros(pending.shape, dtype=bool)
    left = {name: np.broadcast_to(array, pending.shape)[pending] for name, array in axes.items()}
    found[pending] = holds(path.ops, path.holds.run(left))
    return found


def _words(most: int) -> Any:
    """What whole numbers up to some are kept in: words, or Python's own."""
    return np.int64 if most < SMALL else object


def _shape(block: Block) -> tuple[int, ...]:
    return tuple(stop - start for start, stop in block)


def _within(block: Block, fixed: Block) -> tuple[slice, ...]:
    """Where a smaller block stands in a block."""
    return tuple(slice(start - first, stop - first) for (first, _), (start, stop) in zip(block, fixed, strict=True))


def _places(block: Block, row: int) -> Places:
    """The places on the axes of a row of a block."""
    own = places_of(row, _shape(block))
    return tuple(start + place for (start, _), place in zip(block, own, strict=True))


def _along(array: Any, place: int, axes: int) -> Any:
    return array.reshape(tuple(-1 if other == place else 1 for other in range(axes)))


def _array(values: Any, kind: str) -> Any:
    types: dict[str, Any] = {"int64": np.int64, "double": np.float64, "bool": bool}
    return np.array([str(value) for value in values] if kind == "text" else values, dtype=types.get(kind, object))


def _chosen(value: Any, shape: tuple[int, ...], where: Any) -> Any:
    """A value spread over a shape, of all rows or of those that are chosen."""
    if isinstance(value, Wide):
        return Wide(_chosen(value.high, shape, where), _chosen(value.low, shape, where))
    spread = np.broadcast_to(np.asarray(value, dtype=object) if isinstance(value, str) else value, shape)
    return np.ascontiguousarray(spread).reshape(-1) if where is None else spread[where]


def _values(path: Path, axes: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of the rows that take a way."""
    found = dict(zip(path.names, path.program.run(axes), strict=True))
    for name, other in path.others.items():
        if isinstance(other, Ratio):
            found[name] = quotients(found[other.of], other.over)
        elif isinstance(other, Text):
            found[name] = _filled([one if isinstance(one, str) else (found[one[0]], one[1]) for one in other.pieces])
        else:
            found[name] = plain(other)
    return {name: value for name, value in found.items() if name not in path.hidden}


def _texts(path: Path, axes: Mapping[str, Any]) -> Any:
    """Why rows are refused, spread as far as the numbers in the message vary."""
    assert path.refused is not None
    numbers = iter(path.program.run(axes))
    return _filled([piece if isinstance(piece, str) else (next(numbers), piece[1]) for piece in path.refused])


def _filled(pieces: list[Any]) -> Any:
    """Texts of what stands between numbers and of these, each with its format, spread as far as the numbers vary."""
    arrays = [as_ints(piece[0]) for piece in pieces if not isinstance(piece, str)]
    shape = np.broadcast_shapes(*map(np.shape, arrays)) if arrays else ()
    numbers = [np.broadcast_to(np.asarray(array, dtype=object), shape).reshape(-1) for array in arrays]
    formats = [piece[1] for piece in pieces if not isinstance(piece, str)]
    form = "".join(_escaped(piece) if isinstance(piece, str) else "{}" for piece in pieces)
    texts = (
        [form.format(*map(format, row, formats)) for row in zip(*numbers, strict=True)] if arrays else [form.format()]
    )
    found = np.empty(len(texts), dtype=object)
    found[:] = texts
    return found.reshape(shape)


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _one(value: Any, row: int) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    one = value.reshape(-1)[row if value.size > 1 else 0]
    return one.item() if isinstance(one, np.generic) else one


def _plain_answer(answer: Answer) -> Any:
    if answer.refused is not None:
        return answer.refused
    return {name: plain(cell) for name, cell in answer.figures.items()}
