"""What a deployment does in steady state, predicted from calibrated constants, beside the bound that no run passes.

`serve` bounds a batch that is prefilled at once; here requests come as others leave, `concurrency` of them at any time, and each
prompt is taken in beside the decoding of others.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from tscale.calibration.interval import Interval
from tscale.calibration.serving_calibration import (
    Calibration,
    Measured,
    Others,
    Prediction,
    for_another_source,
    predict,
    shipped,
    spread_of,
)
from tscale.calibration.serving_case import Pool, ServingCase
from tscale.calibration.serving_deployed import OverCapacityError
from tscale.calibration.serving_groups import way_of
from tscale.catalogue.hardware import Hardware
from tscale.catalogue.judged import judged
from tscale.core.costs.weights import Mixture, kept_in
from tscale.core.dtypes import DTYPES, Dtype
from tscale.core.ledger import Ledger, Matmul
from tscale.core.metric import Data, Figure
from tscale.core.number_text import significant
from tscale.core.serving_layout import ServingLayout
from tscale.core.units import BYTES_PER_SECOND, COUNT, REQUESTS_PER_SECOND, SECONDS, SHARE, TOKENS_PER_SECOND, Unit
from tscale.core.view import interval
from tscale.errors import RequestError, field
from tscale.estimates.deployment import Deployment, Engine
from tscale.estimates.judged import errors_data
from tscale.estimates.memory.layout import degrees_of
from tscale.estimates.release import cache_format_of, format_of
from tscale.estimates.serve.times import Ask, Draft, sixteen_bit_peak
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec

End = Literal["low", "middle", "high"]
MOST: Final = 10**6
"""The most requests at once that a rate is looked for among."""
_MORE: Final = 1.001
"""How many more requests twice as many at once come to, at the least; where they do not, prompts are what they all wait for."""
GUESSERS: Final = ("n-gram", "head")
"""What guesses that was measured: n-grams of the prompt and the answer, at no cost, and heads such as EAGLE and MTP."""
_MOST_BYTES: Final = 4 * 2**20


class OtherUnitsError(RequestError):
    """A measured run that is of no deployment like the one that is asked about."""


class Predicted(NamedTuple):
    """A deployment and what is predicted of it; or why nothing is."""

    case: ServingCase
    calibration: Calibration
    times: Prediction | None
    refused: str = ""
    slow_refused: str = ""
    """Why the slow end of the interval does not carry the rate that is asked for."""

    @property
    def requests_per_second(self) -> float:
        """Requests that are answered a second, over all devices."""
        assert self.times is not None
        return self.case.concurrency / self.times.latency.middle


def predicted(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Predicted:
    """What is predicted of a request, or that it is over capacity. Raises `RequestError` where it cannot be asked."""
    deployment = ask.deployment
    case = case_of_ask(spec, hardware, ask, deployment)
    one = deployment.measured
    measured = None
    if one is not None:
        tpot, ttft = (None if value is None else float(value) for value in (one.tpot, one.ttft))
        measured = Measured(one.concurrency, tpot, ttft)
    calibration = for_another_source(calibration_of(deployment))
    if measured is not None:
        _refuse_other_units(case, calibration, measured)
    try:
        if deployment.rate is not None:
            return _predicted_at(case, calibration, float(deployment.rate), measured)
        return Predicted(case, calibration, predict(case, calibration, measured))
    except OverCapacityError as error:
        return Predicted(case, calibration, None, str(error))


def _refuse_other_units(case: ServingCase, calibration: Calibration, measured: Measured) -> None:
    """Raises `OtherUnitsError` for times that no deployment like it takes: milliseconds in the place of seconds, or a slip."""
    try:
        alone = predict(case._replace(concurrency=measured.concurrency), calibration)
    except OverCapacityError:
        return
    for what, seconds, found in (
        ("per output token", measured.tpot, alone.tpot.middle),
        ("to the first token", measured.ttft, alone.ttft.middle),
    ):
        if seconds is not None and not found / _SLIP < seconds < found * _SLIP:
            raise OtherUnitsError(
                f"{field('measured')}: {significant(seconds)} s {what} is not of this deployment, of which about {significant(found)} s "
                f"is predicted with {measured.concurrency:,} requests: give seconds"
            )


_SLIP: Final = 100
"""How many times off a measured time is that was written in another unit; no run of the tables is a tenth of that."""


def _predicted_at(case: ServingCase, calibration: Calibration, rate: float, measured: Measured | None) -> Predicted:
    """The same of requests that come at a rate, which each end of an interval carries by the requests that are then in progress.

    `plan --serve` asks the slow end of the load in the same way. Where that carries no such rate, its times are those of the middle's
    requests. Raises `OverCapacityError` where the middle does not.
    """
    case = at_rate(case, calibration, rate, measured)
    times = predict(case, calibration, measured)
    fast = predict(at_rate(case, calibration, rate, measured, "low"), calibration, measured)
    slow, why = times, ""
    try:
        slow = predict(at_rate(case, calibration, rate, measured, "high"), calibration, measured)
    except OverCapacityError as error:
        why = str(error)
    spread = {
        name: getattr(times, name)._replace(low=getattr(fast, name).low, high=getattr(slow, name).high)
        for name in ("tpot", "ttft", "latency")
    }
    return Predicted(case, calibration, times._replace(**spread), slow_refused=why)


def calibration_of(deployment: Deployment) -> Calibration:
    """The shipped calibration, or it with one's own deviations. Raises `SpecError` for a file that is none."""
    if not deployment.calibration:
        return shipped()
    from tscale.calibration.serving_own import with_groups
    from tscale.models.yaml_file import read_text

    return with_groups(
        shipped(), read_text(deployment.calibration, _MOST_BYTES, "a calibration is smaller"), deployment.calibration
    )


