"""What a layer is made of: one file a kind, its spec class and its lowering to ledger entries side by side.

A spec class is a frozen dataclass whose fields are all that a file may say of the block; `lower` yields its entries.
To add a mixer: one file here, its class in `MIXERS` of `kinds` under the `kind` that a file calls it by, and its name below.
Each class is imported when it is asked for, so that an answer pays for the blocks of its own model alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Union, cast

from tscale.blocks.kinds import FEED_FORWARDS, MIXERS, POSITIONS, STATE_SPACES, STREAMS, class_at

if TYPE_CHECKING:
    from tscale.blocks.attention import Attention
    from tscale.blocks.augmented import Augmented
    from tscale.blocks.bottleneck import Bottleneck
    from tscale.blocks.compressed import CompressedAttention
    from tscale.blocks.delta import GatedDeltaNet
    from tscale.blocks.disentangled import Disentangled
    from tscale.blocks.expert_attention import ExpertAttention
    from tscale.blocks.experts import Experts
    from tscale.blocks.feed_forward import FeedForward
    from tscale.blocks.hybrid_heads import HybridHeads
    from tscale.blocks.image_layer import ImageLayer
    from tscale.blocks.indexed import IndexedAttention
    from tscale.blocks.kimi_delta import KimiDelta
    from tscale.blocks.latent import LatentAttention
    from tscale.blocks.layer_input import LayerInput
    from tscale.blocks.lightning import Lightning
    from tscale.blocks.mamba import Mamba
    from tscale.blocks.mamba2 import Mamba2
    from tscale.blocks.mlstm import Mlstm
    from tscale.blocks.norm import Norm
    from tscale.blocks.positions import Computed, Learned
    from tscale.blocks.predicting import PredictingStreams
    from tscale.blocks.relative import Relative, RelativeBias
    from tscale.blocks.rg_lru import RgLru
    from tscale.blocks.rwkv import ChannelMixing, Rwkv
    from tscale.blocks.shared import SharedBlock
    from tscale.blocks.short_conv import ShortConv
    from tscale.blocks.streams import AltUp, HyperConnections, MixedStreams

    Mixer = (
        Attention
        | LatentAttention
        | IndexedAttention
        | CompressedAttention
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
        | ImageLayer
        | Bottleneck
        | Augmented
        | SharedBlock
    )
    Mlp = FeedForward | Experts | ChannelMixing
    Streams = HyperConnections | MixedStreams | AltUp | PredictingStreams
    Positions = Learned | Computed | RelativeBias | Relative | Disentangled
else:
    _FAMILIES = {"Mixer": MIXERS, "Mlp": FEED_FORWARDS, "Positions": POSITIONS, "Streams": STREAMS}
    _ALONE = {"LayerInput": "blocks.layer_input.LayerInput", "Norm": "blocks.norm.Norm"}

    def __getattr__(name: str) -> Any:
        """A spec class, or the union of those that a field may hold, imported when it is first asked for."""
        if name in _FAMILIES:
            found = Union[tuple(_FAMILIES[name].values())]  # noqa: UP007 (a union of as many as there are)
        else:
            found = class_at(_HOMES[name]) if name in _HOMES else None
        if found is None:
            raise AttributeError(f"module 'tscale.blocks' has no attribute '{name}'")
        globals()[name] = found
        return found

    _HOMES = {home.rpartition(".")[2]: home for kinds in _FAMILIES.values() for home in kinds.homes()}
    _HOMES |= _ALONE


_WITH_HEADS: Final = frozenset({"multi-head", "latent", "expert-attention", "shared-block", "bottleneck"})


def attentions(
    mixers: Iterable[Mixer],
) -> Iterator[Attention | LatentAttention | ExpertAttention | SharedBlock | Bottleneck]:
    """The mixers that score queries against keys, and so have heads that others ask for."""
    for mixer in mixers:
        if mixer.kind in _WITH_HEADS:
            yield cast("Attention | LatentAttention | ExpertAttention | SharedBlock | Bottleneck", mixer)
        elif mixer.kind in ("side-by-side", "indexed") or (mixer.kind == "augmented" and mixer.attention is not None):
            yield cast("Attention", mixer.attention)


def sees_images(mixer: Mixer) -> bool:
    """Whether its tokens attend to what a tower yields, which are no tokens of the sequence."""
    return mixer.kind == "image-layer" or (mixer.kind == "augmented" and mixer.image_attention is not None)


__all__ = [
    "FEED_FORWARDS", "MIXERS", "POSITIONS", "STATE_SPACES", "STREAMS", "AltUp", "Attention", "Augmented", "Bottleneck",
    "ChannelMixing", "CompressedAttention", "Computed", "Disentangled", "ExpertAttention", "Experts", "FeedForward",
    "GatedDeltaNet", "HybridHeads", "HyperConnections", "ImageLayer", "IndexedAttention", "KimiDelta", "LatentAttention",
    "LayerInput", "Learned", "Lightning", "Mamba", "Mamba2", "MixedStreams", "Mixer", "Mlp", "Mlstm", "Norm", "Positions",
    "PredictingStreams", "Relative", "RelativeBias", "RgLru", "Rwkv", "SharedBlock", "ShortConv", "Streams", "attentions",
    "sees_images",
]  # fmt: skip
