"""--set changes any field of a spec, and the changed model is no longer the one that papers speak of."""

from __future__ import annotations

import pytest

from tests.helpers import answer, run


def test_a_changed_model_says_so_and_cites_nothing() -> None:
    data = answer("params", "gpt3", "--set", "layers=48")
    assert data["title"] == "GPT-3 175B with layers=48"
    assert data["published"] == {}
    assert {figure["source"] for figure in data["figures"].values()} == {""}
    assert "Brown" not in run("params", "gpt3", "--set", "layers=48").out


def test_a_bare_name_is_found_in_its_block() -> None:
    bare, full = (answer("params", "gpt3", "--set", f"{key}=8")["params"] for key in ("kv_heads", "attention.kv_heads"))
    assert bare == full
    q, kv = 96 * (12288 * 12288 + 12288), 96 * (12288 * 8 * 128 + 8 * 128)
    assert bare["total"] == 174_604_259_328 - 2 * q + 2 * kv


def test_null_takes_a_field_away_and_only_one_that_is_there_to_take() -> None:
    assert answer("params", "mistral-7b", "--set", "attention.kv_heads=")["params"]["total"] > 7_241_732_096
    assert run("params", "gpt3", "--set", "attention.hedas=").code == 2


def test_a_model_without_its_title_goes_by_its_name() -> None:
    assert "gpt3 has 174,604,259,328 parameters" in run("params", "gpt3", "--set", "title=null").out


def test_cross_attention_has_no_window() -> None:
    """A window is a stretch of a sequence's own: 9 targets see all 13 sources, and themselves within 6."""
    data = answer(
        "flops", "t5-small", "--set", "attention.window=6", "--source", "13", "--target", "9", "--tokens", "22"
    )
    each, layers = 2 * 8 * (64 + 64), 6
    causal = sum(min(position, 6) for position in range(1, 10))
    both_ways = sum(sum(1 for key in range(13) if abs(query - key) <= 3) for query in range(13))
    full, windowed = (data["forward_flops_per_sequence"][sight] for sight in ("full", "causal"))
    assert full - windowed == layers * each * (13 * 13 - both_ways + 9 * 9 - causal)


def test_a_published_run_is_compared_on_its_own_tokens_only() -> None:
    own, other = answer("flops", "gpt3"), answer("flops", "gpt3", "--tokens", "1e12")
    assert own["published"]["training_flops"]["difference_percent"] is not None
    assert other["published"]["training_flops"]["difference_percent"] is None


def test_what_rests_on_an_assumed_context_is_assumed() -> None:
    figures = answer("flops", "transformer")["figures"]
    for path in (
        "context",
        "source",
        "training_flops.exact",
        "forward_flops_per_sequence.full",
        "forward_flops_per_token",
    ):
        assert figures[path]["known"] == "assumed", path
    assert answer("flops", "transformer", "--context", "64")["figures"]["training_flops.exact"]["known"] == "exact"


def test_compare_says_of_each_cell_how_it_is_known() -> None:
    figures = answer("compare", "transformer", "gpt3")["figures"]
    rows = {row["quantity"]: place for place, row in enumerate(answer("compare", "transformer", "gpt3")["rows"])}
    assert figures[f"rows[{rows['params']}].values[0]"] == {
        "unit": "parameters",
        "known": "exact",
        "source": "",
    }
    assert figures[f"rows[{rows['flops_per_token']}].values[0]"]["known"] == "assumed"
    assert figures[f"rows[{rows['context']}].values[0]"]["note"] == "no limit"


def test_several_models_in_json_each_carry_their_notes_and_derivations() -> None:
    both = answer("params", "gpt2", "gpt3", "--explain")
    assert all({"figures", "digits", "notes", "explain"} <= set(one) for one in both)
    assert all(step["subject"] == one["model"] for one in both for step in one["explain"])


def test_compare_at_a_context_says_which() -> None:
    out = " ".join(run("compare", "gpt2", "gpt3", "--context", "4k").out.split())
    assert "are at 4,096 tokens" in out
    assert "beyond the trained context of GPT-2 small, GPT-3 175B" in out


def test_lengths_that_nothing_would_read_are_refused() -> None:
    for argv in (
        ["flops", "t5-small", "--tokens", "1e9", "--source", "8", "--target", "8", "--context", "8"],
        ["flops", "gpt3", "--source", "8"],
        ["attention", "gpt3", "--kernel", "5"],
    ):
        done = run(*argv)
        assert done.code == 2, argv
        assert done.out == ""


def test_a_context_that_is_set_cuts_the_sequences_of_training() -> None:
    """No model is trained on sequences that it cannot read; the published length is told beside the cut."""
    flops = answer("flops", "gpt2", "--tokens", "1e9", "--set", "context=256")
    assert flops["context"] == 256
    assert answer("memory", "gpt2", "--train", "--set", "context=256")["context"] == 256
    shown = run("flops", "bert-base", "--set", "context=64").out
    assert "in sequences of 64 tokens (Devlin 2018, appendix A.2, cut from 512 tokens, derived)" in " ".join(
        shown.split()
    )


def test_a_longer_context_leaves_training_as_it_was() -> None:
    assert answer("flops", "gpt2", "--tokens", "1e9", "--set", "context=4096")["context"] == 1024


def test_training_beyond_a_context_is_refused_where_it_is_set_itself() -> None:
    stage = "training.stages=[{tokens: 1e9, context: 512, source: mine}]"
    refused = run("flops", "gpt2", "--set", "context=256", "--set", stage)
    assert refused.code == 2
    assert "training.stages.0.context: 512 tokens are more than the model's context of 256" in refused.err


@pytest.mark.parametrize("changes", [("layers=3", "layers=4"), ("heads=8", "attention.heads=16")])
def test_a_field_that_is_set_twice_is_refused(changes: tuple[str, str]) -> None:
    done = run("params", "gpt3", "--set", changes[0], "--set", changes[1])
    assert done.code == 2
    assert done.err.endswith(" is given twice: drop one\n")