def at_rate(
    case: ServingCase, calibration: Calibration, rate: float, measured: Measured | None, end: End = "middle"
) -> ServingCase:
    """The case with as many requests at once as answer `rate` a second (Little's law), at an end of the interval of their latency.

    Raises:
        OverCapacityError: where no number of them that the cache holds does, with the largest rate that one does.
    """
    low, high, most, carried = 0, 1, MOST, 0.0
    while True:
        try:
            found = _rate(case, calibration, high, measured, end)
        except OverCapacityError as error:
            if not max(low, 1) <= error.holds < high:
                raise
            high = most = error.holds
            continue
        before, carried = carried, max(carried, found)
        if found >= rate:
            break
        if high >= most or found < _MORE * before:
            raise OverCapacityError(_carried(case, carried, rate, min(high, most), most), most)
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _rate(case, calibration, middle, measured, end) >= rate else (middle, high)
    return case._replace(concurrency=high)


def _carried(case: ServingCase, carried: float, rate: float, tried: int, most: int) -> str:
    """That a rate is more than is carried, and what is."""
    why = ", and more of them come to no more" if tried < most else "" if most == MOST else ", all that the cache holds"
    return (
        f"over capacity: at most {significant(carried)} requests/s are predicted, with {tried:,} concurrent requests of "
        f"{round(case.prompt + case.output):,} tokens{why}; {significant(rate, 6)} are asked for, and the rest would queue, which is not predicted"
    )


def _rate(case: ServingCase, calibration: Calibration, concurrency: int, measured: Measured | None, end: End) -> float:
    latency = predict(case._replace(concurrency=concurrency), calibration, measured).latency
    return concurrency / float(getattr(latency, end))


def case_of_ask(spec: ModelSpec, hardware: Hardware, ask: Ask, deployment: Deployment) -> ServingCase:
    """The deployment that a request describes. Raises `RequestError` for a model that is not served so, or a wrong layout."""
    if spec.kind != "decoder":
        raise RequestError(f"{spec.label} is an {spec.kind}: the calibration knows decoders alone")
    if spec.image_positions:
        raise RequestError(f"layers of {spec.label} attend to images: the calibration knows no run of such layers")
    ledger = lower(spec)
    weights = format_of(spec, ask.weights)
    layout = deployment.layout or ServingLayout(tensor=ask.gpus, expert_tensor=ask.gpus)
    decode = _pool(layout, spec)
    cache = ask.cache or (cache_format_of(None, weights) if isinstance(weights, Mixture) else DTYPES["bf16"])
    attention, experts = _words(ledger, weights)
    case = ServingCase(
        spec,
        hardware,
        deployment.engine,
        deployment.version,
        attention,
        experts,
        float(ask.context),
        float(ask.output),
        ask.batch,
        decode if deployment.prefill is None else _pool(deployment.prefill, spec),
        decode,
        deployment.prefill is not None,
        prefix=ask.prefix,
        kept=weights,
        cache=cache,
        host=0.0 if ask.host is None else 1e9 * float(ask.host),
        tower_seconds=ask.tower_flops / sixteen_bit_peak(hardware.device()) if ask.tower_flops else 0.0,
        chunk=deployment.chunk,
        by_default=True,
    )
    return case if ask.draft is None else _with_guesses(case, ask, ask.draft, deployment.engine)


