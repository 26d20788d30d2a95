"""How each family's processor reads images, as the release's classes do by default.

A `config.json` does not say it: sizes of tiles and numbers of pixels stand in a file of their own (`preprocessor_config.json`).
`tests/oracle/image_tokens.jsonl` holds the rules to what the processors count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from tscale.blocks.image_tiles import (
    AnyResolution,
    PaddedTiles,
    SlicedImage,
    SplitImage,
    TiledImage,
    WholeOrTiles,
    WindowedImage,
)
from tscale.blocks.tower_inputs import (
    BoundedImage,
    BudgetImage,
    FixedImage,
    NativeImage,
    PaddedImage,
    RowsOfImage,
)
from tscale.importer.towers.further import davit_sides
from tscale.importer.towers.sam import side_of

if TYPE_CHECKING:
    from tscale.blocks.tower_inputs import Reading
    from tscale.importer.towers.ends import Ends

_GRIDS: Final = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))
_MOST_GRIDS: Final = 6
_SIDES: Final = 2


def _patches(ends: Ends) -> tuple[int, int]:
    """Patches of an image of the tower's own size, and the class tokens beside them."""
    return ends.tower.grid(), sum(piece.name == "class_embedding" for piece in ends.pieces)


def _whole(ends: Ends) -> Reading:
    grid, classes = _patches(ends)
    full = ends.file.own.value("vision_feature_select_strategy") == "full"
    return FixedImage(kind="fixed", patches=grid, classes=classes, outputs=grid + classes if full else grid)


def _tokens_of(ends: Ends) -> int:
    """Gemma 3 says how many tokens an image takes."""
    return ends.file.own.size("mm_tokens_per_image")


def _compared(ends: Ends) -> Reading:
    """One size, of which one vector is compared with a text's."""
    grid, classes = _patches(ends)
    return FixedImage(kind="fixed", patches=grid, classes=classes, outputs=1)


def _captioned(ends: Ends) -> Reading:
    """One size, all positions of which the text model attends to; an image takes no token."""
    grid, classes = _patches(ends)
    return FixedImage(kind="fixed", patches=grid, classes=classes, outputs=grid + classes, tokens=0, alone=True)


def _any_compared(ends: Ends) -> Reading:
    """SigLIP 2: images keep their shape, and are padded to so many patches; one vector is compared."""
    return FixedImage(kind="fixed", patches=ends.tower.size("num_patches"), outputs=1)


def _phi4(ends: Ends) -> Reading:
    side, _ = ends.tower.sides("image_size")
    return PaddedTiles(kind="padded-tiles", tile=side, patch=ends.tower.size("patch_size"), max_tiles=36)


def _lfm2(ends: Ends) -> Reading:
    return WholeOrTiles(
        kind="whole-or-tiles",
        tile=512,
        patch=ends.tower.size("patch_size"),
        merge=ends.file.own.size("downsample_factor"),
        max_tiles=10,
        min_tokens=64,
        max_tokens=256,
    )


def _step(ends: Ends) -> Reading:
    side, _ = ends.tower.sides("image_size")
    patch = ends.tower.size("patch_size")
    return WindowedImage(kind="windows", side=side, window=504, patch=patch, merge=4, longest=3024)


