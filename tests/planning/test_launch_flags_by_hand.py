"""Whole command lines of engines, of the least that each option is given for and of what is left to the engine's own default."""

from __future__ import annotations

from itertools import product

import pytest

from tscale.core.serving_layout import ServingLayout
from tscale.planning.launch_flags import Launch, sglang, trtllm, vllm

NIXL = """ --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'"""


@pytest.mark.parametrize("requests", [0, 1, 2, 7])
@pytest.mark.parametrize("chunk", [0, 1, 2, 5])
def test_requests_and_tokens_at_once_are_given_from_the_first_on(requests: int, chunk: int) -> None:
    """0 leaves either to the engine; TensorRT-LLM cuts prompts to chunks where it is told to."""
    one = Launch("m", ServingLayout(), requests, 9, "", "bf16", chunk=chunk)
    together = min(requests, chunk) if chunk else requests
    at_once, tokens = (f" {{}} {together}" if together else "", f" {{}} {chunk}" if chunk else "")
    assert vllm(one) == (
        "vllm serve m --tensor-parallel-size 1"
        f"{at_once.format('--max-num-seqs')}{tokens.format('--max-num-batched-tokens')} --max-model-len 9"
    )
    assert trtllm(one) == (
        f"trtllm-serve m --tp_size 1{at_once.format('--max_batch_size')}{tokens.format('--max_num_tokens')} --max_seq_len 9"
        + (" --config <(echo '{enable_chunked_prefill: true}')" if chunk else "")
    )
    running = f" --max-running-requests {requests}" if requests else ""
    assert sglang(one) == (
        "python -m sglang.launch_server --model-path m --tp-size 1"
        f"{running}{tokens.format('--chunked-prefill-size')} --context-length 9"
    )


@pytest.mark.parametrize("copies", [1, 2, 3])
@pytest.mark.parametrize("requests", [1, 3, 6, 7])
def test_each_copy_of_attention_takes_its_part_of_the_requests_rounded_up(copies: int, requests: int) -> None:
    """Of vLLM and TensorRT-LLM; SGLang is told of all of them, and of the tokens of all copies."""
    one = Launch("m", ServingLayout(1, 1, 1, copies, copies), requests, 9, "", "bf16", chunk=4)
    each = next(n for n in range(1, 8) if n * copies >= requests)
    assert f"--max-num-seqs {min(each, 4)} " in (vllm(one) or "")
    assert f"--max_batch_size {min(each, 4)} " in (trtllm(one) or "")
    line = sglang(one) or ""
    assert f"--max-running-requests {requests} " in line
    assert f"--chunked-prefill-size {4 * copies} " in line
    assert ("--enable-dp-attention" in line) == ("enable_attention_dp" in (trtllm(one) or "")) == (copies > 1)
    assert (f"--data-parallel-size {copies}" in (vllm(one) or "")) == (copies > 1)


def test_formats_and_roles_are_said_where_they_are_no_engines_own() -> None:
    """Weights of fp8 are converted while they load, those of another format before; a cache of fp8 is one of any kind of it."""
    for weights, cache, role in product(("", "fp8", "nf4"), ("bf16", "fp8", "fp8_e4m3"), ("", "prefill", "decode")):
        one = Launch("m", ServingLayout(2, 2, expert_tensor=2), 0, 9, weights, cache, role)  # type: ignore[arg-type]
        quantised, short = weights == "fp8", cache != "bf16"
        loaded = "MODEL_IN_NF4" if weights == "nf4" else "m"
        assert vllm(one) == (
            f"vllm serve {loaded} --tensor-parallel-size 2 --pipeline-parallel-size 2 --max-model-len 9"
            + " --quantization fp8" * quantised
            + " --kv-cache-dtype fp8" * short
            + NIXL * bool(role)
        )
        assert sglang(one) == (
            f"python -m sglang.launch_server --model-path {loaded} --tp-size 2 --pp-size 2 --context-length 9"
            + " --quantization fp8" * quantised
            + " --kv-cache-dtype fp8_e4m3" * short
            + f" --disaggregation-mode {role} --disaggregation-transfer-backend nixl" * bool(role)
        )
        lines = [
            *["kv_cache_config: {dtype: fp8}"] * short,
            *["cache_transceiver_config: {backend: DEFAULT}"] * bool(role),
            *["disable_overlap_scheduler: true"] * (role == "prefill"),
        ]
        config = " --config <(echo '{" + ", ".join(lines) + "}')" if lines else ""
        loaded = f"MODEL_IN_{weights.upper()}" if weights else "m"  # it converts none
        assert trtllm(one) == f"trtllm-serve {loaded} --tp_size 2 --pp_size 2 --max_seq_len 9" + config


def test_engines_have_options_for_layouts_that_they_run() -> None:
    """vLLM spreads experts or cuts them; TensorRT-LLM copies attention or cuts it; SGLang does either at once."""
    for tensor, copies, expert, cut in product((1, 2, 3), repeat=4):
        one = Launch("m", ServingLayout(tensor, 1, expert, cut, copies), 0, 9, "", "bf16")
        line = vllm(one)
        assert (line is None) == (expert > 1 and cut > 1)
        assert line is None or ("--enable-expert-parallel" in line) == (expert > 1)
        assert (trtllm(one) is None) == (tensor > 1 and copies > 1)
        assert f"--tp-size {tensor * copies} " in (sglang(one) or "")
        assert (f"--ep-size {expert} " in (sglang(one) or "")) == (expert > 1)


def test_a_cache_that_engines_have_not_has_no_command() -> None:
    for cache, has in (("", True), ("bf16", True), ("fp16", True), ("fp8", True), ("q8_0", False), ("int8", False)):
        one = Launch("m", ServingLayout(), 0, 9, "", cache)
        assert [engine(one) is not None for engine in (vllm, sglang, trtllm)] == [has] * 3
