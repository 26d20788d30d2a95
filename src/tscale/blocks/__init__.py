"""What a layer is made of: one file a kind, its spec class and its lowering to ledger entries side by side.

A spec class is a frozen dataclass whose fields are all that a file may say of the block; `lower` yields its entries.
To add a mixer: one file here, and its class in `MIXERS` under the `kind` that a file calls it by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from tscale.blocks.attention import Attention
from tscale.blocks.delta import GatedDeltaNet
from tscale.blocks.disentangled import Disentangled
from tscale.blocks.expert_attention import ExpertAttention
from tscale.blocks.experts import Experts
from tscale.blocks.feed_forward import FeedForward
from tscale.blocks.hybrid_heads import HybridHeads
from tscale.blocks.kimi_delta import KimiDelta
from tscale.blocks.latent import LatentAttention
from tscale.blocks.layer_input import LayerInput
from tscale.blocks.lightning import Lightning
from tscale.blocks.mamba import Mamba
from tscale.blocks.mamba2 import Mamba2
from tscale.blocks.mlstm import Mlstm
from tscale.blocks.norm import Norm
from tscale.blocks.positions import Computed, Learned, Relative, RelativeBias
from tscale.blocks.rg_lru import RgLru
from tscale.blocks.rwkv import ChannelMixing, Rwkv
from tscale.blocks.shared import STATE_SPACES, SharedBlock
from tscale.blocks.short_conv import ShortConv

Mixer = (
    Attention
    | LatentAttention
    | ExpertAttention
    | Mamba
    | Mamba2
    | GatedDeltaNet
    | KimiDelta
    | Lightning
    | ShortConv
    | RgLru
    | Rwkv
    | Mlstm
    | HybridHeads
    | SharedBlock
)
Mlp = FeedForward | Experts | ChannelMixing
Positions = Learned | Computed | RelativeBias | Relative | Disentangled

MIXERS: Final[dict[str, type]] = {
    "multi-head": Attention,
    "latent": LatentAttention,
    "expert-attention": ExpertAttention,
    "mamba": Mamba,
    "mamba2": Mamba2,
    "gated-delta-net": GatedDeltaNet,
    "kimi-delta": KimiDelta,
    "lightning": Lightning,
    "short-conv": ShortConv,
    "rg-lru": RgLru,
    "rwkv": Rwkv,
    "mlstm": Mlstm,
    "side-by-side": HybridHeads,
    "shared-block": SharedBlock,
}
FEED_FORWARDS: Final[dict[str, type]] = {"dense": FeedForward, "experts": Experts, "rwkv": ChannelMixing}
POSITIONS: Final[dict[str, type]] = {
    "learned": Learned,
    "sinusoidal": Computed,
    "rotary": Computed,
    "alibi": Computed,
    "none": Computed,
    "relative-bias": RelativeBias,
    "relative": Relative,
    "disentangled": Disentangled,
}


def attentions(mixers: Iterable[Mixer]) -> Iterator[Attention | LatentAttention | ExpertAttention | SharedBlock]:
    """The mixers that score queries against keys, and so have heads that others ask for."""
    for mixer in mixers:
        if isinstance(mixer, Attention | LatentAttention | ExpertAttention | SharedBlock):
            yield mixer
        elif isinstance(mixer, HybridHeads):
            yield mixer.attention


__all__ = [
    "FEED_FORWARDS",
    "MIXERS",
    "POSITIONS",
    "STATE_SPACES",
    "Attention",
    "ChannelMixing",
    "Computed",
    "Disentangled",
    "ExpertAttention",
    "Experts",
    "FeedForward",
    "GatedDeltaNet",
    "HybridHeads",
    "KimiDelta",
    "LatentAttention",
    "LayerInput",
    "Learned",
    "Lightning",
    "Mamba",
    "Mamba2",
    "Mixer",
    "Mlp",
    "Mlstm",
    "Norm",
    "Positions",
    "Relative",
    "RelativeBias",
    "RgLru",
    "Rwkv",
    "SharedBlock",
    "ShortConv",
    "attentions",
]
