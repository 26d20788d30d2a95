"""`tscale serve`: the best-case latency and throughput of a model, what bounds them, and what its tokens cost."""

from __future__ import annotations

from typing import Final, NamedTuple

from tscale.answers.capacity import capacity_data, device_figure, exit_code, verdict_note, verdict_text
from tscale.answers.explaining import notes_of
from tscale.answers.release import Asked
from tscale.answers.rent import Rent, rent_of
from tscale.answers.serve.deployment import deployment_figures, deployment_report
from tscale.answers.serve.derived import of_passes, of_request
from tscale.answers.serve.dollars import dollar_rows, dollars_of
from tscale.answers.serve.notes import percent, serve_notes
from tscale.answers.serve.parts import bound, causes, lines_data, parts_table, speed_known, steps_of_passes
from tscale.answers.serve.prediction import (
    Predicted,
    answered,
    data_of,
    load_text,
    notes_of_prediction,
    prediction_of,
    tables_of,
)
from tscale.answers.serve.times import Ask, Memory, Served, Times, memory_of, served, times_of, turning_batch
from tscale.catalogue.hardware import Hardware
from tscale.core.costs.roofline import SOURCE, Work
from tscale.core.metric import Cell, Column, Data, Figure, Missing, Report, Table, weakest
from tscale.core.number_text import duration
from tscale.core.units import BYTES, COUNT, MILLISECONDS, SECONDS, SHARE, TOKENS_PER_SECOND, USD
from tscale.errors import RequestError, field
from tscale.models.spec import ModelSpec

MILLION: Final = 10**6


