"""The last value that an option takes and the first that it does not: how texts are read, and what may stand next to what."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tscale
from tscale.analysis import compare, completion, design, fit, media, optimal, plan_serving, readers, serve, train
from tscale.analysis.found import specs_of
from tscale.analysis.plan import _explained
from tscale.analysis.questions import question
from tscale.analysis.request import Option
from tscale.analysis.result_schema import _typed
from tscale.core.counts import MOST_CONTEXT, MOST_FLOPS, MOST_TOKENS
from tscale.core.sources import cited
from tscale.errors import RequestError

Reader = Callable[[str, str], Any]

TAKEN: list[tuple[Reader, str, Any]] = [
    (readers.context, "2k", 2 * 1024),
    (readers.contexts, "512, 2k,", [512, 2048]),
    (readers.contexts, ",".join(["1"] * 100), [1] * 100),
    (readers.tokens, "2k", 2000),
    (readers.flops, "1e3", 1000),
    (readers.parameters, "7B", 7 * 10**9),
    (readers.devices, "16k", 16_000),
    (readers.size, "1k", 1024),
    (readers.year, " 2024 ", 2024),
    (readers.zero_stage, " 3 ", 3),
    (readers.stages, "16,32", (16, 32)),
    (readers.stages, ",".join(["1"] * 1024), (1,) * 1024),
    (readers.file, " ", None),
    (readers.share(), "1", Fraction(1)),
    (readers.share(), "100%", Fraction(1)),
    (readers.share(), "40 %", Fraction(2, 5)),
    (readers.share(), "0.5%", Fraction(1, 200)),
    (readers.number(10), "10", Fraction(10)),
    (readers.number(10), "10.1", None),
    (train.pue, "1", Fraction(1)),
    (train.pue, "10", Fraction(10)),
    (train.pue, "10.01", None),
    (train.grid, "400", (Fraction(400), "")),
    (train.grid, ".5", (Fraction(1, 2), "")),
    (train.grid, "10000", (Fraction(10_000), "")),
    (train.grid, "10001", None),
    (design.multiple, "8", 8),
    (design.multiple, "65536", 65536),
    (design.tensor, "1024", 1024),
    (optimal.experts, " ANY ", "any"),
    (optimal.experts, "65536", 65536),
    (optimal.active_share, "1/8", Fraction(1, 8)),
    (optimal.active_share, "1/3", Fraction(1, 3)),
    (optimal.active_share, "7 / 7", Fraction(1)),
    (optimal.active_share, "12.5%", Fraction(1, 8)),
    (fit.bootstraps, "100", 100),
    (fit.bootstraps, "10000", 10_000),
    (fit.seed, "0", 0),
    (fit.seed, "9" * 18, 10**18 - 1),
    (media.image_size, "100000x1", (100_000, 1)),
    (media.image_size, "768X1024", (768, 1024)),
    (serve.prefix, "1k", 1024),
    (serve.prefix, "50%", Fraction(1, 2)),
    (serve.one_run, "32,0.018", (32, Fraction(18, 1000), None)),
    (serve.one_run, "32, 0.018, 0.4", (32, Fraction(18, 1000), Fraction(4, 10))),
    (plan_serving.seconds, "2s", Fraction(2)),
    (plan_serving.seconds, "30 ms", Fraction(3, 100)),
    (plan_serving.seconds, "5us", Fraction(5, 10**6)),
    (plan_serving.seconds, "1.5min", Fraction(90)),
]  # fmt: skip


def test_a_text_is_read_as_what_it_means() -> None:
    """None: it means nothing, and is refused."""
    for read, text, meant in TAKEN:
        if meant is None:
            _refuses(partial(read, text, "--it"), "--it", text)
        else:
            found = read(text, "--it")
            assert found == meant, text
            assert type(found) is type(meant) or isinstance(found, tuple), text


def _refuses(ask: Callable[[], object], said: str, case: object) -> None:
    """Whether it is refused in such words; of many cases, which one is not."""
    try:
        ask()
    except RequestError as error:
        told = str(error)
    else:
        pytest.fail(f"{case} is taken")
    assert re.search(said, told), case


MOST: list[tuple[Reader, int]] = [
        (readers.context, MOST_CONTEXT), (readers.tokens, MOST_TOKENS), (readers.flops, MOST_FLOPS),
        (readers.parameters, 10**18), (readers.devices, 10**9), (readers.degree, 10**6), (readers.batch, 10**6),
        (readers.size, 10**12), (design.multiple, 65536), (design.tensor, 1024), (optimal.experts, 65536),
        (fit.bootstraps, 10_000), (lambda text, what: readers.stages(text, what)[0], 10**6),
        (lambda text, what: serve.one_run(f"{text},1", what)[0], 10**6),
        (media.WithMedia.options()["images"].read, 10**6),
    ]  # fmt: skip


def test_the_largest_number_is_taken_and_one_more_is_not() -> None:
    for read, most in MOST:
        assert read(str(most), "--it") == most
        _refuses(partial(read, str(most + 1), "--it"), "too large", most)


REFUSED: list[tuple[Reader, str, str]] = [
        (readers.contexts, "", "1 to 100 lengths"), (readers.contexts, ",".join(["1"] * 101), "1 to 100 lengths"),
        (readers.stages, ",".join(["1"] * 1025), "1,025 stages: at most 1,024"),
        (readers.year, "202", "takes a year"), (readers.year, "20245", "takes a year"),
        (readers.year, "20x4", "takes a year"), (readers.year, "２０２４", "takes a year"),
        (readers.zero_stage, "4", "is a stage of ZeRO"),
        (readers.share(), "1.99", "at most 1, not 1.99$"), (readers.share(), "2", "write 2% if"),
        (readers.share(), "100", "write 100% if"), (readers.share(), "101", "not 101$"),
        (readers.share(), "101%", "not 101%$"),
        (train.pue, "0.99", "at least 1"), (train.grid, "-4", "above 0"), (train.grid, "", "above 0"),
        (design.multiple, "7", "at least 8"), (fit.bootstraps, "99", "at least 100"), (fit.seed, "9" * 19, "18 digits"),
        (optimal.active_share, "9/8", "all experts, at most 1"), (optimal.active_share, "0/8", "above 0"),
        (media.image_size, "100001x1", "height and a width"), (media.image_size, "0x1", "height and a width"),
        (media.image_size, "1x0", "height and a width"),
        (serve.one_run, "32", "takes concurrency"), (serve.one_run, "32,1,1,1", "takes concurrency"),
        (plan_serving.seconds, "2", "has no unit"), (plan_serving.seconds, "2h", 'not "2h"|not 2h'),
        (plan_serving.seconds, "1000001s", "too large"),
    ]  # fmt: skip


def test_the_first_value_past_the_last_is_refused() -> None:
    for read, text, said in REFUSED:
        _refuses(partial(read, text, "--it"), said, text)


_SERVE = {"model": "gpt2", "gpu": "h100"}
_PLAN = {**_SERVE, "serve": True, "users": 1, "ttft": "2s"}
_TRAIN_DPO = {**_SERVE, "method": "dpo", "gpus": 8, "batch": 8}
_TRAIN = {**_SERVE, "train": True, "gpus": 8, "batch": 8}

CHECKED: list[tuple[str, dict[str, Any], str | None]] = [
    ("memory", {"model": "gpt2", "memory_share": "90%"}, "read with --gpu only"),
    ("memory", {"model": "gpt2", "gpu_set": "memory_gb=80"}, "read with --gpu only"),
    ("memory", {**_SERVE, "memory_share": "90%", "gpu_set": "memory_gb=80"}, None),
    ("memory", {"model": "gpt2", "serve": True, "train": True}, "one of them, not both"),
    ("memory", {"model": "gpt2", "serve": True}, None),
    ("memory", {"model": "gpt2", "train": True, "page": 16}, "--page is of serving: drop it, or drop --train"),
    ("memory", {"model": "gpt2", "train": True, "dtype": "fp8"}, "drop it, or give --precision, or drop --train"),
    ("memory", {"model": "gpt2", "zero": 1}, "--zero is of training: add --train"),
    ("memory", {"model": "gpt2", "qlora": False, "sequence": False}, None),
    ("memory", {"model": "gpt2", "train": True, "lora_targets": "q"}, "add --lora-rank or --qlora"),
    ("memory", {"model": "gpt2", "train": True, "lora_targets": "q", "lora_rank": 8}, None),
    ("memory", {"model": "gpt2", "train": True, "lora_targets": "q", "qlora": True}, None),
    ("serve", {**_SERVE, "input": 8, "context": 8}, "--input and --context say the same"),
    ("serve", {**_SERVE, "concurrency": 8, "batch": 8}, "--concurrency and --batch say the same"),
    ("serve", {**_SERVE, "rate": 8, "batch": 8}, "--rate and --batch say the same"),
    ("serve", {**_SERVE, "rate": 8, "concurrency": 8}, "--rate and --concurrency say the same"),
    ("serve", {**_SERVE, "rate": 8, "input": 8}, None),
    ("serve", {**_SERVE, "prefill": "tensor=2"}, "are two pools"),
    ("serve", {**_SERVE, "decode": "tensor=2"}, "are two pools"),
    ("serve", {**_SERVE, "prefill": "tensor=2", "decode": "tensor=2"}, None),
    ("serve", {**_SERVE, "prefill": "tensor=2", "decode": "tensor=2", "gpus": 4}, "say all degrees"),
    ("serve", {**_SERVE, "prefill": "tensor=2", "decode": "tensor=2", "replicas": 2}, "say all degrees"),
    ("serve", {**_SERVE, "host_bandwidth": 55}, "--prefix gives its tokens"),
    ("serve", {**_SERVE, "host_bandwidth": 55, "prefix": "50%"}, None),
    ("serve", {**_SERVE, "acceptance": "80%"}, "--acceptance is that of guesses"),
    ("serve", {**_SERVE, "draft": "gpt2"}, "^--draft needs --acceptance"),
    ("serve", {**_SERVE, "draft_tokens": 4}, "^--draft-tokens needs --acceptance"),
    ("serve", {**_SERVE, "draft_tokens": 4, "acceptance": "80%"}, None),
    ("serve", {**_SERVE, "draft": "gpt2", "acceptance": "80%"}, None),
    ("train", {**_SERVE, "zero": 1}, "--zero is of a parallel plan, which needs --batch"),
    ("train", {**_SERVE, "recompute": "full"}, None),
    ("train", {**_SERVE, "sequence": False}, None),
    ("train", {**_SERVE, "batch": 8}, "a parallel plan needs --gpus"),
    ("train", {**_SERVE, "batch": 8, "gpus": 8}, None),
    ("design", {}, "such as --params 7e9"),
    ("design", {"params": "7e9", "flops": "1e22"}, "not both"),
    ("design", {"params": "7e9", "law": "hoffmann2022-3"}, "--law needs --flops"),
    ("design", {"flops": "1e22", "law": "hoffmann2022-3"}, None),
    ("design", {"flops": "1e22", "output": "a.json"}, "names a YAML file"),
    ("design", {"flops": "1e22", "output": "nowhere.yml"}, None),
    ("design", {"flops": "1e22", "output": "-"}, None),
    ("design", {"flops": "1e22", "force": True}, "--force needs --output"),
    ("optimal", {}, "such as --flops"),
    ("optimal", {"flops": "1e22", "tokens": "1e9"}, "not --flops and --tokens"),
    ("optimal", {"days": 3}, "^--days is read with --gpu only: add it"),
    ("optimal", {"flops": "1e22", "days": 3}, "in place of --flops, or drop it"),
    ("optimal", {"flops": "1e22", "active_share": "1/8"}, "read with --experts only"),
    ("optimal", {"flops": "1e22", "memory_gb": 80}, "read with --experts only"),
    ("optimal", {"params": "1e9", "experts": 8}, "read with --flops or --gpu"),
    ("optimal", {"gpu": "h100", "gpus": 8, "days": 3, "experts": 8}, None),
    ("optimal", {"flops": "1e22", "experts": 8, "unique_tokens": "1e9"}, "laws of dense models"),
    ("optimal", {"flops": "1e22", "experts": "any", "active_share": "1/8"}, "chooses the share of the experts too"),
    ("optimal", {"flops": "1e22", "experts": 8, "active_share": "1/8"}, None),
    ("optimal", {"flops": "1e22", "experts": 7, "active_share": "1/8"}, "give at least 1/7"),
    ("compare", {"models": ["gpt2"]}, "takes 2 to 8 models, not 1"),
    ("compare", {"models": ["gpt2"] * 8}, None),
    ("compare", {"models": ["gpt2"] * 9}, "takes 2 to 8 models, not 9"),
    ("attention", {"model": "gpt2", "kernel": 3}, "need --versus"),
    ("attention", {"model": "gpt2", "neighbourhood": 3}, "need --versus"),
    ("attention", {"model": "gpt2", "kernel": 3, "versus": True}, None),
    ("train", {**_TRAIN_DPO, "tokens": "1e9"}, "--tokens is not read with --method: drop it"),
    ("train", _TRAIN_DPO, None),
    ("plan", {"model": "gpt2", "train": True}, "Missing option '--gpu'"),
    ("plan", _SERVE, "give one of them$"),
    ("plan", {**_SERVE, "train": True, "serve": True}, "give one of them, not both"),
    ("plan", {**_TRAIN, "top": 100}, None),
    ("plan", {**_TRAIN, "top": 101}, "--top 101 is too many: at most 100"),
    ("plan", {**_TRAIN, "rate": 2}, "--rate is of serving: drop it, or give --serve instead"),
    ("plan", {**_PLAN, "zero": 1}, "--zero is of training: drop it, or give --train instead"),
    ("plan", {**_PLAN, "sequence": True}, "--sequence is of training"),
    ("plan", {**_PLAN, "sequence": False}, None),
    ("plan", _PLAN, None),
    ("plan", {**_PLAN, "rate": 2}, "give one of them"),
    ("plan", {**_SERVE, "serve": True, "users": 1}, "needs --ttft"),
    ("plan", {**_SERVE, "serve": True, "ttft": "2s"}, "give the load"),
    ("plan", {**_SERVE, "serve": True, "ttft": "2s", "gpus": 8}, None),
    ("plan", {**_SERVE, "serve": True, "ttft": "2s", "rate": 1}, None),
    ("plan", {**_PLAN, "host_bandwidth": 55}, "--prefix gives its tokens"),
    ("plan", {**_PLAN, "host_bandwidth": 55, "prefix": "50%"}, None),
    ("plan", {**_PLAN, "draft_tokens": 3}, "need each other"),
    ("plan", {**_PLAN, "acceptance": "80%"}, "need each other"),
    ("plan", {**_PLAN, "draft_tokens": 3, "acceptance": "80%"}, None),
    ("plan", {**_PLAN, "gpus": "8,16"}, "--gpus is one number with --serve"),
    ("plan", {**_PLAN, "batch": "8,16"}, "--batch is one number with --serve"),
    ("plan", {**_PLAN, "rank": "time"}, "--rank time is of training"),
    ("plan", {**_PLAN, "memory_share": "90%"}, "--memory-share is of training"),
    ("plan", {**_PLAN, "rank": "dollars"}, None),
    ("plan", {"model": "a.yaml", "compare": "b.yaml", "gpu": "h100"}, "drop --gpu"),
    ("plan", {"model": "a.yaml", "compare": "b.yaml", "train": True, "serve": True}, "not both"),
    ("plan", {"model": "a.yaml", "compare": "b.yaml", "train": True, "serve": False}, None),
]


def test_what_belongs_together_is_asked_together() -> None:
    """None: nothing is wrong."""
    for name, given, said in CHECKED:
        if said is None:
            question(name).made(given)
        else:
            _refuses(partial(question(name).made, given), said, given)


PLANNED: list[tuple[dict[str, Any], str | None]] = [
    ({**_TRAIN}, None),
    ({**_TRAIN, "batch": None}, "needs --batch"),
    ({**_TRAIN, "batch": "8,16"}, "takes one value of --batch"),
    ({**_TRAIN, "gpus": None}, "needs --gpus"),
    ({**_TRAIN, "gpus": None, "days": 3}, None),
    ({**_TRAIN, "days": 3, "dollars": 10}, "give one of them"),
    ({**_TRAIN, "tokens": "1e9", "dollars": 10}, "drop --tokens, or drop --dollars"),
    ({**_TRAIN, "tokens": "1e9", "days": 3}, None),
    ({**_TRAIN, "dollars": 10, "rank": "time"}, "ranks by dollars, not by time"),
    ({**_TRAIN, "dollars": 10, "rank": "dollars"}, None),
    ({**_TRAIN, "gpus": "1..64"}, None),
    ({**_TRAIN, "gpus": ",".join(map(str, range(1, 65)))}, None),
    ({**_TRAIN, "gpus": ",".join(map(str, range(1, 66)))}, "65 numbers of devices: at most 64"),
    ({**_TRAIN, "gpu": ",".join(["h100"] * 20)}, None),
    ({**_TRAIN, "gpu": ",".join(["h100"] * 21)}, "21 kinds of hardware: at most 20"),
]


def test_a_plan_of_training_is_of_one_batch_and_one_budget() -> None:
    for given, said in PLANNED:
        asked = question("plan").made(given)
        if said is None:
            assert asked.training.batch == 8
        else:
            _refuses(partial(getattr, asked, "training"), said, given)


def test_a_picture_is_drawn_of_one_system_and_not_of_two_that_are_compared() -> None:
    asked = question("plan")
    assert asked.plots is not None
    assert not asked.plots(asked.made({"model": "a.yaml", "compare": "b.yaml"}))


def test_what_is_no_picture_is_named() -> None:
    found = tscale.serve("gpt2", gpu="h100")
    for file, named in (("", "nothing"), ("a.txt", "a.txt")):
        _refuses(partial(found.plot, file), f"pdf file, and {named} is none", file)


def test_training_is_ranked_by_time_unless_there_are_dollars() -> None:
    for given, rank in (({}, "time"), ({"dollars": 10}, "dollars"), ({"rank": "throughput"}, "throughput")):
        assert question("plan").made({**_TRAIN, **given}).training.rank == rank


def test_deployments_are_ranked_by_dollars_where_they_are_to_be_or_chips_with_prices_differ() -> None:
    """Of the rank that is asked for, and the rents of chips: whether by dollars, or None where it is refused."""
    cases: list[tuple[str | None, tuple[int | None, ...], bool | None]] = [
        (None, (2,), False), (None, (2, 3), True), (None, (2, None), False), (None, (None,), False),
        ("dollars", (2,), True), ("dollars", (2, 3), True), ("dollars", (None,), None), ("dollars", (2, None), None),
        ("throughput", (2, 3), False),
    ]  # fmt: skip
    for rank, rents, by_dollars in cases:
        chips: Any = tuple(SimpleNamespace(rent=rent, hardware=SimpleNamespace(label="chip")) for rent in rents)
        ask: Any = SimpleNamespace(rank=rank)
        if by_dollars is None:
            _refuses(partial(plan_serving._by_dollars, ask, chips), "no price of chip is known", rents)
        else:
            assert plan_serving._by_dollars(ask, chips) == by_dollars, (rank, rents)


def test_a_number_of_numpy_is_one_and_an_array_of_one_is_none() -> None:
    for number in (np.int64(8), np.array(8)):
        assert question("memory").made({"model": "gpt2", "batch": number}).batch == 8
    for several in (np.array([8]), np.array([[8]])):
        _refuses(
            partial(question("memory").made, {"model": "gpt2", "batch": several}),
            "not a ndarray|not an ndarray",
            several,
        )


def test_questions_about_a_models_own_numbers_have_derivations() -> None:
    for name, explained in (("params", True), ("memory", True), ("serve", True), ("list", False), ("plan", True)):
        assert question(name).explains == explained


def test_fields_are_completed_behind_the_dot_of_a_block_alone() -> None:
    for incomplete, beginning in (("attention.", "attention."), ("norm.", "norm."), ("nor", "norm.")):
        found = completion.spec_fields(incomplete)
        assert found
        assert all(name.startswith(beginning) for name in found)
    assert completion.spec_fields("norm") == ["norm."]  # no dot yet
    assert completion.spec_fields("layers") == ["layers="]
    assert completion.spec_fields("titl") == []  # what is said about a model changes no answer
    assert completion.spec_fields("layers.") == []  # no block


def test_an_explanation_cites_what_a_figure_is_from_and_nothing_where_it_is_from_nowhere() -> None:
    found = tscale.flops("gpt3")
    lines = [line for line in found.explain().splitlines() if line.startswith("    = ")]
    steps = found._explained().steps
    assert len(lines) == len(steps)
    for line, one in zip(lines, steps, strict=True):
        source = one.figure.source
        assert line == f"    = {one.numbers}" + (f"  ({cited(source)})" if source else "")
    assert any(one.figure.source for one in steps)


def test_a_schema_says_the_types_that_values_have() -> None:
    cases: list[tuple[list[object], dict[str, object]]] = [
        ([], {}), ([None], {}), ([None, None], {}), ([1], {"type": "integer"}), ([1, 2.5], {"type": "number"}),
        ([None, 1], {"type": ["integer", "null"]}), ([True, "a"], {"type": ["boolean", "string"]}),
        ([{}, []], {"type": ["array", "object"]}),
    ]  # fmt: skip
    for values, schema in cases:
        assert _typed(values) == schema


def test_sizes_of_other_layers_than_attention_are_those_that_help_says() -> None:
    plain, given = ({"model": "gpt2", "versus": True, **sizes} for sizes in ({}, {"kernel": 5, "neighbourhood": 9}))
    assert question("attention").made(plain).asked[-2:] == (3, 256)
    assert question("attention").made(given).asked[-2:] == (5, 9)


def test_as_many_degrees_are_tried_as_may_vary() -> None:
    for count, said in ((64, None), (65, "65 values: at most 64")):
        ask = question("plan").made({**_PLAN, "tensor": ",".join(map(str, range(1, count + 1)))})
        if said is None:
            assert plan_serving._axes(ask).tensor == ask.tensor
        else:
            _refuses(partial(plan_serving._axes, ask), said, count)


def test_quantities_are_completed_but_for_those_that_are_no_number() -> None:
    assert compare.quantity_names("K") == ["kv_heads", "kv_bytes_per_token"]  # and not "kind"
    assert compare.quantity_names("p") == ["params", "published_params", "published_training_flops"]  # nor "positions"
    assert compare.quantity_names("nothing") == []


def test_help_says_what_is_taken_where_nothing_is_given() -> None:
    cases: list[tuple[Option, object, str]] = [
        (Option("Give it."), None, "Give it."),
        (Option("Give it."), (), "Give it."),
        (Option("Give it."), 8, "Give it (default: 8)."),
        (Option("Give it."), "bf16", "Give it (default: bf16)."),
        (Option("Give it."), Fraction(1, 2), "Give it (default: 1/2)."),
        (Option("Give it (1 to 8)."), 4, "Give it (1 to 8; default: 4)."),
        (Option("Give it.", shown="all"), None, "Give it (default: all)."),
        (Option("Give it.", shown="one chip"), 1, "Give it (default: one chip)."),
        (Option("Say so.", kind="flag"), False, "Say so."),
    ]
    for option, default, said in cases:
        assert option.help_with(default) == said


def test_a_family_that_is_assumed_is_about_files_and_not_about_specs_or_built_in_models(tmp_path: Path) -> None:
    """Of a model that transformers has never had; next to a spec, an assumption would be refused if it were about that."""
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 100}
    config = {"model_type": "new", "intermediate_size": 128, **sizes}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    spec = tscale.load("gpt2")
    for other in (spec, "gpt2"):
        found, beside = specs_of((str(tmp_path), other), (), "llama")
        assert beside == spec
        assert isinstance(found, tscale.ModelSpec)
        assert found.d_model == 64


@pytest.mark.parametrize(
    ("given", "tokens"), [({}, 4), ({"draft_tokens": 7}, 7), ({"draft_tokens": 1, "draft": "gpt2"}, 1)]
)
def test_a_draft_guesses_as_many_tokens_as_are_said_or_else_four(given: dict[str, Any], tokens: int) -> None:
    guesses = question("serve").made({**_SERVE, "acceptance": "75%", "draft": "gpt2", **given}).guesses
    assert (guesses.tokens, guesses.acceptance, guesses.spec.name) == (tokens, Fraction(3, 4), "gpt2")
    alone = question("serve").made({**_SERVE, "acceptance": "75%", "draft_tokens": tokens}).guesses
    assert (alone.tokens, alone.spec) == (tokens, None)
    assert question("serve").made(_SERVE).guesses is None


def test_the_words_of_a_model_say_what_it_is_assumed_to_be(tmp_path: Path) -> None:
    """And nothing of it where it is not assumed to be another."""
    assert question("serve").made(_SERVE).words == "gpt2 --gpu h100"
    config = {
        "model_type": "mine",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 100,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    assumed = question("serve").made({**_SERVE, "model": str(tmp_path), "assume": "llama"})
    assert assumed.words == f"{tmp_path} --assume llama --gpu h100"


@pytest.mark.parametrize(
    ("output", "hits", "text"), [("-", ("a",), "spec"), ("-", (), None), (None, ("a",), None), ("x.yaml", ("a",), None)]
)
def test_a_design_is_written_in_place_of_the_answer_where_there_is_one_and_it_is_asked_for(
    output: str | None, hits: tuple[str, ...], text: str | None
) -> None:
    asked: Any = SimpleNamespace(output=output, design=SimpleNamespace(yaml="spec", hits=hits))
    assert design.text(asked) == text


@pytest.mark.parametrize(
    "data", [{"rows": [], "command": "train"}, {"rows": [1], "command": None}, {"rows": [], "command": None}]
)
def test_a_plan_of_no_row_has_no_derivations(data: dict[str, Any]) -> None:
    report: Any = SimpleNamespace(data=data)
    assert _explained(report, SimpleNamespace(serve=False, method=None)) is report  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(448, 224), [448, 224], np.array([448, 224])])
def test_the_size_of_images_may_be_two_numbers(size: Any) -> None:
    option = media.WithMedia.options()["image_size"]
    assert option.of(size, "--image-size") == option.of("448x224", "--image-size") == (448, 224)


@pytest.mark.parametrize("size", [(448,), (448, 448, 3), (1.5, 448), (-1, 448), 448, ()])
def test_other_numbers_are_no_size_of_images(size: Any) -> None:
    with pytest.raises(RequestError, match="takes a height and a width in pixels"):
        media.WithMedia.options()["image_size"].of(size, "--image-size")


def test_runs_and_claims_are_files() -> None:
    with pytest.raises(RequestError, match="runs must be a path, not a list"):
        tscale.fit([{"params": 1e8, "tokens": 1e9, "loss": 3.0}])  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="claims must be a path, not a dict"):
        tscale.check({"title": "mine"})  # type: ignore[arg-type]
