"""Parses JSON strictly, and within bounds of time and memory whatever is in it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final

from tscale.errors import SpecError, shown

MOST_ITEMS: Final = 500_000
"""Values in a text: of an index of weights, the largest published models have 200,000; each can take 200 bytes."""
MOST_INNER: Final = 100_000
"""Objects and lists in a text: one a tensor where a file describes quantised tensors."""


def parse_object(text: str, where: str, *, what: str, infinite: bool = False) -> dict[str, Any]:
    """The object in a JSON text, which messages call `what`. Raises `SpecError`, as for a key that is given twice.

    `infinite`: whether a number may be `Infinity` or `-Infinity`, as Python writes those that JSON has no word for.
    """
    _bounded(text, where, what)
    return parsed(strict(where, infinite=infinite), text, where, what)


def parsed(decoder: json.JSONDecoder, text: str, where: str, what: str) -> dict[str, Any]:
    """The object in a JSON text of bounded size. Raises `SpecError`."""
    try:
        found = decoder.decode(text)
    except json.JSONDecodeError as error:
        if not text.strip():
            raise SpecError(f"is empty: {what} is a JSON object", where=where) from None
        raise SpecError(
            f"not JSON: {error.msg.removesuffix(' starting at')}", where=f"{where}:{error.lineno}:{error.colno}"
        ) from None
    except (ValueError, RecursionError):
        raise SpecError(f"not JSON that {what} is made of: nested too deep, or a number of thousands of digits",
                        where=where) from None  # fmt: skip
    if not isinstance(found, dict):
        raise SpecError(f"{what} is an object, not {shown(found)}", where=where)
    return found


def strict(where: str, *, infinite: bool = False) -> json.JSONDecoder:
    """A decoder that raises `SpecError` for a key that is given twice, and for what is no number."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            times = Counter(key for key, _ in pairs)
            twice = next(key for key, count in times.items() if count > 1)
            raise SpecError(f"key {shown(twice)} is given twice", where=where)
        return found

    def constant(name: str) -> float:
        if infinite and name != "NaN":
            return float(name)
        raise SpecError(f"{name} is not a number that a model can have", where=where)

    return json.JSONDecoder(object_pairs_hook=once, parse_constant=constant)


def is_bounded(text: str) -> bool:
    """Whether a text holds no more values than are parsed."""
    try:
        _bounded(text, "", "")
    except SpecError:
        return False
    return True


def _bounded(text: str, where: str, what: str) -> None:
    """Refuses a text that may hold more values than any file of its kind: a comma or a bracket each."""
    inner = text.count("{") + text.count("[")
    items = text.count(",") + inner
    for count, most, kind in ((items, MOST_ITEMS, "values"), (inner, MOST_INNER, "objects and lists")):
        if count > most:
            raise SpecError(f"holds some {count:,} {kind}: {what} has at most {most:,}", where=where)
