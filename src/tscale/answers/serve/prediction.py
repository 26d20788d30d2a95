"""What a deployment is predicted to do, as a table and in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tscale.calibration.interval import Interval
from tscale.calibration.serving_calibration import OfFittedSource, Others, Prediction, spread_of
from tscale.calibration.serving_case import ServingCase
from tscale.calibration.serving_cases import is_grouped
from tscale.calibration.serving_groups import versions_of, way_of
from tscale.catalogue.judged import certainly_judged
from tscale.core.metric import Cell, Column, Figure, Table
from tscale.core.number_text import duration, significant
from tscale.core.units import MILLISECONDS, SECONDS, TOKENS_PER_SECOND
from tscale.errors import ended, nearest, shown
from tscale.estimates.deployment import Deployment
from tscale.estimates.judged import error_text
from tscale.estimates.rent import Rent
from tscale.estimates.serve.dollars import DOLLARS
from tscale.estimates.serve.prediction import Predicted, guesser_of, speeds_of, speeds_taken_in


def answered(found: Predicted) -> str:
    """The times of a request, in words; or that the deployment is over capacity, of which the next line says more."""
    if found.times is None:
        return found.refused.partition(":")[0]
    first, further = duration(found.times.ttft.middle), duration(found.times.tpot.middle)
    return f"{first} to the first token, then {further} per output token, as predicted"


def refusal(found: Predicted | str) -> str:
    """Why a deployment is over capacity, as a sentence; nothing where it is not."""
    refused = "" if isinstance(found, str) else found.refused
    return f"{refused[:1].upper()}{refused[1:]}." if refused else ""


def load_text(deployment: Deployment, otherwise: str) -> str:
    """The rate at which requests come, where one is given."""
    rate = deployment.rate
    return otherwise if rate is None else f"{significant(rate, 6)} request{'' if rate == 1 else 's'}/s"


_ROWS: Final = (
    ("ttft", "time to first token, ms", 1000),
    ("tpot", "time per output token, ms", 1000),
    ("latency", "latency of a request, s", 1),
)


def tables_of(found: Predicted | str, subject: str) -> tuple[Table, ...]:
    """The prediction as a table: each time with its bound, and the ends of its interval; none where nothing is predicted."""
    return () if isinstance(found, str) or found.times is None else (_table(found, found.times, subject),)


def _table(found: Predicted, times: Prediction, subject: str) -> Table:
    columns = (
        Column("steady state", "quantity", numeric=False),
        Column("predicted", "predicted"),
        Column("80%: from", "low"),
        Column("to", "high"),
        Column("at least", "bound"),
    )
    rows: list[tuple[Cell, ...]] = []
    for name, words, scale in _ROWS:
        of: Interval = getattr(times, name)
        unit = MILLISECONDS if scale > 1 else SECONDS
        bound = getattr(times, f"{name}_bound")
        cells = [Figure(scale * value, unit, "predicted") for value in (of.middle, of.low, of.high)]
        rows.append((words, *cells, Figure(scale * bound, unit, "bound")))
    for words, value, unit in speeds_of(found).values():
        rows.append((words, Figure(value, unit, "predicted"), "", "", ""))
    rows += _rows_taken_in(found.case, times)
    return Table("", columns, tuple(rows), subject=subject)


_KNOWN: Final = {
    "measured": "that it was not fitted to, each with one run of its deployment given",
    "deployment": "that it was not fitted to, of deployments that were measured at other lengths",
    "build": "that it was not fitted to, of models, engine versions and chips that were measured in other layouts",
    "model": "that it was not fitted to, of models that were measured in another version of the engine or on a sibling of the chip",
    "family": "of models that were left out of the fit one after the other: this model was not measured, others of its kind were",
    "elsewhere": "of models that were left out of the fit one after the other: none like this one was measured",
}


def notes_of_prediction(found: Predicted | str) -> Iterator[str]:
    """What a prediction is made of, how far it is off, and what it was not fitted to."""
    if isinstance(found, str):
        yield f"No prediction: {found}."
        return
    if found.times is None:  # the answer begins with why
        return
    case, times = found.case, found.times
    spread, first = (spread_of(found.calibration, figure, times.known, way_of(case)) for figure in ("tpot", "ttft"))
    yield (
        f"Predicted for {case.engine} by calibration {found.calibration.name}: within {100 * spread.median:.0f}% (median; to the first "
        f"token {100 * first.median:.0f}%) of {spread.runs:,} runs {_KNOWN[times.known]}."
    )
    if times.fitted_source is not None:
        yield _others_note(found.calibration.others, times.fitted_source)
    versions = versions_of(found.calibration.deviations, case.engine)
    if case.version and case.version not in versions:
        near = nearest(case.version, versions)
        yield ended(f"Version {shown(case.version)} of {case.engine} is not among those that were measured: {near}")
    if found.slow_refused:
        yield f"At the slow end of the interval it is {found.slow_refused}; its times are those of as many requests as in the middle."
    if case.chunk or case.crowd > _FELT:
        yield from _chunk_notes(case)
    yield from _notes_of_prompts(case)
    if case.decode.layout.pipeline > 1:
        yield "No run with a pipeline was measured: its stages are taken to pass on as collectives do."
    if case.host:
        yield (
            "No run with a prefix in host memory was measured: it is taken to be read before its prompt, and not while another "
            "is prefilled."
        )
    if case.guesses:
        yield from _notes_of_guesses(case)
    if case.draft is not None:
        yield (
            f"{case.draft.spec.label} guesses {f'{case.guesses} tokens one after the other' if case.guesses > 1 else '1 token'} before each step, on the same devices, and "
            "takes in each prompt before the first; `tscale memory --draft` says what it holds."
        )


def _others_note(others: Others, own: OfFittedSource) -> str:
    """How far predictions are off what others ran, that intervals are as wide, and the time per output token of the fitted source."""
    low, high = duration(own.tpot.low), duration(own.tpot.high)
    return (
        f"Within {100 * others.median:.0f}% (median) of {others.runs:,} runs of other sources, and the 80% intervals are as wide as that; for the "
        f"source of the fitted runs it is {low} to {high} per output token. `tscale calibrate` fits predictions to your own runs."
    )


def _notes_of_guesses(case: ServingCase) -> Iterator[str]:
    """How a step that verifies guesses is timed, and how far its speed-up is from measured ones."""
    yield (
        "A step that verifies guesses has the launches and reads the weights and caches of a step without; tokens beyond the first of each "
        "request go through dense matrices at the speed of a prompt's. No run with guesses is part of the fit."
    )
    by = guesser_of(case)
    if by is None:
        yield "No measured run judges the speed-up by a draft model."
        return
    error = error_text(certainly_judged("speculative", by), "measured speed-ups")
    if case.is_head:
        yield f"The speed-up by heads such as EAGLE and MTP is {error}; what the host does between guesses is left out."
    else:
        yield (
            f"Guesses at no cost are taken to be those of n-grams, of which the speed-up is {error}; `tscale serve --draft` counts the time of a "
            "draft model, or of a head: mtp, eagle or eagle-3."
        )


_FELT: Final = 0.01
"""Requests that wait, over those that decode, from which on it is said."""


def _chunk_notes(case: ServingCase) -> Iterator[str]:
    """That requests wait because steps take in no more of their prompts, and what the prediction of that rests on."""
    if case.crowd > _FELT:
        waiting = round(case.concurrency * case.crowd / (1 + case.crowd))
        yield (
            f"Steps take {case.chunk_tokens:,} tokens at the most (--chunk), so that {waiting:,} of {case.concurrency:,} requests wait for "
            "their prompts to be taken in: output tokens come sooner, first tokens later."
        )
    if case.chunk:
        yield "No run was measured by the tokens of its steps: their effect is that of a model of a closed loop, which a simulation confirms."


def _rows_taken_in(case: ServingCase, times: Prediction) -> Iterator[tuple[Cell, ...]]:
    """The row of a prediction's table: the middle and the ends."""
    speeds = speeds_taken_in(case, times)
    if speeds is not None:
        of = speeds[0]
        ends = (Figure(value, TOKENS_PER_SECOND, "predicted") for value in (of.middle, of.low, of.high))
        yield ("prompt tokens/s per device of prefill", *ends, "")


def _notes_of_prompts(case: ServingCase) -> Iterator[str]:
    """Where rates of kernels were published and no run was fitted to."""
    if is_grouped(case):
        yield (
            "Prompts' experts are spread over nodes: tokens are sent and multiplied at rates that were published of DeepEP and DeepGEMM, "
            "and that were fitted to no run. Prompts that do not meet experts alike take longer: 1.18 times as long in SGLang's published runs."
        )


def dollar_rows(dollars: dict[str, Figure], rent: Rent | None) -> Iterator[tuple[Cell, ...]]:
    """The rows of a prediction's table: each cost, and at the lowest and the highest price where several were published."""
    for key, figure in dollars.items():
        yield DOLLARS[key], figure, "", "", ""
        for name, scaled in () if rent is None else rent.at_ends(figure):
            yield name, scaled, "", "", ""
