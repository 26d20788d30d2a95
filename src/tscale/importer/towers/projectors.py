"""What stands between a vision tower and the language model, one function a family that has images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from tscale.blocks.tower_pieces import Piece, Simple
from tscale.importer.towers.parts import bare_layers, linear, norm, scores, table, vector
from tscale.importer.towers.sizes import File, Sizes
from tscale.importer.towers.vision import sam_neck

Pieces = Iterator[Piece]


class Ends(NamedTuple):
    """What a projector stands between: the configuration of a tower and its pieces, and the width of the text model."""

    file: File
    tower: Sizes
    d_model: int
    pieces: tuple[Piece, ...] = ()


Projector = Callable[[Ends], Pieces]


def two_layers(d_in: int, inner: int, d_out: int, *, bias: bool = True) -> Pieces:
    """Two matrices with an activation between them."""
    yield linear("linear_1", d_in, inner, bias=bias, at="outputs")
    yield linear("linear_2", inner, d_out, bias=bias, at="outputs")


def _chosen_layers(file: File) -> int:
    """How many of the tower's layers are read, one behind the other."""
    chosen = file.own.value("vision_feature_layer")
    return len(chosen) if isinstance(chosen, list) else 1


def llava(ends: Ends) -> Pieces:
    """Two matrices (Liu 2023)."""
    file, v, d = ends.file, ends.tower, ends.d_model
    yield from two_layers(
        v.size("hidden_size") * _chosen_layers(file), d, d, bias=file.own.flag("multimodal_projector_bias")
    )


def with_newline(ends: Ends) -> Pieces:
    """The same, and a vector that ends each row of an image of several tiles."""
    d = ends.d_model
    yield vector("image_newline", d)
    yield from llava(ends)


def vipllava(ends: Ends) -> Pieces:
    """A norm over several layers' outputs, and two matrices."""
    file, v, d = ends.file, ends.tower, ends.d_model
    wide = v.size("hidden_size") * _chosen_layers(file)
    yield norm("norm", wide)
    yield from two_layers(wide, d, d)


def readout(ends: Ends) -> Pieces:
    """Two matrices (VideoLLaMA 3)."""
    v, d = ends.tower, ends.d_model
    yield from two_layers(v.size("hidden_size"), d, d)


def qwen2(ends: Ends) -> Pieces:
    """A norm, and two matrices on four patches side by side."""
    v = ends.tower
    yield from _merger(v.size("embed_dim"), v.size("spatial_merge_size") ** 2, v.size("hidden_size"), "layernorm")


def qwen2_5(ends: Ends) -> Pieces:
    """The same with an RMS norm."""
    v = ends.tower
    yield from _merger(v.size("hidden_size"), v.size("spatial_merge_size") ** 2, v.size("out_hidden_size"), "rmsnorm")


def hyperclova(ends: Ends) -> Pieces:
    """The same, and a matrix to the text model's width."""
    v, d = ends.tower, ends.d_model
    yield from qwen2_5(ends)
    yield linear("linear", v.size("out_hidden_size"), d, at="outputs")


def qwen3(ends: Ends) -> Pieces:
    """A merger of four patches, and one for each layer that is handed to the text model's first layers as well (Qwen3-VL)."""
    v = ends.tower
    width, four, out = v.size("hidden_size"), v.size("spatial_merge_size") ** 2, v.size("out_hidden_size")
    yield from _merger(width, four, out, "layernorm")
    deep = v.value("deepstack_visual_indexes")
    copies = len(deep) if isinstance(deep, list) else 0
    if copies:
        wide = four * width
        yield norm("deepstack.norm", wide, copies=copies)
        yield linear("deepstack.linear_1", wide, wide, at="outputs", copies=copies)
        yield linear("deepstack.linear_2", wide, out, at="outputs", copies=copies)


def qwen3_5(ends: Ends) -> Pieces:
    """One merger: no other layer's output is handed over."""
    v = ends.tower
    yield from _merger(v.size("hidden_size"), v.size("spatial_merge_size") ** 2, v.size("out_hidden_size"), "layernorm")


def _merger(width: int, patches: int, out: int, kind: str) -> Pieces:
    wide = patches * width
    yield norm("norm", width, "layernorm" if kind == "layernorm" else "rmsnorm")
    yield linear("linear_1", wide, wide, at="outputs")
    yield linear("linear_2", wide, out, at="outputs")


