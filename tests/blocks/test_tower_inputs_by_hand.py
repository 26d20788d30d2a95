"""Sizes at each edge of each rule by which images and sounds become tokens, as one works them out on paper."""

from __future__ import annotations

from typing import Any

from tscale.blocks.image_tiles import AnyResolution, SplitImage, TiledImage, WindowedImage
from tscale.blocks.tower_inputs import (
    BudgetImage,
    FixedImage,
    NativeImage,
    PaddedImage,
    RowsOfImage,
    Sound,
)


def _seen(reading: Any, height: int, width: int) -> tuple[int, int, int, int]:
    """Passes through the tower, positions and outputs of each, and tokens of the sequence."""
    seen = reading.read(height, width)
    ((times, run),) = seen.passes
    return times, run.inputs, run.outputs, seen.tokens


def test_a_fixed_image_has_its_class_tokens_beside_its_patches() -> None:
    seen = FixedImage(kind="fixed", patches=256, classes=1, outputs=64).read(1, 999)
    ((times, run),) = seen.passes
    assert (times, run.inputs, run.outputs, run.classes, seen.tokens) == (1, 257, 64, 1, 64)


def test_an_image_of_its_own_size_is_brought_between_two_numbers_of_pixels() -> None:
    """Groups of 28 by 28 pixels, from 4 to 16 of them."""
    reading = NativeImage(kind="native", patch=14, merge=2, min_pixels=4 * 28**2, max_pixels=16 * 28**2)
    sizes = {
        (56, 56): 4, (112, 112): 16,  # just as few, and just as many as there may be
        (50, 60): 4, (110, 115): 16,  # rounded to just as few, and as many
        (28, 28): 4,  # twice as high and wide
        (224, 224): 16,  # half as high and wide
        (30, 200): 7,  # rounded to 1 by 7
        (27, 56): 6,  # 1 by 2 is too small: each side times 1.44, padded to 2 by 3
        (1120, 28): 25,  # 40 by 1 is too large: 1,120 over 1.58 is 25 groups and a bit, and a row is at least one group wide
    }  # fmt: skip
    assert {size: _seen(reading, *size) for size in sizes} == {
        size: (1, 4 * groups, groups, groups) for size, groups in sizes.items()
    }


def test_a_padded_image_has_so_many_patches_in_all_and_to_a_side() -> None:
    """Patches of 14 pixels, 16 at the most and 8 to a side, in groups of 2 by 2."""
    reading = PaddedImage(kind="padded", patch=14, merge=2, max_patches=16, max_side=8)
    sizes = {
        (56, 56): 4,
        (112, 112): 4,  # 64 patches: half as high and wide
        (140, 14): 4, (14, 140): 4,  # 10 to a side: 8, which are 4 groups by one
        (57, 29): 6,  # 3 by 2 groups begin
        (5, 5): 1,
        (13, 112): 4,  # a row of 8 patches, lower than one
    }  # fmt: skip
    assert {size: _seen(reading, *size) for size in sizes} == {
        size: (1, 4 * groups, groups, groups) for size, groups in sizes.items()
    }


def test_a_token_ends_each_row() -> None:
    """Pixtral's 1,024 by 1,024 pixels are 64 rows of 64 patches of 16 and a token (Agrawal 2024, section 2.2)."""
    reading = RowsOfImage(kind="rows", patch=16, longest=1024)
    sizes = {
        (1024, 1024): (64, 64), (2048, 1024): (64, 32), (1024, 2048): (32, 64), (16, 16): (1, 1), (17, 16): (2, 1),
        (16, 17): (1, 2), (1, 4096): (1, 64), (1025, 1025): (64, 64),
    }  # fmt: skip
    for size, (rows, columns) in sizes.items():
        assert _seen(reading, *size) == (1, rows * columns, rows * columns, rows * columns + rows), size
    grouped = RowsOfImage(kind="rows", patch=16, merge=2, longest=1024)
    assert _seen(grouped, 33, 64) == (1, 16, 4, 4 + 2)


