"""A training run as figures by their keys."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from tscale.catalogue.hardware import Hardware
from tscale.catalogue.judged import Judged, judged
from tscale.core.metric import Data, Figure
from tscale.core.units import FLOPS, FLOPS_PER_SECOND
from tscale.estimates.judged import errors_data
from tscale.estimates.train.answered import Answered, answered
from tscale.estimates.train.ask import Ask
from tscale.estimates.train.cases import Case
from tscale.estimates.train.figures import in_range, power_error, rent_data
from tscale.estimates.train.media import run_media_records
from tscale.estimates.utilisation import HOURS, Utilisation
from tscale.models.spec import ModelSpec


def timed(spec: ModelSpec, hardware: Hardware, ask: Ask) -> tuple[Case, ...]:
    """The answers of `train_report` in plain numbers: one, or a range of them. Raises `RequestError` for a run that cannot be."""
    return tuple(
        Case(case.label, Fraction(case.mfu), int(case.gpus), int(case.seconds))
        for case in answered(spec, hardware, ask).cases
    )


def train_figures(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Data:
    """The figures of `train_report` by their keys: what a row of a sweep holds."""
    return train_data(answered(spec, hardware, ask))


def train_data(one: Answered) -> dict[str, Data]:
    """All of it for programs."""
    several = len(one.cases) > 1
    media = run_media_records(one.model.spec, one.ask.media)
    return {
        "model": one.model.spec.name,
        "tokens": one.whole.tokens,
        "context": one.whole.first.context,
        "stages": one.whole.data(),
        "gpu": one.hardware.name,
        **one.columns[len(one.columns) // 2],
        "dtype": one.dtype,
        "peak_flops_per_second": Figure(one.peak, FLOPS_PER_SECOND, "cited", one.hardware.source),
        "training_flops": Figure(one.flops, FLOPS, one.whole.known),
        "count": one.ask.flops_count,
        "goodput": None if one.goodput is None else one.goodput.data(),
        **rent_data(one.columns, one.rent),
        "memory": _memory(one),
        "assumed": isinstance(one.assumed, Utilisation),
        "utilisation_runs": one.assumed.data() if isinstance(one.assumed, Utilisation) else [],
        "errors": errors_data(_errors(one)),
        "range": [in_range(*pair, one.rent) for pair in zip(one.cases, one.columns, strict=True)] if several else [],
        **({} if one.planned is None else {"plan": one.planned.data}),
        **({"media": media} if media else {}),
    }


def _memory(one: Answered) -> Data:
    """What a run must hold at least, and whether its plan has room for all that it holds; or why that is not known."""
    if isinstance(one.states, str):
        return {"verdict": None, "why": one.states}
    return one.states.data(None if one.planned is None else one.planned.memory.verdict)


def _errors(one: Answered) -> Iterator[tuple[str, Judged | None]]:
    """What published runs say of the figures that rest on assumptions: hours of an assumed utilisation, energy at the TDP."""
    if one.hours_judged:
        yield "gpu_hours", judged(HOURS)
    if one.goodput is not None and one.goodput.runs:
        yield "goodput", judged("goodput")
    if one.ask.watts is None:
        yield "watts", power_error(one.hardware)
