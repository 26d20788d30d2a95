"""The keys of the JSON are a contract."""

from __future__ import annotations

import json

import pytest

from tests.helpers import answer, run


def test_params() -> None:
    data = answer("params", "gpt3")
    assert data["model"] == "gpt3"
    assert data["params"] == {
        "total": 174_604_259_328,
        "embedding": 50257 * 12288 + 2048 * 12288,
        "non_embedding": 174_604_259_328 - (50257 + 2048) * 12288,
        "active": 174_604_259_328,
    }
    lines = {line["name"]: line for line in data["lines"]}
    assert {"name", "stored", "used", "params", "formula"} <= set(data["lines"][0])
    assert lines["attention.q"]["params"] == 96 * (12288 * 12288 + 12288)
    assert lines["attention.q"]["stored"] == lines["attention.q"]["used"] == 96
    assert lines["attention.q"]["formula"] == "layers·(d_model·heads·head_dim + heads·head_dim)"
    assert (lines["head"]["stored"], lines["head"]["used"], lines["head"]["params"]) == (0, 1, 0)
    assert sum(line["params"] for line in data["lines"]) == data["params"]["total"]
    assert data["published"]["params"]["value"] == 174_600_000_000
    assert data["published"]["params"]["source"] == "Brown 2020, Table D.1"


def test_params_of_several_is_an_array() -> None:
    data = answer("params", "gpt2", "gpt3")
    assert [item["model"] for item in data] == ["gpt2", "gpt3"]
    assert all({"model", "params", "lines", "published"} <= set(item) for item in data)


def test_an_untied_head_is_not_in_non_embedding() -> None:
    """Qwen2.5-7B: the report's 6.53B; 152,064 rows of 3,584, twice."""
    data = answer("params", "qwen2.5-7b")
    assert data["params"]["non_embedding"] == 6_525_621_760
    assert data["params"]["embedding"] == 2 * 152_064 * 3_584


