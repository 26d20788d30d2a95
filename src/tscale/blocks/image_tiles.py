"""How an image that is cut into tiles becomes positions of a tower and tokens of a language model: one class a rule."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil, floor, isqrt, log, sqrt
from typing import Literal

from tscale.blocks.fields import Problem, Size
from tscale.blocks.seen import Few, Seen, native_groups, tile_run
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.workload import TowerRun


@spec_dataclass
class TiledImage:
    """An image is cut into a grid of tiles, and seen whole besides (InternVL, Llama 4)."""

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
    max_side: Size | None = None
    """The most tiles of a side; by default as many as of a grid."""
    fit: Literal["shape", "scale"] = "shape"
    """Which grid it is: that of the nearest shape, or the smallest that holds the image at the least enlargement, or else at the
    least shrinking."""

    def read(self, height: int, width: int) -> Seen:
        """The tiles, and the whole image where there are several."""
        rows, columns = self.grid(height, width)
        tiles = rows * columns + 1 if rows * columns > 1 else 1
        return Seen(
            ((tiles, tile_run(self.patches, self.classes, self.outputs)),),
            tiles * (self.outputs + self.each) + self.markers,
        )

    def grid(self, height: int, width: int, least: int = 1) -> tuple[int, int]:
        """Rows and columns of the grid, of at least so many tiles."""
        sides = range(1, min(self.max_tiles, self.max_side or self.max_tiles) + 1)
        grids = [(columns, rows) for columns in sides for rows in sides if least <= columns * rows <= self.max_tiles]
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
    """An image is enlarged and split into tiles, with markers of each, and seen whole besides (Idefics3).

    By a longest side, or onto the grid that is nearest to its shape.
    """

    kind: Literal["split"]
    tile: Size
    """Pixels of a tile's side."""
    longest: Size | None = None
    """Pixels that the longest side is brought to; absent where grids are of so many tiles."""
    max_tiles: Size | None = None
    """The most tiles of a grid that is nearest to an image's shape (Granite Docling)."""
    max_side: Size | None = None
    """The most tiles of a side of such a grid."""
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

    def problems(self) -> Iterator[Problem]:
        """What contradicts itself in it."""
        if (self.longest is None) == (self.max_tiles is None):
            yield ("longest",), "set either longest or max_tiles: one of them says how an image is split"

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        if self.longest is None:
            most, side = self.max_tiles or 1, self.max_side
            tiles = TiledImage(kind="tiles", tile=self.tile, max_tiles=most, max_side=side, patches=1, outputs=1)
            return tiles.grid(height, width)
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
    rounded: bool = True
    """Whether a side is rounded to 7 decimals before its padding is cut off, as transformers does and LLaVA's own code does not."""

    def read(self, height: int, width: int) -> Seen:
        """The whole image's tokens, those of the tiles that are no padding, and one a row of them."""
        high, wide = self._best(height, width)
        side = isqrt(self.outputs)
        rows, columns = high // self.tile, wide // self.tile
        tall, broad = rows * side, columns * side
        if width / height > broad / tall:
            tall -= (tall - self._cut(height * (broad / width))) // 2 * 2
        else:
            broad -= (broad - self._cut(width * (tall / height))) // 2 * 2
        tall, broad = self._shrunk(tall, broad, side)
        passes = ((rows * columns + 1, tile_run(self.patches, self.classes, self.outputs)),)
        return Seen(passes, self.outputs + tall * broad + tall)

    def _cut(self, side: float) -> int:
        return int(round(side, 7) if self.rounded else side)

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
class PaddedTiles:
    """An image is fitted into a grid of tiles that holds it, padding at its end cut off again, and seen whole besides (Phi-4)."""

    kind: Literal["padded-tiles"]
    tile: Size
    """Pixels of a tile's side."""
    patch: Size
    """Pixels of a patch's side."""
    merge: Size = 2
    """Patches of a group's side: a group becomes one token."""
    max_tiles: Size
    """The most tiles of a grid."""

    def read(self, height: int, width: int) -> Seen:
        """The whole image and the groups of patches that are no padding, with a token a row of both and one between them."""
        rows, columns = ceil(height / self.tile), ceil(width / self.tile)
        if rows * columns > self.max_tiles:
            sides = TiledImage(kind="tiles", tile=self.tile, max_tiles=self.max_tiles, patches=1, outputs=1)
            rows, columns = sides.grid(height, width)
        across, down = columns * self.tile / width, rows * self.tile / height
        high = self._groups(rows, rows * self.tile - int(height * across) if across < down else 0)
        wide = self._groups(columns, 0 if across < down else columns * self.tile - int(width * down))
        side = self.tile // self.patch
        whole = -(-side // self.merge)
        tokens = whole**2 + whole + 1 + high * wide + high
        # what is no padding is known of all tiles together alone: it goes with the whole image
        return Seen(((1, TowerRun(side**2, tokens)), (rows * columns, TowerRun(side**2, 0))), tokens)

    def _groups(self, tiles: int, padding: int) -> int:
        """Groups along a side of so many tiles, of which so many pixels at the end are padding: each tile's begin anew."""
        side = self.tile // self.patch
        left, groups = tiles * side - floor(padding / self.patch), 0
        while left > 0:
            groups += -(-min(left, side) // self.merge)
            left -= side
        return groups


@spec_dataclass
class WholeOrTiles:
    """An image keeps its own size between two numbers of pixels; a large one is cut into tiles, and seen whole besides (LFM2-VL)."""

    kind: Literal["whole-or-tiles"]
    tile: Size
    """Pixels of a tile's side."""
    patch: Size
    """Pixels of a patch's side."""
    merge: Size = 2
    """Patches of a group's side: a group becomes one token."""
    min_tiles: Size = 2
    """The fewest tiles of a grid."""
    max_tiles: Size
    """The most tiles of a grid."""
    min_tokens: Size
    """The fewest tokens of an image that is seen whole."""
    max_tokens: Size
    """The most; one that would take twice as many is cut."""

    def read(self, height: int, width: int) -> Seen:
        """A marker for each tile and for the whole image beside them, and two for the image. Each is padded to as many patches."""
        square = (self.patch * self.merge) ** 2
        whole = native_groups(
            height, width, self.patch * self.merge, self.min_tokens * square, self.max_tokens * square
        )
        of_tile = (self.tile // self.patch) ** 2
        padded = max(self.max_tokens * self.merge**2, of_tile)
        side = self.patch * self.merge
        high, wide = (max(self.patch, round(length / side) * side) for length in (height, width))
        if high * wide <= 2 * self.max_tokens * square:
            return Seen(((1, TowerRun(padded, whole)),), whole + 2)
        grid = TiledImage(kind="tiles", tile=self.tile, max_tiles=self.max_tiles, patches=1, outputs=1)
        rows, columns = grid.grid(height, width, self.min_tiles)
        tiles, outputs = rows * columns, ceil(self.tile // self.patch / self.merge) ** 2
        tokens = tiles * (outputs + 1) + (whole + 1 if tiles > 1 else 0) + 2
        passes = ((tiles, TowerRun(padded, outputs)), (1, TowerRun(padded, whole)))
        return Seen(passes if tiles > 1 else passes[:1], tokens)


@spec_dataclass
class WindowedImage:
    """An image is seen whole at one size, and cut into windows that follow its shape, each at another (Step-3.7)."""

    kind: Literal["windows"]
    side: Size
    """Pixels of the whole image's side."""
    window: Size
    """Pixels of a window's side."""
    patch: Size
    """Pixels of a patch's side."""
    merge: Size
    """Patches of a group's side: a group becomes one token."""
    longest: Size
    """Pixels of the longest side; a larger image is shrunk."""

    def read(self, height: int, width: int) -> Seen:
        """Two markers for the whole image and for each window, and one for each row of windows but the last."""
        rows, columns = self._grid(height, width)
        whole, part = (
            TowerRun((s // self.patch) ** 2, (s // self.patch // self.merge) ** 2) for s in (self.side, self.window)
        )
        tokens = whole.outputs + 2
        if not rows:
            return Seen(((1, whole),), tokens)
        windows = rows * columns
        return Seen(((1, whole), (windows, part)), tokens + windows * (part.outputs + 2) + rows - 1)

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of windows; none where the image is small and no thin one."""
        if min(height, width) < _THIN and max(width / height, height / width) > _LONG:
            height = width = max(height, width)
        if max(height, width) > self.longest:
            scale = self.longest / max(height, width)
            width, height = int(width * scale), int(height * scale)
        short, long = min(height, width), max(height, width)
        window = self.window
        if long <= self.side:
            if long / short <= _ODD:
                return 0, 0
            window = short
        elif long / short > _LONG:
            window = min(short, self.window)
        rows, columns = (max(1, length // window + (length % window > _MORE * window)) for length in (height, width))
        return rows, columns


@spec_dataclass
class SlicedImage:
    """An image is seen whole at about one size, and cut into slices that follow its shape, each at about as large a one (MiniCPM-V).

    Its tower merges patches half-way, and again behind it.
    """

    kind: Literal["slices"]
    side: Size
    """Pixels of the side of a square that is as large as a slice."""
    patch: Size
    """Pixels of a patch's side."""
    halfway: Size = 2
    """Patches of a group's side that the tower merges half-way."""
    merge: Size = 4
    """Patches of a group's side: a group becomes one token."""
    max_slices: Size
    """The most slices."""
    markers: Few = 0
    """Further tokens for each image, such as its number, next to the two around it."""
    videos: bool = True
    """Whether frames of a video are read as images are."""

    def read(self, height: int, width: int) -> Seen:
        """Two markers for the whole image and for each slice, and one between rows of slices."""
        grid = self._grid(height, width)
        whole = self._run(height, width, enlarged=grid is None)
        tokens = self.markers + 2 + whole.outputs
        if grid is None:
            return Seen(((1, whole),), tokens)
        rows, columns = grid
        high, wide = (_rounded(length, parts) / parts for length, parts in ((height, rows), (width, columns)))
        part = self._run(high, wide, enlarged=True)
        return Seen(((1, whole), (rows * columns, part)), tokens + rows * columns * (part.outputs + 2) + rows - 1)

    def _run(self, height: float, width: float, *, enlarged: bool) -> TowerRun:
        """What is brought to about the size of a slice where it is larger, or whatever it is: in whole groups of patches."""
        if enlarged or height * width > self.side**2:
            shape = width / height
            height = int(self.side / sqrt(shape))
            width = int(height * shape)
        group = self.patch * self.merge
        patches = (_rounded(height, group) // self.patch) * (_rounded(width, group) // self.patch)
        inputs = patches // self.halfway**2
        return TowerRun(inputs, patches // self.merge**2, inputs - patches)

    def _grid(self, height: int, width: int) -> tuple[int, int] | None:
        """Rows and columns of slices that are nearest to the image's shape; None where it is no larger than one."""
        parts = min(ceil(width * height / self.side**2), self.max_slices)
        if parts <= 1:
            return None
        numbers = (number for number in (parts - 1, parts, parts + 1) if 1 < number <= self.max_slices)
        grids = [(rows, number // rows) for number in numbers for rows in range(1, number + 1) if number % rows == 0]
        shape = log(width / height)
        return min(grids, key=lambda grid: (abs(shape - log(grid[1] / grid[0])), -grid[0]))


def _rounded(length: float, unit: int) -> int:
    """A length in whole units, one at the least."""
    return max(round(length / unit) * unit, unit)


_THIN = 32
_LONG = 4
_ODD = 1.5
_MORE = 0.2
"""Step-3.7's: pixels below which an image is thin, shapes that are long or odd, and the part of a window for which there is one more."""
