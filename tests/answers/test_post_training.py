"""Memory, time and FLOPs of steps after pre-training, against loops of their own and the answers of `memory`, `serve` and `train`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.helpers import answer, run
from tscale.catalogue.models import built_in
from tscale.estimates.post_training.models import scoring
from tscale.models.lower import lower
from tscale.models.spec import Head, ModelSpec

GIB = 2**30
MODELS = ["gpt2", "llama-3.2-1b", "qwen3-30b-a3b"]
"""Tied and learned positions, tied and grouped queries, routed experts."""
HEADS = {"gpt2": -768, "llama-3.2-1b": -2048, "qwen3-30b-a3b": 151_936 * 2048 - 2048}
"""Parameters of a projection to the vocabulary that is no embedding, which a value or reward model has not, less its own of d_model."""
STATES = {"weights": 2, "master": 4, "optimizer": 8}
"""Bytes of a parameter that AdamW on bf16 weights keeps from step to step; gradients are 2 more in training."""


def memory(text: str) -> Any:
    return answer("memory", *text.split())


def memory_or_no(text: str) -> Any:
    """The answer, whether it is yes or no."""
    return json.loads(run("memory", *text.split(), "--format", "json").out)


def flops(text: str) -> Any:
    return answer("flops", *text.split())


def phases(text: str) -> dict[str, dict[str, int]]:
    """What a device holds by phase."""
    return {one["phase"]: one["per_device_bytes"] for one in memory(f"{text} --train")["phases"]}


# ---------------------------------------------------------------------------------------------------------------------
# Memory
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("how", ["", "--recompute full --micro-batch 2", "--lora-rank 8 --loss fused-linear"])
def test_supervised_fine_tuning_takes_what_training_takes(model: str, how: str) -> None:
    asked = f"{model} --train --gpu b200 --context 512 {how}"
    plain, found = memory_or_no(asked), memory_or_no(f"{asked} --method sft")
    assert found["peak"]["per_device_bytes"] == plain["per_device_bytes"]["total"]
    assert found["verdict"] == plain["verdict"]
    assert found["phases"][0]["per_device_bytes"]["activations"] == plain["per_device_bytes"]["activations"]


@pytest.mark.parametrize("model", MODELS)
def test_rollouts_take_what_serving_takes(model: str) -> None:
    """12 prompts of 4 responses on 8 devices, 2 to a copy: 12 sequences an engine, each of 300 tokens."""
    step = f"{model} --method grpo --gpus 8 --zero 3 --prompts 12 --group 4 --prompt-tokens 100 --response-tokens 200 --rollout-tensor 2"
    rollout = phases(f"{step} --sleep all")["rollout"]
    served = memory(f"{model} --gpus 2 --batch 12 --context 300 --dtype bf16")["per_device_bytes"]
    assert rollout["kv_cache"] == served["kv_cache"]
    assert rollout["rollout_weights"] == served["weights"]
    assert rollout["total"] == served["total"]


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_the_peak_is_that_of_a_loop_over_phases(model: str) -> None:
    """PPO with all four models of one size, and each of them asleep in turn."""
    asked = f"{model} --method ppo --prompts 16 --prompt-tokens 64 --response-tokens 192"
    trained = memory(f"{model} --train --context 256")["per_device_bytes"]
    served = memory(f"{model} --batch 16 --context 256 --dtype bf16")["per_device_bytes"]
    params = answer("params", model)["params"]["total"]
    head = HEADS[model]
    stands = {
        "weights": STATES["weights"] * params,
        "optimizer": (STATES["master"] + STATES["optimizer"]) * params,
        "reference": 2 * params,
        "reward": 2 * (params - head),
        "value": 2 * (params - head),
        "value optimizer": (STATES["master"] + STATES["optimizer"]) * (params - head),
    }
    used = {
        "rollout": (),
        "old_log_probs": ("weights",),
        "reference": ("reference",),
        "reward": ("reward",),
        "value": ("value",),
        "training": ("weights", "optimizer"),
        "value_training": ("value", "value optimizer"),
    }
    own = {
        "rollout": served["total"],
        "training": sum(trained[part] for part in ("gradients", "activations", "logits", "temporary")),
    }
    for asleep in ((), ("weights", "reward"), ("weights", "optimizer", "reference", "reward", "value")):
        now = phases(f"{asked} --sleep {','.join(('rollout', *asleep))}")
        for phase, uses in used.items():
            standing = sum(size for name, size in stands.items() if name in uses or name.split()[0] not in asleep)
            models = sum(size for name, size in now[phase].items() if name.endswith(("weights", "states")))
            assert phase in own or models == standing, (asleep, phase)
            assert phase not in own or now[phase]["total"] == standing + own[phase], (asleep, phase)
        peak = memory(f"{asked} --train --sleep {','.join(('rollout', *asleep))}")["peak"]
        assert peak["per_device_bytes"] == max(one["total"] for one in now.values())


def test_a_forward_pass_has_the_logits_of_its_loss_and_no_activations_of_other_layers() -> None:
    """Llama 3.2 1B, 256 tokens of 128,256 logits: transformers' loss keeps 2 bytes in the output and has 8 more at once."""
    found = phases("llama-3.2-1b --method grpo --prompt-tokens 64 --response-tokens 192")["reference"]
    assert found["forward_logits"] == 256 * 128_256 * (2 + 8)
    # the largest block of a layer: input and norm; gate, up and down; and the product that goes into down
    assert found["forward_activations"] == 256 * (2 * 2048 + 2 * 8192 + 2048 + 8192) * 2


