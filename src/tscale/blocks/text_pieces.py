"""Pieces such as towers are made of, next to a text model's own parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tscale.core.ledger import Cache, Conv, Entry, Matmul, Part, Scores, Stream


def in_text(pieces: Iterable[Any], prefix: str, stream: Stream, part: Part) -> Iterator[Entry]:
    """The entries of pieces next to a text model's own: `inputs` are its tokens, and no plain text runs what is at `patches` or `outputs`."""
    for piece in pieces:
        for entry in piece.lower(prefix):
            if isinstance(entry, Scores):
                yield entry._replace(stream=stream, keys=stream)
            elif isinstance(entry, (Matmul, Conv)):
                runs = entry.stream in ("tower_inputs", "once")
                where = stream if entry.stream == "tower_inputs" or not runs else entry.stream
                yield entry._replace(part=part, stream=where, used=entry.used if runs else 0)
            elif isinstance(entry, Cache):
                yield entry
            else:
                yield entry._replace(part=part)
