"""Devices, utilisation and time of a training run: the third from the other two, within what a device reaches."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple, assert_never

from tscale.core.costs.params import active_params
from tscale.core.costs.training import Count
from tscale.core.costs.wall_time import (
    MILLION,
    gpus_to_train,
    hardware_flops_ratio,
    least_flops,
    mfu_of,
    seconds_to_train,
)
from tscale.core.number_text import significant
from tscale.core.tracing import TracedInt, label
from tscale.errors import RequestError, field
from tscale.estimates.explaining import TracedModel
from tscale.estimates.recomputed import Recomputed
from tscale.estimates.train.ask import DAY, Ask
from tscale.estimates.train.plan import PlannedStep
from tscale.estimates.train.prediction import PlanUtilisation
from tscale.estimates.trained import Trained, TrainedStage
from tscale.estimates.utilisation import Utilisation


class Case(NamedTuple):
    """One answer: devices, utilisation, time; `label` where there is a range of them."""

    label: str
    mfu: Fraction
    gpus: int
    seconds: int


class BoundUtilisation(NamedTuple):
    """The utilisation that no run has more of, in full attention; `planned`: with which plan none has."""

    most: Fraction
    planned: bool

    def said(self) -> str:
        """What it is, in a line."""
        runs = "of the plan below" if self.planned else "on these devices"
        past = " (past 100%, for it counts full attention)" if self.most > 1 else ""
        return f"A bound, no prediction: no run {runs} has a higher MFU than {float(self.most):.1%}{past}."


Assumed = Utilisation | PlanUtilisation | BoundUtilisation | None
"""The utilisation where none is given: that of published runs, or that which is predicted of a plan, or a bound."""


def hardware_ratio(model: TracedModel, whole: Trained, redone: Recomputed) -> Fraction:
    """HFU / MFU of a whole run: the mean over its stages, by their FLOPs."""
    flops = [int(stage.flops(model, "full")) for stage in whole.stages]
    parts = redone.parts(model.ledger)
    ratios = [hardware_flops_ratio(model.ledger, stage.run, redone.policy, parts) for stage in whole.stages]
    return sum((ratio * of for ratio, of in zip(ratios, flops, strict=True)), Fraction()) / sum(flops)


def cases_of(ask: Ask, tokens: int, flops: int, peak: int, assumed: Assumed) -> tuple[Case, ...]:
    """The third of devices, utilisation and time, from the other two."""
    _refuse_unlike(ask)
    if ask.tokens_per_second is not None:
        assert ask.gpus is not None
        seconds = Fraction(tokens) / ask.tokens_per_second
        return (Case("", mfu_of(flops, ask.gpus, peak, seconds), ask.gpus, _rounded_up(seconds)),)
    if ask.gpus is not None and ask.days is not None:
        seconds = ask.days * DAY
        return (Case("", mfu_of(flops, ask.gpus, peak, seconds), ask.gpus, _rounded_up(seconds)),)
    if ask.mfu is not None:
        return (_case("", ask, flops, peak, ask.mfu),)
    assert assumed is not None
    if isinstance(assumed, BoundUtilisation):
        return (_case("", ask, flops, peak, assumed.most),)
    found = {"low": assumed.low, "middle": assumed.middle, "high": assumed.high}
    return tuple(_case(label, ask, flops, peak, mfu) for label, mfu in found.items())


def _refuse_unlike(ask: Ask) -> None:
    """Raises `RequestError` where devices, utilisation and time are not two of three."""
    if ask.mfu is not None and ask.tokens_per_second is not None:
        raise RequestError(
            f"{field('mfu')} and {field('tokens_per_second')} say the same in two ways: give one of them"
        )
    if ask.gpus is None and ask.days is None:
        raise RequestError(f"how many devices, or how long? {field('gpus', 1024)}, {field('days', 30)}, or both")
    if ask.measured and (ask.mfu is not None or ask.tokens_per_second is not None):
        raise RequestError(
            f"{field('gpus')}, {field('days')} and a utilisation are one too many: any two of them give the third"
        )
    if ask.tokens_per_second is not None and ask.gpus is None:
        raise RequestError(
            f"{field('tokens_per_second')} is that of all devices: {field('gpus')} says how many they are"
        )


def _case(name: str, ask: Ask, flops: int, peak: int, mfu: Fraction) -> Case:
    """Time from devices, or devices from time, at a utilisation."""
    rated = TracedInt(peak, label="peak")
    millionths = TracedInt(max(round(mfu * MILLION), 1), label="mfu_millionths")
    if ask.gpus is not None:
        gpus = TracedInt(ask.gpus, label="gpus")
        return Case(name, mfu, gpus, seconds_to_train(flops, gpus, rated, millionths))
    assert ask.days is not None
    allowed = TracedInt(_rounded_up(ask.days * DAY), label="seconds_allowed")
    needed = gpus_to_train(flops, allowed, rated, millionths)
    return Case(name, mfu, needed, seconds_to_train(flops, label("gpus", needed, "devices"), rated, millionths))


def check_peak(model: TracedModel, whole: Trained, redone: Recomputed, mfu: Fraction) -> None:
    """Raises `RequestError` where the devices would do more than their peak, of what causal attention needs of them.

    MFU counts full attention, so that in long sequences it may pass 1 and still be.
    """
    if mfu * _least_ratio(model, whole, Recomputed()) > 1:
        raise RequestError(
            f"the run needs {significant(mfu)} times the devices' peak, which none reaches: more devices, more days or fewer tokens"
        )
    if mfu * _least_ratio(model, whole, redone) > 1:
        raise RequestError(
            f"with {field('recompute', redone.policy)} the devices would do more than their peak: a lower {field('mfu')}"
        )


def _least_ratio(model: TracedModel, whole: Trained, redone: Recomputed) -> Fraction:
    """What the devices compute at the least over what MFU counts, of a whole run."""
    return sum((_least_of(model, stage, redone) for stage in whole.stages), Fraction()) / int(whole.flops(model))


def _least_of(model: TracedModel, stage: TrainedStage, redone: Recomputed) -> Fraction:
    """FLOPs that the devices compute at the least in one stage of training."""
    least = least_flops(model.ledger, stage.run, redone.policy, redone.parts(model.ledger))
    return Fraction(stage.ran_through * int(least), int(stage.run.tokens))


def bound_utilisation(
    model: TracedModel, whole: Trained, redone: Recomputed, peak: int, step: PlannedStep | None
) -> BoundUtilisation:
    """What no run of a plan passes: steps at their bound, and at the peak what runs at other lengths than the plan's first."""
    if step is None:
        return BoundUtilisation(1 / _least_ratio(model, whole, redone), planned=False)
    devices, first = int(step.plan.devices), whole.first.run
    per_step = int(first.tokens) * step.batch.sequences
    seconds = sum(
        (
            Fraction(stage.ran_through, per_step) * step.step.seconds
            if stage.run == first
            else _least_of(model, stage, redone) / (devices * peak)
            for stage in whole.stages
        ),
        Fraction(),
    )
    return BoundUtilisation(mfu_of(int(whole.flops(model)), devices, peak, seconds), planned=True)


def _rounded_up(seconds: Fraction) -> int:
    return -int(-seconds // 1)


def counted_share_of(model: TracedModel, whole: Trained, count: Count) -> Fraction:
    """FLOPs of a whole run by a count, over those in full attention."""
    full = int(whole.flops(model))
    match count:
        case "full":
            return Fraction(1)
        case "causal":
            return Fraction(int(whole.flops(model, "causal")), full)
        case "6nd":
            return Fraction(6 * int(active_params(model.ledger).total) * int(whole.tokens.value), full)
        case _:
            assert_never(count)
