"""The utilisation of a training run that states none: that of the published runs nearest to it.

How far a published run is from the one asked about is a sum of plain terms, each in powers of ten where it is a size:

    |log10 of active parameters, one over the other|    (nothing where no model is asked about)
    |log10 of devices, one over the other|              (1/2 where either is not known)
    |log10 of the dense 16-bit peak of a device, one over the other|
    1/2  another accelerator
    2    another width of the products, 8 bits or 16; 1 where experts are routed, whose time goes to products less
    3    another kind: routed experts, or none

Of the five nearest, the median is the middle; low and high lie a tenth beyond the least and the most of them, for two runs
of one kind on the same devices differ by as much from one release of a framework to the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from math import log10
from typing import Any, Final, NamedTuple

from tscale.blocks import Attention, FeedForward
from tscale.catalogue.hardware import Hardware, find_hardware
from tscale.catalogue.measured import Shape, TrainingRun, training_runs
from tscale.catalogue.models import built_in
from tscale.core.costs.params import active_params
from tscale.core.costs.training import training_flops
from tscale.core.costs.wall_time import mfu_of
from tscale.core.ledger import Ledger, Matmul
from tscale.core.metric import Data, Figure
from tscale.core.sources import cited
from tscale.core.units import COUNT, SHARE, TOKENS, TOKENS_PER_SECOND
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec

NEAREST: Final = 5
_BEYOND: Final = Fraction(11, 10)
_UNKNOWN_SCALE, _OTHER_CHIP, _OTHER_KIND = 0.5, 0.5, 3
_OTHER_WIDTH: Final = {True: 1, False: 2, None: 2}
"""By whether experts are routed."""
_SIXTEEN_BITS: Final = ("bf16", "fp16")
_EIGHT_BITS: Final = ("fp8", "int8", "fp4")


class Case(NamedTuple):
    """What of a run decides how near another is; None where it is not known."""

    active: int | None
    """Parameters that a token meets."""
    experts: bool | None
    gpus: int | None
    hardware: str
    peak: int | None
    """The dense 16-bit peak of a device, FLOP/s."""
    narrow: bool
    """Whether products are in 8 bits or fewer."""


class Measured(NamedTuple):
    """A published run, and its utilisation of the dense 16-bit peak."""

    run: TrainingRun
    title: str
    case: Case
    mfu: Fraction

    def share_of(self, peak: Fraction) -> Fraction:
        """Its utilisation of a peak that is so many times the 16-bit one."""
        return self.mfu / peak


class Utilisation(NamedTuple):
    """A range to assume, as shares of the peak that was asked about, and the runs that it is from, the nearest first."""

    low: Fraction
    middle: Fraction
    high: Fraction
    runs: tuple[Measured, ...]
    peak: Fraction
    """The peak asked about over the 16-bit one, where the runs are compared by speed; 1 otherwise."""

    def within(self, most: Fraction) -> Utilisation:
        """The same, of which no share is above `most`."""
        return self._replace(low=min(self.low, most), middle=min(self.middle, most), high=min(self.high, most))

    def said(self) -> str:
        """The range and its runs, as a sentence."""
        sources = dict.fromkeys(cited(one.run.source) for one in self.runs)
        return (
            f"The utilisation is assumed, {_percent(self.low)} to {_percent(self.high)} with {_percent(self.middle)} in the "
            f"middle, from the {len(self.runs)} published runs that are nearest in kind, size, devices and precision: "
            f"{'; '.join(map(self._said_of, self.runs))} ({'; '.join(sources)}). --mfu gives yours."
        )

    def _said_of(self, one: Measured) -> str:
        run = one.run
        many = "" if run.gpus is None else f"{run.gpus:,} "
        narrow = f" in {run.precision}" if one.case.narrow else ""
        return f"{one.title} on {many}{run.hardware}{narrow}, {_percent(one.share_of(self.peak))}"

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
                "source": cited(one.run.source),
                "evidence": one.run.evidence,
            }
            for one in self.runs
        ]


def case_of(ledger: Ledger | None, gpus: int | None, hardware: Hardware, dtype: str) -> Case:
    """The run that is asked about; `ledger` is None where that is no model's."""
    return Case(
        None if ledger is None else int(active_params(ledger).total),
        None if ledger is None else has_experts(ledger),
        gpus,
        hardware.name,
        _sixteen_bit_peak(hardware),
        dtype in _EIGHT_BITS,
    )


