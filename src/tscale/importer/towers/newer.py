"""Towers of models that came out in 2026, and what stands between them and the text model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod
from typing import Final, Literal

from tscale.blocks import FeedForward, Norm
from tscale.blocks.tower_pieces import Simple, TowerLayers
from tscale.importer.towers import merging, vision
from tscale.importer.towers.ends import Ends, Pieces, Projector, two_layers
from tscale.importer.towers.parts import (
    ACTIVATED,
    READ,
    bare_layers,
    depthwise,
    layer_scales,
    layers,
    linear,
    norm,
    scores,
    table,
    vector,
)
from tscale.importer.towers.sizes import Sizes

Stack = tuple[str, int]
"""What layers are, and how many of them there are."""


def _stacks(v: Sizes, unlike: str, usual: Callable[[int], bool]) -> Iterator[Stack]:
    """The layers that `layer_types` calls so and the others; where the file lists none, `usual` says which are the others."""
    depth, listed = v.size("num_hidden_layers"), v.value("layer_types") if v.says("layer_types") else None
    if listed is None:
        kinds = ["full_attention" if usual(layer) else unlike for layer in range(depth)]
    elif isinstance(listed, list) and len(listed) == depth:
        kinds = [str(kind) for kind in listed]
    else:
        raise v.wrong("layer_types", f"it must list what each of {depth} layers is")
    for kind in set(kinds) - {unlike, "full_attention"}:
        raise v.wrong("layer_types", f"only {unlike} and full_attention are known, not {kind[:60]}")
    yield from ((kind, kinds.count(kind)) for kind in (unlike, "full_attention") if kind in kinds)


def muse(v: Sizes) -> Pieces:
    """Muse Glimmer: patches of two frames, a table and rotated positions; every fourth layer sees the whole image, others windows."""
    d, last = v.size("hidden_size"), v.size("num_hidden_layers") - 1
    yield linear(
        "patch_embedding",
        3 * v.size("patch_temporal") * v.size("patch_size") ** 2,
        d,
        bias=False,
        at="patches",
        keeps=READ,
    )
    yield table("positions", v.size("pos_emb_height") * v.size("pos_emb_width"), d)
    yield norm("norm.pre", d)
    for kind, count in _stacks(v, "window_attention", lambda layer: layer % 4 == 3 or layer == last):
        near = kind == "window_attention"
        yield layers(
            count, d, v.size("num_attention_heads"), v.size("intermediate_size"),
            window=v.size("pos_emb_height") ** 2 if near else None, name="local" if near else "layers",
        )  # fmt: skip
    yield norm("norm.post", d)


def lfm3(v: Sizes) -> Pieces:
    """LFM3-VL: layers that filter the grid of patches, and layers that attend to it, both with gated feed-forwards."""
    d, heads, d_ff = v.size("hidden_size"), v.size("num_attention_heads"), v.size("intermediate_size")
    yield linear(
        "patch_embedding",
        v.size("temporal_patch_size") * v.pixels("in_channels"),
        d,
        bias=False,
        at="patches",
        keeps=READ,
    )
    yield norm("norm.embedding", d, "rmsnorm")
    filters: list[Simple] = [
        norm("norm.conv", d, "rmsnorm"), linear("conv.in", d, 3 * d, bias=False),
        depthwise("conv", d, v.size("conv_kernel_size") ** 2), linear("conv.out", d, d, bias=False),
    ]  # fmt: skip
    for kind, count in _stacks(v, "conv", lambda layer: layer > 1 and layer % 2 == 0):
        if kind == "conv":
            yield TowerLayers(
                kind="layers", name="filters", layers=count, d_model=d, feed_forward=FeedForward(d_ff=d_ff, gated=True),
                norm=Norm(kind="rmsnorm"), each=tuple(filters),
            )  # fmt: skip
        else:
            yield layers(
                count, d, heads, d_ff, kind="rmsnorm", bias=False, kv_heads=v.size("num_key_value_heads"),
                qk_norm="head", gated=True, d_ff_bias=False,
            )  # fmt: skip


def hunyuan(v: Sizes) -> Pieces:
    """Hy4: a SigLIP with a table for the largest image, the first row of which nothing reads."""
    d, edge = v.size("hidden_size"), v.size("max_image_size") // v.size("patch_size")
    yield vision.patches(v, d)
    yield table("positions", edge**2 + 1, d)
    yield vision.usual(v)


def radio(v: Sizes) -> Pieces:
    """C-RADIO: class tokens and registers, a table for the largest image, scales in each layer, and a matrix for patches of videos."""
    d, edge = v.size("hidden_size"), v.size("max_img_size") // v.size("patch_size")
    inner = int(d * v.real("mlp_ratio"))
    gated = v.flag("use_swiglu_ffn")
    bias: tuple[Literal["q", "k", "v", "o"], ...] = ("q", "k", "v", "o") if v.flag("qkv_bias") else ("o",)
    yield vector("class_embedding", (v.whole("num_cls_tokens") + v.whole("num_registers")) * d, does="joins")
    yield vision.patches(v, d, bias=False, conv=False)
    frames = v.value("video_temporal_patch_size")
    if frames is not None:
        wide = v.size("video_temporal_patch_size") * v.pixels()
        yield linear("patch_embedding.videos", wide, d, bias=False, at="patches", times=0, keeps=())
    yield table("positions", edge**2, d)
    yield layers(
        v.size("num_hidden_layers"), d, v.size("num_attention_heads"), (int(inner * 2 / 3) + 7) // 8 * 8 if gated else inner,
        bias=bias, gated=gated, each=layer_scales(d),
    )  # fmt: skip


VISION: Final[dict[str, Callable[[Sizes], Pieces]]] = {
    "muse_glimmer_vision": muse,
    "muse_spark_vision": muse,
    "qwen4_exp_vision": vision.qwen3,
    "lfm3_vl_vision": lfm3,
    "hy_v4_vl_vision": hunyuan,
    "radio": radio,
    "minicpm_ocr_vision": vision.minicpm,
    "cohere_compass_vision": vision.qwen3,
}
"""The pieces of each type of vision tower."""


def parakeet(a: Sizes) -> Pieces:
    """Parakeet: conformers with distances to every position behind convolutions that halve time and frequency (Rekesh 2023).

    Distances are twice the positions less one; they are counted as twice. Where a file is silent, projections have no bias (Nemotron 3 Omni).
    """
    d, heads, d_ff = a.size("hidden_size"), a.size("num_attention_heads"), a.size("intermediate_size")
    width, kernel, rows = (
        a.size("subsampling_conv_channels"),
        a.size("subsampling_conv_kernel_size") ** 2,
        a.size("num_mel_bins"),
    )
    halves, stride = a.size("subsampling_factor").bit_length() - 1, a.size("subsampling_conv_stride")
    pairs = d // heads * (a.size("num_key_value_heads") if a.says("num_key_value_heads") else heads)
    bias, own = a.flag("convolution_bias"), a.says("attention_bias") and a.flag("attention_bias")
    for place in range(halves):
        rows = -(-rows // stride)
        times = rows * stride ** (halves - 1 - place)
        if place:
            yield depthwise(f"conv_{place + 1}", width, kernel, bias=True)
            yield linear(f"conv_{place + 1}.across", width, width, times=times, conv=True)
        else:
            yield linear("conv_1", kernel, width, times=times, conv=True)
    yield linear("input", width * (a.size("num_mel_bins") // stride**halves), d)
    each: list[Simple] = []
    for half in ("feed_forward_1", "feed_forward_2"):
        each += [
            norm(f"norm.{half}", d),
            linear(f"{half}.up", d, d_ff, bias=own),
            linear(f"{half}.down", d_ff, d, bias=own),
        ]
    each += [linear(name, d, made, bias=own) for name, made in (("q", d), ("k", pairs), ("v", pairs), ("o", d))]
    each += [
        linear("distances", d, d, bias=False, times=2), vector("distances.bias", 2 * d), scores("scores", heads, d // heads, at="inputs"),
        norm("norm.attention", d), norm("norm.conv", d), linear("conv.up", d, 2 * d, bias=bias, conv=True),
        depthwise("conv", d, a.size("conv_kernel_size"), bias=bias), norm("norm.conv_inner", d),
        linear("conv.down", d, d, bias=bias, conv=True), norm("norm.post", d),
    ]  # fmt: skip
    yield bare_layers(a.size("num_hidden_layers"), d, each, "layers")


def waves(a: Sizes) -> Pieces:
    """Muse Spark: from samples of a sound to ever fewer and wider positions, between which filters mix neighbours."""
    sizes, widths, depths = (a.sizes(key) for key in ("patch_sizes", "hidden_sizes", "depths"))
    if not len(sizes) == len(widths) == len(depths) == a.size("num_hidden_layers"):
        raise a.wrong(
            "hidden_sizes", "patch_sizes, hidden_sizes and depths must list as many numbers as num_hidden_layers says"
        )
    before, left, kernel = 1, prod(sizes), a.size("conv_kernel_size")
    for place, (size, d, depth) in enumerate(zip(sizes, widths, depths, strict=True)):
        left //= size
        yield linear(f"merge_{place + 1}", before * size, d, times=left)
        yield norm(f"norm_{place + 1}", d, "rmsnorm")
        inner = int(d * a.real("mlp_ratio"))
        each: list[Simple] = [
            replace(depthwise("conv", d, kernel, bias=True), times=left), norm("norm", d, "rmsnorm"),
            linear("up", d, inner, times=left), linear("down", inner, d, times=left),
        ]  # fmt: skip
        if depth:
            yield bare_layers(depth, d, each, f"filters_{place + 1}")
        before = d
    yield norm("norm.post", before, "rmsnorm")


AUDIO: Final[dict[str, Callable[[Sizes], Pieces]]] = {"parakeet_encoder": parakeet, "muse_spark_audio": waves}
"""The pieces of each type of audio tower."""


def _muse(ends: Ends) -> Pieces:
    """Two matrices on four patches side by side, and one to the text model's width."""
    own, d = ends.file.own, ends.d_model
    inner = own.size("projector_hidden_size")
    yield linear("linear_1", own.size("out_hidden_size"), inner, bias=False, at="outputs", keeps=ACTIVATED)
    yield linear("linear_2", inner, inner, bias=False, at="outputs", keeps=ACTIVATED)
    yield linear("linear_3", inner, d, bias=False, at="outputs", keeps=READ)


