"""The layouts that a deployment is looked for among. No arithmetic of a model."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final, NamedTuple

from tscale.core.axis import Axis
from tscale.core.parallelism import divisors
from tscale.core.serving_layout import ServingLayout

MOST_RANKS: Final = 64
"""Devices of a stage, past which layouts are tried that were asked for alone."""
MOST_STAGES: Final = 4
_MOST_DEGREE: Final = 2**20


class LayoutAxes(NamedTuple):
    """The degrees that are tried; None where whatever is usual is."""

    tensor: Axis | None = None
    pipeline: Axis | None = None
    expert: Axis | None = None
    expert_tensor: Axis | None = None
    attention_data: Axis | None = None


class Room(NamedTuple):
    """What bounds the layouts of a model on a chip: devices of a node, devices in all, layers, and routed experts of a layer."""

    node: int
    devices: int
    layers: int
    experts: int


def layouts(axes: LayoutAxes, room: Room, engine: str) -> Iterator[ServingLayout]:
    """The layouts of one worker that go together.

    By default tensor parallelism stays within a node, stages are no more than 4, and degrees are powers of two. Attention is copied
    and experts are spread where there are routed ones.
    """
    tensors = _tried(axes.tensor, powers(min(room.node, room.devices)))
    stages = _tried(axes.pipeline, powers(MOST_STAGES))
    copies = _tried(axes.attention_data, powers(MOST_RANKS) if room.experts > 1 else (1,))
    for tensor, pipeline, copied in product(tensors, stages, copies):
        ranks = tensor * copied
        usual = ranks <= max(MOST_RANKS, tensor) and _launches(engine, tensor, copied)
        if (usual or axes.attention_data is not None) and ranks * pipeline <= room.devices and pipeline <= room.layers:
            for expert, cut in _expert_degrees(axes, room, ranks, copied, engine):
                yield ServingLayout(tensor, pipeline, expert, cut, copied)


def _launches(engine: str, tensor: int, copied: int) -> bool:
    """Whether an engine copies attention that is cut too: TensorRT-LLM's attention data parallelism is over all ranks."""
    return engine != "trtllm" or tensor == 1 or copied == 1


def _expert_degrees(axes: LayoutAxes, room: Room, ranks: int, copied: int, engine: str) -> Iterator[tuple[int, int]]:
    """How routed experts are spread over ranks and cut: whole ones on each rank, or all of them cut; by default.

    SGLang and TensorRT-LLM also spread them over copies of attention, each of which cuts its own; vLLM does not.
    """
    asked = axes.expert is not None or axes.expert_tensor is not None
    spread = set(divisors(ranks)) if asked else {1, ranks} | ({copied} if engine != "vllm" else set())
    for expert in sorted(spread):
        cut = ranks // expert
        held = expert == 1 or expert <= room.experts
        if held and _among(expert, axes.expert) and _among(cut, axes.expert_tensor):
            yield expert, cut


def _tried(asked: Axis | None, usual: tuple[int, ...]) -> tuple[int, ...]:
    """The degrees of an axis; of a range, the powers of two in it."""
    if asked is None:
        return usual
    return tuple(int(degree) for degree in asked.among(powers(_MOST_DEGREE)))


def _among(degree: int, asked: Axis | None) -> bool:
    return asked is None or degree in asked.among((degree,))


def powers(most: int) -> tuple[int, ...]:
    """Powers of two up to a number.

    >>> powers(8)
    (1, 2, 4, 8)
    """
    return tuple(2**n for n in range(max(most, 1).bit_length()))
