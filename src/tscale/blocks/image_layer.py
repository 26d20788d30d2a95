"""A layer that attends to an image in place of what was said before (Llama 3.2 Vision)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from tscale.blocks.attention import Attention
from tscale.blocks.feed_forward import FeedForward
from tscale.blocks.fields import LayerContext, LayerSelector, Problem, Size, inner_problems, unrecorded
from tscale.blocks.norm import Norm
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.blocks.sub_layer import stored_alone, sub_layer_saves
from tscale.core.ledger import ALWAYS, Entry, Saved, Subset, Vector


@spec_dataclass
class ImageLayer:
    """Attention to an image and a feed-forward, each behind a gate: stored, and skipped where a sequence has no image (Dubey 2024)."""

    label: ClassVar[str] = "image_layer"

    kind: Literal["image-layer"]
    attention: Attention
    """Attention of text to what a tower yields."""
    feed_forward: FeedForward
    """What follows it in the same layer."""
    images: Size | None = None
    """Positions of a sequence's images, class tokens included; by default a sequence has none, and skips the layer."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    def problems(self, d_model: int) -> Iterator[Problem]:
        """What contradicts itself in this block."""
        for field, block in (("attention", self.attention), ("feed_forward", self.feed_forward)):
            yield from inner_problems(field, block, d_model)

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry | Subset]:
        """The weights of both, the norm of the second half, and two gates; what the tokens of a sequence with images run through.

        Keys and values are made of the images' positions once, and kept: every token is scored with all of them, as images stand
        before the text about them.
        """
        halves = (
            ("attention", self.attention.lower(_to_images(site), caches=caches)),
            ("feed_forward", self.feed_forward.lower(site._replace(name=f"{site.name}.feed_forward"))),
        )
        for label, entries in halves:
            yield from entries if self.images is not None else stored_alone(entries)
            yield Vector(f"{site.name}.{label}_gate", "scale", "mixer", 1)
        yield Vector(f"{site.name}.norm.feed_forward", "norm", "norm", site.d_model)

    def saves(self, site: LayerContext) -> Iterator[Saved | Subset]:
        """What both halves keep, and what each gate scales; of the images their states, and once for all layers which tokens see which.

        Raises `RequestError` for a plain text, which gives the layer no gradients.
        """
        if self.images is None:
            raise unrecorded(f"{site.name}, which attends to images,")
        name, d = site.name, site.d_model
        states = Saved(f"{name}.states", "attention", "images", d, "product", keeping=ALWAYS, read_by=("k", "v"))
        mask = Saved(f"{name}.mask", "attention", site.stream, 1, keys="images", keeping=("flash",))
        yield Subset((states, mask), once=True, throughout=True)
        yield from self.attention.saves(_to_images(site))
        yield Saved(f"{name}.attention_gate.input", "attention", site.stream, d)
        yield from Norm(kind="rmsnorm").saves_one(f"{name}.norm.feed_forward", site.stream, d, number="residual")
        yield from sub_layer_saves(self.feed_forward, site._replace(name=f"{name}.feed_forward"), "feed_forward")
        yield Saved(f"{name}.feed_forward_gate.input", "feed_forward", site.stream, d)


def _to_images(site: LayerContext) -> LayerContext:
    """Where tokens are scored with all positions of the images."""
    return site._replace(keys="images", causal=False)