def intern(ends: Ends) -> Pieces:
    """A norm and two matrices on patches that a pixel shuffle put side by side."""
    file, v, d = ends.file, ends.tower, ends.d_model
    wide = v.size("hidden_size") * int(1 / file.own.real("downsample_ratio")) ** 2
    yield norm("norm", wide)
    yield from two_layers(wide, d, d)


def one_matrix(ends: Ends) -> Pieces:
    """One matrix (PaliGemma)."""
    file, v = ends.file, ends.tower
    yield linear("linear", v.size("hidden_size"), file.own.size("projection_dim"), at="outputs")


def gemma3(ends: Ends) -> Pieces:
    """A norm and one matrix on patches that are averaged."""
    v, d = ends.tower, ends.d_model
    width = v.size("hidden_size")
    yield norm("norm", width, "rmsnorm")
    yield linear("linear", width, d, bias=False, at="outputs")


def gemma4(ends: Ends) -> Pieces:
    """One matrix behind a norm without weights."""
    v, d = ends.tower, ends.d_model
    yield linear("linear", v.size("hidden_size"), d, bias=False, at="outputs")


def mistral3(ends: Ends) -> Pieces:
    """A norm, a matrix that merges patches, and two more."""
    file, v, d = ends.file, ends.tower, ends.d_model
    width, bias = v.size("hidden_size"), file.own.value("multimodal_projector_bias") is True
    yield norm("norm", width, "rmsnorm")
    yield linear("merger", width * file.own.size("spatial_merge_size") ** 2, width, bias=False, at="outputs")
    yield from two_layers(width * _chosen_layers(file), d, d, bias=bias)


def idefics3(ends: Ends) -> Pieces:
    """One matrix on patches that a pixel shuffle put side by side."""
    file, v, d = ends.file, ends.tower, ends.d_model
    yield linear("linear", v.size("hidden_size") * file.own.size("scale_factor") ** 2, d, bias=False, at="outputs")


def idefics2(ends: Ends) -> Pieces:
    """A gated feed-forward to the text model's width, and a resampler to a few latents (Laurencon 2024)."""
    file, v, d = ends.file, ends.tower, ends.d_model
    r = file.inside("perceiver_config")
    assert r is not None, "the class always has one"
    inner = file.text_size("intermediate_size")
    for name in ("gate", "up"):
        yield linear(name, v.size("hidden_size"), inner, bias=False)
    yield linear("down", inner, d, bias=False)
    heads, head_dim, kv_heads = r.size("resampler_n_heads"), r.size("resampler_head_dim"), r.size("num_key_value_heads")
    yield table("latents", r.size("resampler_n_latents"), d)
    each: list[Simple] = [
        norm("norm.latents", d, "rmsnorm"), norm("norm.context", d, "rmsnorm"),
        linear("q", d, heads * head_dim, bias=False, at="outputs"),
        linear("k", d, kv_heads * head_dim, bias=False),
        linear("v", d, kv_heads * head_dim, bias=False),
        scores("scores", heads, head_dim),
        linear("o", heads * head_dim, d, bias=False, at="outputs"),
        norm("norm.feed_forward", d, "rmsnorm"),
        *(linear(name, d, 4 * d, bias=False, at="outputs") for name in ("resampler.gate", "resampler.up")),
        linear("resampler.down", 4 * d, d, bias=False, at="outputs"),
    ]  # fmt: skip
    yield bare_layers(r.size("resampler_depth"), d, each, "resampler")
    yield norm("norm.final", d, "rmsnorm")


def llama4(ends: Ends) -> Pieces:
    """One matrix."""
    v, d = ends.tower, ends.d_model
    yield linear("linear", v.size("vision_output_dim"), d, bias=False, at="outputs")


def mllama(ends: Ends) -> Pieces:
    """One matrix, whose outputs are keys and values of the text model's cross-attention."""
    v, d = ends.tower, ends.d_model
    yield linear("linear", v.size("vision_output_dim"), d)


def glm4v(ends: Ends) -> Pieces:
    """A convolution that merges patches, a matrix, a norm and a gated feed-forward."""
    v = ends.tower
    merge, out = v.size("spatial_merge_size"), v.size("out_hidden_size")
    inner = _glm_inner(v, out)
    yield linear("downsample", v.size("hidden_size") * merge**2, out, at="outputs")
    yield linear("linear", out, out, bias=False, at="outputs")
    yield norm("norm", out)
    for name in ("gate", "up"):
        yield linear(name, out, inner, bias=False, at="outputs")
    yield linear("down", inner, out, bias=False, at="outputs")


