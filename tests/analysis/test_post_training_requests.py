"""What options of training after pre-training mean together: lengths, rollouts and models, filled in or refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tscale.analysis.post_training import asleep, method_words
from tscale.analysis.questions import question
from tscale.core.methods import SLEEPERS
from tscale.errors import RequestError
from tscale.models.resolve import resolve

GPT2, BERT = resolve("gpt2"), "bert-base"


def request(method: str | None, **given: Any) -> Any:
    return question("memory").made({"model": "gpt2", "train": True, "method": method, **given})


def asked(method: str, context: int | None = None, *, rank: int | None = None, **given: Any) -> Any:
    training: Any = SimpleNamespace(how=SimpleNamespace(rank=rank))
    return request(method, **given).post_training(GPT2, training, context, 64)


@pytest.mark.parametrize(
    ("context", "given", "response", "longest"),
    [
        (None, {}, 1024, 512 + 1024), (None, {"prompt_tokens": 100, "response_tokens": 50}, 50, 150), (600, {}, 88, 600), (4096, {"response_tokens": 1000}, 1000, 4096),
        (513, {}, 1, 513), (1512, {"response_tokens": 1000}, 1000, 1512),
    ],
)  # fmt: skip
def test_lengths_of_responses(context: int | None, given: dict[str, int], response: int, longest: int) -> None:
    """Prompts of 512 tokens and responses of 1,024 where nothing is said; of a context all that the prompt leaves."""
    found = asked("grpo", context, **given)
    assert (found.prompt, found.response, found.longest) == (given.get("prompt_tokens", 512), response, longest)
    assert request("grpo", **given).longest(context) == longest


def test_supervised_training_has_no_responses() -> None:
    found = asked("sft", 600)
    assert (found.response, found.longest, found.group, found.prompts) == (0, 600, 1, 0)
    assert asked("sft").longest is None


@pytest.mark.parametrize(
    ("context", "given", "said"),
    [
        (512, {}, "--context 512 leaves nothing for a response to a prompt of 512 tokens: give more, or less of --prompt-tokens"),
        (1000, {"response_tokens": 489}, "prompts of 512 tokens and responses of 489 on average are longer than --context 1,000"),
    ],
)  # fmt: skip
def test_lengths_that_contradict_one_another(context: int, given: dict[str, int], said: str) -> None:
    with pytest.raises(RequestError) as refused:
        asked("grpo", context, **given)
    assert str(refused.value) == said
    assert asked("grpo", 1000, response_tokens=488).longest == 1000


@pytest.mark.parametrize(
    ("method", "given", "group", "prompts"),
    [
        ("grpo", {}, 8, 64), ("grpo", {"group": 16}, 16, 32), ("grpo", {"group": 1000}, 1000, 1), ("grpo", {"prompts": 5}, 8, 5), ("ppo", {}, 1, 512),
        ("ppo", {"group": 4}, 4, 128), ("dpo", {}, 1, 0),
    ],
)  # fmt: skip
def test_rollouts_of_a_step(method: str, given: dict[str, int], group: int, prompts: int) -> None:
    """512 rollouts where nothing is said, in groups of 8 of GRPO."""
    found = asked(method, **given)
    assert (found.group, found.prompts) == (group, prompts)


def test_models_beside_the_policy() -> None:
    """By default a frozen copy of it, rules that reward and, of PPO, a reward model and a value model of its size."""
    models = {method: asked(method) for method in ("sft", "dpo", "grpo", "ppo")}
    assert {name: (one.reference, one.reward, one.value) for name, one in models.items()} == {
        "sft": (None, None, None), "dpo": (GPT2, None, None), "grpo": (GPT2, None, None), "ppo": (GPT2, GPT2, GPT2),
    }  # fmt: skip
    named = asked("ppo", reference="none", reward="gpt2-xl", value="gpt2-medium")
    assert (named.reference, named.reward, named.value) == (None, resolve("gpt2-xl"), resolve("gpt2-medium"))
    assert asked("ppo", reward="rule").reward is None
    assert (asked("dpo", reference="precomputed").reference, asked("dpo", reference="precomputed").precomputed) == (
        None,
        True,
    )
    assert not models["dpo"].precomputed
    with pytest.raises(RequestError, match="is an encoder: a model that scores reads responses as decoders do"):
        asked("grpo", reward=BERT)


@pytest.mark.parametrize(
    ("method", "given", "rank", "shares"),
    [("dpo", {}, 8, True), ("dpo", {}, None, False), ("dpo", {"reference": "same"}, 8, True), ("dpo", {"reference": "gpt2-xl"}, 8, False), ("sft", {}, 8, False)],
)  # fmt: skip
def test_adapters_leave_the_reference_in_the_policy(
    method: str, given: dict[str, Any], rank: int | None, shares: bool
) -> None:
    assert asked(method, rank=rank, **given).shares_reference is shares


REFUSED: list[tuple[str | None, dict[str, Any], str]] = [
    (None, {"group": 4}, "--group is of training after pre-training: add --method, or drop it"),
    ("sft", {"group": 4}, "--group is not of --method sft: drop it, or use grpo or ppo"),
    ("dpo", {"epochs": 2}, "--epochs is not of --method dpo: drop it, or use grpo or ppo"),
    ("sft", {"reference": "same"}, "--reference is not of --method sft: drop it"),
    ("grpo", {"value": "same"}, "--value is not of --method grpo: drop it, or use ppo"),
    ("dpo", {"value": "same"}, "--value is not of --method dpo: drop it, or use ppo"),
    ("grpo", {"rollout": "apart"}, "--rollout apart needs --rollout-gpus, the devices that only generate"),
    ("grpo", {"rollout_gpus": 8}, "--rollout-gpus are devices that only generate: add --rollout apart, or drop it"),
    ("ppo", {"reference": "precomputed"}, "--reference precomputed is of pairs that are given (DPO): ppo scores what it generates in each step"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "given", "said"), REFUSED)
def test_options_of_other_methods_are_refused(method: str | None, given: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError) as refused:
        request(method, **given).check_method()
    assert str(refused.value) == said


def test_options_of_the_method_are_read() -> None:
    for method, given in (
        ("dpo", {"reference": "precomputed", "prompt_tokens": 9, "sleep": "none"}), ("grpo", {"rollout": "apart", "rollout_gpus": 8, "group": 4}), ("ppo", {"value": "same"}),
    ):  # fmt: skip
        request(method, **given).check_method()
    dropped = request("dpo", dropout=True)
    with pytest.raises(RequestError, match=r"^--dropout is not read with --method: drop it$"):
        dropped.check_method(others=("dropout",))
    request("dpo", dropout=False).check_method(others=("dropout", "nothing_of_that_name"))


def test_what_leaves_the_devices() -> None:
    assert asleep(" all ", "--sleep") == frozenset(SLEEPERS)
    assert asleep("none", "--sleep") == frozenset()
    assert asleep("rollout, weights", "--sleep") == {"rollout", "weights"}
    with pytest.raises(
        RequestError,
        match="--sleep takes all, none, or several of rollout, weights, optimizer, reference, reward, value, not ",
    ):
        asleep("rollout,rest", "--sleep")


def test_options_of_a_method_are_written_as_they_were_given() -> None:
    assert (
        method_words(request("grpo", group=4, rollout_tensor=2, reward="my model"))
        == "--method grpo --reward 'my model' --group 4"
    )
