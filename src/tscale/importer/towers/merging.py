"""Projectors that put patches side by side, by a pixel shuffle or a convolution, before the matrices."""

from __future__ import annotations

from tscale.importer.towers.ends import Ends, Pieces, chosen_layers, two_layers
from tscale.importer.towers.parts import ACTIVATED, GATED, READ, linear, norm
from tscale.importer.towers.sizes import Sizes


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
        yield norm("deepstack.norm", wide, copies=copies, at="outputs")
        yield linear("deepstack.linear_1", wide, wide, at="outputs", copies=copies, keeps=ACTIVATED)
        yield linear("deepstack.linear_2", wide, out, at="outputs", copies=copies, keeps=READ)


def qwen3_5(ends: Ends) -> Pieces:
    """One merger: no other layer's output is used."""
    v = ends.tower
    yield from _merger(v.size("hidden_size"), v.size("spatial_merge_size") ** 2, v.size("out_hidden_size"), "layernorm")


def _merger(width: int, patches: int, out: int, kind: str) -> Pieces:
    wide = patches * width
    yield norm("norm", width, "layernorm" if kind == "layernorm" else "rmsnorm")
    yield linear("linear_1", wide, wide, at="outputs", keeps=ACTIVATED)
    yield linear("linear_2", wide, out, at="outputs", keeps=READ)


def intern(ends: Ends) -> Pieces:
    """A norm and two matrices on patches that a pixel shuffle put side by side."""
    file, v, d = ends.file, ends.tower, ends.d_model
    wide = v.size("hidden_size") * int(1 / file.own.real("downsample_ratio")) ** 2
    yield norm("norm", wide, at="outputs")
    yield from two_layers(wide, d, d)


def mistral3(ends: Ends) -> Pieces:
    """A norm, a matrix that merges patches, and two more."""
    file, v, d = ends.file, ends.tower, ends.d_model
    width, bias = v.size("hidden_size"), file.own.value("multimodal_projector_bias") is True
    yield norm("norm", width, "rmsnorm")
    yield linear(
        "merger", width * file.own.size("spatial_merge_size") ** 2, width, bias=False, at="outputs", keeps=READ
    )
    yield from two_layers(width * chosen_layers(file), d, d, bias=bias)


def idefics3(ends: Ends) -> Pieces:
    """One matrix on patches that a pixel shuffle put side by side."""
    file, v, d = ends.file, ends.tower, ends.d_model
    yield linear(
        "linear", v.size("hidden_size") * file.own.size("scale_factor") ** 2, d, bias=False, at="outputs", keeps=READ
    )


def glm4v(ends: Ends) -> Pieces:
    """A convolution that merges patches, a matrix, a norm and a gated feed-forward."""
    v = ends.tower
    merge, out = v.size("spatial_merge_size"), v.size("out_hidden_size")
    inner = _glm_inner(v, out)
    yield linear("downsample", v.size("hidden_size") * merge**2, out, at="outputs", keeps=READ, conv=True)
    # an activation function reads what the norm yields, which is as wide as the matrix's own output
    yield linear("linear", out, out, bias=False, at="outputs", keeps=ACTIVATED)
    yield norm("norm", out, at="outputs")
    for name in ("gate", "up"):
        yield linear(name, out, inner, bias=False, at="outputs", keeps=ACTIVATED if name == "gate" else ("output",))
    yield linear("down", inner, out, bias=False, at="outputs", keeps=GATED)


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
    yield linear("linear_1", high * wide * width, high * wide * width, at="outputs", keeps=ACTIVATED)
    yield linear("linear_2", high * wide * width, d, at="outputs", keeps=READ)


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
    yield norm("norm", wide, at="outputs")
    yield linear("linear_1", wide, inner, at="outputs", keeps=ACTIVATED)
    yield linear("linear_2", inner // 2, d, at="outputs", keeps=GATED)


def cohere2(ends: Ends) -> Pieces:
    """A gated feed-forward on patches that a pixel shuffle put side by side."""
    file, v, d = ends.file, ends.tower, ends.d_model
    wide, inner = (
        v.size("hidden_size") * file.own.size("downsample_factor") ** 2,
        file.own.size("alignment_intermediate_size"),
    )
    yield linear("linear_1", wide, inner, at="outputs", keeps=ACTIVATED)
    yield linear("linear_2", inner // 2, d, at="outputs", keeps=GATED)


def lfm2(ends: Ends) -> Pieces:
    """A norm where the file has one, and two matrices on patches that a pixel shuffle put side by side."""
    file, v, d = ends.file, ends.tower, ends.d_model
    wide, inner = (
        v.size("hidden_size") * file.own.size("downsample_factor") ** 2,
        file.own.size("projector_hidden_size"),
    )
    if file.own.flag("projector_use_layernorm"):
        yield norm("norm", wide, at="outputs")
    yield from two_layers(wide, inner, d, bias=file.own.flag("projector_bias"))


def paddle(ends: Ends) -> Pieces:
    """A norm, and two matrices on four patches side by side."""
    v, d = ends.tower, ends.d_model
    width, four = v.size("hidden_size"), v.size("spatial_merge_size") ** 2
    yield norm("norm", width)
    yield from two_layers(four * width, four * width, d)


def got(ends: Ends) -> Pieces:
    """Two convolutions that quarter the patches twice, and one matrix."""
    v, d = ends.tower, ends.d_model
    out = v.size("output_channels")
    yield linear("conv_1", 9 * out, 2 * out, bias=False, at="outputs", times=4, conv=True)
    yield linear("conv_2", 9 * 2 * out, d, bias=False, at="outputs", conv=True)
    yield linear("linear", d, d, at="outputs")


def minicpm(ends: Ends) -> Pieces:
    """Norms and pairs of matrices, each of which merges four patches."""
    file, v, d = ends.file, ends.tower, ends.d_model
    width, rounds = v.size("hidden_size"), file.own.size("merger_times")
    merged = 4 * width
    for step in range(rounds):
        left = rounds - 1 - step
        up, down = (ACTIVATED, READ) if rounds == 1 else (None, None)  # more rounds were not recorded
        yield norm(f"norm_{step + 1}", merged, at="outputs")
        yield linear(f"linear_{step + 1}.up", merged, merged, at="outputs", times=4**left, keeps=up)
        yield linear(f"linear_{step + 1}.down", merged, width if left else d, at="outputs", times=4**left, keeps=down)
