"""How many bytes a model's weights take in a format, with what the format is not used for beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, assert_never

from tscale.core.formats import Format, bytes_of
from tscale.core.ledger import Buffer, Cache, Conv, Entry, Ledger, Lookup, Matmul, Scan, Scores, Vector
from tscale.core.quantity import Line, Quantity
from tscale.core.questions.params import TABLES
from tscale.core.units import BYTES
from tscale.errors import RequestError

LEAVES_OUT: Final = (
    "Not in the weights: a file's header, the alignment of its tensors, tables that are computed at the start."
)


def weight_bytes(ledger: Ledger, kept_in: Format) -> Quantity:
    """Bytes of everything that is stored, one line for each entry, buffers included.

    A matrix that is cut among devices keeps its own blocks. Raises `RequestError` where rows are no multiple of a block.
    """
    lines = tuple(_lines(ledger, kept_in))
    return Quantity("weights", lines, BYTES, source=kept_in.source, leaves_out=LEAVES_OUT)


def _lines(ledger: Ledger, kept_in: Format) -> Iterator[Line]:
    has_experts = any(isinstance(entry, Matmul) and entry.experts > 1 for entry in ledger.entries)
    for entry in ledger.entries:
        match entry:
            case Matmul():
                weights = entry.stored * entry.d_in * entry.d_out
                size = _size(weights, entry, entry.d_in, kept_in, has_experts=has_experts)
                if entry.bias:
                    size += bytes_of(
                        entry.stored * entry.d_out, kept_in.rest_bits if kept_in.kept != "all" else kept_in.bits
                    )
                yield Line(entry.name, size)
            case Lookup():
                yield Line(entry.name, _size(entry.stored * entry.rows * entry.width, entry, entry.width, kept_in))
            case Conv():
                weights = entry.channels * entry.kernel + (entry.channels if entry.bias else 0)
                yield Line(entry.name, _size(entry.stored * weights, entry, 1, kept_in))
            case Vector() | Buffer():
                yield Line(entry.name, _size(entry.stored * entry.width, entry, 1, kept_in))
            case Scores() | Scan() | Cache():
                pass  # they own no weights
            case _:
                assert_never(entry)


def _size(numbers: int, entry: Entry, row: int, kept_in: Format, *, has_experts: bool = False) -> int:
    """Bytes of an entry's numbers, in the format or in what stands beside it."""
    if not _is_kept(entry, kept_in, has_experts=has_experts):
        return bytes_of(numbers, kept_in.rest_bits)
    if row % kept_in.block:
        raise RequestError(
            f"{kept_in.name} keeps rows in blocks of {kept_in.block}, and those of {entry.name} are {int(row):,} long: "
            "a format with smaller blocks, such as q8_0, or one without"
        )
    return bytes_of(numbers, kept_in.bits)


def _is_kept(entry: Entry, kept_in: Format, *, has_experts: bool) -> bool:
    """Whether an entry is kept in the format."""
    match kept_in.kept:
        case "all":
            return True
        case "matrices":
            return isinstance(entry, (Matmul, Lookup))
        case "linear":
            return _is_linear(entry)
        case "experts":
            return _is_linear(entry) and (not has_experts or (isinstance(entry, Matmul) and entry.experts > 1))
        case _:
            assert_never(kept_in.kept)


def _is_linear(entry: Entry) -> bool:
    """Whether an entry is a matrix of a layer that is large enough to be worth it: a router is not."""
    return isinstance(entry, Matmul) and entry.part not in ("head", *TABLES) and not entry.name.endswith("router")
