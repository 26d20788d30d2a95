"""Of `tscale params`: the towers of a whole model, one row a part, their lines behind `--details`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from tscale.answers.params.lines import COLUMNS, sum_row
from tscale.core.costs.params import params
from tscale.core.ledger import Ledger, TowerPart
from tscale.core.metric import Figure, Label, Line, Table
from tscale.core.tracing import label
from tscale.core.units import PARAMETERS
from tscale.core.view import Record, view
from tscale.estimates.explaining import summed

PARTS: Final[tuple[TowerPart, ...]] = ("vision_tower", "audio_tower", "projector")
"""In the order in which they are listed."""


def lines_of(ledger: Ledger, part: TowerPart) -> tuple[Line, ...]:
    """The lines of one part."""
    groups = tuple(
        group._replace(entries=tuple(entry for entry in group.entries if getattr(entry, "part", None) == part))
        for group in ledger.towers
    )
    return params(Ledger(ledger.model, groups)).lines


def tower_sums(ledger: Ledger, own: Sequence[Line]) -> dict[str, Figure]:
    """Parameters of the language model and of each part beside it; empty of a model without towers."""
    if not ledger.towers:
        return {}
    found = {"language_model": Figure(summed(own), PARAMETERS)}
    for part in PARTS:
        lines = lines_of(ledger, part)
        if lines:
            found[part] = Figure(summed(lines), PARAMETERS)
    return found


def total_of(sums: dict[str, Figure], own: Sequence[Line]) -> int:
    """Parameters of the whole: of its parts, or of all its lines where it has no towers."""
    if not sums:
        return summed(own)
    return sum(label(part, cast("int", figure.value)) for part, figure in sums.items())


def tower_rows(sums: dict[str, Figure], total: int) -> list[Record]:
    """One row a part that is no language model."""
    return [sum_row(Label(part, part), figure, total) for part, figure in sums.items() if part != "language_model"]


def tower_table(rows: Sequence[Record], label: str, subject: str) -> list[Table]:
    """Every line of the towers; none of a model without them."""
    title = f"Towers and projectors of {label}, line by line"
    return [view(title, COLUMNS, rows, subject=subject, aside=True, detail=True)] if rows else []
