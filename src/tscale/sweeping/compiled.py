"""A question compiled to functions of arrays.

One row is answered on numbers that note what is compared, once for each way that rows can take, and every row that compares
alike is computed at once. Refusals are ways too: validation runs on the same numbers, and its message is filled for each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import prod
from typing import Any, Final

from tscale.core.metric import Figure
from tscale.core.tracing import TracedInt
from tscale.errors import TscaleError
from tscale.models.made import trusted
from tscale.models.spec import ModelSpec
from tscale.sweeping.answers import Answer, answer_of, figures_of, request_of, with_numbers
from tscale.sweeping.axes import Axis
from tscale.sweeping.exact import SMALL, Program
from tscale.sweeping.guarded import Condition, Guarded, Trail, following
from tscale.sweeping.job import Job, asked, options_of
from tscale.sweeping.marks import pieces_of
from tscale.sweeping.path import Path, Places, Ratio
from tscale.sweeping.recording import RECORDED, recorded_path
from tscale.sweeping.specs import unchecked, with_sizes

COMPILED: Final[Mapping[str, frozenset[str]]] = {"params": frozenset(), "flops": frozenset({"tokens", "context"})}
"""The questions that compile, each with those of its fields that are numbers of its formulas."""
_RATIOS: Final = {("flops", "pf_days"): "training_flops.six_nd"}
"""Figures that are another divided by a constant."""
WORTH_COMPILING: Final = 16
"""Rows of one structure: of fewer, each is answered sooner by itself."""


def sizes_of(job: Job) -> tuple[bool, ...]:
    """Which axes are sizes, whose values may be arrays; the others are structure, compiled value by value."""
    return _if_worth(job, tuple(axis.is_whole and _is_size(axis, job) for axis in job.axes))


def fields_of(job: Job, sizes: tuple[bool, ...]) -> tuple[bool, ...]:
    """Of a question that is recorded the sizes that are fields of it, without those of the spec; of others the same."""
    if job.question not in RECORDED:
        return sizes
    return _if_worth(job, tuple(size and not axis.key for axis, size in zip(job.axes, sizes, strict=True)))


def _if_worth(job: Job, sizes: tuple[bool, ...]) -> tuple[bool, ...]:
    """Some sizes, or none of them where few rows are of one structure."""
    rows = prod(len(axis.values) for axis, size in zip(job.axes, sizes, strict=True) if size)
    return sizes if rows >= WORTH_COMPILING else (False,) * len(job.axes)


def _is_size(axis: Axis, job: Job) -> bool:
    """Whether an axis is of a number of the question's formulas."""
    fields = {**COMPILED, **RECORDED}.get(job.question)
    if fields is None:
        return False
    small = axis.bounds[1] < SMALL
    of_spec = axis.field == "set" and "model" in options_of(job.question)  # of `design` it changes a pattern
    return (of_spec and small) or (axis.name in fields and (small or job.question in RECORDED))


def path_of(job: Job, places: Places, sizes: tuple[bool, ...]) -> Path | str:
    """The way that a row takes; or why it has to be answered by itself."""
    if job.question in RECORDED:
        return recorded_path(job, places, sizes)
    found = _path_of(job, places, sizes)
    return "a comparison or a figure is not known of other rows" if found is None else found


def _path_of(job: Job, places: Places, sizes: tuple[bool, ...]) -> Path | None:
    from tscale.models.validation import problems_of

    axes = [(axis, int(axis.values[place])) for axis, place, size in zip(job.axes, places, sizes, strict=True) if size]
    numbers = {axis.name: Guarded(value, label=axis.name) for axis, value in axes}
    ranges = {axis.name: axis.bounds for axis, _ in axes}
    trail = Trail()
    known = answer_of(job, places)
    if known.refused is not None:
        return _refused(job, places, numbers, ranges, known.refused)
    spec = _spec(job, places)
    if spec is None:
        return None
    guarded = _guard(spec, job, numbers, trail)
    with following(trail):
        if problems_of(guarded):
            return None
        request = request_of(job, places, trusted(guarded))
        fields = {axis.name: numbers[axis.name] for axis, _ in axes if axis.field != "set"}
        try:
            figures = figures_of(asked(job.question).figures(with_numbers(request, fields)), job)
        except TscaleError:
            return None
    return _compiled(job, figures, known, trail, ranges)


