"""Audio towers, one function a type, and what stands between them and the language model, one a family."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from tscale.blocks.tower_pieces import Simple
from tscale.importer.towers.ends import Ends, Pieces, Projector, two_layers
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
from tscale.importer.towers.sizes import Sizes


def _two_convolutions(a: Sizes, d: int) -> Pieces:
    """Whisper's convolutions of length 3, the second of which halves the frames."""
    bins = a.size("num_mel_bins")
    yield linear("conv_1", 3 * bins, d, times=2, keeps=ACTIVATED, inputs=2 * bins, conv=True)
    yield linear("conv_2", 3 * d, d, keeps=ACTIVATED, inputs=2 * d, conv=True)


def whisper(a: Sizes) -> Pieces:
    """Whisper's encoder: no bias on keys, and a table of sines that is kept with the weights (Radford 2022)."""
    names = ("d_model", "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim")
    yield from _whisper(a, *map(a.size, names))


def voxtral(a: Sizes) -> Pieces:
    """The same under other names."""
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    yield from _whisper(a, *map(a.size, names))


def _whisper(a: Sizes, d: int, depth: int, heads: int, d_ff: int) -> Pieces:
    yield from _two_convolutions(a, d)
    yield table("positions", a.size("max_source_positions"), d, trained=False)
    yield layers(depth, d, heads, d_ff, bias=("q", "v", "o"))
    yield norm("norm.post", d)


def glmasr(a: Sizes) -> Pieces:
    """GLM-ASR: Whisper's with rotated positions."""
    d = a.size("hidden_size")
    yield from _two_convolutions(a, d)
    yield layers(
        a.size("num_hidden_layers"), d, a.size("num_attention_heads"), a.size("intermediate_size"),
        bias=("q", "v", "o"), kv_heads=a.size("num_key_value_heads"),
    )  # fmt: skip
    yield norm("norm.post", d)


