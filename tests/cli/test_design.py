"""`tscale design`: what it writes is a valid spec of the size that was asked for, and published models are found again."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.helpers import answer, run
from tscale.blocks.experts import Experts
from tscale.core.costs.params import params
from tscale.core.costs.shapes import Grid, Proportions, Shape, distance, search
from tscale.models.lower import lower
from tscale.models.resolve import resolve
from tscale.models.spec import ModelSpec
from tscale.models.validation import validated
from tscale.models.yaml_file import parse_document


def spec(*args: str) -> ModelSpec:
    done = run("design", *args, "-o", "-")
    assert done.code == 0, done.err
    made = validated(parse_document(done.out, "design"))
    assert isinstance(made, ModelSpec)
    return made


@pytest.mark.parametrize("size", ["125e6", "1e9", "7e9", "70e9", "400e9", "1e12"])
@pytest.mark.parametrize("like", ["gpt2", "llama-2-7b", "gpt3", "opt"])
def test_what_it_writes_is_valid_and_within_one_per_cent(size: str, like: str) -> None:
    made = spec("--params", size, "--like", like, "--multiple", "64")
    assert params(lower(made)).total == pytest.approx(float(size), rel=0.01)
    assert made.d_model % 64 == 0
    assert made.vocabulary % 64 == 0


@pytest.mark.parametrize("like", ["gpt2", "llama-2-7b", "gpt3", "opt"])
def test_of_ten_million_with_a_vocabulary_that_leaves_room_for_layers(like: str) -> None:
    made = spec("--params", "10e6", "--like", like, "--multiple", "64", "--set", "vocabulary=4096")
    assert params(lower(made)).total == pytest.approx(10e6, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("like", ["llama-3.1-8b", "qwen3", "gemma-2", "falcon-7b"])
@pytest.mark.parametrize("size", ["3e9", "30e9", "1e12"])
def test_of_grouped_heads_tables_and_norms_too(size: str, like: str) -> None:
    made = spec("--params", size, "--like", like, "--multiple", "64")
    assert params(lower(made)).total == pytest.approx(float(size), rel=0.01)


def test_llama_2_7b_is_found_by_the_proportions_of_llama_2_13b() -> None:
    """Touvron 2023b: 32 layers of 4096, 32 heads, and an inner width of 11,008."""
    made = spec("--params", "6738415616", "--like", "llama-2-13b")
    attention, feed_forward = made.plain_blocks() or pytest.fail("it is plain")
    assert (made.layers, made.d_model, attention.heads, feed_forward.d_ff) == (32, 4096, 32, 11008)


def test_gpt3_is_found_by_the_proportions_of_its_own_13b_within_a_few_layers() -> None:
    """Brown 2020, Table 2.1: 96 layers of 12288; of its 13B, 40 of 5140 (5120 on the grid)."""
    made = spec("--params", "174.6e9", "--like", "gpt3-13b")
    assert made.layers == pytest.approx(96, rel=0.05)
    assert made.d_model == pytest.approx(12288, rel=0.05)


@pytest.mark.parametrize("tensor", [2, 8, 16])
def test_its_heads_and_widths_divide_by_the_tensor_degree(tensor: int) -> None:
    made = spec("--params", "7e9", "--like", "llama-3.1-8b", "--tensor", str(tensor))
    attention, feed_forward = made.plain_blocks() or pytest.fail("it is plain")
    kv_heads = attention.kv_heads or attention.heads
    assert attention.heads % tensor == feed_forward.d_ff % tensor == made.vocabulary % tensor == 0
    assert kv_heads % tensor == 0 or tensor % kv_heads == 0


@pytest.mark.slow
def test_a_family_gives_its_nearest_in_size() -> None:
    assert answer("design", "--params", "60e9", "--like", "llama")["like"] == "llama-65b"
    assert answer("design", "--params", "70e9", "--like", "qwen2.5")["like"] == "qwen2.5-72b"


def test_a_budget_of_flops_is_the_optimum_of_a_law_in_the_parameters_that_it_counts() -> None:
    (row,) = answer("optimal", "--flops", "1e21", "--law", "hoffmann2022-3")["rows"]
    data = answer("design", "--flops", "1e21")
    assert (data["budget"]["params"], data["budget"]["tokens"]) == (row["params"], row["tokens"])
    assert data["params"] == pytest.approx(row["params"], rel=0.01)
    assert data["spec"]["training"]["tokens"] == row["tokens"]
    kaplan = answer("design", "--flops", "1e21", "--law", "kaplan2020")
    assert kaplan["budget"]["counts"] == "non_embedding"
    assert kaplan["shape"]["params"] == pytest.approx(kaplan["budget"]["params"], rel=0.01)
    assert kaplan["params"] > kaplan["shape"]["params"]


def test_where_one_per_cent_cannot_be_hit_it_says_no_and_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    done = run("design", "--params", "10e6", "--like", "llama-3.1-8b", "-o", str(file))
    assert done.code == 3
    assert "No shape on this grid is within 1% of the budget" in done.out
    assert "this one misses the budget by the least" in " ".join(done.out.split())
    assert not file.exists()


def test_it_writes_a_file_and_never_over_one_but_by_force(tmp_path: Path) -> None:
    file = tmp_path / "my-7b.yaml"
    assert run("design", "--params", "7e9", "-o", str(file)).code == 0
    text = file.read_text(encoding="utf-8")
    assert "name: my-7b" in text
    assert run("params", str(file)).code == 0
    refused = run("design", "--params", "8e9", "-o", str(file))
    assert refused.code == 1
    assert "exists already" in refused.err
    assert file.read_text(encoding="utf-8") == text
    assert run("design", "--params", "8e9", "-o", str(file), "--force").code == 0
    assert file.read_text(encoding="utf-8") != text


def test_every_other_command_takes_what_it_writes() -> None:
    text = run("design", "--flops", "1e22", "-o", "-").out
    for command in (["params"], ["flops"], ["loss"], ["memory"], ["train", "--gpu", "h100", "--gpus", "64"]):
        done = run(command[0], "-", *command[1:], stdin=text)
        assert done.code == 0, done.err


def test_explain_counts_the_parts_of_what_was_found() -> None:
    out = run("design", "--params", "7e9", "--explain").out
    assert "4096·11008" in out
    assert "embedding.tokens + attention.q" in out


@pytest.mark.slow
@pytest.mark.parametrize("like", ["mixtral-8x7b", "qwen3-30b-a3b", "gpt-oss-20b", "llama-4-scout"])
@pytest.mark.parametrize("size", ["3e9", "30e9", "1e12"])
def test_of_mixtures_of_experts_within_one_per_cent(size: str, like: str) -> None:
    made = spec("--params", size, "--like", like, "--multiple", "64")
    assert params(lower(made)).total == pytest.approx(float(size), rel=0.01)
    pattern = resolve(like)
    assert isinstance(made.feed_forward, Experts)
    assert isinstance(pattern.feed_forward, Experts)
    assert (made.feed_forward.experts, made.feed_forward.top_k) == (
        pattern.feed_forward.experts,
        pattern.feed_forward.top_k,
    )


def test_mixtral_8x22b_is_found_by_the_proportions_of_8x7b_within_a_few_layers() -> None:
    """Mistral's release: 56 layers of 6144, 48 heads, an inner width of 16,384."""
    made = spec("--params", "140.6e9", "--like", "mixtral-8x7b")
    assert made.layers == pytest.approx(56, rel=0.2)
    assert made.d_model == pytest.approx(6144, rel=0.05)


