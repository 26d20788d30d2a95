"""Projectors whose learned queries or latents attend to the patches."""

from __future__ import annotations

from dataclasses import replace

from tscale.blocks.tower_pieces import RunsOver, Simple
from tscale.importer.towers.ends import Ends, Pieces
from tscale.importer.towers.parts import bare_layers, linear, norm, scores, table, unlearned
from tscale.importer.towers.sizes import Sizes


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
        *(unlearned(f"{name}.latents", d, kv_heads * head_dim, at="outputs") for name in ("k", "v")),  # by the same weights
        scores("scores", heads, head_dim),
        scores("scores.latents", heads, head_dim, keys="outputs"),
        linear("o", heads * head_dim, d, bias=False, at="outputs"),
        norm("norm.feed_forward", d, "rmsnorm"),
        *(linear(name, d, 4 * d, bias=False, at="outputs") for name in ("resampler.gate", "resampler.up")),
        linear("resampler.down", 4 * d, d, bias=False, at="outputs"),
    ]  # fmt: skip
    yield bare_layers(r.size("resampler_depth"), d, each, "resampler")
    yield norm("norm.final", d, "rmsnorm")


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


def qformer(q: Sizes, wide: int, queries: int, *, words: bool = False, window: int | None = None) -> Pieces:
    """Learned queries through layers that attend to each other and, in some of them, to a tower's outputs of a width.

    `words`: whether words run through it as well, by a table and feed-forwards of their own (InstructBLIP). `window`: so many of the
    tower's outputs have queries of their own, which attend to them and each other alone (Granite Speech).
    """
    d, heads, d_ff = q.size("hidden_size"), q.size("num_attention_heads"), q.size("intermediate_size")
    depth, every = q.size("num_hidden_layers"), q.size("cross_attention_frequency")
    yield table("queries", queries, d)
    if words:
        yield table("words", q.size("vocab_size"), d)
        yield table("positions", q.size("max_position_embeddings"), d)
    yield norm("norm.embedding", d)
    halves = ("queries", "words") if words or q.value("use_qformer_text_input") is True else ("queries",)
    behind: list[Simple] = [norm("norm.attention", d)]
    for half in halves:
        behind += [
            linear(f"{half}.up", d, d_ff, at="outputs"),
            linear(f"{half}.down", d_ff, d, at="outputs"),
            norm(f"norm.{half}", d),
        ]
    cross = -(-depth // every)
    if window is None:
        yield bare_layers(depth, d, [*_among(d, heads), *behind], "qformer", at="outputs")
        yield bare_layers(cross, d, _seeing(d, wide, heads), "qformer.cross", at="outputs")
        return
    # of the first layer queries are the same for all windows, until they have seen theirs
    for name, count, same in (("qformer.first", 1, True), ("qformer", depth - 1, False)):
        if count:
            yield bare_layers(count, d, [*_among(d, heads, queries, same=same), *behind], name, at="outputs")
    for name, count, same in (("qformer.first.cross", 1, True), ("qformer.cross", cross - 1, False)):
        if count:
            yield bare_layers(count, d, _seeing(d, wide, heads, (window, queries), same=same), name, at="outputs")


def _among(d: int, heads: int, queries: int | None = None, *, same: bool = False) -> list[Simple]:
    """Queries that attend to each other: all of them, or so many of a window, which may be the `same` for all windows."""
    if same and queries is not None:
        once = [linear(name, d, d, at="once", times=queries) for name in ("q", "k", "v", "o")]
        return [*once, replace(scores("scores", heads, d // heads, at="once", keys="once"), copies=queries**2)]
    each = [linear(name, d, d, at="outputs") for name in ("q", "k", "v", "o")]
    return [*each, replace(scores("scores", heads, d // heads, keys="outputs"), most=queries)]


def _seeing(
    d: int, wide: int, heads: int, windows: tuple[int, int] | None = None, *, same: bool = False
) -> list[Simple]:
    """Queries that attend to a tower's outputs of a width: to all of them, or each of so many to those of a window of so many."""
    window, queries = windows or (1, 1)
    times = window // queries
    query = linear("q", d, d, at="once", times=queries) if same else linear("q", d, d, at="outputs")
    at: RunsOver = (
        "outputs" if windows else "inputs"
    )  # a window is padded: of its positions there are as many as queries say
    seen = scores("scores", heads, d // heads, keys=at)
    if windows:
        seen = replace(seen, most=queries, copies=times)
    keys = [linear(name, wide, d, at=at, times=times) for name in ("k", "v")]
    return [query, *keys, seen, linear("o", d, d, at="outputs"), norm("norm", d)]
