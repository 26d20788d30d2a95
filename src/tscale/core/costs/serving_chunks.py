"""What a budget of tokens in a step does to requests in steady state: chunked prefill (Agrawal 2023; 2024).

Engines that mix take the tokens of decoding sequences first, and of prompts as many as the budget leaves: a prompt longer than that
takes several steps, each with the decoding that it has anyway. More prompts than a budget in each step takes in wait, so that fewer
sequences decode at once: each token comes sooner, and the first one later. Others take in a prompt chunk by chunk while nothing
decodes, which takes a pass of launches more for each chunk.
"""

from __future__ import annotations

from typing import Final

from tscale.core.device import Device
from tscale.core.tracing import maximum, rounded_up

GIB: Final = 2**30
MIXING: Final = ("vllm", "trtllm")
"""Engines whose steps mix chunks of prompts with decoding by default; SGLang does with --enable-mixed-chunk."""


def usual_chunk(engine: str, memory_bytes: float, copies: int = 1, *, older: bool = False) -> int:
    """Tokens that a step of an attention rank takes at most where nothing is said.

    Args:
        engine: vllm, sglang or trtllm.
        memory_bytes: memory of a device.
        copies: copies of attention, among which SGLang divides them.
        older: whether the chip is an A100, of which vLLM takes fewer.

    Source: vLLM, `EngineArgs.get_batch_defaults` (server); SGLang, `ServerArgs` by the memory of a GPU; TensorRT-LLM, `max_num_tokens`
    of its build configuration. Read in 2026.

    Example:
        >>> usual_chunk("vllm", 80 * 2**30), usual_chunk("sglang", 141e9)
        (8192, 8192)
    """
    if engine == "vllm":
        return 8192 if memory_bytes >= 70 * GIB and not older else 2048
    if engine == "sglang":
        chunk = next((chunk for below, chunk in _SGLANG if memory_bytes < below * GIB), 16384)
        return maximum(chunk // copies, 1)
    return 8192


def chunk_on(engine: str, device: Device | None, copies: int = 1) -> int:
    """The same of a device; of one that is not known, as vLLM takes it (`SchedulerConfig.DEFAULT_MAX_NUM_BATCHED_TOKENS`)."""
    if device is None:
        return 2048
    return usual_chunk(engine, device.device_bytes, copies, older=device.name.startswith("a100"))


_SGLANG: Final = ((35, 2048), (60, 4096), (160, 8192))
"""GiB of a GPU below which SGLang's chunk is so long."""


def chunks_of(prompt: float, chunk: int) -> int:
    """Steps that a prompt of so many tokens takes.

    >>> chunks_of(8193, 8192)
    2
    """
    return maximum(rounded_up(prompt / chunk), 1)


def most_decoding(chunk: int, prompt: float, steps: float, tokens: int = 1) -> float:
    """Sequences that decode at once, at the most and on average, where each step takes no more than `chunk` tokens of all kinds.

    Of b sequences that decode for `steps` steps each, b/steps end in a step, and as many prompts come: b/steps·prompt + b·tokens is
    what a step takes. Below 1 where a prompt takes more steps than its answer.

    Args:
        chunk: tokens of a step.
        prompt: tokens of a prompt that are not cached.
        steps: steps of an answer.
        tokens: tokens of a sequence in a step of decoding.

    Example:
        >>> most_decoding(512, 1024, 512)
        170.66666666666666
    """
    return chunk * steps / (prompt + tokens * steps)
