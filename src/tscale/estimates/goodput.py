"""Failures, restarts and checkpoints of a training run: how much of its time goes to steps that count.

A device fails at a rate of its own and stops all others, so that the time lost to a second of steps grows with the devices:

    lost / steps = devices · (1 - goodput) / goodput / devices of a published run

What one published run lost for a device is one end of the range, what another lost is the other; their mean is the middle.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final, NamedTuple

from tscale.catalogue.judged import certainly_judged
from tscale.catalogue.measured import Interrupted, interrupted_runs
from tscale.core.metric import Data, Figure, Known, weakest
from tscale.core.sources import cited
from tscale.core.units import COUNT, DAYS, SHARE
from tscale.estimates.judged import error_text
from tscale.estimates.utilisation import percent_text

_NOTICED: Final = Fraction(1, 100)
"""The least share of the time that is worth a word where nobody asked."""
ELAPSED: Final = {"elapsed_days": "days", "elapsed_gpu_hours": "gpu_hours", "elapsed_cost_usd": "cost_usd"}
"""Figures with failures and restarts, and those of the steps alone that they are made of."""


class Goodput(NamedTuple):
    """The share of the time that goes to steps that count: as given, or from published runs with as many failures for a device."""

    low: Fraction
    middle: Fraction
    high: Fraction
    runs: tuple[Interrupted, ...] = ()
    """The published runs; none where it was given."""

    @property
    def known(self) -> Known:
        """How times are known that it is in."""
        return "assumed" if self.runs else "exact"

    @property
    def noticed(self) -> bool:
        """Whether it is worth a word: it was asked for, or takes a hundredth of the time."""
        return not self.runs or 1 - self.middle >= _NOTICED

    def said(self) -> str:
        """The middle and the range, in a line; "" of one that was given or is not worth a word."""
        if not self.runs or not self.noticed:
            return ""
        low, middle, high = (percent_text(share) for share in (self.low, self.middle, self.high))
        error = certainly_judged("goodput")
        return (
            f"Goodput assumed: {middle} ({low} to {high}: {len(self.runs)} published runs, failures per device), "
            f"{error_text(error, 'runs')}. The range is that of these runs' losses and held {error.held} of those {error.figures}."
        )

    def data(self) -> Data:
        """The share, its range and the published runs, for programs."""
        return {
            "low": Figure(self.low, SHARE, self.known),
            "middle": Figure(self.middle, SHARE, self.known),
            "high": Figure(self.high, SHARE, self.known),
            "published": [
                {
                    "run": one.title,
                    "gpus": Figure(one.gpus, COUNT, "cited", one.source),
                    "days": Figure(Fraction(str(one.days)), DAYS, "cited", one.source),
                    "goodput": Figure(goodput_share(one), SHARE, "cited", one.source),
                    "source": cited(one.source),
                    "evidence": one.evidence,
                }
                for one in self.runs
            ],
        }


def goodput_of(gpus: int, given: Fraction | None = None) -> Goodput:
    """The share that was given, or that of so many devices which fail and take as long to mend as those of published runs.

    Source: Dubey 2024, section 3.3.4: 466 interruptions in 54 days of 16,384 devices, more than 90% of the time effective.

    >>> llama = goodput_of(16384)
    >>> float(llama.low), goodput_of(8).noticed
    (0.9, False)
    """
    if given is not None:
        return Goodput(given, given, given)
    runs = interrupted_runs()
    lost = [(1 / goodput_share(one) - 1) / one.gpus for one in runs]
    most, least, mean = max(lost), min(lost), sum(lost, Fraction()) / len(lost)
    low, middle, high = (1 / (1 + gpus * for_a_device) for for_a_device in (most, mean, least))
    return Goodput(low, middle, high, runs)


def usual_goodput() -> Fraction:
    """The share that is in the hours of published whole runs: the mean of those that state one.

    >>> float(usual_goodput())
    0.935
    """
    shares = [goodput_share(one) for one in interrupted_runs()]
    return sum(shares, Fraction()) / len(shares)


def with_elapsed(of_steps: dict[str, Figure | None], goodput: Goodput | None) -> dict[str, Figure | None]:
    """The figures of a run's steps, and days, GPU-hours and dollars of all its time; None where failures are not counted apart."""
    found: dict[str, Figure | None] = dict.fromkeys(ELAPSED)
    for key, steps in ELAPSED.items():
        figure = of_steps[steps]
        if goodput is not None and figure is not None:
            found[key] = figure._replace(
                value=Fraction(figure.value) / goodput.middle, known=weakest(figure.known, goodput.known), source=""
            )
    return of_steps | found


def goodput_share(one: Interrupted) -> Fraction:
    """The share that a published run states."""
    return Fraction(str(one.goodput))
