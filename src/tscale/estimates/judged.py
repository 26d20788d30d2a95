"""The error of predictions on published figures that they were not fitted to, in words and for programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, get_args

from tscale.catalogue.judged import Judged, OfLaw, judged
from tscale.core.metric import Data, Figure
from tscale.core.number_text import significant
from tscale.core.units import COUNT, RATIO, SHARE

if TYPE_CHECKING:
    from tscale.catalogue.laws import Law

_TENTH: Final = 0.1


def error_text(one: Judged, of: str) -> str:
    """The median error, and of how many figures of what, in the words of all predictions.

    >>> error_text(Judged(of="hours", figures=33, median=0.341, p90=0.715, source="hours.yaml"), "published runs")
    'within 34% (median) of 33 published runs that it was not fitted to'
    """
    return f"within {_far(one)} (median) of {one.figures} {of} that it was not fitted to"


def _far(one: Judged) -> str:
    if one.unit == "factor":
        return f"×{significant(one.median, 2)}"
    return f"{one.median:.1%}" if one.median < _TENTH else f"{one.median:.0%}"


def errors_data(errors: Iterable[tuple[str, Judged | None]]) -> list[dict[str, Data]]:
    """The same for programs: of each figure, by its key, the median and the 90th percentile; nothing of what no published figure judges."""
    return [{"of": key, **_data(one)} for key, one in errors if one is not None]


def _data(one: Judged) -> dict[str, Data]:
    name, unit = ("factor", RATIO) if one.unit == "factor" else ("error", SHARE)
    held = one.held_share
    return {
        "figures": Figure(one.figures, COUNT, "cited", one.source),
        f"median_{name}": Figure(one.median, unit, "cited", one.source),
        f"p90_{name}": Figure(one.p90, unit, "cited", one.source),
        **({} if held is None else {"within_range": Figure(held, SHARE, "cited", one.source)}),
    }


def law_errors(law: Law) -> list[dict[str, Data]]:
    """What published figures say of a law, for programs."""
    return errors_data((of, judged(of, law.name)) for of in get_args(OfLaw))


def loss_note(laws: Iterable[Law]) -> str:
    """How far losses by laws are from published ones, and which laws none judges; "" where there is no law."""
    names = [law.name for law in laws]
    if not names:
        return ""
    many, losses = _of_laws("loss", names)
    if not many:
        return "No published loss judges these laws here."
    return (
        f"Median error of {many} published losses that the laws were not fitted to, each on data of its own: {losses}; of the ratio of two "
        f"on the same data: {_of_laws('loss_ratio', names)[1]}.{_unjudged('loss', names)}"
    )


def sizes_note(laws: Iterable[Law]) -> str:
    """How far optimal sizes by laws are from published ones of the same FLOPs, and which laws none judges."""
    names = [law.name for law in laws]
    many, sizes = _of_laws("optimal_params", names)
    if not many:
        return "No published run judges how many parameters and tokens are optimal by these laws."
    return (
        f"Median error of optimal parameters and tokens, of up to {many} published minima at equal FLOPs that the laws were not fitted to: "
        f"{sizes}.{_unjudged('optimal_params', names)}"
    )


def _of_laws(of: str, names: list[str]) -> tuple[int, str]:
    """The figures that judge laws, and the median error of each law."""
    found = [(name, one) for name in names if (one := judged(of, name)) is not None]
    return max((one.figures for _, one in found), default=0), ", ".join(f"{name} {_far(one)}" for name, one in found)


def _unjudged(of: str, names: list[str]) -> str:
    """Which laws no figure judges, in words."""
    without = [name for name in names if judged(of, name) is None]
    return f" None judges {', '.join(without)}." if without else ""
