"""Towers and projectors of families that speak, read pages or see videos: pieces by type and by family, as in `vision` and `audio`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from tscale.blocks.tower_pieces import Simple
from tscale.importer.towers import audio, vision
from tscale.importer.towers.ends import Ends, Pieces, Projector, two_layers
from tscale.importer.towers.merging import qwen2_5, qwen3
from tscale.importer.towers.parts import (
    ACTIVATED,
    READ,
    bare_layers,
    depthwise,
    layers,
    linear,
    norm,
    scores,
    table,
    unlearned,
    vector,
)
from tscale.importer.towers.querying import qformer
from tscale.importer.towers.sizes import File, Sizes


def omni_ears(a: Sizes) -> Pieces:
    """Qwen2.5-Omni's: Whisper's encoder, whose sines are no parameters and whose layers look within chunks (Xu 2025)."""
    d = a.size("d_model")
    yield linear("conv_1", 3 * a.size("num_mel_bins"), d, times=2, conv=True)
    yield linear("conv_2", 3 * d, d, conv=True)
    yield layers(
        a.size("encoder_layers"),
        d,
        a.size("encoder_attention_heads"),
        a.size("encoder_ffn_dim"),
        bias=("q", "v", "o"),
        window=a.size("n_window"),
    )
    yield norm("norm.post", d)


_FLORENCE_SIDE: Final = 768
"""Pixels of the side that Florence-2's processor brings an image to; its files of models do not say it."""


def davit_sides(v: Sizes) -> tuple[int, ...]:
    """Positions along a side of each stage of a DaViT."""
    kernels, strides, paddings = (v.sizes(key) for key in ("patch_size", "patch_stride", "patch_padding"))
    if not len(kernels) == len(strides) == len(paddings) or not all(strides):
        raise v.wrong(
            "patch_stride", "patch_stride, patch_size and patch_padding must have one length, and strides above 0"
        )
    sides, side = list[int](), _FLORENCE_SIDE
    for kernel, stride, padding in zip(kernels, strides, paddings, strict=True):
        side = (side + 2 * padding - kernel) // stride + 1
        if side <= 0:
            raise v.wrong(
                "patch_size", f"nothing of an image of {_FLORENCE_SIDE} pixels is left behind so large kernels"
            )
        sides.append(side)
    return tuple(sides)


def davit(v: Sizes) -> Pieces:
    """DaViT: stages of convolutions and of layers that attend within windows, and then over channels (Ding 2022).

    Images are brought to one size, so that every piece says how often it runs for one.
    """
    widths, depths, kernels = (v.sizes(key) for key in ("embed_dim", "depths", "patch_size"))
    before = v.value("patch_prenorm")
    sides, heads, groups = davit_sides(v), v.sizes("num_heads"), v.sizes("num_groups")
    stages = {len(one) for one in (widths, depths, sides, heads, groups)}
    if not isinstance(before, list) or stages != {len(before)} or not all(widths) or not all(heads) or not all(groups):
        raise v.wrong(
            "depths",
            "depths, embed_dim, patch_size, patch_prenorm, num_heads and num_groups must have one length, and above 0",
        )
    d_in = v.size("in_channels")
    for place, (d, depth, side) in enumerate(zip(widths, depths, sides, strict=True)):
        yield linear(f"conv_{place + 1}", kernels[place] ** 2 * d_in, d, at="once", times=side**2, conv=True)
        yield norm(f"norm.conv_{place + 1}", d_in if before[place] else d)
        each = [*_davit_windows(v, d, heads[place], side), *_davit_channels(v, d, groups[place], side)]
        if depth:
            yield bare_layers(depth, d, each, f"stage_{place + 1}", at="once")
        d_in = d


