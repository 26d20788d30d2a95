"""Things in the order of keys that are costly to know, where a bound of each key is cheap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from typing import TypeVar

Key = tuple[float, float]
"""What things are ordered by, the least first."""
Possible = TypeVar("Possible")
Exact = TypeVar("Exact")


def best_first(
    possible: Iterable[tuple[Key, Possible]], exactly: Callable[[Possible], tuple[Key, Exact] | None]
) -> Iterator[tuple[Key, Exact]]:
    """What `exactly` makes of things, in the order of the keys that it gives; where it gives None, the thing is left out.

    Each thing comes with a key that its exact one is not below, and in the order of those. It is only looked at when what was looked at
    before leaves open which is next, so that whoever takes a few of the best pays for few; of equal keys the first stays first.

    Example:
        >>> list(best_first([((1, 0), 5), ((2, 0), 3), ((4, 0), 4)], lambda n: ((n, 0), str(n))))
        [((3, 0), '3'), ((4, 0), '4'), ((5, 0), '5')]
    """
    found: list[tuple[Key, int, Exact]] = []
    for place, (bound, one) in enumerate(possible):
        while found and found[0][0] < bound:
            key, _, own = heappop(found)
            yield key, own
        exact = exactly(one)
        if exact is not None:
            heappush(found, (exact[0], place, exact[1]))
    while found:
        key, _, own = heappop(found)
        yield key, own
