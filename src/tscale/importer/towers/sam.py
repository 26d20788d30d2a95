"""SAM's encoder, whose layers look within windows: a tower of pages (GOT-OCR2), and of images in full beside another (DeepSeek-VL)."""

from __future__ import annotations

from dataclasses import replace

from tscale.blocks.tower_pieces import Simple
from tscale.importer.towers.ends import Pieces
from tscale.importer.towers.parts import bare_layers, linear, norm, scores, table, unlearned
from tscale.importer.towers.sizes import Sizes


def sam(v: Sizes) -> Pieces:
    """SAM's ViTDet: windows in all layers but some, a table of distances in each, and a neck (Kirillov 2023).

    Images are brought to its own size, so that every piece says how often it runs for one: windows are padded to whole ones.
    """
    d, depth, side = v.size("hidden_size"), v.size("num_hidden_layers"), side_of(v)
    full = len([layer for layer in v.sizes("global_attn_indexes") if layer < depth])
    yield linear("patch_embedding", v.pixels(), d, at="once", times=side**2, conv=True)
    if v.flag("use_abs_pos"):
        yield table("positions", side**2, d)
    window = v.size("window_size")
    for name, count, reach in (("local", depth - full, window), ("layers", full, side)):
        if count:
            yield bare_layers(count, d, _sam_layer(v, side, reach), name, at="once")
    yield from sam_neck("neck", d, v.size("output_channels"), side**2)


def side_of(v: Sizes) -> int:
    """Patches along a side of the square that an image is brought to."""
    return v.sides("image_size")[0] // v.sides("patch_size")[0]


def _sam_layer(v: Sizes, side: int, reach: int) -> list[Simple]:
    """A layer over a square of so many patches, which look within windows of a side that are padded to whole ones."""
    d, heads, d_ff, bias = v.size("hidden_size"), v.size("num_attention_heads"), v.size("mlp_dim"), v.flag("qkv_bias")
    windows = (-(-side // reach)) ** 2
    positions, head_dim = windows * reach**2, d // heads
    distances: list[Simple] = []
    if v.flag("use_rel_pos"):
        for axis in ("rows", "columns"):
            distances.append(table(f"positions.{axis}", 2 * reach - 1, head_dim))
            scored = unlearned(f"distances.{axis}", head_dim, reach, at="once")
            distances.append(replace(scored, times=positions * heads))
    return [
        norm("norm.attention", d),
        *(linear(name, d, d, bias=bias, at="once", times=positions) for name in ("q", "k", "v")),
        replace(scores("scores", heads, head_dim, at="once", keys="once"), copies=windows * reach**4),
        *distances,
        linear("o", d, d, at="once", times=positions),
        norm("norm.feed_forward", d),
        linear("up", d, d_ff, at="once", times=side**2),
        linear("down", d_ff, d, at="once", times=side**2),
    ]


def sam_neck(name: str, d: int, out: int, patches: int) -> Pieces:
    """Two convolutions with norms that narrow what SAM's layers yield of so many patches."""
    yield linear(f"{name}.conv_1", d, out, bias=False, at="once", times=patches, conv=True)
    yield norm(f"{name}.norm_1", out)
    yield linear(f"{name}.conv_2", 9 * out, out, bias=False, at="once", times=patches, conv=True)
    yield norm(f"{name}.norm_2", out)
