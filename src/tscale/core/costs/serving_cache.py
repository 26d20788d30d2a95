"""What an engine gives to caches of a device's memory where nothing is said: vLLM, SGLang and TensorRT-LLM as they come.

Source: vLLM, `CacheConfig.gpu_memory_utilization` is 0.9; from 0.21.0 on it is 0.92, of which captured graphs are taken (pull request 38284
raised it by what they were expected to take). SGLang, `ServerArgs._handle_gpu_memory_settings`, `mem_fraction_static`. TensorRT-LLM,
`KvCacheConfig.free_gpu_memory_fraction` is 0.9, of what weights and activations leave. Read in 2026.
"""

from __future__ import annotations

from typing import Final

from tscale.core.costs.serving_chunks import GIB, usual_chunk

_SHARE: Final = 0.9
_MIB: Final = 2**20


def cache_bytes(engine: str, memory: float, weights: float, activations: float, *, ranks: int, chunk: int = 0) -> float:
    """Bytes of a device that are left to caches; below zero where what is kept does not fit.

    Args:
        engine: vllm, sglang or trtllm.
        memory: bytes of the device.
        weights: bytes of weights on it.
        activations: bytes that a step takes beside them; SGLang reserves by its tokens instead.
        ranks: devices of a stage's worker.
        chunk: tokens of a step; 0 for the engine's own.

    Example:
        >>> [round(cache_bytes(engine, 80e9, 16e9, 1e9, ranks=1) / 1e9, 1) for engine in ("vllm", "trtllm", "sglang")]
        [55.0, 56.7, 49.9]
    """
    if engine == "sglang":
        return memory - _reserved(memory, ranks, chunk) - weights
    if engine == "trtllm":
        return _SHARE * (memory - weights - activations)
    return _SHARE * memory - weights - activations


def _reserved(memory: float, ranks: int, chunk: int) -> float:
    """Bytes that SGLang leaves to what is no weight and no cache: by tokens of a step, and by the most sequences of a captured graph.

    With copies of attention it reserves 4.5 MiB more for each of these sequences and each copy, all of a device from 32 copies on, so that
    who has many sets the graphs or the share: that is not counted.
    """
    graphs = next((few if ranks < _MANY else many for below, few, many in _GRAPHS if memory < below * GIB), 512)
    mebibytes = 512 + 1.5 * max(chunk or usual_chunk("sglang", memory), 2048) + 2 * graphs + 128 * ranks
    return (max(mebibytes, 10 * 1024) if memory > 60 * GIB else mebibytes) * _MIB


_MANY: Final = 4
_GRAPHS: Final = ((20, 8, 8), (35, 24, 80), (60, 32, 160), (160, 256, 512))
"""GiB of a GPU below which graphs are of so many sequences, on fewer than 4 ranks and on more."""
