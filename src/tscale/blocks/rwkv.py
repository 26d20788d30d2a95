"""RWKV (version 4): time mixing in place of attention, channel mixing in place of a feed-forward (Peng 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from tscale.blocks.fields import LayerContext, LayerSelector, Size, nothing_wrong
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Cache, Cut, Entry, Matmul, Saved, Scan, Vector
from tscale.core.roles import Role


@spec_dataclass
class Rwkv:
    """Time mixing (Peng 2023, section 3.1.2): receptance, key, value and output, and a recurrence of each channel."""

    label: ClassVar[str] = "rwkv"

    kind: Literal["rwkv"]
    width: Size | None = None
    """Channels of the recurrence; by default d_model."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    problems = nothing_wrong

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry]:
        """Projections, the mixing of each token with the one before, decays, the recurrence and its state.

        The recurrence is elementwise, so that frameworks count nothing for it. Its state is a numerator, a denominator
        and their common exponent for each channel, and the token before. Channels do not meet in it, so that devices share them.
        """
        d, name = site.d_model, site.name
        width = d if self.width is None else self.width
        channels = Cut(width)
        yield Vector(f"{name}.shift", "shift", "mixer", 3 * d, tensors=3)
        yield Vector(f"{name}.decay", "decay", "mixer", 2 * width, channels, tensors=2)
        names: tuple[tuple[str, Role], ...] = (("receptance", "gate"), ("key", "k"), ("value", "v"))
        for matrix, role in names:
            yield Matmul(f"{name}.{matrix}", role, "mixer", site.stream, d, width, cut=channels)
        yield Scan(f"{name}.scan", site.stream, cut=channels)
        if caches:
            yield Cache(f"{name}.shift_state", "conv_state", "once", d)
            yield Cache(f"{name}.state", "state", "once", 3 * width, cut=channels)
        yield Matmul(f"{name}.output", "out", "mixer", site.stream, width, d, cut=Cut(width, "in"))

    def saves(self, site: LayerContext) -> Iterator[Saved]:
        """The token before and what it is mixed to, the wkv kernel's keys, values and output, and the gate on these.

        The kernel is the author's for bf16, as transformers 5.23.0 calls it (`RwkvLinearAttention`); in fp16 it keeps its
        arrays in fp32. The output is what the gate multiplies, too. Every device mixes all channels of the whole sequence.
        """
        d = site.d_model
        width = d if self.width is None else self.width
        for step in ("shifted", "receptance.input", "key.input", "value.input"):
            yield Saved(f"{site.name}.{step}", "mixer", site.stream, d, gathered=True)
        for step in ("receptance", "key", "value", "wkv", "product"):
            yield Saved(f"{site.name}.{step}", "mixer", site.stream, width, cut=Cut(width))


@spec_dataclass
class ChannelMixing:
    """Channel mixing (Peng 2023, section 3.1.3): a feed-forward behind a gate, each token mixed with the one before."""

    label: ClassVar[str] = "feed_forward"

    kind: Literal["rwkv"]
    d_ff: Size
    """Inner width."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other feed-forward claims."""

    problems = nothing_wrong

    def lower(self, site: LayerContext) -> Iterator[Entry]:
        """Key, value and receptance, what mixes a token with the one before, and that token, which is kept.

        Of devices that share it, each gates the channels of the sum that are its own, before all are gathered.
        """
        d, name = site.d_model, site.name
        yield Vector(f"{name}.shift", "shift", "feed_forward", 2 * d, tensors=2)
        yield Matmul(f"{name}.key", "up", "feed_forward", site.stream, d, self.d_ff, cut=Cut(self.d_ff))
        yield Matmul(f"{name}.receptance", "gate", "feed_forward", site.stream, d, d, cut=Cut(d))
        if site.causal:
            yield Cache(f"{name}.shift_state", "conv_state", "once", d)
        yield Matmul(f"{name}.value", "down", "feed_forward", site.stream, self.d_ff, d, cut=Cut(self.d_ff, "in"))

    def saves(self, site: LayerContext) -> Iterator[Saved]:
        """The token before and what it is mixed to, the ReLU's output and its square, and both sides of the gate."""
        d = site.d_model
        for step in ("shifted", "key.input", "receptance.input"):
            yield Saved(f"{site.name}.{step}", "feed_forward", site.stream, d, gathered=True)
        for step, width in {"relu": self.d_ff, "squared": self.d_ff, "value": d, "receptance": d}.items():
            yield Saved(f"{site.name}.{step}", "feed_forward", site.stream, width, cut=Cut(width))
