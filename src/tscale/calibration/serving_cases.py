"""A measured deployment, as a row of a table or a request states it, and what its devices do in a pass.

A row's columns are those of configs/measured/serving.csv. Disaggregated rows have a pool for prefill and one for decoding, each with
degrees of its own; others have one pool for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Final

from tscale.blocks.experts import Experts
from tscale.calibration.names import hardware_of, model_of
from tscale.calibration.serving_case import Passes, Pool, ServingCase
from tscale.calibration.serving_deployed import FOUR_BITS, generation_of, kind_of, worker_of
from tscale.calibration.serving_settings import Run, scheduling_of
from tscale.catalogue.hardware import Hardware
from tscale.core.costs.serving_grouped import rows_of
from tscale.core.costs.serving_prediction import BEGUN, Chip, Load, ServingConstants, StepCurve, step_curve
from tscale.core.costs.serving_share import Deployed
from tscale.core.costs.serving_work import PassWork, decoding, prefilling, ways_of
from tscale.core.dtypes import find_format
from tscale.core.elementwise import larger, smaller
from tscale.core.serving_layout import ServingLayout
from tscale.core.tracing import is_one
from tscale.errors import RequestError, shown

ENGINES: Final = ("trtllm", "sglang", "vllm")
_DRAWN: Final = {(1024, 1024), (8192, 1024), (1024, 8192)}
"""Lengths of public benchmarks, which draw between 80% and 100% of both, unless a row says that it does not."""
DRAWN_NOTE: Final = (
    "Runs of 1,024 tokens in and out, 8,192 in and 1,024 out, and 1,024 in and 8,192 out are taken to draw their lengths between 80% and "
    "100% of these, as public benchmarks do; with a column drawn, which says no, they are of these lengths."
)
EXPONENTIAL: Final = "exponential"
"""What a row says of its lengths, which are then means, where answers differ as those of conversations do."""
_EVENLY: Final = 0.5
_EXPONENTIALLY: Final = 1.0
"""Of answers of length X a step meets long ones more often, in proportion to X, each half written on average: E[X²]/(2·E[X]) tokens, which is
the mean for exponential lengths and half of it for equal ones (renewal theory: the age of a process in steady state)."""
_DRAWN_WAYS: Final = ("", "yes", "no", EXPONENTIAL)
_DEFAULT: Final = "default"
_MEAN_DRAW: Final = 0.9
_LEAST_DRAW: Final = 0.8


def case_of(row: Mapping[str, str]) -> ServingCase:
    """The deployment of a row. Raises `TscaleError` for one that is not known, or that cannot be."""
    spec, hardware = model_of(row["model"]), _joined(row["gpu"], whole_number(row, "node", 0))
    prompt, output = whole_number(row, "isl"), whole_number(row, "osl")
    drawn = _is_drawn(row.get("drawn", ""), usual=(prompt, output) in _DRAWN)
    share = _MEAN_DRAW if drawn else 1.0
    split = _is_split(row.get("mode", ""))
    routed = any(isinstance(block, Experts) for block in spec.feed_forwards)
    decode = _pool(row, "decode_" if split else "", routed=routed)
    prefill = _pool(row, "prefill_", routed=routed) if split else decode
    engine = row["engine"]
    if engine not in ENGINES:
        raise RequestError(f"engine {shown(engine)} is not known: one of {', '.join(ENGINES)}")
    concurrency, weights = whole_number(row, "concurrency"), row.get("weights", "")
    workers = decode.workers if split else 0
    sizes = (prompt, output, concurrency, decode.layout.tensor, decode.layout.attention_data, workers)
    run = Run(engine, spec.name, hardware.name, kind_of(weights), row.get("measured", ""), sizes)
    return ServingCase(
        spec,
        hardware,
        engine,
        row.get("engine_version", ""),
        weights,
        row.get("experts_weights", "") or weights,
        share * prompt,
        share * output,
        concurrency,
        prefill,
        decode,
        split,
        _LEAST_DRAW / _MEAN_DRAW if drawn else 1.0,
        scheduling=scheduling_of(row, run),
        chunk=whole_number(row, "chunk", 0),
        cache=find_format(row["cache"], what="column cache", cache=True) if row.get("cache") else None,
        by_default=_is_default(row.get("cache_memory", "")),
        begun=_begun(row, concurrency),
        written=_EXPONENTIALLY if row.get("drawn") == EXPONENTIAL else _EVENLY,
    )


@cache
def _joined(gpu: str, node: int) -> Hardware:
    """An accelerator, of which the link joins `node` devices where a row says so: cards without a bridge are each a node of their own."""
    found = hardware_of(gpu)
    return replace(found, devices_per_node=node) if node else found


def _begun(row: Mapping[str, str], concurrency: int) -> float:
    """The share of a row's requests that came at once, where it says of how many its times to first token or per output token are means."""
    if not row.get("requests") or not (row.get("ttft_ms") or row.get("tpot_ms")):
        return BEGUN
    return min(1.0, whole_number(row, "at_once", concurrency) / whole_number(row, "requests"))