def test_a_budget_of_flops_buys_active_parameters_by_the_joint_law() -> None:
    """Ludziejewski 2025 with 4 times the feed-forwards stored that a token meets: Table 1 has 4.4B and 38B tokens for 1e21 FLOPs."""
    data = answer("design", "--flops", "1e21", "--like", "mixtral")
    assert data["budget"]["counts"] == "active"
    assert data["budget"]["law"] == "ludziejewski2025"
    assert data["active_params"] == pytest.approx(4.4e9, rel=0.02)
    assert data["budget"]["tokens"] == pytest.approx(38e9, rel=0.02)
    assert data["active_params"] == pytest.approx(data["budget"]["params"], rel=0.01)


@pytest.mark.parametrize("law", ["hoffmann2022-3", "abnar2025"])
def test_a_mixture_is_not_designed_by_a_law_that_names_no_optimum_of_it(law: str) -> None:
    found = run("design", "--flops", "1e21", "--like", "mixtral", "--law", law)
    assert found.code == 2
    assert "choose --law ludziejewski2025" in found.err


def test_a_dense_model_is_not_designed_by_a_law_of_sparsity() -> None:
    found = run("design", "--flops", "1e21", "--law", "abnar2025")
    assert found.code == 2
    assert "says nothing of a dense model" in found.err


