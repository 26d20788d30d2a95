"""`plan --serve` varies the tokens of a step, and its rows are what `serve` predicts of them."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

import tscale
from tscale.analysis.questions import question
from tscale.errors import RequestError

ASKED: dict[str, Any] = {
    "model": "llama-3.1-8b", "serve": True, "gpu": "h100", "gpus": 2, "input": "8k", "output": 256, "ttft": "4s", "tpot": "40ms",
    "pools": "aggregated", "users": 40, "top": 20,
}  # fmt: skip


def rows(**asked: Any) -> list[dict[str, Any]]:
    found: Any = tscale.plan(**{**ASKED, **asked}).to_dict()
    return list(found["rows"])


def test_every_chunk_is_tried_and_a_row_is_what_serve_predicts() -> None:
    found = rows(chunk="256,1024,8192")
    assert {row["chunk"] for row in found} >= {1024, 8192}
    for row in found:
        program, name, model, *words = shlex.split(row["command"])
        assert (program, name) == ("tscale", "serve")
        asked: Any = {word[2:].replace("-", "_"): to for word, to in zip(words[::2], words[1::2], strict=True)}
        alone: Any = tscale.serve(model, **asked).to_dict()
        assert alone["chunk"] == row["chunk"] == int(asked["chunk"])
        assert alone["calibration"]["fitted_source"]["ttft_seconds"] == row["ttft_seconds"]
        assert f"--max-num-batched-tokens {row['chunk']}" in row["flags"]["vllm"]


def test_a_range_means_the_powers_of_two_in_it() -> None:
    tried = question("plan").made({**ASKED, "chunk": "1000..8192"}).deployments.chunks
    assert tried == (1024, 2048, 4096, 8192)
    assert question("plan").made(ASKED).deployments.chunks == (0,)


@pytest.mark.parametrize(
    ("chunk", "error"),
    [
        ("5..7", "has no power of two"),
        ("1..2000+1", "comes to 2,000 values: at most 64"),
        ("0", "whole number above 0"),
    ],
)
def test_chunks_that_are_none_are_refused(chunk: str, error: str) -> None:
    with pytest.raises(RequestError, match=error):
        question("plan").made({**ASKED, "chunk": chunk}).deployments  # noqa: B018


@pytest.mark.slow
def test_smaller_chunks_carry_no_more_users_within_a_first_token() -> None:
    """Where prompts wait for steps to take them in, the target of the first token is reached at fewer users."""
    asked = {**ASKED, "users": None, "rate": None, "tpot": None}
    most = []
    for chunk in ("256", "1024", "8192"):
        found: Any = tscale.plan(**{**{k: v for k, v in asked.items() if v is not None}, "chunk": chunk}).to_dict()
        most.append(found["rows"][0]["load"] if found["rows"] else 0.0)
    assert most == sorted(most)
    assert most[-1] > 1.3 * most[0]
