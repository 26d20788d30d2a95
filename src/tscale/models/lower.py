"""From a spec to its ledger: which stacks, tables and heads there are; the blocks write their own entries.

One walk yields groups of layers. Asked to, it also tells what each layer saves for its backward pass: only the memory of
training asks for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    NamedTuple,
    Protocol,
    TypeVar,
    assert_never,
    cast,
    runtime_checkable,
)

from tscale.blocks import Attention, attentions
from tscale.blocks.fields import LayerContext, unrecorded
from tscale.core.layers import ButFirst, Every, Layers, Places, Rest
from tscale.core.ledger import (
    ALWAYS,
    OUTSIDE,
    Block,
    Cut,
    Entry,
    Group,
    Ledger,
    Lookup,
    Matmul,
    Part,
    Saved,
    Stream,
    SubLayer,
    Subset,
    Vector,
)
from tscale.core.roles import Role
from tscale.core.tracing import minimum, named
from tscale.core.workload import Run
from tscale.models.spec import Encoder, ModelSpec, labelled

if TYPE_CHECKING:
    from tscale.blocks import Mixer, Mlp

Items = Iterable[Entry | Saved | Subset]


@runtime_checkable
class Saving(Protocol):
    """A block that says what it keeps."""

    def saves(self, site: LayerContext) -> Iterator[Saved | Subset]:
        """What one layer's forward pass keeps, apart from the block's own input."""


def lower(spec: ModelSpec, *, saves: bool = False) -> Ledger:
    """The ledger of a model, in reading order: embeddings, stacks, head; with what it `saves` for its backward pass.

    It is made once and kept with the spec, since most answers ask for it several times. Raises `RequestError` where what is
    saved is asked of a block of which nobody has recorded what it keeps.
    """
    found: Ledger | None = spec.made.get(saves)
    if found is None:
        towers = tuple(group for tower in spec.towers or () for group in tower.groups())
        found = Ledger(
            spec.name, tuple(_groups(spec, saves=saves)), spec.audio_frames, spec.assumed is not None, towers
        )
        spec.made[saves] = found
    return found


def run_of(spec: ModelSpec, context: int, source: int | None = None, target: int | None = None) -> Run:
    """The run of one sequence: `context` tokens, or in an encoder-decoder `source` and `target` where given."""
    match spec.kind:
        case "decoder":
            return Run(target=context)
        case "encoder":
            return Run(target=0, source=context)
        case "encoder-decoder":
            read = spec.audio_frames or (context if source is None else source)
            return Run(target=context if target is None else target, source=read)


_FIRST: Final[dict[Part, tuple[Role, ...]]] = {
    "attention": ("q", "k", "v", "q_down", "kv_down", "gates", "in", "index_q", "index_k", "index_weights"),
    "feed_forward": ("up", "gate", "shared_up", "shared_gate", "router", "latent_down"),
}
"""The matrices that read the input of a sub-layer, by role."""


class _Place(NamedTuple):
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

    def subset(self, part: Subset) -> _Place:
        """Where a part of what stands here stands."""
        if part.once:
            return _Place("stack" if part.throughout else "start", block=self.block)
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


_START, _END = _Place(), _Place("end")


class _Stack(NamedTuple):
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

    def place(self, sub_layer: SubLayer = "none", number: int = 0) -> _Place:
        """All of its layers."""
        block = Block("decoder" if self.site.causal else "encoder", sub_layer, number)
        return _Place(Every(), self.site.layers, self.copies, block)

    def sub_layers(self) -> Iterator[_SubLayer]:
        """Its sub-layers. A decoder that reads an encoder attends to it between its own attention and feed-forward."""
        for label, mixer, place in self._dealt(self.mixers, "mixer"):
            yield _SubLayer("self_attention" if self.two else label, mixer, self.site, place)
        if self.site.causal and (self.two or self.spec.idle_cross_attention):
            cross = self.site._replace(keys="source", causal=False)
            yield _SubLayer("cross_attention", seeing_all(self.mixers[0]), cross, self.place("cross-attention"))
        for label, feed_forward, place in self._dealt(self.feed_forwards, "feed-forward"):
            yield _SubLayer(label, feed_forward, self.site, place)

    def _dealt(self, blocks: tuple[Dealt, ...], sub_layer: SubLayer) -> Iterator[tuple[str, Dealt, _Place]]:
        """Each block with its name and the layers that it stands in: those it claims, or those that no other does."""
        ons = tuple(block.on for block in blocks if block.on is not None)
        for number, (label, block) in enumerate(labelled(blocks)):
            place = self.place(sub_layer, number)
            if ons:
                where: Layers = Rest(ons) if block.on is None else block.on
                layers = named(f"{label}_layers", where.count(self.site.layers))
                place = place._replace(where=where, layers=layers, copies=None)
            yield label, block, place


class _SubLayer(NamedTuple):
    """A block of a stack: its name, its site, and where it stands."""

    name: str
    block: Mixer | Mlp
    stack: LayerContext
    place: _Place

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

    def stored(self) -> Iterator[Entry]:
        """Its weights alone, where nothing is run through it."""
        for entry in self.lower():
            if isinstance(entry, Matmul):
                yield entry._replace(used=0)
            elif isinstance(entry, Vector):
                yield entry

    def saves(self, spec: ModelSpec) -> Iterator[Saved | Subset]:
        """Its input, what it keeps within, and the mask of the dropout behind it."""
        site, sub_layer = self.site, self.place.block.sub_layer
        part: Part = "feed_forward" if sub_layer == "feed-forward" else "attention"
        if not isinstance(self.block, Saving):
            raise unrecorded(f"{site.name} of {spec.name}")
        if spec.norm.place != "parallel" or sub_layer == "cross-attention":
            yield Saved(f"{site.name}.input", part, site.stream, site.d_model, "product", read_by=_FIRST[part])
        yield from self.block.saves(site)
        yield Saved(f"{site.name}.dropout", part, site.stream, site.d_model, "mask", dropout=True)

    def normed(self, spec: ModelSpec) -> _Place:
        """The layers that have a norm of their own beside it."""
        if not (spec.norm.skips_first and self.name == "attention"):
            return self.place
        assert not isinstance(self.place.where, str)
        return self.place._replace(where=ButFirst(self.place.where), layers=self.place.layers - 1)


def _groups(spec: ModelSpec, *, saves: bool) -> Iterator[Group]:
    last: Stream = "source" if spec.kind == "encoder" else "target"
    stacks = tuple(_stacks(spec))
    yield from _START.groups(_embeddings(spec, last))
    if saves:
        for stack in stacks:
            yield from _START.groups(_embedding_saves(stack))
    if spec.layer_input is not None:
        yield from stacks[0].place().groups(spec.layer_input.lower(stacks[0].site))
    for stack in stacks:
        yield from _stack_groups(stack, saves=saves)
        if saves and stack.two and not stack.site.causal:
            yield from _START.groups([Saved("encoder.output", "attention", "source", spec.d_model, keeping=ALWAYS)])
    yield from _END.groups(_head(spec, last))
    if saves:
        yield from _END.groups(_head_saves(spec, last))


def _stacks(spec: ModelSpec) -> Iterator[_Stack]:
    d = spec.d_model
    match spec.kind:
        case "decoder":
            yield _Stack(spec, LayerContext("", d, spec.layers, "target", "target", causal=True), spec.unique_layers)
        case "encoder":
            yield _Stack(spec, LayerContext("", d, spec.layers, "source", "source", causal=False), spec.unique_layers)
        case "encoder-decoder":
            encoder = LayerContext("encoder.", d, spec.encoder_layers(), "source", "source", causal=False)
            decoder = LayerContext("decoder.", d, spec.layers, "target", "target", causal=True)
            yield _Stack(spec, encoder, None, spec.encoder)
            yield _Stack(spec, decoder, spec.unique_layers)


def _stack_groups(stack: _Stack, *, saves: bool) -> Iterator[Group]:
    """One stack of layers: positions, sub-layers, and the norms beside, around and behind them."""
    spec, site, bare = stack.spec, stack.site, stack.place()
    if saves:
        yield from bare.groups(_layer_saves(spec, site))
    yield from bare.groups(_positions(stack, saves=saves))
    sub_layers = tuple(stack.sub_layers())
    if saves and spec.idle_cross_attention:
        raise unrecorded("a decoder with attention to an encoder that it does without")
    for part in sub_layers:
        idle = spec.idle_cross_attention and part.place.block.sub_layer == "cross-attention"
        yield from part.place.groups(part.stored() if idle else part.lower())
        if saves:
            yield from part.place.groups(part.saves(spec))
    if saves and spec.layer_input is not None:
        yield from bare.groups(spec.layer_input.saves(site))
    norm, behind = spec.norm, _END._replace(block=bare.block)
    yield from _streams(stack, sub_layers, saves=saves)
    for part in sub_layers:
        here = part.normed(spec)._replace(block=bare.block)
        yield from here.groups(norm.lower(site, part.name))
        if saves:
            yield from here.groups(norm.saves(site, part.name))
    yield from bare.groups(norm.lower_layer(site))
    yield from behind.groups(norm.lower_final(site))
    yield from bare.groups(norm.lower_scale(site))
    if saves:
        yield from bare.groups(norm.saves_layer(site))
        yield from behind.groups(norm.saves_final(site))


def _streams(stack: _Stack, sub_layers: Sequence[_SubLayer], *, saves: bool) -> Iterator[Group]:
    """What makes each sub-layer's input of several residual streams, and what is left of them behind the last layer."""
    streams, bare = stack.spec.streams, stack.place()
    if streams is None:
        return
    if saves:
        raise unrecorded(f"a model with {streams.count} residual streams")
    for part in sub_layers:
        kind: Part = "feed_forward" if part.place.block.sub_layer == "feed-forward" else "attention"
        here = part.place._replace(block=bare.block)
        yield from here.groups(streams.lower(stack.site, part.name, kind))
    yield from bare.groups(streams.lower_layer(stack.site))
    yield from _END._replace(block=bare.block).groups(streams.lower_end(stack.site))