def _davit_windows(v: Sizes, d: int, heads: int, side: int) -> list[Simple]:
    """Attention within windows, of which the last ones are padded, and a feed-forward."""
    window, name = v.size("window_size"), "windows"
    many = (-(-side // window)) ** 2
    padded = many * window**2
    seen = replace(scores(f"{name}.scores", heads, d // heads, at="once", keys="once"), copies=many * window**4)
    return [*_davit_half(v, d, name, side, padded), seen, *_davit_feed_forward(v, d, name, side)]


def _davit_channels(v: Sizes, d: int, groups: int, side: int) -> list[Simple]:
    """Attention of channels to those of their group, over all positions, and a feed-forward."""
    name, width = "channels", d // groups
    seen = replace(unlearned(f"{name}.scores", width, width, at="once"), times=2 * groups * side**2)
    return [*_davit_half(v, d, name, side, side**2), seen, *_davit_feed_forward(v, d, name, side)]


def _davit_half(v: Sizes, d: int, name: str, side: int, positions: int) -> list[Simple]:
    return [
        _filtered(f"{name}.conv_1", d, side), norm(f"norm.{name}.attention", d),
        linear(f"{name}.qkv", d, 3 * d, bias=v.flag("qkv_bias"), at="once", times=positions),
        linear(f"{name}.o", d, d, at="once", times=positions),
    ]  # fmt: skip


def _davit_feed_forward(v: Sizes, d: int, name: str, side: int) -> list[Simple]:
    inner = int(d * v.real("mlp_ratio"))
    return [
        _filtered(f"{name}.conv_2", d, side), norm(f"norm.{name}.feed_forward", d),
        linear(f"{name}.up", d, inner, at="once", times=side**2), linear(f"{name}.down", inner, d, at="once", times=side**2),
    ]  # fmt: skip


def _filtered(name: str, channels: int, side: int) -> Simple:
    return replace(depthwise(name, channels, 9, bias=True), at="once", times=side**2, trimmed=False)


def blip(v: Sizes) -> Pieces:
    """BLIP's: as BLIP-2's, with every bias (Li 2022)."""
    d, heads = v.size("hidden_size"), v.size("num_attention_heads")
    yield vector("class_embedding", d)
    yield linear("patch_embedding", 3 * v.size("patch_size") ** 2, d, at="patches", conv=True)
    yield table("positions", v.grid() + 1, d)
    yield layers(v.size("num_hidden_layers"), d, heads, v.size("intermediate_size"))
    yield norm("norm.post", d)


def ernie(v: Sizes) -> Pieces:
    """ERNIE 4.5 VL: patches of one frame, positions rotated (Baidu 2025)."""
    d = v.size("hidden_size")
    yield linear("patch_embedding", v.pixels("in_channels"), d, bias=False, at="patches")
    yield layers(v.size("depth"), d, v.size("num_heads"), v.size("intermediate_size"))
    yield norm("norm.post", d)


def unified(v: Sizes) -> Pieces:
    """Gemma 4 12B: no tower, but a matrix from the pixels of a square to the text model's width, norms and tables of rows and columns."""
    pixels, d = 3 * (v.size("patch_size") * v.size("pooling_kernel_size")) ** 2, v.size("mm_embed_dim")
    yield norm("norm.pixels", pixels, at="patches")
    yield linear("patch_embedding", pixels, d, at="patches", keeps=READ)
    yield norm("norm.patches", d, at="patches")
    yield table("positions", 2 * v.size("mm_posemb_size"), d)
    yield norm("norm.positions", d, at="patches")


VISION: Final[dict[str, Callable[[Sizes], Pieces]]] = {
    "qwen2_5_omni_vision_encoder": vision.qwen2_5,
    "qwen3_omni_moe_vision_encoder": vision.qwen3,
    "florence_vision": davit,
    "granite_docling_vision": vision.headless,
    "instructblipvideo_vision_model": vision.blip2,
    "blip_vision_model": blip,
    "ernie4_5_vl_moe_vision": ernie,
    "gemma4_unified_vision": unified,
}
"""The pieces of further types of vision tower."""
AUDIO: Final[dict[str, Callable[[Sizes], Pieces]]] = {
    "qwen2_5_omni_audio_encoder": omni_ears,
    "qwen3_omni_moe_audio_encoder": audio.qwen3_asr,
    "audioflamingo3_encoder": audio.voxtral,
    "gemma4_unified_audio": lambda _: iter(()),  # samples of a sound are what its projector reads
}
"""The pieces of further types of audio tower."""


def _florence(ends: Ends) -> Pieces:
    """A matrix without a bias, a norm, and tables of rows and columns."""
    v = ends.tower
    widths = v.sizes("embed_dim")
    d, out, rows = widths[-1], v.size("projection_dim"), v.size("max_position_embeddings")
    yield table("positions.rows", rows, d // 2)
    yield table("positions.columns", rows, d - d // 2)
    yield linear("linear", d, out, bias=False, at="outputs")
    yield norm("norm", out)


def _granite_docling(ends: Ends) -> Pieces:
    """A coarse path and a fine one, each with mergers of what some of the tower's layers yield."""
    file, v = ends.file, ends.tower
    if file.own.value("density_router_hidden_size") is not None:
        raise file.own.wrong("density_router_hidden_size", "a router between both paths is not known yet: only null is")
    d, out, factor = v.size("hidden_size"), v.size("out_hidden_size"), v.size("scale_factor")
    deep = len(v.sizes("deepstack_visual_indexes"))
    paths = [("coarse", factor, 1)]
    if v.flag("use_fine_route"):
        if factor == 1:
            raise v.wrong("scale_factor", "1 has no half for the fine path")
        paths.append(("fine", factor // 2, 0))  # which images take where a processor is asked for it alone
    yield norm("norm.in", d)
    for name, side, times in paths:
        wide, read = side**2 * d, READ if times else ()
        yield linear(name, wide, out, bias=False, at="outputs", times=times, keeps=read)
        if deep:
            gains = norm(f"{name}.deepstack.norm", wide, copies=deep, at="outputs")
            yield gains if times else replace(gains, does="idle")
            behind = partial(linear, at="outputs", copies=deep, times=times)
            yield behind(f"{name}.deepstack.linear_1", wide, out, keeps=ACTIVATED if times else ())
            yield behind(f"{name}.deepstack.linear_2", out, out, keeps=read)
    yield replace(norm("norm.mid", out, at="outputs"), activated=True)
    yield linear("linear", out, out, bias=False, at="outputs", keeps=READ)
    yield norm("norm.out", out, at="outputs")


def _of_videos(ends: Ends) -> Pieces:
    """InstructBLIP's Q-Former, which reads words too, and a matrix behind it."""
    v, q = ends.tower, ends.file.inside("qformer_config")
    assert q is not None, "the class always has one"
    yield from qformer(q, v.size("hidden_size"), ends.file.own.size("num_query_tokens"), words=True)
    yield linear("linear", q.size("hidden_size"), ends.d_model, at="outputs")


def _ernie(ends: Ends) -> Pieces:
    """Patches merged in space, then in time, each by two matrices and a norm; a matrix and a norm behind them."""
    v, d = ends.tower, ends.d_model
    wide = v.size("hidden_size") * v.size("spatial_merge_size") ** 2
    for name, d_in in (("space", wide), ("time", wide * v.size("temporal_merge_size"))):
        yield linear(f"{name}.linear_1", d_in, wide, at="outputs")
        yield linear(f"{name}.linear_2", wide, wide, at="outputs")
        yield norm(f"{name}.norm", wide)
    yield linear("linear", wide, d, at="outputs")
    yield norm("norm", d, "rmsnorm")


def _unified_images(ends: Ends) -> Pieces:
    """One matrix behind a norm without weights."""
    yield linear("linear", ends.tower.size("output_proj_dims"), ends.d_model, bias=False, at="outputs", keeps=READ)


def _unified_sounds(ends: Ends) -> Pieces:
    """The same, from the samples of a sound."""
    yield linear("linear", ends.tower.size("audio_embed_dim"), ends.d_model, bias=False, at="outputs", keeps=READ)


BEHIND_VISION: Final[dict[str, Projector]] = {
    "ernie4_5_vl_moe": _ernie,
    "blip": lambda _: iter(()),  # every layer of the text model attends to the tower's outputs as they are
    "qwen2_5_omni_thinker": qwen2_5,
    "qwen3_omni_moe_thinker": qwen3,
    "florence2": _florence,
    "granite_docling": _granite_docling,
    "instructblipvideo": _of_videos,
    "gemma4_unified": _unified_images,
}
"""What further families have between their vision tower and the text model."""


def _omni_sounds(ends: Ends) -> Pieces:
    a = ends.tower
    yield vector("ends", 2 * a.size("output_dim"))
    yield linear("linear", a.size("d_model"), a.size("output_dim"), at="outputs")


def _flamingo(ends: Ends) -> Pieces:
    a, d = ends.tower, ends.d_model
    yield from two_layers(a.size("hidden_size"), d, d, bias=ends.file.own.flag("projector_bias"))


def _fuyu(file: File, d_model: int) -> Pieces:
    """One matrix, from the pixels of a patch."""
    yield linear("linear", file.own.pixels(), d_model, at="outputs")


WITHOUT_TOWER: Final[dict[str, Callable[[File, int], Pieces]]] = {"fuyu": _fuyu}
"""What families have whose text model reads patches as they are."""
BEHIND_AUDIO: Final[dict[str, Projector]] = {
    "qwen2_5_omni_thinker": _omni_sounds,
    "qwen3_omni_moe_thinker": audio.qwen3,
    "audioflamingo3": _flamingo,
    "musicflamingo": _flamingo,
    "gemma4_unified": _unified_sounds,
}
"""What further families have between their audio tower and the text model."""
