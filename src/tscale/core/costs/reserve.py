"""What software takes of a device's memory besides what a model needs: a range, of figures that were measured.

What a model needs is counted elsewhere. Here is the rest: what the driver keeps, the context of a process with its kernels,
buffers for sending, captured graphs, and memory that the allocator holds in pieces too small to use. It depends on
versions and settings, so that each part has a least and a most, each as somebody measured it.
"""

from fractions import Fraction
from typing import Final, NamedTuple

from tscale.core.tracing import ceil_div, maximum, minimum

_MIB: Final = 2**20
_GIB: Final = 2**30


class Part(NamedTuple):
    """One part of a reserve: the least and the most bytes that were measured, and by whom."""

    name: str
    low: int
    high: int
    source: str


class Reserve(NamedTuple):
    """Bytes of a device that are not a model's, part by part."""

    parts: tuple[Part, ...]

    @property
    def low(self) -> int:
        """The least that is taken, in bytes."""
        return sum(part.low for part in self.parts)

    @property
    def high(self) -> int:
        """The most that is taken, in bytes."""
        return sum(part.high for part in self.parts)


DRIVER: Final = Part(
    "driver",
    240 * _MIB,
    880 * _MIB,
    "0.24 of 15 GiB (Morizeyao/GPT2-Chinese#215), 0.42 of 24 (vllm-project/vllm#10517), 0.85 of 80 (Kunhao-Liu/StyleGaussian#11)",
)
"""What nvidia-smi's total has more than CUDA's, which PyTorch prints."""
CONTEXT: Final = Part(
    "context",
    286 * _MIB,
    551 * _MIB,
    "300 MB with kernels loaded lazily (pytorch/pytorch#107667), 551 MB (ai-dynamo/aiconfigurator systems/*.yaml)",
)
COLLECTIVES: Final = Part(
    "collectives",
    205 * _MIB,
    1833 * _MIB,
    "0.20 GiB without NVLink (vllm-project/vllm#14447), 0.53 to 0.67 a group (NVIDIA/nccl#964), 1.79 (vllm-project/vllm#10511)",
)
GRAPHS: Final = Part(
    "captured graphs",
    0,
    2464 * _MIB,
    "none without capture, 0.21 GiB of a 1B model (vllm-project/vllm#11349), 2.41 of a 34B (vllm-project/vllm#7553)",
)
_FRAGMENTS: Final = "1 - 15,006 / 16,726 MB reserved (pytorch/pytorch#40989); next to none where memory is nearly full"
MOST_IN_FRAGMENTS: Final = Fraction(1, 10)
"""The largest share of what an allocator has reserved that it was measured not to use."""

PEAKS_WITHIN: Final = Fraction(1104, 1000)
"""By how much four peaks of five are off at the most: of 12 in configs/measured/training_memory.csv, to which no constant is fitted, the 11th.

The ⌈(n + 1)·0.8⌉-th of n errors, larger over smaller, holds the next of their kind with a chance of 80% or more, however they are distributed
(Vovk 2005, conformal prediction): of few rows nearly the largest.
"""


def allocated(size: int) -> int:
    """Bytes that PyTorch's caching allocator counts for a tensor of `size` bytes that is kept.

    From 10 MiB on it asks for whole pieces of 2 MiB, and what is over is given away only where it is more than 1 MiB (`kRoundLarge`,
    `should_split` of c10/cuda/CUDACachingAllocator.cpp); smaller tensors lie in a buffer that others use as well.

    Example:
        >>> allocated(35 * 2**20) // 2**20, allocated(12 * 2**20 + 1) - 12 * 2**20
        (36, 1)
    """
    if size < 10 * _MIB:
        return size
    whole = ceil_div(size, 2 * _MIB) * 2 * _MIB
    return whole if whole - size <= _MIB else size


RUNTIME: Final = Part(
    "runtime",
    256 * _MIB,
    1280 * _MIB,
    "0.25 of a TPU v5e's 16 GiB (GoogleCloudPlatform/kubernetes-engine-samples#1467), 1.25 of a v4's 32 (erfanzar/EasyDeL#166)",
)
_UNIFIED: Final = (
    "a third of 16 and 32 GiB (abetlen/llama-cpp-python#687, ollama/ollama#434), a quarter of 64 and 96 (ggml-org/llama.cpp#1870, "
    "#3213); sysctl iogpu.wired_limit_mb lowers it"
)
_SHARED: Final = (
    "4 of 128 GiB where a GPU is given the most (kyuz0/strixhalo-homelab), 20.4 of 121.69 on a DGX Spark that has just started "
    "(MiaAI-Lab/GLM-5.3-Flash-EXL3-2x-DGX-Sparks#47)"
)
_OF_SHARED: Final = (Fraction(4, 128), Fraction(2039, 12169))
"""The least and the most of these, as shares."""
_MOST_OF_SMALL: Final = 36 * _GIB // 3
"""The third that is kept of a small memory is the quarter of one of 48 GiB; between the two nothing was measured."""


def gpu_reserve(memory: int, groups: int, *, training: bool) -> Reserve:
    """What CUDA, or what stands in its place, takes of `memory` bytes.

    `groups`: the groups of devices that this one sums or exchanges with; each has buffers of its own (NVIDIA/nccl#864). An
    engine may capture graphs for serving; a trainer's allocator holds fragments, since sizes come and go.
    """
    buffers = COLLECTIVES._replace(low=COLLECTIVES.low * minimum(groups, 1), high=COLLECTIVES.high * groups)
    fragments = Part("fragments", 0, int(memory * MOST_IN_FRAGMENTS), _FRAGMENTS)
    parts = (DRIVER, CONTEXT, *((buffers,) if groups else ()), fragments if training else GRAPHS)
    return Reserve(parts)


def tpu_reserve() -> Reserve:
    """What the runtime of a TPU keeps from a program; XLA lays out all the rest beforehand."""
    return Reserve((RUNTIME,))


def unified_reserve(memory: int) -> Reserve:
    """What macOS keeps from the GPU of `memory` bytes that both use: a default that its owner can change."""
    return Reserve((Part("operating system", 0, maximum(memory // 4, minimum(memory // 3, _MOST_OF_SMALL)), _UNIFIED),))


def shared_reserve(memory: int) -> Reserve:
    """What Linux and other programs, and a process with its kernels, take of `memory` bytes that GPU and processor share."""
    least, most = (int(memory * share) for share in _OF_SHARED)
    return Reserve((Part("operating system", least, most, _SHARED), CONTEXT))


def share_reserve(memory: int, share: Fraction) -> Reserve:
    """What is left where only a share of the memory may be used, whatever it is needed for."""
    left = memory - int(memory * share)
    return Reserve((Part("all but the share that may be used", left, left, ""),))
