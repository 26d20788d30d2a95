"""What was made of a ledger or of a spec, kept with that very object for whoever asks again: a changed copy has its own.

Only what follows from plain numbers and words is kept. Numbers that remember, and arrays, are counted anew each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

T = TypeVar("T")

MOST_KEPT: Final = 64
"""Things that are kept of one object: a search of layouts has about as many plans that differ in more than their copies."""

_PLAIN: Final = frozenset({int, bool, str, tuple, type(None)})


def keep(made: dict[Any, Any], key: object, make: Callable[[], T], most: int = MOST_KEPT) -> T:
    """What `make` gives, made once for each key, of which `most` are kept."""
    found: T | None = made.get(key)
    if found is None:
        if len(made) >= most:
            made.clear()
        found = made[key] = make()
    return found


def check_once(made: dict[Any, Any], key: object, check: Callable[[], None]) -> None:
    """Runs a check that raises where something is wrong, until it has passed once for a key."""

    def passed() -> bool:
        check()
        return True

    keep(made, key, passed)


def is_plain(numbers: Iterable[object]) -> bool:
    """Whether none of these remembers how it was made, and none is an array."""
    return _PLAIN.issuperset(map(type, numbers))
