"""How an image or a sound becomes positions of a tower and tokens of a language model: one class a rule.

Each says what of one image of a height and width runs through the tower (`Seen.passes`: so many times so many positions and
outputs) and how many tokens of the sequence it takes, markers of the image included where the release's processor counts them.
"""

from __future__ import annotations

from math import ceil, floor, sqrt
from typing import Literal

from tscale.blocks.fields import Size
from tscale.blocks.image_tiles import (
    AnyResolution,
    PaddedTiles,
    SlicedImage,
    SplitImage,
    TiledImage,
    WholeOrTiles,
    WindowedImage,
)
from tscale.blocks.seen import Few, Seen, native_groups, tile_run
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.workload import TowerRun


@spec_dataclass
class FixedImage:
    """Every image is resized to one size."""

    kind: Literal["fixed"]
    patches: Size
    """Patches of an image."""
    classes: Few = 0
    """Class tokens next to them."""
    outputs: Size
    """Tokens of an image."""
    tokens: Few | None = None
    """Tokens of an image where its outputs are none, but what layers of the language model attend to (Llama 3.2 Vision)."""
    alone: bool = False
    """Whether a sequence has one image at the most (BLIP)."""

    def read(self, height: int, width: int) -> Seen:
        """The same whatever the size."""
        tokens = self.outputs if self.tokens is None else self.tokens
        return Seen(((1, tile_run(self.patches, self.classes, self.outputs)),), tokens)


@spec_dataclass
class NativeImage:
    """An image keeps its own size, rounded to whole groups of patches and brought between two numbers of pixels (Qwen2-VL)."""

    kind: Literal["native"]
    patch: Size
    """Pixels of a patch's side."""
    merge: Size = 2
    """Patches of a group's side: a group becomes one token."""
    frames: Size = 1
    """Frames of a video that a patch is made of."""
    min_pixels: Size
    """The fewest pixels; a smaller image is enlarged."""
    max_pixels: Size
    """The most pixels; a larger image is shrunk."""
    videos: bool = True
    """Whether frames of a video are read as images are."""

    def read(self, height: int, width: int) -> Seen:
        """Patches of the size that the image is brought to, and a token for each group of them."""
        groups = native_groups(height, width, self.patch * self.merge, self.min_pixels, self.max_pixels)
        return Seen(((1, TowerRun(groups * self.merge**2, groups)),), groups)


