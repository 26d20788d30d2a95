"""What a layer is made of: one file a kind, its spec class and its lowering to ledger entries side by side.

A spec class is a frozen dataclass whose fields are all that a file may say of the block; `lower` yields its entries.
To add a mixer: one file here, and its class in `MIXERS`.
"""

from __future__ import annotations

from tscale.blocks.attention import Attention
from tscale.blocks.feed_forward import FeedForward
from tscale.blocks.norm import Norm
from tscale.blocks.positions import Alibi, Learned, NoPositions, Relative, RelativeBias, Rotary, Sinusoidal

Mixer = Attention
Positions = Learned | Sinusoidal | Rotary | Alibi | RelativeBias | Relative | NoPositions

MIXERS = (Attention,)
FEED_FORWARDS = (FeedForward,)
POSITIONS = (Learned, Sinusoidal, Rotary, Alibi, RelativeBias, Relative, NoPositions)

__all__ = ["FEED_FORWARDS", "MIXERS", "POSITIONS", "Attention", "FeedForward", "Mixer", "Norm", "Positions"]
