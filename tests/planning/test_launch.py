"""The command lines that launch a deployment have options that their engines document, and degrees that come to its devices."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest

from tscale.core.serving_layout import ServingLayout
from tscale.planning.launch_flags import Launch, sglang, trtllm, vllm

DOCUMENTED = {
    # docs.vllm.ai: engine arguments, data parallel deployment, NixlConnector usage guide
    "vllm": """--tensor-parallel-size --pipeline-parallel-size --data-parallel-size --enable-expert-parallel --max-num-seqs
        --max-model-len --quantization --kv-cache-dtype --kv-transfer-config --max-num-batched-tokens""",
    # sgl-project/sglang: docs/advanced_features/server_arguments.md and pd_disaggregation.md
    "sglang": """--model-path --tp-size --pp-size --dp-size --enable-dp-attention --ep-size --max-running-requests --context-length
        --quantization --kv-cache-dtype --disaggregation-mode --disaggregation-transfer-backend
        --chunked-prefill-size""",
    # NVIDIA/TensorRT-LLM: tensorrt_llm/commands/serve.py
    "trtllm": "--tp_size --pp_size --ep_size --max_batch_size --max_seq_len --max_num_tokens --config",
}
DENSE = ServingLayout(tensor=8, expert_tensor=8)
STAGED = ServingLayout(tensor=4, pipeline=2, expert_tensor=4)
SPREAD = ServingLayout(tensor=1, expert=16, attention_data=16)
BOTH = ServingLayout(tensor=4, expert=8, attention_data=2)
PARTLY = ServingLayout(tensor=8, expert=4, expert_tensor=2)


def launch(layout: ServingLayout, **changed: Any) -> Launch:
    return Launch("org/model", layout, 64, 9216, "", "bf16")._replace(**changed)


@pytest.mark.parametrize("layout", [DENSE, STAGED, SPREAD, BOTH, PARTLY])
@pytest.mark.parametrize("role", ["", "prefill", "decode"])
def test_every_option_is_documented(layout: ServingLayout, role: str) -> None:
    one = launch(layout, role=role, weights="fp8", cache="fp8", chunk=4096)
    for name, line in {"vllm": vllm(one), "sglang": sglang(one), "trtllm": trtllm(one)}.items():
        options = set(re.findall(r"(?<=\s)--[a-z_-]+", line or ""))
        assert options <= set(DOCUMENTED[name].split()), line


def degrees(line: str | None, *names: str) -> list[int]:
    """What a line says of some options, 1 where it says nothing."""
    assert line is not None
    words = shlex.split(line.partition(" --config")[0])
    return [int(words[words.index(name) + 1]) if name in words else 1 for name in names]


@pytest.mark.parametrize("layout", [DENSE, STAGED, SPREAD, BOTH])
def test_vllm_has_as_many_devices_as_the_layout(layout: ServingLayout) -> None:
    line = vllm(launch(layout))
    tensor, pipeline, data = degrees(line, "--tensor-parallel-size", "--pipeline-parallel-size", "--data-parallel-size")
    assert tensor * pipeline * data == layout.devices
    assert ("--enable-expert-parallel" in (line or "")) == (layout.expert > 1)


@pytest.mark.parametrize("layout", [DENSE, STAGED, SPREAD, BOTH, PARTLY])
def test_sglang_has_the_ranks_of_a_stage(layout: ServingLayout) -> None:
    tensor, pipeline, data, expert = degrees(sglang(launch(layout)), "--tp-size", "--pp-size", "--dp-size", "--ep-size")
    assert (tensor, pipeline, data, expert) == (layout.ranks, layout.pipeline, layout.attention_data, layout.expert)


def test_requests_of_each_copy_of_attention_are_its_part_where_each_has_a_scheduler() -> None:
    assert degrees(vllm(launch(SPREAD)), "--max-num-seqs") == [4]
    assert degrees(trtllm(launch(SPREAD)), "--max_batch_size") == [4]
    assert degrees(sglang(launch(SPREAD)), "--max-running-requests") == [64]


def test_an_engine_without_such_a_layout_has_no_line() -> None:
    assert vllm(launch(PARTLY)) is None
    assert trtllm(launch(BOTH)) is None


def test_the_tokens_of_a_step_are_given_where_they_were_asked_for() -> None:
    """SGLang divides them among copies of attention; vLLM and TensorRT-LLM decode no more sequences at once than that."""
    one = launch(SPREAD, at_once=16 * 2000, chunk=1024)
    assert degrees(vllm(one), "--max-num-batched-tokens", "--max-num-seqs") == [1024, 1024]
    assert degrees(trtllm(one), "--max_num_tokens", "--max_batch_size") == [1024, 1024]
    assert degrees(sglang(one), "--chunked-prefill-size", "--max-running-requests") == [16 * 1024, 32000]
    assert "--max-num-batched-tokens" not in (vllm(launch(SPREAD)) or "")


@pytest.mark.parametrize(
    ("tokens", "chunk", "cut"), [(8192, 0, False), (8193, 0, True), (2048, 2048, False), (2049, 2048, True)]
)
def test_tensorrt_llm_cuts_prompts_that_are_longer_than_a_step(tokens: int, chunk: int, cut: bool) -> None:
    """It refuses them otherwise: tensorrt_llm/llmapi/llm.py (_check_arguments), issues 6539 and 9277."""
    line = trtllm(launch(DENSE, chunk=chunk)._replace(tokens=tokens))
    assert ("enable_chunked_prefill: true" in (line or "")) == cut
