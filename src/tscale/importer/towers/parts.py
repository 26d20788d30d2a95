"""Pieces of towers as their families write them: short names for what most of them have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from tscale.blocks import Attention, FeedForward, Norm
from tscale.blocks.tower_pieces import Attend, Depthwise, Gains, Linear, Piece, RunsOver, Simple, Table, TowerLayers

NormKind = Literal["layernorm", "rmsnorm"]


Kept = tuple[Literal["input", "output", "activation"], ...]
READ: Final[Kept] = ("input",)
"""A matrix keeps what it multiplies."""
GATED: Final[Kept] = ("input", "activation")
"""What it multiplies is a product of an activation and another factor."""
ACTIVATED: Final[Kept] = ("input", "output")
"""An activation function behind a matrix keeps what that yields."""


def linear(
    name: str,
    d_in: int,
    d_out: int,
    *,
    bias: bool = True,
    at: RunsOver = "inputs",
    copies: int = 1,
    times: int = 1,
    keeps: Kept | None = None,
    inputs: int | None = None,
    conv: bool = False,
) -> Linear:
    """A matrix, with a bias unless it is said to have none; `keeps`: what was recorded of it; `conv`: whether it is a convolution."""
    return Linear(
        name=name,
        d_in=d_in,
        d_out=d_out,
        bias=bias,
        at=at,
        copies=copies,
        times=times,
        keeps=keeps,
        inputs=inputs,
        conv=conv,
    )


def unlearned(name: str, d_in: int, d_out: int, *, at: RunsOver) -> Linear:
    """A product with the weights of another matrix, over other positions."""
    return Linear(name=name, d_in=d_in, d_out=d_out, at=at, learned=False)


def vector(
    name: str, width: int, copies: int = 1, *, does: Literal["scales", "joins"] | None = None, at: RunsOver = "inputs"
) -> Gains:
    """Weights that are applied elementwise; `does`: what they do, where that was recorded."""
    return Gains(kind="vector", name=name, width=width, copies=copies, does=does, at=at)


def layer_scales(width: int) -> tuple[Gains, Gains]:
    """What scales both halves of a layer."""
    return vector("scale.attention", width, does="scales"), vector("scale.feed_forward", width, does="scales")


def norm(name: str, width: int, kind: NormKind = "layernorm", copies: int = 1, *, at: RunsOver = "inputs") -> Gains:
    """A norm's gains, and biases of a layernorm."""
    weights = 2 * width if kind == "layernorm" else width
    return Gains(kind="vector", name=name, width=weights, copies=copies, does=kind, at=at)


def table(name: str, rows: int, width: int, *, trained: bool = True) -> Table:
    """A table of vectors."""
    return Table(kind="table", name=name, rows=rows, width=width, trained=trained)


def depthwise(name: str, channels: int, kernel: int, *, bias: bool = False) -> Depthwise:
    """A depthwise convolution."""
    return Depthwise(kind="depthwise", name=name, channels=channels, kernel=kernel, bias=bias)


def layers(
    count: int,
    d_model: int,
    heads: int,
    d_ff: int,
    *,
    kind: NormKind = "layernorm",
    bias: bool | tuple[Literal["q", "k", "v", "o"], ...] = True,
    kv_heads: int | None = None,
    head_dim: int | None = None,
    qk_norm: Literal["head", "full"] | None = None,
    qk_norm_bias: bool = False,
    v_norm: bool = False,
    gated: bool = False,
    d_ff_bias: bool = True,
    place: Literal["pre", "sandwich"] = "pre",
    each: Sequence[Simple] = (),
    name: str = "layers",
    at: RunsOver = "inputs",
    window: int | None = None,
    pattern: tuple[Literal["local", "global"], ...] | None = None,
) -> TowerLayers:
    """A stack of transformer layers with norms before their halves."""
    attention = Attention(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        bias=bias,
        qk_norm=qk_norm,
        qk_norm_bias=qk_norm_bias,
        v_norm=v_norm,
        window=window,
        chunked=window is not None,
        pattern=pattern,
    )
    return TowerLayers(
        kind="layers",
        name=name,
        layers=count,
        d_model=d_model,
        attention=attention,
        feed_forward=FeedForward(d_ff=d_ff, gated=gated, bias=d_ff_bias),
        norm=Norm(kind=kind, place=place),
        each=tuple(each),
        at=at,
    )


def bare_layers(count: int, d_model: int, each: Sequence[Simple], name: str, at: RunsOver = "inputs") -> TowerLayers:
    """A stack of layers that are made of pieces alone."""
    return TowerLayers(kind="layers", name=name, layers=count, d_model=d_model, each=tuple(each), at=at)


def scores(name: str, heads: int, head_dim: int, at: RunsOver = "outputs", keys: RunsOver = "inputs") -> Attend:
    """Scores of some positions against others."""
    return Attend(kind="scores", name=name, heads=heads, head_dim=head_dim, at=at, keys=keys)


def pooling_head(d: int, heads: int, d_ff: int) -> list[Piece]:
    """A query of its own that attends to all patches, and a feed-forward behind it, as SigLIP's."""
    return [
        table("head.probe", 1, d),
        linear("head.q", d, d, at="once", keeps=READ),
        linear("head.k", d, d, keeps=READ),
        linear("head.v", d, d, keeps=()),
        scores("head.scores", heads, d // heads, at="once"),
        linear("head.o", d, d, at="once", keeps=READ),
        norm("head.norm", d, at="once"),
        linear("head.up", d, d_ff, at="once", keeps=ACTIVATED),
        linear("head.down", d_ff, d, at="once", keeps=READ),
    ]
