"""How much memory a sequence keeps while decoding: keys and values of every layer (Pope 2022, section 2.1).

Both of them: 2·layers·kv_heads·head_dim numbers a token. A layer with a window keeps at most its window, in an engine that drops
what no query sees any more (`whole_windows` for others); latents are kept as they are, or spread out to the keys and values of
all heads (`spread_latents`). A recurrent layer keeps a state instead, as large for one token as for a million, in 16 bits at the
least.
"""

from dataclasses import replace
from fractions import Fraction
from typing import Final, NamedTuple

from tscale.core.dtypes import Dtype, bytes_of
from tscale.core.ledger import Cache, Entry, Group, Ledger, Scores
from tscale.core.metric import Line, Quantity
from tscale.core.tracing import ceil_div, minimum
from tscale.core.units import BYTES
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError

SOURCE = "pope2022 section 2.1"

LEAVES_OUT = "Not in the cache: the padding of paged blocks."

STATE_BITS: Final = 16
"""The fewest bits of a recurrent state: what quantises a cache leaves it as it is, since it is rewritten at every step."""


class StateBits(NamedTuple):
    """Bits of a number of recurrent layers: of their states, and of the inputs that their convolutions still need.

    None: those of the cache, and 16 at the least.
    """

    state: int | None = None
    conv: int | None = None

    def of(self, entry: Cache, bits: int | Fraction) -> int | Fraction:
        """Bits of a number of an entry; `bits`: those of the cache."""
        if not is_state(entry):
            return bits
        own = self.conv if entry.role == "conv_state" else self.state
        return max(bits, STATE_BITS) if own is None else own


def cache_bytes(
    ledger: Ledger, run: SequenceLengths, bits: int | Fraction, page: int | None = None, states: StateBits = StateBits()
) -> Quantity:
    """Bytes that one sequence keeps at so many `bits` a number, one line for each kind of layer that caches.

    `page`: positions are kept in blocks of so many, the last one whole however full it is (Kwon 2023, section 4.1).
    """
    lines: list[Line] = []
    for entry in ledger.entries:
        if isinstance(entry, Cache):
            positions = run.length(entry.stream)
            kept = positions if entry.window is None else minimum(positions, entry.window)
            if page is not None and not is_state(entry):
                kept = ceil_div(kept, page) * page
            if entry.stride is not None:
                kept = kept // entry.stride
            lines.append(Line(entry.name, bytes_of(kept * entry.stored * entry.width, states.of(entry, bits))))
    return Quantity("KV cache", tuple(lines), BYTES, source=SOURCE if page is None else "kwon2023 section 4.1")


def check_rows(ledger: Ledger, format: Dtype) -> None:
    """Raises `RequestError` where a format's blocks do not divide what a cache keeps for a head, or for a latent."""
    for entry in ledger.entries:
        if isinstance(entry, Cache) and not _divides(entry, format):
            raise RequestError(
                f"{format.name} shares a scale among {format.multiple} numbers, and {entry.name} of {ledger.model} keeps rows of "
                f"{int(_row(entry)):,}: keep the cache in a format without blocks, such as fp8 or bf16"
            )


def rows_divide(ledger: Ledger, format: Dtype) -> bool:
    """Whether a format's blocks divide what every cache keeps for a head, or for a latent."""
    return all(_divides(entry, format) for entry in ledger.entries if isinstance(entry, Cache))


def _divides(cache: Cache, format: Dtype) -> bool:
    return is_state(cache) or _row(cache) % format.multiple == 0


def _row(cache: Cache) -> int:
    """Numbers that stand in a row: of keys and of values, those of a head; of a latent that heads share, all."""
    return cache.width if cache.cut is None else cache.width // (2 * cache.cut.pieces)


def spread_latents(ledger: Ledger) -> Ledger:
    """A ledger whose caches of latents are caches of the keys and values of all heads, as engines without absorption keep them."""
    return replace(ledger, groups=tuple(map(_spread, ledger.groups)))


def _spread(group: Group) -> Group:
    scores = {
        (entry.block, entry.cache): entry
        for entry in group.entries
        if isinstance(entry, Scores) and entry.cache is not None
    }

    def spread(entry: Entry) -> Entry:
        if not isinstance(entry, Cache) or entry.role != "latent":
            return entry
        read = scores[entry.block, entry.slot]
        return entry._replace(role="kv", width=read.heads * (read.d_qk + read.d_v), cut=read.cut)

    return group._replace(entries=tuple(map(spread, group.entries)))


def has_latents(ledger: Ledger) -> bool:
    """Whether a model keeps latents that keys and values are made from."""
    return any(isinstance(entry, Cache) and entry.role == "latent" for entry in ledger.entries)


def whole_windows(ledger: Ledger) -> Ledger:
    """A ledger whose layers with a window keep all positions, as engines with one kind of cache do."""
    return ledger.each(lambda entry: entry._replace(window=None) if isinstance(entry, Cache) else entry)


def has_windows(ledger: Ledger) -> bool:
    """Whether a model keeps less of some layers than of others."""
    return any(isinstance(entry, Cache) and entry.window is not None for entry in ledger.entries)


def alike(ledger: Ledger) -> Ledger:
    """The part of a ledger whose cache of a token is the same whatever follows it, so that sequences can share it."""
    return Ledger.of(
        ledger.model,
        (
            entry
            for entry in ledger.entries
            if not isinstance(entry, Cache) or (entry.window is None and entry.stream == "target")
        ),
    )


def growing(ledger: Ledger) -> Ledger:
    """The part of a ledger whose cache grows with context: all of it but the states of recurrent layers."""
    return Ledger.of(ledger.model, (entry for entry in ledger.entries if not is_state(entry)))


def states(ledger: Ledger) -> Ledger:
    """The states of recurrent layers, which do not grow with context."""
    return Ledger.of(ledger.model, (entry for entry in ledger.entries if is_state(entry)))


def is_state(entry: Entry) -> bool:
    """Whether it is what a recurrent layer keeps, which does not grow with the sequence."""
    return isinstance(entry, Cache) and entry.stream == "once"