def _layer_saves(spec: ModelSpec, site: LayerContext) -> Iterator[Saved]:
    """A layer's input, where it is computed again whole; and the normed input that its sub-layers share side by side."""
    yield Saved(f"{site.name}layer.input", "norm", site.stream, site.d_model, "residual", keeping=("full",))
    if spec.norm.place == "parallel":
        yield Saved(f"{site.name}layer.normed", "norm", site.stream, site.d_model, "product")


def _positions(stack: _Stack, *, saves: bool) -> Iterator[Entry | Saved | Subset]:
    """Tables of positions and what layers score distances with; of sounds, the convolutions that stand in their place."""
    spec, site, own = stack.spec, stack.site, stack.own
    widths = next((mixer.widths(site.d_model) for mixer in attentions(stack.mixers)), None)
    if own is not None and own.mel_bins is not None and own.frames is not None:
        yield Subset(tuple(_hearing(site, own.mel_bins, own.frames)), once=True)
    else:
        added = site._replace(d_model=spec.embedding_widths()[1]) if spec.positions.kind == "learned" else site
        yield from spec.positions.lower(added, widths, spec.context)
    if saves and spec.positions.kind in {"relative", "disentangled"}:
        assert widths is not None, "the spec's own check asks for heads"
        yield from spec.positions.saves(site, widths)