@spec_dataclass
class PaddedImage:
    """An image keeps its own size up to so many patches in all and to a side, padded to whole groups of patches (Kimi-VL)."""

    kind: Literal["padded"]
    patch: Size
    """Pixels of a patch's side."""
    merge: Size = 2
    """Patches of a group's side: a group becomes one token."""
    max_patches: Size
    """The most patches of an image."""
    max_side: Size
    """The most patches of a side."""

    def read(self, height: int, width: int) -> Seen:
        """Patches of the padded size, and a token for each group of them."""
        most = self.max_side * self.patch
        patches = max(1, height // self.patch) * max(1, width // self.patch)
        scale = min(1.0, sqrt(self.max_patches / patches), most / height, most / width)
        side = self.patch * self.merge
        groups = 1
        for length in (height, width):
            groups *= ceil(min(max(1, int(length * scale)), most) / side)
        return Seen(((1, TowerRun(groups * self.merge**2, groups)),), groups)


@spec_dataclass
class RowsOfImage:
    """An image keeps its own size up to a longest side, and a token ends each row (Pixtral)."""

    kind: Literal["rows"]
    patch: Size
    """Pixels of a patch's side."""
    merge: Size = 1
    """Patches of a group's side: a group becomes one token."""
    longest: Size
    """Pixels of the longest side; a larger image is shrunk."""

    def read(self, height: int, width: int) -> Seen:
        """A token for each group, and one a row."""
        ratio, side = max(height, width) / self.longest, self.patch * self.merge
        if ratio > 1:
            height, width = floor(height / ratio), floor(width / ratio)
        rows, columns = ((max(length, 1) - 1) // side + 1 for length in (height, width))
        groups = rows * columns
        return Seen(((1, TowerRun(groups * self.merge**2, groups)),), groups + rows)


@spec_dataclass
class BudgetImage:
    """An image is brought to as many groups of patches as a budget allows, its shape kept (Gemma 4)."""

    kind: Literal["budget"]
    patch: Size
    """Pixels of a patch's side."""
    merge: Size
    """Patches of a group's side: a group becomes one token."""
    outputs: Size
    """The most tokens of an image."""

    def read(self, height: int, width: int) -> Seen:
        """As many whole groups as the budget holds in the image's shape."""
        side = self.patch * self.merge
        scale = sqrt(self.outputs * side**2 / (height * width))
        rows, columns = floor(scale * height / side), floor(scale * width / side)
        if not rows:
            rows, columns = 1, min(width // height, self.outputs)
        elif not columns:
            rows, columns = min(height // width, self.outputs), 1
        groups = rows * columns
        return Seen(((1, TowerRun(groups * self.merge**2, groups)),), groups)


@spec_dataclass
class BoundedImage:
    """An image keeps its own size between a shortest and a longest side, and always takes as many tokens (Idefics2)."""

    kind: Literal["bounded"]
    patch: Size
    """Pixels of a patch's side."""
    shortest: Size
    """Pixels of the shortest side; a smaller one is stretched."""
    longest: Size
    """Pixels of the longest side; a larger image is shrunk."""
    outputs: Size
    """Tokens of an image."""
    markers: Few = 0
    """Further tokens for each image."""

    def read(self, height: int, width: int) -> Seen:
        """The patches that lie whole within the size that the image is brought to."""
        ratio = width / height
        if width >= height and width > self.longest:
            height, width = int(self.longest / ratio), self.longest
        elif height > width and height > self.longest:
            height, width = self.longest, int(self.longest * ratio)
        rows, columns = (max(length, self.shortest) // self.patch for length in (height, width))
        return Seen(((1, TowerRun(rows * columns, self.outputs)),), self.outputs + self.markers)


@spec_dataclass
class Sound:
    """A sound is cut into frames, of which the tower yields fewer, padded to whole pieces where it reads such."""

    kind: Literal["sound"]
    positions_per_second: Size
    """Positions of the tower in a second."""
    merge: Size = 1
    """Positions that become one token."""
    piece_seconds: Size | None = None
    """Seconds of a piece that the tower always reads whole."""
    padded: bool = False
    """Whether the model of text takes the tokens of the padding too."""
    chunk: Size | None = None
    """Positions that are made of one chunk of frames, which convolutions read as a patch (Qwen3-ASR)."""
    window: Size | None = None
    """Positions of a window that queries attend to, the last one padded (Granite Speech)."""
    queries: Size = 1
    """Tokens of a window."""
    block: Size = 1
    """Positions of a block within which layers attend, the last one padded."""
    stride: Size = 1
    """How many of the positions of a second become one of the tower's, the last one from fewer (Phi-4)."""
    longest: Size | None = None
    """Positions of a piece that longer sounds are cut into, the last one padded."""

    def hear(self, seconds: int) -> Seen:
        """Positions and tokens of so many seconds."""
        length = ceil(seconds * self.positions_per_second / self.stride)
        if self.longest is not None and length > self.longest:
            return self._in_pieces(length, self.longest)
        if self.window is not None:
            tokens, padded = ceil(length / self.window) * self.queries, ceil(length / self.block) * self.block
            return Seen(((1, TowerRun(length, tokens, length - padded)),), tokens)
        if self.piece_seconds is None:
            patches = ceil(length / self.block) * self.block if self.chunk is None else ceil(length / self.chunk)
            classes = length - patches
            return Seen(((1, TowerRun(length, length // self.merge, classes)),), length // self.merge)
        piece = self.piece_seconds * self.positions_per_second
        pieces = ceil(length / piece)
        tokens = pieces * piece // self.merge if self.padded else length // self.merge
        return Seen(((pieces, TowerRun(piece, piece // self.merge)),), tokens)

    def _in_pieces(self, length: int, piece: int) -> Seen:
        """Whole pieces, and what is left over, padded: `classes` are then the padding, which the model of text does not take."""
        whole, rest = divmod(length, piece)
        passes = ((whole, TowerRun(piece, piece // self.merge)), (1, TowerRun(piece, rest // self.merge, piece - rest)))
        return Seen(passes if rest else passes[:1], length // self.merge)


ImageReading = (
    FixedImage
    | NativeImage
    | PaddedImage
    | RowsOfImage
    | BudgetImage
    | BoundedImage
    | TiledImage
    | SplitImage
    | AnyResolution
    | PaddedTiles
    | WholeOrTiles
    | WindowedImage
    | SlicedImage
)
Reading = ImageReading | Sound


def reads_one_image(reading: ImageReading) -> bool:
    """Whether a sequence has one image at the most."""
    return isinstance(reading, FixedImage) and reading.alone


def reads_frames(reading: ImageReading) -> bool:
    """Whether frames of a video are read as images are."""
    if isinstance(reading, (NativeImage, SlicedImage)):
        return reading.videos
    return not reads_one_image(reading)
