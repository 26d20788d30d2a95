"""What questions about training, serving and lists make of their options, field by field, and where their answers come from."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tscale
from tscale.analysis import (
    accuracy,
    attention,
    design,
    media,
    memory,
    plan,
    plan_compare,
    readers,
    request,
    respelled,
    serve,
    spread,
    train,
)
from tscale.analysis.answering import is_counted
from tscale.analysis.axes import varied
from tscale.analysis.layout import pool_of
from tscale.analysis.options import SCHEDULE
from tscale.analysis.questions import Question, question
from tscale.analysis.request import MOST_VALUES, Option
from tscale.core.laws import Bits
from tscale.errors import RequestError
from tscale.models.lower import lower
from tscale.models.naming import traced
from tscale.models.resolve import resolve

GPT2 = {"model": "gpt2", "gpu": "h100"}


def _refused(made: Any, said: str) -> None:
    with pytest.raises(RequestError, match=re.escape(said)):
        made()


# ---------------------------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "data"),
    [({}, 1), ({"data": 3}, 3), ({"gpus": 8}, 8), ({"gpus": 8, "tensor": 2}, 4), ({"gpus": 8, "tensor": 2, "data": 4}, 4), ({"tensor": 2, "data": 3}, 3)],
)  # fmt: skip
def test_copies_are_what_the_devices_leave(given: dict[str, int], data: int) -> None:
    made = question("memory").made({"model": "gpt2", "train": True, **given})
    assert made.plan.data == data


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gpus": 8, "data": 3}, "3 copies of the model, each on 1 GPU, are not 8 GPUs: drop --data or --gpus"),
        ({"gpus": 8, "tensor": 2, "data": 8}, "8 copies of the model, each on 2 GPUs, are not 8 GPUs"),
        ({"gpus": 8, "tensor": 3}, "8 GPUs are not a multiple of the 3 that --tensor, --pipeline and --context-parallel take: let them take 1 or 2, or give 9 GPUs"),
        ({"gpus": 2, "tensor": 4}, "let them take 1 or 2, or give 4 GPUs"),
    ],
)  # fmt: skip
def test_degrees_that_do_not_make_up_the_devices(given: dict[str, int], said: str) -> None:
    _refused(lambda: question("memory").made({"model": "gpt2", "train": True, **given}).plan, said)


def test_adapters_that_a_model_is_stand_where_none_are_given() -> None:
    own: Any = SimpleNamespace(rank=7, roles=frozenset({"q"}), is_plain=True, magnitudes=False, whole=(), places=())
    asked: Any = frozenset({"v"})
    assert [spread.rank_of(rank, adapter) for rank in (None, 4) for adapter in (None, own)] == [None, 7, 4, 4]
    assert spread.targets_of(asked, own, {"lora_targets"}) == spread.targets_of(asked, None, set()) == asked
    assert spread.targets_of(None, own, set()) == frozenset({"q"})
    for change, said in (
        ({"magnitudes": True}, "magnitudes (DoRA)"), ({"whole": ("x",)}, "modules that are trained whole"), ({"is_plain": False, "ranks": True}, "several ranks"),
        ({"is_plain": False, "ranks": False}, "one matrix for several"),
    ):  # fmt: skip
        other: Any = SimpleNamespace(**{**vars(own), **change})
        _refused(lambda other=other: spread.rank_of(4, other), said)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "sft", "gpus": 8}, "a step of --method sft needs --batch, its sequences"), ({"method": "dpo", "gpus": 8}, "a step of --method dpo needs --batch, its pairs"),
        ({"method": "grpo", "gpus": 8}, ""), ({"method": "grpo"}, "a step of --method grpo needs --gpus, the devices that train"),
        ({"method": "grpo", "gpus": 8, "steps_off": 1}, "--steps-off is of devices that only generate"), ({"method": "grpo", "gpus": 8, "steps_off": 0}, ""),
        ({"method": "grpo", "gpus": 8, "steps_off": 1, "rollout": "apart", "rollout_gpus": 8}, ""), ({"steps": 5}, "--steps is of training after pre-training"),
        ({"steps_off": 1}, "--steps-off is of training after pre-training"), ({"qlora": True}, "adapters are trained on tokens of their own"),
        ({"qlora": True, "tokens": "1e9"}, ""), ({"qlora": True, "tokens": "1e9", "count": "6nd"}, "--count 6nd counts gradients of all weights"),
        ({"qlora": True, "tokens": "1e9", "count": "causal"}, ""), ({"count": "6nd"}, ""), ({"lora_targets": "q"}, "--lora-targets is of adapters"),
        ({"lora_targets": "q", "qlora": True, "tokens": "1e9"}, ""), ({"count": "6nd", "images": 1}, "--count 6nd counts parameters that a token meets"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_in_training(given: dict[str, Any], said: str) -> None:
    """Nothing said: it does."""
    if said:
        _refused(lambda: question("train").made({**GPT2, **given}), said)
    else:
        question("train").made({**GPT2, **given})


def test_rollouts_may_be_stale_by_no_step_or_several() -> None:
    assert [train.steps_off(text, "--it") for text in ("0", " 0 ", "1", "12")] == [0, 0, 1, 12]
    _refused(lambda: train.steps_off("-1", "--it"), "--it")


def test_what_is_asked_of_a_run() -> None:
    one = question("train").made(
        {
            **GPT2,
            "tokens": "1e9",
            "gpus": 8,
            "batch": 64,
            "micro_batch": 2,
            "recompute": "full:3",
            "dtype": "bf16",
            "qlora": True,
            "bound": True,
        }
    )
    asked = one.asked
    assert (asked.tokens, asked.gpus, asked.plan.data, asked.batch) == (10**9, 8, 8, (64, 2))
    assert (asked.recompute, asked.again.first, asked.dtype, asked.rank, asked.base.name, asked.bound_only) == (
        "full",
        3,
        "bf16",
        64,
        "nf4",
        True,
    )
    assert (
        asked.command
        == "tscale memory gpt2 --gpu h100 --train --gpus 8 --batch 64 --micro-batch 2 --recompute full:3 --qlora --precision bf16"
    )
    assert one.memory.precision == "bf16"
    plain = question("train").made({**GPT2, "tokens": "1e9"}).asked
    assert (plain.plan, plain.batch, plain.memory, plain.command, plain.rank, plain.base, plain.again) == (
        None,
        None,
        None,
        "",
        None,
        None,
        None,
    )
    stepped = question("train").made({**GPT2, "method": "grpo", "gpus": 8, "steps": 5, "bound": True}).step
    assert (stepped.steps, stepped.how.bound_only, stepped.how.steps_off) == (5, True, 0)


# ---------------------------------------------------------------------------------------------------------------------
# Serving and memory
# ---------------------------------------------------------------------------------------------------------------------


def test_how_a_model_is_held_while_it_is_served() -> None:
    one = question("memory").made({"model": "gpt2"}).serving
    assert (one.batch, one.gpus, one.draft_tokens, one.draft, one.layout, one.state_dtype) == (
        1,
        1,
        0,
        None,
        None,
        None,
    )
    given = {
        "model": "gpt2",
        "batch": 3,
        "gpus": 4,
        "state_dtype": "fp32",
        "split_cache": "sequences",
        "replicas": 2,
        "tensor": 2,
    }
    other = question("memory").made(given).serving
    assert (other.batch, other.gpus, other.state_dtype.name, other.by_sequences, other.layout.replicas) == (
        3,
        4,
        "fp32",
        True,
        2,
    )
    guessed = [
        question("memory").made({"model": "gpt2", "draft": "gpt2", **tokens}).serving.draft_tokens
        for tokens in ({}, {"draft_tokens": 7})
    ]
    assert guessed == [memory.GUESSES, 7] == [4, 7]


def test_how_a_model_is_served() -> None:
    plain = question("serve").made(GPT2).asked
    assert (plain.gpus, plain.batch, plain.context, plain.output, plain.prefix, plain.by_sequences) == (
        1,
        1,
        2048,
        256,
        0,
        False,
    )
    assert (
        plain.deployment.chunk,
        plain.deployment.version,
        plain.deployment.calibration,
        plain.deployment.layout,
    ) == (0, "", "", None)
    one = (
        question("serve")
        .made(
            {
                **GPT2,
                "input": "1k",
                "prefix": "25%",
                "concurrency": 5,
                "chunk": 512,
                "gpus": 4,
                "split_cache": "sequences",
                "engine_version": "1",
            }
        )
        .asked
    )
    assert (
        one.gpus,
        one.batch,
        one.context,
        one.prefix,
        one.by_sequences,
        one.deployment.chunk,
        one.deployment.version,
    ) == (4, 5, 1024, 256, True, 512, "1")
    assert question("serve").made({**GPT2, "prefix": 100, "batch": 7}).asked[3:7] == (7, 2048, 256, 100)
    pools = question("serve").made({**GPT2, "prefill": "tensor=2", "decode": "tensor=4,replicas=2"}).asked
    assert (pools.gpus, pools.deployment.layout.replicas, pools.deployment.prefill.tensor) == (8, 2, 2)
    spread_out = question("serve").made({**GPT2, "gpus": 8, "pipeline": 2}).asked
    assert (spread_out.gpus, spread_out.deployment.layout.tensor) == (8, 4)


def test_a_load_of_a_system_gives_way_to_one_that_is_given() -> None:
    saved = {"model": "gpt2", "batch": 4, "concurrency": 6, "rate": 5, "context": 9, "top": 3}

    def read(*given: str) -> set[str]:
        return set(serve.Ask.of_system(saved, dict.fromkeys(given, 1)))

    assert read() == {"model", "batch", "concurrency", "context"}
    assert read("rate") == read("batch") == {"model", "context"}
    assert read("input") == {"model", "batch", "concurrency"}
    assert set(serve.Ask.of_system({"rate": 5}, {})) == {"rate"}


def test_a_measured_run_has_seconds_of_any_size_but_no_end() -> None:
    """Up to a million of them, for a token and to the first."""
    assert serve.one_run("1,1000000,1000000", "--it")[1:] == (10**6, 10**6)  # type: ignore[comparison-overlap]
    assert serve.one_run("1,,2", "--it")[1:] == (None, 2)  # type: ignore[comparison-overlap]
    for text in ("1,1000001", "1,1,1000001"):
        _refused(lambda text=text: serve.one_run(text, "--it"), "too large")


def test_pools_have_no_stages_of_their_own_sizes() -> None:
    for way, found in (("pipeline=3", (1, 3)), ("tensor=2,pipeline=3", (2, 3))):
        layout = pool_of(way, "--prefill")
        assert (layout.tensor, layout.pipeline) == found
    _refused(lambda: pool_of("stages=4", "--prefill"), "takes degrees such as")


# ---------------------------------------------------------------------------------------------------------------------
# Texts and values
# ---------------------------------------------------------------------------------------------------------------------


def test_bits_are_one_number_for_all_or_three() -> None:
    assert readers.bits("8", "--bits") == Bits(8, 8, 8)
    assert readers.bits("4,8,16", "--bits") == Bits(4, 8, 16)
    assert readers.bits("64", "--bits") == Bits(64, 64, 64)
    for text, said in (
        ("4,8", "one number of bits, or three"),
        ("1,2,3,4", "one number of bits, or three"),
        ("65", "too large"),
    ):
        _refused(lambda text=text: readers.bits(text, "--bits"), said)


def test_images_are_of_the_size_that_is_given_or_of_the_usual_one() -> None:
    def of(**given: Any) -> Any:
        asked: Any = SimpleNamespace(
            **{"images": None, "image_size": None, "video_frames": None, "audio_seconds": None} | given
        )
        return media.WithMedia.media.fget(asked)  # type: ignore[attr-defined]

    plain = of()
    assert (plain.images, plain.frames, plain.seconds) == (0, 0, 0)
    assert plain.height == plain.width > 0
    sized = of(images=2, image_size=(30, 40), audio_seconds=5)
    assert (sized.images, sized.frames, sized.height, sized.width, sized.seconds) == (2, 0, 30, 40, 5)
    assert of(video_frames=3, image_size=(30, 40)).frames == 3
    _refused(lambda: of(image_size=(30, 40)), "--image-size is of images")


def test_values_of_an_axis_are_completed_from_its_choices() -> None:
    """A flag's are true and false, of choices each, and of a number none."""
    flag, choice = varied(Option("x", kind="flag"), "Vary it."), varied(SCHEDULE, "Vary it.")
    assert flag.complete is not None and choice.complete is not None
    assert flag.complete("t") == ["true"]
    assert choice.complete("1f") == ["1f1b"]
    assert varied(Option("x", "N"), "Vary it.").complete is None


