"""ERNIE 4.5 VL: experts for words, and others for images."""

from __future__ import annotations

from tscale.blocks import Experts, FeedForward, Mlp
from tscale.importer.config_keys import Config
from tscale.importer.experts import in_turn
from tscale.importer.rules.sparse import layers


def experts(config: Config, dense: FeedForward) -> Mlp | tuple[Mlp, ...]:
    """Both kinds of experts, of two widths, as many of each, and shared ones as wide as those for words."""
    widths = config.listed("moe_intermediate_size", int) or _WIDTHS
    if len(widths) != len(_WIDTHS) or not all(widths):
        raise config.wrong("moe_intermediate_size must be two widths above 0: of experts for words, and for images")
    words, images = widths
    shared = words * config.whole("moe_num_shared_experts")
    routed = Experts(
        kind="experts",
        experts=config.size("moe_num_experts"),
        top_k=config.size("moe_k"),
        d_ff=words,
        image_d_ff=images,
        selection_bias="parameter",
        shared_d_ff=shared or None,
    )
    return in_turn(dense, routed, layers(config, listed="mlp_layer_types", first=1))


_WIDTHS = [1536, 512]
