"""`tscale serve`: the best-case latency and throughput of a model, what bounds them, and what its tokens cost."""

from __future__ import annotations

from typing import Final

from tscale.answers.assumptions import rent_notes
from tscale.answers.capacity import verdict_note
from tscale.answers.serve.deployment import deployment_report
from tscale.answers.serve.notes import percent, serve_notes
from tscale.answers.serve.parts import parts_table
from tscale.answers.serve.prediction import answered, dollar_rows, load_text, notes_of_prediction, refusal, tables_of
from tscale.catalogue.hardware import Hardware
from tscale.core.metric import Cell, Column, Derivations, Figure, Missing, Report, Table
from tscale.core.number_text import duration
from tscale.core.units import MILLISECONDS, SECONDS, USD
from tscale.estimates.capacity import exit_code, verdict_text
from tscale.estimates.explaining import OF_SERVING, notes_of
from tscale.estimates.serve.derived import of_passes, of_request
from tscale.estimates.serve.dollars import dollars_of
from tscale.estimates.serve.parts import lines_data, steps_of_passes
from tscale.estimates.serve.prediction import Predicted
from tscale.estimates.serve.reached import Reached, check_served, reached, reached_data
from tscale.estimates.serve.times import Ask
from tscale.models.spec import ModelSpec


def serve_report(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Report:
    """Time to the first token and of each further one, what bounds them, and what tokens cost. Exit code 3: it does not fit, or is over capacity."""
    check_served(spec, ask)
    if ask.deployment.is_laid_out:
        return deployment_report(spec, hardware, ask)
    found = reached(spec, hardware, ask)
    one, ask, prompt = found.one, found.one.ask, found.one.prompt
    steady, rent, memory, figures = found.steady, found.rent, found.memory, found.figures
    verdict = "" if memory.fits else verdict_text(memory.capacity, memory.total)
    title = f"{_title(spec, hardware, ask)}: {verdict or _answered(figures, steady)}"
    tables = (
        *_speeds(title, found),
        _held_table(spec, ask, figures),
        parts_table(one, f"decoding, {one.middle:,} cached", found.decode, spec.name),
        parts_table(one, f"prefill, {prompt.batch * (prompt.read or prompt.new):,} tokens", found.prefill, spec.name),
    )
    data = {**reached_data(found), "decode": lines_data(one, found.decode), "prefill": lines_data(one, found.prefill)}
    refused = refusal(steady)
    said = (*serve_notes(one, hardware, memory, found.decode), *notes_of_prediction(steady))
    if refused and not memory.fits:  # whether it fits is the answer
        said, refused = (*said, refused), ""
    notes = notes_of(spec, *said, *(() if rent is None else rent_notes(rent)), about=OF_SERVING)
    passes = {"prefill": found.prefill, "decode_step": found.decode}
    steps = Derivations(
        lambda: (
            *of_request(steady, f"{spec.name}, in steady state"),
            *of_passes(one, found.times, passes, figures, rent),
            *steps_of_passes(one),
        )
    )
    code = 3 if refused else exit_code(memory.capacity, memory.total)
    priced = "" if rent is None else rent.said()
    room_note = "" if memory.fits else verdict_note(memory.capacity, memory.total)
    lead = tuple(filter(None, (room_note or refused, *found.asked.lead(), priced)))
    return Report(title, tables, data, notes, steps, code, lead=lead)


_ROWS: Final = (
    ("prefill_seconds", "time to first token, ms"),
    ("seconds_per_token", "time per output token, ms"),
    ("seconds_per_token_first", "  second token"),
    ("seconds_per_token_last", "  last token"),
    ("seconds_per_answer", "end-to-end latency, s"),
    ("tokens_per_second_per_user", "tokens/s per user"),
    ("tokens_per_second", "tokens/s, all users"),
    ("tokens_per_second_with_prefill", "  including prefill"),
    ("compute_bound_from_batch", "decoding compute-bound from batch size"),
    ("matrices_compute_bound_from_batch", "  weight matrices alone"),
    ("usd_per_million_input_tokens", "$ per 1M input tokens"),
    ("usd_per_million_output_tokens", "$ per 1M output tokens"),
)
_HELD: Final = (
    ("weight_bytes", "weights"),
    ("kv_cache_bytes", "KV cache at the last token"),
    ("workspace_bytes", "workspace"),
    ("memory_bytes", "memory of the device"),
    ("device_bytes", "  as the device reports it"),
)
_ABSENT: Final = {
    "compute_bound_from_batch": Missing("never compute-bound", settled=True),
    "matrices_compute_bound_from_batch": Missing("never compute-bound", settled=True),
    "usd_per_million_input_tokens": Missing("needs --price"),
    "usd_per_million_output_tokens": Missing("needs --price"),
}


def _title(spec: ModelSpec, hardware: Hardware, ask: Ask) -> str:
    many = f"{ask.gpus} × " if ask.gpus > 1 else ""
    load = load_text(ask.deployment, f"batch size {ask.batch:,}")
    return f"{spec.label} on {many}{hardware.label}, {load}, {ask.context:,} input and {ask.output:,} output tokens"


def _answered(figures: dict[str, Figure | None], steady: Predicted | str) -> str:
    """The times of a request: as predicted, or the bounds where nothing is predicted."""
    if isinstance(steady, Predicted):
        return answered(steady)
    found = figures["prefill_seconds"], figures["seconds_per_token"]
    first, further = (0 if figure is None else figure.value for figure in found)
    return f"at least {duration(first)} to the first token, then {duration(further)} per output token"


def _speeds(title: str, found: Reached) -> list[Table]:
    """What is predicted, where it is, before the best case: the CSV is of the latter, which every answer has."""
    dollars = tuple(dollar_rows(dict(dollars_of(found.steady, found.rent)), found.rent))
    predicted = [
        table._replace(rows=(*table.rows, *dollars), aside=True)
        for table in tables_of(found.steady, found.one.spec.name)
    ]
    tables = [*predicted, _best_case(found)]
    return [tables[0]._replace(title=title), *tables[1:]]


def _best_case(found: Reached) -> Table:
    figures, rent = found.figures, found.rent
    rows: list[tuple[Cell, ...]] = []
    for key, name in _ROWS:
        figure = figures[key]
        if figure is None:
            rows.append((name, _ABSENT[key]))
        elif figure.unit is SECONDS and key != "seconds_per_answer":
            rows.append((name, figure._replace(value=figure.value * 1000, unit=MILLISECONDS)))
        else:
            rows.append((name, figure))
        if figure is not None and figure.unit is USD and rent is not None:
            rows += rent.at_ends(figure)
    return Table("", _columns(found.one.ask), tuple(rows), subject=found.one.spec.name)


def _columns(ask: Ask, of: str = "") -> tuple[Column, Column]:
    """The columns of what is told of a pass, or of a device."""
    share = "" if ask.efficiency == 1 else f"{percent(float(ask.efficiency))} of "
    at = f"{share}best case, one batch"
    return Column(of or at, "quantity", numeric=False), Column("value", "value")


def _held_table(spec: ModelSpec, ask: Ask, figures: dict[str, Figure | None]) -> Table:
    """What a device holds, and its memory."""
    rows = tuple((name, figures[key] or "") for key, name in _HELD)
    return Table("", _columns(ask, "memory per device"), rows, subject=spec.name)
