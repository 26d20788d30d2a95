"""MobileBERT's layer: everything happens in a narrow stream, between a projection into it and one out of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from tscale.blocks.attention import Widths
from tscale.blocks.fields import LayerContext, LayerSelector, Problem, Size, unrecorded
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Cut, Entry, Matmul, Saved, Scores, Subset, Vector


@spec_dataclass
class Bottleneck:
    """Attention and several feed-forwards of a narrow width (MobileBERT, Sun 2020, section 3.1).

    Queries and keys are made of a narrow projection that they share, values of the wide stream itself. Every matrix has a bias,
    and behind each part a gain and a bias for every channel stand in place of a norm.
    """

    label: ClassVar[str] = "bottleneck"

    kind: Literal["bottleneck"]
    heads: Size
    """Heads of attention: all of them are as wide as the narrow stream."""
    width: Size
    """Width of the narrow stream."""
    d_ff: Size
    """Inner width of each feed-forward."""
    feed_forwards: Size = 4
    """Feed-forwards of a layer, one behind the other."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    def widths(self, d_model: int) -> Widths:
        """Heads, key-value heads and head width, whatever the model's width is."""
        del d_model
        return Widths(self.heads, self.heads, self.width // self.heads)

    def problems(self, d_model: int) -> Iterator[Problem]:
        """Heads that do not divide the narrow stream."""
        if self.width % self.heads:
            yield ("heads",), f"{self.heads} heads do not divide width {self.width}: set heads to a divisor of it"

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry | Subset]:
        """The projections in, attention, the feed-forwards, and the projection out."""
        del caches  # it reads both ways: nothing is kept
        name, d, w, many = site.name, site.d_model, self.width, self.feed_forwards
        by_head, columns = Cut(self.heads), Cut(self.d_ff)
        yield Matmul(f"{name}.in", "in", "mixer", site.stream, d, w, bias=True)
        yield Matmul(f"{name}.shared", "in", "mixer", site.stream, d, w, bias=True)
        for letter, wide in (("q", w), ("k", w), ("v", d)):
            role: Literal["q", "k", "v"] = "q" if letter == "q" else "k" if letter == "k" else "v"
            yield Matmul(f"{name}.{letter}", role, "attention", site.stream, wide, w, True, by_head)
        head_dim = w // self.heads
        yield Scores(f"{name}.scores", site.stream, site.keys, self.heads, head_dim, head_dim, site.causal, cut=by_head)
        yield Matmul(f"{name}.o", "o", "attention", site.stream, w, w, True, by_head._replace(axis="in"))
        up = Matmul(f"{name}.up", "up", "feed_forward", site.stream, w, self.d_ff, True, columns)
        down = Matmul(f"{name}.down", "down", "feed_forward", site.stream, self.d_ff, w, True, Cut(self.d_ff, "in"))
        yield up._replace(stored=many, used=many)
        yield down._replace(stored=many, used=many)
        yield Matmul(f"{name}.out", "out", "mixer", site.stream, w, d, bias=True)
        yield Vector(f"{name}.norms", "norm", "norm", (3 + many) * 2 * w, tensors=(3 + many) * 2)

    def saves(self, site: LayerContext) -> Iterator[Saved]:
        """Nothing is recorded of what such a layer keeps."""
        raise unrecorded(f"{site.name}, a layer with a bottleneck,")
