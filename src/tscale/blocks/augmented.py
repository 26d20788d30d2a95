"""A mixer with further parts next to it in each layer: adapters, convolutions, a second stream, projections of other inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from tscale.blocks.attention import Attention, Widths
from tscale.blocks.fields import CONFIG, LayerContext, LayerSelector, Problem, Tagged, unrecorded
from tscale.blocks.kinds import SIMPLE_PIECES
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.blocks.text_pieces import in_text
from tscale.core.ledger import Entry, Saved, Subset


@spec_dataclass
class Augmented:
    """Softmax attention, or none, and the pieces that each layer has besides it (FNet has no attention, X-MOD an adapter)."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG
    label: ClassVar[str] = "mixer"

    kind: Literal["augmented"]
    attention: Attention | None = None
    """The attention; absent where the pieces mix tokens, or something without weights does."""
    pieces: Annotated[tuple[Any, ...], Tagged(SIMPLE_PIECES, "linear", many=True)] = ()
    """What runs next to it, or behind it. Of a plain text, `inputs` are its tokens; what is at `patches` or `outputs` is
    stored, and run by none."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    def widths(self, d_model: int) -> Widths | None:
        """Heads, key-value heads and head width of the attention; None where there is none."""
        return None if self.attention is None else self.attention.widths(d_model)

    def problems(self, d_model: int) -> Iterator[Problem]:
        """What contradicts itself in the attention."""
        if self.attention is None:
            return
        for path, message in self.attention.problems(d_model):
            yield ("attention", *path), message
        if self.attention.on is not None:
            yield ("attention", "on"), "it stands where its pieces do: say which layers outside of it"

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry | Subset]:
        """The entries of the attention, and of each piece."""
        if self.attention is not None:
            yield from self.attention.lower(site._replace(name=f"{site.name}.attention"), caches=caches)
        yield from in_text(self.pieces, site.name, site.stream, "mixer")

    def saves(self, site: LayerContext) -> Iterator[Saved]:
        """Nothing: raises `RequestError`, since nobody has recorded what such layers keep."""
        raise unrecorded(f"{site.name}, a layer with parts of its own,")
