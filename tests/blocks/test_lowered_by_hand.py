"""Sizes of what blocks own and keep, of small widths that one multiplies by hand; and the edges of what they refuse."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

import pytest

from tests.blocks.test_experts_and_latents import spec
from tscale.blocks.attention import Attention, Widths
from tscale.blocks.expert_attention import ExpertAttention
from tscale.blocks.feed_forward import FeedForward
from tscale.blocks.fields import LayerContext, LayerSelector
from tscale.blocks.kimi_delta import KimiDelta
from tscale.blocks.mamba import Mamba
from tscale.blocks.norm import Norm
from tscale.blocks.relative import Relative
from tscale.blocks.rwkv import ChannelMixing, Rwkv
from tscale.blocks.shared import SharedBlock
from tscale.blocks.tower import IMAGES, SOUNDS, Tower
from tscale.blocks.tower_pieces import Gains, Linear
from tscale.core.ledger import Buffer, Cache, Matmul, Scan, Subset, Vector
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import check_tensor, fits
from tscale.errors import RequestError
from tscale.models.lower import lower

SITE = LayerContext("m", 32, 5, "target", "target", True)


def _entries(block: Any) -> dict[str, Any]:
    return {one.name.removeprefix("m."): one for one in _flat(block.lower(SITE, caches=True))}


def _flat(entries: Iterable[Any]) -> Iterator[Any]:
    """Entries with those of some layers alone."""
    for entry in entries:
        yield from _flat(entry.items) if isinstance(entry, Subset) else (entry,)


def _sizes(block: Any) -> dict[str, tuple[int, ...]]:
    """Rows and columns of matrices, widths of vectors and caches."""
    return {
        name: (one.d_in, one.d_out) if isinstance(one, Matmul) else (one.width,)
        for name, one in _entries(block).items()
        if isinstance(one, Matmul | Vector | Cache)
    }


def test_attention_with_narrow_values_and_all_that_it_may_have() -> None:
    """4 heads of 8, 2 of keys, values of 6, on a width of 32; a gate as wide as the queries."""
    block = Attention(
        heads=4, kv_heads=2, head_dim=8, v_dim=6, gated=True, head_gates=True, out_norm=True, sinks=True,
        global_projections=True,
    )  # fmt: skip
    sizes = _sizes(block)
    assert {name: size for name, size in sizes.items() if "cache" not in name} == {
        "q": (32, 2 * 4 * 8), "k": (32, 2 * 8), "v": (32, 2 * 6),
        "q_global": (32, 2 * 4 * 8), "k_global": (32, 2 * 8), "v_global": (32, 2 * 6),
        "gates": (32, 4), "sinks": (4,), "out_norm": (4 * 6,), "o": (4 * 6, 32),
    }  # fmt: skip
    assert [size for name, size in sizes.items() if "cache" in name] == [(2 * (8 + 6),)]


def test_projections_of_tokens_that_see_all_are_cut_as_the_others_are() -> None:
    """Queries by heads, keys and values by heads of keys."""
    entries = _entries(Attention(heads=4, kv_heads=2, head_dim=8, global_projections=True))
    for matrix in ("q", "k", "v"):
        assert entries[f"{matrix}_global"].cut == entries[matrix].cut
        assert entries[f"{matrix}_global"].used == 0
    assert entries["q"].cut != entries["k"].cut


def test_layers_see_as_their_place_in_the_pattern_says() -> None:
    """Of 5 layers: all alike under a pattern of one kind; under local, local, global the third alone sees all."""
    alike = Attention(heads=4, window=16, pattern=("local", "local"))
    assert [(name, one.layers, window) for name, one, window in alike.sights(5)] == [("", 5, 16)]
    mixed = Attention(heads=4, window=16, pattern=("local", "local", "global"))
    assert [(name, one.places, one.period, one.layers, window) for name, one, window in mixed.sights(5)] == [
        (".local", (0, 1), 3, 4, 16), (".global", (2,), 3, 1, None),
    ]  # fmt: skip


def test_experts_of_attention_share_their_keys() -> None:
    """A token queries with 3 of 8 experts of 4 heads of 16."""
    block = ExpertAttention(kind="expert-attention", experts=8, top_k=3, heads=4, head_dim=16)
    assert block.widths(32) == Widths(12, 4, 16)
    several = [ExpertAttention(kind="expert-attention", experts=8, top_k=k, heads=4, head_dim=16) for k in (8, 9)]
    assert [_refused(one, 32) for one in several] == [[], [("top_k",)]]


def test_a_delta_rule_of_channels_in_chunks() -> None:
    """2 heads of 8; in chunks of 4 positions three products of chunk by chunk and three of chunk by state, a head each."""
    entries = _entries(KimiDelta(kind="kimi-delta", heads=2, head_dim=8, d_conv=3, gate_rank=5, chunk=4))
    scan = entries["scan"]
    assert isinstance(scan, Scan)
    scores = [(4, 4, 8)] * 3
    states = [(4, 8, 8)] * 3
    assert scan.per_chunk == 2 * sum(m * n * k for m, n, k in (*scores, *states))
    assert (scan.chunk, scan.per_position) == (4, 0)
    assert entries["conv"].channels == 3 * 2 * 8
    assert entries["conv_state"].width == 3 * 2 * 8 * 3
    assert entries["state"].width == 2 * 8 * 8


GATHERED: list[tuple[Any, set[str]]] = [
    (KimiDelta(kind="kimi-delta", heads=2, head_dim=8, gate_rank=5), {"decay.down", "gate.down"}),
    (Rwkv(kind="rwkv"), {"shifted", "receptance.input", "key.input", "value.input"}),
    (ChannelMixing(kind="rwkv", d_ff=64), {"shifted", "key.input", "receptance.input"}),
    (ExpertAttention(kind="expert-attention", experts=8, top_k=3, heads=4, head_dim=16), {"dispatched", "returned"}),
]


def test_what_a_cut_matrix_reads_is_gathered_from_all_devices() -> None:
    """The narrow middle of gates in two steps; what is mixed with the token before; copies for experts, sorted by these."""
    for block, names in GATHERED:
        saved = list(block.saves(SITE))
        assert {one.name.removeprefix("m.") for one in saved if one.gathered} == names, block.kind
        assert not any(one.gathered and one.cut is not None for one in saved)


def test_distances_keep_their_keys_and_the_queries_of_each_bias() -> None:
    """4 heads of 8: a key for each distance, twice as many where a stack sees both ways; XLNet's queries of segments too."""
    widths = Widths(4, 4, 8)
    for causal, biases, segments in product((True, False), repeat=3):
        block = Relative(kind="relative", biases=biases, segments=segments)
        expected = (
            {"key": 32 if causal else 64} | ({"q": 32} if biases else {}) | ({"segments.q": 32} if segments else {})
        )
        saved = block.saves(SITE._replace(causal=causal), widths)
        assert {one.name.removeprefix("mrelative."): one.width for one in saved} == expected
        sizes = {one.name: one for one in _flat(block.lower(SITE._replace(causal=causal), widths, 128))}
        key = sizes["mrelative.key"]
        assert (key.d_in, key.d_out, key.used) == (32, 32, 1 if causal else 2)
        vectors = {name.removeprefix("mrelative."): one.width for name, one in sizes.items() if isinstance(one, Vector)}
        assert vectors == ({"biases": 64} if biases else {}) | ({"segments": 96} if segments else {})


