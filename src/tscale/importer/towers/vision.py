"""Vision towers, one function a type: the pieces that its class builds, from the keys of its configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Literal

from tscale.blocks import Attention
from tscale.blocks.tower_pieces import Piece, RunsOver, TowerLayers
from tscale.importer.towers.ends import Pieces
from tscale.importer.towers.parts import (
    ACTIVATED,
    READ,
    layer_scales,
    layers,
    linear,
    norm,
    pooling_head,
    table,
    vector,
)
from tscale.importer.towers.sam import sam
from tscale.importer.towers.sizes import Sizes


def patches(
    v: Sizes, width: int, *, bias: bool = True, channels: str = "num_channels", frames: int = 1, conv: bool = True
) -> Piece:
    """The convolution, or the matrix on cut-out pixels, that makes a vector of each patch, of so many frames."""
    d_in = frames * v.pixels(channels)
    return linear("patch_embedding", d_in, width, bias=bias, at="patches", keeps=READ, conv=conv)


def and_out(also: bool) -> tuple[Literal["q", "k", "v", "o"], ...]:
    """The projection behind attention has a bias, and those before it where the file says so."""
    return ("q", "k", "v", "o") if also else ("o",)


def usual(v: Sizes, d_ff: int | None = None, **how: Any) -> Piece:
    """Layers under the names that most types have, with a layernorm and a bias everywhere but for `how` they are built (`layers`)."""
    d, heads = v.size("hidden_size"), v.size("num_attention_heads")
    return layers(v.size("num_hidden_layers"), d, heads, v.size("intermediate_size") if d_ff is None else d_ff, **how)


def clip(v: Sizes) -> Pieces:
    """CLIP: a class token, a table of positions, a norm before the layers and one behind (Radford 2021)."""
    yield from _clip(v)
    yield norm("norm.post", v.size("hidden_size"), at="once")


def _clip(v: Sizes, *, conv: bool = True) -> Pieces:
    d = v.size("hidden_size")
    yield vector("class_embedding", d, does="joins")
    yield patches(v, d, bias=False, conv=conv)
    yield table("positions", v.grid() + 1, d)
    yield norm("norm.pre", d)
    yield usual(v)


def siglip(v: Sizes) -> Pieces:
    """SigLIP: no class token, and a pooling head where the file has one (Zhai 2023)."""
    yield from _siglip(v, v.grid(), head=v.flag("vision_use_head"))


def _siglip(v: Sizes, rows: int, *, head: bool = False, conv: bool = True) -> Pieces:
    d = v.size("hidden_size")
    yield patches(v, d, conv=conv)
    if rows:
        yield table("positions", rows, d)
    yield usual(v)
    yield norm("norm.post", d)
    if head:
        yield from pooling_head(d, v.size("num_attention_heads"), v.size("intermediate_size"))


def headless(v: Sizes) -> Pieces:
    """A SigLIP without a head (Idefics2, Idefics3, SmolVLM, PaddleOCR-VL)."""
    yield from _siglip(v, v.grid())


def unplaced(v: Sizes) -> Pieces:
    """A SigLIP without a table of positions: they are rotated (VideoLLaMA 3)."""
    yield from _siglip(v, 0)


def siglip2(v: Sizes) -> Pieces:
    """SigLIP 2 of any resolution: a table of so many positions, resized to each image."""
    yield from _siglip(v, v.size("num_patches"), head=v.flag("vision_use_head"), conv=False)


def phi4(v: Sizes) -> Pieces:
    """A SigLIP with a head, whatever the file says (Phi-4-multimodal)."""
    yield from _siglip(v, v.grid(), head=True)


def intern(v: Sizes) -> Pieces:
    """InternViT: a class token, norms and scales in each layer, biases where the file has them."""
    d = v.size("hidden_size")
    qk: Literal["full"] | None = "full" if v.flag("use_qk_norm") else None
    kind: Literal["layernorm", "rmsnorm"] = "layernorm" if v.value("norm_type") == "layer_norm" else "rmsnorm"
    yield vector("class_embedding", d, does="joins")
    if v.flag("use_mask_token"):
        yield vector("mask_token", d, does="joins")
    yield patches(v, d)
    if v.flag("use_absolute_position_embeddings"):
        yield table("positions", v.grid() + 1, d)
    yield usual(v, kind=kind, bias=and_out(v.flag("attention_bias")), qk_norm=qk, each=layer_scales(d))
    if not v.flag("use_mean_pooling"):
        yield norm("norm.post", d)


def pixtral(v: Sizes) -> Pieces:
    """Pixtral: no biases, gated, positions rotated, a norm before the layers (Agrawal 2024)."""
    d = v.size("hidden_size")
    yield patches(v, d, bias=False)
    yield norm("norm.pre", d, "rmsnorm")
    yield usual(v, kind="rmsnorm", bias=False, gated=True, d_ff_bias=False)


def qwen2(v: Sizes) -> Pieces:
    """Qwen2-VL: patches of two frames, positions rotated (Wang 2024)."""
    d, times = v.size("embed_dim"), v.real("mlp_ratio")
    yield patches(v, d, bias=False, channels="in_channels", frames=v.size("temporal_patch_size"))
    yield layers(v.size("depth"), d, v.size("num_heads"), int(d * times))


def qwen2_5(v: Sizes, kv_heads: int | None = None) -> Pieces:
    """Qwen2.5-VL: gated, with RMS norms; all layers but some look within windows (Bai 2025)."""
    d, depth = v.size("hidden_size"), v.size("depth")
    yield patches(v, d, bias=False, channels="in_channels", frames=v.size("temporal_patch_size"))
    full = [layer for layer in v.sizes("fullatt_block_indexes") if layer < depth]
    window = v.size("window_size") // v.size("patch_size")
    if not window:
        raise v.wrong("window_size", "it is smaller than a patch")
    for name, count, within in (("local", depth - len(full), window**2), ("layers", len(full), None)):
        if count:
            yield layers(
                count, d, v.size("num_heads"), v.size("intermediate_size"),
                kind="rmsnorm", gated=True, kv_heads=kv_heads, window=within, name=name,
            )  # fmt: skip


def exaone(v: Sizes) -> Pieces:
    """The same with grouped keys and values (EXAONE 4.5)."""
    yield from qwen2_5(v, v.size("num_key_value_heads"))


def qwen3(v: Sizes) -> Pieces:
    """Qwen3-VL: a table of positions, resized to each image, besides rotated ones."""
    d = v.size("hidden_size")
    yield patches(v, d, channels="in_channels", frames=v.size("temporal_patch_size"))
    yield table("positions", v.size("num_position_embeddings"), d)
    yield layers(v.size("depth"), d, v.size("num_heads"), v.size("intermediate_size"))


def glm4v(v: Sizes) -> Pieces:
    """GLM-4.1V: a norm behind the patches, gated layers as wide inside as what they yield, and a table of positions."""
    d = v.size("hidden_size")
    yield table("positions", v.grid(), d)
    yield from _glm(v, v.size("out_hidden_size"), bias=("q", "k", "v") if v.flag("attention_bias") else False)
    yield norm("norm.embedding", d, "rmsnorm")


def glm_ocr(v: Sizes) -> Pieces:
    """GLM-OCR: the same without a table, with norms on queries and keys."""
    yield from _glm(v, v.size("intermediate_size"), bias=v.flag("attention_bias"), ocr=True)


def _glm(v: Sizes, d_ff: int, *, bias: bool | tuple[Literal["q", "k", "v"], ...], ocr: bool = False) -> Pieces:
    d = v.size("hidden_size")
    yield patches(v, d, channels="in_channels", frames=v.size("temporal_patch_size"))
    yield layers(
        v.size("depth"), d, v.size("num_heads"), d_ff, kind="rmsnorm", gated=True, bias=bias,
        d_ff_bias=ocr and bias is True, qk_norm="head" if ocr else None,
    )  # fmt: skip
    yield norm("norm.post", d, "rmsnorm")


def kimi(v: Sizes) -> Pieces:
    """MoonViT: a table of positions of a grid, resized to each image, besides rotated ones (Kimi Team 2025)."""
    d = v.size("hidden_size")
    yield linear("patch_embedding", 3 * v.size("patch_size") ** 2, d, at="patches", keeps=READ, conv=True)
    yield table("positions", v.size("pos_emb_height") * v.size("pos_emb_width"), d)
    yield usual(v)
    yield norm("norm.post", d)


def minimax(v: Sizes) -> Pieces:
    """MiniMax-M3: CLIP without class token and table, of two frames."""
    d = v.size("hidden_size")
    yield patches(v, d, bias=False, frames=v.size("temporal_patch_size"))
    yield norm("norm.pre", d)
    yield usual(v)


def step(v: Sizes) -> Pieces:
    """Step3-VL: a table, rotated positions and scales, and two convolutions that quarter the patches twice."""
    d = v.size("hidden_size")
    yield patches(v, d, bias=False)
    yield table("positions", v.grid(), d)
    yield norm("norm.pre", d)
    yield usual(v, int(d * v.real("mlp_ratio")), each=layer_scales(d))
    yield linear("downsampler_1", 9 * d, 2 * d, at="outputs", times=4, conv=True)
    yield linear("downsampler_2", 9 * 2 * d, 4 * d, at="outputs", conv=True)


def llama4(v: Sizes) -> Pieces:
    """Llama 4: a class token, a table and rotated positions, and an adapter behind a pixel shuffle."""
    yield from _clip(v, conv=False)
    yield norm("norm.post", v.size("hidden_size"))
    inner, out = v.size("projector_input_dim"), v.size("projector_output_dim")
    yield linear("adapter_1", v.size("intermediate_size"), inner, bias=False, at="outputs", keeps=ACTIVATED)
    yield linear("adapter_2", out, out, bias=False, at="outputs", keeps=ACTIVATED)


def mllama(v: Sizes) -> Pieces:
    """Llama 3.2 Vision: tables for each layout of tiles, two stacks of layers, the second with gates (Dubey 2024)."""
    d, rows = v.size("hidden_size"), v.grid() + 1
    layouts, tiles = len(_listed(v, "supported_aspect_ratios")) + 1, v.size("max_num_tiles")
    yield vector("class_embedding", d, does="joins")
    yield patches(v, d, bias=False)
    yield table("positions", rows, d)
    yield vector("positions.gate", 1, does="joins")
    yield replace(table("positions.tiles", layouts, tiles * rows * d), gated=True)
    for place in ("pre", "post"):
        yield replace(table(f"tiles.{place}", layouts, tiles * d), gated=True)
        yield vector(f"tiles.{place}.gate", 1, does="joins")
    yield norm("norm.pre", d, at="outputs")  # before positions are padded
    heads, d_ff = v.size("attention_heads"), v.size("intermediate_size")
    yield layers(v.size("num_hidden_layers"), d, heads, d_ff, bias=False)
    gates = tuple(replace(vector(f"gate.{half}", 1, does="scales"), inputs=d) for half in ("attention", "feed_forward"))
    yield layers(v.size("num_global_layers"), d, heads, d_ff, bias=False, each=gates, name="global")
    yield norm("norm.post", d)


def _listed(v: Sizes, key: str) -> list[object]:
    value = v.value(key)
    return value if isinstance(value, list) else v.mistyped(key, "a list", value)


def gemma4(v: Sizes) -> Pieces:
    """Gemma 4: tables for rows and columns, norms before and behind each half of a layer, and on queries and keys."""
    d = v.size("hidden_size")
    yield linear("patch_embedding", 3 * v.size("patch_size") ** 2, d, bias=False, at="patches", keeps=READ)
    yield table("positions", 2 * v.size("position_embedding_size"), d)
    yield usual(
        v, kind="rmsnorm", bias=False, kv_heads=v.size("num_key_value_heads"), head_dim=v.size("head_dim"),
        qk_norm="head", v_norm=True, gated=True, d_ff_bias=False, place="sandwich",
    )  # fmt: skip


def blip2(v: Sizes) -> Pieces:
    """BLIP-2's EVA-CLIP: a class token and a table (Li 2023)."""
    d = v.size("hidden_size")
    yield vector("class_embedding", d, does="joins")
    yield linear("patch_embedding", 3 * v.size("patch_size") ** 2, d, at="patches", keeps=READ, conv=True)
    yield table("positions", v.grid() + 1, d)
    yield usual(v, bias=and_out(v.flag("qkv_bias")))
    yield norm("norm.post", d)


