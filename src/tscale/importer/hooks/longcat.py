"""LongCat-Flash: layers of two halves, the first of which has experts next to its dense feed-forward."""

from __future__ import annotations

from tscale.blocks import Experts, FeedForward, Mlp
from tscale.blocks.fields import LayerSelector
from tscale.importer.config_keys import Config


def depth(config: Config) -> int:
    """Two layers for each that the file counts: each half has attention and a feed-forward of its own."""
    return 2 * config.size("num_layers")


def feed_forwards(config: Config) -> tuple[Mlp, ...]:
    """In every other layer experts next to the dense feed-forward, which reads what they read as a shared expert would."""
    d_ff = config.size("ffn_hidden_size")
    experts = Experts(
        kind="experts",
        experts=config.size("n_routed_experts"),
        idle=config.optional_whole("zero_expert_num") or None,
        top_k=config.size("moe_topk"),
        d_ff=config.size("expert_ffn_hidden_size"),
        selection_bias="buffer",
        router_bias=config.flag("router_bias"),
        shared_d_ff=d_ff,
        on=LayerSelector(every=2, at=0),
    )
    return experts, FeedForward(d_ff=d_ff, gated=True)


def notes(config: Config) -> tuple[str, ...]:
    """What active parameters and FLOPs mean where experts compute nothing."""
    if not config.optional_whole("zero_expert_num"):
        return ()
    return (
        "A token may be sent to experts that compute nothing in place of any of its experts: active parameters and FLOPs are the most "
        "that one takes. transformers 5.24.0 also builds matrices for these, which published files do not have: they are not counted.",
    )
