"""Each part of a layout alone, as each framework is told of it or cannot be."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise, product
from math import ceil
from typing import Any

import pytest

from tscale.core.parallelism import Parallelism
from tscale.core.partition import stretches
from tscale.planning.flags import flags_of, lacks_of
from tscale.planning.framework_options import Job
from tscale.planning.layouts import Layout

JOB = Job(layers=24, experts=0, batch=64, context=4096, per_node=8)
PLAIN = Layout(Parallelism(data=8), 2, "none", "bf16", "adamw", None, frozenset())
MEGATRON = "--tensor-model-parallel-size 1 --pipeline-model-parallel-size 1 "
BATCH = "--micro-batch-size 2 --global-batch-size 64"
BF16 = "--bf16 --grad-reduce-in-bf16"
REDUCED = "--overlap-grad-reduce"
GATHERED = f"{REDUCED} --overlap-param-gather"


def _layout(plan: dict[str, Any], **policies: Any) -> Layout:
    return PLAIN._replace(plan=PLAIN.plan._replace(**plan), **policies)


MEGATRON_LINES: list[tuple[Layout, Job, str]] = [
    (PLAIN, JOB, f"{MEGATRON}{BATCH} {REDUCED} {BF16}"),
    (_layout({"context": 2}), JOB, f"{MEGATRON}--context-parallel-size 2 {BATCH} {REDUCED} {BF16}"),
    (
        _layout({"expert": 4, "expert_tensor": 2}), JOB._replace(experts=8),
        f"{MEGATRON}--expert-model-parallel-size 4 --expert-tensor-parallel-size 2 --moe-token-dispatcher-type flex --moe-flex-dispatcher-backend deepep "
        f"{BATCH} {REDUCED} {BF16}",
    ),
    (
        _layout({"zero": 1, "context": 4, "shards": 8}), JOB,  # 32 devices keep a copy, 8 of them a whole one
        f"{MEGATRON}--context-parallel-size 4 {BATCH} --use-distributed-optimizer {GATHERED} --num-distributed-optimizer-instances 4 {BF16}",
    ),
    (
        _layout({"zero": 3}, recompute="selective", precision="bf16-fp32-gradients"), JOB,
        f"{MEGATRON}{BATCH} --use-distributed-optimizer --use-megatron-fsdp --data-parallel-sharding-strategy optim_grads_params "
        f"--no-gradient-accumulation-fusion --ckpt-format fsdp_dtensor {GATHERED} --recompute-granularity selective --bf16",
    ),
    (
        _layout({"zero": 1}, precision="fp8-bf16-gradients"), JOB,
        f"{MEGATRON}{BATCH} --use-distributed-optimizer {GATHERED} --bf16 --fp8-format hybrid --fp8-param-gather --grad-reduce-in-bf16",
    ),
    (
        _layout({"zero": 1}, offload=frozenset({"states"})), JOB,
        f"{MEGATRON}{BATCH} --use-distributed-optimizer {GATHERED} {BF16} --optimizer-cpu-offload --use-precision-aware-optimizer",
    ),
    (
        _layout({"zero": 1}, precision="fp8"), JOB,  # whose moments are in 16 bits
        f"{MEGATRON}{BATCH} --use-distributed-optimizer {GATHERED} --bf16 --fp8-format hybrid --fp8-param-gather "
        "--use-precision-aware-optimizer --exp-avg-dtype bf16 --exp-avg-sq-dtype bf16",
    ),
    (
        _layout({"zero": 1}, precision="fp8", optimizer="adamw-fp32"), JOB,
        f"{MEGATRON}{BATCH} --use-distributed-optimizer {GATHERED} --bf16 --fp8-format hybrid --fp8-param-gather",
    ),
    (
        _layout({"pipeline": 4, "interleave": 2, "data": 4}), JOB,  # 24 layers in 8 pieces of 3; 8 micro-batches
        f"--tensor-model-parallel-size 1 --pipeline-model-parallel-size 4 --num-virtual-stages-per-pipeline-rank 2 {BATCH} {REDUCED} {BF16}",
    ),
    (
        _layout({"pipeline": 4}), JOB._replace(layers=22),  # 22 layers, a table and a head
        "--tensor-model-parallel-size 1 --pipeline-model-parallel-size 4 --account-for-embedding-in-pipeline-split "
        f"--account-for-loss-in-pipeline-split {BATCH} {REDUCED} {BF16}",
    ),
]  # fmt: skip


def test_megatron_is_told_of_each_part() -> None:
    for layout, job, line in MEGATRON_LINES:
        assert flags_of(layout, job)["megatron_lm"] == line


TITAN = (
    "--parallelism.tensor_parallel_degree {} --parallelism.pipeline_parallel_degree {} --parallelism.context_parallel_degree {} "
    "--parallelism.expert_parallel_degree {} --parallelism.data_parallel_replicate_degree {} --parallelism.data_parallel_shard_degree {}"
)
TRAINED = (  # micro-batches of 2 and steps of 64 sequences of 4096 tokens
    "--training.num_tokens_per_microbatch_per_dp_rank 8192 --training.num_tokens_per_train_step 262144 "
    "--training.max_context_length 4096 {}activation-checkpoint:{}"
)
LESS = "--parallelism.pipeline_parallel_first_stage_less_layers {} --parallelism.pipeline_parallel_last_stage_less_layers {}"
UNCAPTURED = "--training.disable_cuda_graphs "

TITAN_LINES: list[tuple[Layout, Job, str]] = [
    (PLAIN, JOB, TITAN.format(1, 1, 1, 1, 8, 1) + " " + TRAINED.format("", "none")),
    (
        _layout({"zero": 2}, recompute="full"), JOB,
        f"{TITAN.format(1, 1, 1, 1, 1, 8)} --parallelism.fsdp_reshard_after_forward never {TRAINED.format('', 'full')}",
    ),
    (
        _layout({"zero": 3, "context": 4, "shards": 8}), JOB,  # 32 devices in 4 groups of 8, of which context parallelism takes 4
        f"{TITAN.format(1, 1, 4, 1, 4, 2)} {TRAINED.format('', 'none')}",
    ),
    (
        _layout({"zero": 3, "pipeline": 5, "interleave": 2}), JOB._replace(layers=28),  # and a table and a head: 10 pieces of 3
        f"{TITAN.format(1, 5, 1, 1, 1, 8)} --parallelism.fsdp_reshard_after_forward always "
        "--parallelism.pipeline_parallel_schedule Interleaved1F1B --parallelism.pipeline_parallel_layers_per_stage 3 "
        f"{LESS.format(1, 0)} --parallelism.num_pp_microbatches 4 " + TRAINED.format(UNCAPTURED, "none"),
    ),
    (
        _layout({"zero": 3, "pipeline": 2}), JOB,
        f"{TITAN.format(1, 2, 1, 1, 1, 8)} --parallelism.fsdp_reshard_after_forward always "
        "--parallelism.pipeline_parallel_schedule 1F1B --parallelism.pipeline_parallel_layers_per_stage 12 "
        f"{LESS.format(0, 0)} --parallelism.num_pp_microbatches 4 " + TRAINED.format(UNCAPTURED, "none"),
    ),
    (
        _layout({"zero": 2, "expert": 4, "expert_tensor": 1}), JOB._replace(experts=8),
        f"{TITAN.format(1, 1, 1, 4, 1, 8)} --parallelism.fsdp_reshard_after_forward never " + TRAINED.format(UNCAPTURED, "none"),
    ),
]  # fmt: skip


def test_torchtitan_is_told_of_each_part() -> None:
    for layout, job, line in TITAN_LINES:
        assert flags_of(layout, job)["torchtitan"] == line


BRIDGE = "--nodes {} --gpus-per-node {} model.tensor_model_parallel_size=1 model.pipeline_model_parallel_size=1"
BRIDGE_BATCH = "train.micro_batch_size=2 train.global_batch_size=64"
BRIDGE_UNSAID = (
    "model.sequence_parallel=false model.context_parallel_size=1 model.virtual_pipeline_model_parallel_size=null"
)
UNSHARDED = "ddp.use_distributed_optimizer=false optimizer.use_distributed_optimizer=false"
SHARDED = "ddp.use_distributed_optimizer=true optimizer.use_distributed_optimizer=true"
BRIDGE_BF16 = "mixed_precision.bf16=true mixed_precision.grad_reduce_in_fp32=false"
SEQUENCE = "dataset.seq_length=4096"
REDUCED_BEHIND = "ddp.overlap_grad_reduce=true"
GATHERED_BEHIND = f"{REDUCED_BEHIND} ddp.overlap_param_gather=true"

NEMO_LINES: list[tuple[Layout, Job, str]] = [
    (
        PLAIN, JOB,
        f"{BRIDGE.format(1, 8)} {BRIDGE_BATCH} {REDUCED_BEHIND} {BRIDGE_BF16} {BRIDGE_UNSAID} {UNSHARDED} model.recompute_granularity=null {SEQUENCE}",
    ),
    (
        _layout({"data": 4, "zero": 1}), JOB,  # half of a node
        f"{BRIDGE.format(1, 4)} {BRIDGE_BATCH} {SHARDED} {GATHERED_BEHIND} {BRIDGE_BF16} {BRIDGE_UNSAID} model.recompute_granularity=null {SEQUENCE}",
    ),
    (
        _layout({"data": 32, "zero": 3}, recompute="selective"), JOB._replace(per_node=4),
        f"{BRIDGE.format(8, 4)} {BRIDGE_BATCH} {SHARDED} ddp.use_megatron_fsdp=true dist.use_megatron_fsdp=true "
        "ddp.data_parallel_sharding_strategy=optim_grads_params model.gradient_accumulation_fusion=false checkpoint.ckpt_format=fsdp_dtensor "
        f"{GATHERED_BEHIND} model.recompute_granularity=selective {BRIDGE_BF16} {BRIDGE_UNSAID} {SEQUENCE}",
    ),
    (
        _layout({"zero": 1, "shards": 4}, precision="fp8-bf16-gradients"), JOB,
        f"{BRIDGE.format(1, 8)} {BRIDGE_BATCH} {SHARDED} {GATHERED_BEHIND} ddp.num_distributed_optimizer_instances=2 mixed_precision.bf16=true "
        f"mixed_precision.fp8=hybrid mixed_precision.fp8_param_gather=true mixed_precision.grad_reduce_in_fp32=false {BRIDGE_UNSAID} "
        f"model.recompute_granularity=null mixed_precision.fp8_recipe=delayed {SEQUENCE}",
    ),
    (
        _layout({"expert": 8, "expert_tensor": 1, "zero": 1}, offload=frozenset({"states"})), JOB._replace(experts=16),
        f"{BRIDGE.format(1, 8)} model.expert_model_parallel_size=8 model.expert_tensor_parallel_size=1 model.moe_token_dispatcher_type=flex "
        f"model.moe_flex_dispatcher_backend=deepep {BRIDGE_BATCH} {SHARDED} {GATHERED_BEHIND} {BRIDGE_BF16} optimizer.optimizer_cpu_offload=true "
        f"optimizer.use_precision_aware_optimizer=true {BRIDGE_UNSAID} model.recompute_granularity=null {SEQUENCE}",
    ),
]  # fmt: skip


def test_nemo_is_told_of_each_part() -> None:
    for layout, job, line in NEMO_LINES:
        assert flags_of(layout, job)["nemo"] == line


@pytest.mark.parametrize(
    ("framework", "lacks"),
    [
        (
            "megatron_lm",
            [
                (_layout({"pipeline": 2, "schedule": "zero-bubble"}), JOB, "schedule zero-bubble"),
                (_layout({"pipeline": 4}), JOB._replace(layers=23), None),
                (_layout({"pipeline": 8, "interleave": 2}), JOB, "4 micro-batches over 8 interleaved stages"),
                (_layout({"pipeline": 8}), JOB, None),
                (_layout({"zero": 2, "shards": 4}), JOB, "ZeRO 2 over 4"),
                (_layout({"zero": 1, "shards": 4}), JOB, None),
                (_layout({"zero": 1}, offload=frozenset({"activations"})), JOB, "offload activations"),
                (_layout({}, offload=frozenset({"states"})), JOB, "offload without a distributed optimizer"),
                (_layout({"zero": 1}, optimizer="sgd", offload=frozenset({"states"})), JOB, "offload of SGD"),
                (_layout({}, precision="fp32-master"), JOB, "precision fp32-master"),
                (_layout({}, precision="fp8-bf16-gradients"), JOB, "weights in fp8 without a distributed optimizer"),
            ],
        ),
        (
            "torchtitan",
            [
                (_layout({"expert_tensor": 2}), JOB._replace(experts=8), "ETP 2"),
                (_layout({"expert_tensor": 2}), JOB, None),
                (_layout({"expert_tensor": 1}), JOB._replace(experts=8), None),
                (_layout({"zero": 1}), JOB, "ZeRO 1"),
                (_layout({"tensor": 2}), JOB, "TP without SP"),
                (_layout({"tensor": 2, "sequence": True}), JOB, None),
                (_layout({"zero": 3, "context": 4, "shards": 2}), JOB, "2 shards with CP 4"),
                (_layout({"zero": 3, "context": 4, "shards": 4}), JOB, None),
                (_layout({"pipeline": 2, "schedule": "dualpipe"}), JOB, "schedule dualpipe"),
                (_layout({"pipeline": 2, "schedule": "zero-bubble"}), JOB, "schedule zero-bubble"),
                (_layout({"pipeline": 8}), JOB, "4 micro-batches over 8 stages"),
                (_layout({"pipeline": 4, "interleave": 2}), JOB._replace(batch=9 * 16), "9 micro-batches over 4 stages"),
                (_layout({"pipeline": 4, "interleave": 2}), JOB._replace(batch=10 * 16), None),  # two rounds of 5
                (_layout({"zero": 3, "pipeline": 5, "interleave": 2}), JOB, "24 layers in 10 pieces"),  # it would make 9 of 3
                (_layout({"context": 2}), JOB, "CP without sharding"),
                (_layout({"expert": 4, "expert_tensor": 1}), JOB._replace(experts=8), "EP 4 over 8 copies"),
                (_layout({}, offload=frozenset({"states"})), JOB, "offload"),
            ],
        ),
        (
            "nemo",
            [
                (_layout({"zero": 2}), JOB, None),
                (_layout({"zero": 3, "shards": 4}), JOB, "ZeRO 3 over 4"),
                (_layout({"zero": 1}, precision="fp8"), JOB, "precision fp8"),
                (_layout({"pipeline": 2, "schedule": "dualpipe"}), JOB, "schedule dualpipe"),
                (_layout({"pipeline": 4}), JOB._replace(layers=22), None),
                (_layout({"pipeline": 4}), JOB, None),
                (_layout({}, recompute="op"), JOB, "recompute op"),
            ],
        ),
    ],
)  # fmt: skip
def test_what_there_is_no_option_for_is_named(framework: str, lacks: list[tuple[Layout, Job, str | None]]) -> None:
    """None: it has options for all of it."""
    for layout, job, what in lacks:
        assert lacks_of(layout, job).get(framework) == what
        assert (flags_of(layout, job)[framework] is None) == (what is not None)


def _laid_out(sizes: tuple[int, ...]) -> str:
    """Layers of pieces as Megatron-LM has them: t for one, t*3 for three, nothing for none; tables first and the head last."""
    return f"--pipeline-model-parallel-layout '{'E' + '|'.join({0: '', 1: 't'}.get(n, f't*{n}') for n in sizes) + 'L'}'"


STAGES: list[tuple[dict[str, Any], tuple[int, int] | tuple[int, ...]]] = [
    ({"pipeline": 4, "stages": (5, 7, 7, 5)}, (5, 5)),
    ({"pipeline": 4, "stages": (4, 7, 7, 6)}, (4, 6)),
    ({"pipeline": 3, "stages": (9, 8, 7)}, (9, 7)),  # of a single one in between, all have as many
    ({"pipeline": 4, "stages": (6, 5, 7, 6)}, (6, 5, 7, 6)),
    ({"pipeline": 2, "stages": (13, 11)}, (13, 11)),  # of none in between nothing is alike
    ({"pipeline": 4, "stages": (0, 12, 12, 0)}, (0, 12, 12, 0)),  # which of the first and the last has none is said
    ({"pipeline": 5, "stages": (1, 2, 1, 18, 2)}, (1, 2, 1, 18, 2)),
    ({"pipeline": 2, "interleave": 2, "data": 4, "stages": (5, 7, 7, 5)}, (5, 7, 7, 5)),  # of pieces, in the order of the stack
    ({"pipeline": 2, "interleave": 2, "data": 4, "stages": (13, 11)}, (7, 6, 6, 5)),  # of stages: 7 and 6 of the first, 6 and 5 of the second
    ({"pipeline": 3, "interleave": 4, "data": 4, "stages": (8, 8, 8)}, (2,) * 12),  # which are alike
    ({"pipeline": 3, "interleave": 4, "data": 4, "stages": (1, 1, 2, 3) * 3}, (1, 1, 2, 3) * 3),
]  # fmt: skip


@pytest.mark.parametrize(("plan", "sizes"), STAGES)
def test_stages_of_given_sizes_are_said_by_their_ends_or_piece_by_piece(
    plan: dict[str, Any], sizes: tuple[int, ...]
) -> None:
    layout, job = _layout(plan), JOB._replace(batch=96)
    lines, ends = flags_of(layout, job), len(sizes) == 2 and plan["pipeline"] > 2
    said = _laid_out(sizes)
    if ends:
        said = "--decoder-first-pipeline-num-layers {} --decoder-last-pipeline-num-layers {}".format(*sizes)
    elif len(set(sizes)) == 1:
        said = f"--num-virtual-stages-per-pipeline-rank {plan['interleave']}"
    megatron = lines["megatron_lm"] or ""
    assert f"--pipeline-model-parallel-size {plan['pipeline']} {said} --micro-batch-size" in megatron
    bridge = "model.num_layers_in_first_pipeline_stage={} model.num_layers_in_last_pipeline_stage={}"
    assert (bridge.format(*sizes) in (lines["nemo"] or "")) == ends


def _of_torchtitan(layers: int, per_stage: int, first: int, last: int) -> list[int]:
    """Layers of its stages, by distributed/pipeline_parallel.py: tables and head count as layers, first stages have what is left over."""
    stages = ceil((layers + first + last) / per_stage)
    each, more = divmod(layers + first + last, stages)
    sizes = [each + 1] * more + [each] * (stages - more)
    sizes[0] -= first
    sizes[-1] -= last
    return sizes


def test_torchtitan_makes_the_pieces_that_are_predicted() -> None:
    """Of every pipeline and of any sizes that its three numbers can say; of others the option is said to be missing."""
    made = 0
    for layers, pipeline, interleave in product(range(4, 40, 3), (2, 3, 4, 8), (1, 2, 3)):
        if layers < pipeline * interleave:
            continue
        plan = Parallelism(pipeline=pipeline, interleave=interleave, zero=3, data=2)
        job = JOB._replace(layers=layers, batch=96)
        line = flags_of(PLAIN._replace(plan=plan, micro_batch=1), job)["torchtitan"]
        wanted = [one.size for one in stretches(layers, pipeline * interleave, ends=interleave > 1)]
        if line is None:
            assert not any(
                _of_torchtitan(layers, per_stage, first, last) == wanted
                for per_stage, first, last in product(range(1, 40), range(5), range(5))
                if max(first, last) <= (layers + first + last) // (pipeline * interleave)
            )
            continue
        words = dict(pairwise(line.split()))
        names = ("layers_per_stage", "first_stage_less_layers", "last_stage_less_layers")
        numbers = [int(words[f"--parallelism.pipeline_parallel_{name}"]) for name in names]
        assert _of_torchtitan(layers, *numbers) == wanted
        made += 1
    assert made > 80


def test_stages_of_two_stacks_have_no_options_and_a_single_one_has() -> None:
    job = JOB._replace(two_stacks=True)
    for pipeline in (1, 2, 3):
        found = lacks_of(_layout({"pipeline": pipeline, "data": 2}), job)
        assert found == ({} if pipeline == 1 else dict.fromkeys(("megatron_lm", "torchtitan", "nemo"), "stages of two stacks"))  # fmt: skip


def _of_megatron(words: list[str], layers: int, pipeline: int) -> list[int]:
    """Layers of its pieces, by core/transformer/transformer_config.py and pipeline_parallel_layer_layout.py."""
    said = dict(pairwise(words))
    if "--pipeline-model-parallel-layout" in said:
        stages = said["--pipeline-model-parallel-layout"].split("|")
        return [sum(int(many or 1) for many in re.findall(r"t(?:\*(\d+))?", stage)) for stage in stages]
    if "--decoder-first-pipeline-num-layers" in said:
        first, last = (int(said[f"--decoder-{end}-pipeline-num-layers"]) for end in ("first", "last"))
        assert (layers - first - last) % (pipeline - 2) == 0
        return [first, *[(layers - first - last) // (pipeline - 2)] * (pipeline - 2), last]
    many = pipeline * int(said.get("--num-virtual-stages-per-pipeline-rank", 1))
    counted = "--account-for-embedding-in-pipeline-split" in words
    assert (layers + 2 * counted) % many == 0
    sizes = [(layers + 2 * counted) // many] * many
    sizes[0], sizes[-1] = sizes[0] - counted, sizes[-1] - counted
    return sizes


def test_megatron_makes_the_pieces_that_are_predicted() -> None:
    """Of every number of layers: it runs any pieces, evenly cut or not."""
    for layers, pipeline, interleave in product(range(4, 40, 3), (2, 3, 4, 8), (1, 2, 3)):
        if layers < pipeline * interleave:
            continue
        plan = Parallelism(pipeline=pipeline, interleave=interleave, zero=1, data=2)
        line = flags_of(PLAIN._replace(plan=plan, micro_batch=1), JOB._replace(layers=layers, batch=96))["megatron_lm"]
        wanted = [one.size for one in stretches(layers, pipeline * interleave, ends=interleave > 1)]
        assert _of_megatron(shlex.split(line or ""), layers, pipeline) == wanted