def janus(v: Sizes) -> Pieces:
    """Janus: a SigLIP whose layers are as wide inside as a ratio says."""
    d = v.size("hidden_size")
    yield patches(v, d)
    yield table("positions", v.grid(), d)
    bias, qk = v.flag("attention_bias"), v.flag("use_qk_norm")
    d_ff = int(d * v.real("mlp_ratio"))
    yield usual(v, d_ff, bias=and_out(bias), qk_norm="full" if qk else None, qk_norm_bias=qk)
    yield norm("norm.post", d)


def minicpm(v: Sizes) -> Pieces:
    """MiniCPM-V 4.6: a SigLIP with attention within windows of patches half-way, which are merged behind it."""
    d, heads, d_ff = v.size("hidden_size"), v.size("num_attention_heads"), v.size("intermediate_size")
    count, before = v.size("num_hidden_layers"), v.whole("insert_layer_id") + 1
    high, wide = v.sides("window_kernel_size")
    window, merged = high * wide, high * wide * d
    yield patches(v, d)
    yield table("positions", v.grid(), d)
    stacks: tuple[tuple[str, int, RunsOver], ...] = (
        ("layers", min(before, count), "patches"),
        ("merged", max(count - before, 0), "inputs"),
    )
    for name, many, at in stacks:
        if many:
            yield layers(many, d, heads, d_ff, name=name, at=at)
    within = Attention(heads=heads, bias=True, window=window, chunked=True)
    yield TowerLayers(kind="layers", name="merger", layers=1, d_model=d, attention=within, at="patches")
    yield norm("merger.norm_1", d, at="patches")
    yield norm("merger.norm_2", merged)
    yield linear("merger.up", merged, window * d_ff, keeps=ACTIVATED)
    yield linear("merger.down", window * d_ff, d, keeps=READ)
    yield norm("norm.post", d)


