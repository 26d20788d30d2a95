"""The options of torchtitan.

Their names are those of commit b5bcd76 of August 2026, which counts steps in tokens: config/configs.py, distributed/pipeline_parallel.py,
distributed/parallel_dims.py and distributed/activation_checkpoint.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from tscale.core.tracing import ceil_div
from tscale.planning.framework_options import Job, NoOptionError, option_of, pieces_of
from tscale.planning.layouts import Layout

_AGAIN = {
    "none": "activation-checkpoint:none",
    "op": "activation-checkpoint:selective",
    "full": "activation-checkpoint:full",
}
_SCHEDULES = {"1f1b": "1F1B", "interleaved": "Interleaved1F1B"}
"""Its schedules without a bubble have several pieces a stage, which those that are predicted have not."""


def torchtitan(layout: Layout, job: Job) -> Iterator[str]:
    """The options, one or several a text. Raises `NoOptionError` for what it has none for."""
    plan = layout.plan
    if job.modules:
        raise NoOptionError("MTP")
    if job.experts and plan.expert_cut > 1:
        raise NoOptionError(f"ETP {plan.expert_cut}")
    replicas, shards = _shards(layout)
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
        yield from _pipeline(layout, job)
    yield f"--training.num_tokens_per_microbatch_per_dp_rank {layout.micro_batch * job.context}"
    yield f"--training.num_tokens_per_train_step {job.batch * job.context} --training.max_context_length {job.context}"
    if plan.pipeline > 1 or plan.expert > 1:  # which it refuses to capture
        yield "--training.disable_cuda_graphs"
    yield option_of(_AGAIN, layout.again.text, "recompute")  # subcommands come last
    if layout.offload:
        raise NoOptionError("offload")
    option_of({"bf16": "", "fp32-master": ""}, layout.precision, "precision")
    option_of({"adamw": "", "adamw-fp32": ""}, layout.optimizer, "optimizer")


def _pipeline(layout: Layout, job: Job) -> Iterator[str]:
    """The schedule, whose micro-batches are at least as many as stages or come in rounds of equal size, and the layers of each piece."""
    plan = layout.plan
    micro_batches = job.batch // (plan.data * layout.micro_batch)
    schedule = option_of(_SCHEDULES, plan.order, "schedule")
    if (
        micro_batches < plan.pipeline
        if plan.interleave == 1
        else micro_batches % max(micro_batches // plan.pipeline, 1)
    ):
        raise NoOptionError(f"{micro_batches} micro-batches over {plan.pipeline} stages")
    split_by = _split(pieces_of(plan, job))
    if split_by is None:
        uneven = f"{job.layers} layers in {plan.pipeline * plan.interleave} pieces"
        raise NoOptionError("stages of such layers" if plan.stages is not None else uneven)
    layers, first, last = split_by
    yield f"--parallelism.pipeline_parallel_schedule {schedule} --parallelism.pipeline_parallel_layers_per_stage {layers}"
    yield f"--parallelism.pipeline_parallel_first_stage_less_layers {first}"
    yield f"--parallelism.pipeline_parallel_last_stage_less_layers {last}"
    yield f"--parallelism.num_pp_microbatches {micro_batches}"


def _split(sizes: list[int]) -> tuple[int, int, int] | None:
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


def _shards(layout: Layout) -> tuple[int, int]:
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
