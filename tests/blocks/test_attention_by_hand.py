"""What rarer kinds of attention own, score, cache and keep, of small widths that one multiplies by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.blocks.shapes import SITE, by_name, shape, shapes
from tscale.blocks.attention import Attention, Widths
from tscale.blocks.disentangled import Disentangled
from tscale.blocks.expert_attention import ExpertAttention
from tscale.blocks.fields import LayerSelector
from tscale.blocks.indexed import IndexedAttention
from tscale.blocks.latent import LatentAttention
from tscale.blocks.tower_pieces import Attend
from tscale.core.ledger import Cache, Matmul, Saved, Scores, Vector
from tscale.errors import RequestError

ATTENTION = Attention(heads=4, kv_heads=2, head_dim=8)
PLAIN = {"q": (32, 32), "k": (32, 16), "v": (32, 16), "scores": (4, 8, 8), "o": (32, 32)}


def test_an_indexer_picks_blocks_of_keys() -> None:
    """3 heads of 5 against one key of 5; a query sees two blocks of 16 positions."""
    block = IndexedAttention(
        kind="indexed", attention=ATTENTION, index_heads=3, index_dim=5, index_block=16, index_top_blocks=2
    )
    entries = by_name(block.lower(SITE, caches=True))
    assert {name: shape(one) for name, one in entries.items()} == {
        **PLAIN, "cache": (32,), "index.q": (32, 15), "index.k": (32, 5), "index.q_norm": (5,), "index.k_norm": (5,),
        "index.scores": (3, 5, 0), "index.cache": (5,),
    }  # fmt: skip
    assert (entries["scores"].window, entries["index.scores"].window) == (32, None)
    assert (entries["scores"].cache, entries["index.scores"].cache, entries["index.cache"].slot) == (0, 1, 1)
    assert "index.cache" not in by_name(block.lower(SITE, caches=False))
    assert not list(block.problems(32))
    for inner, field in (
        (Attention(heads=3), "heads"),
        (Attention(heads=4, window=8), "window"),
        (Attention(heads=4, on=LayerSelector(first=1)), "on"),
    ):
        wrong = IndexedAttention(
            kind="indexed", attention=inner, index_heads=3, index_dim=5, index_block=16, index_top_blocks=2
        )
        assert [path for path, _ in wrong.problems(32)] == [("attention", field)]


def test_attention_of_a_latent_with_an_indexer_over_pooled_keys() -> None:
    """Queries of 16 numbers' latent, or of the stream by a norm; keys of 4 positions wait for the last of them, with their weights."""
    given: dict[str, Any] = {"heads": 2, "kv_rank": 12, "nope_dim": 6, "rope_dim": 4, "v_dim": 7}
    index: dict[str, Any] = {"index_heads": 3, "index_dim": 5, "index_top_k": 9, "index_pool": 4}
    block = LatentAttention(kind="latent", q_rank=16, position_scales=True, sinks=True, gated=True, **given, **index)
    entries = by_name(block.lower(SITE, caches=True))
    assert {name: shape(one) for name, one in entries.items()} == {
        "q_down": (32, 16), "q_norm": (16,), "q_up": (16, 2 * 10), "kv_down": (32, 16), "kv_norm": (12,), "gates": (32, 14), "sinks": (2,),
        "scales": (4,), "kv_up": (12, 2 * 13), "scores": (2, 10, 7), "cache": (16,), "o": (14, 32),
        "index.q": (16, 15), "index.scales": (6,), "index.k": (32, 5), "index.k_norm": (10,), "index.weights": (32, 3), "index.pool": (32, 5),
        "index.pool.positions": (20,), "index.scores": (3, 5, 1), "index.cache": (5,), "index.waiting_state": (2 * 3 * 5,),
    }  # fmt: skip
    assert (entries["scores"].window, entries["scores"].decoded) == (9, (16, 12))
    assert (entries["index.scores"].stride, entries["index.cache"].stride, entries["index.cache"].slot) == (4, 4, 1)
    plain = by_name(
        LatentAttention(kind="latent", head_gates=True, **given, **index | {"index_pool": None}).lower(
            SITE, caches=True
        )
    )
    assert {name: shape(one) for name, one in plain.items() if name in ("q", "gates", "index.q", "index.q_norm")} == {
        "q": (32, 20), "gates": (32, 2), "index.q": (32, 15), "index.q_norm": (64,),
    }  # fmt: skip
    assert plain["index.scores"].stride is None
    assert "index.waiting_state" not in plain
    borrowed = by_name(LatentAttention(kind="latent", borrows_latent=True, **given).lower(SITE, caches=True))
    assert "kv_down" not in borrowed
    assert borrowed["cache"].stored == 0
    assert "index.q" not in borrowed


