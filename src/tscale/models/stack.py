"""The stacks of a model: where in it blocks stand, and what each of them writes and saves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, cast

from tscale.blocks import Attention
from tscale.blocks.fields import LayerContext, unrecorded
from tscale.blocks.sub_layer import Saving, SubLayerPart, sub_layer_saves
from tscale.core.layers import ButFirst, Every, Layers, Places, Rest
from tscale.core.ledger import OUTSIDE, Block, Entry, Group, Saved, SubLayer, Subset
from tscale.core.tracing import label, minimum
from tscale.models.naming import labelled
from tscale.models.spec import Encoder, ModelSpec

if TYPE_CHECKING:
    from tscale.blocks import Mixer, Mlp


Items = Iterable[Entry | Saved | Subset]


class Place(NamedTuple):
    """Where in a model things stand: the layers, how many of them, and the copies of weights that these share."""

    where: Layers | Literal["start", "end", "stack"] = "start"
    layers: int = 1
    copies: int | None = None
    block: Block = OUTSIDE

    def groups(self, items: Items) -> list[Group]:
        """Groups of what stands here, in its order; what does not stand in each layer is a group of its own."""
        found: list[Group] = []
        together: list[Entry | Saved] = []
        for item in items:
            if isinstance(item, Subset):
                found += self.group(together)
                together = []
                found += self.subset(item).group(item.items)
            else:
                together.append(item)
        return found + self.group(together)

    def subset(self, part: Subset) -> Place:
        """Where a part of what stands here stands."""
        if part.once:
            return Place("stack" if part.throughout else "start", block=self.block)
        where, layers = self.where, self.layers if part.layers is None else part.layers
        if part.places:
            assert not isinstance(where, str)
            where = Places(where, part.places, part.period)
        if part.copies is None:
            return self._replace(where=where, layers=layers)
        if all(isinstance(item, Saved) for item in part.items):
            return self._replace(where=where, layers=minimum(layers, part.copies))
        return self._replace(where=where, layers=layers, copies=part.copies)

    def group(self, items: Sequence[Entry | Saved]) -> list[Group]:
        """What stands here in each layer, as one group; none where it is nothing."""
        if not items:
            return []
        entries: list[Entry] = []
        saved: list[Saved] = []
        for item in items:
            # the block is the last field of all of them, and _make takes a third of the time of _replace
            placed: Entry | Saved = item if self.block is OUTSIDE else cast("Any", item)._make((*item[:-1], self.block))
            if isinstance(placed, Saved):
                saved.append(placed)
            else:
                entries.append(placed)
        return [Group(self.where, self.block.stack, self.layers, self.copies, tuple(entries), tuple(saved))]


START, END = Place(), Place("end")


class Stack(NamedTuple):
    """One stack of a model: the blocks of its layers, and where they stand."""

    spec: ModelSpec
    site: LayerContext
    copies: int | None
    own: Encoder | None = None

    @property
    def two(self) -> bool:
        """Whether the model has another stack too."""
        return self.spec.kind == "encoder-decoder"

    @property
    def mixers(self) -> tuple[Mixer, ...]:
        return (self.own.attention,) if self.own and self.own.attention else self.spec.mixers

    @property
    def feed_forwards(self) -> tuple[Mlp, ...]:
        return (self.own.feed_forward,) if self.own and self.own.feed_forward else self.spec.feed_forwards

    def place(self, sub_layer: SubLayer = "none", number: int = 0) -> Place:
        """All of its layers."""
        block = Block("decoder" if self.site.causal else "encoder", sub_layer, number)
        return Place(Every(), self.site.layers, self.copies, block)

    def sub_layers(self) -> Iterator[StackedBlock]:
        """Its sub-layers. A decoder that reads an encoder attends to it between its own attention and feed-forward."""
        for name, mixer, place in self._dealt(self.mixers, "mixer"):
            yield StackedBlock("self_attention" if self.two else name, mixer, self.site, place)
        if self.site.causal and (self.two or self.spec.idle_cross_attention):
            cross = self.site._replace(keys="source", causal=False)
            yield StackedBlock("cross_attention", seeing_all(self.mixers[0]), cross, self.place("cross-attention"))
        for name, feed_forward, place in self._dealt(self.feed_forwards, "feed-forward"):
            yield StackedBlock(name, feed_forward, self.site, place)

    def _dealt(self, blocks: tuple[Dealt, ...], sub_layer: SubLayer) -> Iterator[tuple[str, Dealt, Place]]:
        """Each block with its name and the layers that it stands in: those it claims, or those that no other does."""
        ons = tuple(block.on for block in blocks if block.on is not None)
        for number, (name, block) in enumerate(labelled(blocks)):
            place = self.place(sub_layer, number)
            if ons:
                where: Layers = Rest(ons) if block.on is None else block.on
                layers = label(f"{name}_layers", where.count(self.site.layers), "layers")
                place = place._replace(where=where, layers=layers, copies=None)
            yield name, block, place


class StackedBlock(NamedTuple):
    """A block of a stack: its name, its site, and where it stands."""

    name: str
    block: Mixer | Mlp
    stack: LayerContext
    place: Place

    @property
    def site(self) -> LayerContext:
        return self.stack._replace(name=f"{self.stack.name}{self.name}", layers=self.place.layers)

    def lower(self) -> Iterator[Entry | Subset]:
        """Its entries; a decoder's mixers have caches."""
        block, kind = cast("Any", self.block), self.place.block
        found: Iterator[Entry | Subset]
        if kind.sub_layer == "feed-forward":
            found = block.lower(self.site)
        else:
            found = block.lower(self.site, caches=kind.stack == "decoder")
        return found

    def saves(self, spec: ModelSpec) -> Iterator[Saved | Subset]:
        """Its input, what it keeps within, and the mask of the dropout behind it."""
        site, sub_layer = self.site, self.place.block.sub_layer
        part: SubLayerPart = "feed_forward" if sub_layer == "feed-forward" else "attention"
        if not isinstance(self.block, Saving):
            raise unrecorded(f"{site.name} of {spec.name}")
        shared = spec.norm.place == "parallel" and sub_layer != "cross-attention"
        yield from sub_layer_saves(self.block, site, part, shared=shared)

    def normed(self, spec: ModelSpec) -> Place:
        """The layers that have a norm of their own beside it; where the first has none, it is the mixer there that is without."""
        where = self.place.where
        assert not isinstance(where, str)
        if not (spec.norm.skips_first and self.place.block.sub_layer == "mixer" and where.count(1)):
            return self.place
        return self.place._replace(where=ButFirst(where), layers=self.place.layers - 1)


def seeing_all(mixer: Mixer) -> Mixer:
    """The same mixer without its window: a window is a stretch of its own sequence, not of another's."""
    if isinstance(mixer, Attention):
        return replace(mixer, window=None, pattern=None, chunked=False)
    return mixer


Dealt = TypeVar("Dealt", "Mixer", "Mlp")
