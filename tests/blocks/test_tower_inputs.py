"""How images become tokens, against the processors of transformers 5.24.0; how sounds do, against what was published."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import of_each
from tests.importer.recorded import recorded, spec_of
from tscale import load
from tscale.blocks.image_tiles import PaddedTiles, TiledImage, WholeOrTiles, WindowedImage
from tscale.blocks.tower_inputs import (
    BoundedImage,
    BudgetImage,
    FixedImage,
    NativeImage,
    PaddedImage,
    RowsOfImage,
    Sound,
)
from tscale.core.costs.media import tower_flops
from tscale.core.ledger import Matmul
from tscale.models.lower import lower

TOKENS = recorded("image_tokens.jsonl")
COUNTED = (*recorded("towers.jsonl"), *recorded("tower_tensors.jsonl"))
SMALL = {line["config"]["model_type"]: line["config"] for line in COUNTED if not line.get("changed")}
SCALES = {"smolvlm": {"scale_factor": 4}}


def _reading(family: str, sizes: dict[str, Any]) -> Any:
    config = SMALL[family] | SCALES.get(family, {})
    spec = spec_of(config | {"vision_config": config["vision_config"] | sizes})
    assert spec.towers
    return spec.towers[0].input


@of_each(dict.fromkeys(line["family"] for line in TOKENS))
def test_an_image_takes_as_many_tokens_as_the_processor_counts(family: str) -> None:
    lines = [line for line in TOKENS if line["family"] == family]
    reading = _reading(family, lines[0]["sizes"])
    assert {tuple(line["image"]): reading.read(*line["image"]).tokens for line in lines} == {
        tuple(line["image"]): line["tokens"] for line in lines
    }


def test_the_parts_of_an_image_go_through_the_tower_each_with_its_patches() -> None:
    """Phi-4: 1000 by 600 pixels lie in 3 by 2 tiles of 448, and the whole image besides. They are made 1344/1000 times as large: 806 of
    896 pixels, and of 90 that are padding 6 patches of 14 are cut off, which leaves 58: 29 groups of 2. LFM2-VL: 600,000 pixels take
    586 groups of 1,024 pixels, more than 512, and 1000 by 600 are cut as 5 by 3 are nearest to: at most 10 tiles. Step-3.7: 2 by 2
    windows of 504 and the whole. Idefics2: 980 by 588 pixels are 70 by 42 patches of 14."""
    phi = PaddedTiles(kind="padded-tiles", tile=448, patch=14, max_tiles=36).read(1000, 600)
    assert [(times, run.inputs, run.outputs) for times, run in phi.passes] == [(1, 1024, phi.tokens), (6, 1024, 0)]
    assert phi.tokens == 48 * 29 + 48 + 16 * 17 + 1
    lfm = WholeOrTiles(kind="whole-or-tiles", tile=512, patch=16, max_tiles=10, min_tokens=64, max_tokens=256)
    (tiles, part), (once, whole) = lfm.read(1000, 600).passes
    assert (part.inputs, part.outputs, once, whole.inputs) == (1024, 256, 1, 1024)
    assert tiles <= 10
    assert lfm.read(1000, 600).tokens == tiles * 257 + whole.outputs + 1 + 2
    step = WindowedImage(kind="windows", side=728, window=504, patch=14, merge=4, longest=3024).read(1000, 1000)
    assert [(times, run.inputs, run.outputs) for times, run in step.passes] == [(1, 2704, 169), (4, 1296, 81)]
    idefics = BoundedImage(kind="bounded", patch=14, shortest=378, longest=980, outputs=64, markers=2).read(1000, 600)
    assert [(times, run.inputs, run.outputs) for times, run in idefics.passes] == [(1, 70 * 42, 64)]


def test_what_the_tower_hands_over_is_what_the_sequence_takes_without_its_markers() -> None:
    """InternVL: 12 tiles and the whole image, 256 outputs each, and two markers (Chen 2024, section 3.2)."""
    seen = _reading("internvl", {}).read(1344, 1792)
    ((tiles, run),) = seen.passes
    assert (tiles, run.inputs, run.outputs, run.classes) == (13, 1025, 256, 1)
    assert seen.tokens == 13 * 256 + 2


@pytest.mark.parametrize(("side", "tiles"), [(448, 1), (633, 1), (634, 2), (900, 2), (950, 2), (951, 3)])
def test_of_grids_of_one_shape_the_largest_is_taken_that_an_image_fills_by_half(side: int, tiles: int) -> None:
    """InternVL's rule for ties (dynamic_preprocess, find_closest_aspect_ratio): n by n tiles of 448 for more than half their pixels."""
    reading = TiledImage(kind="tiles", tile=448, max_tiles=12, patches=1024, outputs=256)
    assert reading.grid(side, side) == (tiles, tiles)
    assert side**2 > 448**2 * tiles**2 / 2 or tiles == 1


SMALL_IMAGE, THIN_IMAGE, ODD_IMAGE = (28, 56), (3, 560), (29, 57)
WHOLE = (
    (FixedImage(kind="fixed", patches=256, outputs=64), (256, 64), (256, 64), (256, 64)),
    (NativeImage(kind="native", patch=14, min_pixels=1, max_pixels=10**6), (8, 2), (80, 20), (8, 2)),
    (PaddedImage(kind="padded", patch=14, max_patches=4096, max_side=512), (8, 2), (80, 20), (24, 6)),
    (RowsOfImage(kind="rows", patch=14, longest=1024), (8, 8 + 2), (40, 40 + 1), (15, 15 + 3)),
    (BudgetImage(kind="budget", patch=14, merge=2, outputs=2), (8, 2), (8, 2), (4, 1)),
)