def test_flops() -> None:
    data = answer("flops", "--tokens", "300e9")
    assert (data["model"], data["tokens"], data["context"], data["params"]) == (
        "gpt3",
        300 * 10**9,
        2048,
        174_604_259_328,
    )
    assert set(data["training_flops"]) == {
        "six_nd",
        "six_nd_non_embedding",
        "chinchilla",
        "palm",
        "megatron",
        "megatron_recompute",
        "exact",
        "exact_causal",
    }
    assert data["training_flops"]["six_nd"] == 6 * 174_604_259_328 * 300 * 10**9
    s, d, layers, v = 2048, 12288, 96, 50257
    full = 2 * s * (12 * layers * d**2 + v * d) + 4 * layers * d * s**2
    causal = 2 * s * (12 * layers * d**2 + v * d) + 4 * layers * d * (s * (s + 1) // 2)
    assert data["forward_flops_per_sequence"] == {"full": full, "causal": causal}
    assert data["forward_flops_per_token"] * s == full
    assert data["training_flops"]["exact"] == 3 * full * 300 * 10**9 // s
    assert data["pf_days"] == pytest.approx(3637.6, abs=0.1)


def test_integers_past_a_double_are_given_as_text_too() -> None:
    data = answer("flops", "--tokens", "300e9")
    assert data["digits"]["training_flops.six_nd"] == "314287666790400000000000"
    assert int(data["digits"]["training_flops.exact"]) == data["training_flops"]["exact"]


def test_every_figure_says_its_unit_how_it_is_known_and_its_source() -> None:
    figures = answer("flops", "--tokens", "300e9")["figures"]
    assert figures["training_flops.palm"] == {
        "unit": "FLOPs",
        "known": "convention",
        "source": "Chowdhery 2022, Appendix B",
    }
    assert figures["training_flops.exact"]["known"] == "exact"
    assert answer("flops", "transformer")["figures"]["context"]["known"] == "assumed"


def test_conventions_of_one_stack_are_null_for_two() -> None:
    training = answer("flops", "t5-small", "--tokens", "1e12")["training_flops"]
    assert training["palm"] is training["megatron"] is training["chinchilla"] is None
    assert training["six_nd"] == 6 * 60_506_624 * 10**12


def test_source_and_target_lengths() -> None:
    one = answer("flops", "t5-small", "--tokens", "1e12", "--source", "512", "--target", "128")
    two = answer("flops", "t5-small", "--tokens", "1e12", "--context", "512")
    assert (one["source"], one["target"]) == (512, 128)
    assert (two["source"], two["target"]) == (512, 512)


def test_attention() -> None:
    data = answer("attention", "gpt3", "--context", "512,2k,8k")
    assert [row["context"] for row in data["rows"]] == [512, 2048, 8192]
    row = data["rows"][1]
    per_token = 4 * 96 * 12288 * 2048
    assert row == {
        "context": 2048,
        "attention_flops_per_token": per_token,
        "attention_flops_per_sequence": per_token * 2048,
        "forward_flops_per_sequence": 2 * 2048 * (12 * 96 * 12288**2 + 50257 * 12288) + per_token * 2048,
        "attention_share": pytest.approx(0.0269, abs=1e-4),
        "kv_cache_bytes": 2 * 2 * 96 * 12288 * 2048,
        "score_matrix_bytes": 2 * 96 * 2048**2,
        "beyond_trained_context": False,
    }
    assert data["rows"][2]["beyond_trained_context"] is True


def test_crossovers_in_closed_form() -> None:
    """16·d² FLOPs of feed-forward a token and layer against 4·d·T of scores: T = 4·d. All the rest: 6·d + V/(2·L)."""
    crossovers = answer("attention", "gpt3")["crossovers"]
    assert crossovers["feed_forward"] == 4 * 12288
    assert crossovers["all_else"] == -(-(6 * 12288 * 2 * 96 + 50257) // (2 * 96))
    assert crossovers["cache_equals_weights"] == -(-174_604_259_328 // (2 * 96 * 12288))


@pytest.mark.parametrize(
    "model", ["gpt3", "llama-3.1-8b", "mistral-7b", "gemma-2-9b", "bert-base", "t5-small", "zamba2-1.2b"]
)
@pytest.mark.parametrize("sight", ["--full", "--causal"])
def test_a_crossover_is_the_first_context_at_which_it_holds(model: str, sight: str) -> None:
    """Checked against the rows of the table themselves: one token less, and it does not hold yet."""
    crossovers = answer("attention", model, sight)["crossovers"]
    weights = 2 * answer("params", model)["params"]["total"]
    if (at := crossovers["all_else"]) is not None:
        before, here = answer("attention", model, sight, "--context", f"{at - 1},{at}")["rows"]
        assert 2 * here["attention_flops_per_sequence"] >= here["forward_flops_per_sequence"]
        assert 2 * before["attention_flops_per_sequence"] < before["forward_flops_per_sequence"]
    if (at := crossovers["cache_equals_weights"]) is not None:
        before, here = answer("attention", model, sight, "--context", f"{at - 1},{at}")["rows"]
        assert before["kv_cache_bytes"] < weights <= here["kv_cache_bytes"]


def test_a_window_can_stop_a_crossing_for_good() -> None:
    """Every layer of Mistral 7B sees 4,096 keys and caches as many: its cache never outweighs its weights."""
    assert answer("attention", "mistral-7b", "--causal")["crossovers"]["cache_equals_weights"] is None


def test_versus_is_table_1_of_vaswani() -> None:
    rows = answer(
        "attention", "transformer", "--versus", "--context", "512,1024", "--kernel", "3", "--neighbourhood", "64"
    )
    found = {(row["layer"], row["context"]): row for row in rows["versus"]}
    n, d, k, r = 1024, 512, 3, 64
    assert found["self-attention", n]["operations"] == n * n * d
    assert found["recurrent", n]["operations"] == n * d * d
    assert found["convolutional", n]["operations"] == k * n * d * d
    assert found["restricted attention", n]["operations"] == r * n * d
    assert [found[layer, n]["sequential_operations"] for layer in ("self-attention", "recurrent", "convolutional")] == [
        1,
        n,
        1,
    ]
    assert found["recurrent", n]["maximum_path_length"] == n
    assert found["convolutional", n]["maximum_path_length"] == 7  # 3^6 < 1024 <= 3^7
    assert found["restricted attention", n]["maximum_path_length"] == n // r
    assert found["self-attention", 512]["operations"] == found["recurrent", 512]["operations"]  # equal at n = d
    assert found["recurrent", n]["cheaper_than_attention_from"] == d + 1


def test_compare() -> None:
    data = answer("compare", "transformer", "gpt3")
    assert data["models"] == ["transformer", "gpt3"]
    rows = {row["quantity"]: row for row in data["rows"]}
    assert rows["layers"]["values"] == [6, 96]
    assert rows["layers"]["ratios"] == [None, 16]
    assert rows["heads"]["ratios"] == [None, 12]
    assert rows["context"]["values"] == [None, 2048]
    assert rows["params"]["values"] == [63_045_632, 174_604_259_328]


def test_explain_in_json() -> None:
    steps = answer("params", "gpt2", "--explain")["explain"]
    found = {step["name"]: step for step in steps}
    assert found["embedding.tokens"]["formula"] == "vocabulary·d_model"
    assert found["embedding.tokens"]["numbers"] == "50257·768"
    assert found["embedding.tokens"]["value"] == 50257 * 768


def test_undisclosed_is_an_answer_with_exit_code_3() -> None:
    done = run("params", "gpt-4", "--format", "json")
    assert done.code == 3
    data = json.loads(done.out)
    assert data["params"] is None
    assert data["lines"] == []
    assert data["estimates"]
    assert all(estimate["by"] and estimate["evidence"] != "primary" for estimate in data["estimates"])
