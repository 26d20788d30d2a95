"""What an image, a video or a sound is to a model, whatever the rule by which it is read."""

from __future__ import annotations

from math import ceil, floor, sqrt
from typing import Annotated, NamedTuple

from tscale.blocks.fields import Whole
from tscale.core.workload import TowerRun

Few = Annotated[int, Whole(0, 1_000)]
"""How many there are of something that there may be none of."""


class Seen(NamedTuple):
    """What an image, a video or a sound is to a model: its passes through the tower, and the tokens of the sequence."""

    passes: tuple[tuple[int, TowerRun], ...]
    tokens: int


def tile_run(patches: int, classes: int, outputs: int) -> TowerRun:
    """A pass of an image or a tile of one size."""
    return TowerRun(patches + classes, outputs, classes)


def native_groups(height: int, width: int, side: int, min_pixels: int, max_pixels: int) -> int:
    """Groups of `side` pixels that an image is rounded to, and brought between two numbers of pixels (Qwen2-VL)."""
    rows, columns = (max(1, round(length / side)) for length in (height, width))
    pixels = rows * columns * side**2
    if pixels > max_pixels:
        less = sqrt(height * width / max_pixels)
        rows, columns = (max(1, floor(length / less / side)) for length in (height, width))
    elif pixels < min_pixels:
        more = sqrt(min_pixels / (height * width))
        rows, columns = (ceil(length * more / side) for length in (height, width))
    return rows * columns