def test_adapters_share_the_reference() -> None:
    full = phases("llama-3.2-1b --method grpo")
    lora = phases("llama-3.2-1b --method grpo --lora-rank 16")
    assert "reference_weights" in full["training"]
    assert all("reference_weights" not in phase for phase in lora.values())
    assert "reference" in lora
    named = phases("llama-3.2-1b --method grpo --lora-rank 16 --reference llama-3.2-3b")
    assert named["reference"]["reference_weights"] == 2 * answer("params", "llama-3.2-3b")["params"]["total"]


def test_dpo_doubles_the_sequences_of_a_micro_batch() -> None:
    """A pair is two sequences; the policy's activations stand while the reference reads it (TRL's order)."""
    found = phases("llama-3.2-1b --method dpo --micro-batch 3 --prompt-tokens 64 --response-tokens 192")
    plain = memory("llama-3.2-1b --train --micro-batch 6 --context 256")["per_device_bytes"]
    own = {key: found["training"][key] for key in ("gradients", "activations", "logits")}
    assert own == {key: plain[key] for key in own}
    assert found["reference"]["activations"] == plain["activations"]
    before = phases(
        "llama-3.2-1b --method dpo --micro-batch 3 --prompt-tokens 64 --response-tokens 192 --reference precomputed"
    )
    assert list(before) == ["training"]
    assert before["training"]["total"] == plain["total"]


def test_devices_apart_hold_what_is_theirs() -> None:
    step = "llama-3.2-1b --method grpo --gpus 4 --zero 2 --prompts 8 --group 4"
    apart = memory(f"{step} --train --rollout apart --rollout-gpus 4 --rollout-tensor 2")
    assert (apart["devices"], apart["rollout_devices"], apart["rollout_engines"]) == (8, 4, 2)
    for one in apart["phases"]:
        held = set(one["per_device_bytes"])
        assert ("rollout_weights" in held) == (one["devices"] == "generate") == (one["phase"] == "rollout")
        assert "policy_weights" not in held or one["devices"] == "train"


def test_an_engine_that_stays_awake_is_held_in_training() -> None:
    step = "llama-3.2-1b --method grpo --prompts 8 --group 4"
    awake, away = phases(f"{step} --sleep none")["training"], phases(step)["training"]
    assert awake["total"] - away["total"] == awake["rollout_weights"] + awake["kv_cache"]


WOULD_FIT = {
    "alone": "llama-3.1-8b --train --method grpo --gpu h100 --gpus 8 --zero 0 --prompts 64 --group 8",
    "in pairs": "qwen3-32b --train --method grpo --gpu h100 --gpus 32 --zero 1 --tensor 4 --prompts 512 --group 16 --context 4096",
}


@pytest.mark.slow
@pytest.mark.parametrize("step", WOULD_FIT.values(), ids=WOULD_FIT)
def test_what_would_fit_fits(step: str) -> None:
    """Each change that is named, or each two, make it fit, and a device then holds what is said."""
    found = memory_or_no(step)
    assert found["verdict"] == "does_not_fit"
    assert found["changes"]
    for change in found["changes"]:
        words, option = step.split(), change["option"].split()
        for name, value in zip(option[::2], option[1::2], strict=True):
            if name in words:
                del words[words.index(name) : words.index(name) + 2]
            words += [name, value]
        now = memory_or_no(" ".join(words))
        assert now["verdict"] == "fits", change
        assert now["peak"]["per_device_bytes"] == change["per_device_bytes"]


# ---------------------------------------------------------------------------------------------------------------------
# What public runs say of memory
# ---------------------------------------------------------------------------------------------------------------------

VERL = {
    "qwen2.5-7b": (1, 1, 16, 1),
    "qwen2.5-14b": (2, 2, 116, 2),
    "qwen2.5-32b": (4, 4, 180, 2),
    "qwen2.5-72b": (8, 8, 176, 2),
}
"""H100s that GRPO of adapters of rank 32 was run on at the least, the engine's degree, prompts of a step, sequence parallelism:
verl docs/perf/device_tuning.rst and the scripts that it names; 512 and 1,024 tokens at most, 5 responses a prompt, everything offloaded
but what a phase uses."""


