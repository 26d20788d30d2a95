"""What rarer blocks own and keep, of small widths that one multiplies by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.blocks.shapes import SITE, by_name, shape, shapes
from tscale.blocks.attention import Attention, Widths
from tscale.blocks.augmented import Augmented
from tscale.blocks.experts import Experts
from tscale.blocks.feed_forward import FeedForward
from tscale.blocks.fields import LayerSelector
from tscale.blocks.hybrid_heads import HybridHeads
from tscale.blocks.image_layer import ImageLayer
from tscale.blocks.lightning import Lightning
from tscale.blocks.mamba import Mamba
from tscale.blocks.mamba2 import Mamba2
from tscale.blocks.mlstm import Mlstm
from tscale.blocks.rg_lru import RgLru
from tscale.blocks.shared import SharedBlock
from tscale.blocks.short_conv import ShortConv
from tscale.core.ledger import Buffer, Matmul, Subset
from tscale.errors import RequestError

ATTENTION = Attention(heads=4, kv_heads=2, head_dim=8)
PLAIN = {"q": (32, 32), "k": (32, 16), "v": (32, 16), "scores": (4, 8, 8), "o": (32, 32)}


def test_layers_with_parts_of_their_own() -> None:
    """Augmented attention stands under its own name; an image layer's weights are run by no token, with a gate for each half."""
    augmented = Augmented(kind="augmented", attention=ATTENTION)
    found = shapes(augmented.lower(SITE, caches=True))
    assert found == {f"attention.{name}": size for name, size in {**PLAIN, "cache": (32,)}.items()}
    assert (augmented.widths(32), Augmented(kind="augmented").widths(32)) == (Widths(4, 2, 8), None)
    assert not list(Augmented(kind="augmented").problems(32))
    for field, wrong in ((("heads",), Attention(heads=3)), (("on",), Attention(heads=4, on=LayerSelector(first=1)))):
        assert [path for path, _ in Augmented(kind="augmented", attention=wrong).problems(32)] == [
            ("attention", *field)
        ]
    image = ImageLayer(kind="image-layer", attention=ATTENTION, feed_forward=FeedForward(d_ff=64, gated=True))
    entries = by_name(image.lower(SITE, caches=True))
    assert {name: shape(one) for name, one in entries.items()} == {
        **{name: size for name, size in PLAIN.items() if name != "scores"}, "attention_gate": (1,), "feed_forward.up": (32, 64), "feed_forward.gate": (32, 64),
        "feed_forward.down": (64, 32), "feed_forward_gate": (1,), "norm.feed_forward": (32,),
    }  # fmt: skip
    assert {one.used for one in entries.values() if isinstance(one, Matmul)} == {0}
    one_of = ImageLayer(
        kind="image-layer", attention=ATTENTION, feed_forward=FeedForward(d_ff=64, on=LayerSelector(first=1))
    )
    assert [path for path, _ in one_of.problems(32)] == [("feed_forward", "on")]
    assert not list(image.problems(32))


def test_heads_and_a_state_space_side_by_side() -> None:
    state = Mamba2(kind="mamba2", heads=4, d_head=16, d_state=8)
    block = HybridHeads(kind="side-by-side", attention=ATTENTION, mamba=state)
    names = set(shapes(block.lower(SITE, caches=True)))
    assert {f"attention.{name}" for name in PLAIN} < names
    assert {f"{state.label}.{name}" for name in shapes(state.lower(SITE, caches=True))} < names
    assert shapes(block.saves(SITE))[f"{state.label}.input"] == (32,)
    assert not list(block.problems(32))
    wrong = HybridHeads(kind="side-by-side", attention=Attention(heads=4, on=LayerSelector(first=1)), mamba=state)
    assert [path for path, _ in wrong.problems(32)] == [("attention", "on")]


def test_experts_for_images_are_run_by_no_text() -> None:
    """8 experts of 12 for words and as many of 6 for images, each with a router over 8, and 2 more that compute nothing for words."""
    block = Experts(
        kind="experts", experts=8, top_k=2, d_ff=12, image_d_ff=6, idle=2, selection_bias="buffer", routes=100, scaled=True, latent=16, norms=True,
        out_norm=True, out_bias=True, shared_d_ff=20, shared_gate=True,
    )  # fmt: skip
    entries = by_name(block.lower(SITE))
    assert {name: shape(one) for name, one in entries.items()} == {
        "router": (32, 10), "scales": (40,), "selection_bias": (10,), "routes": (200,), "latent.down": (32, 16), "up": (16, 12), "gate": (16, 12), "down": (12, 16),
        "images.router": (32, 8), "images.selection_bias": (8,), "images.up": (32, 6), "images.gate": (32, 6), "images.down": (6, 32),
        "latent.up": (16, 32), "bias": (32,), "shared.up": (32, 20), "shared.gate": (32, 20), "shared.down": (20, 32), "shared.switch": (32, 1), "out_norm": (32,),
        "norms": (96,),
    }  # fmt: skip
    counts = {name: (one.experts, one.stored, one.used) for name, one in entries.items() if isinstance(one, Matmul)}
    assert {counts[name] for name in ("up", "gate", "down")} == {(8, 8, 2)}
    assert {counts[f"images.{name}"] for name in ("up", "gate", "down")} == {(8, 8, 0)}
    assert counts["images.router"] == (1, 1, 0)
    assert isinstance(entries["selection_bias"], Buffer)
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"top_k": 8}, []), ({"top_k": 9}, ["top_k"]), ({"groups": 4}, ["groups"]), ({"groups": 4, "top_groups": 4}, []), ({"groups": 4, "top_groups": 5}, ["top_groups"]),
        ({"groups": 3, "top_groups": 1}, ["groups"]), ({"groups": 4, "top_groups": 1}, []), ({"groups": 4, "top_groups": 1, "top_k": 3}, ["top_groups"]),
        ({"shared_gate": True}, ["shared_gate"]), ({"top_groups": 4}, ["groups"]),
    ]  # fmt: skip
    for given, wrong in cases:
        sizes: dict[str, Any] = {"kind": "experts", "experts": 8, "top_k": 2, "d_ff": 12}
        found = Experts(**sizes | given)
        assert [path for (path,), _ in found.problems(32)] == wrong, given


