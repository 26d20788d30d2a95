"""Layouts as options of training frameworks, under the names that these have for them."""

from __future__ import annotations

import shlex

from tscale.core.parallelism import Parallelism
from tscale.planning.flags import flags_of, lacks_of
from tscale.planning.framework_options import Job
from tscale.planning.layouts import Layout

JOB = Job(layers=126, experts=0, batch=2048, context=8192, per_node=8)
LAYOUT = Layout(
    Parallelism(tensor=8, sequence=True, pipeline=16, data=128, zero=1), 1, "none", "bf16-fp32-gradients", "adamw", None, frozenset()
)  # fmt: skip


def test_llama_405b_as_megatron_is_told_of_it() -> None:
    """126 layers and a table and a head that stand for one each are 16 times 8 (Dubey 2024, section 3.3.2)."""
    assert flags_of(LAYOUT, JOB)["megatron_lm"] == (
        "--tensor-model-parallel-size 8 --pipeline-model-parallel-size 16 --sequence-parallel "
        "--account-for-embedding-in-pipeline-split --account-for-loss-in-pipeline-split --micro-batch-size 1 "
        "--global-batch-size 2048 --use-distributed-optimizer --overlap-grad-reduce --overlap-param-gather --bf16"
    )


def test_fsdp_as_torchtitan_is_told_of_it() -> None:
    plan = Parallelism(tensor=2, sequence=True, data=32, zero=3, shards=8)
    layout = LAYOUT._replace(plan=plan, recompute="op", precision="fp32-master")
    assert flags_of(layout, JOB)["torchtitan"] == (
        "--parallelism.tensor_parallel_degree 2 --parallelism.pipeline_parallel_degree 1 --parallelism.context_parallel_degree 1 "
        "--parallelism.expert_parallel_degree 1 --parallelism.data_parallel_replicate_degree 4 "
        "--parallelism.data_parallel_shard_degree 8 --training.num_tokens_per_microbatch_per_dp_rank 8192 "
        "--training.num_tokens_per_train_step 16777216 --training.max_context_length 8192 activation-checkpoint:selective"
    )


def test_a_pipeline_as_megatron_bridge_is_told_of_it() -> None:
    """Megatron-LM's options by scripts/translate_mlm_to_bridge.py, and what a recipe may have beyond them."""
    plan = Parallelism(tensor=8, sequence=True, pipeline=9, interleave=2, context=4, data=2, zero=1)
    assert flags_of(LAYOUT._replace(plan=plan), JOB._replace(batch=2016))["nemo"] == (
        "--nodes 72 --gpus-per-node 8 model.tensor_model_parallel_size=8 model.pipeline_model_parallel_size=9 "
        "model.sequence_parallel=true model.context_parallel_size=4 model.virtual_pipeline_model_parallel_size=2 "
        "train.micro_batch_size=1 train.global_batch_size=2016 ddp.use_distributed_optimizer=true "
        "optimizer.use_distributed_optimizer=true ddp.overlap_grad_reduce=true ddp.overlap_param_gather=true "
        "mixed_precision.bf16=true model.recompute_granularity=null mixed_precision.grad_reduce_in_fp32=true dataset.seq_length=8192"
    )


def test_uneven_stages_are_those_of_the_ends_or_piece_by_piece() -> None:
    """Megatron-LM's options of the first and the last stage, where all others are alike; else its layout string."""
    job = JOB._replace(layers=32, batch=128)
    plan = Parallelism(pipeline=4, data=8, stages=(7, 9, 9, 7))
    assert _megatron(plan, job)[4:8] == [
        "--decoder-first-pipeline-num-layers",
        "7",
        "--decoder-last-pipeline-num-layers",
        "7",
    ]
    assert _megatron(plan._replace(stages=(9, 9, 8, 6)), job)[4:6] == [
        "--pipeline-model-parallel-layout",
        "Et*9|t*9|t*8|t*6L",
    ]
    two = Parallelism(pipeline=2, interleave=2, data=8, stages=(17, 15))
    assert _megatron(two, job)[4:6] == ["--pipeline-model-parallel-layout", "Et*9|t*8|t*8|t*7L"]
    assert "model.num_layers_in_first_pipeline_stage=7" in (flags_of(LAYOUT._replace(plan=plan), job)["nemo"] or "")
    laid_out = flags_of(LAYOUT._replace(plan=two), job)["nemo"] or ""
    assert "model.pipeline_model_parallel_layout='Et*9|t*8|t*8|t*7L'" in laid_out
    assert "virtual" not in laid_out


