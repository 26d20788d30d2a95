"""Training is counted in the stages that a model was trained in, at the length of each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tscale
from tests.helpers import answer, run

SPEC = """\
name: staged
layers: 4
d_model: 256
vocabulary: 1000
context: 131072
tied: false
attention: {heads: 4}
feed_forward: {d_ff: 1024}
positions: {kind: rotary}
norm: {kind: rmsnorm}
"""
STAGES = """\
training:
  stages:
    - {tokens: 2e12, context: 4096, source: here, evidence: primary}
    - {tokens: 1e11, context: 32768, source: there, evidence: derived, note: the last step}
    - {context: 131072, source: nowhere}
"""
MATRICES = 4 * (4 * 256**2 + 2 * 256 * 1024) + 256 * 1000


def by_hand(tokens: int, context: int) -> int:
    """6 FLOPs a token and weight of a matrix; attention 12·layers·d_model·context a token."""
    return tokens * (6 * MATRICES + 12 * 4 * 256 * context)


@pytest.fixture
def staged(tmp_path: Path) -> str:
    path = tmp_path / "staged.yaml"
    path.write_text(SPEC + STAGES, encoding="utf-8")
    return str(path)


@pytest.fixture
def plain(tmp_path: Path) -> str:
    path = tmp_path / "plain.yaml"
    path.write_text(SPEC, encoding="utf-8")
    return str(path)


def test_training_flops_are_the_sum_of_the_stages(staged: str) -> None:
    data = answer("flops", staged)
    assert data["training_flops"]["exact"] == by_hand(2 * 10**12, 4096) + by_hand(10**11, 32_768)
    assert data["tokens"] == 2_100 * 10**9
    assert data["stages"] == [
        {"tokens": 2 * 10**12, "context": 4096, "up_to": False},
        {"tokens": 10**11, "context": 32_768, "up_to": False},
        {"tokens": None, "context": 131_072, "up_to": False},
    ]


@pytest.mark.parametrize("command", [("train", "--gpu", "h100", "--gpus", "8", "--mfu", "0.4"), ("compare", "gpt2")])
def test_other_commands_count_the_same_stages(staged: str, command: tuple[str, ...]) -> None:
    name, *options = command
    data = answer(name, staged, *options)
    rows = {row["quantity"]: row["values"][0] for row in data["rows"]} if name == "compare" else data
    assert rows["training_flops"] == by_hand(2 * 10**12, 4096) + by_hand(10**11, 32_768)


def test_other_tokens_are_in_sequences_of_the_first_stage(staged: str) -> None:
    assert answer("flops", staged, "--tokens", "1e9")["training_flops"]["exact"] == by_hand(10**9, 4096)


def test_as_many_tokens_as_all_stages_are_its_own_run(staged: str) -> None:
    own = answer("flops", staged)["training_flops"]["exact"]
    assert answer("flops", staged, "--tokens", "2.1e12")["training_flops"]["exact"] == own


def test_a_length_that_is_asked_for_holds_for_all_tokens(staged: str) -> None:
    data = answer("flops", staged, "--context", "1024")
    assert data["training_flops"]["exact"] == by_hand(2_100 * 10**9, 1024)


def test_memory_is_that_of_the_first_stage(staged: str) -> None:
    assert answer("memory", staged, "--train")["context"] == 4096


def test_a_length_that_is_not_known_is_assumed_and_the_first_lines_say_so(plain: str) -> None:
    for command in (
        ("flops", plain, "--tokens", "1e9"),
        ("train", plain, "--tokens", "1e9", "--gpu", "h100", "--gpus", "8", "--mfu", "0.4"),
        ("memory", plain, "--train"),
    ):
        first = " ".join(run(*command).out.splitlines()[:2])
        assert "8,192 tokens (assumed)" in first
    data = answer("flops", plain, "--tokens", "1e9")
    assert data["context"] == 8192
    assert data["figures"]["training_flops.exact"]["known"] == "assumed"


def test_a_shorter_context_is_assumed_whole(plain: str) -> None:
    assert answer("flops", plain, "--tokens", "1e9", "--set", "context=2048")["context"] == 2048


def test_a_stage_without_tokens_is_told_of_and_not_counted(staged: str) -> None:
    assert (
        "staged was also trained in sequences of 131,072 tokens (nowhere); how many tokens it ran through there was not "
        "published, and none are counted at that length."
    ) in run("flops", staged).out


def test_serving_counts_what_is_usual_and_shows_the_whole_context(staged: str) -> None:
    found = answer("memory", staged)
    assert found["context"] == 8192
    assert found["contexts"][-1]["context"] == 131_072


@pytest.mark.parametrize(
    "training, says",
    [
        (
            "training:\n  tokens: 5\n  source: x\n  stages: [{tokens: 5, source: x}]\n",
            "training: each stage says its own tokens and source, and their sum is the total: drop those next to stages",
        ),
        ("training: {stages: []}\n", "training: needs stages, or tokens with their source"),
        ("training: {tokens: 5}\n", "training: needs stages, or tokens with their source"),
        (
            "training: {stages: [{tokens: 5, contxt: 8, source: x}]}\n",
            'unknown key "contxt": did you mean context?',
        ),
        ("training: {stages: [{tokens: 5, context: 8}]}\n", 'missing key "source" in training, stage 1'),
        (
            "training: {stages: [{tokens: 5, source: x, up_to: true}]}\n",
            "training.stages: a stage with up_to needs the longest of its lengths: set its context, or drop up_to",
        ),
        (
            "training: {stages: [{tokens: 5, source: x, upto: true}]}\n",
            'unknown key "upto": did you mean up_to?',
        ),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, training: str, says: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(SPEC + training, encoding="utf-8")
    done = run("params", str(path))
    assert done.code == 1
    assert says in done.err


def test_each_stage_is_derived(staged: str) -> None:
    out = run("flops", staged, "--explain").out
    assert "stage_1.full + stage_2.full" in out
    assert "3·stage_2.forward_full·tokens_2/context_2" in out


BOUNDED = """\
training:
  stages:
    - {tokens: 2e12, context: 4096, source: here, evidence: primary}
    - {tokens: 1e11, context: 32768, up_to: true, source: there, evidence: primary, note: from 8192 up}