def test_a_budget_is_filled_in_the_images_shape() -> None:
    """16 groups of 16 by 16 pixels: 4 by 4, 2 by 8, or one row or column of 16 where it is too thin for that; 3 by 5 are 15."""
    reading = BudgetImage(kind="budget", patch=8, merge=2, outputs=16)
    sizes = {(100, 100): 16, (100, 400): 16, (10, 1000): 16, (1000, 10): 16, (300, 500): 15, (32, 32): 16}
    assert {size: _seen(reading, *size) for size in sizes} == {
        size: (1, 4 * groups, groups, groups) for size, groups in sizes.items()
    }


def test_tiles_have_their_tokens_and_the_image_its_markers() -> None:
    """A tile of 1,024 patches and a class token yields 256 tokens and 2 more, and the image has 3."""
    reading = TiledImage(kind="tiles", tile=448, max_tiles=12, patches=1024, classes=1, outputs=256, each=2, markers=3)
    sizes = {(448, 448): 1, (448, 896): 3, (896, 448): 3, (10, 10_000): 13, (448, 448 * 12): 13, (896, 1344): 7}
    for size, tiles in sizes.items():
        assert _seen(reading, *size) == (tiles, 1025, 256, tiles * 258 + 3), size
    assert reading.grid(448, 896) == (1, 2)
    assert reading.grid(896, 448) == (2, 1)
    assert reading.grid(10, 10_000) == (1, 12)


def test_tiles_by_scale_are_the_fewest_that_hold_the_image_or_else_shrink_it_least() -> None:
    reading = TiledImage(kind="tiles", tile=336, max_tiles=16, patches=576, outputs=144, fit="scale")
    grids = {
        (300, 300): (1, 1), (336, 336): (1, 1), (337, 336): (2, 1), (336, 337): (1, 2), (672, 1008): (2, 3),
        (17 * 336, 336): (16, 1), (336, 17 * 336): (1, 16), (5 * 336, 5 * 336): (4, 4),
    }  # fmt: skip
    assert {size: reading.grid(*size) for size in grids} == grids


def test_an_image_that_is_split_has_two_markers_a_tile_one_a_row_and_three() -> None:
    """Brought to 2,048 pixels: tiles of 512, of 64 tokens each."""
    reading = SplitImage(kind="split", tile=512, longest=2048, patches=1024, outputs=64)
    for size, (rows, columns) in {(1000, 2000): (2, 4), (2000, 1000): (4, 2), (50, 50): (4, 4)}.items():
        tokens = 64 + 3 + rows * (columns * (64 + 2) + 1)
        assert _seen(reading, *size) == (rows * columns + 1, 1024, 64, tokens)
    small = SplitImage(kind="split", tile=512, longest=512, patches=1024, outputs=64)
    assert _seen(small, 50, 50) == (1, 1024, 64, 67)
    odd = SplitImage(kind="split", tile=5, longest=10, patches=1, outputs=1)  # 5 pixels are made 6: two tiles
    assert _seen(odd, 100, 200)[0] == _seen(odd, 200, 100)[0] == 2 * 2 + 1
    square = SplitImage(
        kind="split", tile=5, longest=5, patches=1, outputs=1
    )  # 5 by 5 are made 6 by 5: two rows of one
    assert _seen(square, 7, 7) == (3, 1, 1, 1 + 3 + 2 * (1 * (1 + 2) + 1))
    two = SplitImage(kind="split", tile=512, longest=1024, patches=1, outputs=1)
    assert _seen(two, 400, 1000)[0] == 2 + 1  # one row of two tiles