def _lfm3(ends: Ends) -> Pieces:
    """A norm on each patch, and two matrices on four of them side by side."""
    own, v = ends.file.own, ends.tower
    width = v.size("hidden_size")
    yield norm("norm", width)
    wide = width * v.size("spatial_merge_size") ** 2
    yield from two_layers(wide, own.size("projector_hidden_size"), ends.d_model, bias=own.flag("projector_bias"))


def _hunyuan(ends: Ends) -> Pieces:
    """A norm, a convolution that merges patches, a matrix, and a vector that ends each row of an image."""
    v = ends.tower
    width, out = v.size("hidden_size"), v.size("out_hidden_size")
    wide = width * v.size("spatial_merge_size") ** 2
    yield norm("norm", width, "rmsnorm")
    yield linear("linear_1", wide, wide, at="outputs", keeps=ACTIVATED, conv=True)
    yield linear("linear_2", wide, out, at="outputs", keeps=READ, conv=True)
    yield vector("image_newline", out, does="joins")


def _nemotron(ends: Ends) -> Pieces:
    """A norm and two matrices on patches that a pixel shuffle put side by side; a norm before it where the text model predicts ahead."""
    own, d = ends.file.own, ends.d_model
    width = own.size("vision_hidden_size")
    if ends.file.text_says("num_nextn_predict_layers"):
        yield norm("norm.pre", width)
    yield from _squared(
        width * int(1 / own.real("downsample_ratio")) ** 2, own.size("projector_hidden_size"), d, bias=False
    )