@pytest.mark.slow
@pytest.mark.parametrize("model", VERL)
def test_runs_of_verl_are_not_said_to_be_impossible(model: str) -> None:
    """Sequences of GSM8K have about 400 tokens (the logs of these scripts); a micro-batch is one sequence here, of which they pack more."""
    gpus, tensor, prompts, cut = VERL[model]
    spread = f"--gpus {gpus} --zero 3 --context-parallel {cut} --rollout-tensor {tensor} --prompts {prompts} --group 5"
    step = f"{model} --train --method grpo --lora-rank 32 --recompute full --gpu h100 --sleep all {spread}"
    found = memory_or_no(f"{step} --prompt-tokens 100 --response-tokens 300 --context 1536")
    assert found["verdict"] in ("fits", "may_fit")


def test_the_cache_of_20480_tokens_is_what_unsloth_says() -> None:
    """ "Inference KV Cache for 20K context: 2.5GB" of Llama 3.1 8B, "Inference cost 16GB" (unsloth.ai/blog/grpo, in its units)."""
    step = "llama-3.1-8b --method grpo --prompts 1 --group 1 --prompt-tokens 480 --response-tokens 20000"
    rollout = phases(step)["rollout"]
    assert rollout["kv_cache"] / GIB == pytest.approx(2.5, rel=0.001)
    assert rollout["rollout_weights"] / 1e9 == pytest.approx(16, rel=0.01)


def test_sharded_states_are_those_of_a_published_breakdown() -> None:
    """Qwen2.5-7B on 8 devices by FSDP: 1.9 GB of weights and of gradients, 15.4 GB to generate (hebiao064.github.io, June 2025)."""
    found = phases("qwen2.5-7b --method grpo --gpus 8 --zero 3 --reference none")
    assert found["training"]["policy_weights"] / 1e9 == pytest.approx(1.9, abs=0.05)
    assert found["training"]["gradients"] / 1e9 == pytest.approx(1.9, abs=0.05)
    assert found["rollout"]["rollout_weights"] / 1e9 == pytest.approx(15.4, rel=0.02)


# ---------------------------------------------------------------------------------------------------------------------
# FLOPs
# ---------------------------------------------------------------------------------------------------------------------


def test_flops_of_supervised_fine_tuning_are_those_of_training() -> None:
    found = answer("flops", "gpt2", "--method", "sft", "--context", "512")
    plain = answer("flops", "gpt2", "--tokens", "512", "--context", "512")
    assert found["flops"]["full"] == plain["training_flops"]["exact"]
    assert found["flops"]["causal"] == plain["training_flops"]["exact_causal"]


def test_flops_of_a_step_are_those_of_a_loop() -> None:
    """GPT-2 small, 3 prompts of 20 tokens and 4 responses of 30: 2 FLOPs for each number of a matrix that a token meets, and pairs."""
    layers, d, vocabulary = 12, 768, 50_257
    matrices = layers * 12 * d * d + d * vocabulary

    def over(first: int, last: int) -> int:
        """Tokens from the first to the last, each with the keys up to itself."""
        return sum(2 * matrices + layers * 2 * 2 * d * (token + 1) for token in range(first, last))

    found = flops("gpt2 --method ppo --group 4 --prompts 3 --prompt-tokens 20 --response-tokens 30")
    causal = {one["phase"]: one["flops"]["causal"] for one in found["phases"]}
    assert causal["rollout"] == 3 * over(0, 20) + 12 * over(20, 50)
    assert causal["old_log_probs"] == causal["reference"] == 12 * over(0, 50)
    assert causal["training"] == 3 * 12 * over(0, 50)
    assert causal["reward"] == causal["value"] == 12 * (over(0, 50) - 50 * 2 * d * (vocabulary - 1))
    assert causal["value_training"] == 3 * causal["value"]
    assert found["flops"]["causal"] == sum(causal.values())


def test_tokens_are_counted_by_what_they_are_for() -> None:
    found = {one["phase"]: one["tokens"] for one in flops("gpt2 --method grpo --epochs 2 --prompts 5")["phases"]}
    assert found == {
        "rollout": 40 * 1024,
        "old_log_probs": 40 * 1536,
        "reference": 40 * 1536,
        "training": 2 * 40 * 1536,
    }


MEASURED = {"LlamaForSequenceClassification": (231_744, 238_080), "Qwen3ForSequenceClassification": (289_344, 295_680)}
"""Bytes that hooks on saved tensors count in transformers 5.24, of 2 sequences of 24 tokens in bf16 and a width of 64: of the model without
the matrix that scores, and with it and a squared error in 32 bits."""


@pytest.mark.parametrize("measured", MEASURED)
def test_what_a_value_model_keeps_is_what_autograd_does(measured: str) -> None:
    """The input of the matrix that scores, and a number for each position, of a small model and of Llama 3.2 1B."""
    bare, scored = MEASURED[measured]
    own = built_in("llama-3.2-1b")
    assert isinstance(own, ModelSpec)
    for spec, more in ((replace(own, d_model=64), (scored - bare) // 48), (own, 2 * 2048 + 4)):
        kept = [
            sum(
                one.width * (4 if one.number == "fp32" else 2)
                for one in lower(model, saves=True).saved
                if one.part == "head"
            )
            for model in (replace(spec, head=Head(kind="none")), scoring(spec))
        ]
        assert kept[1] - kept[0] == more