def test_what_an_indexer_needs() -> None:
    given: dict[str, Any] = {"kind": "latent", "heads": 2, "kv_rank": 12, "nope_dim": 6, "rope_dim": 4, "v_dim": 7}
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, []), ({"index_top_k": 4}, []), ({"index_heads": 2, "index_dim": 4, "index_top_k": 4, "index_pool": 2}, []),
        ({"index_heads": 2, "index_top_k": 4}, ["index_heads"]), ({"index_dim": 2, "index_top_k": 4}, ["index_heads"]),
        ({"index_heads": 2, "index_dim": 4}, ["index_top_k"]), ({"index_pool": 2}, ["index_pool"]),
    ]  # fmt: skip
    for more, wrong in cases:
        assert [path for (path,), _ in LatentAttention(**given, **more).problems(32)] == wrong, more


@pytest.mark.parametrize("change", ["gated", "head_gates", "sinks", "borrows_latent", "position_scales"])
def test_what_nobody_recorded_of_latents_is_refused(change: str) -> None:
    changed: dict[str, Any] = {change: True}
    with pytest.raises(RequestError):
        list(
            LatentAttention(kind="latent", heads=2, kv_rank=12, nope_dim=6, rope_dim=4, v_dim=7, **changed).saves(SITE)
        )


def test_latents_are_kept_on_both_sides_of_their_norms() -> None:
    given: dict[str, Any] = {"kind": "latent", "heads": 2, "kv_rank": 12, "nope_dim": 6, "rope_dim": 4, "v_dim": 7}
    kept = shapes(LatentAttention(**given).saves(SITE))
    core = {"scores.probabilities": (2,), "scores.dropout": (2,), "scores.dropped": (2,), "scores.logsumexp": (2,)}
    latent = {"kv_down": (12,), "kv_up.input": (12,), "kv_norm.statistics": (1,)}
    assert kept == {**latent, "q": (20,), "k": (20,), "v": (14,), "out": (14,), **core}
    queries = {"q_down": (16,), "q_up.input": (16,), "q_norm.statistics": (1,)}
    assert shapes(LatentAttention(**given, q_rank=16).saves(SITE)) == queries | kept


def test_filters_over_values_and_projections_in_groups() -> None:
    """A filter of 9 for each of 4 heads, applied to 8 channels of each; of 4 groups of channels, four projections of 8 by 8."""
    filtered = by_name(Attention(heads=4, value_conv=9).lower(SITE, caches=False))["value_conv"]
    assert (shape(filtered), filtered.stored, filtered.used) == ((9, 1), 4, 32)
    grouped = by_name(Attention(heads=4, groups=4).lower(SITE, caches=False))
    assert {name: (*shape(grouped[name]), grouped[name].stored, grouped[name].used) for name in ("q", "k", "v", "o")} == {
        "q": (8, 8, 4, 4), "k": (8, 8, 4, 4), "v": (8, 8, 4, 4), "o": (32, 32, 1, 1),
    }  # fmt: skip
    summed = by_name(Attention(heads=4, summaries=7).lower(SITE, caches=False))
    assert (shape(summed["summaries"]), shape(summed["summary_bias"])) == ((32,), (7, 4))
    paired = by_name(Attention(heads=4, differential=True).lower(SITE, caches=False))
    assert (shape(paired["lambda"]), shape(paired["scores"])) == ((32,), (4, 8, 16))


