"""How the answer of `serve` was made of its passes: the bounds of a request, its predicted latency, speeds and dollars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tscale.core.adding import in_order
from tscale.core.costs.roofline import SOURCE, Work
from tscale.core.metric import Figure, Step
from tscale.core.units import REQUESTS_PER_SECOND, SECONDS, TOKENS_PER_SECOND
from tscale.estimates.derived import derived, summed
from tscale.estimates.rent import Rent
from tscale.estimates.serve.parts import speed_known
from tscale.estimates.serve.prediction import Predicted
from tscale.estimates.serve.times import Served, Times


def of_request(steady: Predicted | str, subject: str) -> Iterator[Step]:
    """The predicted latency of a request, and the speeds that follow from it."""
    if isinstance(steady, str) or steady.times is None:
        return
    case, times = steady.case, steady.times
    numbers = {
        "ttft": times.ttft.middle,
        "tpot": times.tpot.middle,
        "output": case.output,
        "concurrency": case.concurrency,
        "latency": times.latency.middle,
        "requests_per_second": steady.requests_per_second,
        "devices": case.devices,
    }
    latency = Figure(times.latency.middle, SECONDS, "predicted")
    yield from derived("latency", "ttft + output·tpot", numbers, latency, subject)
    requests = Figure(steady.requests_per_second, REQUESTS_PER_SECOND, "predicted")
    yield from derived("requests_per_second", "concurrency/latency", numbers, requests, subject)
    speed = Figure(steady.requests_per_second * case.output / case.devices, TOKENS_PER_SECOND, "predicted")
    yield from derived("tokens_per_second_per_gpu", "requests_per_second·output/devices", numbers, speed, subject)


def of_passes(
    one: Served, times: Times, works: Mapping[str, list[Work]], figures: Mapping[str, Figure | None], rent: Rent | None
) -> Iterator[Step]:
    """The best case: a pass is the sum of its parts, and a million tokens cost the devices for as long as they take."""
    ask, subject = one.ask, one.spec.name
    for name, lines in works.items():
        parts = {f"{line.name}, time": one.seconds(line) for line in lines}
        if name == "prefill" and times.towers:
            parts["towers, time"] = times.towers
        seconds = Figure(in_order(parts.values()), SECONDS, speed_known(one), SOURCE)
        yield from summed(f"{name}_seconds", parts, seconds, f"{subject}, {_PASSES[name]}")
    numbers = {
        **{key: float(figure.value) for key, figure in figures.items() if figure is not None},
        "output": ask.output,
        "drafting": times.drafting,
        "gpus": ask.gpus,
        "batch": ask.batch,
        "context": ask.context,
    }
    if ask.draft is None:
        numbers["all_decoding_seconds"] = times.per_token * ask.steps
        numbers["steps"] = ask.steps
        per_token = figures["seconds_per_token"]
        yield from derived("seconds_per_token", "all_decoding_seconds/steps", numbers, per_token, subject)
    answer = "prefill_seconds + drafting + (output - 1)·seconds_per_token"
    yield from derived("seconds_per_answer", answer, numbers, figures["seconds_per_answer"], subject)
    if rent is not None:
        numbers["price"] = float(rent.middle)
        for name, formula in _DOLLARS.items():
            yield from derived(name, formula, numbers, figures[name], subject)


_PASSES: Final = {"prefill": "prefill", "decode_step": "decoding, in the middle of the answer"}
_DOLLARS: Final = {
    "usd_per_million_input_tokens": "gpus·(prefill_seconds + drafting)/3600/(batch·context)·1000000·price",
    "usd_per_million_output_tokens": "gpus·seconds_per_token/3600/batch·1000000·price",
}
