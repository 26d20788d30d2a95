"""How an image or a sound becomes positions of a tower and tokens of a language model: one class a rule.

Each says what of one image of a height and width runs through the tower (`Seen.passes`: so many times so many positions and
outputs) and how many tokens of the sequence it takes, markers of the image included where the release's processor counts them.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor, isqrt, sqrt
from typing import Annotated, ClassVar, Literal, NamedTuple

from tscale.blocks.fields import CONFIG, Size, Whole
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.workload import TowerRun

Few = Annotated[int, Whole(0, 1_000)]
"""How many there are of something that there may be none of."""


class Seen(NamedTuple):
    """What an image, a video or a sound is to a model: its passes through the tower, and the tokens of the sequence."""

    passes: tuple[tuple[int, TowerRun], ...]
    tokens: int


def _tile(patches: int, classes: int, outputs: int) -> TowerRun:
    """A pass of an image or a tile of one size."""
    return TowerRun(patches + classes, outputs, classes)


@spec_dataclass
class FixedImage:
    """Every image is resized to one size."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["fixed"]
    patches: Size
    """Patches of an image."""
    classes: Few = 0
    """Class tokens next to them."""
    outputs: Size
    """Tokens of an image."""

    def read(self, height: int, width: int) -> Seen:
        """The same whatever the size."""
        return Seen(((1, _tile(self.patches, self.classes, self.outputs)),), self.outputs)


@spec_dataclass
class NativeImage:
    """An image keeps its own size, rounded to whole groups of patches and brought between two numbers of pixels (Qwen2-VL)."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

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

    def read(self, height: int, width: int) -> Seen:
        """Patches of the size that the image is brought to, and a token for each group of them."""
        side = self.patch * self.merge
        rows, columns = (max(1, round(length / side)) for length in (height, width))
        pixels = rows * columns * side**2
        if pixels > self.max_pixels:
            less = sqrt(height * width / self.max_pixels)
            rows, columns = (max(1, floor(length / less / side)) for length in (height, width))
        elif pixels < self.min_pixels:
            more = sqrt(self.min_pixels / (height * width))
            rows, columns = (ceil(length * more / side) for length in (height, width))
        groups = rows * columns
        return Seen(((1, TowerRun(groups * self.merge**2, groups)),), groups)


@spec_dataclass
class PaddedImage:
    """An image keeps its own size up to so many patches in all and to a side, padded to whole groups of patches (Kimi-VL)."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

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

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

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

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

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
class TiledImage:
    """An image is cut into a grid of tiles, and seen whole besides (InternVL, Llama 4)."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["tiles"]
    tile: Size
    """Pixels of a tile's side."""
    max_tiles: Size
    """The most tiles of a grid."""
    patches: Size
    """Patches of a tile."""
    classes: Few = 0
    """Class tokens next to them."""
    outputs: Size
    """Tokens of a tile."""
    each: Few = 0
    """Further tokens for each tile, the whole image included."""
    markers: Few = 0
    """Further tokens for each image."""
    fit: Literal["shape", "scale"] = "shape"
    """Which grid it is: that of the nearest shape, or the smallest that holds the image at the least enlargement, or else at the
    least shrinking."""

    def read(self, height: int, width: int) -> Seen:
        """The tiles, and the whole image where there are several."""
        rows, columns = self.grid(height, width)
        tiles = rows * columns + 1 if rows * columns > 1 else 1
        return Seen(
            ((tiles, _tile(self.patches, self.classes, self.outputs)),),
            tiles * (self.outputs + self.each) + self.markers,
        )

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the grid."""
        sides = range(1, self.max_tiles + 1)
        grids = [(columns, rows) for columns in sides for rows in sides if columns * rows <= self.max_tiles]
        grids.sort(key=lambda grid: grid[0] * grid[1])
        return self._nearest(height, width, grids) if self.fit == "shape" else self._closest(height, width, grids)

    def _closest(self, height: int, width: int, grids: list[tuple[int, int]]) -> tuple[int, int]:
        """The grid at the least enlargement, or the least shrinking where none holds the image."""
        scales = [min(Fraction(columns, width), Fraction(rows, height)) * self.tile for columns, rows in grids]
        larger = [scale for scale in scales if scale >= 1]
        columns, rows = grids[scales.index(min(larger) if larger else max(scales))]
        return rows, columns

    def _nearest(self, height: int, width: int, grids: list[tuple[int, int]]) -> tuple[int, int]:
        """The grid that is nearest in shape; of equals the larger, up to twice the image's area."""
        best, nearest = (1, 1), float("inf")
        for columns, rows in grids:
            away = abs(width / height - columns / rows)
            larger = away == nearest and width * height > 0.5 * self.tile**2 * columns * rows
            if away < nearest or larger:
                best, nearest = (rows, columns), away
        return best


