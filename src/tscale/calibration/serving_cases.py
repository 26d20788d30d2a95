"""A measured deployment, as a row of a table or a request states it, and what its devices do in a pass.

A row's columns are those of configs/measured/serving.csv. Disaggregated rows have a pool for prefill and one for decoding, each with
degrees of its own; others have one pool for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Final, Literal, TypeVar, cast

from tscale.blocks.experts import Experts
from tscale.calibration.names import hardware_of, model_of
from tscale.calibration.serving_case import Passes, Pool, ServingCase, cluster_of
from tscale.calibration.serving_settings import Run, scheduling_of
from tscale.catalogue.hardware import Hardware
from tscale.core.costs.roofline import Dtypes
from tscale.core.costs.serving_grouped import rows_of
from tscale.core.costs.serving_prediction import Chip, Load, ServingConstants, StepCurve, step_curve
from tscale.core.costs.serving_share import Deployed, cut_over, spread_over
from tscale.core.costs.serving_work import PassWork, decoding, prefilling, ways_of
from tscale.core.costs.weights import Mixture, Rule, is_converted, mixture, of_stage, tower_bytes
from tscale.core.costs.workspace import activation_bytes
from tscale.core.dtypes import DTYPES, Dtype, computed_in, find_format
from tscale.core.elementwise import larger, smaller
from tscale.core.ledger import Ledger, Matmul
from tscale.core.parallelism import Parallelism
from tscale.core.serving_layout import ServingLayout
from tscale.core.sharding import serving_share
from tscale.core.tracing import is_one
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError, TscaleError, field, shown
from tscale.models.lower import lower
from tscale.models.release import released
from tscale.models.spec import ModelSpec
from tscale.models.stages import stages, with_ends

ENGINES: Final = ("trtllm", "sglang", "vllm")
Kind = Literal["bf16", "fp8", "fp4", "int4"]
"""Formats of weights as kernels go: what they are kept in and multiplied as."""

_FORMATS: Final = {
    "": "bf16",
    "float16": "bf16",
    "fp8_block": "fp8-128x128",
    "int4_wo": "int4-g32-sym",
    "w4a16": "int4-g32-sym",
    "int4": "int4-g32-sym",
    "int8_wo": "int8-row-sym",
    "w4a16_mxfp4": "mxfp4",
    "w4a8_mxfp4_mxfp8": "mxfp4",
}
"""What the formats of tables are called here; int4 is Kimi K2's, of groups of 32."""
_DRAWN: Final = {(1024, 1024), (8192, 1024), (1024, 8192)}
"""Lengths of public benchmarks, which draw between 80% and 100% of both, unless a row says that it does not."""
DRAWN_NOTE: Final = (
    "Runs of 1,024 tokens in and out, 8,192 in and 1,024 out, and 1,024 in and 8,192 out are taken to draw their lengths between 80% and "
    "100% of these, as public benchmarks do; with a column drawn, which says no, they are of these lengths."
)
_MEAN_DRAW: Final = 0.9
_LEAST_DRAW: Final = 0.8


def case_of(row: Mapping[str, str]) -> ServingCase:
    """The deployment of a row. Raises `TscaleError` for one that is not known, or that cannot be."""
    spec, hardware = model_of(row["model"]), hardware_of(row["gpu"])
    prompt, output = _number(row, "isl"), _number(row, "osl")
    drawn = _is_drawn(row.get("drawn", ""), usual=(prompt, output) in _DRAWN)
    share = _MEAN_DRAW if drawn else 1.0
    split = _is_split(row.get("mode", ""))
    routed = any(isinstance(block, Experts) for block in spec.feed_forwards)
    decode = _pool(row, "decode_" if split else "", routed=routed)
    prefill = _pool(row, "prefill_", routed=routed) if split else decode
    engine = row["engine"]
    if engine not in ENGINES:
        raise RequestError(f"engine {shown(engine)} is not known: one of {', '.join(ENGINES)}")
    concurrency, weights = _number(row, "concurrency"), row.get("weights", "")
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
        chunk=_number(row, "chunk", 0),
    )


