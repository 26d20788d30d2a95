"""A layout as the options of training frameworks; None where a framework has no option for some part of it.

What is predicted is what they ask for: gradients and weights are sent behind the backward and the forward pass, and a token goes once to
each device that has one of its experts. Megatron-LM does neither unless it is told to (its usual dispatcher is allgather); NeMo's recipes hide
gradients and weights (overlap_grad_reduce, overlap_param_gather); torchtitan sends a token once for each expert, for which it has no option.

Option names are those of Megatron-LM's training/arguments.py (core 0.13; that of HybridEP is of 0.16, whose transformer_config.py says that
DeepEP does not send over links of several nodes), of torchtitan's config/configs.py and
distributed/activation_checkpoint.py (commit b5bcd76 of August 2026, which counts steps in tokens) and of
NeMo 2's recipes (collections/llm/recipes, commit 00aa2e1; DeepEP's of lightning/pytorch/callbacks/deepep.py, 8cfedd7).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote
from typing import NamedTuple

from tscale.core.parallelism import Parallelism
from tscale.core.partition import interleaved_sizes, stretches
from tscale.planning.layouts import Layout


class Job(NamedTuple):
    """What a layout is of: layers and routed experts of the model, sequences of a step and their tokens, devices of a node.

    `two_stacks`: whether it is of an encoder-decoder, whose stages no framework has options for today, though Megatron-LM once split
    a pipeline at a rank. `modules`: those that predict a further token.
    """

    layers: int
    experts: int
    batch: int
    context: int
    per_node: int
    two_stacks: bool = False
    modules: int = 0


class NoOptionError(Exception):
    """A framework has no option for the part of a layout that it names."""


def flags_of(layout: Layout, job: Job) -> dict[str, str | None]:
    """The options of each framework, as one line."""
    return {name: None if lacks else line for name, (line, lacks) in _lines(layout, job).items()}


def lacks_of(layout: Layout, job: Job) -> dict[str, str]:
    """What each framework that has no options for a layout has none for."""
    return {name: lacks for name, (_, lacks) in _lines(layout, job).items() if lacks}


def _lines(layout: Layout, job: Job) -> dict[str, tuple[str, str]]:
    makers = {"megatron_lm": _megatron, "torchtitan": _torchtitan, "nemo": _nemo}
    if job.two_stacks and layout.plan.pipeline > 1:
        return dict.fromkeys(makers, ("", "stages of two stacks"))
    return {name: _line(maker(layout, job)) for name, maker in makers.items()}


def _line(words: Iterator[str]) -> tuple[str, str]:
    """The options, and what there is none for."""
    try:
        return " ".join(words), ""
    except NoOptionError as error:
        return "", str(error)


# ---------------------------------------------------------------------------------------------------------------------
# Megatron-LM
# ---------------------------------------------------------------------------------------------------------------------

_SHARDED = "--use-megatron-fsdp --data-parallel-sharding-strategy {} --no-gradient-accumulation-fusion --ckpt-format fsdp_dtensor"
_MEGATRON_ZERO = {
    1: "--use-distributed-optimizer",
    2: "--use-distributed-optimizer " + _SHARDED.format("optim_grads"),
    3: "--use-distributed-optimizer " + _SHARDED.format("optim_grads_params"),
}
_DEEPEP_NODE = 8
"""Devices of a node that DeepEP sends within; HybridEP does where links join more."""
_MEGATRON_AGAIN = {
    "none": "",
    "selective": "--recompute-granularity selective",
    "full": "--recompute-granularity full --recompute-method uniform --recompute-num-layers 1",
}
_MEGATRON_PRECISION = {
    "bf16": "--bf16 --grad-reduce-in-bf16",
    "bf16-fp32-gradients": "--bf16",
    "fp16": "--fp16",
    "fp8": "--bf16 --fp8-format hybrid",
    "fp8-bf16-gradients": "--bf16 --fp8-format hybrid --fp8-param-gather --grad-reduce-in-bf16",
    "fp32": "",
}
_MEGATRON_OPTIMIZER = {"adamw": "", "adamw-fp32": "", "sgd": "--optimizer sgd"}


def _megatron_again(layout: Layout) -> str:
    """Recomputation; of some layers it is of the first ones of each piece of a stage, which of a single one are the stage's."""
    if not layout.first:
        return _of(_MEGATRON_AGAIN, layout.recompute, "recompute")
    _refuse_some_of_pieces(layout)
    return f"--recompute-granularity full --recompute-method block --recompute-num-layers {layout.first}"


