"""What is counted of a measured memory, row by row of a table in the columns of configs/measured/training_memory.csv.

A peak is compared with what an allocator shows: what it reserves on one device, and on several with the middle of what fragments were
measured to add (`tscale.core.costs.reserve`), since each stream for sending has memory of its own. torchtune prints what is live instead.
Its interval is as wide as errors of measured peaks are (`PEAKS_WITHIN`). The longest context that ran is compared in tokens: an allocator
that is full gives back what it does not use, so what is live counts, next to the middle of what driver and context take. Parts of what is
served are exact but for what is rounded, and what a file or an engine has besides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Final, Literal, NamedTuple

from tscale.blocks import Attention, attentions
from tscale.calibration.memory_columns import Row, served_model, training_of
from tscale.core.costs.activations import activation_bytes
from tscale.core.costs.cache import StateBits, cache_bytes
from tscale.core.costs.kernel_padding import has_padded_experts, padded_for
from tscale.core.costs.largest import largest
from tscale.core.costs.params import size
from tscale.core.costs.reserve import (
    COLLECTIVES,
    CONTEXT,
    DRIVER,
    MOST_IN_FRAGMENTS,
    PEAKS_WITHIN,
    Reserve,
    allocated,
    gpu_reserve,
)
from tscale.core.costs.serving_chunks import usual_chunk
from tscale.core.costs.training_setup import Peak
from tscale.core.costs.weights import is_linear, weight_bytes
from tscale.core.costs.workspace import workspace_bytes
from tscale.core.counts import MOST_CONTEXT
from tscale.core.dtypes import DTYPES, Dtype, bytes_of
from tscale.core.ledger import Cache, Ledger, Matmul
from tscale.core.parallelism import Parallelism
from tscale.core.roles import Role
from tscale.core.sharding import shard
from tscale.errors import RequestError, shown
from tscale.models.gguf import gguf_mixture
from tscale.models.lower import lower, run_of
from tscale.models.release import released
from tscale.models.spec import ModelSpec
from tscale.models.trainer import Trainer, trainer

Verdict = Literal["fits", "may_fit", "does_not_fit"]

GIB: Final = 2**30
_UNITS: Final = {"GiB": 2**30, "GB": 10**9, "MiB": 2**20, "MB": 10**6, "tokens": 1, "requests": 1}
_PROFILED: Final = 256
_MOST_PROFILED: Final = 1024
"""Sequences that vLLM samples at once in its profiling run (`max_num_seqs`): those of V0 and of most chips; and V1's on all chips from 0.8.0 to
0.8.3 (vllm-project/vllm#13726), in 0.8.4 on H100, H200 and MI300X (#16158), in 0.8.5 on those with 70 GiB (#17073), since then on those of
them that are no A100 (#17885; now `get_batch_defaults`). No row is of 0.8.0 to 0.8.4, or of 0.8.5 on an A100."""
_SAMPLED: Final = Fraction(388, 10)
"""Bytes of each of their logits while they are sampled: fp32 logits, what sorts them, indices of 8 bytes, probabilities (`Sampler` of vLLM
0.7). 1.19 GiB of Llama 3.1 8B and 1.40 of Qwen2.5 1.5B, which its logs print, are 38.9 and 38.7; no row of a table that judges is among them."""


_SAMPLED_BY_FLASHINFER: Final = Fraction(10)
"""The same where FlashInfer samples, as a log of V1 says: logits in 16 bits and in fp32, and probabilities; nothing is sorted
(`TopKTopPSampler` of vllm/v1/sample/ops/topk_topp_sampler.py, 0.10)."""


class MemoryJudged(NamedTuple):
    """A measured memory beside what is counted of it: what an allocator shows, and an 80% interval; in bytes or tokens.

    `bound`: what no run holds less than, in bytes, but for what its figure was rounded by; None where tokens are compared.
    `verdict`: whether the run fits the device that it ran on, None where that is not said. `groups`: what the row is of.
    """

    what: str
    unit: Literal["bytes", "tokens"]
    measured: float
    low: float
    middle: float
    high: float
    bound: float | None
    verdict: Verdict | None
    groups: Mapping[str, str]

    @property
    def ratio(self) -> float:
        """What is counted over what was measured."""
        return self.middle / self.measured

    @property
    def error(self) -> float:
        """How far the middle is from what was measured, as a fraction of it."""
        return abs(self.ratio - 1)

    @property
    def covered(self) -> bool:
        """Whether what was measured lies in the interval."""
        return self.low <= self.measured <= self.high

    @property
    def bound_broken(self) -> bool:
        """Whether a run held less than is said to be the least."""
        return self.bound is not None and self.measured < self.bound


def judge(row: Mapping[str, str]) -> MemoryJudged:
    """A row of measured memory beside what is counted of it.

    Args: `row`: texts by the columns of configs/measured/training_memory.csv; what is not said is empty or absent.

    Raises: `TscaleError` for a row that says what is not counted, with the reason.
    """
    texts = Row(row)
    what = texts["what"]
    measured = texts.value() * _unit(texts["unit"])
    match what:
        case "peak_reserved" | "peak_active" | "peak":
            return _peak(texts, what, measured)
        case "longest_context":
            return _longest(texts, measured)
        case "weights" | "workspace" | "cache" | "file_size":
            return _served(texts, what, measured)
        case "concurrency":
            return _concurrency(texts, measured)
        case _:
            raise RequestError(
                f"{shown(what)} is not counted of a row: what is peak_reserved, longest_context, weights, file_size, workspace, cache "
                "or concurrency"
            )


def _unit(name: str) -> int:
    if name not in _UNITS:
        raise RequestError(f"unit is {', '.join(_UNITS)}, not {shown(name)}")
    return _UNITS[name]


def _peak(row: Row, what: str, measured: float) -> MemoryJudged:
    """The peak of a training run. Streams and fragments are in what is reserved alone."""
    asked = training_of(row)
    context = row.size("context")
    if context is None:
        raise RequestError("context is not said, without which no peak is counted")
    model = trainer(asked.spec, asked.training, context)
    reserved, held = (_total(model, peak) + asked.beside for peak in _PEAKS)
    least = model.least_total()
    if asked.graph_kept:  # of a micro-batch before that was as long, at the most
        reserved, held = (peak + _inputs_before(model) for peak in (reserved, held))
    active = what == "peak_active" or asked.prints_active
    spread = asked.training.plan.devices > 1
    middle = held if active else int(reserved / (1 - MOST_IN_FRAGMENTS / 2)) if spread else reserved
    verdict = _verdict(row, reserved, least, asked.training.plan)
    low, high = middle / float(PEAKS_WITHIN), middle * float(PEAKS_WITHIN)
    bound = least - _printed(row)
    return MemoryJudged(what, "bytes", measured, low, middle, high, bound, verdict, _groups(row))


_PEAKS: Final[tuple[Peak, ...]] = ("reserved", "held")


def _inputs_before(model: Trainer) -> int:
    """Bytes of the inputs of products of one micro-batch, as they are kept until the next one has its loss."""
    training = model.training
    inputs = (saved for saved in model.kept[0] if saved.number == "product")
    passes = training.passes._replace(product_bytes=training.precision.activations)
    return int(activation_bytes(inputs, training.run, passes, training.plan).total)


def _total(model: Trainer, peak: Peak) -> int:
    """Bytes that a device of the fullest stage needs."""
    return max(int(model.needs(stage, peak).total) for stage in range(len(model.shares)))


def _longest(row: Row, measured: float) -> MemoryJudged:
    """The longest context that a device has room for: as much is reserved, as is live with the output kept, and without it."""
    asked, memory = training_of(row), _memory(row)
    if memory is None:
        raise RequestError("gpu_gib is not said, without which no longest context is counted")
    model, takes = trainer(asked.spec, asked.training, 1), _of_a_process(memory)

    def longest(needed: Callable[[Trainer], int], reserve: int) -> int:
        return largest(lambda length: needed(model.of_length(length)) <= memory - reserve, MOST_CONTEXT) or 0

    middle = longest(lambda one: _total(one, "held"), (takes.low + takes.high) // 2)
    most = int(memory * MOST_IN_FRAGMENTS)
    low, high = longest(lambda one: _total(one, "reserved"), takes.high + most), longest(Trainer.least_total, takes.low)
    at = model.of_length(int(measured))
    verdict = _verdict(row, _total(at, "reserved"), at.least_total(), asked.training.plan)
    return MemoryJudged("longest_context", "tokens", measured, low, middle, high, None, verdict, _groups(row))


def _memory(row: Row) -> int | None:
    """Bytes of the device that a run ran on."""
    text = row["gpu_gib"]
    return None if not text else int(row.number("gpu_gib") * GIB)


def _of_a_process(memory: int) -> Reserve:
    """What driver and context take of a device: all of a reserve but buffers and fragments."""
    parts = gpu_reserve(memory, 0, training=True).parts
    return Reserve(tuple(part for part in parts if part.name != "fragments"))


def _verdict(row: Row, total: int, least: int, plan: Parallelism) -> Verdict | None:
    """Whether a run fits: for certain, next to the most that software takes; or not even what is live next to the least."""
    memory = _memory(row)
    if memory is None:
        return None
    groups = sum(degree > 1 for degree in (plan.tensor, plan.pipeline, plan.data, plan.context, plan.expert))
    reserve = gpu_reserve(memory, groups, training=True)
    if total + reserve.high <= memory:
        return "fits"
    return "may_fit" if least + reserve.low <= memory else "does_not_fit"


def _served(row: Row, what: str, measured: float) -> MemoryJudged:
    """A part of what a device holds while it serves: exact, as far as it is counted and as digits of the measurement are printed."""
    spec, _ = served_model(row)
    ledger = lower(spec)
    share = shard(ledger, Parallelism(tensor=row.size("tensor") or 1))
    match what:
        case "weights":
            low, middle, high = _loaded(row, spec)
        case "file_size":
            low = middle = _weights(row, what, share)
            high = middle + _WORD_IN_FILE * int(spec.vocabulary)
        case "cache":
            low, middle = _caches(row, spec, share)
            high = middle
        case _:
            low, middle, high = _workspace(row, spec, share, ledger, row.size("context") or 1)
    printed = _printed(row)
    return MemoryJudged(what, "bytes", measured, low - printed, middle, high + printed, None, None, _groups(row))


_WORD_IN_FILE: Final = 64
"""Bytes of a word of the vocabulary that a GGUF file has besides its tensors, at the most: its text with a length of 8 bytes and a type of 4,
and as many merges again, each with a length (ggml docs/gguf.md); of Llama 3 there are 280,147 merges of 128,256 words."""


def _caches(row: Row, spec: ModelSpec, share: Ledger) -> tuple[float, float]:
    """Bytes of a cache: in 8 bits, where no format is stated, and in the stated one or 16."""
    tokens, format = row.size("context") or 1, served_model(row)[1] or DTYPES["bf16"]
    middle = _cache(share, spec, tokens, format)
    return (middle if row["precision"] else _cache(share, spec, tokens, DTYPES["fp8"])), middle


def _loaded(row: Row, spec: ModelSpec) -> tuple[float, float, float]:
    """Bytes of weights that an engine loads: at the least, in all, and at the most.

    vLLM keeps a table of sines and cosines of all positions on each device, one for each width of head, in the format that it
    computes in or in fp32 (`RotaryEmbedding` of its model_executor/layers), and towers unless it is told to leave them out. What the
    allocator keeps of whole pieces is counted with them.
    """
    ledger = lower(spec) if "language model alone" in row["note"] else lower(spec).whole
    share = shard(ledger, Parallelism(tensor=row.size("tensor") or 1))
    counted = _weights(row, "weights", share, ledger)
    rounded = counted + _left_over(row, share)
    if "vllm" not in row["source"] or spec.positions.kind != "rotary":
        return counted, rounded, rounded
    heads = {
        int(mixer.widths(spec.d_model).head_dim if isinstance(mixer, Attention) else getattr(mixer, "rope_dim", 0))
        for mixer in attentions(spec.mixers)
    }
    table = 2 * int(spec.context or 0) * sum(heads)
    return counted, rounded + table, rounded + 2 * table


_FUSED: Final[dict[Role, str]] = {"q": "qkv", "k": "qkv", "v": "qkv", "gate": "gate and up", "up": "gate and up"}
"""Matrices that vLLM and SGLang keep as one (`QKVParallelLinear`, `MergedColumnParallelLinear`)."""


def _left_over(row: Row, share: Ledger) -> int:
    """Bytes that the allocator keeps of whole pieces beside the matrices of a model; those of routed experts are one tensor."""
    spec, format = served_model(row)
    bits = (format or released(spec) or DTYPES["bf16"]).bits
    sizes, copies = dict[object, int](), dict[object, int]()
    for entry in share.entries:
        if isinstance(entry, Matmul) and entry.stored:
            key = entry.block, entry.part, entry.stored, _FUSED.get(entry.role, entry.name)
            number = size(entry) * entry.experts
            sizes[key] = sizes.get(key, 0) + bytes_of(number, bits if is_linear(entry) else 16)
            copies[key] = entry.stored // entry.experts
    return sum((allocated(own) - own) * copies[key] for key, own in sizes.items())


def _workspace(
    row: Row, spec: ModelSpec, share: Ledger, ledger: Ledger, tokens: int, sequences: int = _PROFILED
) -> tuple[float, float, float]:
    """Bytes of a pass over so many tokens: at the least, as counted, and at the most.

    Of what vLLM profiles sampling may be more, which every device does whole, with what the last layer gave still there
    (`execute_model` of its model_runner.py); at the most the input of the last norm is there, too.
    """
    own = float(workspace_bytes(share, ledger, run_of(spec, tokens), 1, tokens, spec.d_model, 16).total)
    if "vllm" not in row["source"]:
        return own, own, own
    of_logit = _SAMPLED_BY_FLASHINFER if "FlashInfer samples" in row["note"] else _SAMPLED
    sampled, stream = float(of_logit * sequences * spec.vocabulary), 2 * tokens * int(spec.d_model)
    return max(own, sampled), max(own, sampled + stream), max(own, sampled + 2 * stream)


def _admitted(share: Ledger, chunk: int) -> Ledger:
    """A ledger whose windows are as wide as what vLLM admits a request by: a chunk beside all of a window but one token (`SlidingWindowSpec`)."""
    return share.each(
        lambda entry: (
            entry._replace(window=entry.window - 1 + chunk) if isinstance(entry, Cache) and entry.window else entry
        )
    )


def _concurrency(row: Row, measured: float) -> MemoryJudged:
    """The requests of `context` tokens that what an engine leaves for its cache has room for, in tokens of all of them.

    The chunk is vLLM's on so much memory, and on an A100 where the source or the note names one. A device's share that may be used is said by the note (`gpu_memory_utilization 0.95`), or vLLM's own 0.9; the context of a process
    is taken at its least, for its baseline is measured before; at the most, what is not torch's is 1.79 GiB on one device and 3.58 on each
    of two (vllm-project/vllm#10511), and as many sequences are sampled as any release samples; at the least one is, as nothing is
    sampled in V1's profiling run before 0.8.0, and no sorted copies are made in that of its second runner. Its tokens are those of a
    step, however few a sequence has.
    """
    memory, context = _memory(row), row.size("context")
    if memory is None or context is None:
        raise RequestError("gpu_gib and context are said, or no concurrency is counted")
    older = "a100" in f"{row['source']} {row['note']}".lower()
    chunk, sequences = usual_chunk("vllm", memory, older=older), _sampled_at_once(row, memory, older=older)
    spec, _ = served_model(row)
    ledger = lower(spec)
    share = shard(ledger, Parallelism(tensor=row.size("tensor") or 1))
    said = re.search(r"utili[sz]ation (0?\.\d+)", row["note"])
    held = _weights(row, "weights", share) + _left_over(row, share)
    fraction = re.search(r"mem_fraction_static (0?\.\d+)", row["note"])
    request = _cache(_admitted(share, chunk), spec, context, DTYPES["bf16"])
    measured *= context if row["unit"] == "requests" else 1
    if fraction is not None:
        tokens = (max(0.0, left - held) / request * context for left in _static(memory, float(fraction[1]), row))
        low, middle, high = tokens
        return MemoryJudged("concurrency", "tokens", measured, low, middle, high, None, None, _groups(row))
    left = memory * (float(said[1]) if said else 0.9) - held
    most, profiled, least = (
        _workspace(row, spec, share, ledger, chunk, many)[1] for many in (_MOST_PROFILED, sequences, 1)
    )
    most += COLLECTIVES.high * (2 if (row.size("tensor") or 1) > 1 else 1)
    low, middle, high = (
        max(0.0, (left - taken) / request * context) for taken in (most, profiled + CONTEXT.low, least)
    )
    return MemoryJudged("concurrency", "tokens", measured, low, middle, high, None, None, _groups(row))


def _static(memory: int, fraction: float, row: Row) -> Iterator[float]:
    """Bytes that SGLang has for weights and cache: a share of what is free on a device when it has joined the others.

    It profiles nothing: what a pass needs is in the rest (`profile_max_num_token` of its model_executor/model_runner.py).
    """
    several = (row.size("tensor") or 1) > 1
    least = CONTEXT.low + DRIVER.low + several * COLLECTIVES.low
    most = CONTEXT.high + DRIVER.high + several * COLLECTIVES.high
    for taken in (most, least, 0):
        yield (memory - taken) * fraction


def _sampled_at_once(row: Row, memory: int, *, older: bool) -> int:
    """Sequences that are sampled at once while vLLM profiles, by the release that the source names."""
    said = re.search(r"vllm (\d+)\.(\d+)", row["source"])
    new = said is not None and (int(said[1]), int(said[2])) >= (0, 8)
    return _MOST_PROFILED if new and memory >= 70 * GIB and not older else _PROFILED


def _weights(row: Row, what: str, share: Ledger, ledger: Ledger | None = None) -> float:
    """Bytes of a file or of what an engine loads; vLLM pads routed experts in mxfp4 for Marlin's kernel on most devices."""
    spec, asked = served_model(row)
    ledger = ledger or lower(spec)
    format = asked or released(spec) or DTYPES["bf16"]
    if isinstance(format, Dtype) and format.mixture:
        format = gguf_mixture(spec, format)
    padded = what == "weights" and "vllm" in row["source"] and has_padded_experts(ledger, format)
    return float(weight_bytes(padded_for(share, "marlin") if padded else share, format, ledger).total)


def _cache(share: Ledger, spec: ModelSpec, tokens: int, format: Dtype) -> float:
    """Bytes of one sequence's cache, in the format that precision names; recurrent states as the model's file says."""
    states = StateBits() if spec.states is None else StateBits(int(DTYPES[spec.states].bits))
    return float(cache_bytes(share, run_of(spec, tokens), format.bits, None, states).total)


def _printed(row: Row) -> float:
    """Bytes of half of the last digit that is printed: as much is rounded off at the most."""
    return 0.5 * 10.0 ** -len(row["value"].partition(".")[2]) * _unit(row["unit"])


def _groups(row: Row) -> dict[str, str]:
    """What a row is of, for tables."""
    keys = ("model", "what", "method", "precision", "recompute")
    return {**{key: row[key] for key in keys}, "source": row["source"].split(" ")[0]}


def within(judged: MemoryJudged, share: Fraction) -> bool:
    """Whether what is counted is that near to what was measured."""
    return judged.error <= share