def _pool(row: Mapping[str, str], pool: str, *, routed: bool) -> Pool:
    """The workers of a row's pool: of both where `pool` is empty. What a row says of experts that a model has not is passed over."""
    tensor, copies = _number(row, f"{pool}tensor"), _number(row, f"{pool}attention_data", 1)
    own = tensor * copies
    expert = _number(row, f"{pool}expert_parallel", 1) if routed else 1
    rest = max(1, own // expert)
    if pool:
        return Pool(ServingLayout(tensor, 1, expert, rest, copies), _number(row, f"{pool}workers"))
    cut = _number(row, "expert_tensor", rest) if routed else own
    return Pool(ServingLayout(tensor, 1, expert, cut, copies), max(1, _number(row, "gpus", own) // own))


def _is_split(mode: str) -> bool:
    """Whether a row has a pool for prefill and one for decoding; one for both where it does not say."""
    if mode not in ("", "agg", "disagg"):
        raise RequestError(f"column mode: agg, disagg or nothing, not {shown(mode)}")
    return mode == "disagg"


def _is_drawn(said: str, *, usual: bool) -> bool:
    """Whether a row's lengths are drawn: as it says, or as is usual of them."""
    if said not in ("", "yes", "no"):
        raise RequestError(f"drawn: {shown(said)} is none of yes, no")
    return said == "yes" if said else usual


def _number(row: Mapping[str, str], column: str, default: int | None = None) -> int:
    """A whole number from 1 on; `default` where nothing is said and there is one."""
    text = (row.get(column) or "").strip()
    if not text and default is not None:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < 1 or len(text) > 9:
        raise RequestError(f"column {column}: write a whole number of at least 1, not {shown(text)}")
    return int(text)


def kind_of(name: str) -> Kind:
    """What kernels make of a format by its name in a table."""
    if name.startswith(("nvfp4", "fp4")) or "mxfp4" in name:
        return "fp4"
    if name.startswith("fp8") or name == "mxfp8":
        return "fp8"
    return "int4" if name.startswith(("int4", "w4a16")) else "bf16"


def generation_of(hardware: Hardware) -> str:
    """The newest format that a chip multiplies by: fp4 (Blackwell), fp8 (Hopper, Ada) or bf16 (before)."""
    peaks = hardware.dense_tflops
    return "fp4" if peaks.fp4 is not None else "fp8" if peaks.fp8 is not None else "bf16"


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
    """Keys of a step in the middle of an answer, and tokens of a prompt."""
    return max(1, round(case.prompt + case.output / 2)), round(case.prompt)


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


_Made = TypeVar("_Made")
_HELD: Final[dict[tuple[object, ...], tuple[ServingCase, object]]] = {}
_MOST_HELD: Final = 4096
"""Models on layouts that are remembered: a table of measured runs has a few hundred."""


class OverCapacityError(TscaleError):
    """More requests at once than the cache holds: what happens then is a queue, and not predicted.

    `holds`: how many requests can be asked for; 0 where weights alone do not fit.
    """

    def __init__(self, message: str, holds: int = 0) -> None:
        super().__init__(message)
        self.holds = holds


_HOLDS: Final = 0.95
"""The share of a device's memory that engines give to weights and cache: 0.9 by default of vLLM and SGLang, and often raised."""
_ACTIVATION_BITS: Final = 16


def cache_room(case: ServingCase) -> tuple[float, float]:
    """Bytes that a device has for caches next to its weights, over all stages, and those that a request takes at its longest.

    Engines set aside what a step of the longest chunk takes before caches: longer chunks than an engine's own leave less to them.

    Raises `OverCapacityError` where weights do not fit, alone or with a step, of the pool that decodes or of the one that prefills.
    """
    for pool in dict.fromkeys((case.prefill, case.decode)):
        room = _room(case, pool.layout)
        if room <= 0:
            fits = _room(case._replace(chunk=0), pool.layout) > 0
            step = f"the weights with a step of {case.chunk_tokens:,} tokens ({field('chunk')})"
            what = step if fits else "the weights alone"
            raise OverCapacityError(f"over capacity: {what} do not fit {pool.layout.devices} {case.hardware.label}")
    return room, deployed_on(case, case.decode.layout).sequence_bytes(round(case.prompt + case.output))


def _room(case: ServingCase, layout: ServingLayout) -> float:
    """Bytes that weights leave on a device of the stage whose caches are full first, times what a model's cache is of that stage's."""
    memory, tokens = cluster_of(case.hardware).device.device_bytes, round(case.prompt + case.output)
    whole, aside = deployed_on(case, layout).sequence_bytes(tokens), _set_aside(case, layout)

    def room(one: Deployed) -> float:
        return (_HOLDS * memory - aside - one.weight_bytes) / max(one.sequence_bytes(tokens) / whole, _LEAST_PART)

    return min(map(room, stages_on(case, layout)))


def _set_aside(case: ServingCase, layout: ServingLayout) -> float:
    """Bytes of a device that the activations of a chunk take beyond those of the engine's own, within what `_HOLDS` leaves.

    Of what decodes alone, none. Source: vLLM, `determine_available_memory`, by a step of max_num_batched_tokens; TensorRT-LLM, "Memory
    Usage of TensorRT-LLM": activations by max_num_tokens, and what is then left is the cache's.
    """
    further = 0 if case.disaggregated else case.chunk_tokens - case._replace(chunk=0).chunk_tokens
    if not further:
        return 0.0
    return further * _remembered((*_objects(case), layout, _set_aside), case, lambda: _token_bytes(case.spec, layout))


def _token_bytes(spec: ModelSpec, layout: ServingLayout) -> float:
    """Bytes of activations that a token of a step takes on a device."""
    share, one = serving_share(lower(spec), layout), SequenceLengths(target=1)
    return float(activation_bytes(share, one, 1, 1, int(spec.d_model), _ACTIVATION_BITS))


_LEAST_PART: Final = 1e-9
"""Of a model's caches what is taken as the part of a stage that keeps none: what its weights leave is then never full."""


def stages_on(case: ServingCase, layout: ServingLayout) -> tuple[Deployed, ...]:
    """What a device of each distinct stage holds, remembered as `deployed_on` is."""
    return _remembered((*_objects(case), layout, stages_on), case, lambda: tuple(_stages(case, layout)))


def _stages(case: ServingCase, layout: ServingLayout) -> Iterator[Deployed]:
    """The same: its layers, with tables and towers in the first, and with the head in the last."""
    whole, node = lower(case.spec), cluster_of(case.hardware).devices_per_node
    if layout.pipeline == 1 and not whole.towers:
        yield deployed_on(case, layout)
        return
    dtypes, plan = formats_of(case, whole), Parallelism(pipeline=layout.pipeline)
    towers, seen = tower_bytes(whole, dtypes.weights).total, set[tuple[object, ...]]()
    for at, (own, first, last) in zip(stages(case.spec, plan, whole), with_ends(case.spec, plan), strict=True):
        kept = dtypes.weights
        kind: tuple[object, ...] = first, at.contents
        if isinstance(kept, Mixture):
            kept = of_stage(kept, whole, own, first=first, last=last)
            kind = kind, own
        if kind not in seen:
            seen.add(kind)
            cut = cut_over(at, dtypes._replace(weights=kept), layout.tensor, node)
            one = spread_over(cut, layout.attention_data, layout.expert, layout.expert_tensor)
            yield one._replace(tables=one.tables + towers * first)


def worker_of(case: ServingCase, pool: Pool) -> Deployed:
    """The model on a worker of a pool of a case, or on one of each of its layouts."""
    return deployed_on(case, pool.layout) if pool.model is None else pool.model


def deployed_on(case: ServingCase, layout: ServingLayout) -> Deployed:
    """The model of a case on a worker, remembered for other cases of the same objects."""
    objects = _objects(case)
    key = *objects, layout
    if key in _HELD:
        return cast("Deployed", _HELD[key][1])
    layout.check()
    degrees = layout.attention_data, layout.expert, layout.expert_tensor
    found = spread_over(_remembered((*objects, layout.tensor), case, lambda: _cut(case, layout.tensor)), *degrees)
    return _remembered(key, case, lambda: found._replace(ways=ways_of(found)))


def _objects(case: ServingCase) -> tuple[object, ...]:
    """What a worker of a case is made of, whatever its layout."""
    return *map(id, (case.spec, case.hardware, case.kept, case.cache)), case.engine, case.weights, case.experts


def _remembered(key: tuple[object, ...], case: ServingCase, make: Callable[[], _Made]) -> _Made:
    """What is made of a case's objects, made once: the case keeps its objects, so that no other has their ids."""
    if key not in _HELD:
        if len(_HELD) >= _MOST_HELD:
            _HELD.clear()
        _HELD[key] = case, make()
    return cast("_Made", _HELD[key][1])


def _cut(case: ServingCase, tensor: int) -> Deployed:
    ledger = lower(case.spec)
    return cut_over(ledger, formats_of(case, ledger), tensor, cluster_of(case.hardware).devices_per_node)


def formats_of(case: ServingCase, ledger: Ledger) -> Dtypes:
    """What weights and cache are kept in, as was asked or by what a table says, and the peaks of products.

    Checkpoints of routed experts in 4 bits keep attention in 16; the cache is in 8 bits but with weights in 16 bits or int4, and
    under SGLang on chips without fp4. Raises `RequestError` where a chip's 16-bit peak is not known.
    """
    peaks = cluster_of(case.hardware).device.flops_per_second
    rest = max((peaks[name] for name in ("bf16", "fp16") if name in peaks), default=None)
    if rest is None:
        raise RequestError(
            f"{case.hardware.label}: its vendor states no 16-bit peak: {field('gpu_set', 'bf16=TFLOPS')} gives one"
        )
    kept = _kept_in(case.spec, ledger, case.weights, case.experts) if case.kept is None else case.kept
    names = [kept.name] if isinstance(kept, Dtype) else [format.name for format in kept.dtypes()]
    own = {name: peaks[peak] for name in names if (peak := computed_in(name)) in peaks and peak is not None}
    wide = case.engine == "sglang" and generation_of(case.hardware) != "fp4"
    narrow = kind_of(case.weights) in ("fp8", "fp4") and not wide
    cache = DTYPES["fp8" if narrow else "bf16"] if case.cache is None else case.cache
    return Dtypes(kept, cache, {"": rest, **own})


def _kept_in(spec: ModelSpec, ledger: Ledger, weights: str, experts: str) -> Dtype | Mixture:
    plain, routed = _format(weights), _format(experts)
    if not any(isinstance(entry, Matmul) and entry.experts > 1 for entry in ledger.entries):
        return plain
    if kind_of(experts) not in ("fp4", "int4"):
        return _mixed(ledger, plain, routed)
    own = released(spec)
    if own is not None and kind_of(own.name) == kind_of(experts):
        return own  # as its makers converted it: gpt-oss, Kimi K2.5
    return _mixed(ledger, DTYPES["bf16"], routed, routed if kind_of(experts) == "fp4" else DTYPES["bf16"])


def _mixed(ledger: Ledger, attention: Dtype, routed: Dtype, dense: Dtype | None = None) -> Mixture:
    """Formats by part: of attention and mixers, of routed experts, and of other feed-forwards."""
    groups: dict[Dtype, set[int]] = {}
    for place, entry in enumerate(ledger.entries):
        if isinstance(entry, Matmul) and is_converted(entry):
            feeds = entry.part == "feed_forward"
            format = routed if entry.experts > 1 else (dense or attention) if feeds else attention
            groups.setdefault(format, set()).add(place)
    rules = [Rule(format, frozenset(places)) for format, places in groups.items()]
    return mixture(ledger, None, rules, "bf16", {})


@cache
def _format(name: str) -> Dtype:
    return find_format(_FORMATS.get(name, name), what="weights")