def _embeddings(spec: ModelSpec, stream: Stream) -> Iterator[Entry]:
    tokens, added = spec.embedding_widths()
    two_stacks = spec.kind == "encoder-decoder"
    tables = 2 if two_stacks and not spec.embedding.shared else 1
    rows = spec.vocabulary if spec.embedding.more_rows is None else spec.vocabulary + spec.embedding.more_rows
    yield Lookup(
        "embedding.tokens", "embedding", "embedding", rows, tokens, Cut(rows, otherwise="padded"), stored=tables
    )
    if spec.embedding.segments is not None:
        yield Lookup("embedding.segments", "segments", "embedding", spec.embedding.segments, added)
    if spec.embedding.mask:
        yield Vector("embedding.mask", "mask", "embedding", tokens)
    if spec.norm.embedding:
        yield Vector("norm.embedding", "norm", "norm", spec.norm.width(added), stored=2 if two_stacks else 1)
    if spec.embedding.width is not None:
        biased, many = spec.embedding.projects != "tokens", 3 if spec.embedding.projects == "trigrams" else 1
        yield Matmul("embedding.projection", "projection", "embedding", stream, many * tokens, spec.d_model, biased)


def _embedding_saves(stack: _Stack) -> Iterator[Saved]:
    """The tokens, what a norm behind the table keeps, the mask of its dropout, and what a projection multiplies."""
    spec, site = stack.spec, stack.site
    if stack.own is not None and stack.own.mel_bins is not None:
        yield from _hearing_saves(site, stack.own.mel_bins)
        return
    tokens, added = spec.embedding_widths()
    kept = Saved(f"{site.name}embedding.tokens", "embedding", site.stream, 1, keeping=ALWAYS)
    yield kept._replace(number="index", gathered=True)
    if spec.norm.embedding:
        yield from spec.norm.saves_one(f"{site.name}norm.embedding", site.stream, added, "embedding")
    yield kept._replace(name=f"{site.name}embedding.dropout", width=added, number="mask", dropout=True)
    if spec.embedding.width is not None:
        yield kept._replace(name=f"{site.name}embedding.projection.input", width=tokens)