def serve_report(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Report:
    """Time to the first token and of each further one, what bounds them, and what tokens cost. Exit code 3: it does not fit."""
    check_served(spec, ask)
    if ask.deployment.is_laid_out:
        return deployment_report(spec, hardware, ask)
    found = _reached(spec, hardware, ask)
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
    data = {**_data(found), "decode": lines_data(one, found.decode), "prefill": lines_data(one, found.prefill)}
    said = (*serve_notes(one, hardware, memory, found.decode), *notes_of_prediction(steady))
    notes = notes_of(spec, *said, *(() if rent is None else rent.notes()))
    passes = {"prefill": found.prefill, "decode_step": found.decode}
    steps = (
        *of_request(steady, f"{spec.name}, in steady state"),
        *of_passes(one, found.times, passes, figures, rent),
        *steps_of_passes(one),
    )
    code = exit_code(memory.capacity, memory.total)
    priced = "" if rent is None else rent.said()
    room_note = "" if memory.fits else verdict_note(memory.capacity, memory.total)
    lead = tuple(filter(None, (room_note, *found.asked.lead(), priced)))
    return Report(title, tables, data, notes, steps, code, lead=lead)


def serve_figures(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Data:
    """The figures of `serve_report` by their keys, without its lists: what a row of a sweep holds."""
    check_served(spec, ask)
    return (
        deployment_figures(spec, hardware, ask) if ask.deployment.is_laid_out else _data(_reached(spec, hardware, ask))
    )


class _Reached(NamedTuple):
    """A batch that is served at once: its passes and their times, what a device holds, and what is predicted of a steady state."""

    hardware: Hardware
    one: Served
    asked: Asked
    steady: Predicted | str
    rent: Rent | None
    prefill: list[Work]
    decode: list[Work]
    memory: Memory
    times: Times
    figures: dict[str, Figure | None]


def _reached(spec: ModelSpec, hardware: Hardware, ask: Ask) -> _Reached:
    steady = prediction_of(spec, hardware, ask)
    rent = rent_of(hardware, ask.price)
    one = served(spec, hardware, ask)
    passes = one.works(one.prompt), one.works(one.step(one.middle))
    memory, times = memory_of(one), times_of(one)
    figures = {**_figures(one, times, memory, rent), "device_bytes": device_figure(hardware)}
    asked = Asked(spec, one.ask.weights, one.ask.cache)
    return _Reached(hardware, one, asked, steady, rent, *passes, memory, times, figures)


def _data(found: _Reached) -> dict[str, Data]:
    """All that is no list of lines."""
    one, ask, figures, rent = found.one, found.one.ask, found.figures, found.rent
    room = capacity_data(found.memory.capacity, found.hardware, found.memory.total, "convention")
    return {
        "model": one.spec.name,
        "gpu": found.hardware.name,
        "gpus": ask.gpus,
        "batch": ask.batch,
        "context": ask.context,
        "output": ask.output,
        "prefix": ask.prefix,
        "dtype": one.setup.dtypes.weights.name,
        **found.asked.data(),
        "cache_dtype": one.setup.dtypes.cache.name,
        "bound": bound(one, found.decode),
        **figures,
        **_price_ranges(one, found.times, rent),
        **data_of(found.steady),
        **_predicted_dollars(found),
        "usd_per_gpu_hour": None if rent is None else rent.data(),
        **{key: value for key, value in room.items() if key not in figures},
        "decode_shares": _shares(one, found.decode),
        "prefill_shares": _shares(one, found.prefill),
    }


def _predicted_dollars(found: _Reached) -> dict[str, Data]:
    """What tokens cost as predicted; nothing where no times are."""
    return {f"predicted_{key}": figure for key, figure in dollars_of(found.steady, found.rent)}


def check_served(spec: ModelSpec, ask: Ask) -> None:
    """Raises `RequestError` for what cannot be served, or cannot be estimated here."""
    if spec.kind == "encoder":
        raise RequestError(
            f"{spec.label} is an encoder: it answers nothing token by token, so there is no decoding to time"
        )
    if spec.kind == "encoder-decoder" and (ask.prefix or ask.draft is not None or ask.by_sequences):
        raise RequestError(
            f"{spec.label} is an encoder-decoder: {field('prefix')}, {field('draft')}, {field('draft_tokens')} and {field('split_cache')} are known of decoders alone"
        )
    if ask.prefix >= ask.context:
        raise RequestError(f"a prefix of {ask.prefix:,} leaves nothing of a prompt of {ask.context:,} tokens to answer")
    if ask.draft is not None and ask.draft.spec is not None and ask.draft.spec.kind != "decoder":
        raise RequestError(
            f"{field('draft')}: {ask.draft.spec.label} is an {ask.draft.spec.kind}, and only a decoder can guess"
        )


def _shares(one: Served, lines: list[Work]) -> Data:
    return {key: Figure(share, SHARE, speed_known(one)) for key, share in causes(one, lines).items()}


def _figures(one: Served, times: Times, memory: Memory, rent: Rent | None) -> dict[str, Figure | None]:
    """Everything that follows from the times."""
    ask = one.ask
    known = speed_known(one)
    answered = times.answer(ask.output)
    batches = {matrices: turning_batch(one, matrices=matrices) for matrices in (False, True)}

    def price(hours: float) -> Figure | None:
        return None if rent is None else Figure(hours * float(rent.middle), USD, weakest(known, rent.known))

    def seconds(value: float) -> Figure:
        return Figure(value, SECONDS, known, SOURCE)

    def speed(value: float) -> Figure:
        return Figure(value, TOKENS_PER_SECOND, known)

    def from_batch(batch: int | None) -> Figure | None:
        return None if batch is None else Figure(batch, COUNT)

    return {
        "prefill_seconds": seconds(times.prefill),
        "seconds_per_token": seconds(times.per_token),
        "seconds_per_token_first": seconds(times.first),
        "seconds_per_token_last": seconds(times.last),
        "seconds_per_answer": seconds(answered),
        "tokens_per_second": speed(ask.batch / times.per_token),
        "tokens_per_second_per_user": speed(1 / times.per_token),
        "tokens_per_second_with_prefill": speed(ask.batch * ask.output / answered),
        "compute_bound_from_batch": from_batch(batches[False]),
        "matrices_compute_bound_from_batch": from_batch(batches[True]),
        "weight_bytes": Figure(memory.weights, BYTES),
        "kv_cache_bytes": Figure(memory.cache, BYTES),
        "workspace_bytes": Figure(memory.workspace, BYTES, "convention"),
        "memory_bytes": Figure(one.device.memory_bytes, BYTES, "cited"),
        "usd_per_million_input_tokens": price(_hours_in(one, times)),
        "usd_per_million_output_tokens": price(_hours_out(one, times)),
    }


def _hours_in(one: Served, times: Times) -> float:
    """Device-hours of a million tokens of prompts."""
    return one.ask.gpus * (times.prefill + times.drafting) / 3600 / (one.ask.batch * one.ask.context) * MILLION


def _hours_out(one: Served, times: Times) -> float:
    """Device-hours of a million tokens of answers."""
    return one.ask.gpus * times.per_token / 3600 / one.ask.batch * MILLION


def _price_ranges(one: Served, times: Times, rent: Rent | None) -> dict[str, Data]:
    """What a million tokens cost at the lowest and the highest price; None where there is no range."""
    hours = {"input": _hours_in(one, times), "output": _hours_out(one, times)}
    return {f"usd_per_million_{way}_tokens_range": rent and rent.range(spent) for way, spent in hours.items()}


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


def _speeds(title: str, found: _Reached) -> list[Table]:
    """What is predicted, where it is, before the best case: the CSV is of the latter, which every answer has."""
    dollars = tuple(dollar_rows(dict(dollars_of(found.steady, found.rent)), found.rent))
    predicted = [
        table._replace(rows=(*table.rows, *dollars), aside=True)
        for table in tables_of(found.steady, found.one.spec.name)
    ]
    tables = [*predicted, _best_case(found)]
    return [tables[0]._replace(title=title), *tables[1:]]


def _best_case(found: _Reached) -> Table:
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
