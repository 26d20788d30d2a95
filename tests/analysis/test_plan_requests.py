"""What `plan` makes of its options and of systems: what is searched, what is kept of it, and which question answers."""

from __future__ import annotations

import re
from fractions import Fraction
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tscale.analysis import plan, plan_compare, plan_serving, plan_training, system
from tscale.analysis.questions import question
from tscale.core.recompute import FEWEST
from tscale.errors import NotPublishedError, RequestError, SpecError

TRAIN = {"model": "gpt2", "gpu": "h100", "train": True, "gpus": 8, "batch": 64}
SERVE = {"model": "gpt2", "gpu": "h100", "serve": True, "gpus": 8, "ttft": "2s"}


def _plan(**given: Any) -> Any:
    return question("plan").made(given)


def _refused(made: Any, said: str) -> None:
    with pytest.raises(RequestError, match=re.escape(said)):
        made()


# ---------------------------------------------------------------------------------------------------------------------
# Systems
# ---------------------------------------------------------------------------------------------------------------------


def test_requests_at_once_are_users_where_no_other_load_is_given() -> None:
    """And a context is the tokens of a prompt, unless these are said."""
    for saved, given, read in (
        ({"context": 9}, {}, {"input": 9, "context": 9}), ({"context": 9, "input": 5}, {}, {"input": 5, "context": 9}), ({"batch": 4}, {}, {"users": 4, "batch": 4}),
        ({"batch": 4, "concurrency": 6}, {}, {"users": 6, "batch": 4, "concurrency": 6}), ({"batch": 4, "users": 3}, {}, {"users": 3, "batch": 4}),
        ({"batch": 4, "rate": 2}, {}, {"batch": 4, "rate": 2}), *(({"batch": 4}, {name: 1}, {"batch": 4}) for name in ("rate", "users", "gpus")),
        ({"batch": 4}, {"ttft": 1}, {"users": 4, "batch": 4}), ({}, {}, {}),
    ):  # fmt: skip
        assert plan._as_load(saved, given) == read, (saved, given)


def test_what_a_system_fixes_of_a_plan() -> None:
    """Degrees and policies for training; for serving no batch, but its requests as users; of two ways to come the given one stands."""
    saved = {
        "model": "gpt2",
        "gpu": "h100",
        "batch": 4,
        "tensor": 2,
        "zero": 1,
        "dtype": "fp8",
        "ttft": "2s",
        "rate": 5,
        "ttft_percentile": "90",
    }

    def read(**given: Any) -> set[str]:
        return set(plan.Ask.of_system(saved, given))

    assert read(train=True) == {"model", "gpu", "batch", "tensor", "zero"}
    assert read(serve=True) == {"model", "gpu", "tensor", "dtype", "ttft", "rate", "ttft_percentile"}
    assert read(serve=True, rate=1) == {"model", "gpu", "tensor", "dtype", "ttft", "ttft_percentile"}
    assert read(serve=True, users=1) == {"model", "gpu", "tensor", "dtype", "ttft"}
    assert "rank" not in plan.Ask.of_system({"model": "gpt2", "rank": "time", "compare": "x"}, {"train": True})


def _kept(data: dict[str, Any], **given: Any) -> Any:
    asked = SimpleNamespace(compare=None, ranked=SimpleNamespace(data=data), given=given)
    return plan.Ask.kept.fget(asked)  # type: ignore[attr-defined]


def test_the_best_is_kept_as_its_command_says_it() -> None:
    """With the load and the targets that were given; tokens only where someone gave them; of a comparison and of no row nothing."""
    data = {"rows": [1], "command": "tscale train gpt2 --gpu h100 --tokens 1e9 --batch 64"}
    assert _kept(data) == {"model": "gpt2", "gpu": "h100", "batch": "64"}
    assert _kept(data, tokens="1e9") == {"model": "gpt2", "gpu": "h100", "batch": "64", "tokens": "1e9"}
    held = {"rate": 3, "users": 4, "ttft": "2s", "ttft_percentile": "90", "tpot": "9ms"}
    assert _kept(data, **held, input=5) == {"model": "gpt2", "gpu": "h100", "batch": "64", **held}
    for nothing in ({"rows": [], "command": data["command"]}, {"rows": [1], "command": None}):
        assert _kept(nothing) is None
    compared = SimpleNamespace(compare="b.yaml", ranked=SimpleNamespace(data=data), given={})
    _refused(lambda: plan.Ask.kept.fget(compared), "drop --save")  # type: ignore[attr-defined]


def test_fields_of_a_system_are_those_of_questions_about_one() -> None:
    """Not what a question is about, and not a list of models."""
    named = system.fields()
    assert {"model", "gpu", "batch", "tensor", *system.TARGETS} <= set(named)
    assert not {"train", "serve", "models", "compare", "top"} & set(named)
    assert named["model"].kind == "model"


