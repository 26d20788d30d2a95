"""A training run: what is given, and what follows from it."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from tscale.catalogue.hardware import Hardware
from tscale.core.metric import Figure, Known, weakest
from tscale.core.tracing import label
from tscale.estimates.explaining import TracedModel, adapting, counted, trained_text
from tscale.estimates.goodput import Goodput, goodput_of, usual_goodput, with_elapsed
from tscale.estimates.memory.peak import peak_of
from tscale.estimates.memory_train.ask import Ask as MemoryAsk
from tscale.estimates.memory_train.ask import refuse
from tscale.estimates.recomputed import recomputed
from tscale.estimates.rent import Rent, rent_of
from tscale.estimates.train.ask import Ask
from tscale.estimates.train.cases import (
    Assumed,
    BoundUtilisation,
    Case,
    bound_utilisation,
    cases_of,
    check_peak,
    counted_share_of,
    hardware_ratio,
)
from tscale.estimates.train.figures import figures_of
from tscale.estimates.train.media import trained_on_media, with_towers
from tscale.estimates.train.memory import States, all_states
from tscale.estimates.train.planned import Planned, planned_of
from tscale.estimates.train.prediction import PlanUtilisation, plan_utilisation
from tscale.estimates.trained import Trained, trained
from tscale.estimates.utilisation import Utilisation, assumed_utilisation, case_of
from tscale.models.spec import ModelSpec


class Answered(NamedTuple):
    """A run: what is given, and what follows from it."""

    model: TracedModel
    hardware: Hardware
    ask: Ask
    dtype: str
    peak: int
    whole: Trained
    flops: int
    assumed: Assumed
    """The utilisation where none is given: that of published runs, or that which is predicted of the plan, or its bound."""
    cases: tuple[Case, ...]
    columns: list[dict[str, Figure | None]]
    rent: Rent | None
    planned: Planned | None
    states: States | str
    counted_share: Fraction
    """FLOPs by the count of the utilisation over those of full attention."""
    goodput: Goodput | None
    """Of the case in the middle; None where the time has its failures in it."""

    @property
    def label(self) -> str:
        """What is trained, in words."""
        return trained_text(self.model.spec, self.ask.rank, self.ask.base)

    @property
    def hours_error(self) -> str:
        """How far hours at an assumed utilisation are from published ones, in a line; "" where it is not assumed of other runs."""
        if not isinstance(self.assumed, Utilisation):
            return ""
        return self.assumed.error() if self.ask.rank is None else "No published hours judge those of adapters."

    @property
    def hours_judged(self) -> bool:
        """Whether published hours judge these: those of an assumed utilisation, neither of the model's own run nor of adapters."""
        return isinstance(self.assumed, Utilisation) and self.assumed.known > 0 and self.ask.rank is None

    @property
    def known(self) -> Known:
        """How times and costs are known."""
        return _known_of(self.assumed, self.whole)


def _known_of(assumed: Assumed, whole: Trained) -> Known:
    """How times and costs are known."""
    if isinstance(assumed, BoundUtilisation):
        return weakest("bound", whole.known)
    if isinstance(assumed, PlanUtilisation):
        return weakest("predicted", whole.known)
    return "assumed" if assumed else whole.known


def answered(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Answered:
    """Raises `RequestError` for a run that cannot be."""
    refuse(spec, MemoryAsk().with_(rank=ask.rank, lora_targets=ask.lora_targets))
    model = adapting(with_towers(counted(spec), ask.media), ask.rank, ask.lora_targets, ask.base)
    dtype, peak = peak_of(hardware.device(), hardware, ask.dtype)
    whole = trained_on_media(trained(model.spec, ask.tokens, ask.context), spec, ask.media)
    flops = label("training_flops", whole.flops(model), "FLOPs")
    redone = recomputed(model.spec, model.ledger, ask.recompute, ask.again, ask.plan)
    ratio = hardware_ratio(model, whole, redone)
    counted_share = counted_share_of(model, whole, ask.flops_count)
    ask = ask if ask.mfu is None else ask._replace(mfu=ask.mfu / counted_share)
    planned = planned_of(spec, hardware, ask, whole, dtype, peak, redone)
    assumed: Assumed = _assumed(model, hardware, ask, dtype, peak, ratio)
    if assumed is not None and ask.bound_only:
        assumed = bound_utilisation(model, whole, redone, peak, None if planned is None else planned.step)
    elif assumed is not None and planned is not None:
        assumed = plan_utilisation(planned.predicted, model, whole, planned.step.batch) or assumed
    cases = cases_of(ask.of_steps, int(whole.tokens.value), flops, peak, assumed)
    if not isinstance(assumed, BoundUtilisation):
        check_peak(model, whole, redone, max(case.mfu for case in cases))
    known = _known_of(assumed, whole)
    rent = rent_of(hardware, ask.price)
    columns = [
        with_elapsed(
            figures_of(case, ask.of_steps, rent, hardware.device(), peak, ratio, whole, flops, known, counted_share),
            _goodput(case.gpus, ask, assumed),
        )
        for case in cases
    ]
    most = max(int(case.gpus) for case in cases)
    states = all_states(spec, hardware, most, dtype, ask.rank, ask.lora_targets)
    return Answered(
        model, hardware, ask, dtype, peak, whole, flops, assumed, cases, columns, rent, planned, states, counted_share,
        _goodput(cases[len(cases) // 2].gpus, ask, assumed),
    )  # fmt: skip


def _goodput(gpus: int, ask: Ask, assumed: Assumed) -> Goodput | None:
    """What of the time goes to steps; None where devices and time were measured, or the utilisation is assumed of a whole run.

    Nor of a bound, which is of a run without failures.
    """
    counted_already = ask.measured or isinstance(assumed, BoundUtilisation | Utilisation)
    return None if counted_already and ask.goodput is None else goodput_of(int(gpus), ask.goodput)


def _assumed(
    model: TracedModel, hardware: Hardware, ask: Ask, dtype: str, peak: int, ratio: Fraction
) -> Utilisation | None:
    """What is assumed of the utilisation where neither it nor both of devices and days are given.

    It is that of a whole run; of its steps alone where a goodput is given, so that nothing is lost twice.
    """
    if ask.mfu is not None or ask.tokens_per_second is not None or (ask.gpus is not None and ask.days is not None):
        return None
    whole = assumed_utilisation(case_of(model.ledger, ask.gpus, hardware, dtype), peak)
    return (whole if ask.goodput is None else whole.over(usual_goodput())).within(1 / ratio)