def qwen3_asr(a: Sizes) -> Pieces:
    """Qwen3-ASR: three convolutions over time and frequency of a chunk of frames, each of which halves both; layers within chunks."""
    d, width, rows = a.size("d_model"), a.size("downsample_hidden_size"), a.size("num_mel_bins")
    chunk = frames = 2 * a.size("n_window")
    for place, d_in in enumerate((1, width, width)):
        rows, frames = -(-rows // 2), -(-frames // 2)
        yield linear(f"conv_{place + 1}", 9 * d_in, width, at="patches", times=rows * frames, conv=True)
    yield linear("conv_out", width * rows, d, bias=False)
    chunks = a.size("n_window_infer") // chunk
    if not chunks:
        raise a.wrong("n_window_infer", f"it is less than a chunk of {chunk} frames")
    yield layers(
        a.size("encoder_layers"),
        d,
        a.size("encoder_attention_heads"),
        a.size("encoder_ffn_dim"),
        window=chunks * frames,
    )
    yield norm("norm.post", d)


def granite(a: Sizes) -> Pieces:
    """Granite Speech: conformers that attend within blocks, with a table of distances each, and two heads of characters (Gulati 2020)."""
    d, heads, head_dim, block = a.size("hidden_dim"), a.size("num_heads"), a.size("dim_head"), a.size("context_size")
    out, inner, wide = a.size("output_dim"), d * a.size("feedforward_mult"), d * a.size("conv_expansion_factor")
    yield linear("input", a.size("input_dim"), d)
    each: list[Simple] = []
    for half in ("feed_forward_1", "feed_forward_2"):
        each += [norm(f"norm.{half}", d), linear(f"{half}.up", d, inner), linear(f"{half}.down", inner, d)]
    each += [
        norm("norm.attention", d), linear("q", d, heads * head_dim, bias=False, at="patches"),
        linear("kv", d, 2 * heads * head_dim, bias=False, at="patches"),
        replace(scores("scores", heads, head_dim, at="patches", keys="patches"), most=block),
        table("distances", 2 * a.size("max_pos_emb") + 1, head_dim),
        replace(unlearned("scored_distances", head_dim, block, at="patches"), times=heads),
        linear("o", heads * head_dim, d), norm("norm.conv", d), linear("conv.up", d, 2 * wide, conv=True),
        replace(depthwise("conv", wide, a.size("conv_kernel_size")), trimmed=False),
        norm("norm.conv_inner", wide), linear("conv.down", wide, d, conv=True), norm("norm.post", d),
    ]  # fmt: skip
    yield bare_layers(a.size("num_layers"), d, each, "layers")
    yield linear("characters", d, out)
    yield linear("characters.back", out, d)


def conformer(a: Sizes) -> Pieces:
    """Gemma 4's conformers behind two convolutions over time and frequency, each of which halves both."""
    d, depth, heads, kernel = (
        a.size(key) for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "conv_kernel_size")
    )
    first, second = a.sizes("subsampling_conv_channels")
    context = _context(a, "attention")
    yield from _usm(first, d, depth, heads, kernel, (first, second), (context, context // 2 + 1))
    yield linear("output", d, a.size("output_proj_dims"))


def _context(a: Sizes, names: str) -> int:
    """Positions that each block of queries is scored with: its own, and those before and behind it."""
    before = max(a.whole(f"{names}_context_left") - 1, 0)
    return a.size(f"{names}_chunk_size") + before + a.whole(f"{names}_context_right")


def _usm(
    bins: int, d: int, depth: int, heads: int, kernel: int, channels: tuple[int, int], seen: tuple[int, int]
) -> Pieces:
    """Conformers whose queries are scored in padded blocks: with the positions that a block sees, and with distances."""
    first, second = channels
    context, distances = seen
    quarter = -(-bins // 4)
    yield linear("conv_1", 9, first, bias=False, times=2 * -(-bins // 2), conv=True)
    yield vector("norm.conv_1", first)
    yield linear("conv_2", 9 * first, second, bias=False, times=quarter, conv=True)
    yield vector("norm.conv_2", second)
    yield linear("input", second * quarter, d, bias=False)
    each: list[Simple] = []
    for half in ("feed_forward_1", "feed_forward_2"):
        each += [
            norm(f"norm.{half}.pre", d, "rmsnorm"), linear(f"{half}.up", d, 4 * d, bias=False),
            linear(f"{half}.down", 4 * d, d, bias=False), norm(f"norm.{half}.post", d, "rmsnorm"),
        ]  # fmt: skip
    each += [linear(name, d, d, bias=False) for name in ("q", "k", "v", "o")]
    each += [
        linear("distances", d, d, bias=False, at="once", times=distances),
        replace(scores("scores", heads, d // heads, at="patches", keys="patches"), most=context),
        replace(unlearned("scored_distances", d // heads, distances, at="patches"), times=heads),
        vector("scale.attention", d // heads),
        norm("norm.conv", d, "rmsnorm"), linear("conv.up", d, 2 * d, bias=False),
        replace(depthwise("conv", d, kernel), trimmed=False),
        norm("norm.conv_inner", d, "rmsnorm"), linear("conv.down", d, d, bias=False),
        norm("norm.attention.pre", d, "rmsnorm"), norm("norm.attention.post", d, "rmsnorm"), norm("norm.post", d, "rmsnorm"),
    ]  # fmt: skip
    yield bare_layers(depth, d, each, "layers")


def gemma3n(a: Sizes) -> Pieces:
    """Gemma 3n's: the same under other names."""
    names = ("hidden_size", "conf_num_hidden_layers", "conf_num_attention_heads", "conf_conv_kernel_size")
    d, depth, heads, kernel = map(a.size, names)
    first, second = a.sizes("sscp_conv_channel_size")
    context = _context(a, "conf_attention")
    distances = 1 + context - a.size("conf_attention_chunk_size")
    yield from _usm(a.size("input_feat_size"), d, depth, heads, kernel, (first, second), (context, distances))


def phi4(a: Sizes) -> Pieces:
    """Phi-4-multimodal's conformers behind convolutions that halve time and frequency (Microsoft 2025)."""
    d, heads, d_ff, kernel = (
        a.size(key) for key in ("hidden_size", "num_attention_heads", "intermediate_size", "kernel_size")
    )
    width, halves, wide = (
        a.size("nemo_conv_channels"),
        a.size("time_reduction").bit_length() - 1,
        a.size("ext_pw_out_channel"),
    )
    rows = a.size("input_size")
    for place in range(halves):
        rows = (rows + 1) // 2
        times = rows * 2 ** (halves - 1 - place)
        yield linear(f"conv_{place + 1}", 9, width, at="patches", times=times, conv=True)
        if place:
            yield linear(f"conv_{place + 1}.across", width, width, at="patches", times=times, conv=True)
    rows = a.size("nemo_final_size") if a.says("nemo_final_size") else rows
    yield linear("input", width * rows, d, at="patches")
    distances = a.size("bias_max_distance") * (1 if a.flag("bias_symmetric") else 2)
    yield table("distances", distances, heads)
    each: list[Simple] = []
    for half in ("feed_forward_in", "feed_forward_out"):
        each += [norm(f"norm.{half}", d), linear(f"{half}.up", d, 2 * d_ff), linear(f"{half}.down", d_ff, d)]
    each += [linear(name, d, d) for name in ("q", "k", "v", "o")]
    inner, out = d * a.size("depthwise_multiplier"), a.size("depthwise_separable_out_channel")
    each += [
        scores("scores", heads, d // heads, at="inputs"), norm("norm.attention", d), norm("norm.post", d),
        norm("norm.conv", d), linear("conv.up", d, 2 * wide, conv=True), vector("conv.gate_bias", 2 * wide),
        depthwise("conv", inner, kernel, bias=True), linear("conv.across", inner, out, conv=True), *_cut_off(inner, out, kernel - 1),
        linear("conv.down", d, wide, conv=True),
    ]  # fmt: skip
    yield bare_layers(a.size("num_blocks"), d, each, "layers")


def _cut_off(d_in: int, d_out: int, positions: int) -> Iterator[Simple]:
    """The same product over the positions that the convolution before it yields beyond a sound's end."""
    if positions:
        yield replace(unlearned("conv.across.cut_off", d_in, d_out, at="once"), times=positions)


KINDS: Final[dict[str, Callable[[Sizes], Pieces]]] = {
    "qwen2_audio_encoder": whisper,
    "voxtral_encoder": voxtral,
    "glmasr_encoder": glmasr,
    "qwen3_asr_encoder": qwen3_asr,
    "granite_speech_encoder": granite,
    "gemma4_audio": conformer,
    "gemma3n_audio": gemma3n,
    "phi4_multimodal_audio": phi4,
}
"""The pieces of each type of audio tower."""


def _qwen2_audio(ends: Ends) -> Pieces:
    a, d = ends.tower, ends.d_model
    yield linear("linear", a.size("d_model"), d, at="outputs", keeps=READ)


def qwen3(ends: Ends) -> Pieces:
    """Two matrices behind the encoder of Qwen3's sounds."""
    a = ends.tower
    yield from two_layers(a.size("d_model"), a.size("d_model"), a.size("output_dim"))


def _voxtral(ends: Ends) -> Pieces:
    a, d = ends.tower, ends.d_model
    yield from two_layers(a.size("intermediate_size"), d, d, bias=False)


def _glmasr(ends: Ends) -> Pieces:
    a, d = ends.tower, ends.d_model
    yield from two_layers(a.size("intermediate_size"), 2 * d, d)


def _granite(ends: Ends) -> Pieces:
    file, d = ends.file, ends.d_model
    q = file.inside("projector_config")
    assert q is not None, "the class always has one"
    window = file.own.size("window_size")
    queries = window // file.own.size("downsample_rate")
    if not queries:
        raise file.own.wrong("downsample_rate", f"it is more than a window of {window} positions")
    yield from qformer(q, q.size("encoder_hidden_size"), queries, window=window)
    yield linear("linear", q.size("hidden_size"), d, at="outputs")


def _gemma4(ends: Ends) -> Pieces:
    a, d = ends.tower, ends.d_model
    yield linear("linear", a.size("output_proj_dims"), d, bias=False, at="outputs")


def _phi4(ends: Ends) -> Pieces:
    """One of two pairs of matrices: images in the same text call for the other one."""
    a, d = ends.tower, ends.d_model
    for what, times in (("speech", 1), ("vision_speech", 0)):
        yield linear(f"{what}.up", a.size("hidden_size") * a.size("downsample_rate"), d, at="outputs", times=times)
        yield linear(f"{what}.down", d, d, at="outputs", times=times)


PROJECTORS: Final[dict[str, Projector]] = {
    "qwen2_audio": _qwen2_audio,
    "qwen3_asr": qwen3,
    "voxtral": _voxtral,
    "glmasr": _glmasr,
    "granite_speech": _granite,
    "gemma4": _gemma4,
    "phi4_multimodal": _phi4,
}
"""What each family with sounds has between its tower and the text model."""
