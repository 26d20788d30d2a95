"""The utilisation of a training run that states none: that of the published runs nearest to it.

The distance of a published run from the one asked about is a sum of plain terms, each in powers of ten where it is a size:

    1/2 |log10 of active parameters, one over the other|    (1 where no model is asked about, so that none is very near)
    1/2 |log10 of devices, one over the other|              (2 where the published run does not say how many)
        |log10 of the dense 16-bit peak of a device, one over the other|
    1/4  another accelerator; 2 one of another family, such as a TPU for a GPU
    2    another width of the products, 8 bits or 16; 1 where experts are routed, whose time goes to products less
    3    another kind: routed experts, or none

A whole run of the very model on the very accelerator is that run in whatever width it was: its width is no distance.

Of the five nearest, each weighs 1 / (distance + 1/10)², and what weighs less than a twentieth of the nearest is left out, so
that a run that is in the table is the answer for that run. The weighted median is the middle; low and high lie a tenth beyond
the least and the most, for two runs of one kind on the same devices differ by as much from one release of a framework to the
next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cache
from math import isclose, log10
from typing import Any, Final, NamedTuple

from tscale.blocks import Attention, FeedForward
from tscale.catalogue.hardware import Hardware, find_hardware
from tscale.catalogue.judged import certainly_judged
from tscale.catalogue.measured import Shape, TrainingRun, training_runs
from tscale.catalogue.models import built_in
from tscale.core.adding import in_order
from tscale.core.costs.params import active_params
from tscale.core.costs.training import training_flops
from tscale.core.costs.wall_time import mfu_of
from tscale.core.device import NARROW
from tscale.core.ledger import Ledger, Matmul
from tscale.core.metric import Data, Figure
from tscale.core.sources import cited
from tscale.core.tracing import Recordable
from tscale.core.units import COUNT, SHARE, TOKENS, TOKENS_PER_SECOND
from tscale.estimates.capacity import kind_of
from tscale.estimates.judged import error_text
from tscale.estimates.memory.peak import SIXTEEN_BITS
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec

NEAREST: Final = 5
HOURS: Final = "hours"
"""What published hours judge."""
_MARGIN: Final = Fraction(11, 10)
_LEAST_WEIGHT: Final = 0.05
"""Of the nearest run's."""
_UNKNOWN_SIZE, _UNKNOWN_SCALE, _OTHER_CHIP, _OTHER_FAMILY, _OTHER_KIND = 1, 2, 0.25, 2, 3
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
    whole: bool = False
    """Whether it is a whole run as its makers count its hours, restarts included; otherwise its speed was measured."""


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
    weights: tuple[float, ...]
    """Of each run, as shares of all of them."""
    peak: Fraction
    """The peak asked about over the 16-bit one, where the runs are compared by speed; 1 otherwise."""
    whole: float
    """The weight of whole runs, in whose published hours their failures are."""

    def within(self, most: Fraction) -> Utilisation:
        """The same, of which no share is above `most`."""
        return self._replace(low=min(self.low, most), middle=min(self.middle, most), high=min(self.high, most))

    def said(self) -> str:
        """The middle and the range, in a line."""
        many = "1 published run" if len(self.runs) == 1 else f"{len(self.runs)} published runs"
        return f"MFU assumed: {percent_text(self.middle)} ({percent_text(self.low)} to {percent_text(self.high)}: {many} and a 10% margin)."

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