def _spec(job: Job, places: Places) -> ModelSpec | None:
    """The valid spec of a row, or None for that of a tower alone."""
    found: Any = request_of(job, places)
    spec = found.models[0] if job.question == "params" else found.found
    return spec if isinstance(spec, ModelSpec) else None


def _guard(spec: ModelSpec, job: Job, numbers: Mapping[str, Guarded], trail: Trail) -> ModelSpec:
    """A spec on numbers that remember, and on those of the axes where they are sizes; of other axes, only this value counts."""
    guarded, others = with_sizes(spec, job, numbers)
    trail.conditions += [Condition("==", number, int(number), True) for number in others]
    return guarded


def _refused(
    job: Job, places: Places, numbers: Mapping[str, Guarded], ranges: Mapping[str, tuple[int, int]], said: str
) -> Path | None:
    """The way of rows that validation refuses in the same words; None where it is not known which others it refuses."""
    from tscale.blocks.fields import dotted

    spec = unchecked(job, places)
    if spec is None:
        return None
    trail = Trail()
    guarded = _guard(spec, job, numbers, trail)
    trail.writes = True
    with following(trail):
        first = next(iter(guarded.problems()), None)
    if first is None:
        return None
    path, message = first
    pieces = list(pieces_of(f"{dotted(path)}: {message}", trail.texts))
    if "".join(piece if isinstance(piece, str) else format(int(piece[0]), piece[1]) for piece in pieces) != said:
        return None
    written = [piece[0] for piece in pieces if not isinstance(piece, str)]
    return Path(*_conditions(trail, ranges), Program(written, ranges), refused=tuple(pieces))


def _conditions(trail: Trail, ranges: Mapping[str, tuple[int, int]]) -> tuple[Program, tuple[tuple[str, bool], ...]]:
    """The comparisons of a trail that an axis has a part in, each once."""
    found = trail.conditions
    program = Program([side for one in found for side in (one.left, one.right)], ranges)
    slots = program.outputs
    seen: dict[Any, int] = {}
    for place, one in enumerate(found):
        seen.setdefault((one.op, slots[2 * place], slots[2 * place + 1]), place)
    program.outputs = [slots[2 * place + side] for place in seen.values() for side in (0, 1)]
    return program, tuple((found[place].op, found[place].outcome) for place in seen.values())


def _compiled(
    job: Job, figures: Mapping[str, Any], known: Answer, trail: Trail, ranges: Mapping[str, tuple[int, int]]
) -> Path | None:
    """The way of a row that is answered; None where a figure does not remember how it was made."""
    wanted = [name for name in figures if job.wants(name)]
    if wanted != list(known.figures):
        return None
    wanted += [of for (asked_of, name), of in _RATIOS.items() if asked_of == job.question and name in wanted]
    names: list[str] = []
    others: dict[str, Any] = {}
    for name in dict.fromkeys(wanted):
        cell = figures[name]
        value = cell.value if isinstance(cell, Figure) else cell
        ratio = _ratio(job.question, name, figures)
        if isinstance(value, TracedInt):
            names.append(name)
        elif ratio is not None:
            others[name] = ratio
        elif isinstance(cell, Figure) and value:
            return None
        else:
            others[name] = value
    program = Program([_number(figures[name]) for name in names], ranges)
    return Path(*_conditions(trail, ranges), program, tuple(names), others)


def _ratio(question: str, name: str, figures: Mapping[str, Any]) -> Ratio | None:
    """The constant that a figure is another one over."""
    of = _RATIOS.get((question, name))
    if of is None:
        return None
    over = Fraction(int(figures[of].value)) / Fraction(figures[name].value)
    assert over.denominator == 1, "a ratio of two figures is over a constant"
    return Ratio(of, int(over))


def _number(cell: Any) -> int:
    value = cell.value if isinstance(cell, Figure) else cell
    assert isinstance(value, int)
    return value


__all__ = ["COMPILED", "RECORDED", "path_of", "sizes_of"]