def _glm_inner(v: Sizes, out: int) -> int:
    """Width of the feed-forward behind merged patches."""
    match v.kind:
        case "glm_ocr_vision":
            return out * v.size("in_channels")
        case "glm5_next_vision":
            return v.size("projection_intermediate_size")
        case _:
            return v.size("intermediate_size")


def kimi(ends: Ends) -> Pieces:
    """A norm, and two matrices on patches side by side."""
    file, v, d = ends.file, ends.tower, ends.d_model
    high, wide = v.sides("merge_kernel_size")
    width = v.size("hidden_size")
    yield norm("norm", file.own.size("projection_hidden_size"))
    yield linear("linear_1", high * wide * width, high * wide * width, at="outputs")
    yield linear("linear_2", high * wide * width, d, at="outputs")


def minimax(ends: Ends) -> Pieces:
    """Two matrices on each patch, and two on four of their outputs side by side."""
    file, v, d = ends.file, ends.tower, ends.d_model
    inner, four = file.own.size("projector_hidden_size"), v.size("spatial_merge_size") ** 2
    yield linear("linear_1", v.size("hidden_size"), inner)
    yield linear("linear_2", inner, d)
    yield linear("merge_1", four * d, inner, at="outputs")
    yield linear("merge_2", inner, d, at="outputs")


def step(ends: Ends) -> Pieces:
    """One matrix."""
    file, v, d = ends.file, ends.tower, ends.d_model
    yield linear("linear", 4 * v.size("hidden_size"), d, bias=file.own.flag("projector_bias"), at="outputs")


