"""Of a law of precision: the parameters that count, and the loss, by the bits of training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tscale.core.laws import HALF, Bits
from tscale.core.metric import Column, Data, Figure, Missing, Table
from tscale.core.units import BITS, RATIO, SHARE
from tscale.core.view import Record, view
from tscale.estimates.laws import law_unit, predicted
from tscale.estimates.loss import Judged

_NONE: Final = Missing("none", settled=True)
_COLUMNS: Final = (
    Column("bits by", "law", numeric=False),
    Column("weights", "bits_weights", of="bits.weights"),
    Column("activations", "bits_activations", of="bits.activations"),
    Column("KV cache", "bits_cache", of="bits.cache"),
    Column("params that count", "share"),
    Column("loss", "loss", absent=_NONE),
    Column("FLOPs·bits/16", "cost", drop=1),
)
_ALIKE: Final = (16, 12, 8, 6, 5, 4)


def precision_data(judged: Sequence[Judged], asked: Bits | None) -> list[Record]:
    """A row for the bits that were asked for, and for some that are alike for weights, activations and cache."""
    wanted = [Bits(bits, bits, bits) for bits in _ALIKE]
    if asked is not None and asked not in wanted:
        wanted.insert(0, asked)
    return [row for run in judged for bits in wanted for row in _rows(run, bits)]


def _rows(run: Judged, bits: Bits) -> Iterator[Record]:
    formula = run.law.precision
    if formula is None:
        return
    share = formula.share(bits)
    loss = formula.of(bits).loss(run.point.params, run.point.tokens) if share > 0 else None
    alike = max(bits)  # of what is multiplied the wider decides: a product has one precision
    yield {
        "law": run.law.name,
        "bits": {name: Figure(value, BITS) for name, value in bits._asdict().items()},
        "share": predicted(round(share, 6), SHARE, run.law),
        "loss": None if loss is None else predicted(round(loss, 6), law_unit(run.law), run.law),
        "cost": predicted(alike / HALF.weights, RATIO, run.law),
    }


def precision_tables(records: Sequence[Record]) -> Iterator[Table]:
    """The rows as a table."""
    if records:
        yield view("", _COLUMNS, records, aside=True)


def best_data(judged: Sequence[Judged]) -> dict[str, Data]:
    """The bits that are best for a budget in which a product of half the bits costs half as much, by law."""
    return {
        run.law.name: predicted(round(run.law.precision.best_bits, 2), BITS, run.law)
        for run in judged
        if run.law.precision is not None
    }


def bits_text(bits: Bits) -> str:
    """The bits that were asked for, in words."""
    numbers = [format(number, "g") for number in bits]
    if len(set(numbers)) == 1:
        return f"{numbers[0]} bits"
    return f"{numbers[0]}, {numbers[1]} and {numbers[2]} bits (weights, activations, KV cache)"


def losses_in(judged: Sequence[Judged], bits: Bits) -> str:
    """The loss in so many bits by each law that reads them, next to that in 16."""
    said = []
    for run in judged:
        formula = run.law.precision
        if formula is None:
            continue
        loss, half = (formula.of(one).loss(run.point.params, run.point.tokens) for one in (bits, HALF))
        other = "" if bits == HALF else f", {half:.3f} in 16 bits"
        said.append(f"{loss:.3f} {run.law.losses} by {run.law.name}{other}")
    return " and ".join(said)


def precision_notes(judged: Sequence[Judged], bits: Bits | None) -> Iterator[str]:
    """What the rows rest on, and whose losses do not depend on the bits."""
    others = [run.law.name for run in judged if run.law.precision is None]
    if bits is not None and others:
        yield f"Losses by {', '.join(others)} do not depend on the bits: they are of training in 16 bits or more."
    for run in judged:
        formula = run.law.precision
        if formula is not None:
            yield (
                f"{run.law.name}: where a product of half the bits takes half the time, {formula.best_bits:.1f} bits are best for any "
                "budget; fewer bits count as fewer parameters."
            )