def _hearing(site: LayerContext, mel_bins: int, frames: int) -> Iterator[Entry]:
    """Whisper's two convolutions of length 3, as matrices (the first yields two frames for each position), and its sines."""
    d = site.d_model
    yield Matmul(f"{site.name}conv_1", "conv", "embedding", site.stream, 3 * mel_bins, d, bias=True, used=2)
    yield Matmul(f"{site.name}conv_2", "conv", "embedding", site.stream, 3 * d, d, bias=True)
    yield Lookup(f"{site.name}embedding.sines", "positions", "positions", frames, d, trained=False)


def _hearing_saves(site: LayerContext, mel_bins: int) -> Iterator[Saved]:
    """The spectrogram, of two frames a position, and what goes into and comes out of each GELU behind a convolution.

    Every device of tensor parallelism has the convolutions whole, and all that they read.
    """
    d, name = site.d_model, f"{site.name}embedding"
    for what, width in (("spectrogram", 2 * mel_bins), ("conv_1", 2 * d), ("conv_2.input", 2 * d), ("conv_2", d)):
        yield Saved(f"{name}.{what}", "embedding", site.stream, width, keeping=ALWAYS, gathered=True)
    yield Saved(f"{name}.dropout", "embedding", site.stream, d, "mask", keeping=ALWAYS, dropout=True)


def seeing_all(mixer: Mixer) -> Mixer:
    """The same mixer without its window: a window is a stretch of its own sequence, not of another's."""
    if isinstance(mixer, Attention):
        return replace(mixer, window=None, pattern=None, chunked=False)
    return mixer


Dealt = TypeVar("Dealt", "Mixer", "Mlp")


def _head(spec: ModelSpec, stream: Stream) -> Iterator[Entry]:
    d, head = spec.d_model, spec.head
    width, _ = spec.embedding_widths()
    yield from _classifier(spec, stream)
    if spec.embedding.width is not None and spec.embedding.projects == "tokens":
        yield Matmul("head.projection", "projection", "head", stream, d, width)
    match head.kind:
        case "none":
            return
        case "discriminator":
            yield Matmul("head.transform", "transform", "head", stream, d, d, bias=True)
            yield Matmul("head.verdict", "classes", "head", stream, d, 1, bias=True)
            return
        case "masked":
            width = width if head.width is None else head.width
            if head.transform != "none":
                biased, wide = head.transform == "biased", width if head.further is None else width + head.further
                yield Matmul("head.transform", "transform", "head", stream, d, wide, bias=biased)
                yield Vector("head.norm", "norm", "head", spec.norm.width(wide))
            if head.further is not None:
                cut = Cut(spec.vocabulary, otherwise="padded")
                yield Matmul("head.further", "head", "head", stream, head.further, spec.vocabulary, cut=cut)
        case "language-model":
            pass  # the projection alone
        case _:
            assert_never(head.kind)
    by_word = Cut(spec.vocabulary, otherwise="padded")
    stored = 0 if spec.tied else 1
    yield Matmul("head", "head", "head", stream, width, spec.vocabulary, cut=by_word, stored=stored)
    if head.bias:
        yield Vector("head.bias", "bias", "head", spec.vocabulary, by_word)


