"""Towers and projectors of families that speak, read pages or see videos: pieces by type and by family, as in `vision` and `audio`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from tscale.blocks.tower_pieces import Piece, Simple
from tscale.importer.towers import audio, vision
from tscale.importer.towers.ends import Ends, Projector, two_layers
from tscale.importer.towers.merging import qwen2_5, qwen3
from tscale.importer.towers.parts import bare_layers, depthwise, layers, linear, norm, table, vector
from tscale.importer.towers.querying import qformer
from tscale.importer.towers.sizes import File, Sizes

Pieces = Iterator[Piece]


def omni_ears(a: Sizes) -> Pieces:
    """Qwen2.5-Omni's: Whisper's encoder, whose sines are no parameters and whose layers look within chunks (Xu 2025)."""
    d = a.size("d_model")
    yield linear("conv_1", 3 * a.size("num_mel_bins"), d, times=2)
    yield linear("conv_2", 3 * d, d)
    yield layers(
        a.size("encoder_layers"),
        d,
        a.size("encoder_attention_heads"),
        a.size("encoder_ffn_dim"),
        bias=("q", "v", "o"),
        window=a.size("n_window"),
    )
    yield norm("norm.post", d)


def davit(v: Sizes) -> Pieces:
    """DaViT: stages of convolutions and of layers that attend within windows, and then over channels (Ding 2022)."""
    widths, depths = v.sizes("embed_dim"), v.sizes("depths")
    kernels, before = v.sizes("patch_size"), v.value("patch_prenorm")
    if not isinstance(before, list) or not len(widths) == len(depths) == len(kernels) == len(before) or not all(widths):
        raise v.wrong("depths", "depths, embed_dim, patch_size and patch_prenorm must be as long, and above 0")
    d_in = v.size("in_channels")
    for stage, (d, depth, kernel, normed) in enumerate(zip(widths, depths, kernels, before, strict=True), 1):
        yield linear(f"conv_{stage}", kernel**2 * d_in, d, conv=True)
        yield norm(f"norm.conv_{stage}", d_in if normed else d)
        inner = int(d * v.real("mlp_ratio"))
        each: list[Simple] = []
        for half in ("windows", "channels"):
            each += [
                depthwise(f"{half}.conv_1", d, 9, bias=True), norm(f"norm.{half}.attention", d),
                linear(f"{half}.qkv", d, 3 * d, bias=v.flag("qkv_bias")), linear(f"{half}.o", d, d),
                depthwise(f"{half}.conv_2", d, 9, bias=True), norm(f"norm.{half}.feed_forward", d),
                linear(f"{half}.up", d, inner), linear(f"{half}.down", inner, d),
            ]  # fmt: skip
        if depth:
            yield bare_layers(depth, d, each, f"stage_{stage}")
        d_in = d


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


VISION: Final[dict[str, Callable[[Sizes], Pieces]]] = {
    "qwen2_5_omni_vision_encoder": vision.qwen2_5,
    "qwen3_omni_moe_vision_encoder": vision.qwen3,
    "florence_vision": davit,
    "granite_docling_vision": vision.headless,
    "instructblipvideo_vision_model": vision.blip2,
    "blip_vision_model": blip,
    "ernie4_5_vl_moe_vision": ernie,
}
"""The pieces of further types of vision tower."""
AUDIO: Final[dict[str, Callable[[Sizes], Pieces]]] = {
    "qwen2_5_omni_audio_encoder": omni_ears,
    "qwen3_omni_moe_audio_encoder": audio.qwen3_asr,
    "audioflamingo3_encoder": audio.voxtral,
}
"""The pieces of further types of audio tower."""


def _florence(ends: Ends) -> Pieces:
    """A matrix without a bias, a norm, and tables of rows and columns."""
    v = ends.tower
    widths = v.sizes("embed_dim")
    d, out, rows = widths[-1], v.size("projection_dim"), v.size("max_position_embeddings")
    yield table("positions.rows", rows, d // 2)
    yield table("positions.columns", rows, d - d // 2)
    yield linear("linear", d, out, bias=False)
    yield norm("norm", out)


def _granite_docling(ends: Ends) -> Pieces:
    """A coarse path and a fine one, each with mergers of what some of the tower's layers yield."""
    file, v = ends.file, ends.tower
    if file.own.value("density_router_hidden_size") is not None:
        raise file.own.wrong("density_router_hidden_size", "a router between both paths is not known yet: only null is")
    d, out, factor = v.size("hidden_size"), v.size("out_hidden_size"), v.size("scale_factor")
    deep = len(v.sizes("deepstack_visual_indexes"))
    paths = [("coarse", factor)]
    if v.flag("use_fine_route"):
        if factor == 1:
            raise v.wrong("scale_factor", "1 has no half for the fine path")
        paths.append(("fine", factor // 2))
    yield norm("norm.in", d)
    for name, side in paths:
        wide = side**2 * d
        yield linear(name, wide, out, bias=False, at="outputs")
        if deep:
            yield norm(f"{name}.deepstack.norm", wide, copies=deep)
            yield linear(f"{name}.deepstack.linear_1", wide, out, at="outputs", copies=deep)
            yield linear(f"{name}.deepstack.linear_2", out, out, at="outputs", copies=deep)
    yield norm("norm.mid", out)
    yield linear("linear", out, out, bias=False, at="outputs")
    yield norm("norm.out", out)


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


def _nothing(_: Ends) -> Pieces:
    return iter(())


BEHIND_VISION: Final[dict[str, Projector]] = {
    "ernie4_5_vl_moe": _ernie,
    "blip": _nothing,  # every layer of the text model attends to the tower's outputs as they are
    "qwen2_5_omni_thinker": qwen2_5,
    "qwen3_omni_moe_thinker": qwen3,
    "florence2": _florence,
    "granite_docling": _granite_docling,
    "instructblipvideo": _of_videos,
}
"""What further families have between their vision tower and the text model."""


def _omni_sounds(ends: Ends) -> Pieces:
    a = ends.tower
    yield vector("ends", 2 * a.size("output_dim"))
    yield linear("linear", a.size("d_model"), a.size("output_dim"), at="outputs")


def _omni_moe_sounds(ends: Ends) -> Pieces:
    a = ends.tower
    yield from two_layers(a.size("d_model"), a.size("d_model"), a.size("output_dim"))


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
    "qwen3_omni_moe_thinker": _omni_moe_sounds,
    "audioflamingo3": _flamingo,
    "musicflamingo": _flamingo,
}
"""What further families have between their audio tower and the text model."""
