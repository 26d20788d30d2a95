"""`tscale memory --train`: what fits and what does not, found again by brute force, and options that contradict."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.helpers import answer, of_each, run, structures, trainable
from tscale.answers.memory_train.answer import memory_train_report
from tscale.catalogue.calibrations import calibration
from tscale.catalogue.models import built_in
from tscale.core.costs.states import find_targets
from tscale.core.costs.training_setup import Training
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.core.recompute import find_again
from tscale.estimates.memory_train.ask import Ask
from tscale.models.spec import ModelSpec

CASES = [
    "llama-3.1-8b --gpu h100 --gpus 8 --context 8k --zero 3",
    "llama-3.1-8b --gpu h100 --gpus 8 --context 4k --zero 1 --tensor 8 --sequence --attention naive --dropout",
    "gpt3 --gpu a100 --gpus 64 --tensor 8 --pipeline 8 --interleave 3 --sequence --recompute selective --attention naive",
    "llama-3.1-70b --gpu h100 --context 2k --qlora --recompute full",
    "mixtral-8x7b --gpu h200 --gpus 32 --context 4k --zero 2 --expert 8 --optimizer muon",
    "deepseek-v3 --gpu h200 --gpus 256 --context 4k --zero 3 --expert 64 --precision fp8",
    "t5-3b --gpu h100 --context 512 --optimizer adafactor --precision fp32",
]


def asked(context: int, **how: Any) -> Ask:
    return Ask(Training(**how), context)


def memory(args: str) -> Any:
    done = run("memory", *args.split(), "--train", "--format", "json")
    assert done.code in (0, 3), done.err
    return json.loads(done.out)


def total(args: str, option: str, value: int) -> int:
    return int(memory(f"{args} {option} {value}")["per_device_bytes"]["total"])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_largest_micro_batch_and_the_longest_context_are_that(case: str) -> None:
    """What fits does, and one more does not."""
    found = memory(case)
    usable = found["usable_bytes"]
    assert (found["fits"] is True) == (found["per_device_bytes"]["total"] <= usable)
    for option, most in (("--micro-batch", found["max_batch"]), ("--context", found["max_context"])):
        assert most is not None
        assert most == 0 or total(case, option, most) <= usable
        assert total(case, option, most + 1) > usable


TOO_LARGE = [
    "llama-3.1-8b --gpu h100 --context 8k",
    "llama-3.1-8b --gpu h100 --context 8k --gpus 8",
    "llama-3.1-8b --gpu h100 --context 12k --data 8 --zero 1",
    "llama-3.1-8b --gpu h100 --gpus 4 --tensor 2 --attention naive --context 4k",
    "llama-3.1-70b --gpu h100 --gpus 64 --context 8k --zero 3",
    "mixtral-8x7b --gpu h200 --gpus 32 --context 4k --zero 1",
    "gpt2-xl --gpu rtx-4090 --micro-batch 8",
]


@pytest.mark.slow
@pytest.mark.parametrize("case", TOO_LARGE)
def test_each_change_alone_makes_it_fit(case: str) -> None:
    """The option is taken at its word: given to the command, the last one of its kind counts, and it fits."""
    found = memory(case)
    assert found["fits"] is False
    assert found["missing_bytes"] == found["per_device_bytes"]["total"] - found["usable_bytes"] > 0
    assert found["changes"]
    for change in found["changes"]:
        again = memory(f"{case} {change['option']}")
        assert again["fits"] is True, change
        assert again["per_device_bytes"]["total"] == change["per_device_bytes"], change


ASKED = (
    asked(500, micro_batch=3),
    asked(500, precision=PRECISIONS["fp8"], optimizer=OPTIMIZERS["adam-8bit"], rank=4),
    asked(500, plan=Parallelism(data=4, zero=3), optimizer=OPTIMIZERS["muon"], attention="naive", dropout=True),
)


@of_each(enumerate(name for name in structures() if name in trainable()))
def test_parts_add_up_for_a_model_of_every_structure(case: tuple[int, str]) -> None:
    """In one of three ways, by turns."""
    turn, name = case
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    data: Any = memory_train_report(spec, ASKED[turn % len(ASKED)]).data
    parts = {part: int(figure.value) for part, figure in data["per_device_bytes"].items()}
    whole = parts.pop("total")
    assert sum(parts.values()) == whole
    lines = sum(
        int(figure.value)
        for line in data["lines"]
        for part, figure in line.items()
        if part in ("weights", "gradients", "master", "optimizer", "kept")
    )
    buffers = whole - lines  # selection biases are weights that are no line, since nothing trains them
    assert 0 <= buffers < 10**6


def test_the_json_is_a_contract() -> None:
    found = memory("llama-3.1-8b --gpu h100 --gpus 8 --context 8k --zero 1 --optimizer adamw")
    assert set(found) >= {"model", "mode", "per_device_bytes", "devices", "fits", "max_batch", "max_context", "changes"}
    assert (found["model"], found["mode"], found["devices"]) == ("llama-3.1-8b", "train", 8)
    assert list(found["per_device_bytes"]) == [
        "weights", "gradients", "master_weights", "optimizer", "activations", "logits", "temporary", "kv_cache", "total",
    ]  # fmt: skip
    parameters = 8_030_261_248
    assert found["per_device_bytes"]["weights"] == found["per_device_bytes"]["gradients"] == 2 * parameters
    assert found["per_device_bytes"]["master_weights"] == 4 * parameters // 8
    assert found["per_device_bytes"]["optimizer"] == 8 * parameters // 8
    assert (found["loss"], found["loss_default"]) == ("plain-kept", True)
    words = 8192 * 128_256
    assert found["loss_bytes"] == {"kept": 6 * words, "live": 14 * words, "reserved": 14 * words}
    assert found["per_device_bytes"]["logits"] == 6 * words
    assert found["per_device_bytes"]["temporary"] == 8 * words
    assert found["plan"] == {
        "data": 8, "tensor": 1, "sequence": False, "pipeline": 1, "interleave": 1, "context": 1, "context_parallel": 1, "expert": 1, "zero": 1,
        "shards": None, "expert_tensor": 1, "stages": None, "schedule": None,
    }  # fmt: skip


LOSSES = {
    "plain": 14, "plain-kept": 14, "eager": 14, "hf-old": 18, "bf16": 6, "parallel": 18, "in-place": 6, "one-kernel": 4, "compiled": 4, "chunked": 7,
}  # fmt: skip
"""Bytes a logit that are reserved."""


@pytest.mark.parametrize("loss", LOSSES)
def test_each_loss_by_its_name(loss: str) -> None:
    """Llama 3.1 8B, 128,256 words: what its own arrays come to, in the total and told of by name."""
    found = memory(f"llama-3.1-8b --context 4k --recompute full --loss {loss}")
    reserved = LOSSES[loss] * 4096 * 128_256
    assert found["loss_bytes"]["reserved"] == reserved
    assert (found["loss"], found["loss_default"]) == ("plain-kept" if loss == "eager" else loss, False)
    parts = found["per_device_bytes"]
    if parts["logits"]:
        assert parts["logits"] + parts["temporary"] == reserved


@pytest.mark.parametrize("loss", [*LOSSES, "chunked-recomputed", "fused-linear"])
def test_the_least_total_counts_what_is_live(loss: str) -> None:
    """Without a device as well. It is no less than the backward pass of a layer needs, where one gradient of the scores is there.

    Gradients of weights, which come last, are not there then. What torch.compile makes may write a gradient where the logits were.
    """
    case = "llama-3.1-8b --context 4k --recompute full --attention naive"
    backward = memory(f"{case} --loss one-kernel")["per_device_bytes"]
    assert backward["logits"] == 0
    found = memory(f"{case} --loss {loss}")
    taken = found["loss_bytes"]
    live = taken["kept" if "compiled" in loss else "live"]
    live = 12 * 4096 * 128_256 if loss in ("plain-kept", "eager", "hf-old") else live
    scores = 2 * 32 * 4096**2
    states = backward["total"] - backward["temporary"]
    assert found["per_device_bytes"]["total"] == states + max(taken["reserved"], backward["temporary"])
    then = backward["activations"] + max(live, backward["temporary"] - scores)
    assert found["least_total_bytes"] == states - backward["activations"] - backward["gradients"] + max(
        then, backward["gradients"]
    )


def test_losses_in_pieces_of_llama() -> None:
    """Eight pieces of 512 tokens, each again, and a gradient of the head; Liger's of 128, the power of two at 4096/⌈V/d⌉."""
    head, words, d = 128_256 * 4096, 128_256, 4096
    again = memory("llama-3.1-8b --context 4k --loss chunked-recomputed")["loss_bytes"]
    assert again == {"kept": 0, "live": 12 * 512 * words + 2 * head, "reserved": 14 * 512 * words + 2 * head}
    fused = memory("llama-3.1-8b --context 4k --loss fused")["loss_bytes"]
    kept = 2 * head + 2 * 4096 * d
    assert fused == {"kept": kept, "live": kept + 2 * 128 * words, "reserved": kept + 2 * 128 * words}
    frozen = memory("llama-3.1-8b --context 4k --loss fused --lora-rank 8")["loss_bytes"]
    assert frozen == {name: size - 2 * head for name, size in fused.items()}


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (
            "",
            "loss: plain-kept, as Hugging Face transformers keeps it (default; --loss): logits upcast to fp32, and kept in",
        ),
        ("--gpus 8 --zero 3", "loss: plain, as torchtitan keeps it with FSDP (default; --loss): logits upcast to fp32"),
        ("--gpus 8 --tensor 8", "loss: in-place, as Megatron-LM keeps it (default; --loss): softmax and gradient"),
        ("--loss chunked", "loss: chunked: logits upcast in 8 chunks."),
    ],
)
def test_the_loss_is_told_of(plan: str, told: str) -> None:
    out = run("memory", "llama-3.1-8b", "--train", "--context", "1k", *plan.split()).out
    assert told in " ".join(out.split())


