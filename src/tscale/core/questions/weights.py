"""How many bytes a model's weights take in a number format, entry by entry, as the software does that uses the format.

bytes = stored·d_in·d_out·bits/8 for a matrix, and the bits of each row that come besides. What a format is not used for is
kept in another: bitsandbytes leaves embeddings and the head in 16 bits, GGUF keeps everything with one dimension in 32.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, assert_never

from tscale.core.formats import FORMATS, Format, bytes_of
from tscale.core.ledger import Buffer, Cache, Conv, Entry, Ledger, Lookup, Matmul, Scan, Scores, Vector
from tscale.core.quantity import Line, Quantity
from tscale.core.questions.params import TABLES
from tscale.core.units import BYTES

LEAVES_OUT = (
    "Not in the weights: a file's header and the alignment of its tensors; tables that are computed at the start."
)


class Kept(NamedTuple):
    """An entry that owns weights, as it is in a ledger, and the format that they are kept in."""

    entry: Matmul | Lookup | Vector | Buffer | Conv
    format: Format


def weight_bytes(ledger: Ledger, format: Format, whole: Ledger | None = None) -> Quantity:
    """Bytes of everything that is stored, buffers included, one line for each entry that owns weights.

    `whole`: the model that `ledger` is one device's share of; a matrix is quantised before it is cut, so it decides what
    can be kept in blocks. A block that a cut goes through is counted once, although each side needs its scale.
    """
    lines = tuple(Line(kept.entry.name, _bytes(kept, format)) for kept in kept_in(ledger, format, whole))
    return Quantity("weights", lines, BYTES, source=format.source, leaves_out=LEAVES_OUT)


def kept_in(ledger: Ledger, format: Format, whole: Ledger | None = None) -> Iterator[Kept]:
    """Each entry that owns weights with the format that it is kept in where a model is kept in `format`."""
    whole = ledger if whole is None else whole
    routed = any(isinstance(entry, Matmul) and entry.experts > 1 for entry in whole.entries)
    for entry, uncut in zip(ledger.entries, whole.entries, strict=True):
        match entry:
            case Matmul() | Lookup() | Vector() | Buffer() | Conv():
                yield Kept(entry, _dividing(uncut, format) if _holds(format, uncut, routed=routed) else _rest(format))
            case Scores() | Scan() | Cache():
                pass  # they own no weights
            case _:
                assert_never(entry)


def _bytes(kept: Kept, asked: Format) -> int:
    """Bytes of all copies of an entry; a bias is kept as vectors are."""
    entry, format = kept
    match entry:
        case Matmul():
            matrices = bytes_of(entry.stored * entry.d_in * entry.d_out, format.bits)
            if format.row_bits:
                matrices += bytes_of(entry.stored * entry.d_out, format.row_bits)
            return matrices + bytes_of(entry.stored * entry.d_out, _rest(asked).bits) if entry.bias else matrices
        case Lookup():
            return bytes_of(entry.stored * entry.rows * entry.width, format.bits)
        case Vector() | Buffer():
            return bytes_of(entry.stored * entry.width, format.bits)
        case Conv():
            weights = entry.channels * entry.kernel + entry.channels if entry.bias else entry.channels * entry.kernel
            return bytes_of(entry.stored * weights, format.bits)
        case _:
            assert_never(entry)


def _rest(format: Format) -> Format:
    return FORMATS[format.rest]


def _holds(format: Format, entry: Entry, *, routed: bool) -> bool:
    """Whether a format is used for an entry; `routed`: whether the model has routed experts."""
    match format.scope:
        case "all":
            return True
        case "matrices":
            if isinstance(entry, Lookup):
                return entry.part == "embedding" and entry.role != "segments"
            return isinstance(entry, Matmul) and not _is_router(entry)
        case "linear":
            return is_linear(entry)
        case "experts":
            return isinstance(entry, Matmul) and (entry.experts > 1 if routed else is_linear(entry))
        case _:
            assert_never(format.scope)


def is_linear(entry: Entry) -> bool:
    """Whether it is a matrix inside of a layer, a router excepted."""
    return isinstance(entry, Matmul) and entry.part not in {"head", *TABLES} and not _is_router(entry)


def _is_router(entry: Matmul) -> bool:
    return entry.role == "router"


def _dividing(entry: Entry, format: Format) -> Format:
    """The format itself, or the first of those that stand in for it whose blocks divide the rows of an entry."""
    row = entry.d_in if isinstance(entry, Matmul) else entry.width if isinstance(entry, Lookup) else 0
    while format.multiple > 1 and row % format.multiple:
        format = FORMATS[format.fallback]
    return format
