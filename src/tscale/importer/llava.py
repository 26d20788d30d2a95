"""Files of LLaVA's own code, before transformers had a class for it: the sizes of the text model, and the name of a vision tower.

What stands between the two is in the checkpoint; the tower is loaded from the repository of its name, where its sizes are.

Source: https://github.com/haotian-liu/LLaVA, llava/model, and https://github.com/LLaVA-VL/LLaVA-NeXT, which has SigLIP's towers too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from tscale.blocks.image_tiles import AnyResolution
from tscale.blocks.tower import Tower
from tscale.blocks.tower_inputs import FixedImage
from tscale.errors import SpecError, called, shown
from tscale.importer.config_keys import unknown
from tscale.importer.towers.parts import ACTIVATED, READ, linear, vector

if TYPE_CHECKING:
    from tscale.blocks.tower_inputs import Reading
    from tscale.importer.towers.ends import Pieces
    from tscale.models.spec import ModelSpec

_TEXTS: Final = {
    "llama": "LlavaLlamaForCausalLM",
    "mistral": "LlavaMistralForCausalLM",
    "qwen2": "LlavaQwenForCausalLM",
}
_KINDS: Final = {"llava_llama": "llama", "llava_mistral": "mistral", "llava_qwen": "qwen2"}
_CLIP: Final[dict[str, object]] = {
    "model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
    "num_attention_heads": 16, "patch_size": 14,
}  # fmt: skip
_SIGLIP: Final[dict[str, object]] = {
    "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 26,
    "num_attention_heads": 16, "patch_size": 14, "image_size": 384, "vision_use_head": False,
}  # fmt: skip
TOWERS: Final[Mapping[str, dict[str, object]]] = {
    "openai/clip-vit-large-patch14": _CLIP | {"image_size": 224},
    "openai/clip-vit-large-patch14-336": _CLIP | {"image_size": 336},
    "google/siglip-so400m-patch14-384": _SIGLIP,
}
"""The towers that are known by their names, as LLaVA builds them: of SigLIP without its last layer and its head."""
_READ: Final = frozenset({
    "mm_vision_tower", "mm_hidden_size", "mm_projector_type", "mm_vision_select_layer", "mm_vision_select_feature",
    "mm_patch_merge_type", "mm_resampler_type", "image_aspect_ratio", "image_grid_pinpoints", "s2", "add_faster_video",
})  # fmt: skip
_HARMLESS: Final = re.compile(
    r"mm_(projector_lr|vision_tower_lr|use_im_\w+|tunable_parts|newline_position|spatial_pool_\w+)|(tune|freeze|unfreeze)_mm_\w+"
    r"|use_mm_proj|image_(crop|split)_resolution|image_token_index|tokenizer_\w+|vision_tower_pretrained|(use_)?pos_skipping(_range)?"
)
"""How such a model is trained, how it reads videos, and tokens that its vocabulary has already."""
_OF_IMAGES: Final = re.compile(r"mm_\w+|vision_\w+|s2\w*")
_OF_WHOLE: Final = ("tie_word_embeddings", "torch_dtype", "dtype", "quantization_config")


class Parts(NamedTuple):
    """What a file says: the `config.json` of transformers with the same text model and tower, and notes on it."""

    same: dict[str, object]
    notes: tuple[str, ...]


def is_original(config: Mapping[str, object]) -> bool:
    """Whether a file is of LLaVA's own code."""
    kind = config.get("model_type")
    own = isinstance(kind, str) and (kind in _KINDS or (kind == "llava" and "mm_vision_tower" in config))
    return own and "text_config" not in config


def parted(config: Mapping[str, object], where: str) -> Parts:
    """The text model and the tower of a file. Raises `SpecError` for a tower whose sizes are not known."""
    tower = _tower(config, where)
    text = {key: value for key, value in config.items() if not _is_own(key, value, where)}
    vision = TOWERS[tower]
    same = {key: config[key] for key in _OF_WHOLE if config.get(key) is not None} | {
        "model_type": "llava",
        "text_config": text | {"model_type": _text(config, where)},
        "vision_config": vision,
        "vision_feature_layer": _layer(config, where) if vision is not _SIGLIP else -1,
    }
    counted = f"The vision tower is counted as {tower} is published: the file has its name ({called(str(config['mm_vision_tower']), 80)}), and no sizes of it."
    return Parts(same, ("Read as a file of LLaVA's own code.", counted))


def joined(spec: ModelSpec, config: Mapping[str, object], where: str) -> ModelSpec:
    """A model with the projector that its file says between the text model and the tower, and the rule for its images."""
    assert spec.towers is not None, "the tower is one of those that are known"
    vision = TOWERS[_tower(config, where)]
    tower = replace(spec.towers[0], input=_reading(config, vision))
    pieces = tuple(_projector(config, vision, spec.d_model, where))
    projector = (Tower(part="projector", pieces=pieces),) if pieces else ()
    return replace(spec, towers=(tower, *projector))


