"""What a layer is made of: one file a kind, its spec class and its lowering to ledger entries side by side.

A spec class is a frozen dataclass whose fields are all that a file may say of the block; `lower` yields its entries.
To add a mixer: one file here, and its class in `MIXERS` under the `kind` that a file calls it by.
"""

from __future__ import annotations

from typing import Final

from tscale.blocks.attention import Attention
from tscale.blocks.experts import Experts
from tscale.blocks.feed_forward import FeedForward
from tscale.blocks.latent import LatentAttention
from tscale.blocks.norm import Norm
from tscale.blocks.positions import Computed, Learned, Relative, RelativeBias

Mixer = Attention | LatentAttention
Mlp = FeedForward | Experts
Positions = Learned | Computed | RelativeBias | Relative

MIXERS: Final[dict[str, type]] = {"multi-head": Attention, "latent": LatentAttention}
FEED_FORWARDS: Final[dict[str, type]] = {"dense": FeedForward, "experts": Experts}
POSITIONS: Final[dict[str, type]] = {
    "learned": Learned,
    "sinusoidal": Computed,
    "rotary": Computed,
    "alibi": Computed,
    "none": Computed,
    "relative-bias": RelativeBias,
    "relative": Relative,
}

__all__ = [
    "FEED_FORWARDS",
    "MIXERS",
    "POSITIONS",
    "Attention",
    "Computed",
    "Experts",
    "FeedForward",
    "LatentAttention",
    "Learned",
    "Mixer",
    "Mlp",
    "Norm",
    "Positions",
    "Relative",
    "RelativeBias",
]