@spec_dataclass
class SplitImage:
    """An image is enlarged to a longest side and split into tiles, with a marker each, and seen whole besides (Idefics3)."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["split"]
    tile: Size
    """Pixels of a tile's side."""
    longest: Size
    """Pixels that the longest side is brought to."""
    patches: Size
    """Positions of the tower for a tile."""
    outputs: Size
    """Tokens of a tile."""

    def read(self, height: int, width: int) -> Seen:
        """Two markers a tile, one a row, and three for the whole image."""
        rows, columns = self._grid(height, width)
        split = rows * columns > 1
        tiles = rows * columns + 1 if split else 1
        tokens = self.outputs + 3 + (rows * ((self.outputs + 2) * columns + 1) if split else 0)
        return Seen(((tiles, TowerRun(self.patches, self.outputs)),), tokens)

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        shape = width / height
        if width >= height:
            width, height = self.longest, int(self.longest / shape)
            height += height % 2
        else:
            height, width = self.longest, int(self.longest * shape)
            width += width % 2
        return ceil(height / self.tile), ceil(width / self.tile)


@spec_dataclass
class AnyResolution:
    """An image is fitted into the best of several grids of tiles, its padding cut off again, and seen whole besides (LLaVA-NeXT)."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["any-resolution"]
    grids: tuple[tuple[Size, Size], ...]
    """Heights and widths of the grids, in pixels."""
    tile: Size
    """Pixels of a tile's side."""
    outputs: Size
    """Tokens of a tile."""
    patches: Size
    """Patches of a tile."""
    classes: Few = 0
    """Class tokens next to them."""
    max_tiles: Size | None = None
    """The most tiles' worth of tokens; more are shrunk (LLaVA-OneVision)."""

    def read(self, height: int, width: int) -> Seen:
        """The whole image's tokens, those of the tiles that are no padding, and one a row of them."""
        high, wide = self._best(height, width)
        side = isqrt(self.outputs)
        rows, columns = high // self.tile, wide // self.tile
        tall, broad = rows * side, columns * side
        if width / height > broad / tall:
            tall -= (tall - int(round(height * (broad / width), 7))) // 2 * 2
        else:
            broad -= (broad - int(round(width * (tall / height), 7))) // 2 * 2
        tall, broad = self._shrunk(tall, broad, side)
        passes = ((rows * columns + 1, _tile(self.patches, self.classes, self.outputs)),)
        return Seen(passes, self.outputs + tall * broad + tall)

    def _shrunk(self, tall: int, broad: int, side: int) -> tuple[int, int]:
        if self.max_tiles is None:
            return tall, broad
        ratio = sqrt(tall * broad / (self.max_tiles * side**2))
        return (int(tall // ratio), int(broad // ratio)) if ratio > _SHRINKS else (tall, broad)

    def _best(self, height: int, width: int) -> tuple[int, int]:
        """The grid that keeps most of the image's pixels, and of those that with the least padding."""

        def kept(grid: tuple[int, int]) -> tuple[int, int]:
            scale = min(grid[1] / width, grid[0] / height)
            used = min(int(width * scale) * int(height * scale), width * height)
            return used, used - grid[0] * grid[1]

        return max(self.grids, key=kept)


_SHRINKS = 1.1
"""LLaVA-OneVision shrinks an image only where it is larger than allowed by this much."""


@spec_dataclass
class Sound:
    """A sound is cut into frames, of which the tower yields fewer, padded to whole pieces where it reads such."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["sound"]
    positions_per_second: Size
    """Positions of the tower in a second."""
    merge: Size = 1
    """Positions that become one token."""
    piece_seconds: Size | None = None
    """Seconds of a piece that the tower always reads whole."""
    padded: bool = False
    """Whether the tokens of the padding are handed over too."""

    def hear(self, seconds: int) -> Seen:
        """Positions and tokens of so many seconds."""
        length = seconds * self.positions_per_second
        if self.piece_seconds is None:
            return Seen(((1, TowerRun(length, length // self.merge)),), length // self.merge)
        piece = self.piece_seconds * self.positions_per_second
        pieces = ceil(length / piece)
        tokens = pieces * piece // self.merge if self.padded else length // self.merge
        return Seen(((pieces, TowerRun(piece, piece // self.merge)),), tokens)


ImageReading = (
    FixedImage | NativeImage | PaddedImage | RowsOfImage | BudgetImage | TiledImage | SplitImage | AnyResolution
)
Reading = ImageReading | Sound