def hours_error() -> str:
    """How far hours at an assumed utilisation are from those of published runs, in a line."""
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
    """The utilisation to assume for a run on devices of `peak` FLOP/s, from the nearest of the published ones.

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
    weighed = _weighed(case, published)
    of = Fraction(peak, case.peak) if case.narrow and case.peak else Fraction(2 if case.narrow else 1)
    shares = [(one.share_of(of), weight) for weight, one in weighed]
    total = in_order(weight for weight, _ in weighed)
    weights = tuple(weight / total for weight, _ in weighed)
    whole = sum(weight for weight, (_, one) in zip(weights, weighed, strict=True) if one.case.whole)
    return Utilisation(
        min(shares)[0] / _MARGIN,
        weighted_median(shares),
        min(max(shares)[0] * _MARGIN, Fraction(1)),
        tuple(one for _, one in weighed),
        weights,
        of,
        whole,
    )


def _weighed(case: Case, published: tuple[Measured, ...]) -> list[tuple[float, Measured]]:
    """The runs that are nearest to a case, each with its weight, but for those that hardly count."""
    nearest = sorted(((distance(case, one.case), one) for one in published), key=lambda pair: pair[0])[:NEAREST]
    weighed = [(1 / (far + 0.1) ** 2, one) for far, one in nearest]
    return [(weight, one) for weight, one in weighed if weight >= _LEAST_WEIGHT * weighed[0][0]]


def _of_each_size(
    case: Case, recorded: Mapping[str, Recordable], peak: int, runs: tuple[Measured, ...] | None
) -> Utilisation:
    """The same of sizes, such as devices, that a sweep records: the runs that are nearest are found anew for each of them."""

    @cache
    def at(*sizes: int) -> Utilisation:
        changed: dict[str, Any] = dict(zip(recorded, sizes, strict=True))
        return assumed_utilisation(case._replace(**changed), peak, runs)

    first, *others = recorded.values()
    low, middle, high, whole = (
        first.called(name, lambda *sizes, name=name: getattr(at(*sizes), name), *others)
        for name in ("low", "middle", "high", "whole")
    )
    return Utilisation(low, middle, high, (), (), Fraction(1), whole)


def distance(asked: Case, published: Case) -> float:
    """How far a published run is from the one asked about; where the latter's devices are not known, they are no difference."""
    far = _UNKNOWN_SIZE if asked.active is None else _apart(asked.active, published.active) / 2
    far += _UNKNOWN_SCALE if published.gpus is None else _apart(asked.gpus, published.gpus) / 2
    far += _apart(asked.peak, published.peak)
    if asked.hardware != published.hardware:
        same_family = kind_of(asked.hardware) == kind_of(published.hardware)
        far += _OTHER_CHIP if same_family else _OTHER_FAMILY
    itself = published.whole and (asked.active, asked.hardware) == (published.active, published.hardware)
    if asked.narrow != published.narrow and not itself:
        far += _OTHER_WIDTH[asked.experts]
    return far + _OTHER_KIND * (asked.experts != published.experts)


def weighted_median(values: list[tuple[Fraction, float]]) -> Fraction:
    """The value below and above which lies half of the weight; between two where they part it evenly.

    >>> weighted_median([(Fraction(1), 1.0), (Fraction(2), 1.0), (Fraction(3), 5.0)])
    Fraction(3, 1)
    >>> weighted_median([(Fraction(1), 1.0), (Fraction(2), 1.0)])
    Fraction(3, 2)
    """
    ordered = sorted(values)
    half, below = in_order(weight for _, weight in ordered) / 2, 0.0
    for place, (value, weight) in enumerate(ordered):
        below += weight
        if isclose(below, half):
            return (value + ordered[place + 1][0]) / 2
        if below > half:
            return value
    raise AssertionError("no values")


def _apart(one: int | None, other: int | None) -> float:
    """Powers of ten between two sizes; 0 where one is not known."""
    return 0 if one is None or other is None else abs(log10(one / other))


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
    whole = run.gpu_hours is not None
    case = Case(active, experts, run.gpus, run.hardware, peak, run.precision in NARROW, whole)
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
        kv_heads = spec.attention.kv_heads if shape.kv_heads is None else shape.kv_heads
        yield "attention", replace(spec.attention, heads=shape.heads, kv_heads=kv_heads)
    if shape.d_ff is not None:
        assert isinstance(spec.feed_forward, FeedForward)
        yield "feed_forward", replace(spec.feed_forward, d_ff=shape.d_ff)


_hardware = cache(find_hardware)


def _sixteen_bit_peak(hardware: Hardware) -> int | None:
    peaks = hardware.device().flops_per_second
    return next((peaks[name] for name in SIXTEEN_BITS if name in peaks), None)


def percent_text(share: Fraction) -> str:
    """A share in per cent, with three digits."""
    return f"{100 * float(share):#.3g}".rstrip(".") + "%"
