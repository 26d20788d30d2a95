"""Marks that stand in a text for the numbers that were written into it, so that it can be filled for other rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

Written = TypeVar("Written")
OPEN, _CLOSE = "⟦", "⟧"


def mark_of(texts: Sequence[object]) -> str:
    """The mark of the last number that was written."""
    return f"{OPEN}{len(texts) - 1}{_CLOSE}"


def pieces_of(text: str, texts: Sequence[Written]) -> Iterator[str | Written]:
    """A text taken apart at the numbers that were written into it, each with its format."""
    first, *rest = text.split(OPEN)
    if first:
        yield first
    for part in rest:
        index, _, after = part.partition(_CLOSE)
        yield texts[int(index)]
        if after:
            yield after
