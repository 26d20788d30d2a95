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
        {"tokens": 2 * 10**12, "context": 4096},
        {"tokens": 10**11, "context": 32_768},
        {"tokens": None, "context": 131_072},
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


def test_serving_keeps_the_whole_context(staged: str) -> None:
    assert answer("memory", staged)["context"] == 131_072


@pytest.mark.parametrize(
    "training, says",
    [
        (
            "training:\n  tokens: 5\n  source: x\n  stages: [{tokens: 5, source: x}]\n",
            "training: each stage says its own tokens and source, and their sum is the total: drop those beside stages",
        ),
        ("training: {stages: []}\n", "training: needs stages, or tokens with their source"),
        ("training: {tokens: 5}\n", "training: needs stages, or tokens with their source"),
        (
            "training: {stages: [{tokens: 5, contxt: 8, source: x}]}\n",
            'unknown key "contxt": did you mean context?',
        ),
        ("training: {stages: [{tokens: 5, context: 8}]}\n", 'missing key "source" in training.stages.0'),
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
    told = (tscale.params(spec), tscale.active_params(spec), tscale.forward_flops(spec, run))
    assert {quantity.known for quantity in (*told, tscale.cache_bytes(spec, run, "bf16"))} == {"assumed"}
    assert tscale.params(tscale.load("gpt2")).known == "exact"