def test_a_loss_needs_a_vocabulary() -> None:
    """BERT as it is shipped has a pooler and no head over words."""
    done = run("memory", "bert-base", "--train", "--loss", "plain")
    assert (done.code, done.out) == (2, "")
    assert done.err == ("tscale: BERT base has no loss over a vocabulary that --loss could name a kernel of: drop it\n")
    assert run("memory", "gpt2", "--loss", "plain").err == "tscale: --loss is of training: add --train, or drop it\n"


def test_hybrid_sharding_divides_among_fewer() -> None:
    all_of_them = memory("llama-3.1-8b --gpus 64 --zero 3 --context 1k")
    of_a_node = memory("llama-3.1-8b --gpus 64 --zero 3 --shards 8 --context 1k")
    assert of_a_node["per_device_bytes"]["optimizer"] == 8 * 8_030_261_248 // 8
    assert all_of_them["per_device_bytes"]["optimizer"] == 8 * 8_030_261_248 // 64


def test_the_fullest_stage_is_named() -> None:
    """The first has most micro-batches in flight, the last the head and the logits."""
    many = run("memory", "gpt3", "--train", "--gpus", "64", "--tensor", "8", "--pipeline", "8").out
    assert "1, the fullest" in many
    assert any(
        line.split() == ["stage", "in", "flight", "model", "states", "activations~", "total~"]
        for line in many.splitlines()
    )
    few = memory("llama-3.1-8b --gpus 2 --pipeline 2 --context 8k --recompute full")
    assert few["stage"] == 2
    assert max(few["stages"]) == few["stages"][1] == few["per_device_bytes"]["total"]