def _with_guesses(case: ServingCase, ask: Ask, draft: Draft, engine: Engine) -> ServingCase:
    """The same with tokens that are guessed: by a model on the same devices, or at no cost."""
    guessing = None
    if draft.spec is not None:
        alone = case_of_ask(draft.spec, case.hardware, ask._replace(draft=None), Deployment(engine))
        prefill, decode = _undivided(case.prefill), _undivided(case.decode)
        guessing = alone._replace(prefill=prefill, decode=decode, disaggregated=case.disaggregated)
    return case._replace(guesses=draft.tokens, yielded=draft.expected, draft=guessing, is_head=draft.is_head)


def _undivided(pool: Pool) -> Pool:
    """A pool that holds a draft: its experts, if it has any, are cut over all devices, and its layers stand in one stage."""
    layout = pool.layout
    return Pool(
        ServingLayout(layout.tensor, 1, 1, layout.tensor * layout.attention_data, layout.attention_data), pool.workers
    )


def _pool(layout: ServingLayout, spec: ModelSpec) -> Pool:
    """A pool of copies of a layout. Raises `RequestError` for stages that are not alike: each is timed as an equal part of the model."""
    if layout.pipeline > spec.layers:
        raise RequestError(
            f"{spec.layers} layers are fewer than {layout.pipeline} stages: use {field('pipeline', int(spec.layers))} at most"
        )
    if layout.layers:
        layers = int(spec.layers)
        named, even = (
            sorted(one.size for one in way.stretches(layers)) for way in (layout, layout._replace(layers=()))
        )
        if named != even:
            raise RequestError(
                f"stages of unequal layers are not timed: leave {field('stages')} out; `tscale memory` shows what such stages hold"
            )
    return Pool(layout._replace(replicas=1), layout.replicas)


def _words(ledger: Ledger, weights: Dtype | Mixture) -> tuple[str, str]:
    """The formats of attention and of routed experts, by the names that groups of constants go by."""
    names = {"attention": "bf16", "experts": ""}
    for kept in kept_in(ledger, weights):
        entry = kept.entry
        if isinstance(entry, Matmul) and (entry.part == "attention" or entry.experts > 1):
            names["experts" if entry.experts > 1 else "attention"] = kept.format.name
    return names["attention"], names["experts"] or names["attention"]


