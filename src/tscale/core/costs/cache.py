"""How much memory a sequence keeps while decoding: keys and values of every layer (Pope 2022, section 2.1).

Both of them: 2·layers·kv_heads·head_dim numbers a token. A layer with a window keeps at most its window. A recurrent layer
keeps a state instead, as large for one token as for a million, in 16 bits at the least.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from tscale.core.dtypes import Format, bytes_of
from tscale.core.ledger import Cache, Entry, Ledger
from tscale.core.metric import Line, Quantity
from tscale.core.tracing import ceil_div, minimum
from tscale.core.units import BYTES
from tscale.core.workload import Run
from tscale.errors import RequestError

SOURCE = "pope2022 section 2.1"

LEAVES_OUT = "Not in the cache: the padding of paged blocks."

STATE_BITS: Final = 16
"""The fewest bits of a recurrent state: what quantises a cache leaves it as it is, since it is rewritten at every step."""


def cache_bytes(ledger: Ledger, run: Run, bits: int | Fraction, page: int | None = None) -> Quantity:
    """Bytes that one sequence keeps at so many `bits` a number, one line for each kind of layer that caches.

    `page`: positions are kept in blocks of so many, the last one whole however full it is (Kwon 2023, section 4.1).
    """
    lines: list[Line] = []
    for entry in ledger.entries:
        if isinstance(entry, Cache):
            positions = run.length(entry.stream)
            kept = positions if entry.window is None else minimum(positions, entry.window)
            if page is not None and not _is_state(entry):
                kept = ceil_div(kept, page) * page
            held = max(bits, STATE_BITS) if _is_state(entry) else bits
            lines.append(Line(entry.name, bytes_of(kept * entry.stored * entry.width, held)))
    source, leaves_out = (SOURCE, LEAVES_OUT) if page is None else ("kwon2023 section 4.1", "")
    return Quantity("KV cache", tuple(lines), BYTES, source=source, leaves_out=leaves_out)


def check_rows(ledger: Ledger, format: Format) -> None:
    """Raises `RequestError` where a format's blocks do not divide what a cache keeps for a head, or for a latent."""
    for entry in ledger.entries:
        if isinstance(entry, Cache) and not _divides(entry, format):
            raise RequestError(
                f"{format.name} shares a scale among {format.multiple} numbers, and {entry.name} of {ledger.model} keeps rows of "
                f"{int(_row(entry)):,}: keep the cache in a format without blocks, such as fp8 or bf16"
            )


def rows_divide(ledger: Ledger, format: Format) -> bool:
    """Whether a format's blocks divide what every cache keeps for a head, or for a latent."""
    return all(_divides(entry, format) for entry in ledger.entries if isinstance(entry, Cache))


def _divides(cache: Cache, format: Format) -> bool:
    return _is_state(cache) or _row(cache) % format.multiple == 0


def _row(cache: Cache) -> int:
    """Numbers that stand in a row: of keys and of values, those of a head; of a latent that heads share, all."""
    return cache.width if cache.cut is None else cache.width // (2 * cache.cut.pieces)


def growing(ledger: Ledger) -> Ledger:
    """The part of a ledger whose cache grows with context: all of it but the states of recurrent layers."""
    return Ledger.of(ledger.model, (entry for entry in ledger.entries if not _is_state(entry)))


def states(ledger: Ledger) -> Ledger:
    """The states of recurrent layers, which do not grow with context."""
    return Ledger.of(ledger.model, (entry for entry in ledger.entries if _is_state(entry)))


def _is_state(entry: Entry) -> bool:
    return isinstance(entry, Cache) and entry.stream == "once"
