"""What is said of a training run: its headline, whether it fits, and its notes."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from tscale.answers.assumptions import goodput_note, rent_notes, utilisation_note
from tscale.answers.train.media import run_media_notes
from tscale.catalogue.hardware import Hardware
from tscale.core.costs.communication import TWO_SUMS
from tscale.core.costs.forward import leaves_out
from tscale.core.costs.training import Count
from tscale.core.dtypes import Dtype
from tscale.core.ledger import Scores
from tscale.core.metric import Detail, Figure
from tscale.core.number_text import duration, durations, number_text
from tscale.estimates.explaining import TracedModel, notes_of
from tscale.estimates.judged import error_text
from tscale.estimates.train.answered import Answered
from tscale.estimates.train.ask import DAY, Ask
from tscale.estimates.train.cases import BoundUtilisation
from tscale.estimates.train.figures import power_error
from tscale.estimates.train.memory import States
from tscale.estimates.train.planned import Planned
from tscale.estimates.train.prediction import PlanUtilisation
from tscale.estimates.trained import Trained
from tscale.estimates.utilisation import STEPS_ALONE, Utilisation


def all_notes(one: Answered) -> Iterator[str]:
    """Notes of the run, of its utilisation, its price and its plan."""
    yield from _notes(one.model, one.hardware, one.ask, one.dtype, one.peak, one.whole)
    yield from run_media_notes(one.model.spec, one.ask.media, planned=one.planned is not None)
    if isinstance(one.assumed, Utilisation):
        yield utilisation_note(one.assumed)
    if isinstance(one.assumed, PlanUtilisation):
        yield f"The MFU of the plan is of {STEPS_ALONE}"
    if one.goodput is not None:
        yield goodput_note(one.goodput)
    if one.rent is not None:
        yield from rent_notes(one.rent)
    if one.planned is not None:
        # Of a run at several lengths the MFU is not that of the plan's steps, which are of the first.
        alike = len({stage.run for stage in one.whole.stages}) == 1
        most = max(case.mfu for case in one.cases) * one.counted_share
        yield from one.planned.notes(most if alike else None)
        if one.planned.step.plan.tensor > 1:
            yield Detail(TWO_SUMS)


def headline(one: Answered) -> str:
    """What training takes: the time of so many devices, or the devices of so much time; with its range, and its dollars."""
    ask, cases, label = one.ask, one.cases, one.label
    middle, column = cases[len(cases) // 2], one.columns[len(cases) // 2]
    dollars, least = _dollars(column["cost_usd"]), "at least " if isinstance(one.assumed, BoundUtilisation) else ""
    if ask.gpus is None and ask.days is not None:
        counts = sorted(case.gpus for case in cases)
        spread = f" ({counts[0]:,} to {counts[-1]:,})" if len(cases) > 1 else ""
        return (
            f"Training {label} in {duration(ask.days * DAY)} takes {least}{middle.gpus:,}{spread} × {one.hardware.label}{dollars}"
            f"{_with_failures(one, column)}"
        )
    times = sorted(case.seconds for case in cases)
    spread = f" ({durations(times[0], times[-1])})" if len(cases) > 1 else ""
    return (
        f"Training {label} on {middle.gpus:,} × {one.hardware.label} takes {least}{duration(middle.seconds)}{spread}{dollars}"
        f"{_with_failures(one, column)}"
    )


def _dollars(cost: Figure | None) -> str:
    return "" if cost is None else f" and ${number_text(cost.value, cost.unit.reading)}"


def _with_failures(one: Answered, column: dict[str, Figure | None]) -> str:
    """The days and dollars with failures and restarts, where they are worth a word."""
    days = column["elapsed_days"]
    if days is None or one.goodput is None or not one.goodput.noticed:
        return ""
    elapsed = duration(Fraction(days.value) * DAY)
    return f"; with failures and restarts {elapsed}{_dollars(column['elapsed_cost_usd'])}"


class _Fit(NamedTuple):
    """What is said of a run that does not fit, or may not: the end of the title, a line before the table, an exit code."""

    title: str = ""
    lead: str = ""
    exit_code: int = 0


def fit_of(planned: Planned | None, states: States | str) -> _Fit:
    """Whether the plan fits, or without a plan the states that any would have to hold."""
    if planned is None:
        return _Fit() if isinstance(states, str) or states.fit else _Fit(": does not fit", states.said(), 3)
    memory = planned.memory
    match memory.verdict:
        case "fits":
            return _Fit()
        case "may_fit":
            return _Fit(": the plan may fit", memory.said())
        case "does_not_fit":
            return _Fit(": the plan does not fit", memory.said(), 3)
        case None:
            return _Fit(lead=memory.said())


def unpacking_note(base: Dtype) -> str:
    """How a step of adapters on a model in few bits is timed."""
    return (
        f"Matrices in {base.name} are unpacked into 16 bits for each product: {float(base.bits) / 8 + 2:.3g} bytes are read "
        "and written for each weight, as fast as elementwise kernels do. No measured run judges that."
    )


def _notes(model: TracedModel, hardware: Hardware, ask: Ask, dtype: str, peak: int, whole: Trained) -> tuple[str, ...]:
    said: list[str] = [
        Detail(f"Of a dense peak of {peak / 10**12:,.1f} TFLOP/s in {dtype} ({hardware.source})."),
        Detail(_COUNTS[ask.flops_count]),
    ]
    if ask.rank is not None:
        said.append(
            Detail("Of frozen matrices no gradients are counted: two products of each, and three of the adapters'.")
        )
    if ask.base is not None and ask.plan is not None:
        said.append(unpacking_note(ask.base))
    if ask.watts is None and hardware.tdp_watts is not None:
        error = power_error(hardware)
        how = "no measured run judges that" if error is None else error_text(error, "measured runs")
        said.append(f"Energy is at the TDP of {hardware.tdp_watts} W, times a PUE of {float(ask.pue):g}: {how}.")
    if ask.grid_source and ask.grid is not None:
        said.append(f"A kWh emits {float(ask.grid):g} g of CO2e in {ask.grid_source}.")
    said += _departures(model)
    return notes_of(model.spec, *whole.notes, *said, leaves_out(model.ledger))


_COUNTS: Final[dict[Count, str]] = {
    "full": "MFU counts three forward passes in full attention, as Chowdhery 2022 does; HFU also what is recomputed.",
    "causal": "MFU counts three forward passes in causal attention (--count causal); HFU also what is recomputed.",
    "6nd": "MFU counts 6 FLOPs a parameter that a token meets and a token (--count 6nd, Kaplan 2020); HFU also what is recomputed.",
}


def _departures(model: TracedModel) -> Iterator[str]:
    windows = [entry for entry in model.ledger.entries if isinstance(entry, Scores) and entry.window is not None]
    if windows:
        yield f"{model.spec.label} has sliding-window layers: full attention counts more than they need."
