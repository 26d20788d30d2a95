"""`--method` on the command line: what is refused in one line, what is answered, and what plans name."""

from __future__ import annotations

import json

import pytest

from tests.helpers import answer, run

GRPO = "--train --method grpo"
REFUSED = {
    "memory gpt2 --train --group 8": "--group is of training after pre-training: add --method, or drop it",
    "memory gpt2 --method grpo": "--method is of training: add --train, or drop it",
    "memory gpt2 --train --method rlhf": "'rlhf' is not one of 'sft', 'dpo', 'grpo', 'ppo'",
    "memory gpt2 --train --method sft --reward rule": "--reward is not of --method sft: drop it, or use grpo or ppo",
    "memory gpt2 --train --method dpo --group 4": "--group is not of --method dpo: drop it, or use grpo or ppo",
    f"memory gpt2 {GRPO} --value gpt2": "--value is not of --method grpo: drop it, or use ppo",
    f"memory gpt2 {GRPO} --rollout apart": "--rollout apart needs --rollout-gpus, the devices that only generate",
    f"memory gpt2 {GRPO} --rollout-gpus 4": "--rollout-gpus are devices that only generate: add --rollout apart, or drop it",
    f"memory gpt2 {GRPO} --reference precomputed": "--reference precomputed is of pairs that are given (DPO): grpo scores what it generates",
    f"memory gpt2 {GRPO} --gpus 8 --rollout-tensor 3": "--rollout-tensor 3 does not divide the 8 devices that generate: use",
    f"memory gpt2 {GRPO} --sleep engines": "--sleep takes all, none, or several of rollout, weights",
    f"memory gpt2 {GRPO} --context 512": "--context 512 leaves nothing for a response to a prompt of 512 tokens",
    f"memory gpt2 {GRPO} --context 600 --response-tokens 200": "are longer than --context 600",
    f"memory bert-base {GRPO}": "is an encoder: --method grpo is of decoders, which write responses",
    f"memory gpt2 {GRPO} --reference bert-base": "is an encoder: a model that scores reads responses as decoders do",
    f"memory gpt2 {GRPO} --reference gtp2": 'no model "gtp2": did you mean gpt2?',
    "train gpt2 --gpu h100 --gpus 8 --method dpo": "a step of --method dpo needs --batch, its pairs",
    "train gpt2 --gpu h100 --method grpo": "a step of --method grpo needs --gpus, the devices that train",
    "train gpt2 --gpu h100 --gpus 8 --method grpo --tokens 1e9": "--tokens is not read with --method: drop it",
    "train gpt2 --gpu h100 --gpus 8 --method grpo --steps-off 1": "--steps-off is of devices that only generate",
    "train gpt2 --gpu h100 --gpus 8 --tokens 1e9 --steps 5": "--steps is of training after pre-training: add --method, or drop it",
    "train gpt2 --gpu h100 --gpus 8 --method grpo --qlora": "on a model in few bits is timed",
    "train llama-3.1-405b --gpu h100 --gpus 8 --zero 3 --method grpo": "the weights alone do not fit",
    "flops gpt2 --method grpo --sleep all": "--sleep changes no FLOPs: drop it",
    "flops gpt2 --method grpo --tokens 1e9": "--tokens is not read with --method: drop it",
    "plan gpt2 --serve --gpu h100 --gpus 8 --method grpo": "--method is of training: drop it, or give --train instead",
    "plan gpt2 --train --gpu h100 --gpus 8 --batch 64 --method grpo --days 3": "--days is not read with --method: drop it",
}  # fmt: skip


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(words: str) -> None:
    done = run(*words.split())
    assert done.code in (1, 2)
    assert REFUSED[words] in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_supervised_fine_tuning_has_no_prompts_and_responses() -> None:
    plan = ("train", "gpt2", "--gpu", "h100", "--gpus", "8", "--batch", "64", "--method")
    assert "tokens/s, prompts and responses" in run(*plan, "dpo").out
    assert "prompts and responses" not in run(*plan, "sft").out


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "dpo", "grpo", "ppo"])
def test_every_answer_is_derived_and_the_same_in_all_formats(method: str) -> None:
    step = ["--method", method, "--gpu", "h100", "--gpus", "8", "--batch", "64", "--zero", "3"]
    for command in (
        ["memory", "gpt2", "--train", *step],
        ["train", "gpt2", *step],
        ["flops", "gpt2", "--method", method],
    ):
        done = run(*command, "--explain")
        assert done.code == 0, done.err
        assert "How each number was made" in done.out
        assert method != "grpo" or all(
            run(*command, "--format", kind).code == 0 for kind in ("csv", "markdown", "html")
        )
        json.loads(run(*command, "--format", "json").out)


@pytest.mark.slow
def test_a_step_that_does_not_fit_is_a_no() -> None:
    done = run("memory", "llama-3.1-8b", *GRPO.split(), "--gpu", "h100")
    assert done.code == 3
    assert "peaks at" in done.out
    assert "one of these fits" in done.out


def test_no_other_phase_is_named_where_the_peak_does_not_fit_either() -> None:
    """Its peak is in the rollout; training misses more of its own room, but is not what alone does not fit."""
    first = run(
        "memory", "llama-3.1-8b", "--train", "--method", "grpo", "--gpu", "h100", "--gpus", "8"
    ).out.splitlines()[0]
    assert "in rollout on each" in first
    assert first.endswith("does not fit")


@pytest.mark.slow
def test_a_phase_without_a_peak_of_its_own_is_named_where_it_does_not_fit() -> None:
    """What does not fit may be another phase than the largest: reserves of serving and training differ."""
    done = run("memory", "llama-3.1-8b", "--train", "--method", "ppo", "--gpu", "h100")
    assert done.code == 3
    assert "does not fit" in done.out.splitlines()[0]


def test_the_python_function_answers_the_same() -> None:
    import tscale

    found = tscale.memory("gpt2", train=True, method="grpo", group=4, prompts=8).to_dict()
    assert found["peak"] == answer("memory", "gpt2", *GRPO.split(), "--group", "4", "--prompts", "8")["peak"]


@pytest.mark.slow
def test_a_plan_names_the_layout_that_train_predicts() -> None:
    step = "--method grpo --prompts 64 --group 8 --context 1024 --prompt-tokens 256"
    plan = (
        f"plan llama-3.2-1b --train --gpu h100 --gpus 8 --batch 128 {step} --top 3 --tensor 1 --pipeline 1 --zero 2,3"
    )
    found = answer(*plan.split())
    seconds = [one["step_seconds"]["middle"] for one in found["rows"]]
    assert seconds == sorted(seconds)
    command = run(*plan.split()).out.split("`")[1].split()
    first = answer(*command[1:])
    assert first["step_seconds"]["middle"] == pytest.approx(seconds[0])
    assert first["verdict"] == found["rows"][0]["verdict"]
    assert (
        max(one["per_device_bytes"]["total"] for one in first["memory"]["phases"])
        == found["rows"][0]["per_device_bytes"]
    )


def test_a_plan_of_too_few_devices_is_a_no() -> None:
    few = "--gpu h100 --gpus 8 --batch 64 --tensor 8 --pipeline 1"
    done = run("plan", "llama-3.1-70b", "--train", "--method", "ppo", *few.split())
    assert done.code == 3
    assert "No layout" in done.out