def _nemotron_sounds(ends: Ends) -> Pieces:
    """A norm and two matrices."""
    a = ends.tower
    yield from _squared(
        a.size("hidden_size"), a.size("projection_hidden_size"), ends.d_model, bias=a.value("projection_bias") is True
    )


def _squared(d_in: int, inner: int, d_out: int, *, bias: bool) -> Pieces:
    yield norm("norm", d_in, "rmsnorm", at="outputs")
    yield from two_layers(d_in, inner, d_out, bias=bias)


def _waves(ends: Ends) -> Pieces:
    """A matrix and a norm."""
    a = ends.tower
    out = a.size("out_hidden_size")
    yield linear("linear", a.sizes("hidden_sizes")[-1], out, at="outputs")
    yield norm("norm", out, "rmsnorm", at="outputs")


BEHIND_VISION: Final[dict[str, Projector]] = {
    "muse_glimmer": _muse,
    "muse_spark": _muse,
    "qwen4_exp": merging.qwen3_5,
    "lfm3_vl": _lfm3,
    "hy_v4_vl": _hunyuan,
    "nemotron_h_omni": _nemotron,
    "minicpm_ocr": merging.minicpm,
    "cohere_compass": merging.qwen3,
}
"""What each family has between its vision tower and the text model."""
BEHIND_AUDIO: Final[dict[str, Projector]] = {"nemotron_h_omni": _nemotron_sounds, "muse_spark": _waves}
"""What each family has between its audio tower and the text model."""