@pytest.mark.parametrize(
    ("stages", "loss", "bytes_kept"), [(2, "plain-kept", "9·2048·2560·2"), (13, "in-place", "2·2048·2560·2·13")]
)
def test_layers_of_several_kinds_are_dealt_to_stages(stages: int, loss: str, bytes_kept: str) -> None:
    """RecurrentGemma: two recurrent layers, then one of attention; a stage tells how many of each it has.

    With a loss that keeps its logits the last of two stages is the fullest, of which one micro-batch is in flight.
    """
    plan = ("--pipeline", str(stages), "--loss", loss)
    done = run("memory", "recurrentgemma-2b", "--train", *plan, "--context", "2k", "--explain")
    assert done.code == 0
    assert f"= {bytes_kept}\n" in done.out


@pytest.mark.parametrize(("model", "scores"), [("rwkv-4-3b", False), ("recurrentgemma-2b", True)])
def test_scores_are_told_of_where_there_are_any(model: str, scores: bool) -> None:
    out = run("memory", model, "--train", "--attention", "naive", "--context", "2k").out
    assert ("Unfused attention saves the scores of every pair" in out) == scores


def test_qlora_is_adapters_of_rank_64_on_nf4() -> None:
    short, long = memory("llama-7b --qlora --context 512"), memory("llama-7b --qlora --lora-rank 64 --context 512")
    assert short == long
    assert short["lora_rank"] == 64
    gradients = 2 * 32 * 64 * (4 * 2 * 4096 + 3 * (4096 + 11_008))
    assert short["per_device_bytes"]["gradients"] == gradients


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (("memory", "--train", "--precision", "fp8"), "--precision fp8 multiplies in fewer bits"),
        (("train", "--tokens", "1e9", "--gpu", "h100", "--gpus", "8", "--mfu", "0.4", "--dtype", "fp8"), "--dtype fp8 multiplies in"),
        (("plan", "--train", "--gpu", "h100", "--gpus", "8", "--batch", "64", "--precision", "fp8"), "--precision fp8 multiplies in"),
    ],
)  # fmt: skip
def test_qlora_is_refused_with_products_of_fewer_bits(question: tuple[str, ...], said: str) -> None:
    """bitsandbytes multiplies matrices in nf4 in 16 bits: no tensor core multiplies them in 8."""
    done = run(question[0], "llama-3.2-1b", "--qlora", *question[1:])
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "or drop --qlora" in done.err