def test_a_towers_vectors_are_norms_where_they_are_called_so() -> None:
    for name, role in (("final_norm", "norm"), ("class_token", "scale")):
        (entry,) = Gains(kind="vector", name=name, width=8, copies=3).lower("t")
        assert isinstance(entry, Vector)
        assert (entry.name, entry.role, entry.width, entry.stored) == (f"t.{name}", role, 8, 3)


def test_a_scale_of_a_layer_is_one_number() -> None:
    """Gemma 4's `layer_scalar`, torch.ones(1)."""
    (scale,) = Norm(kind="rmsnorm", layer_scale=True).lower_scale(SITE)
    assert isinstance(scale, Buffer)
    assert scale.width == 1
    assert not list(Norm(kind="rmsnorm").lower_scale(SITE))


def test_heads_of_a_state_space_make_their_steps_of_their_own_channels() -> None:
    """64 channels, states of 16, steps from a rank of 32/16 = 2: of one head, a matrix of 64 by 34; of two, two of 32 by 34."""
    for heads in (1, 2, 4):
        entries = _entries(Mamba(kind="mamba", heads=heads))
        for name, size in (("x", (64 // heads, 2 + 2 * 16)), ("dt", (2, 64 // heads))):
            one = entries[name]
            assert (one.d_in, one.d_out, one.stored, one.used) == (*size, heads, heads)


def _refused(block: Any, number: int) -> list[tuple[str | int, ...]]:
    return [path for path, _ in block.problems(number)]


def test_heads_of_a_shared_block_divide_twice_the_width() -> None:
    """Of a width of 32: 64 heads of 1 are; 48, 96 and 128 are not, though they divide three times as much, or are divided."""

    def shared(**changes: Any) -> SharedBlock:
        return SharedBlock(kind="shared-block", d_ff=8, mamba=Mamba(kind="mamba"), **changes)

    assert [_refused(shared(heads=heads), 32) for heads in (64, 48, 96, 128)] == [
        [],
        [("heads",)],
        [("heads",)],
        [("heads",)],
    ]
    assert _refused(shared(heads=48, head_dim=3), 32) == []
    assert _refused(shared(heads=4, kv_heads=3), 32) == [("kv_heads",)]
    assert _refused(shared(heads=4, adapter_rank=2, attention_adapters=True), 32) == []
    assert _refused(shared(heads=4, attention_adapters=True), 32) == [("attention_adapters",)]
    assert _refused(shared(heads=4, kv_heads=2, adapter_rank=2, attention_adapters=True), 32) == [
        ("attention_adapters",)
    ]
    assert _refused(shared(heads=4, head_dim=8, adapter_rank=2, attention_adapters=True), 32) == [
        ("attention_adapters",)
    ]


def test_the_width_that_an_adapter_of_a_shared_block_yields_is_said() -> None:
    block = SharedBlock(
        kind="shared-block",
        d_ff=8,
        mamba=Mamba(kind="mamba"),
        heads=4,
        kv_heads=2,
        adapter_rank=2,
        attention_adapters=True,
    )
    assert [message for _, message in block.problems(32)] == [
        "an adapter yields twice d_model, 64, and is added to queries, keys and values: let them be as wide"
    ]


def test_a_tower_of_sounds_is_told_from_one_of_images() -> None:
    """By what its pieces, and what these keep, belong to."""
    piece = Linear(name="in", d_in=4, d_out=6, keeps=("input",))
    sounds = Tower(part="audio_tower", reads="sounds", pieces=(piece,))
    for tower, block in ((sounds, SOUNDS), (Tower(part="vision_tower", pieces=(piece,)), IMAGES)):
        (group,) = tower.groups(saves=True)
        assert tower.block == block
        assert {one.block for one in (*group.entries, *group.saved)} == {block}
    assert SOUNDS != IMAGES


def test_layers_are_said_in_one_way_and_are_those_that_there_are() -> None:
    """Of five layers, 0 to 4."""
    cases: list[tuple[dict[str, Any], bool]] = [
        ({"first": 3}, True), ({}, False), ({"first": 3, "after": 1}, False),
        ({"every": 3, "at": 2}, True), ({"every": 3, "at": 3}, False), ({"first": 3, "at": 1}, False),
        ({"layers": (0, 4)}, True), ({"layers": (0, 5)}, False), ({"layers": (5, 0)}, False), ({"layers": (1, 1)}, False),
    ]  # fmt: skip
    for given, legal in cases:
        assert bool(_refused(LayerSelector(**given), 5)) != legal, given
    for given, held in (
        ({"first": 3}, {0, 1, 2}),
        ({"after": 3}, {3, 4}),
        ({"every": 3, "at": 1}, {1, 4}),
        ({"layers": (0, 4)}, {0, 4}),
    ):
        selector = LayerSelector(**given)
        assert {layer for layer in range(5) if selector.holds(layer)} == held
        assert selector.count(5) == len(held)


def test_advice_about_tensor_parallelism_leaves_out_what_experts_are_cut_over() -> None:
    """8 heads share among 2, 4 or 8 devices, whatever the 6 columns of an expert do."""
    ledger = lower(
        spec(
            "name: few\nlayers: 2\nd_model: 64\nvocabulary: 512\ncontext: 128\ntied: true\nattention: {heads: 8}\n"
            "positions: {kind: rotary}\nnorm: {kind: rmsnorm}\nfeed_forward: {kind: experts, experts: 8, top_k: 2, d_ff: 6}\n"
        )
    )
    with pytest.raises(RequestError, match=r"cut into 8 pieces: use 1, 2, 4 or 8$"):
        check_tensor(ledger, Parallelism(3, expert_tensor=1))
    check_tensor(ledger, Parallelism(8, expert_tensor=1))


def test_experts_of_each_kind_of_layer_divide_over_the_devices() -> None:
    """Layers of 8 experts and layers of 16: 16 devices are too many for the first, whatever the others have."""
    ledger = lower(
        spec(
            "name: two\nlayers: 4\nd_model: 64\nvocabulary: 512\ncontext: 128\ntied: true\nattention: {heads: 4}\npositions: {kind: rotary}\n"
            "norm: {kind: rmsnorm}\nfeed_forward:\n- {kind: experts, experts: 8, top_k: 2, d_ff: 64, on: {first: 2}}\n"
            "- {kind: experts, experts: 16, top_k: 2, d_ff: 64, on: {after: 2}}\n"
        )
    )
    fitting = [fits(ledger, Parallelism(data=48, expert=expert, expert_tensor=1)) for expert in (1, 2, 3, 8, 16)]
    assert fitting == [True, True, False, True, False]


def test_a_cache_of_three_heads_is_of_keys_and_values_of_each() -> None:
    assert _sizes(Attention(heads=6, kv_heads=3, head_dim=8))["cache"] == (2 * 3 * 8,)


def test_a_feed_forward_in_groups_of_channels_is_trained_where_there_is_one_group() -> None:
    with pytest.raises(RequestError, match="a feed-forward in groups of channels"):
        list(FeedForward(d_ff=8, groups=2).saves(SITE))
    assert list(FeedForward(d_ff=8, groups=1).saves(SITE)) == list(FeedForward(d_ff=8).saves(SITE))