@pytest.mark.parametrize(("reading", "small", "thin", "odd"), WHOLE, ids=lambda value: getattr(value, "kind", ""))
def test_an_image_that_is_not_cut_goes_through_the_tower_once(
    reading: Any, small: tuple[int, int], thin: tuple[int, int], odd: tuple[int, int]
) -> None:
    """28 by 56 pixels are 2 by 4 patches of 14, in groups of 2 by 2 for some; of 3 by 560, one row of
    patches or of groups; of 29 by 57, a pixel more than two rows and four columns: rounded, padded or shrunk."""
    for image, (patches, tokens) in ((SMALL_IMAGE, small), (THIN_IMAGE, thin), (ODD_IMAGE, odd)):
        seen = reading.read(*image)
        assert [(times, run.inputs) for times, run in seen.passes] == [(1, patches)]
        assert seen.tokens == tokens


def test_a_tower_is_whole_on_each_device() -> None:
    """No matrix of Gemma 3's tower is cut by tensor parallelism."""
    cuts = {
        entry.cut for group in lower(load("gemma-3-4b")).towers for entry in group.entries if isinstance(entry, Matmul)
    }
    assert cuts == {None}


def test_sounds_take_the_tokens_a_second_that_their_makers_state() -> None:
    """Voxtral: 12.5 tokens a second, pieces of 30 s padded (Liu 2025); Qwen2-Audio: 25, of 40 ms each (Chu 2024)."""
    voxtral = Sound(kind="sound", positions_per_second=50, merge=4, piece_seconds=30, padded=True)
    assert [voxtral.hear(seconds).tokens for seconds in (30, 31, 60)] == [375, 750, 750]
    qwen = Sound(kind="sound", positions_per_second=50, merge=2, piece_seconds=30)
    assert [qwen.hear(seconds).tokens for seconds in (10, 30)] == [250, 750]


FLOPS = {line["config"]["model_type"]: line for line in recorded("tower_flops.jsonl")}


@pytest.mark.parametrize("family", FLOPS)
def test_an_image_takes_the_flops_that_the_framework_counts(family: str) -> None:
    """Of one pass: the processor's tiles are left out here, since the class is given one."""
    line = FLOPS[family]
    spec = spec_of(line["config"])
    assert spec.towers
    reading: Any = spec.towers[0].input
    (_, run), *_ = reading.read(*line["image"]).passes
    towers = [(tower.part, tuple(tower.groups())) for tower in spec.towers if tower.reads == "images"]
    assert tower_flops("x", towers, ((1, run),)).total == line["flops"]


HEARD = {line["config"]["model_type"]: line for line in recorded("sound_flops.jsonl")}


@pytest.mark.parametrize("family", HEARD)
def test_a_sound_takes_the_flops_that_the_framework_counts(family: str) -> None:
    """Of one pass: Whisper's convolutions and layers, in pieces that are always whole or in chunks that see themselves; conformers
    whose blocks see what is before them (Gemma 4), or whose pieces of 500 positions are padded, here 600 (Phi-4)."""
    line = HEARD[family]
    towers = [tower for tower in spec_of(line["config"]).towers or () if tower.reads == "sounds"]
    reading: Any = towers[0].input
    groups = [(tower.part, tuple(tower.groups())) for tower in towers]
    assert tower_flops("x", groups, reading.hear(line["seconds"]).passes).total == line["flops"]


@pytest.mark.parametrize(
    ("family", "seconds", "tokens"),
    [("qwen2_5_omni_thinker", 7, 175), ("audioflamingo3", 7, 175), ("audioflamingo3", 61, 1525), ("glmasr", 7, 87),
     ("qwen3_asr", 1, 13), ("qwen3_asr", 40, 520), ("qwen3_omni_moe_thinker", 40, 520),
     ("granite_speech", 1, 12), ("granite_speech", 3, 30), ("granite_speech", 61, 612),
     ("gemma4", 7, 175), ("musicflamingo", 61, 1525), ("phi4_multimodal", 1, 13), ("phi4_multimodal", 41, 513)],
)  # fmt: skip
def test_a_sound_takes_as_many_tokens_as_the_processor_counts(family: str, seconds: int, tokens: int) -> None:
    """As their `_get_audio_token_length` says of 100 frames a second: 7 s are 700 frames, 350 positions, 175 tokens of two, 87 of four.

    Qwen3-ASR's convolutions make 13 positions of 100 frames. Granite Speech's extractor (`_get_num_audio_features`) has 3 tokens for
    each window of 15 of 50 positions a second: 61 s are 3,050, or 204 windows. Phi-4's (`audio_embed_sizes`) have one for each 8 frames, of which 1 s has 98 and 41 s have 4,098.
    """
    towers = [tower for tower in spec_of(HEARD[family]["config"]).towers or () if tower.part == "audio_tower"]
    reading: Any = towers[0].input
    assert reading.hear(seconds).tokens == tokens
