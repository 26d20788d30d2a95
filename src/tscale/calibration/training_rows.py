"""A row of a table of measured training steps, judged: what was measured beside what is predicted, and the bound.

Two tables are read: steps in ms of GPT models of a shape (`step_ms`), and speeds of published layouts in tokens/s per GPU,
where a row names a built-in model, or an MPT of a shape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from typing import Final, NamedTuple, cast, get_args

from tscale.calibration.names import hardware_of, model_of
from tscale.calibration.rows import Judged, positive
from tscale.calibration.training_case import (
    CURRENT,
    STACKS,
    Choice,
    Dispatcher,
    Queued,
    TrainingCase,
    as_cut,
    bound_of,
    prediction,
)
from tscale.calibration.training_settings import with_settings
from tscale.catalogue.hardware import Hardware, find_hardware
from tscale.core.costs.states import adapted, find_targets
from tscale.core.costs.step_products import Again
from tscale.core.costs.step_time import Batch
from tscale.core.costs.step_work import MODULES
from tscale.core.device import formats_of, of_peak
from tscale.core.dtypes import DTYPES, Dtype
from tscale.core.ledger import Ledger
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import shard, shares_of
from tscale.errors import RequestError, nearest, shown
from tscale.models.adapter_spec import JOINED
from tscale.models.lower import lower, run_of
from tscale.models.made import checked
from tscale.models.resolve import resolve
from tscale.models.spec import ModelSpec
from tscale.models.stages import stages

ZERO: Final = {
    "": 0, "none": 0, "ddp": 0, "fsdp full": 3, "fsdp2 full": 3, "fsdp": 3, "fsdp2": 3, "distributed optimizer": 1,
    "zero1": 1, "zero2": 2, "zero3": 3,
}  # fmt: skip
"""The stage of ZeRO that shards the same, by the words of the source."""
_AGAIN: Final = ("none", "selective", "op", "full")
_BASES: Final = ("nf4", "nf4-single")
_MPT_VOCABULARY: Final = 50_368
_SITES: Final = {
    ("torchtitan", "h100-sxm"): ("bandwidth_gb_per_s=2400",),
    ("Megatron-Bridge", "b200"): ("network_gb_per_s=50",),
    ("Megatron-Bridge", "gb200"): ("network_gb_per_s=50",),
    ("docs.nvidia.com/nemo-framework", "b200"): ("network_gb_per_s=50",),
    ("docs.nvidia.com/nemo-framework", "gb200"): ("network_gb_per_s=50",),
    ("together-dgxc-benchmarking", "b200"): ("network_gb_per_s=50",),
    ("training_results", "gb200"): ("network_gb_per_s=50",),
    ("University-of-Florida", "b200"): ("network_gb_per_s=50",),
}
"""What is known of the devices of a source: torchtitan's H100 have HBM2e of 96 GB (its benchmarks, llama3_h100_202412; that they are
limited to 500 W is not counted); NVIDIA's B200 and GB200 are DGX, with ports of 400 Gb/s (DGX B200 and DGX GB200 User Guide,
ConnectX-7), and so are the B200 of a cloud that runs its recipes and of the University of Florida; GB200 of MLPerf Training have such ports, too,
one for each GPU (host_networking of its submissions' systems/*.json)."""


def judge(row: Mapping[str, str]) -> list[Judged]:
    """The step of a row: seconds measured, predicted and at the least. Raises `TscaleError` for what is not predicted."""
    case, measured, groups = case_of(row)
    bound = bound_of(case)
    found = prediction(case, bound)
    groups["calibration"] = found.choice.calibration.name
    groups["kind"] = found.choice.kind + _beyond(found.choice)
    return [Judged("step", measured, *found.seconds, float(bound), groups)]


def _beyond(choice: Choice) -> str:
    if choice.outside:
        return ", not covered"
    return ", of another source" if choice.another_source else ""


def case_of(row: Mapping[str, str]) -> tuple[TrainingCase, float, dict[str, str]]:
    """The case of a row, the seconds that were measured, and what the row is of. Raises `TscaleError`."""
    plan, model = _plan(row), _model_of(row)
    hardware = hardware_at(row["gpu"], row.get("source", ""))
    row = with_settings(row, model.name, hardware.name)
    modules = modules_of(row, model.name)
    of_stages, shares = _divided(model.key, modules, plan._replace(data=1, zero=0))
    base = _base(row)
    if row.get("rank"):
        of_stages = tuple(_with_adapters(one, row, base) for one in of_stages)
        shares = shares_of(of_stages, plan)
    cluster, dtype = hardware.cluster(), row["precision"]
    if dtype not in (formats := formats_of(cluster.device.flops_per_second)):
        raise RequestError(f"{hardware.name} has no peak in {shown(dtype)}: it has {', '.join(formats)}")
    again, redone = _again(row)
    case = TrainingCase(
        of_stages,
        shares,
        plan,
        run_of(model.spec, _whole(row, "context")),
        Batch(_whole(row, "batch"), _whole(row, "micro_batch")),
        int(model.spec.d_model),
        cluster,
        dtype,
        again,
        _stack(row),
        _kernel(row),
        model.spec.parallel_block,
        "Megatron" in row.get("source", "") and row.get("sharding") == "fsdp",
        base=base,
        gradient_bytes=gradient_bytes(row),
        modules=redone,
        passes=_whole(row, "passes", 1),
        queued=queued_of(row),
        expert_tensor=_whole(row, "expert_tensor", 1),
        dispatcher=dispatcher_of(row),
        narrow_head=_has_narrow_head(row),
        automodel="Automodel" in row.get("source", ""),
        source=row.get("source", ""),
    )
    return case, _measured(row), _groups(row, case, model)


def _base(row: Mapping[str, str]) -> Dtype | None:
    """The format of few bits that the model under adapters is frozen in; None where it is in that of its products. Raises `RequestError`."""
    name = _word(row, "base", "", _BASES) if row.get("base") else ""
    if name and not row.get("rank"):
        raise RequestError(f"a model in {name} is trained by adapters: rank says which, such as 16")
    return DTYPES[name] if name else None


def _with_adapters(stage: Ledger, row: Mapping[str, str], base: Dtype | None) -> Ledger:
    """A stage frozen with the adapters of a row: on `qkv` and `gate_up` there is one, where `q,k,v` have one each."""
    words = [word.strip() for word in (row.get("targets") or "all").split(",")]
    names = ",".join(name for word in words for name in JOINED.get(word, (word,)))
    joined = not JOINED.keys().isdisjoint(words)
    return adapted(stage, _whole(row, "rank"), find_targets(names), base, joined=joined)


def _groups(row: Mapping[str, str], case: TrainingCase, model: _Model) -> dict[str, str]:
    stack = row.get("stack") or row.get("source", "").split(" ")[0] or case.stack
    return {"chip": case.chip, "stack": stack, "model": model.name, "precision": case.dtype}


def _measured(row: Mapping[str, str]) -> float:
    """Seconds of a step."""
    if row.get("step_ms"):
        return _number(row, "step_ms") / 1000
    tokens = _whole(row, "batch") * _whole(row, "context")
    return tokens / (_number(row, "tokens_per_second_per_gpu") * _whole(row, "gpus"))


class _Model(NamedTuple):
    """The model of a row: what it is found by again, its spec and its name."""

    key: str
    spec: ModelSpec
    name: str


def _model_of(row: Mapping[str, str]) -> _Model:
    """The model of a row: of a shape, where it has one, with d_ff and vocabulary as MPT's if not given, or a built-in one."""
    named = row.get("model", "")
    if not row.get("layers"):
        return _Model(named, model_of(named), model_of(named).name)
    sizes = [_whole(row, name) for name in ("layers", "d_model", "heads")]
    others = [_whole(row, "d_ff", 4 * sizes[1]), _whole(row, "vocabulary", _MPT_VOCABULARY), _whole(row, "context")]
    key = ",".join(map(str, [*sizes, *others]))
    spec = _shaped(key)
    return _Model(f"={key}", spec, named or f"GPT of {spec.layers} layers of {spec.d_model}")


@cache
def _shaped(key: str) -> ModelSpec:
    """A GPT of a shape: learned positions, a tied head."""
    layers, d_model, heads, d_ff, vocabulary, context = key.split(",")
    changes = {
        "layers": layers,
        "d_model": d_model,
        "attention.heads": heads,
        "d_ff": d_ff,
        "vocabulary": vocabulary,
        "context": context,
        "positions.rows": context,
    }
    return resolve("gpt3", [f"{name}={value}" for name, value in changes.items()])


@cache
def _lowered(key: str, modules: int) -> tuple[ModelSpec, Ledger]:
    spec = _shaped(key[1:]) if key.startswith("=") else model_of(key)
    spec = checked(replace(spec, mtp=modules)) if modules else spec
    return spec, lower(spec)


@lru_cache(maxsize=1024)
def _divided(key: str, modules: int, plan: Parallelism) -> tuple[tuple[Ledger, ...], tuple[Ledger, ...]]:
    """The ledgers of the stages, whole and as one device has them; `modules`: those that predict a further token."""
    spec, whole = _lowered(key, modules)
    found = stages(spec, plan, whole)
    return found, tuple(shard(stage, plan) for stage in found)


@cache
def hardware_at(name: str, source: str) -> Hardware:
    """The hardware of a row, as its source has it."""
    found = hardware_of(name)
    changes = next((more for (of, chip), more in _SITES.items() if of in source and chip == found.name), ())
    return find_hardware(found.name, changes) if changes else found


def _plan(row: Mapping[str, str]) -> Parallelism:
    """The degrees; data parallelism is what is left of the GPUs. Raises `RequestError` where they do not divide."""
    gpus, tensor, pipeline = (_whole(row, name) for name in ("gpus", "tensor", "pipeline"))
    context = _whole(row, "context_parallel", 1)
    each = tensor * pipeline * context
    if gpus % each:
        raise RequestError(
            f"{gpus} GPUs are not a multiple of {each}, those of tensor, pipeline and context parallelism"
        )
    if (schedule := row.get("schedule") or "1f1b") != "1f1b":
        raise RequestError(
            f"schedule: runs in the order of 1F1B alone are predicted, not {shown(schedule)}: leave the row out"
        )
    sharding = row.get("sharding", "").lower()
    if sharding not in ZERO:
        raise RequestError(f"sharding: no way {shown(sharding)} to share states is known: {nearest(sharding, ZERO)}")
    plan = Parallelism(
        tensor,
        sequence=tensor > 1 and "sharding" in row,
        pipeline=pipeline,
        interleave=_whole(row, "interleave", 1),
        data=gpus // each,
        zero=ZERO[sharding],
        context=context,
        expert=_whole(row, "expert", 1),
        expert_tensor=_whole(row, "expert_tensor", 1),
    )
    plan = as_cut(plan)
    plan.check()
    return plan


def _again(row: Mapping[str, str]) -> tuple[Again, frozenset[str]]:
    """What is computed again: a policy, or modules of Megatron-LM joined by +. Raises `RequestError` for others."""
    said = row.get("recompute") or "none"
    if said in _AGAIN:
        return cast("Again", said), frozenset()
    names = said.split("+")
    for name in names:
        if name not in MODULES:
            raise _unknown("recompute", name, (*_AGAIN, *sorted(MODULES)))
    return "none", frozenset(names)


def queued_of(row: Mapping[str, str]) -> Queued:
    """How kernels of experts are queued: where nothing says it as `train` takes it, but of recipes of Megatron-Bridge in graphs."""
    usual = "graphs" if "Megatron-Bridge" in row.get("source", "") else "eager"
    return cast("Queued", _word(row, "queued", usual, get_args(Queued)))


def dispatcher_of(row: Mapping[str, str]) -> Dispatcher:
    """How tokens go to their experts: once to each device, where nothing says otherwise. Raises `RequestError` for an unknown one."""
    return cast("Dispatcher", _word(row, "dispatcher", "deepep", get_args(Dispatcher)))


_MODULES: Final = {
    "Megatron-Bridge": {"deepseek-v3": 1, "glm-4.5": 1, "glm-5": 1, "qwen3-next-80b-a3b": 1},
    "dgxc-benchmarking deepseek_v3/pretraining": {"deepseek-v3": 1},
}
"""Modules that predict a further token, by source and model: those of the recipes that it ran (Megatron-Bridge, src/megatron/bridge/recipes,
mtp_num_layers, from v0.2.1 to v0.6.0; NeMo, nemo/collections/llm/recipes/deepseek_v3.py, use_mtp). The TFLOP/s that pages give beside
tokens/s are of 260.0 GFLOPs a token of DeepSeek-V3, and of 249.1 where a page says that it is without. Automodel's have none."""


def modules_of(row: Mapping[str, str], model: str) -> int:
    """Modules that predict a further token: as a row's `mtp` says, or as its source's recipe of the model has it. Raises `RequestError`."""
    said = (row.get("mtp") or "").strip()
    if said:
        return 0 if said == "0" else _whole(row, "mtp")
    source = row.get("source", "")
    return next((of.get(model, 0) for name, of in _MODULES.items() if name in source), 0)


def _has_narrow_head(row: Mapping[str, str]) -> bool:
    """Whether the head's products are in 8 bits as those of layers are. Raises `RequestError` for another format."""
    return _word(row, "head", "bf16", ("bf16", "fp8")) == of_peak(row["precision"]) == "fp8"


def _word(row: Mapping[str, str], column: str, usual: str, known: Sequence[str]) -> str:
    """What a column says, of words that are known; `usual` where it says nothing. Raises `RequestError` for others."""
    said = row.get(column) or usual
    if said not in known:
        raise _unknown(column, said, known)
    return said


def _unknown(column: str, said: str, known: Sequence[str]) -> RequestError:
    close = nearest(said, known)
    hint = f": {close}" if close.startswith("did") else ""
    return RequestError(f"{column}: {shown(said)} is none of {', '.join(known)}{hint}")


def _stack(row: Mapping[str, str]) -> str:
    """The stack of a row: the one that is named, of those that are known, else one of those that are current."""
    said = row.get("stack", "")
    return said if said in STACKS else CURRENT


_KERNELS: Final = {"llm-foundry": "flash-1", "torchtitan": "flash-2"}
"""Attention kernels by the source of a row: MPT's ALiBi went through a Triton kernel of the first FlashAttention in 2023."""


def _kernel(row: Mapping[str, str]) -> str | None:
    named = row.get("attention") or None
    source = row.get("source", "")
    return named or next((kernel for name, kernel in _KERNELS.items() if name in source), None)


_IN_16_BITS: Final = {
    "Megatron-Bridge": None,
    "llm-foundry": None,
    "NVIDIA/NeMo": ("gpt3", "nemotron-4-340b"),
    "dgxc-benchmarking llama": None,
    "dgxc-benchmarking nemo": None,
    "nemo-framework": None,
    "by NeMo": None,
    "Intel-HabanaLabs": (),
    "training_results": None,
}
"""Sources whose recipes sum and send gradients in the format of the weights, and their models, of None all; the first that a row's source names says
it. Megatron-Bridge's do from 25.11 on (v0.2.0 to v0.5.0, scripts/performance/configs: grad_reduce_in_fp32 is False, which Megatron-Core's buffers of
gradients follow); of NeMo 24.07's those that say grad_sync_dtype bf16 (NVIDIA/NeMo-Framework-Launcher 24.07, conf/training); dgxc-benchmarking's do
(its YAML of v24.11.1 and v25.02 says grad_sync_dtype bf16; those of NeMo 2 at the commits that its setup.sh takes, and what NeMo's guide measures,
have grad_reduce_in_fp32 False in performance_mode, and for fp8 in scripts/performance/utils.py), but for DeepSeek-V3's in bf16 (deepseek_v3.py at
7a8f1cc); pre-training of MLPerf does (v3.0 to v4.1 grad_sync_dtype bf16 in conf/optim/distributed_fused_adam.yaml, v5.0 to v6.0 grad_reduce_in_fp32
False in pretrain.py and, of AMD, src/train.py), but for Intel's Megatron-DeepSpeed; llm-foundry's by the page's column MP Mode, PURE or, as Composer
had it before 0.16.4 of October 2023, DEFAULT. torchtitan's and Automodel's are in 32 bits (mixed_precision_reduce, reduce_dtype)."""


def gradient_bytes(row: Mapping[str, str]) -> int:
    """Bytes of a number of the sum that micro-batches' gradients are added to, and that is sent: 4 but where a source's recipes say 2."""
    source, model = row.get("source", ""), row.get("model", "")
    models = next((of for name, of in _IN_16_BITS.items() if name in source), ())
    return 2 if models is None or model in models else 4


def _whole(row: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = (row.get(name) or "").strip()
    if not text and default is not None:
        return default
    if not re.fullmatch("[0-9]{1,12}", text) or not int(text):
        raise RequestError(f"{name}: a whole number from 1 on is wanted, not {shown(text)}")
    return int(text)


def _number(row: Mapping[str, str], name: str) -> float:
    text = (row.get(name) or "").strip()
    value = positive(text)
    if value is None:
        raise RequestError(f"{name}: a number above 0 is wanted, not {shown(text)}")
    return value
