"""What contradicts itself in a block, rule by rule: refused where both halves of a contradiction are, and taken with either half alone."""

from __future__ import annotations

from typing import Any

import pytest

from tscale.blocks.attention import Attention
from tscale.blocks.augmented import Augmented
from tscale.blocks.bottleneck import Bottleneck
from tscale.blocks.compressed import CompressedAttention
from tscale.blocks.delta import GatedDeltaNet
from tscale.blocks.disentangled import Disentangled
from tscale.blocks.experts import Experts
from tscale.blocks.feed_forward import FeedForward
from tscale.blocks.fields import LayerSelector
from tscale.blocks.hybrid_heads import HybridHeads
from tscale.blocks.image_layer import ImageLayer
from tscale.blocks.latent import LatentAttention
from tscale.blocks.mamba import Mamba
from tscale.blocks.mamba2 import Mamba2
from tscale.blocks.rg_lru import RgLru
from tscale.blocks.tower import Tower
from tscale.blocks.tower_inputs import FixedImage, Sound
from tscale.blocks.tower_pieces import TowerLayers

WIDTH = 32
FIRST = LayerSelector(first=1)
LOCAL, GLOBAL = ("local", "global"), ("global", "global")

ATTENTION: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"heads": 5}, ["heads"]), ({"heads": 5, "head_dim": 8}, []), ({"heads": 64}, ["heads"]),
    ({"kv_heads": 2}, []), ({"kv_heads": 3}, ["kv_heads"]), ({"kv_heads": 8}, ["kv_heads"]), ({"kv_heads": 4}, []),
    ({"differential": True}, []), ({"v_dim": 8}, []), ({"differential": True, "v_dim": 8}, ["v_dim"]),
    ({"values_are_keys": True}, []), ({"values_are_keys": True, "v_dim": 8}, ["v_dim"]),
    ({"borrows_keys": True}, []), ({"borrows_keys": True, "values_are_keys": True}, ["values_are_keys"]),
    ({"v_norm": True}, []), ({"borrows_keys": True, "v_norm": True}, ["v_norm"]),
    ({"qk_norm": "head"}, []), ({"qk_norm_bias": True}, ["qk_norm_bias"]), ({"qk_norm": "head", "qk_norm_bias": True}, []),
    ({"window": 8}, []), ({"pattern": LOCAL}, ["pattern"]), ({"pattern": GLOBAL}, []), ({"pattern": LOCAL, "window": 8}, []),
    ({"pattern": GLOBAL, "window": 8}, ["window"]), ({"chunked": True}, ["chunked"]), ({"chunked": True, "window": 8}, []),
    ({"pattern": LOCAL * 128, "window": 8}, []), ({"pattern": (*LOCAL * 128, "global"), "window": 8}, ["pattern"]),
    ({"pattern": ()}, ["pattern"]),
    ({"groups": 4}, []), ({"groups": 3}, ["groups"]), ({"groups": 4, "kv_heads": 2}, ["groups"]), ({"groups": 4, "head_dim": 8}, ["groups"]),
    ({"gated": True}, []), ({"global_projections": True}, []), ({"groups": 4, "gated": True}, ["groups"]),
    ({"groups": 4, "global_projections": True}, ["groups"]),
]  # fmt: skip


def test_settings_of_attention_that_exclude_one_another() -> None:
    """4 heads of a width of 32; a pattern has 256 places at the most."""
    for given, fields in ATTENTION:
        found = [path for path, _ in Attention(**{"heads": 4} | given).problems(WIDTH)]
        assert found == [(field,) for field in fields], given


def _experts(**given: Any) -> Experts:
    return Experts(kind="experts", d_ff=8, **{"experts": 8, "top_k": 2} | given)


def _latent(**given: Any) -> LatentAttention:
    return LatentAttention(kind="latent", heads=2, kv_rank=12, nope_dim=6, rope_dim=4, v_dim=7, **given)


