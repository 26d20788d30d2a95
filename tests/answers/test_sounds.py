"""An encoder that hears: its source is as long as its spectrogram, whatever the context is."""

from __future__ import annotations

import pytest

from tests.helpers import answer, run

WIDTH, LAYERS, HEADS, FRAMES = 1280, 32, 20, 1500  # Radford 2022, Table 1 and section 2.2: Whisper large


@pytest.mark.parametrize("context", [100, 448])
def test_every_command_counts_the_same_source(context: int) -> None:
    """FLOPs of one sequence, and of as many training tokens, wherever they are told."""
    told = answer("flops", "whisper-large-v2", "--tokens", "1e12", "--context", str(context))
    (row,) = answer("attention", "whisper-large-v2", "--context", str(context))["rows"]
    ran = answer(
        "train", "whisper-large-v2", "--tokens", "1e12", "--context", str(context), "--gpu", "h100", "--gpus", "8",
        "--mfu", "0.4",
    )  # fmt: skip
    assert told["source"] == FRAMES
    assert told["forward_flops_per_sequence"]["full"] == row["forward_flops_per_sequence"]
    assert told["training_flops"]["exact"] == ran["training_flops"]


def test_no_other_source_is_taken() -> None:
    refused = run("flops", "whisper-large-v2", "--tokens", "1e12", "--source", "750")
    assert refused.code == 2
    assert "always reads 1,500 audio frames" in refused.err


def test_the_largest_score_matrix_is_the_decoder_s_where_that_is_longer() -> None:
    rows = answer("attention", "whisper-large-v2", "--context", "448,8192")["rows"]
    assert [row["score_matrix_bytes"] for row in rows] == [HEADS * FRAMES**2 * 2, HEADS * 8192**2 * 2]


def test_the_cache_of_a_token_is_that_of_all_frames_and_of_the_transcript_over_the_transcripts_length() -> None:
    rows = {row["quantity"]: row["values"] for row in answer("compare", "whisper-large-v2", "gpt2")["rows"]}
    assert rows["kv_bytes_per_token"][0] == -(-(LAYERS * 2 * WIDTH * 2) * (FRAMES + 448) // 448)