KINDS: Final[dict[str, Callable[[Sizes], Pieces]]] = {
    "clip_vision_model": clip,
    "siglip_vision_model": siglip,
    "siglip2_vision_model": siglip2,
    "idefics2_vision": headless,
    "idefics3_vision": headless,
    "smolvlm_vision": headless,
    "paddleocr_vl_vision": headless,
    "video_llama_3_vision": unplaced,
    "phi4_multimodal_vision": phi4,
    "internvl_vision": intern,
    "qianfan_ocr_vision": intern,
    "pixtral": pixtral,
    "qwen2_vl_vision": qwen2,
    "qwen2_5_vl_vision": qwen2_5,
    "exaone4_5_vision": exaone,
    "qwen3_vl_vision": qwen3,
    "qwen3_vl_moe_vision": qwen3,
    "qwen3_5_vision": qwen3,
    "qwen3_5_moe_vision": qwen3,
    "glm4v_vision": glm4v,
    "glm4v_moe_vision": glm4v,
    "glm_ocr_vision": glm_ocr,
    "glm5_next_vision": glm_ocr,
    "kimi_k25_vision": kimi,
    "minimax_m3_vl_vision": minimax,
    "step3p5_vision": step,
    "llama4_vision_model": llama4,
    "mllama_vision_model": mllama,
    "gemma4_vision": gemma4,
    "blip_2_vision_model": blip2,
    "instructblip_vision_model": blip2,
    "janus_vision_model": janus,
    "sam_vision_model": sam,
    "got_ocr2_vision": sam,
    "minicpmv4_6_vision": minicpm,
    "minicpmv4_7_vision": minicpm,
}
"""The pieces of each type of vision tower."""
