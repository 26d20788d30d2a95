"""A layout as the options of training frameworks; None where a framework has no option for some part of it.

What is predicted is what they ask for: gradients and weights are sent behind the backward and the forward pass, and a token goes once to
each device that has one of its experts. Megatron-LM does neither unless it is told to (its usual dispatcher is allgather); Megatron-Bridge,
the training library of the NeMo Framework, has the same options under the sections of its configuration; torchtitan sends a token once for
each expert, for which it has no option.

Option names are those of Megatron-LM (commit d98e8a6 of August 2026: training/arguments.py, which makes most of them of core's
transformer_config.py, model_parallel_config.py and training/config), of Megatron-Bridge (067f987 of August 2026:
scripts/translate_mlm_to_bridge.py, scripts/training/README.md and training/config.py) and of torchtitan (b5bcd76 of August 2026, which counts
steps in tokens: config/configs.py, distributed/pipeline_parallel.py, distributed/parallel_dims.py and distributed/activation_checkpoint.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from shlex import quote, split
from typing import Final, NamedTuple

from tscale.core.parallelism import Parallelism
from tscale.core.partition import interleaved_sizes, stretches
from tscale.core.tracing import ceil_div
from tscale.planning.bridge_flags import overrides
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
    "fp8": "--bf16 --fp8-format hybrid --fp8-param-gather",
    "fp8-bf16-gradients": "--bf16 --fp8-format hybrid --fp8-param-gather --grad-reduce-in-bf16",
    "fp32": "",
}
_MEGATRON_OPTIMIZER = {"adamw": "", "adamw-fp32": "", "sgd": "--optimizer sgd"}
_MOMENTS_IN_BF16 = "--exp-avg-dtype bf16 --exp-avg-sq-dtype bf16"


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
    for option in (
        _megatron_again(layout),
        _of(_MEGATRON_PRECISION, layout.precision, "precision"),
        _of(_MEGATRON_OPTIMIZER, layout.optimizer, "optimizer"),
        *(_of({"states": "--optimizer-cpu-offload"}, what, "offload") for what in sorted(layout.offload)),
        *_megatron_states(layout),
    ):
        if option:
            yield option


def _megatron_states(layout: Layout) -> Iterator[str]:
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


def _megatron_pipeline(layout: Layout, job: Job) -> Iterator[str]:
    plan = layout.plan
    if plan.order not in ("1f1b", "interleaved"):
        raise NoOptionError(f"schedule {plan.order}")
    _refuse_partial_rounds(layout, job)
    sizes = _pieces(plan, job)
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
        yield _megatron_layout(sizes, job)


def _pieces(plan: Parallelism, job: Job) -> list[int]:
    """Layers of each piece of a pipeline, in the order of the stack."""
    many = plan.pipeline * plan.interleave
    if plan.stages is None:
        return [int(one.size) for one in stretches(job.layers, many, ends=plan.interleave > 1, modules=job.modules)]
    return list(plan.stages) if len(plan.stages) == many else interleaved_sizes(plan.stages, plan.interleave)


def _megatron_layout(sizes: Sequence[int], job: Job) -> str:
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
_TITAN_SCHEDULES = {"1f1b": "1F1B", "interleaved": "Interleaved1F1B"}
"""Its schedules without a bubble have several pieces a stage, which those that are predicted have not."""


def _torchtitan(layout: Layout, job: Job) -> Iterator[str]:
    plan = layout.plan
    if job.modules:
        raise NoOptionError("MTP")
    if job.experts and plan.expert_cut > 1:
        raise NoOptionError(f"ETP {plan.expert_cut}")
    replicas, shards = _titan_shards(layout)
    if shards * plan.context * plan.tensor % plan.expert:
        raise NoOptionError(f"EP {plan.expert} over {replicas} copies")
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
    if plan.zero == 3 and plan.pipeline > 1:  # by default it keeps the weights of a pipeline's stage whole
        yield "--parallelism.fsdp_reshard_after_forward always"
    if plan.pipeline > 1:
        yield from _titan_pipeline(layout, job)
    yield f"--training.num_tokens_per_microbatch_per_dp_rank {layout.micro_batch * job.context}"
    yield f"--training.num_tokens_per_train_step {job.batch * job.context} --training.max_context_length {job.context}"
    if plan.pipeline > 1 or plan.expert > 1:  # which it refuses to capture
        yield "--training.disable_cuda_graphs"
    yield _of(_TITAN_AGAIN, layout.again.text, "recompute")  # subcommands come last
    if layout.offload:
        raise NoOptionError("offload")
    _of({"bf16": "", "fp32-master": ""}, layout.precision, "precision")
    _of({"adamw": "", "adamw-fp32": ""}, layout.optimizer, "optimizer")


def _titan_pipeline(layout: Layout, job: Job) -> Iterator[str]:
    """The schedule, whose micro-batches are at least as many as stages or come in rounds of equal size, and the layers of each piece."""
    plan = layout.plan
    micro_batches = job.batch // (plan.data * layout.micro_batch)
    schedule = _of(_TITAN_SCHEDULES, plan.order, "schedule")
    if (
        micro_batches < plan.pipeline
        if plan.interleave == 1
        else micro_batches % max(micro_batches // plan.pipeline, 1)
    ):
        raise NoOptionError(f"{micro_batches} micro-batches over {plan.pipeline} stages")
    split_by = _titan_split(_pieces(plan, job))
    if split_by is None:
        raise NoOptionError("stages of such layers" if plan.stages is not None else _uneven(job, plan))
    layers, first, last = split_by
    yield f"--parallelism.pipeline_parallel_schedule {schedule} --parallelism.pipeline_parallel_layers_per_stage {layers}"
    yield f"--parallelism.pipeline_parallel_first_stage_less_layers {first}"
    yield f"--parallelism.pipeline_parallel_last_stage_less_layers {last}"
    yield f"--parallelism.num_pp_microbatches {micro_batches}"


def _titan_split(sizes: list[int]) -> tuple[int, int, int] | None:
    """Layers of a piece, and how many fewer the first and the last have, of which torchtitan makes such pieces; None where it makes none.

    The embedding and the head stand for so many layers; of what does not divide, the first pieces have one more.
    """
    many, layers = len(sizes), sum(sizes)
    for first, last in sorted(product(range(max(sizes) + 1), repeat=2), key=sum):
        each, more = divmod(layers + first + last, many)
        made = [each + (place < more) for place in range(many)]
        made[0], made[-1] = made[0] - first, made[-1] - last
        most = ceil_div(layers + first + last, many)
        if made == sizes and max(first, last) <= each and ceil_div(layers + first + last, most) == many:
            return most, first, last
    return None


def _uneven(job: Job, plan: Parallelism) -> str:
    return f"{job.layers} layers in {plan.pipeline * plan.interleave} pieces"


def _titan_shards(layout: Layout) -> tuple[int, int]:
    """Copies that replicate and that shard; it has no stage of ZeRO that keeps gradients whole."""
    plan = layout.plan
    if plan.zero == 1:
        raise NoOptionError("ZeRO 1")
    if plan.tensor > 1 and not plan.sequence:
        raise NoOptionError("TP without SP")
    if plan.zero == 0:
        if plan.context > 1:  # it shards over them whatever is asked for
            raise NoOptionError("CP without sharding")
        return plan.data, 1
    sharing = plan.sharing
    if sharing % plan.context:
        raise NoOptionError(f"{sharing} shards with CP {plan.context}")
    return plan.data * plan.context // sharing, sharing // plan.context


# ---------------------------------------------------------------------------------------------------------------------
# NeMo: Megatron-Bridge
# ---------------------------------------------------------------------------------------------------------------------

_BRIDGE_PRECISIONS: Final = ("bf16", "bf16-fp32-gradients", "fp8-bf16-gradients")


def _nemo(layout: Layout, job: Job) -> Iterator[str]:
    """Megatron-LM's options as fields of Megatron-Bridge, where its recipes have such a precision."""
    words = split(" ".join(_megatron(layout, job)))
    _of(dict.fromkeys(_BRIDGE_PRECISIONS, ""), layout.precision, "precision")
    nodes = max(layout.plan.devices // job.per_node, 1)
    yield f"--nodes {nodes} --gpus-per-node {layout.plan.devices // nodes}"
    yield from overrides(words)
    yield f"dataset.seq_length={job.context}"


def _of(options: dict[str, str], name: str, axis: str) -> str:
    """The option of a name on an axis. Raises `NoOptionError` where there is none."""
    if name not in options:
        raise NoOptionError(f"{axis} {name}")
    return options[name]
