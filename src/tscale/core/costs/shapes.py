"""The shape of a stack that holds a number of parameters, nearest to given proportions: an exact search over a grid.

What a shape counts is asked of the caller, so that it is the model's own count, tables, norms and biases included. In
layers and in d_ff that count is linear, which the search uses and holds its answers to; in d_model it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import count as count_from
from math import lcm, log
from typing import Final, NamedTuple

from tscale.core.adding import in_order
from tscale.core.parallelism import divisors
from tscale.core.tracing import Recordable

MOST: Final = 10**13
"""Parameters of a shape that is looked for, at the most."""
REACH: Final = 2
"""How far proportions may go from those wanted on the grid: half to twice."""
WITHIN: Final = Fraction(1, 100)
"""How far the count may be from the budget."""
_WITHIN: Final = log(1 / (1 - WITHIN))
"""The same as a logarithm."""
PARTS, FEWEST_PARTS, MOST_PARTS = (WITHIN.denominator + off for off in (0, -WITHIN.numerator, WITHIN.numerator))
"""The same in whole numbers: `PARTS` times the count is from `FEWEST_PARTS` to `MOST_PARTS` times the budget."""


class Shape(NamedTuple):
    """The sizes of a stack of equal layers."""

    layers: int
    d_model: int
    heads: int
    kv_heads: int
    d_ff: int


class Proportions(NamedTuple):
    """What a family keeps as it grows."""

    aspect: Fraction
    """d_model / layers."""
    widening: Fraction
    """d_ff / d_model."""
    span: Fraction
    """heads · head_dim / d_model, 1 in most."""
    sharing: Fraction | None
    """heads / kv_heads; None where one key-value head serves all (multi-query attention)."""
    head_dim: int
    leading: int = 0
    """Layers at the bottom that are unlike the others, and keep their number."""


class Grid(NamedTuple):
    """What sizes must divide by: d_model and d_ff by `multiple`, d_ff and heads by the `tensor`-parallel degree too."""

    multiple: int = 128
    tensor: int = 1


class Found(NamedTuple):
    """A shape, its parameters, how far from the budget they are, and how far the whole is from what was wanted."""

    shape: Shape
    params: int
    deviation: Fraction
    distance: float


Count = Callable[[Shape], int]


def distance(shape: Shape, wanted: Proportions, params: int, budget: int) -> float:
    """How far a shape is from proportions and budget: the sum of the squared logarithms of how many times each is off."""
    layers, d, heads, kv_heads, d_ff = shape
    aspect, widening, span, sharing = wanted.aspect, wanted.widening, wanted.span, wanted.sharing
    ratios = [  # as float() has a fraction, but that no divisor is looked for: a search asks for thousands
        d * aspect.denominator / (layers * aspect.numerator),
        d_ff * widening.denominator / (d * widening.numerator),
        heads * wanted.head_dim * span.denominator / (d * span.numerator),
        1.0 if sharing is None else heads * sharing.denominator / (kv_heads * sharing.numerator),
        params / budget,
    ]
    return in_order(log(ratio) ** 2 for ratio in ratios)


def search(budget: int, wanted: Proportions, grid: Grid, count: Count, many: int = 5) -> list[Found]:
    """The shapes within 1% of a budget that are nearest to it and to the proportions, the best first, one a depth and width.

    Where the grid has none within 1%, the one that misses it least, alone.
    """
    best: list[Found] = []
    missed: Found | None = None
    step = steps(wanted, grid)[1]
    lines = [(line.bound(budget), line) for line in lines_of(wanted, grid, count).within(budget)]
    for bound, line in sorted(lines, key=lambda pair: (pair[0], pair[1].start)):
        if len(best) >= many and bound > best[-1].distance:
            break  # nothing of this line, nor of those behind it, is nearer
        ends = _inner_ends(line.start.d_model, wanted, grid)
        for layers in _depths_near(line, budget, wanted, ends):
            off = log(line.start.d_model / layers / wanted.aspect) ** 2
            if len(best) >= many and max(bound, off) > best[-1].distance:
                break  # lines come by the least that they can be off, depths of a line by what they are off
            for shape in _inner(line, layers, budget, wanted.widening, step, ends):
                params = line.at(shape)
                deviation = Fraction(params - budget, budget)
                found = Found(shape, params, deviation, distance(shape, wanted, params, budget))
                if abs(deviation) <= WITHIN:
                    best = _with(best, found, many)
                elif missed is None or abs(deviation) < abs(missed.deviation):
                    missed = found
    answers = best or ([missed] if missed else [])
    assert all(count(one.shape) == one.params for one in answers), "the count is linear in layers and d_ff"
    return answers


def nearest(
    budget: int, lines: Lines, others: Sequence[Lines] = (), many: int = 1
) -> tuple[list[Found], Sequence[int]]:
    """What `search` finds, and what `others` count of the best; of a budget that a sweep records the best alone, recorded."""
    if isinstance(budget, Recordable):
        sizes, params, counts = budget.searched("shape", lines, budget, *others)
        shape = Shape(*sizes)
        off = budget.called("distance", lines.distance, *shape, params)
        return [Found(shape, params, Fraction(params - budget, budget), off)], counts
    found = search(budget, lines.wanted, lines.grid, lines.count, many)
    return found, [one.count(found[0].shape) for one in others]


class _Line:
    """The count of shapes of one width and one set of heads: tables + layers · (the rest + each column · d_ff).

    Layers that lead, unlike the others, are among the tables.
    """

    def __init__(self, count: Count, start: Shape, wanted: Proportions) -> None:
        self.start, self.leading = start, wanted.leading
        leading, width = wanted.leading, start.d_model
        d_ff = start.d_ff
        one, two = count(start._replace(layers=leading + 1)), count(start._replace(layers=leading + 2))
        wider = count(start._replace(layers=leading + 1, d_ff=2 * d_ff))
        self.column = (wider - one) // d_ff
        self.rest = two - one - self.column * d_ff
        self.tables = one - self.rest - self.column * d_ff
        self.ideal = self.tables + float(width / wanted.aspect) * (
            self.rest + self.column * float(width * wanted.widening)
        )
        neutral = wanted._replace(aspect=Fraction(width), widening=Fraction(1, width))
        self.off = distance(start._replace(layers=1, d_ff=1), neutral, 1, 1)

    def bound(self, budget: int) -> float:
        """The least distance of any shape within 1% of a budget.

        From the line's own ideal, x times the layers and y times d_ff change the count by no more than x·y, and of all x·y
        alike the sum of squared logarithms is least where x = y. Where layers lead, that does not hold, and nothing is cut off by it.
        """
        least = 0 if self.leading else max(abs(log(budget / self.ideal)) - _WITHIN, 0)
        return least**2 / 2 + self.off

    def at(self, shape: Shape) -> int:
        """Parameters."""
        return self.tables + (shape.layers - self.leading) * (self.rest + self.column * shape.d_ff)

    def width_for(self, params: int | Fraction, layers: int) -> Fraction:
        """The d_ff, whole or not, with which so many layers come to that."""
        return ((Fraction(params) - self.tables) / (layers - self.leading) - self.rest) / self.column

    def steps_within(self, params: int, layers: int, step: int) -> tuple[int, int]:
        """The least and the most steps of d_ff with which so many layers are within 1% of that: `width_for`, in whole numbers."""
        stack = layers - self.leading
        fixed, a_step = PARTS * (self.tables + stack * self.rest), PARTS * stack * self.column * step
        least, most = (parts * params - fixed for parts in (FEWEST_PARTS, MOST_PARTS))
        return -(-least // a_step), most // a_step

    def layers_for(self, params: int | Fraction, d_ff: int) -> Fraction:
        """The layers, whole or not, with which such a d_ff comes to that."""
        return self.leading + (Fraction(params) - self.tables) / (self.rest + self.column * d_ff)


def steps(wanted: Proportions, grid: Grid) -> tuple[int, int]:
    """What d_model and d_ff are multiples of: heads that fill d_model exactly must do so in whole heads of each device."""
    of_heads = wanted.head_dim * grid.tensor if wanted.span == 1 else 1
    return lcm(grid.multiple, of_heads), lcm(grid.multiple, grid.tensor)


class Lines:
    """Every width and set of heads on the grid, each width when a budget first asks for it."""

    def __init__(self, wanted: Proportions, grid: Grid, count: Count) -> None:
        self.wanted, self.grid, self.count = wanted, grid, count
        self.widths: list[tuple[list[_Line], int | None]] = []
        self._known: dict[Shape, _Line] = {}

    def __call__(self, budget: int) -> Found:
        """The best shape for a budget."""
        return search(budget, self.wanted, self.grid, self.count, 1)[0]

    def at(self, shape: Shape) -> int:
        """What a shape counts, by the line that it is of."""
        return self._line(shape._replace(layers=1, d_ff=self.narrow(shape.d_model))).at(shape)

    def _line(self, start: Shape) -> _Line:
        if start not in self._known:
            self._known[start] = _Line(self.count, start, self.wanted)
        return self._known[start]

    def distance(self, budget: int, *sizes: int) -> float:
        """How far the sizes of a shape, and behind them its parameters, are from what is wanted."""
        return distance(Shape(*sizes[:-1]), self.wanted, sizes[-1], budget)

    def within(self, budget: int) -> Iterator[_Line]:
        """Those of all widths up to the first whose least shape is past a budget."""
        most = (1 + WITHIN) * budget
        for place in count_from(0):
            if place == len(self.widths):
                self.widths.append(self._of_width((place + 1) * steps(self.wanted, self.grid)[0]))
            lines, least = self.widths[place]
            yield from lines
            if least is not None and least > most:
                return

    def _of_width(self, width: int) -> tuple[list[_Line], int | None]:
        """The lines of a width, and the least that they count; None of a width that no heads fit."""
        wanted, tensor = self.wanted, self.grid.tensor
        narrow = self.narrow(width)
        shapes = [
            Shape(1, width, heads, kv_heads, narrow)
            for heads in _heads(width, wanted, tensor)
            for kv_heads in _kv_heads(heads, wanted, tensor)
        ]
        lines = [self._line(one) for one in shapes]
        shallow = _depths(width, wanted)[0]
        return lines, min((line.at(line.start._replace(layers=shallow)) for line in lines), default=None)

    def ranges(self, line: _Line) -> tuple[range, range]:
        """The layers and the inner widths of a line on the grid."""
        width = line.start.d_model
        least, most = _depths(width, self.wanted)
        narrow, wide = _inner_ends(width, self.wanted, self.grid)
        return range(least, most + 1), range(narrow, wide + 1, steps(self.wanted, self.grid)[1])

    def ideals(self, line: _Line) -> tuple[float, float]:
        """The layers and the inner width that are wanted of it."""
        width = line.start.d_model
        return float(width / self.wanted.aspect), float(width * self.wanted.widening)

    def narrow(self, width: int) -> int:
        """The least inner width of a width."""
        return _inner_ends(width, self.wanted, self.grid)[0]


@lru_cache(maxsize=16)
def lines_of(wanted: Proportions, grid: Grid, count: Count) -> Lines:
    """The lines of some proportions, kept for searches of other budgets."""
    return Lines(wanted, grid, count)


def _heads(width: int, wanted: Proportions, tensor: int) -> list[int]:
    """Numbers of heads: those that fill the width, or the multiples of the tensor degree on either side of the span."""
    if wanted.span == 1:
        return [width // wanted.head_dim]
    return sorted({max(end, tensor) for end in _clipped(wanted.span * width / wanted.head_dim, tensor)})


def _kv_heads(heads: int, wanted: Proportions, tensor: int) -> list[int]:
    """Numbers of key-value heads: divisors of the heads on either side of the sharing that devices split or repeat evenly."""
    if wanted.sharing is None:
        return [1]
    fit = [n for n in divisors(heads) if n % tensor == 0 or tensor % n == 0]
    ideal = heads / wanted.sharing
    below, above = [n for n in fit if n <= ideal], [n for n in fit if n >= ideal]
    return sorted({*below[-1:], *above[:1]})


def _depths(width: int, wanted: Proportions) -> tuple[int, int]:
    """The least and the most layers of a width."""
    ideal = width / wanted.aspect
    fewest = wanted.leading + 1
    return max(-(-ideal // REACH), fewest), max(int(ideal * REACH // 1), fewest)


def _depths_near(line: _Line, budget: int, wanted: Proportions, ends: tuple[int, int]) -> Iterator[int]:
    """The numbers of layers with which a line can come within 1% of a budget, by how far their aspect is off.

    And one on either side of them, or of all depths that nearest to the budget, which may be the one that misses it least: the
    count grows with the layers.
    """
    width = line.start.d_model
    least, most = _depths(width, wanted)
    narrow, wide = ends
    first = int(line.layers_for((1 - WITHIN) * budget, wide))
    last = int(line.layers_for((1 + WITHIN) * budget, narrow)) + 1
    first, last = min(max(first, least), most), max(min(last, most), least)
    ideal = float(width / wanted.aspect)
    below = min(max(int(ideal), first - 1), last)
    above = below + 1
    while below >= first or above <= last:
        down = below >= first and (above > last or ideal / below <= above / ideal)
        yield below if down else above
        below, above = (below - 1, above) if down else (below, above + 1)


def _inner(line: _Line, layers: int, budget: int, widening: Fraction, step: int, ends: tuple[int, int]) -> list[Shape]:
    """The best inner width within 1% of the budget; where there is none, those on either side of it.

    Within 1%, the squared logarithms of d_ff and of the count together are convex in log d_ff, so halving finds their least.
    """
    shape = line.start._replace(layers=layers)
    ideal = shape.d_model * widening
    low, high = ends
    least_step, most_step = line.steps_within(budget, layers, step)
    first, last = max(least_step * step, low), min(most_step * step, high)
    if first > last:
        exact = _clipped(max(line.width_for(budget, layers), Fraction(0)), step)
        return [shape._replace(d_ff=d_ff) for d_ff in sorted({min(max(end, low), high) for end in exact})]

    def off(place: int) -> float:
        d_ff = first + place * step
        return (
            log(d_ff * ideal.denominator / ideal.numerator) ** 2 + log(line.at(shape._replace(d_ff=d_ff)) / budget) ** 2
        )

    least, most = 0, (last - first) // step
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if off(middle) <= off(middle + 1) else (middle + 1, most)
    return [shape._replace(d_ff=first + least * step)]


def _inner_ends(width: int, wanted: Proportions, grid: Grid) -> tuple[int, int]:
    """The least and the greatest inner width on the grid."""
    step, ideal = steps(wanted, grid)[1], width * wanted.widening
    return _clipped(ideal / REACH, step)[1], max(_clipped(ideal * REACH, step)[0], step)


def _clipped(value: Fraction, step: int) -> tuple[int, int]:
    """The multiples of a step below and above a value, of which the one above is a step at least."""
    below = int(value // step) * step
    return below, max(below if below == value else below + step, step)


def _with(best: list[Found], found: Found, many: int) -> list[Found]:
    """The best so far with one more, one of each depth and width."""
    place = found.shape[:2]
    rival = next((one for one in best if one.shape[:2] == place), None)
    if rival is not None and _order(rival) <= _order(found):
        return best
    return sorted([*(one for one in best if one is not rival), found], key=_order)[:many]


def _order(found: Found) -> tuple[float, Fraction, Shape]:
    return found.distance, abs(found.deviation), found.shape
