"""Vision towers that are published as models by themselves, and their heads."""

from __future__ import annotations

from typing import Literal

from tscale.importer.towers.ends import Pieces
from tscale.importer.towers.parts import ACTIVATED, READ, layer_scales, linear, norm, table, vector
from tscale.importer.towers.sizes import Sizes
from tscale.importer.towers.vision import and_out, patches, usual


def vit(v: Sizes) -> Pieces:
    """ViT: a class token, a table of positions, and a norm behind the layers (Dosovitskiy 2020)."""
    yield from _vit(v, "class_embedding")


def _vit(v: Sizes, *tokens: str) -> Pieces:
    """Patches with these tokens next to them."""
    d = v.size("hidden_size")
    for name in tokens:
        yield vector(name, d, does="joins")
    yield patches(v, d)
    yield table("positions", v.grid() + len(tokens), d)
    yield usual(v, bias=and_out(v.flag("qkv_bias")))
    yield norm("norm.post", d)


def deit(v: Sizes) -> Pieces:
    """DeiT: a ViT with a token that learns from a teacher next to the class token (Touvron 2020)."""
    yield from _vit(v, "class_embedding", "distillation_token")


def two_classifiers(v: Sizes) -> Pieces:
    """A classifier on the class token, and one on the token that learns from a teacher."""
    yield from classifier(v)
    yield linear("classifier.distillation", v.size("hidden_size"), labels(v), at="once", keeps=READ)


def ijepa(v: Sizes) -> Pieces:
    """I-JEPA: a ViT without a class token (Assran 2023)."""
    yield from _vit(v)


def dinov2_with_registers(v: Sizes) -> Pieces:
    """DINOv2 with registers next to the class token (Darcet 2023)."""
    registers = v.whole("num_register_tokens")
    if registers:
        yield vector("register_tokens", registers * v.size("hidden_size"), does="joins")
    yield from dinov2(v, masked=True)


def vit_pooler(v: Sizes) -> Pieces:
    """A layer on the class token."""
    d = v.size("hidden_size")
    out = v.size("pooler_output_size") if v.says("pooler_output_size") else d
    yield linear("pooler", d, out, at="once", keeps=ACTIVATED)


def classifier(v: Sizes) -> Pieces:
    """One number for each label, from the class token."""
    yield linear("classifier", v.size("hidden_size"), labels(v), at="once", keeps=READ)


def wide_classifier(v: Sizes) -> Pieces:
    """The same, from the class token and the average of the patches side by side."""
    yield linear("classifier", 2 * v.size("hidden_size"), labels(v), at="once", keeps=READ)


def labels(v: Sizes) -> int:
    """How many labels a classifier tells apart: those of `id2label`, or `num_labels`, or two."""
    names = v.value("id2label")
    if isinstance(names, dict) and names:
        return len(names)
    return v.size("num_labels") if v.says("num_labels") else 2


def dinov2(v: Sizes, *, masked: bool | None = None) -> Pieces:
    """DINOv2: a ViT with scales behind both halves of a layer, and in its largest a gate (Oquab 2023)."""
    d, gated = v.size("hidden_size"), v.flag("use_swiglu_ffn")
    d_ff = int(d * v.real("mlp_ratio"))
    if gated:  # two thirds, rounded up to eights
        d_ff = -(-int(d_ff * 2 / 3) // 8) * 8
    yield vector("class_embedding", d, does="joins")
    if v.flag("use_mask_token") if masked is None else masked:
        yield vector("mask_token", d, does="joins")
    yield patches(v, d)
    yield table("positions", v.grid() + 1, d)
    yield usual(v, d_ff, bias=and_out(v.flag("qkv_bias")), gated=gated, each=layer_scales(d))
    yield norm("norm.post", d)


def dinov3(v: Sizes) -> Pieces:
    """DINOv3: positions are rotated, and registers stand next to the class token (Siméoni 2025)."""
    d, registers = v.size("hidden_size"), v.whole("num_register_tokens")
    yield vector("class_embedding", d, does="joins")
    yield vector("mask_token", d, does="joins")
    if registers:
        yield vector("register_tokens", registers * d, does="joins")
    yield patches(v, d)
    keys: tuple[tuple[Literal["q", "k", "v", "o"], str], ...] = (
        ("q", "query_bias"), ("k", "key_bias"), ("v", "value_bias"), ("o", "proj_bias"),
    )  # fmt: skip
    biased = tuple(matrix for matrix, key in keys if v.flag(key))
    yield usual(v, bias=biased, gated=v.flag("use_gated_mlp"), d_ff_bias=v.flag("mlp_bias"), each=layer_scales(d))
    yield norm("norm.post", d)
