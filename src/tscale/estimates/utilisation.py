"""The utilisation of a whole training run that states none, restarts and failures included, from published runs.

The distance of a published run from the one asked about is a sum of plain terms, each in powers of ten where it is a size:

    1/2 |log10 of active parameters, one over the other|    (1 where no model is asked about, so that none is very near)
    1/2 |log10 of devices, one over the other|              (1/2 where the published run does not say how many)
        |log10 of the dense 16-bit peak of a device, one over the other|
    1/4  another accelerator; 2 one of another family, such as a TPU for a GPU
    2    another width of the products, 8 bits or 16; 1 where experts are routed, whose time goes to products less
    3    another kind: routed experts, or none
    1/2  no whole run, whose hours its makers counted, but the speed of steps

Each weighs 1 / (distance + 1/4)². Half of the weight is below the middle, 8% below the low and 8% above the high: two
makers' runs of one size on the same devices differ by more than all that is known of them explains, so that many runs say more
than the few nearest. The speed of steps counts `WHOLE_SHARE` of itself. A whole run of the very model on about as many of the very
accelerator (`AS_MANY`) is that run, and a tenth less and more, for two releases of a framework differ by as much; not where 8 bits
are asked for, and it was in 16. On other numbers of devices it is one run of many: Llama 3 8B took 18% of the peak of the thousands
that it was trained on, and its steps 39% of that of eight.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import cache
from math import log10
from statistics import median
from typing import Any, Final, NamedTuple

from tscale.catalogue.hardware import Hardware, find_hardware
from tscale.catalogue.judged import certainly_judged
from tscale.catalogue.measured import TrainingRun
from tscale.catalogue.models import built_in
from tscale.catalogue.run_counts import RunCounts, has_experts, run_counts
from tscale.core.adding import in_order
from tscale.core.costs.params import active_params
from tscale.core.costs.wall_time import mfu_of
from tscale.core.device import NARROW
from tscale.core.ledger import Ledger
from tscale.core.metric import Data, Figure
from tscale.core.sources import cited
from tscale.core.tracing import Recordable
from tscale.core.units import COUNT, SHARE, TOKENS, TOKENS_PER_SECOND
from tscale.estimates.capacity import kind_of
from tscale.estimates.judged import error_text
from tscale.estimates.memory.peak import SIXTEEN_BITS

LISTED: Final = 5
"""Runs that are shown, those of the most weight."""
HOURS: Final = "hours"
"""What published hours judge."""
WHOLE_SHARE: Final = Fraction(3, 4)
"""Utilisation of a whole run over that of published steps, which are faster: they fail and restart nowhere, and were tuned for it.