def assumed_utilisation(case: Case, peak: int, runs: tuple[Measured, ...] | None = None) -> Utilisation:
    """The utilisation to assume for a run on devices of `peak` FLOP/s, from the nearest of the published ones.

    Runs are compared by how fast they are, so that in 8 bits their shares are of a peak that is twice as high.

    >>> from tscale.catalogue.hardware import find_hardware
    >>> h100 = find_hardware("h100")
    >>> found = assumed_utilisation(case_of(None, 1024, h100, "bf16"), 989_400 * 10**9)
    >>> found.low < found.middle < found.high
    True
    """
    nearest = sorted(measured_runs() if runs is None else runs, key=lambda one: distance(case, one.case))[:NEAREST]
    of = Fraction(peak, case.peak) if case.narrow and case.peak else Fraction(2 if case.narrow else 1)
    shares = sorted(one.share_of(of) for one in nearest)
    high = min(shares[-1] * _BEYOND, Fraction(1))
    return Utilisation(shares[0] / _BEYOND, shares[len(shares) // 2], high, tuple(nearest), of)


def distance(one: Case, other: Case) -> float:
    """How far two runs are from one another; what is not known of a model is no difference."""
    far = _apart(one.active, other.active) or 0.0
    scale = _apart(one.gpus, other.gpus)
    far += _UNKNOWN_SCALE if scale is None else scale
    far += _apart(one.peak, other.peak) or 0.0
    far += _OTHER_CHIP * (one.hardware != other.hardware)
    far += _OTHER_WIDTH[one.experts] * (one.narrow != other.narrow)
    kinds = {one.experts, other.experts} - {None}
    return far + _OTHER_KIND * (len(kinds) > 1)


def _apart(one: int | None, other: int | None) -> float | None:
    """Powers of ten between two sizes; None where one is not known."""
    return None if one is None or other is None else abs(log10(one / other))


def has_experts(ledger: Ledger) -> bool:
    """Whether any layer sends tokens to some of several experts."""
    return any(isinstance(entry, Matmul) and entry.experts > 1 for entry in ledger.entries)


@cache
def measured_runs() -> tuple[Measured, ...]:
    """The published runs that are shipped, each with the utilisation that follows from what was measured of it."""
    return tuple(_measured(run) for run in training_runs())


def _measured(run: TrainingRun) -> Measured:
    (spec, ledger), peak = _model(run.model, run.shape), _sixteen_bit_peak(_hardware(run.hardware))
    assert peak is not None
    active, experts = int(active_params(ledger).total), has_experts(ledger)
    case = Case(active, experts, run.gpus, run.hardware, peak, run.precision in _EIGHT_BITS)
    if run.speed is None:
        assert run.mfu is not None
        mfu = Fraction(str(run.mfu))
    else:
        flops = training_flops(ledger, run_of(spec, run.context), run.context)
        mfu = mfu_of(flops, 1, peak, run.context / run.speed)
    return Measured(run, run.title or spec.label, case, mfu)


@cache
def _model(name: str, shape: Shape | None) -> tuple[ModelSpec, Ledger]:
    """A built-in model, in another size where a shape says so."""
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    if shape is not None:
        spec = replace(spec, **dict(_changes(spec, shape)))
    return spec, lower(spec)


def _changes(spec: ModelSpec, shape: Shape) -> Iterator[tuple[str, Any]]:
    for name in ("layers", "d_model", "vocabulary"):
        if getattr(shape, name) is not None:
            yield name, getattr(shape, name)
    if shape.heads is not None:
        assert isinstance(spec.attention, Attention)
        yield "attention", replace(spec.attention, heads=shape.heads)
    if shape.d_ff is not None:
        assert isinstance(spec.feed_forward, FeedForward)
        yield "feed_forward", replace(spec.feed_forward, d_ff=shape.d_ff)


@cache
def _hardware(name: str) -> Hardware:
    return find_hardware(name)


def _sixteen_bit_peak(hardware: Hardware) -> int | None:
    peaks = hardware.device().flops_per_second
    return next((peaks[name] for name in _SIXTEEN_BITS if name in peaks), None)


def _percent(share: Fraction) -> str:
    return f"{100 * float(share):.3g}%"