def _refuse_some_of_pieces(layout: Layout) -> None:
    """Raises `NoOptionError` for the first layers of stages of several pieces."""
    if layout.plan.interleave > 1:
        raise NoOptionError(f"recompute {layout.again.text} of stages of {layout.plan.interleave} pieces")


def _megatron(layout: Layout, job: Job) -> Iterator[str]:
    plan = layout.plan
    yield f"--tensor-model-parallel-size {plan.tensor} --pipeline-model-parallel-size {plan.pipeline}"
    if plan.sequence:
        yield "--sequence-parallel"
    if plan.context > 1:
        yield f"--context-parallel-size {plan.context}"
    yield from _megatron_pipeline(layout, job)
    if job.modules:
        yield f"--mtp-num-layers {job.modules}"
    if job.experts:
        yield f"--expert-model-parallel-size {plan.expert} --expert-tensor-parallel-size {plan.expert_cut}"
        if plan.expert > 1:
            yield f"--moe-token-dispatcher-type flex {_backend_of(job)}"
    yield f"--micro-batch-size {layout.micro_batch} --global-batch-size {job.batch}"
    yield from _megatron_sharding(layout)
    if layout.precision == "fp8-bf16-gradients" and not plan.zero:
        raise NoOptionError("weights in fp8 without a distributed optimizer")
    for option in (
        _megatron_again(layout),
        _of(_MEGATRON_PRECISION, layout.precision, "precision"),
        _of(_MEGATRON_OPTIMIZER, layout.optimizer, "optimizer"),
        *(_of({"states": "--optimizer-cpu-offload"}, what, "offload") for what in sorted(layout.offload)),
    ):
        if option:
            yield option


def _backend_of(job: Job) -> str:
    """The option of how tokens go once to each device that has one of their experts."""
    return "--moe-enable-deepep" if job.per_node <= _DEEPEP_NODE else "--moe-flex-dispatcher-backend hybridep"


def _megatron_pipeline(layout: Layout, job: Job) -> Iterator[str]:
    plan = layout.plan
    if plan.order not in ("1f1b", "interleaved"):
        raise NoOptionError(f"schedule {plan.order}")
    _refuse_partial_rounds(layout, job)
    if plan.stages is not None:
        yield from _megatron_stages(plan, job)
        return
    pieces = plan.pipeline * plan.interleave
    if job.modules and job.layers % pieces:
        yield _megatron_layout(
            [one.size for one in stretches(job.layers, pieces, ends=plan.interleave > 1, modules=job.modules)], job
        )
        return
    if plan.interleave > 1:
        yield f"--num-virtual-stages-per-pipeline-rank {plan.interleave}"
    if job.layers % pieces:
        if (job.layers + 2) % pieces:
            raise NoOptionError(_uneven(job, pieces))
        yield "--account-for-embedding-in-pipeline-split --account-for-loss-in-pipeline-split"


def _megatron_stages(plan: Parallelism, job: Job) -> Iterator[str]:
    """Stages of given sizes: by the first and the last where the others are alike, else piece by piece, which says how many there are."""
    assert plan.stages is not None
    ends = _ends(plan)
    if ends is not None:
        yield f"--decoder-first-pipeline-num-layers {ends[0]} --decoder-last-pipeline-num-layers {ends[1]}"
        return
    sizes = list(plan.stages)
    if len(sizes) < plan.pipeline * plan.interleave:
        sizes = interleaved_sizes(sizes, plan.interleave)
    yield _megatron_layout(sizes, job)