"""
LEAD = "The last 100,000,000,000 tokens of staged are counted in sequences of 32,768 tokens, an upper bound: shorter ones are not distinguished."


@pytest.fixture
def bounded(tmp_path: Path) -> str:
    path = tmp_path / "bounded.yaml"
    path.write_text(SPEC + BOUNDED, encoding="utf-8")
    return str(path)


COMMANDS = (
    ("flops",),
    ("train", "--gpu", "h100", "--gpus", "8", "--mfu", "0.4"),
    ("compare", "gpt2"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_stage_counted_at_its_longest_length_is_an_upper_bound_and_the_first_lines_say_so(
    bounded: str, command: tuple[str, ...]
) -> None:
    name, *options = command
    assert LEAD in run(name, bounded, *options).out.splitlines()[:3]


def test_what_rests_on_a_bounded_stage_is_assumed_and_what_does_not_is_exact(bounded: str) -> None:
    figures = answer("flops", bounded)["figures"]
    for key in ("exact", "exact_causal", "palm", "chinchilla"):
        assert figures[f"training_flops.{key}"]["known"] == "assumed"
    assert figures["training_flops.six_nd"]["known"] == "convention"
    assert figures["forward_flops_per_sequence.full"]["known"] == "exact"  # of the first stage
    run_of = answer("train", bounded, "--gpu", "h100", "--gpus", "8", "--mfu", "0.4")["figures"]
    assert {run_of[key]["known"] for key in ("training_flops", "seconds", "gpu_hours", "cost_usd")} == {"assumed"}


def test_a_length_that_is_asked_for_is_no_bound(bounded: str) -> None:
    data = answer("flops", bounded, "--context", "1024")
    assert data["figures"]["training_flops.exact"]["known"] == "exact"
    assert "upper bound" not in run("flops", bounded, "--context", "1024").out


def test_other_tokens_at_a_first_stage_that_is_a_bound_are_one_too(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(SPEC + "training: {stages: [{tokens: 2e12, context: 4096, up_to: true, source: here}]}\n")
    data = answer("flops", str(path), "--tokens", "1e9")
    assert data["figures"]["training_flops.exact"]["known"] == "assumed"
    assert data["stages"] == [{"tokens": 10**9, "context": 4096, "up_to": True}]
    assert "The 1,000,000,000 tokens of staged are counted" in run("flops", str(path), "--tokens", "1e9").out


@pytest.mark.parametrize(
    "name, which", [("llama-3.1-405b", "The last 800,000,000,000 tokens"), ("dbrx", "The 12,000,000,000,000 tokens")]
)
def test_built_ins_whose_lengths_are_known_as_bounds_say_so(name: str, which: str) -> None:
    assert which in run("flops", name).out
    assert answer("flops", name)["figures"]["training_flops.exact"]["known"] == "assumed"


def test_the_bound_of_shorter_targets_is_one() -> None:
    """T5's targets were 114 tokens long: what is counted at 512 is more than what they took."""
    args = ("flops", "t5-11b")
    counted = answer(*args)["training_flops"]["exact"]
    assert counted > answer(*args, "--tokens", "1e12", "--source", "512", "--target", "114")["training_flops"]["exact"]