def test_norms_of_queries_and_keys() -> None:
    cases: list[tuple[dict[str, Any], dict[str, tuple[int, ...]]]] = [
        ({"qk_norm": "head"}, {"q_norm": (8,), "k_norm": (8,)}), ({"qk_norm": "full"}, {"q_norm": (32,), "k_norm": (16,)}),
        ({"qk_norm": "head", "qk_norm_bias": True}, {"q_norm": (16,), "k_norm": (16,)}), ({"qk_norm": "full", "borrows_keys": True}, {"q_norm": (32,)}), ({}, {}),
    ]  # fmt: skip
    for given, expected in cases:
        found = shapes(Attention(heads=4, kv_heads=2, head_dim=8, **given).lower(SITE, caches=True))
        assert {name: size for name, size in found.items() if name.endswith("norm")} == expected


def test_attention_that_contradicts_itself() -> None:
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"heads": 3}, ["heads"]), ({"heads": 3, "head_dim": 5}, []), ({"heads": 4, "kv_heads": 3}, ["kv_heads"]), ({"heads": 4, "groups": 4}, []),
        ({"heads": 4, "groups": 5}, ["groups"]), ({"heads": 4, "groups": 4, "kv_heads": 4}, ["groups"]), ({"heads": 4, "groups": 4, "head_dim": 8}, ["groups"]),
        ({"heads": 4, "groups": 4, "gated": True}, ["groups"]), ({"heads": 4, "groups": 4, "global_projections": True}, ["groups"]),
        ({"heads": 4, "pattern": ("local",)}, ["pattern"]), ({"heads": 4, "window": 4, "pattern": ("global",)}, ["window"]),
        ({"heads": 4, "window": 4, "pattern": ("local",) * 256}, []), ({"heads": 4, "window": 4, "pattern": ("local",) * 257}, ["pattern"]),
        ({"heads": 4, "chunked": True}, ["chunked"]), ({"heads": 4, "window": 4, "chunked": True}, []),
        ({"heads": 4, "qk_norm_bias": True}, ["qk_norm_bias"]), ({"heads": 4, "borrows_keys": True, "v_norm": True}, ["v_norm"]),
    ]  # fmt: skip
    for given, wrong in cases:
        assert [path for (path,), _ in Attention(**given).problems(32)] == wrong, given


WIDTHS = Widths(4, 4, 8)


@pytest.mark.parametrize("whole", [True, False])
def test_distances_are_projected_and_scored(whole: bool) -> None:
    """A table of 2·6 distances: projected whole in each layer, and met by all of them, or two for each token up to 6."""
    block = Disentangled(
        kind="disentangled", span=6, whole=whole, normed=True, rows=50, conv=3, conv_groups=2, biases=("c2p",)
    )
    entries = by_name(block.lower(SITE, WIDTHS, 128))
    tables = {
        "embedding.positions": (50, 32),
        "embedding.distances": (12, 32),
        "norm.distances": (64,),
        "convolution": (48, 32),
        "norm.convolution": (64,),
    }
    scored = (32, 12) if whole else (4, 16, 0)
    terms = {f"distances.{term}": (32, 32) for term in ("c2p", "p2c")} | {
        f"distances.{term}.scores": scored for term in ("c2p", "p2c")
    }
    assert {name: shape(one) for name, one in entries.items()} == tables | terms
    assert [entries[f"distances.{term}"].bias for term in ("c2p", "p2c")] == [True, False]
    key = entries["distances.c2p"]
    assert (key.stored, key.used, key.most) == ((1, 12, None) if whole else (1, 2, 6))
    shared = by_name(Disentangled(kind="disentangled", span=6, whole=whole, shared=True).lower(SITE, WIDTHS, 128))
    assert (shared["distances.c2p"].stored, shared["distances.c2p"].bias) == (0, False)
    assert entries["distances.c2p.scores"].most == (None if whole else 6)
    if whole:
        assert entries["distances.c2p.scores"].stored == 0


