"""A batch that is served at once: its passes, times, memory and dollars as figures, and what is predicted of a steady state."""

from __future__ import annotations

from typing import Final, NamedTuple

from tscale.catalogue.hardware import Hardware
from tscale.core.costs.roofline import SOURCE, Work
from tscale.core.metric import Data, Figure, weakest
from tscale.core.units import BYTES, COUNT, SECONDS, SHARE, TOKENS_PER_SECOND, USD
from tscale.errors import RequestError, field
from tscale.estimates.capacity import capacity_data, device_figure
from tscale.estimates.release import Asked
from tscale.estimates.rent import Rent, rent_of
from tscale.estimates.serve.deployed import deployment_figures
from tscale.estimates.serve.dollars import dollars_of
from tscale.estimates.serve.parts import bound, causes, speed_known
from tscale.estimates.serve.prediction import Predicted, data_of, prediction_of
from tscale.estimates.serve.times import Ask, Memory, Served, Times, memory_of, served, times_of, turning_batch
from tscale.models.spec import ModelSpec

MILLION: Final = 10**6


def serve_figures(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Data:
    """The figures of `serve_report` by their keys, without its lists: what a row of a sweep holds."""
    check_served(spec, ask)
    return (
        deployment_figures(spec, hardware, ask)
        if ask.deployment.is_laid_out
        else reached_data(reached(spec, hardware, ask))
    )


class Reached(NamedTuple):
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


def reached(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Reached:
    """The passes of a batch and what follows from them. Raises `RequestError` where no time can be estimated."""
    steady = prediction_of(spec, hardware, ask)
    rent = rent_of(hardware, ask.price)
    one = served(spec, hardware, ask)
    passes = one.works(one.prompt), one.works(one.step(one.middle))
    memory, times = memory_of(one), times_of(one)
    figures = {**_figures(one, times, memory, rent), "device_bytes": device_figure(hardware)}
    asked = Asked(spec, one.ask.weights, one.ask.cache)
    return Reached(hardware, one, asked, steady, rent, *passes, memory, times, figures)


def reached_data(found: Reached) -> dict[str, Data]:
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


def _predicted_dollars(found: Reached) -> dict[str, Data]:
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