The median over the whole runs of what speeds of other makers' steps alone say of each (tests/estimates/test_utilisation.py).
"""
STEPS_ALONE: Final = f"steps alone: whole runs had {float(WHOLE_SHARE):.0%} (median) of the MFU of published steps."
"""What is said of a time that is so many predicted steps."""
_MARGIN: Final = Fraction(11, 10)
AS_MANY: Final = 2
"""How many times as many devices, or how many times fewer, are about as many."""
_YEAR: Final = Fraction(8766)
"""Hours that no run takes longer than: what bounds its devices from below, where they are not published."""
_ENDS: Final = (0.08, 0.5, 0.92)
"""Of the weight, below the low, the middle and the high: such ends hold 80% of the whole runs, their makers left out."""
_NEAR: Final = 0.25
"""A distance at which a run weighs a quarter of one that is alike."""
_UNKNOWN_SIZE, _UNKNOWN_SCALE, _OTHER_CHIP, _OTHER_FAMILY, _OTHER_KIND, _STEPS = 1, 0.5, 0.25, 2, 3, 0.5
_OTHER_WIDTH: Final = {True: 1, False: 2}
"""By whether experts are routed."""


class Case(NamedTuple):
    """What of a run decides how near another is; None where it is not known."""

    active: int | None
    """Parameters that a token meets."""
    experts: bool
    gpus: int | None
    hardware: str
    peak: int | None
    """The dense 16-bit peak of a device, FLOP/s."""
    narrow: bool
    """Whether products are in 8 bits or fewer."""
    whole: bool = True
    """Whether it is a whole run as its makers count its hours, restarts included; otherwise the speed of steps was measured."""


class Measured(NamedTuple):
    """A published run, and its utilisation of the dense 16-bit peak."""

    run: TrainingRun
    case: Case
    mfu: Fraction

    @property
    def title(self) -> str:
        """What its model is called."""
        return self.run.title or built_in(self.run.model).label

    def share_of(self, peak: Fraction) -> Fraction:
        """Its utilisation of a peak that is so many times the 16-bit one, as published."""
        return self.mfu / peak

    def whole_share_of(self, peak: Fraction) -> Fraction:
        """That of a whole run, restarts included."""
        return self.share_of(peak) * (1 if self.case.whole else WHOLE_SHARE)


class Utilisation(NamedTuple):
    """A range to assume of a whole run, as shares of the peak that was asked about, and the runs that weigh most in it."""

    low: Fraction
    middle: Fraction
    high: Fraction
    runs: tuple[Measured, ...]
    weights: tuple[float, ...]
    """Of each run, as shares of all of them, those included that are not listed."""
    peak: Fraction
    """The peak asked about over the 16-bit one, where the runs are compared by speed; 1 otherwise."""
    known: int
    """How many published runs it is from; 0 where it is that of the very model on the very accelerator."""
    of_steps: bool = False
    """Whether it is that of the steps alone, with what is lost between them counted apart."""

    def within(self, most: Fraction) -> Utilisation:
        """The same, of which no share is above `most`."""
        return self._replace(low=min(self.low, most), middle=min(self.middle, most), high=min(self.high, most))

    def over(self, goodput: Fraction) -> Utilisation:
        """That of the steps alone, which take such a share of the time."""
        low, middle, high = (share / goodput for share in (self.low, self.middle, self.high))
        return self._replace(low=low, middle=middle, high=high, of_steps=True)

    def said(self) -> str:
        """The middle and the range, in a line."""
        many, of = self.known or len(self.runs), "published " if self.known else ""
        of = f"{many} {of}run{'s' * (many > 1)}{'' if self.known else ' of its shape ± 10%'}"
        kind = "of steps alone" if self.of_steps else "with restarts"
        shares = f"{percent_text(self.middle)} ({percent_text(self.low)} to {percent_text(self.high)}: {of}, {kind})"
        return f"MFU assumed: {shares}."

    def error(self) -> str:
        """How far hours at it are from those of published runs, in a line."""
        return hours_error() if self.known else OWN_HOURS

    def data(self) -> Data:
        """The runs, for programs."""
        return [
            {
                "model": one.title,
                "gpu": one.run.hardware,
                "gpus": None if one.run.gpus is None else Figure(one.run.gpus, COUNT, "cited", one.run.source),
                "context": Figure(one.run.context, TOKENS, "cited", one.run.source),
                "precision": one.run.precision,
                "tokens_per_second_per_gpu": None
                if one.run.speed is None
                else Figure(one.run.speed, TOKENS_PER_SECOND, "cited", one.run.source),
                "mfu": Figure(one.share_of(self.peak), SHARE, "cited", one.run.source),
                "weight": Figure(weight, SHARE, "assumed"),
                "source": cited(one.run.source),
                "evidence": one.run.evidence,
            }
            for one, weight in zip(self.runs, self.weights, strict=True)
        ]


OWN_HOURS: Final = "Hours are scaled from those that were published; no other run judges them."
"""What is said where the utilisation is that of the very model's own runs."""


def hours_error() -> str:
    """How far hours at the utilisation of many runs are from those of published runs, in a line."""
    error = certainly_judged(HOURS)
    assert error.held_share is not None
    return f"Hours {error_text(error, 'runs')}; range holds {error.held_share:.0%}."


def case_of(ledger: Ledger | None, gpus: int | None, hardware: Hardware, dtype: str) -> Case:
    """The run that is asked about; `ledger` is None where that is no model's, but a dense one, as scaling laws are of."""
    return Case(
        None if ledger is None else int(active_params(ledger).total),
        ledger is not None and has_experts(ledger),
        gpus,
        hardware.name,
        _sixteen_bit_peak(hardware),
        dtype in NARROW,
    )


def assumed_utilisation(case: Case, peak: int, runs: tuple[Measured, ...] | None = None) -> Utilisation:
    """The utilisation to assume for a whole run on devices of `peak` FLOP/s, from published ones, the nearer weighing more.

    Runs are compared by how fast they are, so that in 8 bits their shares are of a peak that is twice as high.

    >>> from tscale.catalogue.hardware import find_hardware
    >>> h100 = find_hardware("h100")
    >>> found = assumed_utilisation(case_of(None, 1024, h100, "bf16"), 989_400 * 10**9)
    >>> found.low < found.middle < found.high
    True
    """
    recorded = {name: size for name, size in case._asdict().items() if isinstance(size, Recordable)}
    if recorded:
        return _of_each_size(case, recorded, peak, runs)
    published = measured_runs() if runs is None else runs
    of = Fraction(peak, case.peak) if case.narrow and case.peak else Fraction(2 if case.narrow else 1)
    own = tuple(one for one in published if _itself(case, one))
    return _of_itself(own, of) if own else _of_all(case, published, of)


def _of_itself(runs: tuple[Measured, ...], of: Fraction) -> Utilisation:
    """The utilisation of whole runs of the very model on the very accelerator, and a tenth less and more."""
    shares = sorted(one.share_of(of) for one in runs)
    low, high = shares[0] / _MARGIN, min(shares[-1] * _MARGIN, Fraction(1))
    return Utilisation(low, median(shares), high, runs, (1 / len(runs),) * len(runs), of, known=0)


