"""Rules by which large images are cut, at the edges of each, with tiles so small that patches can be drawn on paper."""

from __future__ import annotations

from typing import Any

import pytest

from tscale.blocks.image_tiles import AnyResolution, PaddedTiles, WholeOrTiles
from tscale.blocks.seen import native_groups
from tscale.blocks.tower_inputs import BoundedImage


def _passes(seen: Any) -> list[tuple[int, int, int]]:
    return [(times, run.inputs, run.outputs) for times, run in seen.passes]


@pytest.mark.parametrize(
    ("size", "tiles", "high", "wide"),
    [
        ((40, 40), 1, 2, 2), ((80, 40), 2, 4, 2), ((40, 80), 2, 2, 4), ((80, 80), 4, 4, 4),
        ((60, 40), 2, 3, 2),  # 20 pixels of padding are 2 patches: 4 and 2 are left, two groups and one
        ((40, 60), 2, 2, 3), ((51, 40), 2, 3, 2), ((50, 40), 2, 3, 2), ((41, 40), 2, 3, 2), ((70, 40), 2, 4, 2), ((71, 40), 2, 4, 2),
        ((30, 40), 1, 2, 2),  # 10 pixels are one patch of 4: 3 are left
        ((20, 40), 1, 1, 2), ((40, 20), 1, 2, 1), ((10, 40), 1, 1, 2),
        ((130, 40), 4, 7, 2),  # 30 pixels of 160: three patches of 16
        ((400, 40), 4, 8, 1),  # ten rows are too many: four, by what is left of a column of 40 when it is 16 wide
        ((40, 400), 4, 1, 8),
    ],
)  # fmt: skip
def test_padding_at_the_end_of_a_grid_is_cut_off(size: tuple[int, int], tiles: int, high: int, wide: int) -> None:
    """Tiles of 4 by 4 patches of 10 pixels, in groups of 2 by 2; four tiles at the most. The whole image has 2 rows of 2 groups
    with a token each, and one is between it and the rows of the tiles, with a token each.
    """
    seen = PaddedTiles(kind="padded-tiles", tile=40, patch=10, max_tiles=4).read(*size)
    assert seen.tokens == 2 * 2 + 2 + 1 + high * wide + high
    assert _passes(seen) == [(1, 16, seen.tokens), (tiles, 16, 0)]


def test_groups_begin_anew_in_each_tile_and_the_last_may_be_smaller() -> None:
    """Of 4 patches a side in groups of 3, two groups; of two tiles four, where one of 8 patches is padding too."""
    reading = PaddedTiles(kind="padded-tiles", tile=40, patch=10, merge=3, max_tiles=4)
    assert reading.read(80, 40).tokens == 2 * 2 + 2 + 1 + 4 * 2 + 4
    assert reading.read(70, 40).tokens == 2 * 2 + 2 + 1 + 3 * 2 + 3


LARGE = {"kind": "whole-or-tiles", "patch": 8, "min_tokens": 4, "max_tokens": 9}


@pytest.mark.parametrize(
    ("size", "tiles", "whole"),
    [
        ((48, 48), 0, 9), ((48, 96), 0, 8), ((48, 104), 0, 8), ((4, 4), 0, 4), ((4, 576), 0, 36),
        ((48, 105), 2, 8),  # rounded to 48 by 112, more than twice 9 groups of 16 by 16
        ((105, 48), 2, 8), ((4, 592), 6, 36), ((300, 300), 4, 9), ((100, 300), 3, 5),
    ],
)  # fmt: skip
def test_an_image_of_twice_the_most_tokens_is_cut(size: tuple[int, int], tiles: int, whole: int) -> None:
    """Tiles of 8 by 8 patches come to 4 by 4 groups, and each has a marker, as the whole image has beside them, and two the image."""
    seen = WholeOrTiles(**LARGE, tile=64, max_tiles=6).read(*size)  # type: ignore[arg-type]
    if not tiles:
        assert (seen.tokens, _passes(seen)) == (whole + 2, [(1, 64, whole)])
    else:
        assert _passes(seen) == [(tiles, 64, 16), (1, 64, whole)]
        assert seen.tokens == tiles * (16 + 1) + whole + 1 + 2


