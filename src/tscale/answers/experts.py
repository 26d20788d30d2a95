"""Dense models of equal loss, and how a feed-forward is divided, as tables, as data and in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tscale.core.laws.experts import Mixture
from tscale.core.metric import Column, Data, Figure, Table
from tscale.core.units import COUNT, PREDICTED_PARAMETERS, RATIO
from tscale.core.view import Record, view
from tscale.estimates.experts import Equivalent
from tscale.estimates.laws import predicted, range_mark

_COLUMNS: Final = (
    Column("dense model of equal loss", "law", numeric=False),
    Column("params", "params"),
    Column("ratio to active", "to_active"),
    Column("fitted range", "extrapolated", drop=1, numeric=False),
)


def equivalents_table(found: Sequence[Equivalent]) -> Iterator[Table]:
    """Dense models of equal loss."""
    if found:
        yield view("", _COLUMNS, equivalents_data(found), aside=True)


def equivalents_data(found: Sequence[Equivalent]) -> list[Record]:
    """For JSON: the same."""
    return [
        {
            "law": one.law.name,
            "counts": one.law.counts,
            "params": predicted(one.params, PREDICTED_PARAMETERS, one.law),
            "to_active": predicted(one.params / one.active, RATIO, one.law),
            "extrapolated": range_mark(beyond=one.extrapolated),
        }
        for one in found
    ]


def mixture_data(mixture: Mixture | None) -> Data:
    """For JSON: how a feed-forward is divided."""
    if mixture is None:
        return None
    return {
        "experts": Figure(mixture.experts, COUNT),
        "active": Figure(mixture.active, COUNT),
        "shared": Figure(mixture.shared, COUNT),
        "expansion": Figure(round(mixture.expansion, 6), RATIO),
        "granularity": Figure(round(mixture.granularity, 6), COUNT),
    }


def mixture_note(mixture: Mixture) -> str:
    """What the laws are told of a mixture."""
    shared = f" and {mixture.shared:g} shared" if mixture.shared else ""
    return (
        f"A mixture of {mixture.experts:g} experts, of which a token meets {mixture.active:g}{shared}: the laws are told that "
        f"{mixture.expansion:.3g} times as many feed-forward parameters are stored, of all layers, as a token meets. The joint law was fitted on "
        "mixtures of one expert a token; that finer experts are like them is assumed."
    )
