"""A mixer with further parts next to it in each layer: adapters, convolutions, a second stream, projections of other inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from tscale.blocks.attention import Attention, Widths
from tscale.blocks.fields import LayerContext, LayerSelector, Problem, Size, Tagged, inner_problems, unrecorded
from tscale.blocks.kinds import MIXERS, SIMPLE_PIECES
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.blocks.sub_layer import stored_alone
from tscale.blocks.text_pieces import in_text
from tscale.core.ledger import Cache, Entry, Matmul, Saved, Scores, Subset

if TYPE_CHECKING:
    from tscale.blocks import Mixer
else:
    Mixer = object

_SLOT: Final = 2
"""The slot of the cache of an image's keys: attention to text has one or two before it, of global and of local layers."""


@spec_dataclass
class Augmented:
    """Softmax attention, or none, and the pieces that each layer has besides it (FNet has no attention, X-MOD an adapter)."""

    label: ClassVar[str] = "mixer"

    kind: Literal["augmented"]
    attention: Attention | None = None
    """The attention; absent where the pieces mix tokens, or something without weights does."""
    mixer: Annotated[Mixer | None, Tagged(MIXERS)] = None
    """A mixer of another kind in place of attention (Qwen4-Exp has n-grams next to delta rules)."""
    pieces: Annotated[tuple[Any, ...], Tagged(SIMPLE_PIECES, "linear", many=True)] = ()
    """What runs next to it, or behind it. Of a plain text, `inputs` are its tokens; what is at `patches` or `outputs` is
    stored, and run by none."""
    image_attention: Attention | None = None
    """Attention of each token to an image behind it (BLIP): stored, and skipped where a sequence has no image."""
    image_width: Size | None = None
    """Width of what the image's tower yields; by default, the model's own."""
    images: Size | None = None
    """Positions of a sequence's image, class tokens included; by default a sequence has none."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    def widths(self, d_model: int) -> Widths | None:
        """Heads, key-value heads and head width of the attention; None where there is none."""
        return None if self.attention is None else self.attention.widths(d_model)

    def problems(self, d_model: int) -> Iterator[Problem]:
        """What contradicts itself in the attention."""
        if self.mixer is not None and self.attention is not None:
            yield ("mixer",), "it stands in place of attention: drop one of the two"
        inner = (("attention", self.attention), ("mixer", self.mixer), ("image_attention", self.image_attention))
        for field, block in inner:
            if block is not None:
                yield from inner_problems(
                    field, block, d_model, "it stands where its pieces do: say which layers outside of it"
                )
        for field, size in (("image_width", self.image_width), ("images", self.images)):
            if size is not None and self.image_attention is None:
                yield (field,), "no attention reads an image: set image_attention"

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry | Subset]:
        """The entries of the attention, of that to an image, whose keys and values are made of its positions once, and of each piece."""
        if self.attention is not None:
            yield from self.attention.lower(site._replace(name=f"{site.name}.attention"), caches=caches)
        if self.mixer is not None:
            yield from self.mixer.lower(site._replace(name=f"{site.name}.{self.mixer.label}"), caches=caches)
        if self.image_attention is not None:
            to_image = site._replace(name=f"{site.name}.image", keys="images", causal=False)
            found = self.image_attention.lower(to_image, caches=caches)
            for entry in found if self.images is not None else stored_alone(found):
                if isinstance(entry, Subset):
                    yield entry._replace(items=tuple(map(self._of_image, entry.items)))
                else:
                    yield self._made_of_image(entry)
        for entry in in_text(self.pieces, site.name, site.stream, "mixer"):
            if caches or not isinstance(entry, Cache):
                yield entry

    def _of_image(self, one: Entry | Saved) -> Entry | Saved:
        return one if isinstance(one, Saved) else self._made_of_image(one)

    def _made_of_image(self, entry: Entry) -> Entry:
        """An entry of the attention to an image: its keys and values are made of the tower's width, and cached apart."""
        match entry:
            case Matmul() if self.image_width is not None and entry.stream == "images":
                return entry._replace(d_in=self.image_width)
            case Scores():
                return entry._replace(cache=_SLOT)
            case Cache():
                return entry._replace(slot=_SLOT)
            case _:
                return entry

    def saves(self, site: LayerContext) -> Iterator[Saved]:
        """Nothing: raises `RequestError`, since nobody has recorded what such layers keep."""
        raise unrecorded(f"{site.name}, a layer with parts of its own,")
