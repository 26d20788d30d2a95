"""What a sub-layer keeps for its backward pass, whichever stack or tower it stands in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, Protocol, runtime_checkable

from tscale.blocks.fields import LayerContext
from tscale.core.ledger import Entry, Matmul, Saved, Subset, Vector
from tscale.core.roles import Role

SubLayerPart = Literal["attention", "feed_forward"]


@runtime_checkable
class Saving(Protocol):
    """A block that says what it keeps."""

    def saves(self, site: LayerContext) -> Iterator[Saved | Subset]:
        """What one layer's forward pass keeps, apart from the block's own input."""


FIRST: Final[dict[SubLayerPart, tuple[Role, ...]]] = {
    "attention": ("q", "k", "v", "q_down", "kv_down", "gates", "in", "index_q", "index_k", "index_weights"),
    "feed_forward": ("up", "gate", "shared_up", "shared_gate", "router", "latent_down"),
}
"""The matrices that read the input of a sub-layer, by role."""


def sub_layer_saves(
    block: Saving, site: LayerContext, part: SubLayerPart, *, shared: bool = False
) -> Iterator[Saved | Subset]:
    """Its input, unless that is `shared` with another that keeps it; what it keeps within; and the mask of the dropout behind it."""
    if not shared:
        yield Saved(f"{site.name}.input", part, site.stream, site.d_model, "product", read_by=FIRST[part])
    yield from block.saves(site)
    yield Saved(f"{site.name}.dropout", part, site.stream, site.d_model, "mask", dropout=True)


def stored_alone(entries: Iterable[Entry | Subset]) -> Iterator[Entry]:
    """The weights alone, where nothing is run through them."""
    for entry in entries:
        if isinstance(entry, Matmul):
            yield entry._replace(used=0)
        elif isinstance(entry, Vector):
            yield entry
