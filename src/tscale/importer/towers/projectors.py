"""What stands between a vision tower and the language model: the projector of each family that has images.

Those that merge patches are in `merging`, those whose queries attend to patches in `querying`.
"""

from __future__ import annotations

from typing import Final

from tscale.blocks.contrast import Contrast
from tscale.importer.towers.ends import Ends, Pieces, Projector, chosen_layers, two_layers
from tscale.importer.towers.merging import (
    aya,
    cohere2,
    glm4v,
    got,
    hyperclova,
    idefics3,
    intern,
    kimi,
    lfm2,
    minicpm,
    minimax,
    mistral3,
    paddle,
    qwen2,
    qwen2_5,
    qwen3,
    qwen3_5,
    step,
)
from tscale.importer.towers.parts import READ, linear, norm, vector
from tscale.importer.towers.querying import aria, blip2, idefics2
from tscale.importer.towers.sam import sam_neck, side_of


def llava(ends: Ends) -> Pieces:
    """Two matrices (Liu 2023)."""
    file, v, d = ends.file, ends.tower, ends.d_model
    yield from two_layers(
        v.size("hidden_size") * chosen_layers(file), d, d, bias=file.own.flag("multimodal_projector_bias")
    )


def with_newline(ends: Ends) -> Pieces:
    """The same, and a vector that ends each row of an image of several tiles."""
    d = ends.d_model
    yield vector("image_newline", d, does="joins")
    yield from llava(ends)


def vipllava(ends: Ends) -> Pieces:
    """A norm over several layers' outputs, and two matrices."""
    file, v, d = ends.file, ends.tower, ends.d_model
    wide = v.size("hidden_size") * chosen_layers(file)
    yield norm("norm", wide, at="outputs")
    yield from two_layers(wide, d, d)


def readout(ends: Ends) -> Pieces:
    """Two matrices (VideoLLaMA 3)."""
    v, d = ends.tower, ends.d_model
    yield from two_layers(v.size("hidden_size"), d, d)


def one_matrix(ends: Ends) -> Pieces:
    """One matrix (PaliGemma)."""
    file, v = ends.file, ends.tower
    yield linear("linear", v.size("hidden_size"), file.own.size("projection_dim"), at="outputs", keeps=READ)


def gemma3(ends: Ends) -> Pieces:
    """A norm and one matrix on patches that are averaged."""
    v, d = ends.tower, ends.d_model
    width = v.size("hidden_size")
    yield norm("norm", width, "rmsnorm", at="outputs")
    yield linear("linear", width, d, bias=False, at="outputs", keeps=READ)


def gemma4(ends: Ends) -> Pieces:
    """One matrix behind a norm without weights."""
    v, d = ends.tower, ends.d_model
    yield linear("linear", v.size("hidden_size"), d, bias=False, at="outputs", keeps=READ)


def llama4(ends: Ends) -> Pieces:
    """One matrix."""
    v, d = ends.tower, ends.d_model
    yield linear("linear", v.size("vision_output_dim"), d, bias=False, at="outputs", keeps=READ)


def mllama(ends: Ends) -> Pieces:
    """One matrix, to whose outputs layers of the text model attend."""
    v, d = ends.tower, ends.d_model
    yield linear("linear", v.size("vision_output_dim"), d, at="outputs", keeps=READ)


def deepseek(ends: Ends) -> Pieces:
    """Two matrices."""
    v, d = ends.tower, ends.d_model
    yield from two_layers(v.size("hidden_size"), d, d)


def deepseek_hybrid(ends: Ends) -> Pieces:
    """What two towers yield, each through a matrix of its own to half the width, and one matrix on both."""
    file, v, d = ends.file, ends.tower, ends.d_model
    s = file.inside("high_res_vision_config")
    assert s is not None, "the class always has one"
    width, out = s.size("hidden_size"), s.size("output_channels")
    yield vector("high_res.alpha", 1)
    yield from sam_neck("high_res.neck", width, out, side_of(s) ** 2)
    yield linear("high_res.conv_1", 9 * out, 2 * out, bias=False, at="outputs", conv=True)
    yield linear("high_res.conv_2", 9 * 2 * out, 4 * out, bias=False, at="outputs", conv=True)
    yield linear("low_res", v.size("hidden_size"), d // 2, at="outputs")
    yield linear("high_res", 4 * out, d // 2, at="outputs")
    yield linear("linear", d, d, at="outputs")


def phi4(ends: Ends) -> Pieces:
    """Two vectors that end rows and images, and two matrices."""
    v, d = ends.tower, ends.d_model
    width = v.size("hidden_size")
    yield vector("end_of_image", width)
    yield vector("end_of_row", width)
    yield from two_layers(width, d, d)


def clip(ends: Ends) -> Pieces:
    """A matrix from each encoder to what is compared, and a scale (Radford 2021)."""
    out = ends.file.own.size("projection_dim")
    yield linear("images", ends.tower.size("hidden_size"), out, bias=False, at="once", keeps=READ)
    yield linear("texts", ends.d_model, out, bias=False, at="once", keeps=READ)
    yield vector("scale", 1, does="joins")
    yield Contrast(kind="contrast", width=out, loss="softmax")


def siglip(ends: Ends) -> Pieces:
    """A scale and a bias: what the encoders yield is compared as it is (Zhai 2023)."""
    yield vector("scale", 1, does="joins")
    yield vector("bias", 1, does="joins")
    yield Contrast(kind="contrast", width=ends.d_model, loss="sigmoid")


PROJECTORS: Final[dict[str, Projector]] = {
    "clip": clip,
    "siglip": siglip,
    "siglip2": siglip,
    "llava": llava,
    "llava_next": with_newline,
    "llava_next_video": with_newline,
    "llava_onevision": with_newline,
    "video_llava": llava,
    "vipllava": vipllava,
    "video_llama_3": readout,
    "qwen2_vl": qwen2,
    "qwen2_5_vl": qwen2_5,
    "exaone4_5": qwen2_5,
    "hyperclovax_vision_v2": hyperclova,
    "qwen3_vl": qwen3,
    "qwen3_vl_moe": qwen3,
    "qwen3_5": qwen3_5,
    "qwen3_5_moe": qwen3_5,
    "internvl": intern,
    "qianfan_ocr": intern,
    "paligemma": one_matrix,
    "gemma3": gemma3,
    "shieldgemma2": gemma3,
    "gemma4": gemma4,
    "mistral3": mistral3,
    "lighton_ocr": mistral3,
    "mistral_large4": mistral3,
    "idefics2": idefics2,
    "idefics3": idefics3,
    "smolvlm": idefics3,
    "llama4": llama4,
    "mllama": mllama,
    "glm4v": glm4v,
    "glm46v": glm4v,
    "glmga": glm4v,
    "glm4v_moe": glm4v,
    "glm_ocr": glm4v,
    "glm5_next": glm4v,
    "kimi_k25": kimi,
    "minimax_m3_vl": minimax,
    "step3p7": step,
    "aya_vision": aya,
    "cohere2_vision": cohere2,
    "lfm2_vl": lfm2,
    "paddleocr_vl": paddle,
    "deepseek_vl": deepseek,
    "deepseek_vl_hybrid": deepseek_hybrid,
    "got_ocr2": got,
    "aria": aria,
    "blip-2": blip2,
    "instructblip": blip2,
    "minicpmv4_6": minicpm,
    "minicpmv4_7": minicpm,
    "phi4_multimodal": phi4,
}
"""What each family with images has between its tower and the text model."""