def _classifier(spec: ModelSpec, stream: Stream) -> Iterator[Entry]:
    """What stands on the last layer beside a projection to the vocabulary: contacts, a pooler, classes behind it or a transform."""
    d, head = spec.d_model, spec.head
    if head.contacts:
        heads = next(attentions(spec.mixers)).widths(d).heads
        yield Vector("head.contacts", "contacts", "head", spec.layers * heads + 1)
    if head.pooler:
        yield Matmul("head.pooler", "pooler", "head", "once", d, d, bias=True)
    if head.classes is not None:
        read: Stream = stream if head.per_token else "once"
        if head.transform == "plain" and head.kind == "none":
            yield Matmul("head.transform", "transform", "head", read, d, d)
            yield Vector("head.norm", "norm", "head", spec.norm.width(d))
        yield Matmul("head.classes", "classes", "head", read, d, head.classes, bias=head.classes_bias)


def _transform_saves(spec: ModelSpec, stream: Stream, width: int) -> Iterator[Saved]:
    """What the transform of a masked head saves before its table."""
    if spec.head.transform == "none":
        if spec.embedding.width is not None:
            raise unrecorded("a masked head without a transform, on an embedding of a width of its own,")
        return
    yield Saved("head.transform.input", "head", stream, spec.d_model, keeping=ALWAYS, role="head")
    yield Saved("head.transform", "head", stream, width, keeping=ALWAYS)
    yield from spec.norm.saves_one("head.norm", stream, width, "head")


def _head_saves(spec: ModelSpec, stream: Stream) -> Iterator[Saved]:
    """What the head multiplies, and the logarithms of the probabilities, in 32 bits; the loss needs the words too."""
    d, head = spec.d_model, spec.head
    width, _ = spec.embedding_widths()

    def saved(what: str, numbers: int) -> Saved:
        multiplied: Role | None = "head" if what.endswith("input") else None
        return Saved(f"head.{what}", "head", stream, numbers, keeping=ALWAYS, role=multiplied)

    if head.pooler:
        yield Saved("head.pooler", "head", "once", d, keeping=ALWAYS)
    if head.classes is not None and not head.pooler:
        raise unrecorded("a classifier on the last layer")
    if head.classes is not None:
        yield Saved("head.classes", "head", "once", head.classes, "fp32", keeping=ALWAYS)
    match head.kind:
        case "none":
            return
        case "discriminator":
            for what, numbers in (("transform.input", d), ("transform", d), ("input", d)):
                yield saved(what, numbers)
            yield saved("logits", 1)._replace(number="fp32", role="logits")
            yield saved("replaced", 1)._replace(number="fp32")  # the loss needs which words were, in its own format
            return
        case "masked":
            if head.further is not None or spec.embedding.projects == "trigrams":
                raise unrecorded("a head that reads more channels than the token embedding has")
            width = width if head.width is None else head.width
            yield from _transform_saves(spec, stream, width)
        case "language-model":
            if spec.embedding.width is not None and spec.embedding.projects == "tokens":
                yield saved("projection.input", d)
    yield saved("input", width)
    by_word = Cut(spec.vocabulary, otherwise="padded")
    yield saved("logits", spec.vocabulary)._replace(number="fp32", cut=by_word, role="logits")
    yield saved("words", 1)._replace(number="index", gathered=True)