def test_windows_follow_the_shape_of_an_image() -> None:
    """Step-3.7: 26 by 26 tokens of all of it, 18 by 18 of a window of 504 pixels, two markers each and one between rows of windows.

    A window more where over a fifth of one is left; none up to 728 pixels, but where the image is odd: then as wide as its short side.
    """
    reading = WindowedImage(kind="windows", side=728, window=504, patch=14, merge=2, longest=3024)
    sizes = {
        (728, 728): (0, 0), (400, 600): (0, 0), (400, 601): (1, 2), (601, 400): (2, 1), (729, 729): (2, 2),
        (604, 800): (1, 2), (605, 800): (2, 2), (300, 1200): (1, 3), (300, 1500): (1, 5), (1500, 300): (5, 1),
        (560, 2520): (1, 5),  # four and a half times as wide: windows are never wider than 504
        (20, 80): (1, 4), (32, 160): (1, 5), (5, 11): (1, 2), (5, 12): (1, 3),  # a fifth of one is left, and two
        (31, 155): (0, 0), (20, 1000): (2, 2), (1000, 20): (2, 2),  # thin and long: padded to a square
        (3024, 1512): (6, 3), (6048, 3024): (6, 3), (3024, 6048): (3, 6),
    }  # fmt: skip
    for (height, width), (rows, columns) in sizes.items():
        seen = reading.read(height, width)
        passes = [(times, run.inputs, run.outputs) for times, run in seen.passes]
        windows = [(rows * columns, 36 * 36, 18 * 18)] if rows else []
        assert passes == [(1, 52 * 52, 26 * 26), *windows], (height, width)
        assert seen.tokens == 26 * 26 + 2 + rows * columns * (18 * 18 + 2) + max(rows - 1, 0), (height, width)


LLAVA = AnyResolution(
    kind="any-resolution", tile=336, patches=576, classes=1, outputs=576,
    grids=((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008)),
)  # fmt: skip


def test_an_image_is_seen_whole_and_in_the_grid_that_keeps_most_of_it() -> None:
    """LLaVA-NeXT (Liu 2024): tiles of 24 by 24 tokens, 2,880 of an image of 672 by 672 and a token a row; padding is cut off evenly."""
    sizes = {
        (672, 672): (4, 48, 48),
        (336, 672): (2, 24, 48),
        (672, 336): (2, 48, 24),
        (336, 336): (2, 24, 24),  # by a grid of 336 by 672, the first of those with least padding, cut off again
        (300, 672): (2, 22, 48),  # 21 rows and a bit of 24: one is cut off at each end
        (672, 300): (2, 48, 22),
        (336, 1008): (3, 24, 72),
        (1008, 336): (3, 72, 24),
    }
    for size, (tiles, rows, columns) in sizes.items():
        assert _seen(LLAVA, *size) == (tiles + 1, 577, 576, 576 + rows * columns + rows), size


def test_more_tokens_than_so_many_tiles_have_are_shrunk() -> None:
    """LLaVA-OneVision (Li 2024): tiles of 27 by 27 tokens, the image in 9 tiles' worth of them, or a tenth more to a side."""
    grids = tuple((384 * rows, 384 * columns) for rows in range(1, 7) for columns in range(1, 7))
    reading = AnyResolution(
        kind="any-resolution", tile=384, patches=729, outputs=729, max_tiles=9, grids=grids
    )  # fmt: skip
    sizes = {
        (2304, 2304): (36, 81, 81),  # 162 by 162, twice too much to a side
        (1152, 1152): (9, 81, 81),
        (1152, 1536): (12, 70, 93),  # 81 by 108 over 1.1547
        (1152, 1366): (12, 81, 96),  # 81 by 96 is 1.0887 times too much: left as it is
    }
    for size, (tiles, rows, columns) in sizes.items():
        assert _seen(reading, *size) == (tiles + 1, 729, 729, 729 + rows * columns + rows), size


def test_a_sound_is_heard_in_whole_pieces_or_as_long_as_it_is() -> None:
    plain = Sound(kind="sound", positions_per_second=50, merge=2).hear(3)
    assert [(times, run.inputs, run.outputs) for times, run in plain.passes] == [(1, 150, 75)]
    assert plain.tokens == 75
    for padded, tokens in ((False, 31 * 50 // 4), (True, 2 * 1500 // 4)):
        seen = Sound(kind="sound", positions_per_second=50, merge=4, piece_seconds=30, padded=padded).hear(31)
        assert [(times, run.inputs, run.outputs) for times, run in seen.passes] == [(2, 1500, 375)]
        assert seen.tokens == tokens