def test_values_of_a_system_are_written_as_numbers_where_they_are_whole() -> None:
    values = {"8": 8, "08": "08", "-8": "-8", "8.5": "8.5", "²": "²", "h100": "h100"}
    assert {text: system._number(text) for text in values} == values
    assert system._plain("x", ("8", Path("a"), ["7"])) == [8, "a", [7]]
    assert system._plain("x", {"a": "8"}) == {"a": "8"}
    assert system._plain("x", True) is True
    _refused(lambda: system._plain("gpu", object()), "--save: gpu was made in Python")


# ---------------------------------------------------------------------------------------------------------------------
# What is asked
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (SERVE | {"context": 9}, "--context is of training: --input sets the tokens of each prompt with --serve"), (SERVE | {"qlora": False}, ""),
        (SERVE | {"users": 1, "ttft_percentile": "90"}, "--ttft-percentile is of requests that arrive at random"),
        (SERVE | {"rate": 1, "ttft_percentile": "90"}, ""), (SERVE | {"batch": 4}, ""),
        (TRAIN | {"lora_targets": "q"}, "--lora-targets is of adapters"), (TRAIN | {"lora_targets": "q", "qlora": True}, ""),
        (TRAIN | {"lora_targets": "q", "lora_rank": 4}, ""), (TRAIN | {"compare": "b.yaml"}, "--compare is of two files alone"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(given: dict[str, Any], said: str) -> None:
    """Nothing said: it does."""
    if said:
        _refused(lambda: _plan(**given), said)
    else:
        _plan(**given)


def test_hardware_is_named_once_and_twenty_at_the_most() -> None:
    one = _plan(**TRAIN | {"gpu": "h100, a100-80gb,h100-sxm"})
    assert (one.chip_names, len(one.chips)) == (("h100", "a100-80gb"), 2)
    assert _plan(**TRAIN | {"gpu": ["a100-80gb", "h100"]}).chip_names == ("a100-80gb", "h100")
    made = _plan(**TRAIN | {"gpu": one.chips[1]})  # hardware itself, in Python
    assert (made.chip_names, made.chips) == ((one.chips[1].name,), one.chips[1:])
    named = _plan(**TRAIN | {"gpu": ",".join(["h100"] * 20)})
    assert named.chip_names == ("h100",)
    _refused(
        lambda: _plan(**TRAIN | {"gpu": ",".join(["h100"] * 21)}).chips, "--gpu names 21 kinds of hardware: at most 20"
    )


def test_adapters_are_written_as_they_were_given() -> None:
    for given, said, rank in (
        ({}, "", None), ({"lora_rank": 4}, "--lora-rank 4", 4), ({"qlora": True}, "--qlora", 64),
        ({"lora_rank": 4, "lora_targets": "q,v", "qlora": True}, "--lora-rank 4 --lora-targets q,v --qlora", 4),
    ):  # fmt: skip
        one = _plan(**TRAIN, **given)
        assert one._adapter_words == said
        assert (None if one.adapters is None else one.adapters.rank) == rank
        base = None if one.adapters is None else one.adapters.base
        assert (base is not None) == bool(given.get("qlora"))


def test_a_plan_asks_for_what_is_given_of_training() -> None:
    one = _plan(**TRAIN, tensor="1,2", dollars="1e6", stages="6,6", gpu_set=["memory_gb=96"], context=512)
    asked = one.training
    assert (asked.batch, asked.sizes, asked.context, asked.rank, asked.top) == (64, (8,), 512, "dollars", 10)
    assert asked.given["stages"].values == ((6, 6),)
    assert asked.given["tensor"].values == (1, 2)
    assert asked.given["zero"] is None
    assert (asked.words, asked.changes) == ("gpt2", "--gpu-set memory_gb=96")
    assert _plan(**{name: value for name, value in TRAIN.items() if name != "gpus"}, days=3).training.sizes == ()
    method = _plan(**TRAIN | {"method": "grpo"}, context=600)
    assert method.training.context == 600
    assert _plan(**TRAIN | {"method": "grpo"}).training.context == 512 + 1024


def test_the_host_keeps_what_is_joined_and_few_layers_are_computed_again() -> None:
    assert plan_training._offload("none", "--offload") == frozenset()
    assert plan_training._offload("states", "--offload") == {"states"}
    assert plan_training._offload("states+activations", "--offload") == {"states", "activations"}
    assert [(plan_training._again(text, "").policy, plan_training._again(text, "").first) for text in ("full:K", " full:K ", "full:8", "none")] == [
        ("full", FEWEST), ("full", FEWEST), ("full", 8), ("none", None),
    ]  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Deployments
# ---------------------------------------------------------------------------------------------------------------------


def test_what_is_searched_where_nothing_is_varied() -> None:
    found = plan_serving.serving_plan(_plan(**SERVE))
    assert (found.context, found.output, found.prefix) == (2048, 256, 0)
    assert (found.arrivals, found.load, found.devices, found.most) == ("rate", None, 8, None)
    assert found.targets == (2.0, inf, None)
    assert (found.weights, found.caches, found.engines, found.drafts, found.chunks) == (
        (None,),
        (None,),
        ("vllm",),
        (None,),
        (0,),
    )
    assert (found.version, found.calibration, found.copies, found.rows, found.rank) == ("", "", None, 10, "devices")


def test_what_is_searched_where_it_is_given() -> None:
    found = plan_serving.serving_plan(
        _plan(
            **SERVE, input="1k", output=64, prefix="25%", users=5, tpot="9ms", batch=7, engine="vllm,sglang", engine_version="1.0", draft_tokens="1,3",
            acceptance="80%", chunk="1k,2k", replicas="1,2", top=3, calibration="own.yaml", host_bandwidth=55,
        )
    )  # fmt: skip
    assert (found.context, found.output, found.prefix) == (1024, 64, 256)
    assert (found.arrivals, found.load, found.devices, found.most) == ("users", 5.0, 8, 7)
    assert found.targets == (2.0, 0.009, None)
    assert (found.engines, found.version, found.calibration, found.rows) == (("vllm", "sglang"), "1.0", "own.yaml", 3)
    assert [None if one is None else (one.spec, one.tokens, one.acceptance) for one in found.drafts] == [
        None, (None, 1, Fraction(4, 5)), (None, 3, Fraction(4, 5)),
    ]  # fmt: skip
    assert (found.chunks, found.copies, found.host) == ((1024, 2048), (1, 2), 55)  # type: ignore[comparison-overlap]
    rated = plan_serving.serving_plan(_plan(**SERVE, rate="2.5", prefix=100, ttft_percentile="95"))
    assert (rated.arrivals, rated.load, rated.prefix, rated.targets.share) == ("rate", 2.5, 100, 0.95)


def test_as_many_combinations_and_values_as_there_may_be() -> None:
    """64 of formats, engines, chips, drafts and chunks; 64 values of each and 4,096 copies; a range of chunks is its powers of two."""

    def searched(**given: Any) -> Any:
        return plan_serving.serving_plan(_plan(**SERVE, **given))

    guesses = {"acceptance": "50%", "draft_tokens": "1..31"}
    assert len(searched(**guesses, engine="vllm,sglang").drafts) == 32
    _refused(
        lambda: searched(**guesses | {"draft_tokens": "1..32"}, engine="vllm,sglang"), "66 combinations of hardware"
    )
    assert len(searched(acceptance="50%", draft_tokens="1..63").drafts) == 64
    _refused(lambda: searched(acceptance="50%", draft_tokens="1..65"), "comes to 65 values: at most 64")
    assert searched(replicas="1..4096").copies == tuple(range(1, 4097))
    _refused(lambda: searched(replicas="1..4097"), "comes to 4,097 values: at most 4,096")
    assert searched(chunk="1000..5000").chunks == (1024, 2048, 4096)
    assert searched(chunk="1048576").chunks == (1024**2,)
    _refused(lambda: searched(chunk="1025..2047"), "has no power of two")
    _refused(lambda: searched(chunk="1..65+1"), "comes to 65 values: at most 64")


def test_a_model_is_written_as_it_was_named() -> None:
    one = _plan(**SERVE | {"model": "gpt2"}, set=["layers=6"], gpu_set=["memory_gb=96"])
    assert one.model_words == ["gpt2", "--set", "layers=6"]
    (chip,) = plan_serving._chips(one)
    assert chip.words == ("--gpu", "h100", "--gpu-set", "memory_gb=96")
    several = _plan(**SERVE | {"gpu": "h100,a100-80gb"})
    assert [chip.words[1] for chip in plan_serving._chips(several)] == [one.name for one in several.chips]


# ---------------------------------------------------------------------------------------------------------------------
# Two systems
# ---------------------------------------------------------------------------------------------------------------------


def test_a_system_is_compared_without_what_a_plan_held_it_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate is a load like any other where no requests at once are said."""
    for saved, read in (
        ({"model": "a", "users": 1, "ttft": 2, "ttft_percentile": 3, "tpot": 4}, {"model": "a"}),
        ({"model": "a", "rate": 5}, {"model": "a", "rate": 5}), ({"model": "a", "rate": 5, "concurrency": 6}, {"model": "a", "concurrency": 6}),
    ):  # fmt: skip
        monkeypatch.setattr(plan_compare, "read_system", lambda _, saved=saved: saved)
        assert plan_compare._system("x") == read


def test_the_question_is_the_one_that_asks_all_fields() -> None:
    assert plan_compare._question_of({"model": "a", "zero": 1}, {"tokens": 1}) == "train"
    assert plan_compare._question_of({"model": "a", "output": 1}, {"prefix": 1}) == "serve"
    _refused(
        lambda: plan_compare._question_of({"model": "a"}, {"gpu": "b"}), "may be compared in serving or in training"
    )
    _refused(lambda: plan_compare._question_of({"zero": 1}, {"output": 1}), "no one question asks all of output, zero")
    plan_compare._check("train", "a.yaml", {"zero": 1, "model": "a"})
    with pytest.raises(SpecError, match=r"b\.yaml: output is nothing that train asks"):
        plan_compare._check("train", "b.yaml", {"output": 1})


def test_what_differs_is_changed_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load by another name stands in the place of the first; what the second does not say is dropped."""
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(plan_compare, "_asked", lambda _, system: asked.append(dict(system)))
    one = {"model": "a", "batch": 4, "context": 9}
    plan_compare._changed("serve", one, "batch", 5)
    plan_compare._changed("serve", one, "concurrency", 6)
    plan_compare._changed("serve", one, "input", 7)
    plan_compare._changed("serve", one, "batch", None)
    assert asked == [
        {"model": "a", "batch": 5, "context": 9}, {"model": "a", "concurrency": 6, "context": 9}, {"model": "a", "batch": 4, "input": 7}, {"model": "a", "context": 9},
    ]  # fmt: skip
    assert [plan_compare._said(value) for value in (None, 8, [1, 2], "x")] == ["default", "8", "1, 2", "x"]


def test_tokens_that_are_not_known_are_asked_for_where_no_file_says_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any) -> Any:
        raise NotPublishedError("not known")

    monkeypatch.setattr(plan_compare, "_asked", unknown)
    for given, said in (({}, "not known; here as a line of both files, tokens: 300e9"), ({"tokens": 1}, "not known")):
        with pytest.raises(NotPublishedError) as refused:
            plan_compare._whole("train", "a.yaml", given)
        assert refused.value.text == said