@pytest.mark.parametrize("command", [*COMMANDS, ("loss",)])
def test_a_sum_of_stages_is_not_as_published(staged: str, command: tuple[str, ...]) -> None:
    name, *options = command
    figures = answer(name, staged, *options)["figures"]
    key = next(key for key in figures if key in {"tokens", "rows[19].values[0]"})
    assert figures[key] == {"unit": "tokens", "known": "exact", "source": "", "note": "the sum of its 2 stages"}


def test_a_sum_that_was_published_too_has_that_source() -> None:
    figure = answer("flops", "kimi-k2")["figures"]["tokens"]
    assert (figure["known"], figure["source"]) == ("cited", "Kimi Team 2025b, section 2.5")


def test_all_tokens_at_a_length_that_is_asked_for_are_a_sum_too(staged: str) -> None:
    assert answer("flops", staged, "--context", "1024")["figures"]["tokens"]["source"] == ""


@pytest.mark.parametrize(
    "extended, length",
    [
        ({"original_max_position_embeddings": 4096}, 4096),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096}}, 4096),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}}, None),
        ({}, None),
    ],
)
def test_a_file_of_an_extended_context_says_at_which_length_it_was_trained(
    tmp_path: Path, extended: dict[str, object], length: int | None
) -> None:
    config = {"model_type": "llama", "max_position_embeddings": 131_072, "hidden_size": 64, "num_attention_heads": 4}
    sizes = {"num_hidden_layers": 2, "intermediate_size": 128, "vocab_size": 100, "tie_word_embeddings": False}
    (tmp_path / "config.json").write_text(json.dumps(config | sizes | extended), encoding="utf-8")
    data = answer("flops", str(tmp_path), "--tokens", "1e9")
    assert data["context"] == (length or 8192)
    assert data["figures"]["context"]["known"] == ("assumed" if length is None else "cited")


def test_python_says_of_a_model_like_another_that_its_figures_are_assumed(tmp_path: Path) -> None:
    config = {
        "model_type": "new",
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "vocab_size": 100,
    }
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 128}), encoding="utf-8")
    spec = tscale.load(str(tmp_path), assume="llama")
    run = tscale.run_of(spec, 16)
    counted = tscale.params(tscale.lower(spec)), tscale.params(tscale.lower(tscale.load("gpt2")))
    told = (counted[0], tscale.active_params(spec), tscale.forward_flops(spec, run))
    assert {quantity.known for quantity in (*told, tscale.cache_bytes(spec, run, "bf16"))} == {"assumed"}
    assert counted[1].known == "exact"
    known = {how["known"] for how in tscale.params(spec).figures.values()}
    assert known == {"assumed"}