def test_lines_of_weights_add_up_to_the_weights() -> None:
    """Buffers too, such as what is added when DeepSeek-V3's experts are chosen."""
    for plan in ((), ("--tensor", "8", "--data", "8", "--zero", "3")):
        data = answer("memory", "deepseek-v3", "--train", "--context", "4k", *plan)
        assert sum(line.get("weights", 0) for line in data["lines"]) == data["per_device_bytes"]["weights"]


WAYS = {
    "op": asked(500, recompute="op"),
    "some layers": asked(500, recompute="full", again=find_again("full:2"), plan=Parallelism(pipeline=2)),
    "named layers": asked(500, recompute="op", again=find_again("op:0-2,5")),
    "eager": asked(500, kernels="eager"),
    "composite": asked(500, kernels="composite", recompute="full"),
    "fsdp2": asked(500, precision=PRECISIONS["fp32-master"], plan=Parallelism(data=8, zero=3)),
    "fsdp2 in a pipeline": asked(
        512,
        precision=PRECISIONS["fp32-master"],
        recompute="full",
        plan=Parallelism(data=2, zero=2, pipeline=2, tensor=2, sequence=True),
    ),
    "fp8": asked(500, precision=PRECISIONS["fp8"]),
    "in the backward pass": asked(500, optimizer=OPTIMIZERS["paged-adam-8bit"], optimizer_in_backward=True),
    "offload": asked(500, recompute="full", offload=frozenset({"weights", "states", "activations"})),
    "adapters": asked(500, rank=8, lora_targets=find_targets("q,v")),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["llama-3.1-8b", "gemma-2-9b", "qwen3-30b-a3b"])
def test_parts_add_up_and_are_derived_in_every_way(name: str, way: str) -> None:
    """The total is its parts, which are their lines; and the derivations on numbers that remember come to the same parts."""
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    report = memory_train_report(spec, WAYS[way])
    data: Any = report.data
    parts = {part: int(figure.value) for part, figure in data["per_device_bytes"].items()}
    total = parts.pop("total")
    assert sum(parts.values()) == total
    assert int(data["least_total_bytes"].value) <= total
    kinds = ("weights", "gradients", "master", "optimizer", "kept")
    assert total == sum(int(value.value) for line in data["lines"] for part, value in line.items() if part in kinds)
    names = {"master_weights": "master"}
    derived = {step.name: int(step.figure.value) for step in report.steps}
    for part, size in parts.items():
        if part != "kv_cache" and size:
            assert derived[names.get(part, part)] == size


def test_policies_are_told_of() -> None:
    spec = built_in("llama-3.1-8b")
    assert isinstance(spec, ModelSpec)
    data: Any = memory_train_report(spec, WAYS["named layers"]).data
    assert (data["recompute"], data["kernels"], data["offload"]) == ("op:0,1,2,5", "fused", [])
    said = " ".join(memory_train_report(spec, WAYS["offload"]).notes)
    assert "The host keeps activations, states, weights" in said
    assert "The matrices q, q_down, q_up, v have adapters" in " ".join(
        memory_train_report(spec, WAYS["adapters"]).notes
    )