@pytest.mark.parametrize(
    ("many", "said"),
    [(100, ""), (101, "101 fields differ: at most 100 are compared"), (0, "say the same: nothing differs")],
)
def test_as_many_differences_are_compared_as_there_may_be(
    many: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"a": {"same": 1}, "b": {"same": 1, **{f"field{place}": place for place in range(many)}}}
    monkeypatch.setattr(plan_compare, "_system", files.get)
    monkeypatch.setattr(plan_compare, "_check", lambda *_: None)
    monkeypatch.setattr(plan_compare, "_asked", lambda *_: None)
    monkeypatch.setattr(plan_compare, "compare_report", lambda name, steps: (name, steps))
    if said:
        _refused(lambda: plan_compare.compared("a", "b", "train"), said)
        return
    found: Any = plan_compare.compared("a", "b", "train")
    name, steps = found
    assert (name, [step.name for step in steps]) == ("train", ["a", *(f"field{place}" for place in range(many)), "b"])
    assert [(step.before, step.after) for step in steps[1:3]] == [("default", "0"), ("default", "1")]


def test_each_kind_of_plan_has_its_derivations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of serving, of training, and of a step after it."""
    from tscale.analysis import plan_explained

    for name in ("serve_steps", "train_steps", "method_steps"):
        monkeypatch.setattr(plan_explained, name, lambda _, command, name=name: [name, command])

    report: Any = SimpleNamespace(data={"rows": [1], "command": "the command"}, _replace=lambda **given: given["steps"])
    for serve, method, used in (
        (True, None, "serve_steps"),
        (False, None, "train_steps"),
        (False, "grpo", "method_steps"),
    ):
        asked: Any = SimpleNamespace(serve=serve, method=method)
        assert plan._explained(report, asked) == (used, "the command")  # type: ignore[comparison-overlap]


@pytest.mark.parametrize(
    ("train", "serve", "asked_for"), [(True, False, "train"), (False, True, "serve"), (False, False, None)]
)
def test_two_files_are_compared_by_the_question_that_is_given(
    train: bool, serve: bool, asked_for: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_compare, "compared", lambda *given, explain: (*given, explain))
    asked: Any = SimpleNamespace(compare="a.yaml", model="b.yaml", train=train, serve=serve, explain=True)
    assert plan.analyze(asked) == ("a.yaml", "b.yaml", asked_for, True)  # type: ignore[comparison-overlap]
    assert plan.plots(asked) == ()