def test_values_are_taken_up_to_a_number_of_them() -> None:
    """10,000, of a list and of what is read once; one more is refused, and no more than that is read."""
    read: list[int] = []

    def numbers(count: int) -> Any:
        for number in range(count):
            read.append(number)
            yield str(number)

    for count in (MOST_VALUES, MOST_VALUES + 1, MOST_VALUES + 5):
        read.clear()
        kept = request._kept(numbers(count))
        assert isinstance(kept, list)
        assert len(kept) == len(read) == min(count, MOST_VALUES + 1)
        if count <= MOST_VALUES:
            assert request._capped(kept, "--it") == kept
        else:
            _refused(lambda kept=kept: request._capped(kept, "--it"), "--it takes at most 10,000 values")
    for value in ([1], (1,), "text", {"a": 1}, None):
        assert request._kept(value) is value


def test_values_behind_a_key_are_written_as_yaml_has_them() -> None:
    for value, text in (
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (8, "8"),
        (0.5, "0.5"),
        ("fp8", "fp8"),
        (Fraction(1, 4), "0.25"),
    ):
        assert request._yaml(value) == text
    assert request._listed({"layers": 6, "tied": True}, "--set", texts=True) == ["layers=6", "tied=true"]


def test_options_are_spelled_as_keywords_but_within_a_command() -> None:
    error = RequestError("--gpu-set is of --gpu: see `tscale list --gpu-set x`")
    with pytest.raises(RequestError) as refused, respelled.Respelled():
        raise error
    assert str(refused.value) == "gpu_set is of gpu: see `tscale list --gpu-set x`"


