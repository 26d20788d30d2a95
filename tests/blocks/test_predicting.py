"""Streams that predict further tokens, against loops over ProphetNet's masks and what torch's counter says of its steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.core.test_roofline import alone
from tests.helpers import run
from tests.importer.recorded import spec_of
from tscale.core.costs.cache import cache_bytes
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import params
from tscale.core.costs.roofline import Pass, works
from tscale.core.ledger import Lookup, Matmul
from tscale.errors import RequestError
from tscale.models.lower import lower, run_of

SMALL: dict[str, Any] = {
    "model_type": "prophetnet",
    "architectures": ["ProphetNetForCausalLM"],
    "vocab_size": 100,
    "hidden_size": 32,
    "num_encoder_attention_heads": 4,
    "num_decoder_attention_heads": 4,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
    "max_position_embeddings": 64,
}


def seen_by_loop(length: int, ngram: int) -> int:
    """Cells that both masks leave open: the text's, and `ngram_attention_bias` of transformers for the other streams."""
    seen = sum(column <= row for row in range(length) for column in range(length))
    for stream in range(ngram):
        for row in range(length):
            for column in range(length):
                seen += not (column - row >= 1 - stream and column != 0)
                seen += column == row
    return seen


@pytest.mark.parametrize("ngram", [1, 2, 5])
@pytest.mark.parametrize("length", [1, 2, 3, 5, 40])
def test_causal_scores_are_those_that_the_masks_leave_open(ngram: int, length: int) -> None:
    spec = spec_of(SMALL | {"ngram": ngram})
    lines = {line.name: line.value for line in forward_flops(lower(spec), run_of(spec, length), "causal").lines}
    scores = sum(value for name, value in lines.items() if ".scores" in name and "distances" not in name)
    assert scores == 2 * seen_by_loop(length, ngram) * 4 * (8 + 8)


def test_a_step_of_decoding_takes_what_the_counter_of_torch_says() -> None:
    """86,400 FLOPs for one token behind 30 in the cache: ProphetNetForCausalLM of transformers 5.24.0, torch's FlopCounterMode."""
    ledger = lower(spec_of(SMALL))
    assert sum(line.flops for line in works(alone(ledger), Pass(1, 1, 30, 1, decoding=True))) == 86_400


def test_the_cache_is_of_the_text_alone() -> None:
    ledger = lower(spec_of(SMALL))
    assert cache_bytes(ledger, run_of(spec_of(SMALL), 31), 16).total == 2 * 31 * (2 * 32)


def test_a_pass_reads_each_matrix_once_and_the_cache_once_for_all_streams() -> None:
    ledger = lower(spec_of(SMALL))
    lines = works(alone(ledger), Pass(1, 1, 30, 1, decoding=True))
    idle = sum(e.d_in * e.d_out + e.d_out for e in ledger.entries if isinstance(e, Matmul) and not e.used)
    tables = sum((e.rows - 1) * e.width for e in ledger.entries if isinstance(e, Lookup))
    head = 100 * 32  # the table of tokens, read whole
    assert sum(line.weights for line in lines) == 2 * (params(ledger).total + head - idle - tables)
    assert sum(line.cache for line in lines) == 2 * 31 * 64


def test_the_longest_text_has_a_row_left_for_the_token_behind_it() -> None:
    """A table of 64 rows takes 62 tokens: transformers 5.24.0 runs out of rows at 63."""
    assert spec_of(SMALL).context == 62


def test_what_streams_keep_for_a_backward_pass_is_not_guessed() -> None:
    with pytest.raises(RequestError, match="a model with 3 residual streams"):
        lower(spec_of(SMALL | {"architectures": ["ProphetNetForConditionalGeneration"]}), saves=True)


@pytest.mark.parametrize(
    ("ngram", "said"), [(0, "ngram"), (64, "65 streams are more than are counted: set at most 64")]
)
def test_numbers_of_streams_that_are_not_counted(ngram: int, said: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(SMALL | {"ngram": ngram}), "utf-8")
    done = run("params", str(path))
    assert done.code == 1
    assert said in done.err


def test_attention_that_is_never_run_takes_no_time_to_train(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "bart", "architectures": ["BartForCausalLM"]}), "utf-8")
    done = run("train", str(path), "--gpu", "h100", "--gpus", "1", "--batch", "8", "--tokens", "1e6")
    assert done.code == 0, done.err