def _megatron_layout(sizes: Sequence[int], job: Job) -> str:
    """Pieces of such sizes, one by one: E is the embedding, m a module that predicts a further token, L the head."""
    pieces = ["t" if size == 1 else f"t*{size}" if size else "" for size in sizes]
    return f"--pipeline-model-parallel-layout {quote('E' + '|'.join(pieces) + 'm' * job.modules + 'L')}"


def _ends(plan: Parallelism) -> tuple[int, int] | None:
    """Layers of the first and the last of given stages of one piece, where all others have as many as one another."""
    sizes = plan.stages
    if sizes is None or plan.interleave > 1 or len(set(sizes[1:-1])) != 1 or not min(sizes):
        return None
    return sizes[0], sizes[-1]


def _uneven(job: Job, pieces: int) -> str:
    return f"{job.layers} layers in {pieces} pieces"


def _refuse_partial_rounds(layout: Layout, job: Job) -> None:
    """Raises `NoOptionError` where Megatron's interleaved schedule stops: its micro-batches come in rounds of as many as stages."""
    plan = layout.plan
    micro_batches = job.batch // (plan.data * layout.micro_batch)
    if plan.interleave > 1 and micro_batches % plan.pipeline:
        raise NoOptionError(f"{micro_batches} micro-batches over {plan.pipeline} interleaved stages")


def _megatron_sharding(layout: Layout) -> Iterator[str]:
    plan = layout.plan
    if plan.zero:
        yield _MEGATRON_ZERO[plan.zero]
    if plan.data * plan.context > 1:
        yield "--overlap-grad-reduce" + (" --overlap-param-gather" if plan.zero else "")
    if plan.zero and plan.shards is not None:
        if plan.zero > 1:
            raise NoOptionError(f"ZeRO {plan.zero} over {plan.shards}")
        yield f"--num-distributed-optimizer-instances {plan.data * plan.context // plan.shards}"


# ---------------------------------------------------------------------------------------------------------------------
# torchtitan
# ---------------------------------------------------------------------------------------------------------------------

_TITAN_AGAIN = {
    "none": "activation-checkpoint:none",
    "op": "activation-checkpoint:selective",
    "full": "activation-checkpoint:full",
}
_TITAN_SCHEDULES = {"1f1b": "1F1B", "interleaved": "Interleaved1F1B", "zero-bubble": "ZBVZeroBubble"}


def _torchtitan(layout: Layout, job: Job) -> Iterator[str]:
    plan = layout.plan
    if job.modules:
        raise NoOptionError("MTP")
    if job.experts and plan.expert_cut > 1:
        raise NoOptionError(f"ETP {plan.expert_cut}")
    replicas, shards = _titan_shards(layout)
    for name, degree in (
        ("tensor_parallel", plan.tensor),
        ("pipeline_parallel", plan.pipeline),
        ("context_parallel", plan.context),
        ("expert_parallel", plan.expert),
        ("data_parallel_replicate", replicas),
        ("data_parallel_shard", shards),
    ):
        yield f"--parallelism.{name}_degree {degree}"
    if plan.zero == 2:
        yield "--parallelism.fsdp_reshard_after_forward never"
    if plan.stages is not None:
        raise NoOptionError("stages of such layers")
    if plan.pipeline > 1:
        yield f"--parallelism.pipeline_parallel_schedule {_of(_TITAN_SCHEDULES, plan.order, 'schedule')}"
        yield f"--parallelism.pipeline_parallel_layers_per_stage {-(-job.layers // (plan.pipeline * plan.interleave))}"
        yield f"--parallelism.num_pp_microbatches {job.batch // (plan.data * layout.micro_batch)}"
    yield f"--training.num_tokens_per_microbatch_per_dp_rank {layout.micro_batch * job.context}"
    yield f"--training.num_tokens_per_train_step {job.batch * job.context} --training.max_context_length {job.context}"
    yield _of(_TITAN_AGAIN, layout.again.text, "recompute")  # subcommands come last
    if layout.offload:
        raise NoOptionError("offload")
    _of({"bf16": "", "fp32-master": ""}, layout.precision, "precision")
    _of({"adamw": "", "adamw-fp32": ""}, layout.optimizer, "optimizer")


