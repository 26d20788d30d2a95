"""A layer that attends to an image in place of what was said before (Llama 3.2 Vision)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from tscale.blocks.attention import Attention
from tscale.blocks.feed_forward import FeedForward
from tscale.blocks.fields import CONFIG, LayerContext, LayerSelector, Problem, unrecorded
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Entry, Matmul, Saved, Subset, Vector


@spec_dataclass
class ImageLayer:
    """Attention to an image and a feed-forward, each behind a gate: stored, and skipped where a sequence has no image (Dubey 2024)."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG
    label: ClassVar[str] = "image_layer"

    kind: Literal["image-layer"]
    attention: Attention
    """Attention of text to what a tower yields."""
    feed_forward: FeedForward
    """What follows it in the same layer."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    def problems(self, d_model: int) -> Iterator[Problem]:
        """What contradicts itself in this block."""
        for field, block in (("attention", self.attention), ("feed_forward", self.feed_forward)):
            for path, message in block.problems(d_model):
                yield (field, *path), message
            if block.on is not None:
                yield (field, "on"), "both stand in the same layers: say which outside of the two"

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry]:
        """The weights of both, which no token of a plain text runs through; the norm of the second half, and two gates."""
        for label, entries in (
            ("attention", self.attention.lower(site, caches=False)),
            ("feed_forward", self.feed_forward.lower(site._replace(name=f"{site.name}.feed_forward"))),
        ):
            for entry in entries:
                if isinstance(entry, Matmul):
                    yield entry._replace(used=0)
                elif isinstance(entry, Vector):
                    yield entry
            yield Vector(f"{site.name}.{label}_gate", "scale", "mixer", 1)
        yield Vector(f"{site.name}.norm.feed_forward", "norm", "norm", site.d_model)

    def saves(self, site: LayerContext) -> Iterator[Saved | Subset]:
        """Nothing: raises `RequestError`, since nobody has recorded what a layer keeps that some sequences skip."""
        raise unrecorded(f"{site.name}, which attends to images,")