def _compressed(**given: Any) -> CompressedAttention:
    plain = {"heads": 6, "head_dim": 4, "q_rank": 5, "groups": 3, "group_rank": 2, "window": 9}
    return CompressedAttention(kind="compressed", **plain | given)


INDEX: dict[str, Any] = {"index_heads": 2, "index_dim": 3, "index_top_k": 4}


def _disentangled(**given: Any) -> Disentangled:
    return Disentangled(kind="disentangled", span=16, **given)


def _hybrid(attention: dict[str, Any], mamba: dict[str, Any]) -> HybridHeads:
    return HybridHeads(
        kind="side-by-side",
        attention=Attention(**{"heads": 4} | attention),
        mamba=Mamba2(kind="mamba2", d_head=8, **{"heads": 4} | mamba),
    )


OTHERS: list[tuple[Any, list[tuple[str, ...]]]] = [
    (Bottleneck(kind="bottleneck", heads=4, width=24, d_ff=8), []),  # the narrow width counts, not the model's
    (Bottleneck(kind="bottleneck", heads=5, width=24, d_ff=8), [("heads",)]),
    (GatedDeltaNet(kind="gated-delta-net", key_heads=2, value_heads=6, key_dim=8, value_dim=8), []),
    (GatedDeltaNet(kind="gated-delta-net", key_heads=4, value_heads=6, key_dim=8, value_dim=8), [("key_heads",)]),
    (GatedDeltaNet(kind="gated-delta-net", key_heads=6, value_heads=2, key_dim=8, value_dim=8), [("key_heads",)]),
    (Mamba(kind="mamba", heads=64), []), (Mamba(kind="mamba", heads=48), [("heads",)]),  # of 2·32 channels
    (Mamba(kind="mamba", heads=48, d_inner=96), []), (Mamba(kind="mamba", heads=64, d_inner=96), [("heads",)]),
    (Mamba2(kind="mamba2", heads=6, d_head=8, groups=3), []), (Mamba2(kind="mamba2", heads=6, d_head=8, groups=4), [("groups",)]),
    (RgLru(kind="rg-lru", blocks=32), []), (RgLru(kind="rg-lru", blocks=5), [("blocks",)]),
    (RgLru(kind="rg-lru", blocks=5, width=40), []), (RgLru(kind="rg-lru", blocks=32, width=40), [("blocks",)]),
    (FeedForward(d_ff=48, groups=16), []), (FeedForward(d_ff=48, groups=12), [("groups",)]), (FeedForward(d_ff=40, groups=16), [("groups",)]),
    (_disentangled(), []), (_disentangled(terms=("c2p",)), []), (_disentangled(terms=("c2p", "c2p")), [("terms",)]),
    (_disentangled(conv=3, conv_groups=4), []), (_disentangled(conv_groups=4), [("conv_groups",)]),
    (_disentangled(conv=3), []), (_disentangled(conv=3, conv_groups=5), [("conv_groups",)]),
    (_compressed(), []), (_compressed(groups=5), [("groups",)]), (_compressed(groups=24), []),  # 6 heads of 4 are 24
    (_compressed(ratio=4, **INDEX), []), (_compressed(**INDEX), [("ratio",)]), (_compressed(ratio=4), []),
    (_compressed(overlapping=True), [("ratio",)]), (_compressed(overlapping=True, ratio=4), []),
    *((_compressed(ratio=4, **{name: size for name, size in INDEX.items() if name != left}), [("index_heads",)]) for left in INDEX),  # type: ignore[list-item]
    *((_compressed(**{one: size}), [("index_heads",)] + [("ratio",)] * (one == "index_heads")) for one, size in INDEX.items()),  # type: ignore[list-item]
    (_latent(**INDEX), []), (_latent(index_heads=2, index_top_k=4), [("index_heads",)]), (_latent(index_dim=2), [("index_heads",)]),
    (_latent(index_heads=2, index_dim=3), [("index_top_k",)]), (_latent(index_top_k=3), []),
    (_latent(index_pool=4), [("index_pool",)]), (_latent(index_pool=4, **INDEX), []),
    (_experts(), []), (_experts(top_k=8), []), (_experts(top_k=9), [("top_k",)]),
    (_experts(shared_gate=True), [("shared_gate",)]), (_experts(shared_gate=True, shared_d_ff=8), []), (_experts(shared_d_ff=8), []),
    (_experts(groups=4), [("groups",)]), (_experts(top_groups=4), [("groups",)]), (_experts(groups=3, top_groups=1), [("groups",)]),
    (_experts(groups=4, top_groups=4), []), (_experts(groups=4, top_groups=5), [("top_groups",)]),
    (_experts(groups=4, top_groups=1), []), (_experts(groups=4, top_groups=1, top_k=3), [("top_groups",)]),  # two to a group
    (_experts(groups=4, top_groups=2, top_k=4), []), (_experts(groups=4, top_groups=2, top_k=5), [("top_groups",)]),
    (Augmented(kind="augmented"), []), (Augmented(kind="augmented", attention=Attention(heads=4)), []),
    (Augmented(kind="augmented", attention=Attention(heads=5)), [("attention", "heads")]),
    (Augmented(kind="augmented", attention=Attention(heads=4, on=FIRST)), [("attention", "on")]),
    (_hybrid({}, {}), []), (_hybrid({"heads": 5}, {"groups": 3}), [("attention", "heads"), ("mamba", "groups")]),
    (_hybrid({"on": FIRST}, {"on": FIRST}), [("attention", "on"), ("mamba", "on")]),
]  # fmt: skip