def _is_default(said: str) -> bool:
    """Whether caches have what the engine gives them by default, as a row says."""
    if said not in ("", _DEFAULT):
        raise RequestError(f"column cache_memory: {_DEFAULT} or nothing, not {shown(said)}")
    return said == _DEFAULT


def _pool(row: Mapping[str, str], pool: str, *, routed: bool) -> Pool:
    """The workers of a row's pool: of both where `pool` is empty. What a row says of experts that a model has not is passed over."""
    tensor, copies = whole_number(row, f"{pool}tensor"), whole_number(row, f"{pool}attention_data", 1)
    own = tensor * copies
    expert = whole_number(row, f"{pool}expert_parallel", 1) if routed else 1
    rest = max(1, own // expert)
    if pool:
        return Pool(ServingLayout(tensor, 1, expert, rest, copies), whole_number(row, f"{pool}workers"))
    cut, pipeline = whole_number(row, "expert_tensor", rest) if routed else own, whole_number(row, "pipeline", 1)
    return Pool(ServingLayout(tensor, pipeline, expert, cut, copies), _workers(row, own * pipeline))


def _workers(row: Mapping[str, str], each: int) -> int:
    """The copies of a row's deployment, of so many devices each: its replicas, or as many as its devices are."""
    workers = whole_number(row, "replicas", max(1, whole_number(row, "gpus", each) // each))
    devices = whole_number(row, "gpus", workers * each)
    if row.get("replicas") and devices != workers * each:
        raise RequestError(f"column replicas: {workers:,} of {each:,} devices are not the {devices:,} of column gpus")
    return workers


def _is_split(mode: str) -> bool:
    """Whether a row has a pool for prefill and one for decoding; one for both where it does not say."""
    if mode not in ("", "agg", "disagg"):
        raise RequestError(f"column mode: agg, disagg or nothing, not {shown(mode)}")
    return mode == "disagg"


def _is_drawn(said: str, *, usual: bool) -> bool:
    """Whether a row's lengths are drawn from those of public benchmarks: as it says, or as is usual of them."""
    if said not in _DRAWN_WAYS:
        raise RequestError(f"column drawn: yes, no, exponential or nothing, not {shown(said)}")
    return said == "yes" if said else usual


def whole_number(row: Mapping[str, str], column: str, default: int | None = None) -> int:
    """A whole number from 1 on; `default` where nothing is said and there is one."""
    text = (row.get(column) or "").strip()
    if not text and default is not None:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < 1 or len(text) > 9:
        raise RequestError(f"column {column}: write a whole number of at least 1, not {shown(text)}")
    return int(text)


def passes_of(case: ServingCase) -> Passes:
    """What the devices of a case do, at the mean lengths. Raises `RequestError` where a layout does not divide the model."""
    return _passes(case, *_mean_lengths(case))


def least_passes(case: ServingCase, mean: Passes) -> Passes:
    """The same at the shortest lengths and with a prompt that is alone, for a bound; `mean`: of the same case, at the mean lengths.

    As many decode as the case says: of pools apart, `decoding` of 0 leaves one sequence of each copy of attention.
    """
    keys, prompt = _least_lengths(case)
    if (keys, prompt) != _mean_lengths(case):
        return _passes(case, keys, prompt, alone=True)
    return mean._replace(prefill=_own_prefill(case, mean.full, prompt, 1.0))


def _mean_lengths(case: ServingCase) -> tuple[int, int]:
    """Keys of a step, of sequences on average, and tokens of a prompt."""
    return max(1, round(case.prompt + case.output * case.written)), round(case.prompt)


def _least_lengths(case: ServingCase) -> tuple[int, int]:
    prompt = case.prompt * case.shortest
    return max(1, int(prompt + case.output * case.shortest / 2)), int(prompt)


def step_curve_of(case: ServingCase, chip: Chip, load: Load, constants: ServingConstants) -> StepCurve:
    """Seconds of such a step by the sequences of an attention rank, over all stages."""
    keys, new = _mean_lengths(case)[0], 1 + case.guesses
    worker, stages = worker_of(case, case.decode), case.decode.layout.pipeline
    return step_curve(worker, keys, new, chip, load, constants, stages)


def step_of(case: ServingCase) -> PassWork:
    """What the devices of a case do in a step of decoding, as in `passes_of`."""
    return _step(case, worker_of(case, case.decode), _mean_lengths(case)[0])


def least_step(case: ServingCase) -> PassWork:
    """The same at the shortest lengths, as in `least_passes`."""
    return _step(case, worker_of(case, case.decode), _least_lengths(case)[0])


def _step(case: ServingCase, decoder: Deployed, keys: int) -> PassWork:
    return decoding(decoder, at_once(case, case.batch), keys, 1 + case.guesses)


def at_once(case: ServingCase, batch: float) -> float:
    """Sequences that a step of an attention rank decodes, of so many over all stages: the part of a stage."""
    return larger(1.0, batch / case.decode.layout.pipeline)


def _passes(case: ServingCase, keys: int, prompt: int, *, alone: bool = False) -> Passes:
    decoder = worker_of(case, case.decode)
    prefiller = worker_of(case, case.prefill)
    full = _prefill(case, prefiller, prompt)
    beside = full if prefiller is decoder else prefilling(decoder, max(prompt, case.prefix + 1), case.prefix)
    beside = beside._replace(packed=float(kind_of(case.experts) in FOUR_BITS))
    copies = case.prefill.layout.attention_data
    together = 1.0 if alone else smaller(copies, larger(1.0, case.concurrency / case.prefill.workers))
    return Passes(_step(case, decoder, keys), beside, _own_prefill(case, full, prompt, together), full)


def _own_prefill(case: ServingCase, full: PassWork, prompt: int, together: float) -> PassWork:
    """A pass of prompts on so many copies of attention; `full`: on all."""
    if is_one(case.prefill.layout.attention_data):
        return full
    return _prefill(case, worker_of(case, case.prefill), prompt, together)


def _prefill(case: ServingCase, prefiller: Deployed, prompt: int, together: float | None = None) -> PassWork:
    """A pass of prompts, with what comes of the host's memory and what towers do."""
    prompt = max(prompt, case.prefix + 1)
    work = prefilling(prefiller, prompt, case.prefix, together)
    work = work._replace(rows=_rows(case, prefiller, prompt - case.prefix, together))
    if case.host and case.prefix:
        work = work._replace(loaded=prefiller.sequence_bytes(case.prefix))
    if case.tower_seconds:
        more = case.tower_seconds * work.dense.peak / case.prefill.layout.ranks
        work = work._replace(dense=work.dense._replace(flops=work.dense.flops + more))
    return work


_GROUPING: Final = ("sglang", "vllm")
"""Engines that send tokens by DeepEP and multiply them by DeepGEMM where experts are spread over nodes."""


def is_grouped(case: ServingCase) -> bool:
    """Whether experts of prompts are spread over nodes and go through kernels of published rates: those in 8 bits on Hopper."""
    known = kind_of(case.experts) == "fp8" and generation_of(case.hardware) == "fp8" and case.engine in _GROUPING
    return known and ways_of(worker_of(case, case.prefill)).over_nodes


def _rows(case: ServingCase, prefiller: Deployed, new: int, together: float | None) -> float:
    """Tokens that an expert multiplies at once by such kernels; 0 of others. Where all copies have prompts, their steps are full."""
    if not is_grouped(case):
        return 0.0
    chunk = case.chunk_tokens
    return (
        rows_of(prefiller, chunk, prefiller.copies)
        if together is None
        else rows_of(prefiller, smaller(new, chunk), together)
    )