def test_modules_that_predict_further_tokens_stand_before_the_head() -> None:
    """As Megatron-Bridge lays out DeepSeek-V3 ("Et*4|(t*4|)*14tmL"); torchtitan has none."""
    job = JOB._replace(layers=61, batch=256, modules=1)
    plan = Parallelism(pipeline=8, interleave=2, data=2)
    layout = "|".join(["Et*4", *["t*4"] * 14, "tmL"])
    assert _megatron(plan, job)[4:8] == ["--pipeline-model-parallel-layout", layout, "--mtp-num-layers", "1"]
    assert "--num-virtual-stages-per-pipeline-rank 2 --mtp-num-layers 1" in (
        flags_of(LAYOUT._replace(plan=plan), job._replace(layers=64))["megatron_lm"] or ""
    )
    assert "model.mtp_num_layers=1" in (flags_of(LAYOUT._replace(plan=plan), job._replace(layers=64))["nemo"] or "")
    assert lacks_of(LAYOUT._replace(plan=plan), job)["torchtitan"] == "MTP"


def test_the_first_layers_are_recomputed_by_blocks_of_megatron() -> None:
    """Of a stage of one piece; of several, its option is about the first layers of each."""
    layout = LAYOUT._replace(plan=Parallelism(pipeline=2, data=8), recompute="full", first=6)
    job = JOB._replace(layers=32, batch=128)
    assert "--recompute-granularity full --recompute-method block --recompute-num-layers 6" in (
        flags_of(layout, job)["megatron_lm"] or ""
    )
    assert "recompute_method=block model.recompute_num_layers=6" in (flags_of(layout, job)["nemo"] or "")
    assert (
        lacks_of(layout._replace(plan=layout.plan._replace(interleave=2)), job)["megatron_lm"]
        == "recompute full:6 of stages of 2 pieces"
    )
    assert lacks_of(layout, job)["torchtitan"] == "recompute full:6"


def _megatron(plan: Parallelism, job: Job) -> list[str]:
    return shlex.split(flags_of(LAYOUT._replace(plan=plan), job)["megatron_lm"] or "")


def test_what_a_framework_has_no_option_for_is_none() -> None:
    assert flags_of(LAYOUT, JOB)["torchtitan"] is None  # ZeRO 1
    assert flags_of(LAYOUT._replace(recompute="op"), JOB)["megatron_lm"] is None
    assert flags_of(LAYOUT._replace(optimizer="muon"), JOB)["nemo"] is None
    assert lacks_of(LAYOUT._replace(recompute="op"), JOB)["megatron_lm"] == "recompute op"
    assert lacks_of(LAYOUT, JOB) == {"torchtitan": "ZeRO 1"}


def test_tokens_go_to_their_experts_as_is_predicted() -> None:
    """Once to each device, by DeepEP within nodes of eight and HybridEP where links join more; of one device nothing is said."""
    job, plan = JOB._replace(experts=64, layers=128), Parallelism(expert=8, data=16, zero=1)
    for devices, expert, option in (
        (8, 8, "--moe-token-dispatcher-type flex --moe-flex-dispatcher-backend deepep"),
        (72, 8, "--moe-token-dispatcher-type flex --moe-flex-dispatcher-backend hybridep"),
        (8, 1, None),
    ):
        found = flags_of(LAYOUT._replace(plan=plan._replace(expert=expert)), job._replace(per_node=devices))
        line = found["megatron_lm"] or ""
        assert option in line if option else "--moe-token" not in line
        backend = option.split()[-1] if option else None
        assert (f"model.moe_flex_dispatcher_backend={backend}" in (found["nemo"] or "")) == (option is not None)


def test_megatron_interleaves_whole_rounds_of_micro_batches_alone() -> None:
    """Its schedule raises where they are no multiple of the stages (core/pipeline_parallel/schedules.py)."""
    plan = Parallelism(tensor=8, sequence=True, pipeline=16, interleave=8, zero=1)
    for copies, given in ((128, True), (256, False)):  # 16 micro-batches, and 8
        found = flags_of(LAYOUT._replace(plan=plan._replace(data=copies)), JOB)
        assert (found["megatron_lm"] is not None) == given