# ---- the time of a step ----

TIMED = ("memory", "llama-3.1-8b", "--train", "--gpu", "h100", "--gpus", "8", "--zero", "3", "--batch", "64")


def test_a_step_is_predicted_next_to_its_bound_as_train_does() -> None:
    step = answer(*TIMED)["step"]
    assert step["step_seconds_at_least"] < step["step_seconds"]["low"] < step["step_seconds"]["middle"]
    plan = answer("train", *TIMED[1:2], *TIMED[3:])["plan"]
    assert {key: value for key, value in plan.items() if key != "memory"} == step


def test_layers_that_are_computed_again_take_their_time() -> None:
    """Whole layers again are up to a fourth pass beside three: of all layers, of a quarter of them, of none."""
    none, some, every = (answer(*TIMED, "--recompute", how)["step"] for how in ("none", "full:8", "full"))
    for key in ("step_seconds_at_least", "computing_seconds"):
        assert none[key] < some[key] < every[key] < 4 / 3 * none[key]
    more = [one["step_seconds_at_least"] - none["step_seconds_at_least"] for one in (some, every)]
    assert more[1] == pytest.approx(4 * more[0])


def test_a_step_of_adapters_takes_less_than_one_of_the_model() -> None:
    whole, adapters = (answer(*TIMED, *rank)["step"] for rank in ((), ("--lora-rank", "8")))
    for key in ("step_seconds_at_least", "computing_seconds"):
        assert 0.5 * whole[key] < adapters[key] < 0.75 * whole[key]
    assert adapters["step_seconds"]["middle"] < whole["step_seconds"]["middle"]


def test_a_step_of_a_model_in_few_bits_unpacks_it_for_each_product() -> None:
    """As adapters in 16 bits, and twice 0.516 + 2 bytes more a frozen weight; once more where layers are computed again."""
    for again, times in (("none", 2), ("full", 3)):
        spread = ["llama-3.1-8b", "--tokens", "1e9", "--gpu", "h100", "--gpus", "8", "--zero", "1", "--batch", "64"]
        given = (*spread, "--lora-rank", "8", "--recompute", again)
        packed, plain = (answer("train", *given, *how)["plan"] for how in (("--qlora",), ()))
        assert packed["step_seconds_at_least"] == plain["step_seconds_at_least"]
        parts, others = (plan["prediction"]["parts"] for plan in (packed, plain))
        assert {key for key in parts if parts[key] != others[key]} <= {"traffic", "host"}
        found = parts["traffic"] - others["traffic"]
        micro_batches = 64 / 8
        weights = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
        bytes_each = 2 + (4 + 8 / 64 + 32 / (64 * 256)) / 8
        constants = {name: one.value for name, one in calibration("training-current").constants.items()}
        share = 2 + (times - 2) * constants.get("recomputed", 1.0)
        assert found == pytest.approx(
            micro_batches * share * weights * bytes_each / 3.35e12 / constants["traffic"], rel=1e-6
        )


def test_weights_in_few_bits_are_gathered_as_packed_as_they_are() -> None:
    """A quarter of 16 bits for 8 micro-batches, forward and backward but for the last layer; what is not in few bits as before."""
    plain, packed = (answer(*TIMED, *how)["step"] for how in (("--lora-rank", "64"), ("--qlora",)))
    found = [next(part["bytes"] for part in step["parts"] if part["part"] == "gradients") for step in (plain, packed)]
    of_a_layer = 2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336
    weights = 8 * (2 * 32 - 1) * of_a_layer
    assert found[0] - found[1] == pytest.approx(weights * (16 - 4) / 8 * 7 / 8, rel=1e-9)
    gathers = [step["prediction"]["parts"]["gathers"] for step in (plain, packed)]
    assert 0.2 < gathers[1] / gathers[0] < 0.35


def test_no_more_is_in_flight_than_a_step_has() -> None:
    """Of 2 sequences on one copy of the model 2 are in flight, whatever the pipeline would hold; of many, as many as fill it."""
    args = "llama-3.1-8b --gpu h100 --gpus 8 --pipeline 8"
    few, many, filled = (memory(f"{args}{more}") for more in (" --batch 2", " --batch 64", ""))
    kept = [found["per_device_bytes"]["activations"] for found in (few, many, filled)]
    assert kept[0] < kept[1] == kept[2]