def test_settings_of_other_blocks_that_exclude_one_another() -> None:
    for block, paths in OTHERS:
        assert [path for path, _ in block.problems(WIDTH)] == paths, block


def test_parts_of_a_layer_for_images_stand_where_it_does() -> None:
    plain: dict[str, Any] = {"attention": Attention(heads=4), "feed_forward": FeedForward(d_ff=8)}
    assert not list(ImageLayer(kind="image-layer", **plain).problems(WIDTH))
    for field, block in (("attention", Attention(heads=4, on=FIRST)), ("feed_forward", FeedForward(d_ff=8, on=FIRST))):
        layer = ImageLayer(kind="image-layer", **plain | {field: block})
        assert [path for path, _ in layer.problems(WIDTH)] == [(field, "on")]


@pytest.mark.parametrize(("reads", "right", "wrong"), [("images", 0, 1), ("sounds", 1, 0)])
def test_a_tower_reads_what_its_input_is_of(reads: Any, right: int, wrong: int) -> None:
    inputs: Any = (
        FixedImage(kind="fixed", patches=4, outputs=4),
        Sound(kind="sound", positions_per_second=50),
    )
    for given, paths in ((None, []), (inputs[right], []), (inputs[wrong], [("input", "kind")])):
        tower = Tower(part="vision_tower", reads=reads, input=given, pieces=())
        assert [path for path, _ in tower.problems()] == paths


def test_layers_of_a_tower_are_alike_and_read_no_more_than_there_are() -> None:
    def refused(**given: Any) -> list[tuple[str | int, ...]]:
        layers = TowerLayers(kind="layers", name="blocks", d_model=WIDTH, **{"layers": 3} | given)
        tower = Tower(part="vision_tower", pieces=(layers,))
        assert [path for path, _ in tower.problems()] == [("pieces", 0, *path) for path, _ in layers.problems()]
        return [path for path, _ in layers.problems()]

    assert refused() == refused(attention=Attention(heads=4), feed_forward=FeedForward(d_ff=8)) == []
    assert refused(attention=Attention(heads=5)) == [("attention", "heads")]
    assert refused(attention=Attention(heads=4, on=FIRST)) == [("attention", "on")]
    assert refused(feed_forward=FeedForward(d_ff=8, on=FIRST)) == [("feed_forward", "on")]
    assert [refused(unread=unread) for unread in (1, 3, 4)] == [[], [], [("unread",)]]