def _mllama(ends: Ends) -> Reading:
    """Llama 3.2 Vision: as many tiles whatever an image's size, those beyond its own are padding; each padded to whole groups of positions."""
    tiles, patches = ends.tower.size("max_num_tiles"), ends.tower.grid()
    padded = -(-(patches + 1) // _MLLAMA_GROUP) * _MLLAMA_GROUP
    return FixedImage(
        kind="fixed",
        patches=tiles * patches,
        classes=tiles * (padded - patches),
        outputs=tiles * (patches + 1),
        tokens=1,
    )


_MLLAMA_GROUP: Final = 8


def _fixed(outputs: Callable[[Ends], int]) -> Callable[[Ends], Reading]:
    def reading(ends: Ends) -> Reading:
        grid, classes = _patches(ends)
        return FixedImage(kind="fixed", patches=grid, classes=classes, outputs=outputs(ends))

    return reading


def _native(least: int, most: int, merge: str = "spatial_merge_size") -> Callable[[Ends], NativeImage]:
    def reading(ends: Ends) -> NativeImage:
        v = ends.tower
        frames = v.value("temporal_patch_size")
        return NativeImage(
            kind="native",
            patch=v.size("patch_size"),
            merge=v.size(merge),
            frames=frames if isinstance(frames, int) else 1,
            min_pixels=least,
            max_pixels=most,
        )

    return reading


def _ernie(ends: Ends) -> Reading:
    """Two frames of a video are merged behind the tower, which an image is not."""
    return replace(_native(56 * 56, 28 * 28 * 6177)(ends), videos=False)


def _video_llama(ends: Ends) -> Reading:
    return NativeImage(
        kind="native", patch=ends.tower.size("patch_size"), merge=1, min_pixels=56 * 56, max_pixels=28 * 28 * 1280
    )


def _kimi(ends: Ends) -> Reading:
    side, _ = ends.tower.sides("merge_kernel_size")
    return PaddedImage(kind="padded", patch=ends.tower.size("patch_size"), merge=side, max_patches=16384, max_side=512)


def _pixtral(ends: Ends) -> Reading:
    merge = ends.file.own.size("spatial_merge_size")
    longest, _ = ends.tower.sides("image_size")
    return RowsOfImage(kind="rows", patch=ends.tower.size("patch_size"), merge=merge, longest=longest)


def _gemma4(ends: Ends) -> Reading:
    v = ends.tower
    return BudgetImage(kind="budget", patch=v.size("patch_size"), merge=v.size("pooling_kernel_size"), outputs=280)


def _unified(ends: Ends) -> Reading:
    """Gemma 4 12B: squares of merged patches, each of which is a token."""
    side = ends.tower.size("patch_size") * ends.tower.size("pooling_kernel_size")
    return BudgetImage(kind="budget", patch=side, merge=1, outputs=280)


def _intern(ends: Ends) -> Reading:
    kept = ends.file.own.real("downsample_ratio") ** 2
    return _tiles(ends, 12, lambda grid: int(grid * kept), each=0)


def _cohere(ends: Ends) -> Reading:
    shrunk = ends.file.own.size("downsample_factor") ** 2
    return _tiles(ends, 12, lambda grid: grid // shrunk, fit="scale")


def _llama4(ends: Ends) -> Reading:
    kept = ends.tower.real("pixel_shuffle_ratio") ** 2
    return _tiles(ends, 16, lambda grid: int(grid * kept), fit="scale")


def _aya(ends: Ends) -> Reading:
    """As InternVL's tiles, with a marker each and two for the image."""
    shrunk = ends.file.own.size("downsample_factor") ** 2
    return _tiles(ends, 12, lambda grid: grid // shrunk)


def _aria(ends: Ends) -> Reading | None:
    """As many queries as the file has for the tower's own number of patches; not known where it has none for it."""
    grid, classes = _patches(ends)
    listed = ends.file.own.value("projector_patch_to_query_dict")
    queries = {str(key): value for key, value in listed.items()} if isinstance(listed, dict) else {}
    number = queries.get(str(grid))
    if not isinstance(number, int) or isinstance(number, bool) or number <= 0:
        return None
    return FixedImage(kind="fixed", patches=grid, classes=classes, outputs=number)


def _queries(ends: Ends) -> int:
    """One token for each query of a Q-Former."""
    return ends.file.own.size("num_query_tokens")


def _tiles(
    ends: Ends, most: int, outputs_of: Callable[[int], int], *, each: int = 1, fit: Literal["shape", "scale"] = "shape"
) -> Reading:
    """Up to so many tiles, each with outputs by its number of patches, and two markers of an image."""
    grid, classes = _patches(ends)
    side, _ = ends.tower.sides("image_size")
    return TiledImage(
        kind="tiles", tile=side, max_tiles=most, patches=grid, classes=classes, outputs=outputs_of(grid),
        each=each, markers=2, fit=fit,
    )  # fmt: skip


def _idefics3(ends: Ends) -> Reading:
    grid, _ = _patches(ends)
    side, _ = ends.tower.sides("image_size")
    outputs = grid // ends.file.own.size("scale_factor") ** 2
    return SplitImage(kind="split", tile=side, longest=4 * side, patches=grid, outputs=outputs)


def _docling(ends: Ends) -> Reading:
    """Granite Docling: tiles on the grid nearest to a page's shape, by the coarse path."""
    grid, _ = _patches(ends)
    side, _ = ends.tower.sides("image_size")
    outputs = grid // ends.tower.size("scale_factor") ** 2
    return SplitImage(kind="split", tile=side, max_tiles=32, max_side=16, patches=grid, outputs=outputs)


def _minicpm(ends: Ends) -> Reading | None:
    """Where it merges patches half-way and once behind its tower; not known otherwise. An image has a number of one digit."""
    own, v = ends.file.own, ends.tower
    halfway, _ = v.sides("window_kernel_size")
    if own.value("downsample_mode") != "16x" or own.size("merger_times") != 1 or halfway != _SIDES:
        return None
    if v.whole("insert_layer_id") >= v.size("num_hidden_layers"):
        return None  # nothing is merged
    return SlicedImage(kind="slices", side=448, patch=v.size("patch_size"), max_slices=9, markers=3, videos=False)


def _florence(ends: Ends) -> Reading:
    """Florence-2: one size, of whose last stage each position becomes a token, and their average another."""
    patches = davit_sides(ends.tower)[-1] ** 2
    return FixedImage(kind="fixed", patches=patches, outputs=patches + 1)


def _got(ends: Ends) -> Reading:
    """GOT-OCR2: one size, of which two convolutions quarter the patches twice; two markers."""
    side = side_of(ends.tower)
    outputs = (-(-side // 4)) ** 2
    return FixedImage(kind="fixed", patches=side**2, outputs=outputs, tokens=outputs + 2)


def _idefics2(ends: Ends) -> Reading | None:
    """As many tokens as its resampler has latents, between two markers, of whatever size an image is brought to."""
    resampler = ends.file.inside("perceiver_config")
    if resampler is None:
        return None
    patch, latents = ends.tower.size("patch_size"), resampler.size("resampler_n_latents")
    return BoundedImage(kind="bounded", patch=patch, shortest=378, longest=980, outputs=latents, markers=2)


def _grids(ends: Ends) -> tuple[tuple[int, int], ...]:
    """The grids that the file lists; none where it lists none as pairs of sizes."""
    listed = ends.file.own.value("image_grid_pinpoints")
    pairs = [pair for pair in listed if isinstance(pair, list)] if isinstance(listed, list) else []
    sizes = [pair for pair in pairs if len(pair) == _SIDES and all(type(side) is int and side > 0 for side in pair)]
    return tuple((high, wide) for high, wide in sizes) if len(sizes) == len(pairs) else ()


def _llava_next(ends: Ends) -> Reading:
    grid, classes = _patches(ends)
    side, _ = ends.tower.sides("image_size")
    grids = _grids(ends) or _GRIDS
    return AnyResolution(kind="any-resolution", grids=grids, tile=side, outputs=grid, patches=grid, classes=classes)


def _one_vision(ends: Ends) -> Reading:
    grid, classes = _patches(ends)
    side, _ = ends.tower.sides("image_size")
    places = range(1, _MOST_GRIDS + 1)
    grids = _grids(ends) or tuple((rows * side, columns * side) for rows in places for columns in places)
    return AnyResolution(
        kind="any-resolution", grids=grids, tile=side, outputs=grid, patches=grid, classes=classes, max_tiles=9
    )


_QWEN3: Final = _native(65_536, 16_777_216)
_GLM: Final = _native(112 * 112 // 2, 28 * 28 * 15_000 // 2)
_QWEN_OMNI: Final = _native(56 * 56, 28 * 28 * 1280)
IMAGES: Final[dict[str, Callable[[Ends], Reading | None]]] = {
    "clip": _compared,
    "siglip": _compared,
    "siglip2": _any_compared,
    "blip": _captioned,
    "phi4_multimodal": _phi4,
    "lfm2_vl": _lfm2,
    "step3p7": _step,
    "glmga": _GLM,
    "qwen3_omni_moe_thinker": _QWEN_OMNI,
    "llava": _whole,
    "vipllava": _whole,
    "video_llava": _whole,
    "deepseek_vl": _whole,
    "deepseek_vl_hybrid": _whole,
    "paligemma": _whole,
    "gemma3": _fixed(_tokens_of),
    "shieldgemma2": _fixed(_tokens_of),
    "blip-2": _fixed(_queries),
    "instructblip": _fixed(_queries),
    "instructblipvideo": _fixed(_queries),
    "aria": _aria,
    "aya_vision": _aya,
    "exaone4_5": _native(56 * 56, 28 * 28 * 1280),
    "hyperclovax_vision_v2": _native(56 * 56, 28 * 28 * 1280),
    "qwen2_5_omni_thinker": _native(56 * 56, 28 * 28 * 1280),
    "qwen2_vl": _native(56 * 56, 28 * 28 * 1280),
    "qwen2_5_vl": _native(56 * 56, 28 * 28 * 1280),
    "qwen3_vl": _QWEN3,
    "qwen3_vl_moe": _QWEN3,
    "qwen3_5": _QWEN3,
    "qwen3_5_moe": _QWEN3,
    "glm4v": _GLM,
    "glm46v": _GLM,
    "glm4v_moe": _GLM,
    "glm_ocr": _GLM,
    "glm5_next": _GLM,
    "ernie4_5_vl_moe": _ernie,
    "minimax_m3_vl": _native(4 * 28 * 28, 451_584),
    "paddleocr_vl": _native(384 * 384, 1536 * 1536),
    "video_llama_3": _video_llama,
    "kimi_k25": _kimi,
    "mistral3": _pixtral,
    "lighton_ocr": _pixtral,
    "mistral_large4": _pixtral,
    "gemma4": _gemma4,
    "gemma4_unified": _unified,
    "internvl": _intern,
    "qianfan_ocr": _intern,
    "cohere2_vision": _cohere,
    "llama4": _llama4,
    "mllama": _mllama,
    "idefics2": _idefics2,
    "idefics3": _idefics3,
    "smolvlm": _idefics3,
    "granite_docling": _docling,
    "minicpmv4_6": _minicpm,
    "minicpmv4_7": _minicpm,
    "got_ocr2": _got,
    "florence2": _florence,
    "llava_next": _llava_next,
    "llava_next_video": _llava_next,
    "llava_onevision": _one_vision,
}
"""How each family reads an image; of others it is not known here."""