def _tower(config: Mapping[str, object], where: str) -> str:
    """The tower that a file names, of a copy on a disk by the end of its path. Raises `SpecError` for one that is not known."""
    said = config.get("mm_vision_tower")
    if not isinstance(said, str):
        raise SpecError(f"mm_vision_tower must be the name of a vision tower, not {shown(said)}", where=where)
    ending = said.rstrip("/").rpartition("/")[2]
    found = next((name for name in TOWERS if said == name or ending == name.rpartition("/")[2]), None)
    if found is None:
        raise SpecError(
            f"mm_vision_tower: the sizes of {shown(said)} are not in the file, and only those of {', '.join(TOWERS)} are known: "
            f"to count the text model alone, drop the keys that begin with mm_ and set model_type to {_text(config, where)}",
            where=where,
        )
    return found


def _text(config: Mapping[str, object], where: str) -> str:
    """The family of the text model, by the type or the class that a file names. Raises `SpecError` for another class."""
    named = config.get("architectures")
    by_kind = _KINDS.get(str(config["model_type"]))
    if named in (None, []):
        return by_kind or "llama"
    found = next((text for text, cls in _TEXTS.items() if named == [cls]), None)
    if found is None:
        raise SpecError(
            f"architectures: {shown(named)} is not known for llava: only {', '.join(_TEXTS.values())}", where=where
        )
    if by_kind not in (None, found):
        raise SpecError(
            f"architectures ({shown(named)}) and model_type ({shown(config['model_type'])}) differ", where=where
        )
    return found


def _is_own(key: str, value: object, where: str) -> bool:
    """Whether a key says nothing of the text model. Raises `SpecError` for one that may change what is counted."""
    if key in ("mm_resampler_type", "s2", "add_faster_video") and value:
        raise SpecError(f"{key}: {shown(value)} is not known yet for llava: only null or false is", where=where)
    if key in _READ or key in ("architectures", *_OF_WHOLE) or _HARMLESS.fullmatch(key):
        return True
    if value and _OF_IMAGES.fullmatch(key):
        raise unknown(key, value, "llava", where)
    return bool(_OF_IMAGES.fullmatch(key))


def _layer(config: Mapping[str, object], where: str) -> int:
    """The layer of the tower that is read."""
    said = config.get("mm_vision_select_layer")
    if not isinstance(said, int) or isinstance(said, bool):
        raise SpecError(f"mm_vision_select_layer must be a whole number, not {shown(said)}", where=where)
    return said


def _projector(config: Mapping[str, object], vision: Mapping[str, object], d_model: int, where: str) -> Pieces:
    """So many matrices with an activation between two, and a vector that ends each row of an image of several tiles."""
    kind, width = config.get("mm_projector_type", "linear"), vision["hidden_size"]
    said = config.get("mm_hidden_size")
    assert isinstance(width, int)
    if said != width:
        raise SpecError(f"mm_hidden_size: {shown(said)} is not {width:,}, which the tower yields", where=where)
    deep = re.fullmatch(r"mlp([1-9]\d?)x_gelu", kind) if isinstance(kind, str) else None
    if "unpad" in _merged(config):
        yield vector("image_newline", d_model, does="joins")
    if kind == "linear" or deep is not None:
        depth = 1 if deep is None else int(deep[1])
        for layer in range(1, depth + 1):
            keeps = READ if layer == depth else ACTIVATED
            yield linear(f"linear_{layer}", width if layer == 1 else d_model, d_model, at="outputs", keeps=keeps)
    elif kind != "identity":
        known = "linear, identity, mlp2x_gelu and the like"
        raise SpecError(f"mm_projector_type: {shown(kind)} is not known for llava: only {known}", where=where)


def _merged(config: Mapping[str, object]) -> str:
    return str(config.get("mm_patch_merge_type") or "flat")


def _reading(config: Mapping[str, object], vision: Mapping[str, object]) -> Reading | None:
    """Images of one size, or in the best of several grids of tiles; None where a file makes them another way."""
    side, patch, clip = vision["image_size"], vision["patch_size"], vision is not _SIGLIP
    assert isinstance(side, int)
    assert isinstance(patch, int)
    patches, ratio = (side // patch) ** 2, config.get("image_aspect_ratio")
    whole = clip and config.get("mm_vision_select_feature") == "cls_patch"
    if ratio in (None, "pad", "square"):
        outputs = patches + 1 if whole else patches
        return FixedImage(kind="fixed", patches=patches, classes=int(clip), outputs=outputs)
    tiled, grids = re.fullmatch(r"anyres(?:_max_([1-9]\d?))?", str(ratio)), _grids(config)
    if tiled is None or whole or grids is None or _merged(config) != "spatial_unpad":
        return None
    most = None if tiled[1] is None else int(tiled[1])
    return AnyResolution(
        kind="any-resolution",
        grids=grids,
        tile=side,
        outputs=patches,
        patches=patches,
        classes=int(clip),
        max_tiles=most,
        rounded=False,
    )


def _grids(config: Mapping[str, object]) -> tuple[tuple[int, int], ...] | None:
    """The grids that a file lists, as heights and widths: it has widths first."""
    listed = config.get("image_grid_pinpoints")
    pairs = listed if isinstance(listed, list) else []
    sizes = [
        pair
        for pair in pairs
        if isinstance(pair, list) and [type(side) for side in pair] == [int, int] and min(pair) > 0
    ]
    return tuple((high, wide) for wide, high in sizes) if pairs and len(sizes) == len(pairs) else None
