"""The spec classes that a field may hold, by the `kind` that a file calls them by, each imported when it is asked for.

An answer about one model needs two or three of them, and making a dataclass takes about a millisecond.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Final


class Kinds(Mapping[str, type]):
    """Spec classes by kind; `homes` says for each where in `tscale` it stands: `blocks.attention.Attention`."""

    def __init__(self, homes: dict[str, str]) -> None:
        self._homes = homes

    def __getitem__(self, kind: str) -> type:
        found: type = class_at(self._homes[kind])
        return found

    def __contains__(self, kind: object) -> bool:
        return kind in self._homes

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)

    def homes(self) -> Iterator[str]:
        """Where each class stands, those of several kinds once."""
        return iter(dict.fromkeys(self._homes.values()))


def class_at(home: str) -> Any:
    """The class that stands at a place such as `blocks.attention.Attention` in `tscale`."""
    module, _, name = home.rpartition(".")
    return getattr(import_module(f"tscale.{module}"), name)


MIXERS: Final = Kinds(
    {
        "multi-head": "blocks.attention.Attention",
        "latent": "blocks.latent.LatentAttention",
        "indexed": "blocks.indexed.IndexedAttention",
        "compressed": "blocks.compressed.CompressedAttention",
        "expert-attention": "blocks.expert_attention.ExpertAttention",
        "mamba": "blocks.mamba.Mamba",
        "mamba2": "blocks.mamba2.Mamba2",
        "gated-delta-net": "blocks.delta.GatedDeltaNet",
        "kimi-delta": "blocks.kimi_delta.KimiDelta",
        "lightning": "blocks.lightning.Lightning",
        "short-conv": "blocks.short_conv.ShortConv",
        "rg-lru": "blocks.rg_lru.RgLru",
        "rwkv": "blocks.rwkv.Rwkv",
        "mlstm": "blocks.mlstm.Mlstm",
        "side-by-side": "blocks.hybrid_heads.HybridHeads",
        "image-layer": "blocks.image_layer.ImageLayer",
        "bottleneck": "blocks.bottleneck.Bottleneck",
        "augmented": "blocks.augmented.Augmented",
        "shared-block": "blocks.shared.SharedBlock",
    }
)
FEED_FORWARDS: Final = Kinds(
    {
        "dense": "blocks.feed_forward.FeedForward",
        "experts": "blocks.experts.Experts",
        "rwkv": "blocks.rwkv.ChannelMixing",
    }
)
POSITIONS: Final = Kinds(
    {
        "learned": "blocks.positions.Learned",
        **dict.fromkeys(("sinusoidal", "rotary", "alibi", "none"), "blocks.positions.Computed"),
        "relative-bias": "blocks.relative.RelativeBias",
        "relative": "blocks.relative.Relative",
        "disentangled": "blocks.disentangled.Disentangled",
    }
)
STREAMS: Final = Kinds(
    {
        "hyper-connections": "blocks.streams.HyperConnections",
        "mixed": "blocks.streams.MixedStreams",
        "altup": "blocks.streams.AltUp",
        "predicting": "blocks.predicting.PredictingStreams",
    }
)
STATE_SPACES: Final = Kinds({"mamba2": "blocks.mamba2.Mamba2", "mamba": "blocks.mamba.Mamba"})
_SIMPLE: Final = {
    "linear": "blocks.tower_pieces.Linear",
    "table": "blocks.tower_pieces.Table",
    "vector": "blocks.tower_pieces.Gains",
    "depthwise": "blocks.tower_pieces.Depthwise",
    "scores": "blocks.tower_pieces.Attend",
    "kept": "blocks.tower_pieces.Kept",
}
SIMPLE_PIECES: Final = Kinds(_SIMPLE)
"""The pieces of a tower that hold no others."""
TOWER_PIECES: Final = Kinds(
    _SIMPLE | {"layers": "blocks.tower_pieces.TowerLayers", "contrast": "blocks.contrast.Contrast"}
)
TOWER_INPUTS: Final = Kinds(
    {
        "fixed": "blocks.tower_inputs.FixedImage",
        "native": "blocks.tower_inputs.NativeImage",
        "padded": "blocks.tower_inputs.PaddedImage",
        "rows": "blocks.tower_inputs.RowsOfImage",
        "budget": "blocks.tower_inputs.BudgetImage",
        "tiles": "blocks.image_tiles.TiledImage",
        "split": "blocks.image_tiles.SplitImage",
        "any-resolution": "blocks.image_tiles.AnyResolution",
        "bounded": "blocks.tower_inputs.BoundedImage",
        "padded-tiles": "blocks.image_tiles.PaddedTiles",
        "whole-or-tiles": "blocks.image_tiles.WholeOrTiles",
        "windows": "blocks.image_tiles.WindowedImage",
        "slices": "blocks.image_tiles.SlicedImage",
        "sound": "blocks.tower_inputs.Sound",
    }
)
"""The rules by which images and sounds become positions of a tower and tokens of a language model."""
