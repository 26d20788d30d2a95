"""The command lines that launch a deployment with vLLM, SGLang and TensorRT-LLM, one a pool.

Option names: vLLM, `vllm serve` (docs.vllm.ai: engine arguments, data parallel deployment, NixlConnector); SGLang,
docs/advanced_features/server_arguments.md and pd_disaggregation.md; TensorRT-LLM, tensorrt_llm/commands/serve.py and
examples/disaggregated/README.md. Read in 2026.
"""

from __future__ import annotations

from collections.abc import Iterator
from shlex import join
from typing import Final, Literal, NamedTuple

from tscale.core.serving_layout import ServingLayout

Role = Literal["", "prefill", "decode"]


class Launch(NamedTuple):
    """What one worker of a pool is launched with.

    `at_once`: requests that it takes up at once, 0 where the engine's own limit is left. `tokens`: of a prompt with its answer. `weights`: a format that was asked for,
    "" for that of the checkpoint; `cache`: the format of the cache. `role`: "" of a worker that prefills and decodes. `chunk`: tokens
    of a step of each copy of attention, 0 for the engine's default.
    """

    model: str
    layout: ServingLayout
    at_once: int
    tokens: int
    weights: str
    cache: str
    role: Role = ""
    chunk: int = 0


def vllm(launch: Launch) -> str | None:
    """`vllm serve` of a worker; None for experts that are spread and cut, of which vLLM does one alone, and for a cache that it has not."""
    layout = launch.layout
    if lacks_cache(launch.cache) or (layout.expert > 1 and layout.expert_tensor > 1):
        return None
    words = ["vllm", "serve", _loaded(launch), "--tensor-parallel-size", str(layout.tensor)]
    words += _option("--pipeline-parallel-size", layout.pipeline)
    words += _option("--data-parallel-size", layout.attention_data)
    words += ["--enable-expert-parallel"] if layout.expert > 1 else []
    words += _option("--max-num-seqs", _within_chunk(launch), least=1)
    words += _option("--max-num-batched-tokens", launch.chunk, least=1)
    words += ["--max-model-len", str(launch.tokens)]
    words += ["--quantization", "fp8"] if _made_on_the_fly(launch) else []
    words += ["--kv-cache-dtype", "fp8"] if launch.cache.startswith("fp8") else []
    words += ["--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'] if launch.role else []
    return join(words)


def sglang(launch: Launch) -> str | None:
    """`sglang.launch_server` of a worker, whose --tp-size are all ranks of a stage; None for a cache that it has not."""
    layout = launch.layout
    if lacks_cache(launch.cache):
        return None
    words = ["python", "-m", "sglang.launch_server", "--model-path", _loaded(launch), "--tp-size", str(layout.ranks)]
    words += _option("--pp-size", layout.pipeline)
    if layout.attention_data > 1:
        words += ["--dp-size", str(layout.attention_data), "--enable-dp-attention"]
    words += _option("--ep-size", layout.expert)
    words += _option("--max-running-requests", launch.at_once, least=1)
    words += _option("--chunked-prefill-size", launch.chunk * layout.attention_data, least=1)
    words += ["--context-length", str(launch.tokens)]
    words += ["--quantization", "fp8"] if _made_on_the_fly(launch) else []
    words += ["--kv-cache-dtype", "fp8_e4m3"] if launch.cache.startswith("fp8") else []
    words += ["--disaggregation-mode", launch.role, "--disaggregation-transfer-backend", "nixl"] if launch.role else []
    return join(words)


def trtllm(launch: Launch) -> str | None:
    """`trtllm-serve` of a worker; None for a cache that it has not, and where copies of attention are cut too.

    It copies attention over all ranks or over none.
    """
    layout = launch.layout
    if lacks_cache(launch.cache) or (layout.attention_data > 1 and layout.tensor > 1):
        return None
    words = ["trtllm-serve", _loaded(launch, converts=False), "--tp_size", str(layout.ranks)]
    words += _option("--pp_size", layout.pipeline)
    words += _option("--ep_size", layout.expert)
    words += _option("--max_batch_size", _within_chunk(launch), least=1)
    words += _option("--max_num_tokens", launch.chunk, least=1)
    words += ["--max_seq_len", str(launch.tokens)]
    config = "\n".join(_trtllm_config(launch))
    return join(words) + (f" --config <(echo '{config}')" if config else "")


_TRTLLM_TOKENS: Final = 8192
"""TensorRT-LLM's own --max_num_tokens (`BuildConfig`); without chunked prefill it refuses prompts that are longer."""


def _trtllm_config(launch: Launch) -> Iterator[str]:
    """What trtllm-serve reads from a file alone, as a line of YAML."""
    said = {
        "enable_attention_dp: true": launch.layout.attention_data > 1,
        "enable_chunked_prefill: true": launch.tokens
        > (launch.chunk or _TRTLLM_TOKENS),  # longer prompts are refused without
        "kv_cache_config: {dtype: fp8}": launch.cache.startswith("fp8"),
        "cache_transceiver_config: {backend: DEFAULT}": bool(launch.role),
        "disable_overlap_scheduler: true": launch.role == "prefill",
    }
    wanted = [line for line, holds in said.items() if holds]
    if wanted:
        yield "{" + ", ".join(wanted) + "}"


ENGINES: Final = {"vllm": vllm, "sglang": sglang, "trtllm": trtllm}


def _option(name: str, value: int, least: int = 2) -> list[str]:
    """An option, where it is more than the engine's own default."""
    return [name, str(value)] if value >= least else []


def _each(launch: Launch) -> int:
    """Requests at once of each copy of attention, which has a scheduler of its own."""
    return -(-launch.at_once // launch.layout.attention_data)


def _within_chunk(launch: Launch) -> int:
    """The same of engines whose chunks are the tokens of all sequences of a step: no more of them than that."""
    return min(_each(launch), launch.chunk) if launch.chunk else _each(launch)


def _made_on_the_fly(launch: Launch) -> bool:
    """Whether engines convert a checkpoint in 16 bits as they load it; for other formats it is converted beforehand."""
    return launch.weights == "fp8"


def _loaded(launch: Launch, *, converts: bool = True) -> str:
    """The checkpoint that is loaded; the place of one in the format that was asked for, where the engine converts none to it."""
    if not launch.weights or (converts and _made_on_the_fly(launch)):
        return launch.model
    return f"MODEL_IN_{launch.weights.upper().replace('-', '_')}"


def lacks_cache(name: str) -> bool:
    """Whether a cache is in a format that no engine has an option for here: not in 16 bits, nor in fp8."""
    return name not in ("", "bf16", "fp16") and not name.startswith("fp8")