def _titan_shards(layout: Layout) -> tuple[int, int]:
    """Copies that replicate and that shard; it has no stage of ZeRO that keeps gradients whole."""
    plan = layout.plan
    if plan.zero == 1:
        raise NoOptionError("ZeRO 1")
    if plan.tensor > 1 and not plan.sequence:
        raise NoOptionError("TP without SP")
    if plan.zero == 0:
        return plan.data, 1
    sharing = plan.sharing
    if sharing % plan.context:
        raise NoOptionError(f"{sharing} shards with CP {plan.context}")
    return plan.data * plan.context // sharing, sharing // plan.context


# ---------------------------------------------------------------------------------------------------------------------
# NeMo
# ---------------------------------------------------------------------------------------------------------------------

_NEMO_AGAIN = {
    "none": "",
    "selective": "model.config.recompute_granularity=selective",
    "full": "model.config.recompute_granularity=full model.config.recompute_method=uniform model.config.recompute_num_layers=1",
}


def _nemo_again(layout: Layout) -> str:
    if not layout.first:
        return _of(_NEMO_AGAIN, layout.recompute, "recompute")
    _refuse_some_of_pieces(layout)
    return (
        "model.config.recompute_granularity=full model.config.recompute_method=block "
        f"model.config.recompute_num_layers={layout.first}"
    )


def _nemo_stages(layout: Layout, job: Job) -> Iterator[str]:
    plan = layout.plan
    ends = _ends(plan)
    if plan.stages is not None and ends is None:
        raise NoOptionError("stages of such layers")
    if ends is not None:
        yield f"model.config.num_layers_in_first_pipeline_stage={ends[0]}"
        yield f"model.config.num_layers_in_last_pipeline_stage={ends[1]}"
    elif job.layers % (plan.pipeline * plan.interleave):
        raise NoOptionError(_uneven(job, plan.pipeline * plan.interleave))
    if job.modules:
        yield f"model.config.mtp_num_layers={job.modules}"


def _nemo(layout: Layout, job: Job) -> Iterator[str]:
    plan = layout.plan
    lacks = [
        *([f"ZeRO {plan.zero}"] if plan.zero > 1 else []),
        *(["shards"] if plan.shards is not None else []),
        *(["offload"] if layout.offload else []),
        *([f"schedule {plan.order}"] if plan.order not in ("1f1b", "interleaved") else []),
    ]
    if lacks:
        raise NoOptionError(", ".join(lacks))
    _refuse_partial_rounds(layout, job)
    nodes = max(plan.devices // job.per_node, 1)
    yield f"trainer.num_nodes={nodes} trainer.devices={plan.devices // nodes}"
    for name, value in (
        ("tensor_model_parallel_size", plan.tensor),
        ("sequence_parallel", plan.sequence),
        ("pipeline_model_parallel_size", plan.pipeline),
        ("virtual_pipeline_model_parallel_size", plan.interleave if plan.interleave > 1 else None),
        ("context_parallel_size", plan.context),
        ("expert_model_parallel_size", plan.expert if job.experts else None),
        ("expert_tensor_parallel_size", plan.expert_cut if job.experts else None),
    ):
        if value is not None:
            yield f"trainer.strategy.{name}={value}"
    yield from _nemo_stages(layout, job)
    if job.experts and plan.expert > 1:
        if job.per_node > _DEEPEP_NODE:
            raise NoOptionError("HybridEP")
        yield "model.config.moe_token_dispatcher_type=flex model.config.moe_enable_deepep=True"
    yield f"data.micro_batch_size={layout.micro_batch} data.global_batch_size={job.batch} data.seq_length={job.context}"
    yield f"optim.config.use_distributed_optimizer={plan.zero == 1}"
    if again := _nemo_again(layout):
        yield again
    _of({"bf16": "", "bf16-fp32-gradients": ""}, layout.precision, "precision")
    _of({"adamw": "", "adamw-fp32": ""}, layout.optimizer, "optimizer")


def _of(options: dict[str, str], name: str, axis: str) -> str:
    """The option of a name on an axis. Raises `NoOptionError` where there is none."""
    if name not in options:
        raise NoOptionError(f"{axis} {name}")
    return options[name]