# ---------------------------------------------------------------------------------------------------------------------
# Answers
# ---------------------------------------------------------------------------------------------------------------------


def test_figures_are_those_of_the_answer_where_there_is_no_shorter_way() -> None:
    def analyze(_: Any) -> Any:
        return SimpleNamespace(data="whole")

    asked: Any = object()
    assert Question("x", request.Request, analyze, None, None, None).figures(asked) == "whole"
    assert Question("x", request.Request, analyze, None, None, lambda _: "alone").figures(asked) == "alone"


def test_a_design_that_is_found_is_written_to_the_file_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tscale.answers.design.design_report", lambda _, written, **__: written)
    for file, hits, text in (
        (Path("a.yaml"), (1,), "a.yaml is written"),
        (Path("a.yaml"), (), ""),
        (None, (1,), ""),
        (None, (), ""),
    ):
        wrote: list[str] = []
        asked: Any = SimpleNamespace(
            file=file, design=SimpleNamespace(hits=hits, yaml="spec"), write=wrote.append, explain=False
        )
        found: Any = design.analyze(asked)
        assert (wrote, found.split(":")[0]) == (["spec"] if text else [], text)


def test_a_judged_table_is_written_where_a_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tscale.answers.accuracy.accuracy_report", lambda judged: judged)
    monkeypatch.setattr("tscale.estimates.accuracy.with_predictions", lambda judged: f"rows of {judged}")
    for file, rows in ((Path("a.csv"), ["rows of it"]), (None, [])):
        wrote: list[str] = []
        asked: Any = SimpleNamespace(file=file, judged="it", write=wrote.append)
        assert accuracy.analyze(asked) == "it"  # type: ignore[comparison-overlap]
        assert wrote == rows


