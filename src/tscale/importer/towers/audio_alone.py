"""Encoders of sounds that are published as models by themselves, and their heads: wav2vec 2.0, HuBERT, and Whisper's without its decoder."""

from __future__ import annotations

from math import prod

from tscale.importer.towers.ends import Pieces
from tscale.importer.towers.parts import layers, linear, norm, table, vector
from tscale.importer.towers.sizes import Sizes
from tscale.importer.towers.vision_alone import labels


def wav2vec2(a: Sizes) -> Pieces:
    """Convolutions on samples, and layers behind a convolution over positions (Baevski 2020)."""
    yield from _of_samples(a, "add_adapter", "adapter_attn_dim")


def hubert(a: Sizes) -> Pieces:
    """The same, with what stands around the convolutions as the file says (Hsu 2021)."""
    normed, batch_norm = a.flag("feat_proj_layer_norm"), a.flag("conv_pos_batch_norm")
    yield from _of_samples(a, "adapter_attn_dim", normed=normed, batch_norm=batch_norm)


def _of_samples(a: Sizes, *adapters: str, normed: bool = True, batch_norm: bool = False) -> Pieces:
    """What both are made of; `adapters`: keys that must say that there are none."""
    for key in adapters:
        if a.value(key):
            raise a.wrong(key, "adapters are not known yet: only files without are")
    widths, d = _widths(a), a.size("hidden_size")
    yield from _convolutions(a, widths)
    if normed:
        yield norm("norm.features", widths[-1])
    yield from _behind(a, widths[-1])
    # of a weight that is normed, its norm for each of its places
    yield vector("norm.positions", 2 * d if batch_norm else a.size("num_conv_pos_embeddings"))
    yield layers(a.size("num_hidden_layers"), d, a.size("num_attention_heads"), a.size("intermediate_size"))
    yield norm("norm.post", d)


def _widths(a: Sizes) -> list[int]:
    """Channels of the convolutions, of which there must be as many kernels and strides."""
    widths, kernels, strides = (a.sizes(key) for key in ("conv_dim", "conv_kernel", "conv_stride"))
    if not len(widths) == len(kernels) == len(strides) > 0 or not all((*widths, *kernels, *strides)):
        raise a.wrong("conv_dim", "conv_dim, conv_kernel and conv_stride must have one length, and above 0")
    return widths


def _convolutions(a: Sizes, widths: list[int]) -> Pieces:
    """Each runs as often for a position of the last as all strides behind it say."""
    kernels, strides, bias = a.sizes("conv_kernel"), a.sizes("conv_stride"), a.flag("conv_bias")
    kind = a.value("feat_extract_norm")
    if kind not in ("group", "layer"):
        raise a.wrong("feat_extract_norm", "only group and layer are known")
    for place, (width, kernel) in enumerate(zip(widths, kernels, strict=True)):
        d_in = widths[place - 1] if place else 1
        yield linear(f"conv_{place + 1}", kernel * d_in, width, bias=bias, times=prod(strides[place + 1 :]), conv=True)
        if kind == "layer" or not place:
            yield norm(f"norm.conv_{place + 1}", width)


def _behind(a: Sizes, width: int) -> Pieces:
    """A matrix to the layers' width, what stands for masked positions, and the convolution over positions in groups."""
    d, groups = a.size("hidden_size"), a.size("num_conv_pos_embedding_groups")
    if d % groups:
        raise a.wrong("num_conv_pos_embedding_groups", f"{groups} groups do not divide hidden_size {d}")
    yield linear("input", width, d)
    if any(a.value(key) for key in ("mask_time_prob", "mask_feature_prob")):
        yield vector("mask_token", d)
    yield linear("positions", a.size("num_conv_pos_embeddings") * d // groups, d)


def ctc(a: Sizes) -> Pieces:
    """One number for each character and position."""
    yield linear("characters", a.size("hidden_size"), a.size("vocab_size"))


def quantizer(a: Sizes) -> Pieces:
    """The code book that pre-training tells positions apart by, and the projections that are compared."""
    groups, entries, width = (
        a.size("num_codevector_groups"),
        a.size("num_codevectors_per_group"),
        a.size("codevector_dim"),
    )
    if width % groups:
        raise a.wrong("codevector_dim", f"{groups} groups do not divide it")
    yield table("codes", groups * entries, width // groups)
    yield linear("codes.scores", _widths(a)[-1], groups * entries)
    yield linear("codes.positions", a.size("hidden_size"), a.size("proj_codevector_dim"))
    yield linear("codes.projection", width, a.size("proj_codevector_dim"))


def whisper_classifier(a: Sizes) -> Pieces:
    """A matrix on each position, and one number for each label from their average."""
    inner = a.size("classifier_proj_size")
    if a.flag("use_weighted_layer_sum"):
        yield vector("layer_weights", a.size("encoder_layers") + 1)
    yield linear("projector", a.size("d_model"), inner)
    yield linear("classifier", inner, labels(a), at="once")
