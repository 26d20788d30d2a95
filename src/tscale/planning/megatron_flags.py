"""The options of Megatron-LM.

Their names are those of commit d98e8a6 of August 2026: training/arguments.py, which makes most of them of core's transformer_config.py,
model_parallel_config.py and training/config.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote

from tscale.core.parallelism import Parallelism
from tscale.planning.framework_options import Job, NoOptionError, option_of, pieces_of
from tscale.planning.layouts import Layout

_SHARDED = "--use-megatron-fsdp --data-parallel-sharding-strategy {} --no-gradient-accumulation-fusion --ckpt-format fsdp_dtensor"
_ZERO = {
    1: "--use-distributed-optimizer",
    2: "--use-distributed-optimizer " + _SHARDED.format("optim_grads"),
    3: "--use-distributed-optimizer " + _SHARDED.format("optim_grads_params"),
}
_DEEPEP_NODE = 8
"""Devices of a node that DeepEP sends within; HybridEP does where links join more."""
_AGAIN = {
    "none": "",
    "selective": "--recompute-granularity selective",
    "full": "--recompute-granularity full --recompute-method uniform --recompute-num-layers 1",
}
_PRECISION = {
    "bf16": "--bf16 --grad-reduce-in-bf16",
    "bf16-fp32-gradients": "--bf16",
    "fp16": "--fp16",
    "fp8": "--bf16 --fp8-format hybrid --fp8-param-gather",
    "fp8-bf16-gradients": "--bf16 --fp8-format hybrid --fp8-param-gather --grad-reduce-in-bf16",
    "fp32": "",
}
_OPTIMIZER = {"adamw": "", "adamw-fp32": "", "sgd": "--optimizer sgd"}
_MOMENTS_IN_BF16 = "--exp-avg-dtype bf16 --exp-avg-sq-dtype bf16"


def _again(layout: Layout) -> str:
    """Recomputation; of some layers it is of the first ones of each piece of a stage, which of a single one are the stage's."""
    if not layout.first:
        return option_of(_AGAIN, layout.recompute, "recompute")
    if layout.plan.interleave > 1:
        raise NoOptionError(f"recompute {layout.again.text} of stages of {layout.plan.interleave} pieces")
    return f"--recompute-granularity full --recompute-method block --recompute-num-layers {layout.first}"


def megatron(layout: Layout, job: Job) -> Iterator[str]:
    """The options, one or several a text. Raises `NoOptionError` for what it has none for."""
    plan = layout.plan
    yield f"--tensor-model-parallel-size {plan.tensor} --pipeline-model-parallel-size {plan.pipeline}"
    if plan.sequence:
        yield "--sequence-parallel"
    if plan.context > 1:
        yield f"--context-parallel-size {plan.context}"
    yield from _pipeline(layout, job)
    if job.modules:
        yield f"--mtp-num-layers {job.modules}"
    if job.experts:
        yield f"--expert-model-parallel-size {plan.expert} --expert-tensor-parallel-size {plan.expert_cut}"
        if plan.expert > 1:
            yield f"--moe-token-dispatcher-type flex {_backend_of(job)}"
    yield f"--micro-batch-size {layout.micro_batch} --global-batch-size {job.batch}"
    yield from _sharding(layout)
    for option in (
        _again(layout),
        option_of(_PRECISION, layout.precision, "precision"),
        option_of(_OPTIMIZER, layout.optimizer, "optimizer"),
        *(option_of({"states": "--optimizer-cpu-offload"}, what, "offload") for what in sorted(layout.offload)),
        *_states(layout),
    ):
        if option:
            yield option


def _states(layout: Layout) -> Iterator[str]:
    """The optimizer that keeps its states in the host's memory or in 16 bits, which only a distributed one of Adam does."""
    short = layout.precision == "fp8" and layout.optimizer == "adamw"
    if layout.precision.startswith("fp8") and not layout.plan.zero:
        raise NoOptionError("weights in fp8 without a distributed optimizer")
    if not (short or layout.offload):
        return
    if not layout.plan.zero:
        raise NoOptionError("offload without a distributed optimizer")
    if layout.optimizer == "sgd":
        raise NoOptionError("offload of SGD")
    yield "--use-precision-aware-optimizer"
    if short:
        yield _MOMENTS_IN_BF16


def _backend_of(job: Job) -> str:
    """The option of how tokens go once to each device that has one of their experts."""
    return f"--moe-flex-dispatcher-backend {'deepep' if job.per_node <= _DEEPEP_NODE else 'hybridep'}"


def _pipeline(layout: Layout, job: Job) -> Iterator[str]:
    plan = layout.plan
    if plan.order not in ("1f1b", "interleaved"):
        raise NoOptionError(f"schedule {plan.order}")
    _refuse_partial_rounds(layout, job)
    sizes = pieces_of(plan, job)
    counted = plan.stages is None and not job.modules and (job.layers + 2) % len(sizes) == 0
    ends = None if job.modules else _ends(sizes, plan)
    if len(set(sizes)) == 1 or counted:
        if plan.interleave > 1:
            yield f"--num-virtual-stages-per-pipeline-rank {plan.interleave}"
        if len(set(sizes)) > 1:
            yield "--account-for-embedding-in-pipeline-split --account-for-loss-in-pipeline-split"
    elif ends is not None:
        yield f"--decoder-first-pipeline-num-layers {ends[0]} --decoder-last-pipeline-num-layers {ends[1]}"
    else:
        yield _layout(sizes, job)


def _layout(sizes: Sequence[int], job: Job) -> str:
    """Pieces of such sizes, one by one, which say how many there are: E is the embedding, m a module that predicts a further token, L the head."""
    pieces = ["t" if size == 1 else f"t*{size}" if size else "" for size in sizes]
    return f"--pipeline-model-parallel-layout {quote('E' + '|'.join(pieces) + 'm' * job.modules + 'L')}"


def _ends(sizes: Sequence[int], plan: Parallelism) -> tuple[int, int] | None:
    """Layers of the first and the last of stages of one piece, where all others have as many as one another."""
    if plan.interleave > 1 or len(set(sizes[1:-1])) != 1 or not min(sizes):
        return None
    return sizes[0], sizes[-1]


def _refuse_partial_rounds(layout: Layout, job: Job) -> None:
    """Raises `NoOptionError` where Megatron's interleaved schedule stops: its micro-batches come in rounds of as many as stages."""
    plan = layout.plan
    micro_batches = job.batch // (plan.data * layout.micro_batch)
    if plan.interleave > 1 and micro_batches % plan.pipeline:
        raise NoOptionError(f"{micro_batches} micro-batches over {plan.pipeline} interleaved stages")


def _sharding(layout: Layout) -> Iterator[str]:
    plan = layout.plan
    if plan.zero:
        yield _ZERO[plan.zero]
    if plan.data * plan.context > 1:
        yield "--overlap-grad-reduce" + (" --overlap-param-gather" if plan.zero else "")
    if plan.zero and plan.shards is not None:
        if plan.zero > 1:
            raise NoOptionError(f"ZeRO {plan.zero} over {plan.shards}")
        yield f"--num-distributed-optimizer-instances {plan.data * plan.context // plan.shards}"