@pytest.mark.parametrize("whole", [True, False])
def test_what_distances_keep(whole: bool) -> None:
    block = Disentangled(kind="disentangled", span=6, terms=("c2p",), whole=whole, normed=True, conv=3)
    kept = by_name(block.saves(SITE, WIDTHS))
    assert {name: shape(one)[0] for name, one in kept.items()} == {
        "distances.c2p": 12 * 32 if whole else 64, "distances.c2p.repeated": 12 * 32 if whole else 64, "distances.c2p.index": 1,
        "distances.c2p.scores": 4 * 12 if whole else 8, "distances.dropout": 12 * 32, "distances.dropped": 12 * 32, "embedding.distances": 12 * 32,
        "embedding.distances.statistics": 24, "convolution.input": 32, "convolution.activation": 32, "convolution.dropout": 32,
        "norm.convolution.input": 32, "norm.convolution.statistics": 2,
    }  # fmt: skip
    assert {name for name, one in kept.items() if one.shared} == {
        "distances.c2p", "distances.c2p.index", "distances.dropout", "distances.dropped", "embedding.distances", "embedding.distances.statistics",
    }  # fmt: skip
    assert {name for name, one in kept.items() if one.dropout} == {
        "distances.dropout",
        "distances.dropped",
        "convolution.dropout",
    }
    assert {name for name, one in kept.items() if one.gathered} == {
        "distances.c2p.index",
        "convolution.input",
        "convolution.activation",
    }
    assert not list(block.problems(32))
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"terms": ("c2p", "c2p")}, ["terms"]), ({"conv_groups": 2}, ["conv_groups"]), ({"conv": 3, "conv_groups": 5}, ["conv_groups"]), ({"conv": 3, "conv_groups": 4}, []),
    ]  # fmt: skip
    for given, wrong in cases:
        assert [path for (path,), _ in Disentangled(kind="disentangled", span=6, **given).problems(32)] == wrong


def test_attention_of_a_pooling_head() -> None:
    """3 heads of 5, twice: queries over the outputs, keys and values over the positions; none of them sees less than all."""
    block = Attend(kind="scores", name="pool", heads=3, head_dim=5, copies=2)
    (scores,) = block.lower("t")
    assert isinstance(scores, Scores)
    assert (shape(scores), scores.used, scores.stream, scores.keys, scores.causal) == (
        (3, 5, 5),
        2,
        "tower_outputs",
        "tower_inputs",
        False,
    )
    kept = {one.name.removeprefix("t.pool."): one for one in block.saves("t")}
    assert {name: (one.width, one.used) for name, one in kept.items()} == {
        "q": (15, 2), "k": (15, 2), "v": (15, 2), "scores.probabilities": (3, 2), "scores.dropout": (3, 2), "scores.dropped": (3, 2), "scores.logsumexp": (3, 2),
    }  # fmt: skip
    assert [kept[name].stream for name in "qkv"] == ["tower_outputs", "tower_inputs", "tower_inputs"]
    assert all(isinstance(one, Saved) for one in kept.values())


def test_no_vector_of_a_block_is_a_table() -> None:
    """Sinks and scales are divided with the heads; a norm of a latent is whole on each device."""
    given: dict[str, Any] = {"heads": 2, "kv_rank": 12, "nope_dim": 6, "rope_dim": 4, "v_dim": 7, "sinks": True}
    found = by_name(LatentAttention(kind="latent", **given).lower(SITE, caches=True))
    assert isinstance(found["sinks"], Vector) and found["sinks"].cut is not None and found["sinks"].cut.pieces == 2
    assert isinstance(found["kv_norm"], Vector) and found["kv_norm"].cut is None
    assert isinstance(found["cache"], Cache) and found["cache"].cut is None


