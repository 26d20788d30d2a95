"""Images of many sizes, cut as the rules say in words: every grid is tried, and every patch and marker counted."""

from __future__ import annotations

from itertools import product
from math import ceil, isclose

import pytest

from tscale.blocks.image_tiles import AnyResolution, PaddedTiles, SplitImage, TiledImage, WholeOrTiles, WindowedImage
from tscale.blocks.tower_inputs import BoundedImage, PaddedImage

SIDES = (20, 64, 90, 100, 130, 200, 250, 333, 400, 777)
SIZES = [*product(SIDES, SIDES)]


@pytest.mark.parametrize(("most", "least"), [(1, 1), (6, 1), (12, 1), (12, 2), (9, 9)])
def test_the_grid_of_the_nearest_shape(most: int, least: int) -> None:
    """Of grids that are as near in shape, the largest of which the image fills more than half; where it fills half of none, the smallest."""
    reading = TiledImage(kind="tiles", tile=100, max_tiles=most, patches=1, outputs=1)
    grids = [
        (rows, columns)
        for rows in range(1, most + 1)
        for columns in range(1, most // rows + 1)
        if rows * columns >= least
    ]
    for height, width in SIZES:
        away = {grid: abs(width / height - grid[1] / grid[0]) for grid in grids}
        near = [grid for grid in grids if away[grid] == min(away.values())]
        areas = sorted({rows * columns for rows, columns in near})
        filled = [area for area in areas if height * width > 0.5 * 100 * 100 * area]
        area = max(filled, default=areas[0])
        rows, columns = reading.grid(height, width, least)
        assert ((rows, columns) in near, rows * columns) == (True, area), (height, width)


@pytest.mark.parametrize("most", [1, 4, 16])
def test_the_grid_of_the_least_enlargement(most: int) -> None:
    """Llama 4: grids that hold the image by the least factor; if none does, by the factor nearest to 1 from below; the smallest of equals."""
    reading = TiledImage(kind="tiles", tile=100, max_tiles=most, patches=1, outputs=1, fit="scale")
    grids = [(rows, columns) for rows in range(1, most + 1) for columns in range(1, most // rows + 1)]
    for height, width in SIZES:
        factor = {(rows, columns): min(100 * rows / height, 100 * columns / width) for rows, columns in grids}
        holding = [value for value in factor.values() if value >= 1]
        best = min(holding) if holding else max(factor.values())
        found = reading.grid(height, width)
        assert isclose(factor[found], best), (height, width)
        assert found[0] * found[1] == min(r * c for (r, c), value in factor.items() if isclose(value, best))


def test_tiles_of_an_image_have_an_overview_beside_them_where_there_are_several() -> None:
    reading = TiledImage(kind="tiles", tile=100, max_tiles=6, patches=7, classes=2, outputs=5, each=3, markers=4)
    for height, width in SIZES:
        rows, columns = reading.grid(height, width)
        tiles = rows * columns + (rows * columns > 1)
        seen = reading.read(height, width)
        assert [(times, run.inputs, run.outputs, run.classes) for times, run in seen.passes] == [(tiles, 9, 5, 2)]
        assert seen.tokens == tiles * (5 + 3) + 4


GRIDS = ((100, 200), (200, 100), (200, 200), (300, 100), (100, 300))


@pytest.mark.parametrize("most", [None, 1, 2])
def test_of_a_grid_the_rows_and_columns_of_padding_are_cut_off(most: int | None) -> None:
    """LLaVA-NeXT's loops (Liu 2024): the grid that keeps most pixels, then wastes least; tiles of 6 by 6 tokens, an even number cut off."""
    reading = AnyResolution(
        kind="any-resolution", grids=GRIDS, tile=100, outputs=36, patches=40, classes=1, max_tiles=most
    )
    for height, width in SIZES:
        best, kept, wasted = GRIDS[0], -1, 0
        for high, wide in GRIDS:
            scale = min(wide / width, high / height)
            effective = min(int(width * scale) * int(height * scale), width * height)
            waste = high * wide - effective
            if effective > kept or (effective == kept and waste < wasted):
                best, kept, wasted = (high, wide), effective, waste
        tiles = best[0] * best[1] // 10_000
        rows, columns = 6 * best[0] // 100, 6 * best[1] // 100
        if width / height > columns / rows:
            content = int(round(height * columns / width, 7))
            while rows - content >= 2:  # a row above and one below
                rows -= 2
        else:
            content = int(round(width * rows / height, 7))
            while columns - content >= 2:
                columns -= 2
        if most is not None and (ratio := (rows * columns / (most * 36)) ** 0.5) > 1.1:
            rows, columns = int(rows // ratio), int(columns // ratio)
        seen = reading.read(height, width)
        assert [(times, run.inputs, run.outputs) for times, run in seen.passes] == [(tiles + 1, 41, 36)]
        assert seen.tokens == 36 + rows * (columns + 1), (height, width)


def test_an_image_is_brought_to_its_longest_side_and_split() -> None:
    """Idefics3: 400 pixels long, the other side in proportion and made even, in tiles of 64 that begin."""
    reading = SplitImage(kind="split", tile=64, longest=400, patches=7, outputs=5)
    for height, width in SIZES:
        other = int(400 / (width / height)) if width >= height else int(400 * (width / height))
        other += other % 2
        along, across = ceil(400 / 64), ceil(other / 64)
        rows, columns = (across, along) if width >= height else (along, across)
        seen = reading.read(height, width)
        tokens = 5 + 3 + rows * (columns * (5 + 2) + 1)
        assert (seen.passes[0][0], seen.tokens) == (rows * columns + 1, tokens), (height, width)


def test_groups_that_hold_no_pixel_of_the_image_are_no_tokens() -> None:
    """Phi-4: tiles of 8 by 8 patches of 10 pixels in groups of 2 by 2; an image of whole patches in tiles that hold it keeps those groups alone."""
    reading = PaddedTiles(kind="padded-tiles", tile=80, patch=10, max_tiles=100)
    for rows, columns in product((8, 16, 24, 40), (8, 16, 32)):
        seen = reading.read(10 * rows, 10 * columns)
        tiles = ceil(rows / 8) * ceil(columns / 8)
        groups = (rows // 2) * (columns // 2)
        assert seen.tokens == 4 * 4 + 4 + 1 + groups + rows // 2
        assert [(times, run.inputs) for times, run in seen.passes] == [(1, 64), (tiles, 64)]


def test_an_image_that_is_seen_whole_has_its_groups_and_two_markers() -> None:
    """LFM2-VL: sides rounded to whole groups of 16 pixels, from 4 to 100 groups, and cut where they come to twice as many."""
    reading = WholeOrTiles(kind="whole-or-tiles", tile=64, patch=8, min_tokens=4, max_tokens=100, max_tiles=6)
    for rows, columns in product((2, 5, 10, 14, 20), (2, 7, 10, 20)):
        seen = reading.read(16 * rows, 16 * columns)
        if rows * columns <= 100:
            assert (seen.tokens, seen.passes[0][0], seen.passes[0][1].inputs) == (rows * columns + 2, 1, 400)
        else:
            assert (len(seen.passes) == 2) == (rows * columns > 200)
            assert sum(times * run.outputs for times, run in seen.passes) + 2 <= seen.tokens


def test_windows_of_an_image_larger_than_the_whole_one() -> None:
    """Step-3.7: of squares from 800 pixels on, as many windows of 504 as fit, and one more where over a fifth of one is left."""
    reading = WindowedImage(kind="windows", side=728, window=504, patch=14, merge=2, longest=3024)
    for side in range(760, 3025, 63):
        windows = side // 504 + (side % 504 > 504 / 5)
        seen = reading.read(side, side)
        assert [times for times, _ in seen.passes] == [1, windows**2], side


def test_a_grid_of_as_many_tiles_as_there_may_be_is_taken_as_it_begins() -> None:
    """Phi-4's 41 by 80 pixels are 2 by 2 tiles of 40, though 1 by 2 are nearer in shape: 39 rows are padding, 3 patches of 10 of 8."""
    seen = PaddedTiles(kind="padded-tiles", tile=40, patch=10, max_tiles=4).read(41, 80)
    assert (seen.passes[1][0], seen.tokens) == (4, 2 * 2 + 2 + 1 + 3 * 4 + 3)


def test_a_high_image_within_the_longest_side_keeps_its_size() -> None:
    """Idefics2: 500 by 400 pixels are 35 by 28 whole patches of 14."""
    reading = BoundedImage(kind="bounded", patch=14, shortest=378, longest=980, outputs=64)
    assert reading.read(500, 400).passes[0][1].inputs == 35 * 28
    assert reading.read(400, 500).passes[0][1].inputs == 28 * 35


def test_an_image_lower_than_a_patch_has_one_row_of_them() -> None:
    """Of 20 patches in a row 16 may be: over √(20/16) the row is 250 pixels long, in which 9 groups of 28 begin."""
    reading = PaddedImage(kind="padded", patch=14, merge=2, max_patches=16, max_side=100)
    for size in ((5, 280), (280, 5)):
        assert reading.read(*size).tokens == 9


def test_so_few_pixels_are_brought_to_the_fewest_groups() -> None:
    """LFM2-VL: 9 groups of 16 by 16 pixels at the least."""
    reading = WholeOrTiles(kind="whole-or-tiles", tile=64, patch=8, min_tokens=9, max_tokens=100, max_tiles=6)
    assert reading.read(16, 16).tokens == 9 + 2


def test_tokens_are_shrunk_where_they_are_more_than_a_tenth_too_many_to_a_side() -> None:
    """LLaVA-OneVision: 22 by 22 are just a tenth more than 20 by 20, and 23 by 22 are more: over 1.1247 they are 20 by 19."""
    reading = AnyResolution(kind="any-resolution", grids=GRIDS, tile=100, outputs=100, patches=100, max_tiles=4)
    assert reading._shrunk(22, 22, 10) == (22, 22)
    assert reading._shrunk(23, 22, 10) == (20, 19)