def test_recurrences_with_heads_and_short_convolutions() -> None:
    """Lightning: 2 heads of 64, of which a position reads and adds to 64·64 numbers. mLSTM: 4 heads with keys of 8 and values of 16."""
    lightning = Lightning(kind="lightning", heads=2, head_dim=64, chunk=16)
    wide = dict.fromkeys(("q", "k", "v", "gate"), (32, 128))
    assert shapes(lightning.lower(SITE, caches=True)) == {
        **wide, "scan": (16, 2 * 2 * 64**2, 0, 2 * 2 * 64), "state": (2 * 64**2,), "norm": (128,), "out": (128, 32),
    }  # fmt: skip
    both = {f"{name}{side}": (128,) for name in ("q", "k", "v") for side in ("", ".projected")}
    assert shapes(lightning.saves(SITE)) == {
        **both, "norm.input": (128,), "norm.statistics": (1,), "normed": (128,), "gate": (128,), "out": (128,),
    }  # fmt: skip
    with pytest.raises(RequestError):
        list(Lightning(kind="lightning", heads=2, head_dim=40).saves(SITE))
    mlstm = Mlstm(kind="mlstm", heads=4, qk_dim=8, v_dim=16)
    assert shapes(mlstm.saves(SITE)) == {
        "q": (32,), "k": (32,), "v": (64,), "tangents": (8,), "gates": (8,), "normaliser": (4,), "exponent": (4,), "norm.input": (64,), "norm.statistics": (8,),
        "normed": (64,), "output_gate": (64,), "product": (64,),
    }  # fmt: skip
    short = ShortConv(kind="short-conv", d_conv=3)
    assert shapes(short.lower(SITE, caches=True)) == {
        "in": (32, 96),
        "conv": (32, 3),
        "conv_state": (96,),
        "out": (32, 32),
    }
    assert set(shapes(short.saves(SITE)).values()) == {(32,)}
    griffin = RgLru(kind="rg-lru", blocks=4)
    entries = by_name(griffin.lower(SITE, caches=True))
    assert (shape(entries["gates"]), entries["gates"].stored, entries["gates"].used) == ((8, 8), 8, 8)
    assert (shape(entries["conv_state"]), shape(entries["state"])) == ((32 * 3,), (32,))
    assert shape(by_name(RgLru(kind="rg-lru", blocks=4, width=48).lower(SITE, caches=True))["gates"]) == (12, 12)
    assert not list(griffin.problems(32)) and len(list(RgLru(kind="rg-lru", blocks=5).problems(32))) == 1
    assert not list(RgLru(kind="rg-lru", blocks=5, width=40).problems(32))


def test_a_shared_block_is_read_by_each_of_its_layers() -> None:
    """Twice as wide as the stream, with adapters of rank 3 of each layer's own: beside queries, keys and values, and the feed-forward."""
    block = SharedBlock(
        kind="shared-block", heads=8, d_ff=48, adapter_rank=3, attention_adapters=True, blocks=2, mamba=Mamba(kind="mamba")
    )  # fmt: skip
    found = {
        name: size for name, size in shapes(block.lower(SITE, caches=True)).items() if not name.startswith("mamba")
    }
    adapters = {f"{name}.adapter.down": (64, 3) for name in "qkv"} | {f"{name}.adapter.up": (3, 64) for name in "qkv"}
    assert found == {
        **adapters, "norm.attention": (64,), "q": (64, 64), "k": (64, 64), "v": (64, 64), "scores": (8, 8, 8), "cache": (128,), "o": (64, 32),
        "norm.feed_forward": (32,), "up": (32, 48), "gate": (32, 48), "adapter.down": (32, 3), "adapter.up": (3, 96), "down": (48, 32), "linear": (32, 32),
    }  # fmt: skip
    copies = {one.items[0].name: one.copies for one in block.lower(SITE, caches=True) if isinstance(one, Subset)}
    assert copies["m.q"] == copies["m.norm.attention"] == copies["m.down"] == 2
    assert "m.q.adapter.down" not in copies
    few = {
        one.items[0].name: one.copies
        for one in block.lower(SITE._replace(layers=1), caches=True)
        if isinstance(one, Subset)
    }
    assert few["m.q"] == 1
    kept = {name: size for name, size in shapes(block.saves(SITE)).items() if not name.startswith("mamba")}
    assert {name: size for name, size in kept.items() if "adapter" in name or "norm" in name or name.endswith("input")} == {
        "q.adapter": (3,), "k.adapter": (3,), "v.adapter": (3,), "adapter": (3,), "norm.attention.input": (64,), "norm.attention.statistics": (1,), "attention.input": (64,),
        "norm.feed_forward.input": (32,), "norm.feed_forward.statistics": (1,), "feed_forward.input": (32,), "linear.input": (32,),
    }  # fmt: skip