def test_experts_of_attention_own_their_queries_alone() -> None:
    """A token queries with 3 of 8 experts of 4 heads of 5; keys and values of 20 numbers are for all of them."""
    block = ExpertAttention(kind="expert-attention", experts=8, top_k=3, heads=4, head_dim=5)
    entries = by_name(block.lower(SITE, caches=True))
    assert {name: shape(one) for name, one in entries.items()} == {
        "router": (32, 8), "q": (32, 20), "k": (32, 20), "v": (32, 20), "scores": (12, 5, 5), "cache": (2 * 20,), "o": (20, 32), "bias": (32,),
    }  # fmt: skip
    assert {name: (one.experts, one.stored, one.used) for name, one in entries.items() if isinstance(one, Matmul)} == {
        "router": (1, 1, 1), "q": (8, 8, 3), "k": (1, 1, 1), "v": (1, 1, 1), "o": (8, 8, 3),
    }  # fmt: skip
    assert shapes(block.saves(SITE)) == {
        "router.choices": (3,), "router.weights": (3,), "dispatched": (3 * 32,), "q": (60,), "k": (20,), "k.repeated": (60,), "v": (20,), "v.repeated": (60,),
        "scores.probabilities": (12,), "scores.dropout": (12,), "scores.dropped": (12,), "scores.logsumexp": (12,), "out": (60,), "out.dispatched": (60,), "returned": (96,),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}), ({"qk_norm": "head"}, {"q_norm.input": 32, "q_norm.statistics": 4, "k_norm.input": 16, "k_norm.statistics": 2}),
        ({"qk_norm": "full"}, {"q_norm.input": 32, "q_norm.statistics": 1, "k_norm.input": 16, "k_norm.statistics": 1}),
        ({"qk_norm": "head", "borrows_keys": True}, {"q_norm.input": 32, "q_norm.statistics": 4}),
        ({"v_norm": True}, {"v_norm.input": 16, "v_norm.statistics": 2}), ({"v_norm": True, "v_dim": 6}, {"v_norm.input": 12, "v_norm.statistics": 2}),
        ({"v_norm": True, "values_are_keys": True}, {"v_norm.input": 16, "v_norm.statistics": 2}),
        (
            {"qk_norm": "head", "v_norm": True},
            {"q_norm.input": 32, "q_norm.statistics": 4, "k_norm.input": 16, "k_norm.statistics": 2, "v_norm.input": 16, "v_norm.statistics": 2},
        ),
        (
            {"qk_norm": "head", "v_norm": True, "values_are_keys": True},
            {"q_norm.input": 32, "q_norm.statistics": 4, "k_norm.input": 16, "k_norm.statistics": 2, "v_norm.statistics": 2},
        ),
    ],
)  # fmt: skip
def test_inputs_of_norms_within_attention_are_kept_once(given: dict[str, Any], expected: dict[str, int]) -> None:
    """4 heads of 8 on 2 of keys. Values that are keys have one input with them, which is kept with the norm of the keys."""
    kept = by_name(Attention(heads=4, kv_heads=2, head_dim=8, **given).saves(SITE))
    assert {name: one.width for name, one in kept.items() if "norm" in name} == expected
    only = Attention(heads=4, kv_heads=2, head_dim=8, qk_norm="head", values_are_keys=True)
    assert by_name(only.saves(SITE))["k_norm.input"].keeping == ("naive",)


def test_heads_in_pairs_keep_both_halves() -> None:
    """Four heads of 8: two differences of a pair each; a kernel for wide values is called once for each half."""
    kept = by_name(Attention(heads=4, head_dim=8, differential=True).saves(SITE))
    widths = {name: one.width for name, one in kept.items() if name.startswith(("scores", "difference"))}
    assert widths == {
        "scores.probabilities": 4, "scores.logsumexp": 4, "scores.differences": 2, "scores.out": 64, "difference.norm.input": 32, "difference.norm.statistics": 2,
    }  # fmt: skip


def test_gates_and_sinks_are_kept() -> None:
    cases: list[tuple[dict[str, Any], dict[str, int]]] = [
        ({}, {"out": 32, "out.product": 32}), ({"gated": True}, {"out": 32, "gate": 32, "gated": 32}), ({"head_gates": True}, {"out": 32, "gates.input": 4, "gates": 4, "gated": 32}),
        ({"out_norm": True}, {"out": 32, "out_norm.input": 32, "out_norm.statistics": 1}), ({"sinks": True}, {"out": 32, "out.product": 32, "sinks": 4}),
        ({"v_dim": 6}, {"out": 24, "out.product": 24}),
    ]  # fmt: skip
    for given, expected in cases:
        kept = by_name(Attention(heads=4, head_dim=8, **given).saves(SITE))
        found = {
            name: one.width
            for name, one in kept.items()
            if name.split(".")[0] in ("out", "gate", "gates", "gated", "out_norm", "sinks")
        }
        assert found == expected, given
