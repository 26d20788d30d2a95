"""Tables of positions, norms around sub-layers and feed-forwards, of small widths, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.blocks.shapes import SITE, by_name, shape, shapes
from tscale.blocks.attention import Widths
from tscale.blocks.feed_forward import FeedForward
from tscale.blocks.norm import Norm
from tscale.blocks.positions import Computed, Learned
from tscale.core.ledger import Subset

WIDTHS = Widths(4, 4, 8)
ENCODER = SITE._replace(causal=False)


@pytest.mark.parametrize(
    ("block", "site", "sizes"),
    [
        (Learned(), SITE, {"embedding.positions": (128, 32)}), (Learned(rows=9), SITE, {"embedding.positions": (9, 32)}),
        (Learned(rows=9, encoder_rows=7), SITE, {"embedding.positions": (9, 32)}), (Learned(rows=9, encoder_rows=7), ENCODER, {"embedding.positions": (7, 32)}),
        (Computed(kind="rotary"), SITE, {}), (Computed(kind="sinusoidal", rows=9), SITE, {"embedding.sines": (9, 32)}), (Computed(kind="rotary", rows=9), SITE, {"embedding.sines": (9, 8)}),
        (Computed(kind="rotary", frequencies=4), SITE, {"embedding.frequencies": (4,)}),
    ],
)  # fmt: skip
def test_tables_of_positions_stand_before_the_stack(block: Any, site: Any, sizes: dict[str, tuple[int, ...]]) -> None:
    """One for all layers, as wide as the stream, or as a head where queries and keys are rotated; sines have no gradient."""
    found = list(block.lower(site, WIDTHS, 128))
    assert shapes(found) == sizes
    assert all(isinstance(one, Subset) and one.once for one in found)
    assert not any(one.trained for name, one in by_name(found).items() if name.endswith("sines"))


NORMS: list[tuple[Norm, dict[str, int], bool]] = [
    (Norm(kind="rmsnorm"), {"norm.attention": 32}, True), (Norm(kind="layernorm"), {"norm.attention": 64}, True), (Norm(kind="layernorm", bias=False), {"norm.attention": 32}, True),
    (Norm(kind="rmsnorm", bias=True), {"norm.attention": 64}, True), (Norm(kind="layernorm", gain=False), {"norm.attention": 0}, True),
    (Norm(kind="rmsnorm", place="sandwich"), {"norm.before_attention": 32, "norm.after_attention": 32}, True), (Norm(kind="rmsnorm", place="post"), {"norm.attention": 32}, False),
    (Norm(kind="rmsnorm", place="post", final=True), {"norm.attention": 32}, True), (Norm(kind="rmsnorm", final=False), {"norm.attention": 32}, False),
    (Norm(kind="rmsnorm", place="parallel"), {}, True),
]  # fmt: skip


@pytest.mark.parametrize(("norm", "widths", "final"), NORMS)
def test_norms_stand_where_they_are_said_to(norm: Norm, widths: dict[str, int], final: bool) -> None:
    assert {name: size for name, (size,) in shapes(norm.lower(SITE, "attention")).items()} == widths
    assert bool(list(norm.lower_final(SITE))) == bool(list(norm.saves_final(SITE))) == final
    side = norm.place == "parallel"
    assert bool(list(norm.lower_layer(SITE))) == bool(list(norm.saves_layer(SITE))) == side
    kept = by_name(norm.saves(SITE, "attention"))
    assert {name.removesuffix(".input") for name in kept if name.endswith(".input")} == set(widths)
    for name, one in kept.items():
        if name.endswith("statistics"):
            assert (one.width, one.number) == (2 if norm.kind == "layernorm" else 1, "fp32")
        elif name.endswith(".input"):
            assert (one.width, one.number) == (32, "activation" if "after" in name else "residual")
        else:
            assert norm.kind == "rmsnorm" and one.norms


def test_an_rmsnorm_in_steps_keeps_its_input_in_fp32() -> None:
    kept = by_name(Norm(kind="rmsnorm").saves_one("m.n", "target", 32))
    assert {name: (one.width, one.number, one.norms) for name, one in kept.items()} == {
        "n.input": (32, "activation", ()), "n.statistics": (1, "fp32", ()), "n.upcast": (32, "fp32", ("eager", "composite")), "n.normalised": (32, "activation", ("composite",)),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        ({}, {"up": (32, 48), "down": (48, 32)}), ({"gated": True}, {"up": (32, 48), "gate": (32, 48), "down": (48, 32)}),
        ({"inner_norm": True, "scalars": 2}, {"up": (32, 48), "activation": (2,), "inner_norm": (48,), "down": (48, 32)}), ({"groups": 4}, {"up": (8, 12), "down": (12, 8)}),
    ],
)  # fmt: skip
def test_matrices_of_a_feed_forward(given: dict[str, Any], sizes: dict[str, tuple[int, ...]]) -> None:
    entries = by_name(FeedForward(d_ff=48, **given).lower(SITE))
    assert {name: shape(one) for name, one in entries.items()} == sizes
    many = given.get("groups", 1)
    assert (entries["up"].stored, entries["up"].used) == (many, many)


def test_biases_and_groups_of_a_feed_forward() -> None:
    biased = {
        (bias, out): [one.bias for one in by_name(FeedForward(d_ff=48, bias=bias, out_bias=out).lower(SITE)).values()]
        for bias in (False, True)
        for out in (False, True)
    }
    assert biased == {
        (False, False): [False, False],
        (False, True): [False, True],
        (True, False): [True, True],
        (True, True): [True, True],
    }
    assert [len(list(FeedForward(d_ff=48, groups=groups).problems(32))) for groups in (1, 4, 16, 32, 3)] == [
        0,
        0,
        0,
        1,
        1,
    ]
    kept = shapes(FeedForward(d_ff=48, inner_norm=True).saves(SITE))
    assert (kept["inner_norm.input"], kept["inner_norm.statistics"]) == ((48,), (1,))
