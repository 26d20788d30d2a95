"""What experts, feed-forwards, positions and streams own and keep, and of what kind it is, of widths that one multiplies by hand."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from tests.blocks.shapes import SITE, by_name, shapes
from tscale.blocks import attentions
from tscale.blocks.attention import Attention, Widths
from tscale.blocks.augmented import Augmented
from tscale.blocks.bottleneck import Bottleneck
from tscale.blocks.compressed import CompressedAttention
from tscale.blocks.contrast import Contrast
from tscale.blocks.disentangled import Disentangled
from tscale.blocks.expert_attention import ExpertAttention
from tscale.blocks.experts import Experts
from tscale.blocks.feed_forward import FeedForward
from tscale.blocks.hybrid_heads import HybridHeads
from tscale.blocks.indexed import IndexedAttention
from tscale.blocks.latent import LatentAttention
from tscale.blocks.layer_input import LayerInput
from tscale.blocks.mamba import Mamba
from tscale.blocks.mamba2 import Mamba2
from tscale.blocks.relative import Relative, RelativeBias
from tscale.blocks.rwkv import Rwkv
from tscale.blocks.shared import SharedBlock
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.blocks.streams import AltUp
from tscale.blocks.text_pieces import in_text
from tscale.blocks.tower_pieces import Attend, Depthwise, Gains, Linear, TowerLayers
from tscale.core.ledger import ALWAYS, Matmul, Saved, Subset

D = 32
"""The width of the stream."""
WIDTHS = Widths(3, 3, 5)


def _kept(items: Any) -> dict[str, tuple[int, str]]:
    return {name: (one.width, one.number) for name, one in by_name(items).items()}


# ---------------------------------------------------------------------------------------------------------------------
# Feed-forwards and experts
# ---------------------------------------------------------------------------------------------------------------------


def test_a_feed_forward_keeps_what_each_step_reads_and_its_last_is_what_the_matrix_down_multiplies() -> None:
    plain, gated = (by_name(FeedForward(d_ff=44, gated=gated).saves(SITE)) for gated in (False, True))
    assert [(name, one.width, one.number, one.eager) for name, one in plain.items()] == [
        ("up", 44, "activation", False), ("activation", 44, "product", False),
    ]  # fmt: skip
    assert [(name, one.width, one.number, one.eager) for name, one in gated.items()] == [
        ("up", 44, "activation", False), ("gate", 44, "activation", False), ("activation", 44, "activation", True), ("product", 44, "product", False),
    ]  # fmt: skip
    for kept in (plain, gated):
        assert [name for name, one in kept.items() if one.read_by] == [list(kept)[-1]]
        assert not any(one.routed for one in kept.values())


def _experts(**given: Any) -> Experts:
    return Experts(kind="experts", **{"experts": 6, "top_k": 3, "d_ff": 7} | given)


def test_experts_keep_a_copy_of_a_token_for_each_of_three_experts() -> None:
    """6 probabilities in fp32, and for each of 3 experts a weight, a choice, and what it is sent, makes of it and returns."""
    kept = by_name(_experts().saves(SITE))
    assert _kept(kept.values()) == {
        "router.probabilities": (6, "fp32"), "router.weights": (3, "fp32"), "router.choices": (3, "index"), "dispatched": (3 * D, "product"),
        "up": (3 * 7, "activation"), "gate": (3 * 7, "activation"), "activation": (3 * 7, "activation"), "product": (3 * 7, "product"), "returned": (3 * D, "activation"),
    }  # fmt: skip
    routed = {"dispatched", "up", "gate", "activation", "product", "returned"}
    assert {name for name, one in kept.items() if one.routed} == routed
    assert {name for name, one in kept.items() if one.gathered} == {"dispatched", "returned"}


@pytest.mark.parametrize(
    ("given", "more"),
    [
        ({"scaled": True}, {"router.norm.statistics": (1, "fp32"), "router.normed": (D, "activation"), "router.input": (D, "activation"),
                            "router.unscaled": (3, "fp32"), "router.scales": (3, "activation")}),
        ({"norms": True}, {"norm.statistics": (1, "fp32"), "routed.norm.input": (D, "activation"), "routed.norm.statistics": (1, "fp32"),
                           "shared.norm.input": (D, "activation"), "shared.norm.statistics": (1, "fp32")}),
        ({"out_norm": True}, {"out_norm.input": (D, "activation"), "out_norm.statistics": (1, "fp32")}),
        ({"latent": 11}, {"dispatched": (3 * 11, "product"), "returned": (3 * 11, "activation"), "latent.up.input": (11, "activation")}),
        ({"shared_d_ff": 13}, {f"shared.{name}": (13, "product" if name == "product" else "activation") for name in ("up", "gate", "activation", "product")}),
        ({"shared_d_ff": 13, "gated": False}, {"shared.up": (13, "activation"), "shared.activation": (13, "product"), "activation": (3 * 7, "product")}),
    ],
)  # fmt: skip
def test_what_else_experts_keep(given: dict[str, Any], more: dict[str, tuple[int, str]]) -> None:
    plain, found = _kept(_experts().saves(SITE)), _kept(_experts(**given).saves(SITE))
    assert {name: one for name, one in found.items() if plain.get(name) != one} == more
    gone = {"gate", "product"} if given.get("gated") is False else set()
    assert plain.keys() - found.keys() == gone


def test_a_gate_of_the_shared_experts_is_kept_with_their_output() -> None:
    plain, gated = (_kept(_experts(shared_d_ff=13, shared_gate=gate).saves(SITE)) for gate in (False, True))
    assert {name: one for name, one in gated.items() if name not in plain} == {
        "shared.switch": (1, "activation"), "shared.out": (D, "activation"),
    }  # fmt: skip


def test_groups_of_experts_are_said_of_routed_matrices_alone() -> None:
    grouped, plain = by_name(_experts(groups=3, top_groups=2).lower(SITE)), by_name(_experts().lower(SITE))
    assert {name for name, one in grouped.items() if isinstance(one, Matmul) and one.groups == (3, 2)} == {
        "up",
        "gate",
        "down",
    }
    assert not any(one.groups for one in plain.values())
    assert {name: (one.experts, one.stored, one.used) for name, one in plain.items()} == {
        "router": (1, 1, 1), **dict.fromkeys(("up", "gate", "down"), (6, 6, 3)),
    }  # fmt: skip


def test_biases_of_experts() -> None:
    for given, biased in (({}, set()), ({"bias": True}, {"up", "gate", "down"}), ({"router_bias": True}, {"router"})):
        entries = by_name(_experts(shared_d_ff=5, **given).lower(SITE))
        assert {name for name, one in entries.items() if one.bias} == biased


def test_a_bias_of_the_choice_is_a_buffer_or_a_parameter_without_a_gradient() -> None:
    """DeepSeek-V3 moves it by hand; of 6 experts and 2 that compute nothing there are 8 numbers."""
    for kind in ("buffer", "parameter"):
        bias = by_name(_experts(selection_bias=kind, idle=2).lower(SITE))["selection_bias"]
        assert (bias.width, getattr(bias, "trained", None)) == (8, None if kind == "buffer" else False)
    assert "selection_bias" not in by_name(_experts().lower(SITE))


def test_attention_of_experts() -> None:
    """JetMoE (Shen 2024): of 6 experts of 2 heads of 5 a token has 3: 6 heads score one set of keys."""
    block = ExpertAttention(kind="expert-attention", experts=6, top_k=3, heads=2, head_dim=5)
    entries = by_name(block.lower(SITE, caches=True))
    assert shapes(entries.values()) == {
        "router": (D, 6), "q": (D, 10), "k": (D, 10), "v": (D, 10), "scores": (6, 5, 5), "cache": (20,), "o": (10, D), "bias": (D,),
    }  # fmt: skip
    many = {name: (one.experts, one.stored, one.used) for name, one in entries.items() if isinstance(one, Matmul)}
    assert many == {"router": (1, 1, 1), "q": (6, 6, 3), "k": (1, 1, 1), "v": (1, 1, 1), "o": (6, 6, 3)}
    kept = _kept(block.saves(SITE))
    assert kept == {
        "router.choices": (3, "index"), "router.weights": (3, "fp32"), "dispatched": (3 * D, "activation"), "q": (30, "activation"),
        "k": (10, "activation"), "v": (10, "activation"), "k.repeated": (30, "activation"), "v.repeated": (30, "activation"),
        "scores.probabilities": (6, "activation"), "scores.dropout": (6, "mask"), "scores.dropped": (6, "activation"), "scores.logsumexp": (6, "fp32"),
        "out": (30, "activation"), "out.dispatched": (30, "activation"), "returned": (3 * D, "activation"),
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Positions
# ---------------------------------------------------------------------------------------------------------------------


def test_a_bias_of_distances_is_of_the_stack_or_of_each_layer() -> None:
    """T5's table of 32 buckets for 3 heads is once and read throughout; UMT5 has one a layer; MPNet's rows come beside it."""
    (once,) = RelativeBias().lower(SITE, WIDTHS, 128)
    assert isinstance(once, Subset)
    assert (once.once, once.throughout, shapes([once])) == (True, True, {"relative_bias": (32, 3)})
    (own,) = RelativeBias(per_layer=True, buckets=9).lower(SITE, WIDTHS, 128)
    assert shapes([own]) == {"relative_bias": (9, 3)}
    assert not isinstance(own, Subset)
    rows, _ = RelativeBias(rows=7).lower(SITE, WIDTHS, 128)
    assert isinstance(rows, Subset)
    assert (rows.once, rows.throughout, shapes([rows])) == (True, False, {"embedding.positions": (7, D)})


def test_distances_are_projected_one_way_or_both() -> None:
    for causal, ways in ((True, 1), (False, 2)):
        site = SITE._replace(causal=causal)
        found = by_name(Relative(segments=True).lower(site, WIDTHS, 128))
        assert shapes(found.values()) == {
            "relative.key": (D, 15), "relative.scores": (3, ways * 5, 0), "relative.biases": (2 * 15,), "relative.segments": (3 * 15,),
        }  # fmt: skip
        assert found["relative.key"].used == ways
        kept = shapes(Relative(segments=True).saves(site, WIDTHS))
        assert kept == {"relative.key": (ways * 15,), "relative.q": (15,), "relative.segments.q": (15,)}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("whole", [True, False])
def test_a_table_of_distances_is_projected_in_each_layer(whole: bool, shared: bool) -> None:
    """16 distances on either side, of 3 heads of 5 (He 2021). The first version has two for each token, up to 16."""
    block = Disentangled(kind="disentangled", span=16, whole=whole, shared=shared, biases=("c2p",), normed=True, rows=9)
    entries = by_name(block.lower(SITE, WIDTHS, 128))
    table = 2 * 16
    scores = (15, table) if whole else (3, 2 * 5, 0)
    assert shapes(entries.values()) == {
        "embedding.positions": (9, D), "embedding.distances": (table, D), "norm.distances": (2 * D,), "distances.c2p": (D, 15), "distances.c2p.scores": scores,
        "distances.p2c": (D, 15), "distances.p2c.scores": scores,
    }  # fmt: skip
    for term in ("c2p", "p2c"):
        key = entries[f"distances.{term}"]
        assert (key.stored, key.bias) == (1 - shared, term == "c2p" and not shared)
        assert (key.stream, key.used, key.most) == (("once", table, None) if whole else ("target", 2, 16))
        assert entries[f"distances.{term}.scores"].cut.pieces == 3
        if not whole:
            assert entries[f"distances.{term}.scores"].most == 16
    places = [one for one in block.lower(SITE, WIDTHS, 128) if isinstance(one, Subset)]
    assert [(one.once, one.throughout) for one in places] == [(True, False), (True, True)]
    plain = Disentangled(kind="disentangled", span=16, terms=("p2c",))
    assert set(by_name(plain.lower(SITE, WIDTHS, 128))) == {
        "embedding.distances",
        "distances.p2c",
        "distances.p2c.scores",
    }


@pytest.mark.parametrize("whole", [True, False])
def test_what_projected_distances_keep(whole: bool) -> None:
    """By kind; what is shared, dropped and gathered of it stands in test_attention_by_hand."""
    block = Disentangled(kind="disentangled", span=16, whole=whole, terms=("c2p",), normed=True, conv=3)
    kept = by_name(block.saves(SITE, WIDTHS))
    table = 2 * 16
    keys, scores = (table * 15, 3 * table) if whole else (2 * 15, 2 * 3)
    assert _kept(kept.values()) == {
        "distances.c2p": (keys, "activation"), "distances.c2p.repeated": (keys, "activation"), "distances.c2p.index": (1, "index"),
        "distances.c2p.scores": (scores, "activation"), "distances.dropout": (table * D, "mask"), "distances.dropped": (table * D, "activation"),
        "embedding.distances": (table * D, "activation"), "embedding.distances.statistics": (2 * table, "fp32"), "convolution.input": (D, "activation"),
        "convolution.activation": (D, "activation"), "convolution.dropout": (D, "mask"), "norm.convolution.input": (D, "activation"),
        "norm.convolution.statistics": (2, "fp32"),
    }  # fmt: skip
    assert {name: one.keeping for name, one in kept.items() if "c2p" in name} == {
        "distances.c2p": ("selective", "flash"), **{f"distances.c2p.{name}": ("naive",) for name in ("repeated", "index", "scores")},
    }  # fmt: skip
    places = [(one.once, one.throughout) for one in block.saves(SITE, WIDTHS) if isinstance(one, Subset)]
    assert places == [(True, True), (True, False)]


def test_a_convolution_beside_the_first_layer_has_groups_of_channels() -> None:
    """3 taps of 32 channels in 4 groups: 24 numbers make one of 32 outputs, with a bias, and a norm of a gain and a bias."""
    block = Disentangled(kind="disentangled", span=16, terms=(), conv=3, conv_groups=4)
    found = by_name(block.lower(SITE, WIDTHS, 128))
    assert shapes(found.values()) == {
        "embedding.distances": (32, D),
        "convolution": (3 * D // 4, D),
        "norm.convolution": (2 * D,),
    }
    assert found["convolution"].bias


# ---------------------------------------------------------------------------------------------------------------------
# Streams, inputs of layers, comparisons, and which mixers have heads
# ---------------------------------------------------------------------------------------------------------------------


def test_alternating_updates_of_streams() -> None:
    """4 streams (Baykal 2023): the router is run before and behind the layer; a layer predicts with 4·4 weights and corrects with 4."""
    block = AltUp(kind="altup", count=4, laurel_rank=6)
    found = by_name(block.lower_layer(SITE))
    assert shapes(found.values()) == {
        "streams.start": (D, D), "streams.norm": (D,), "streams.router": (D, 4), "streams.predict": (4, 16), "streams.mix": (4, 4 * D), "streams.correct": (4, 4),
        "streams.scale": (D,), "laurel.left": (D, 6), "laurel.right": (6, D), "laurel.norm": (D,),
    }  # fmt: skip
    assert {name: (one.stored, one.used) for name, one in found.items() if isinstance(one, Matmul)} == {
        "streams.start": (3, 3), "streams.router": (1, 2), "streams.predict": (1, 1), "streams.mix": (0, 1), "streams.correct": (1, 1),
        "laurel.left": (1, 1), "laurel.right": (1, 1),
    }  # fmt: skip
    (end,) = block.lower_end(SITE)
    assert (shapes([end]), end.stored, end.used) == ({"streams.end": (D, D)}, 3, 3)  # type: ignore[union-attr]
    assert [one.once for one in block.lower_layer(SITE) if isinstance(one, Subset)] == [True]
    assert not list(block.lower(SITE, "attention", "attention"))
    assert "laurel.left" not in by_name(AltUp(kind="altup", count=4).lower_layer(SITE))


def test_inputs_of_each_layer() -> None:
    """Gemma 3n: a table of 100 words with 3 numbers for each of 5 layers; a gate and a matrix back of each layer."""
    block = LayerInput(vocabulary=100, width=3)
    first, *rest = block.lower(SITE)
    assert isinstance(first, Subset)
    assert (first.once, first.throughout) == (True, False)
    assert shapes([first]) == {
        "embedding.layers": (100, 15),
        "layer_input.projection": (D, 15),
        "layer_input.norm": (3,),
    }
    assert shapes(rest) == {"layer_input.gate": (D, 3), "layer_input.back": (3, D), "layer_input.norm.back": (D,)}
    kept_once, *kept = block.saves(SITE)
    assert isinstance(kept_once, Subset)
    assert kept_once.once
    assert _kept([kept_once]) == {
        "layer_input.norm.input": (15, "activation"), "layer_input.norm.statistics": (5, "fp32"), "layer_input.vectors": (15, "activation"),
    }  # fmt: skip
    assert all(isinstance(one, Saved) and one.keeping == ALWAYS for one in kept_once.items)
    assert _kept(kept) == {
        "layer_input.gate.input": (D, "activation"), "layer_input.gate": (3, "activation"), "layer_input.activation": (3, "activation"),
        "layer_input.product": (3, "activation"), "layer_input.norm.back.input": (D, "activation"), "layer_input.norm.back.statistics": (1, "fp32"),
    }  # fmt: skip


def test_vectors_of_images_and_texts_that_are_compared() -> None:
    """An image and its text have two vectors of 9 each, before and after they are brought to length 1; tables are of all pairs."""
    for loss, table in (
        ("softmax", {"similarities", "log_probabilities"}),
        ("sigmoid", {"similarities", "signs_and_logits"}),
    ):
        kept = by_name(Contrast(kind="contrast", width=9, loss=loss).saves("t"))  # type: ignore[arg-type]
        named = {name.removeprefix("t.contrast."): one for name, one in kept.items()}
        assert named["vectors"].width == 4 * 9
        assert {name for name, one in named.items() if one.squared} == table
        assert {name for name, one in named.items() if one.shared} == {"scalars"}
        assert all(one.keeping == ALWAYS for one in named.values())


def test_keys_that_stand_for_several_are_kept_as_keys_and_those_that_pick_them_as_an_index() -> None:
    block = CompressedAttention(
        kind="compressed", heads=4, head_dim=8, q_rank=16, groups=2, group_rank=6, window=5, ratio=4, index_heads=3, index_dim=2, index_top_k=7,
    )  # fmt: skip
    entries = by_name(block.lower(SITE, caches=True))
    roles = {name: entries[name].role for name in entries if name.endswith(("cache", ".kv"))}
    assert roles == {
        "cache": "kv",
        "compressed.cache": "kv",
        "index.cache": "index",
        "compressed.kv": "k",
        "index.kv": "index_k",
    }
    assert (entries["o_down"].stored, entries["o_down"].used, entries["o_down"].cut.axis) == (2, 2, "copies")


def test_which_mixers_have_heads_that_others_ask_for() -> None:
    """Attention itself, or that which stands beside something else; no recurrence, and no layer of pieces alone."""
    attention = Attention(heads=4)
    beside = HybridHeads(kind="side-by-side", attention=attention, mamba=Mamba2(kind="mamba2", heads=4, d_head=8))
    indexed = IndexedAttention(
        kind="indexed", attention=attention, index_heads=3, index_dim=5, index_block=16, index_top_blocks=2
    )
    for mixer, found in (
        (attention, [attention]), (beside, [attention]), (indexed, [attention]), (Augmented(kind="augmented", attention=attention), [attention]),
        (Augmented(kind="augmented"), []), (Rwkv(kind="rwkv"), []), (Mamba2(kind="mamba2", heads=4, d_head=8), []),
    ):  # fmt: skip
        mixers: Any = [mixer]
        assert list(attentions(mixers)) == found


def test_a_field_without_a_default_may_follow_one_that_has_one() -> None:
    """They are given by keyword alone."""

    @spec_dataclass
    class Late:
        early: int = 1
        late: int

    assert (Late(late=3).early, Late(late=3).late) == (1, 3)
    assert all(one.kw_only for one in fields(Late))
    with pytest.raises(TypeError):
        Late(1, 3)  # type: ignore[call-arg]


# ---------------------------------------------------------------------------------------------------------------------
# Rarer attention, and pieces next to text
# ---------------------------------------------------------------------------------------------------------------------


def test_an_odd_number_of_differential_heads_makes_a_pair_of_the_last() -> None:
    """5 heads of 8 are 3 pairs, each with a norm of its difference; keys of 3 heads are 2 pairs."""
    block = Attention(heads=5, kv_heads=5, head_dim=8, differential=True)
    kept = by_name(block.saves(SITE))
    assert {name: one.width for name, one in kept.items() if "difference" in name or name == "scores.out"} == {
        "scores.differences": 3, "scores.out": 2 * 5 * 8, "difference.norm.input": 5 * 8, "difference.norm.statistics": 3,
    }  # fmt: skip
    assert kept["scores.differences"].keys == "target"
    assert not any(one.dropout for one in kept.values())
    entries = by_name(Attention(heads=6, kv_heads=3, head_dim=8, differential=True).lower(SITE, caches=True))
    assert (entries["q"].cut.pieces, entries["k"].cut.pieces, entries["k"].cut.otherwise) == (3, 2, "repeated")
    assert entries["scores"].d_v == 2 * 8


def test_lent_keys_are_kept_once_for_all_layers_that_borrow_them() -> None:
    lent = [one for one in Attention(heads=4, kv_heads=2, borrows_keys=True).saves(SITE) if isinstance(one, Subset)]
    assert [(one.copies, one.items[0].name) for one in lent] == [(1, "m.borrowed.k"), (1, "m.borrowed.v")]
    assert [one.items[0].keeping for one in lent] == [("full",)] * 2  # type: ignore[union-attr]


def test_norms_of_queries_and_keys_are_kept_by_heads_or_whole() -> None:
    """6 heads of 8, 3 of keys: one number for each head, or one for all; values that are keys are kept once for both norms."""
    for how, statistics in (("head", {"q": 6, "k": 3}), ("full", {"q": 1, "k": 1})):
        kept = by_name(Attention(heads=6, kv_heads=3, head_dim=8, qk_norm=how).saves(SITE))  # type: ignore[arg-type]
        assert {name: kept[f"{name}_norm.statistics"].width for name in "qk"} == statistics
        assert {name: kept[f"{name}_norm.input"].width for name in "qk"} == {"q": 48, "k": 24}
    both = by_name(
        Attention(heads=6, kv_heads=3, head_dim=8, qk_norm="head", values_are_keys=True, v_norm=True).saves(SITE)
    )
    assert both["k_norm.input"].keeping == both["q_norm.input"].keeping == ("naive", "selective", "flash")
    assert "v_norm.input" not in both
    assert both["v_norm.statistics"].width == 3
    alone = by_name(Attention(heads=6, kv_heads=3, head_dim=8, qk_norm="head", values_are_keys=True).saves(SITE))
    assert alone["k_norm.input"].keeping == ("naive",)
    values = by_name(Attention(heads=6, kv_heads=3, head_dim=8, v_dim=5, v_norm=True).saves(SITE))
    assert values["v_norm.input"].width == 3 * 5
    own = by_name(Attention(heads=6, kv_heads=3, head_dim=8, values_are_keys=True, v_norm=True).saves(SITE))
    assert own["v_norm.input"].width == 3 * 8


def test_queries_and_keys_of_a_narrow_stream_are_made_of_what_they_share() -> None:
    entries = by_name(Bottleneck(kind="bottleneck", heads=2, width=8, d_ff=16).lower(SITE, caches=True))
    assert {name: entries[name].role for name in ("in", "shared", "q", "k", "v", "o", "up", "down", "out")} == {
        "in": "in", "shared": "in", "q": "q", "k": "k", "v": "v", "o": "o", "up": "up", "down": "down", "out": "out",
    }  # fmt: skip


def test_half_of_an_indexer_is_none() -> None:
    for given in ({"index_heads": 2}, {"index_dim": 3}):
        block = LatentAttention(kind="latent", heads=2, kv_rank=12, nope_dim=6, rope_dim=4, v_dim=7, **given)  # type: ignore[arg-type]
        assert not any("index" in name for name in by_name(block.lower(SITE, caches=True)))


def test_adapters_of_a_shared_block_stand_beside_the_feed_forward_alone_unless_attention_has_them_too() -> None:
    block = SharedBlock(kind="shared-block", heads=8, d_ff=48, adapter_rank=3, mamba=Mamba(kind="mamba"))
    assert {name for name in by_name(block.saves(SITE)) if "adapter" in name} == {"adapter"}
    assert {name for name in by_name(block.lower(SITE, caches=True)) if "adapter" in name} == {
        "adapter.down",
        "adapter.up",
    }


def test_pieces_next_to_text_run_over_its_tokens_or_not_at_all() -> None:
    """What is at `inputs` runs over tokens, what is at `once` once, and what is at `patches` or `outputs` is stored alone."""
    pieces = [
        *(Linear(name=at, d_in=4, d_out=5, times=3, at=at) for at in ("inputs", "once", "patches", "outputs")),
        Depthwise(kind="depthwise", name="conv", channels=6, kernel=2), Attend(kind="scores", name="scores", heads=2, head_dim=7, at="inputs", copies=3),
        Gains(kind="vector", name="gain", width=8),
    ]  # fmt: skip
    found = by_name(in_text(pieces, "m", "source", "mixer"))
    assert {name: (found[name].stream, found[name].used, found[name].stored) for name in ("inputs", "once", "patches", "outputs")} == {
        "inputs": ("source", 3, 1), "once": ("once", 3, 1), "patches": ("source", 0, 1), "outputs": ("source", 0, 1),
    }  # fmt: skip
    assert (found["conv"].stream, found["conv"].used) == ("source", 1)
    assert (found["scores"].stream, found["scores"].keys, found["scores"].used) == ("source", "source", 3)
    assert {one.part for name, one in found.items() if name != "scores"} == {"mixer"}


def test_lines_of_a_tower_s_layers_begin_with_their_name_unless_it_is_the_usual_one() -> None:
    for name, begins in (("layers", "t.attention."), ("blocks", "t.blocks.attention.")):
        layers = TowerLayers(kind="layers", name=name, layers=2, d_model=D, attention=Attention(heads=4))
        assert all(one.name.startswith(begins) for one in layers.lower("t"))