@pytest.mark.slow
@pytest.mark.parametrize("like", ["deepseek-v3", "kimi-k2", "glm-4.5", "glm-4.5-air"])
def test_a_mixture_with_dense_layers_first_is_found_again_by_its_own_size(like: str) -> None:
    """Of latent attention too: layers, widths, heads and the dense layers that lead are those of the published model."""
    own = resolve(like)
    made = spec("--params", str(int(params(lower(own)).total)), "--like", like, "--multiple", "64")
    assert (made.layers, made.d_model) == (own.layers, own.d_model)
    assert made.attention == own.attention
    assert made.feed_forward == own.feed_forward


@pytest.mark.slow
@pytest.mark.parametrize("like", ["deepseek-v3", "glm-4.5"])
@pytest.mark.parametrize("size", ["10e9", "100e9", "2e12"])
def test_mixtures_with_dense_layers_first_are_within_one_per_cent(size: str, like: str) -> None:
    made = spec("--params", size, "--like", like)
    assert params(lower(made)).total == pytest.approx(float(size), rel=0.01)
    assert isinstance(made.feed_forward, tuple)
    assert made.feed_forward[0].on == resolve(like).feed_forwards[0].on


def test_the_best_of_shapes_with_layers_that_lead_is_that_of_brute_force() -> None:
    """A count whose first two layers are as large as five others, over every shape of one set of heads."""
    wanted = Proportions(Fraction(64), Fraction(2), Fraction(1), Fraction(1), 64, leading=2)

    def count(shape: Shape) -> int:
        return (
            1000 * shape.d_model
            + 20 * shape.d_model**2
            + (shape.layers - 2) * shape.d_model * (4 * shape.d_model + 6 * shape.d_ff)
        )

    found = search(50_000_000, wanted, Grid(64), count)[0]
    shapes = [
        Shape(layers, d, d // 64, d // 64, d_ff)
        for d in range(64, 2048, 64)
        for layers in range(max(d // 128, 3), max(d // 32, 3) + 1)
        for d_ff in range(d, 4 * d + 1, 64)
    ]
    near = [one for one in shapes if abs(count(one) / 50_000_000 - 1) <= 0.01]
    best = min(near, key=lambda one: distance(one, wanted, count(one), 50_000_000))
    assert found.shape == best


def test_a_pattern_is_of_a_size_that_designs_may_have() -> None:
    done = run("design", "--params", "7e9", "--set", "layers=1e12")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(
        "tscale: Llama 2 7B with layers=1e12, the pattern, has 202,383,360,000,262,148,096 parameters"
    )
    assert "at most 10,000,000,000,000" in done.err


def test_a_design_that_misses_its_budget_says_so_first() -> None:
    done = run("design", "--params", "7e9", "--set", "vocabulary=1e9")
    assert done.code == 3
    assert done.out.startswith(
        "No decoder like Llama 2 7B with vocabulary=1e9 is within 1% of 7,000,000,000 parameters: the nearest has"
    )
    assert done.out.split("\n")[0].endswith(" in 1 layer")


def test_a_part_of_a_word_is_no_family() -> None:
    """`gpt` is one, with gpt3 in it; what `g` means would be guessed."""
    assert run("design", "--params", "7e9", "--like", "gpt").code == 0
    for part in ("g", "ll", "x", "gpt-n"):
        done = run("design", "--params", "7e9", "--like", part)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f'tscale: no model or family "{part}" to take as a pattern: ')
