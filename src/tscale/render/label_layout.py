"""Where words stand beside points so that no two overlap: in pixels of a file and in cells of a terminal alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import inf
from typing import Final, NamedTuple


class Box(NamedTuple):
    """A rectangle; the vertical axis grows upwards or downwards, as the drawing's does."""

    left: float
    low: float
    right: float
    high: float

    def overlap(self, other: Box) -> float:
        """The area that two rectangles share."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.high, other.high) - max(self.low, other.low)
        return width * height if width > 0 and height > 0 else 0.0

    def holds(self, other: Box) -> bool:
        """Whether another lies inside."""
        return (
            self.left <= other.left and self.low <= other.low and other.right <= self.right and other.high <= self.high
        )

    @property
    def middle(self) -> tuple[float, float]:
        return (self.left + self.right) / 2, (self.low + self.high) / 2


class Word(NamedTuple):
    """A word's size and the point that it names.

    `reach`: how many rings around its point it may stand in. `lines`: the share of it that lines may run through, if it
    is better left out than hidden by more of them, or by a point or another word; None for one that must stand.
    """

    x: float
    y: float
    width: float
    height: float
    reach: int = 5
    lines: float | None = None


_RINGS: Final = (1.0, 2.2, 4.0, 6.5, 9.0)  # how far from its point, in gaps
_OVER_WORD: Final = 100.0
_OVER_POINT: Final = 20.0
_FURTHER: Final = 0.15  # of its own area: so much of it may lines run through before it goes a ring further


def placed(
    words: Sequence[Word],
    points: Sequence[Box],
    lines: Sequence[Box],
    room: Box,
    gap: tuple[float, float],
    *,
    cells: bool = False,
) -> list[Box | None]:
    """A place for each word inside `room`, the cheapest: off other words above all, off points, off lines, and near.

    None for a word that is left out. `gap`: how far it stands off sideways and upwards. `cells`: places begin at whole
    numbers, and a cell is left free between a word and what stands beside it. Words that must stand are placed first, then those that reach further, then as they come.
    """
    taken: list[Box] = []
    points = [_apart(point) for point in points] if cells else points
    found: list[Box | None] = [None] * len(words)
    for place in sorted(range(len(words)), key=lambda one: (words[one].lines is not None, -words[one].reach)):
        word = words[place]
        around = (_in_cells(box, word) if cells else box for box in _around(word, gap))
        best = _cheapest(around, word, room, taken, points, lines)
        if best is not None:
            found[place] = best
            taken.append(_apart(best) if cells else best)
    return found


def _cheapest(
    places: Iterable[Box], word: Word, room: Box, taken: Sequence[Box], points: Sequence[Box], lines: Sequence[Box]
) -> Box | None:
    """The cheapest of a word's places, which come nearest first: no further one is looked at that cannot be cheaper."""
    least, best = inf, None
    for turn, box in enumerate(places):
        far = _FURTHER * turn / 8
        if least <= far:
            break
        if not room.holds(box):
            continue
        hidden, crossed = _cover(box, taken, points, lines)
        if word.lines is not None and (hidden or crossed > word.lines):
            continue
        if hidden + crossed + far < least:
            least, best = hidden + crossed + far, box
    return best


def _in_cells(box: Box, word: Word) -> Box:
    left, low = round(box.left), round(box.low)
    return Box(left, low, left + word.width, low + word.height)


def _apart(box: Box) -> Box:
    """A box with a free cell on either side, as words of a sentence have."""
    return Box(box.left - 1, box.low, box.right + 1, box.high)


def _cover(box: Box, taken: Sequence[Box], points: Sequence[Box], lines: Sequence[Box]) -> tuple[float, float]:
    """How much of a place words and points hide, weighted, and how much lines run through: shares of its area."""
    area = (box.right - box.left) * (box.high - box.low)
    hidden = sum(_OVER_WORD * shared for shared in _shared(box, taken))
    hidden += sum(_OVER_POINT * shared for shared in _shared(box, points))
    return hidden / area, sum(_shared(box, lines)) / area


def _shared(box: Box, others: Sequence[Box]) -> list[float]:
    """The areas that a rectangle shares with others; of hundreds, few touch it."""
    left, low, right, high = box
    return [
        box.overlap(other)
        for other in others
        if other[0] < right and other[2] > left and other[1] < high and other[3] > low
    ]


def quietest(boxes: Sequence[Box], taken: Sequence[Box], lines: Sequence[Box]) -> Box:
    """The first of some places that hides the least of words and points, and that the least of the lines runs through."""
    return min(boxes, key=lambda box: sum(_cover(box, taken, [], lines)))


def _around(word: Word, gap: tuple[float, float]) -> Iterator[Box]:
    """Places around a point: right, left, above, below, and the corners; then further off."""
    x, y, width, height = word[:4]
    sideways, upwards = gap
    for ring in _RINGS[: word.reach]:
        dx, dy = ring * sideways, ring * upwards
        beside, under = y - height / 2, x - width / 2
        for left, low in (
            (x + dx, beside),
            (x - dx - width, beside),
            (under, y + dy),
            (under, y - dy - height),
            (x + dx / 1.4, y + dy / 1.4),
            (x - dx / 1.4 - width, y + dy / 1.4),
            (x + dx / 1.4, y - dy / 1.4 - height),
            (x - dx / 1.4 - width, y - dy / 1.4 - height),
        ):
            yield Box(left, low, left + width, low + height)