def prediction_of(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Predicted | str:
    """What is predicted of a request; or in words why a prediction is not made, where bounds can be given.

    Raises:
        OtherUnitsError: for a measured run that cannot be one of this deployment.
    """
    if ask.deployment.bound:
        return "bounds alone are asked for"
    if ask.by_sequences:
        return "a cache that is split by sequences was not measured"
    try:
        return predicted(spec, hardware, ask)
    except OtherUnitsError:
        raise
    except RequestError as error:
        return str(error)


def data_of(found: Predicted | str) -> dict[str, Data]:
    """The prediction as data: intervals in seconds with their bounds, speeds by the middle, and the calibration."""
    if isinstance(found, str):
        return {"ttft_seconds": None, "tpot_seconds": None, "not_predicted": found}
    case, times = found.case, found.times
    head: dict[str, Data] = {
        "engine": case.engine,
        "engine_version": case.version or None,
        "devices": case.devices,
        "concurrency": case.concurrency,
        "chunk": case.chunk_tokens,
        "host_bytes_per_second": Figure(round(case.host), BYTES_PER_SECOND, "exact") if case.host else None,
        "layout": pool_data(case.decode),
        "prefill_layout": pool_data(case.prefill) if case.disaggregated else None,
    }
    if times is None:
        return {**head, "over_capacity": found.refused, "ttft_seconds": None, "tpot_seconds": None}
    figures: dict[str, Data] = {
        "over_capacity": None,
        "ttft_seconds": interval(times.ttft, SECONDS, "predicted"),
        "ttft_seconds_at_least": Figure(times.ttft_bound, SECONDS, "bound"),
        "tpot_seconds": interval(times.tpot, SECONDS, "predicted"),
        "tpot_seconds_at_least": Figure(times.tpot_bound, SECONDS, "bound"),
        "latency_seconds": interval(times.latency, SECONDS, "predicted"),
        "latency_seconds_at_least": Figure(times.latency_bound, SECONDS, "bound"),
    }
    speeds = {key: Figure(value, unit, "predicted") for key, (_, value, unit) in speeds_of(found).items()}
    return {
        **head,
        **figures,
        **speeds,
        **_taken_in(case, times),
        "calibration": calibration_data(found),
        "errors": errors_of_guesses(case),
    }


def errors_of_guesses(case: ServingCase) -> list[dict[str, Data]]:
    """How far speed-ups by what guesses are from measured ones; nothing of a draft model, which no run judges."""
    by = guesser_of(case)
    return [] if by is None else errors_data([(f"speculative_{by.replace('-', '_')}", judged("speculative", by))])


def guesser_of(case: ServingCase) -> str | None:
    """By which of `GUESSERS` the guesses of a case are judged: heads, or n-grams where they cost nothing; None where nothing judges them."""
    n_gram, head = GUESSERS
    if not case.guesses or (case.draft is not None and not case.is_head):
        return None
    return head if case.is_head else n_gram


def speeds_taken_in(case: ServingCase, times: Prediction) -> tuple[Interval, float] | None:
    """Tokens of prompts that a device takes in each second, with an interval, and the most; None where prompts have no pool."""
    if not case.disaggregated:
        return None
    layout, of = case.prefill.layout, times.prefill
    tokens = case.prompt / layout.tensor / layout.pipeline
    return Interval(tokens / of.high, tokens / of.middle, tokens / of.low), tokens / times.prefill_bound


def _taken_in(case: ServingCase, times: Prediction) -> dict[str, Data]:
    """The speeds by their keys; null where prompts have no pool of their own."""
    speeds = speeds_taken_in(case, times)
    within = None if speeds is None else interval(speeds[0], TOKENS_PER_SECOND, "predicted")
    most = None if speeds is None else Figure(speeds[1], TOKENS_PER_SECOND, "bound")
    return {"prompt_tokens_per_second_per_gpu": within, "prompt_tokens_per_second_per_gpu_at_most": most}


def pool_data(pool: Pool) -> dict[str, Data]:
    """The degrees of a pool, and how many workers have them."""
    return {**degrees_of(pool.layout), "replicas": pool.workers}


def speeds_of(found: Predicted) -> dict[str, tuple[str, float, Unit]]:
    """Speeds by the middle: the key, the words, the value and its unit."""
    assert found.times is not None
    case, requests = found.case, found.requests_per_second
    tokens = requests * case.output
    return {
        "predicted_tokens_per_second_per_user": ("tokens/s per user", 1 / found.times.tpot.middle, TOKENS_PER_SECOND),
        "predicted_tokens_per_second_per_gpu": ("tokens/s per device", tokens / case.devices, TOKENS_PER_SECOND),
        "predicted_tokens_per_second": ("tokens/s, all users", tokens, TOKENS_PER_SECOND),
        "requests_per_second": ("requests/s", requests, REQUESTS_PER_SECOND),
    }


def calibration_data(found: Predicted) -> Data:
    """Which calibration it is, and how far it is off on runs that it was not fitted to."""
    assert found.times is not None
    spreads = {
        figure: spread_of(found.calibration, figure, found.times.known, way_of(found.case))
        for figure in ("tpot", "ttft", "latency")
    }
    return {
        "name": found.calibration.name,
        "known": found.times.known,
        "kind": found.times.kind,
        "runs": found.calibration.runs,
        "median_error": {figure: Figure(spread.median, SHARE, "measured") for figure, spread in spreads.items()},
        "judged_runs": spreads["tpot"].runs,
        "judged_runs_left_out": True,
        **_of_sources(found.times, found.calibration.others),
    }


def _of_sources(times: Prediction, others: Others) -> dict[str, Data]:
    """How far predictions are off runs of other sources, as which intervals are wide, and the intervals of the fitted one; null where they are these."""
    own = times.fitted_source
    if own is None:
        return {"other_sources": None, "fitted_source": None}
    median, runs = Figure(others.median, SHARE, "measured"), Figure(others.runs, COUNT, "measured")
    ends: dict[str, Data] = {
        f"{name}_seconds": interval(of, SECONDS, "predicted") for name, of in own._asdict().items()
    }
    return {
        "other_sources": {"sources": len(others.sources), "runs": runs, "median_error": median},
        "fitted_source": ends,
    }
