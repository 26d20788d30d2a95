"""The model of a measured or asked deployment on its devices: formats of weights and cache, what each stage holds, and room for caches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, Literal, TypeVar

from tscale.calibration.serving_case import Pool, ServingCase, cluster_of
from tscale.catalogue.hardware import Hardware
from tscale.core.costs.roofline import Dtypes
from tscale.core.costs.serving_cache import cache_bytes
from tscale.core.costs.serving_share import Deployed, cut_over, spread_over
from tscale.core.costs.serving_work import ways_of
from tscale.core.costs.weights import Mixture, Rule, is_converted, mixture, of_stage, tower_bytes
from tscale.core.costs.workspace import activation_bytes
from tscale.core.dtypes import DTYPES, Dtype, computed_in, find_format
from tscale.core.kept import keep
from tscale.core.ledger import Ledger, Matmul
from tscale.core.parallelism import Parallelism
from tscale.core.serving_layout import ServingLayout
from tscale.core.sharding import serving_share
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError, TscaleError, field
from tscale.models.lower import lower
from tscale.models.release import released
from tscale.models.spec import ModelSpec
from tscale.models.stages import stages, with_ends

T = TypeVar("T")
Kind = Literal["bf16", "fp8", "fp4", "int4"]
"""Formats of weights as kernels go: what they are kept in and multiplied as."""
FOUR_BITS: Final = ("fp4", "int4")
"""Those whose products no published rate is known of: unpacked on the way, or multiplied as they are."""

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


def stages_on(case: ServingCase, layout: ServingLayout) -> tuple[Deployed, ...]:
    """What a device of each distinct stage holds, kept as `deployed_on` is."""
    return _kept(case, (stages_on, layout), lambda: tuple(_stages(case, layout)))


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
    """The model of a case on a worker, kept for other cases of the same objects."""

    def deployed() -> Deployed:
        layout.check()
        cut = _kept(case, layout.tensor, lambda: _cut(case, layout.tensor))
        found = spread_over(cut, layout.attention_data, layout.expert, layout.expert_tensor)
        return found._replace(ways=ways_of(found))

    return _kept(case, layout, deployed)


_KEPT: Final[dict[object, Any]] = {}
_MOST_KEPT: Final = 4096
"""Models on layouts: a table of measured runs has a few hundred."""


def _kept(case: ServingCase, key: object, make: Callable[[], T]) -> T:
    """What is made of a case's objects, whatever its load, made once: the case is kept with it, so that no other objects have their ids."""
    objects = *map(id, (case.spec, case.hardware, case.kept, case.cache)), case.engine, case.weights, case.experts
    return keep(_KEPT, (key, *objects), lambda: (case, make()), _MOST_KEPT)[1]


def _cut(case: ServingCase, tensor: int) -> Deployed:
    ledger = lower(case.spec)
    return cut_over(ledger, formats_of(case, ledger), tensor, cluster_of(case.hardware).devices_per_node)


class OverCapacityError(TscaleError):
    """More requests at once than the cache holds: what happens then is a queue, and not predicted.

    `holds`: how many requests can be asked for; 0 where weights alone do not fit.
    """

    def __init__(self, message: str, holds: int = 0) -> None:
        super().__init__(message)
        self.holds = holds


_HOLDS: Final = 0.95
"""The share of a device's memory that engines of measured runs gave to weights and cache at the most: how they were set is not said.

Pools of prefill and of decode are launched with shares of their own, so that these are taken to be as high.
"""
_ACTIVATION_BITS: Final = 16


def cache_room(case: ServingCase) -> tuple[float, float]:
    """Bytes that a device has for caches next to its weights, over all stages, and those that a request takes at its longest.

    Engines set aside what a step of the longest chunk takes before caches: longer chunks than an engine's own leave less to them.

    Raises `OverCapacityError` where weights do not fit, alone or with a step, of the pool that decodes or of the one that prefills.
    """
    for pool in dict.fromkeys((case.prefill, case.decode)):
        room = _room(case, pool.layout)
        if room <= 0:
            fits = _room(case._replace(chunk=int(case.by_default)), pool.layout) > 0
            step = f"the weights with a step of {case.chunk_tokens:,} tokens ({field('chunk')})"
            what = step if fits else "the weights alone"
            raise OverCapacityError(f"over capacity: {what} do not fit {pool.layout.devices} {case.hardware.label}")
    return room, deployed_on(case, case.decode.layout).sequence_bytes(round(case.prompt + case.output))


def _room(case: ServingCase, layout: ServingLayout) -> float:
    """Bytes that weights leave on a device of the stage whose caches are full first, times what a model's cache is of that stage's."""
    memory, tokens = cluster_of(case.hardware).device.device_bytes, round(case.prompt + case.output)
    whole, aside = deployed_on(case, layout).sequence_bytes(tokens), _set_aside(case, layout)
    ranks = layout.ranks * layout.pipeline

    def left(weights: float) -> float:
        if not case.by_default or case.disaggregated:
            return _HOLDS * memory - aside - weights
        return cache_bytes(case.engine, memory, weights, aside, ranks=ranks, chunk=case.chunk)

    def room(one: Deployed) -> float:
        return left(one.weight_bytes) / max(one.sequence_bytes(tokens) / whole, _LEAST_PART)

    return min(map(room, stages_on(case, layout)))


def _set_aside(case: ServingCase, layout: ServingLayout) -> float:
    """Bytes of a device that the activations of a chunk take; of a measured run those beyond the engine's own chunk, within what `_HOLDS` leaves.

    Of what decodes alone, none. Source: vLLM, `determine_available_memory`, by a step of max_num_batched_tokens; TensorRT-LLM, "Memory
    Usage of TensorRT-LLM": activations by max_num_tokens, and what is then left is the cache's.
    """
    if case.disaggregated:
        return 0.0
    further = case.chunk_tokens - (0 if case.by_default else case._replace(chunk=0).chunk_tokens)
    if not further:
        return 0.0
    return further * _kept(case, (_token_bytes, layout), lambda: _token_bytes(case.spec, layout))


def _token_bytes(spec: ModelSpec, layout: ServingLayout) -> float:
    """Bytes of activations that a token of a step takes on a device."""
    share, one = serving_share(lower(spec), layout), SequenceLengths(target=1)
    return float(activation_bytes(share, one, 1, 1, int(spec.d_model), _ACTIVATION_BITS))


_LEAST_PART: Final = 1e-9
"""Of a model's caches what is taken as the part of a stage that keeps none: what its weights leave is then never full."""


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
    if kind_of(experts) not in FOUR_BITS:
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