def aya(ends: Ends) -> Pieces:
    """A norm and a gated feed-forward on patches that a pixel shuffle put side by side."""
    file, v, d = ends.file, ends.tower, ends.d_model
    wide = v.size("hidden_size") * file.own.size("downsample_factor") ** 2
    inner = file.own.value("alignment_intermediate_size")
    inner = inner if isinstance(inner, int) else d
    yield norm("norm", wide)
    yield linear("linear_1", wide, inner, at="outputs")
    yield linear("linear_2", inner // 2, d, at="outputs")


def cohere2(ends: Ends) -> Pieces:
    """A gated feed-forward on patches that a pixel shuffle put side by side."""
    file, v, d = ends.file, ends.tower, ends.d_model
    wide, inner = (
        v.size("hidden_size") * file.own.size("downsample_factor") ** 2,
        file.own.size("alignment_intermediate_size"),
    )
    yield linear("linear_1", wide, inner, at="outputs")
    yield linear("linear_2", inner // 2, d, at="outputs")


def lfm2(ends: Ends) -> Pieces:
    """A norm where the file has one, and two matrices on patches that a pixel shuffle put side by side."""
    file, v, d = ends.file, ends.tower, ends.d_model
    wide, inner = (
        v.size("hidden_size") * file.own.size("downsample_factor") ** 2,
        file.own.size("projector_hidden_size"),
    )
    if file.own.flag("projector_use_layernorm"):
        yield norm("norm", wide)
    yield from two_layers(wide, inner, d, bias=file.own.flag("projector_bias"))


def paddle(ends: Ends) -> Pieces:
    """A norm, and two matrices on four patches side by side."""
    v, d = ends.tower, ends.d_model
    width, four = v.size("hidden_size"), v.size("spatial_merge_size") ** 2
    yield norm("norm", width)
    yield from two_layers(four * width, four * width, d)


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
    yield from sam_neck("high_res.neck", width, out)
    yield linear("high_res.conv_1", 9 * out, 2 * out, bias=False, at="outputs")
    yield linear("high_res.conv_2", 9 * 2 * out, 4 * out, bias=False, at="outputs")
    yield linear("low_res", v.size("hidden_size"), d // 2, at="outputs")
    yield linear("high_res", 4 * out, d // 2, at="outputs")
    yield linear("linear", d, d, at="outputs")


def got(ends: Ends) -> Pieces:
    """Two convolutions that quarter the patches twice, and one matrix."""
    v, d = ends.tower, ends.d_model
    out = v.size("output_channels")
    yield linear("conv_1", 9 * out, 2 * out, bias=False, at="outputs", times=4)
    yield linear("conv_2", 9 * 2 * out, d, bias=False, at="outputs")
    yield linear("linear", d, d, at="outputs")


def aria(ends: Ends) -> Pieces:
    """Queries that attend to the patches, each projection twice, and a feed-forward."""
    file, v, d = ends.file, ends.tower, ends.d_model
    width, heads = v.size("hidden_size"), v.size("num_attention_heads")
    yield table("queries", file.own.size("max_value_projector_patch_to_query_dict"), width)
    yield linear("q", width, width, bias=False, at="outputs")
    yield linear("k", width, width, bias=False)
    yield linear("v", width, width, bias=False)
    yield linear("in.q", width, width, at="outputs")
    yield linear("in.k", width, width)
    yield linear("in.v", width, width)
    yield scores("scores", heads, width // heads)
    yield linear("out_1", width, width, at="outputs")
    yield linear("out_2", width, width, at="outputs")
    for name in ("queries", "patches", "output"):
        yield norm(f"norm.{name}", width)
    yield linear("up", width, d, bias=False, at="outputs")
    yield linear("down", d, d, bias=False, at="outputs")


def blip2(ends: Ends) -> Pieces:
    """A Q-Former, and a matrix behind it (Li 2023)."""
    file, v, d = ends.file, ends.tower, ends.d_model
    q = file.inside("qformer_config")
    assert q is not None, "the class always has one"
    yield from qformer(q, v.size("hidden_size"), file.own.size("num_query_tokens"), words=file.family == "instructblip")
    yield linear("linear", q.size("hidden_size"), d, at="outputs")


def qformer(q: Sizes, wide: int, queries: int, *, words: bool = False) -> Pieces:
    """Learned queries through layers that attend to each other and, in some of them, to a tower's outputs of a width.

    `words`: whether words run through it as well, by a table and feed-forwards of their own (InstructBLIP).
    """
    d, heads, d_ff = q.size("hidden_size"), q.size("num_attention_heads"), q.size("intermediate_size")
    depth, every = q.size("num_hidden_layers"), q.size("cross_attention_frequency")
    yield table("queries", queries, d)
    if words:
        yield table("words", q.size("vocab_size"), d)
        yield table("positions", q.size("max_position_embeddings"), d)
    yield norm("norm.embedding", d)
    halves = ("queries", "words") if words or q.value("use_qformer_text_input") is True else ("queries",)
    each = [linear(name, d, d, at="outputs") for name in ("q", "k", "v", "o")]
    yield bare_layers(
        depth, d,
        [*each, scores("scores", heads, d // heads, keys="outputs"), norm("norm.attention", d),
         *(piece for half in halves for piece in (
             linear(f"{half}.up", d, d_ff, at="outputs"), linear(f"{half}.down", d_ff, d, at="outputs"),
             norm(f"norm.{half}", d)))],
        "qformer", at="outputs",
    )  # fmt: skip
    yield bare_layers(
        -(-depth // every), d,
        [linear("q", d, d, at="outputs"), linear("k", wide, d), linear("v", wide, d), scores("scores", heads, d // heads),
         linear("o", d, d, at="outputs"), norm("norm", d)],
        "qformer.cross", at="outputs",
    )  # fmt: skip


def janus(ends: Ends) -> Pieces:
    """Two matrices or more."""
    v = ends.tower
    out, depth = v.size("projection_dim"), v.size("depth")
    yield linear("linear_1", v.size("hidden_size"), out, at="outputs")
    if depth > 1:
        yield linear("linear_2", out, out, at="outputs", copies=depth - 1)


def minicpm(ends: Ends) -> Pieces:
    """Norms and pairs of matrices, each of which merges four patches."""
    file, v, d = ends.file, ends.tower, ends.d_model
    width, times = v.size("hidden_size"), file.own.size("merger_times")
    merged = 4 * width
    for step in range(times):
        yield norm(f"norm_{step + 1}", merged)
        yield linear(f"linear_{step + 1}.up", merged, merged, at="outputs")
        yield linear(f"linear_{step + 1}.down", merged, d if step == times - 1 else width, at="outputs")


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
    yield linear("images", ends.tower.size("hidden_size"), out, bias=False, at="once")
    yield linear("texts", ends.d_model, out, bias=False, at="once")
    yield vector("scale", 1)


def siglip(_: Ends) -> Pieces:
    """A scale and a bias: what the encoders yield is compared as it is (Zhai 2023)."""
    yield vector("scale", 1)
    yield vector("bias", 1)


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