def _of_all(case: Case, published: tuple[Measured, ...], of: Fraction) -> Utilisation:
    """The middle and the range of all runs, weighted by how near they are."""
    weighed = [(1 / (distance(case, one.case) + _NEAR) ** 2, one) for one in published]
    weighed.sort(key=lambda pair: -pair[0])
    low, middle, high = weighted_quantiles([(one.whole_share_of(of), weight) for weight, one in weighed], _ENDS)
    total, listed = in_order(weight for weight, _ in weighed), weighed[:LISTED]
    weights = tuple(weight / total for weight, _ in listed)
    return Utilisation(low, middle, high, tuple(one for _, one in listed), weights, of, len(weighed))


def _of_each_size(
    case: Case, recorded: Mapping[str, Recordable], peak: int, runs: tuple[Measured, ...] | None
) -> Utilisation:
    """The same of sizes, such as devices, that a sweep records: runs are weighed anew for each of them."""

    @cache
    def at(*sizes: int) -> Utilisation:
        changed: dict[str, Any] = dict(zip(recorded, sizes, strict=True))
        return assumed_utilisation(case._replace(**changed), peak, runs)

    first, *others = recorded.values()
    low, middle, high = (
        first.called(name, lambda *sizes, name=name: getattr(at(*sizes), name), *others)
        for name in ("low", "middle", "high")
    )
    return Utilisation(low, middle, high, (), (), Fraction(1), known=0)


def distance(asked: Case, published: Case) -> float:
    """How far a published run is from the one asked about; where the latter's devices are not known, they are no difference."""
    far = _UNKNOWN_SIZE if asked.active is None else _apart(asked.active, published.active) / 2
    far += _UNKNOWN_SCALE if published.gpus is None else _apart(asked.gpus, published.gpus) / 2
    far += _apart(asked.peak, published.peak)
    if asked.hardware != published.hardware:
        same_family = kind_of(asked.hardware) == kind_of(published.hardware)
        far += _OTHER_CHIP if same_family else _OTHER_FAMILY
    if asked.narrow != published.narrow:
        far += _OTHER_WIDTH[asked.experts]
    return far + _OTHER_KIND * (asked.experts != published.experts) + _STEPS * (not published.whole)


def _itself(asked: Case, one: Measured) -> bool:
    """Whether a published run is a whole one of the very model on about as many of the very accelerator, in 8 bits where these are asked for."""
    alike = (asked.active, asked.hardware) == (one.case.active, one.case.hardware)
    return one.case.whole and alike and one.case.narrow >= asked.narrow and _about_as_many(asked.gpus, one.run)


def _about_as_many(gpus: int | None, run: TrainingRun) -> bool:
    """Whether devices are about as many as a run's; where it does not say, whether they finish its hours within a year."""
    if gpus is None:
        return True
    if run.gpus is None:
        return run.gpu_hours is not None and gpus * _YEAR >= run.gpu_hours
    return gpus <= AS_MANY * run.gpus and run.gpus <= AS_MANY * gpus


def weighted_quantiles(values: list[tuple[Fraction, float]], shares: Iterable[float]) -> list[Fraction]:
    """The values below which such shares of the weight lie, linear between the middles of the weights of two values.

    >>> weighted_quantiles([(Fraction(1), 1.0), (Fraction(3), 1.0), (Fraction(2), 2.0)], (0.0, 0.5, 0.6875))
    [Fraction(1, 1), Fraction(2, 1), Fraction(5, 2)]
    """
    ordered = sorted(values)
    total, below, places = in_order(weight for _, weight in ordered), 0.0, []
    for _, weight in ordered:
        places.append((below + weight / 2) / total)
        below += weight
    return [_at(share, places, [value for value, _ in ordered]) for share in shares]


def _at(share: float, places: list[float], values: list[Fraction]) -> Fraction:
    """The value at a place between those of values; the first or the last beyond them."""
    after = bisect_left(places, share)
    if after in (0, len(places)):
        return values[min(after, len(places) - 1)]
    part = Fraction((share - places[after - 1]) / (places[after] - places[after - 1]))
    return values[after - 1] + part * (values[after] - values[after - 1])


def _apart(one: int | None, other: int | None) -> float:
    """Powers of ten between two sizes; 0 where one is not known."""
    return 0 if one is None or other is None else abs(log10(one / other))


@cache
def measured_runs() -> tuple[Measured, ...]:
    """The published runs that are shipped, each with the utilisation that follows from what was measured of it."""
    return tuple(_measured(run, counts) for run, counts in run_counts())


def _measured(run: TrainingRun, counts: RunCounts) -> Measured:
    peak = _sixteen_bit_peak(_hardware(run.hardware))
    assert peak is not None
    case = Case(counts.active, counts.experts, run.gpus, run.hardware, peak, run.precision in NARROW, run.whole)
    if run.speed is None:
        assert run.mfu is not None
        return Measured(run, case, Fraction(str(run.mfu)))
    return Measured(run, case, mfu_of(counts.flops, 1, peak, run.context / run.speed))


_hardware = cache(find_hardware)


def _sixteen_bit_peak(hardware: Hardware) -> int | None:
    peaks = hardware.device().flops_per_second
    return next((peaks[name] for name in SIXTEEN_BITS if name in peaks), None)


def percent_text(share: Fraction) -> str:
    """A share in per cent, with three digits."""
    return f"{100 * float(share):#.3g}".rstrip(".") + "%"