def test_all_are_padded_to_a_tile_or_to_the_most_tokens() -> None:
    """Tiles of 4 by 4 patches are less than the 9 groups of 2 by 2 that an image may have."""
    assert _passes(WholeOrTiles(**LARGE, tile=32, max_tiles=6).read(48, 48)) == [(1, 36, 9)]  # type: ignore[arg-type]


def test_a_single_tile_is_no_whole_image_besides() -> None:
    """80 by 80 pixels fill no half of 2 by 2 tiles of 128: one tile of 8 by 8 groups, with a marker, and two."""
    reading = WholeOrTiles(**LARGE, tile=128, min_tiles=1, max_tiles=6)  # type: ignore[arg-type]
    seen = reading.read(80, 80)
    assert (seen.tokens, _passes(seen)) == (64 + 1 + 2, [(1, 256, 64)])
    assert WholeOrTiles(**LARGE, tile=128, max_tiles=6).read(80, 80).passes[0][0] > 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "groups"),
    [((40, 40), 4), ((41, 41), 9), ((64, 64), 16), ((20, 20), 4), ((24, 24), 4), ((90, 90), 16), ((70, 70), 16), ((4, 1000), 63), ((10, 30), 8)],
)  # fmt: skip
def test_groups_of_an_image_of_its_own_size(size: tuple[int, int], groups: int) -> None:
    """Groups of 16 pixels, 4 to 16 of them: rounded (of halves, to the even), enlarged to whole groups that hold it, or shrunk into them.

    10 by 30 are 1 by 2: times √(1,024/300) = 1.85 they are 18.5 by 55.4, which begin 2 by 4 groups. 4 by 1,000 are 1 by 62, which are
    too many: over √(4,000/4,096) they are 1,012 wide, with 63 whole groups.
    """
    assert native_groups(*size, 16, 4 * 256, 16 * 256) == groups


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [
        ((980, 980), 70, 70), ((1000, 1000), 70, 70), ((981, 980), 70, 69), ((980, 981), 69, 70), ((100, 2000), 27, 70), ((2000, 100), 70, 27),
        ((300, 300), 27, 27), ((378, 400), 27, 28), ((379, 405), 27, 28), ((500, 1960), 27, 70),
    ],
)  # fmt: skip
def test_sides_between_a_shortest_and_a_longest(size: tuple[int, int], rows: int, columns: int) -> None:
    """Idefics2: 378 to 980 pixels, whole patches of 14, in the image's shape where the longer side is shrunk: 27 to 70 of them."""
    seen = BoundedImage(kind="bounded", patch=14, shortest=378, longest=980, outputs=64, markers=2).read(*size)
    assert _passes(seen) == [(1, rows * columns, 64)]
    assert seen.tokens == 66


@pytest.mark.parametrize(("rounded", "rows"), [(True, 16), (False, 14)])
def test_a_side_is_rounded_before_its_padding_is_cut_off_or_not(rounded: bool, rows: int) -> None:
    """55 by 176 pixels in 2 tiles of 24 by 24 tokens: 55·(48/176) is 15, and in floats a last digit less; of 24 rows 9 or 10 are padding,
    of which an even number is cut off.
    """
    reading = AnyResolution(
        kind="any-resolution", tile=336, patches=576, outputs=576, grids=((336, 672), (672, 336)), rounded=rounded
    )
    assert reading.read(55, 176).tokens == 576 + rows * 48 + rows


def test_where_no_grid_has_as_many_tiles_as_are_asked_for_there_is_one() -> None:
    """Two at least and one at most: 300 by 300 pixels are one tile of 8 by 8 patches, 4 by 4 groups with a marker, and two."""
    seen = WholeOrTiles(**LARGE, tile=64, min_tiles=2, max_tiles=1).read(300, 300)  # type: ignore[arg-type]
    assert (seen.tokens, _passes(seen)) == (16 + 1 + 2, [(1, 64, 16)])
