"""How many parameters: the sum over the ledger of copies stored times the size of one copy."""

from __future__ import annotations

from typing import assert_never

from tscale.core.ledger import Buffer, Cache, Conv, Entry, Ledger, Lookup, Matmul, Part, Scan, Scores, Vector
from tscale.core.metric import Line, Quantity
from tscale.core.tracing import minimum
from tscale.core.units import PARAMETERS

LEAVES_OUT = "Not counted: buffers that are not trained (masks, sinusoid tables, rotary frequencies, selection biases)."

TABLES: frozenset[Part] = frozenset({"embedding", "positions"})
"""The parts that `non_embedding` leaves out, beside an untied head."""


def size(entry: Entry) -> int:
    """Parameters of one copy of an entry."""
    match entry:
        case Matmul():
            return entry.d_in * entry.d_out + entry.d_out if entry.bias else entry.d_in * entry.d_out
        case Lookup():
            return entry.rows * entry.width
        case Vector() | Buffer():
            return entry.width
        case Conv():
            return entry.channels * entry.kernel + entry.channels if entry.bias else entry.channels * entry.kernel
        case Scores() | Scan() | Cache():
            return 0  # attention and recurrences themselves and what they cache own no weights
        case _:
            assert_never(entry)


def params(ledger: Ledger) -> Quantity:
    """Parameters stored, one line for each entry that owns weights; a tied tensor counts once, where it is stored."""
    return Quantity("parameters", _lines(ledger, Matmul, Lookup, Vector, Conv), PARAMETERS)


def _lines(ledger: Ledger, *kinds: type[Matmul | Lookup | Vector | Buffer | Conv]) -> tuple[Line, ...]:
    """What the entries of some kinds store."""
    return tuple(Line(entry.name, entry.stored * size(entry)) for entry in ledger.entries if isinstance(entry, kinds))


def active_params(ledger: Ledger) -> Quantity:
    """Parameters that one token can meet: routed experts by those it is sent to, everything else whole.

    In a dense model this equals the total: tables are counted whole although a token reads one row.
    """
    lines: list[Line] = []
    for entry in ledger.entries:
        match entry:
            case Matmul() | Conv():
                lines.append(Line(entry.name, minimum(entry.stored, entry.used) * size(entry)))
            case Lookup() | Vector():
                lines.append(Line(entry.name, entry.stored * size(entry)))
            case Buffer() | Scores() | Scan() | Cache():
                pass  # not parameters
            case _:
                assert_never(entry)
    return Quantity("active parameters", tuple(lines), PARAMETERS)


def embedding_params(ledger: Ledger) -> Quantity:
    """Parameters of the token and position tables and of an untied head: what `non_embedding` leaves out.

    Kaplan 2020 leaves out "all vocabulary and positional embeddings"; with these the two add up to the total. A masked
    head's own transform and a norm behind the embedding are not embeddings.
    """
    lines = [
        Line(entry.name, entry.stored * size(entry))
        for entry in ledger.entries
        if isinstance(entry, Lookup) or (isinstance(entry, Matmul) and entry.role == "head")
    ]
    return Quantity("embedding parameters", tuple(lines), PARAMETERS)


def non_embedding_params(ledger: Ledger) -> int:
    """Parameters without token and position embeddings and without an untied head (the N of Kaplan 2020)."""
    return sum(
        entry.stored * size(entry)
        for entry in ledger.entries
        if isinstance(entry, (Matmul, Vector, Conv)) and entry.role != "head"
    )


def buffers(ledger: Ledger) -> Quantity:
    """Numbers stored with the weights that are no parameters: published totals count them now and then."""
    return Quantity("buffers", _lines(ledger, Buffer), PARAMETERS)