def test_other_layers_are_drawn_where_they_are_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tscale.answers.plots.attention.attention_plot", lambda *_: "attention")
    monkeypatch.setattr("tscale.answers.plots.attention.versus_plot", lambda *_: "versus")
    for versus, drawn in ((False, ["attention"]), (True, ["attention", "versus"])):
        asked: Any = SimpleNamespace(spec=None, asked=None, versus=versus)
        assert attention.plots(asked) == drawn  # type: ignore[comparison-overlap]


def test_an_answer_is_explained_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a question, in JSON, and of two systems that are compared, both of them."""
    found = tscale.params("gpt2")
    assert len(found.to_json(explain=True)) > len(found.to_json())
    monkeypatch.setattr(plan, "_explained", lambda report, _: f"{report} explained")
    for explain, answer in ((False, "ranked"), (True, "ranked explained")):
        asked: Any = SimpleNamespace(compare=None, ranked="ranked", explain=explain, assumed=lambda report: report)
        assert plan.analyze(asked) == answer  # type: ignore[comparison-overlap]


def test_systems_are_explained_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_compare, "_system", {"a": {"x": 1}, "b": {"x": 2, "y": 3}}.get)
    monkeypatch.setattr(plan_compare, "_check", lambda *_: None)
    monkeypatch.setattr(plan_compare, "Report", dict)
    monkeypatch.setattr(plan_compare, "_asked", lambda _, system: dict(system))
    monkeypatch.setattr(plan_compare, "compare_report", lambda *_: SimpleNamespace(_replace=lambda steps: steps))
    monkeypatch.setattr(plan_compare, "compare_steps", lambda both: both.items())
    explained: Any = plan_compare.compared("a", "b", "train", explain=True)
    assert dict(explained) == {"a": {"x": 1}, "b": {"x": 2, "y": 3}}


def test_a_long_text_is_cut_at_forty_letters() -> None:
    cases: tuple[tuple[Any, str], ...] = (
        (train.pue, "0.5" + " " * 60),
        (lambda text, _: question("design").made({"params": "1e9", "output": text}), "a" * 60),
    )  # fmt: skip
    for read, text in cases:
        with pytest.raises(RequestError) as refused:
            read(text, "--it")
        assert str(refused.value).endswith(f"not {text[:40]}")


def test_a_degree_that_is_none_is_told_from_those_that_there_are() -> None:
    _refused(lambda: pool_of("tensr=4", "--prefill"), "did you mean tensor?")


def test_models_on_numbers_that_are_counted_are_told_from_plain_ones() -> None:
    """A ledger, a spec on ints that remember, and a spec with arrays."""
    spec = resolve("gpt2")
    assert not is_counted(spec)
    assert is_counted(traced(spec))
    assert is_counted(lower(spec))
    assert is_counted(replace(spec, layers=np.array([2, 4])))  # type: ignore[arg-type]
    assert not is_counted("gpt2")


def test_numbers_of_python_are_written_as_they_would_be_typed() -> None:
    """A fraction that is whole as a whole number, of others the decimals; a flag only where flags are asked for."""
    for value, text in (
        (Fraction(3), "3"),
        (Fraction(6, 2), "3"),
        (Fraction(1, 2), "0.5"),
        (Fraction(3, 4), "0.75"),
        (8, "8"),
        (0.25, "0.25"),
        ("8k", "8k"),
        (Path("a"), "a"),
    ):
        assert request._text_of_one(value, "--it") == text
    assert request._text_of_one(True, "--it", flags=True) == "true"
    _refused(lambda: request._text_of_one(True, "--it"), "--it must be a number or a text, not True")
