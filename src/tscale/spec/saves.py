"""From a spec to what its forward pass keeps for its backward pass: which stacks there are; the blocks know what they keep.

It is apart from the ledger's lowering, since only the memory of training asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from tscale.blocks import Disentangled, Relative, attentions
from tscale.blocks.fields import Site, unrecorded
from tscale.core.ledger import ALWAYS, Cut, Part, Saved, Stream
from tscale.spec.lower import dealt, seeing_all
from tscale.spec.model import Encoder, ModelSpec


@runtime_checkable
class Saving(Protocol):
    """A block that says what it keeps."""

    def saves(self, site: Site) -> Iterator[Saved]:
        """What one layer's forward pass keeps, apart from the block's own input."""


def saves(spec: ModelSpec) -> tuple[Saved, ...]:
    """What a model's forward pass keeps for its backward pass, in reading order.

    Raises `RequestError` for a block of which nobody has recorded what it keeps.
    """
    return tuple(_saves(spec))


def _saves(spec: ModelSpec) -> Iterator[Saved]:
    d = spec.d_model
    if spec.kind == "encoder-decoder":
        layers = spec.encoder_layers()
        encoder = Site("encoder.", d, layers, layers, "source", "source", causal=False)
        decoder = Site("decoder.", d, spec.layers, spec.layers, "target", "target", causal=True)
        if spec.encoder is not None and spec.encoder.mel_bins is not None:
            yield from _hearing(encoder, spec.encoder.mel_bins)
        else:
            yield from _embedding(spec, encoder)
        yield from _embedding(spec, decoder)
        yield from _stack(spec, encoder, spec.encoder)
        yield Saved("encoder.output", "attention", "source", d, 1, keeping=ALWAYS)
        yield from _stack(spec, decoder)
        yield from _head(spec, "target")
        return
    stream: Stream = "source" if spec.kind == "encoder" else "target"
    site = Site("", d, spec.layers, spec.layers, stream, stream, causal=spec.kind == "decoder")
    yield from _embedding(spec, site)
    yield from _stack(spec, site)
    yield from _head(spec, stream)


def _embedding(spec: ModelSpec, site: Site) -> Iterator[Saved]:
    tokens, added = spec.embedding_widths()
    name = f"{site.name}embedding"

    def saved(what: str, width: int) -> Saved:
        return Saved(f"{name}.{what}", "embedding", site.stream, width, 1, keeping=ALWAYS)

    yield saved("tokens", 1)._replace(number="index", gathered=True)
    if spec.norm.embedding:
        yield from spec.norm.saves_one(f"{site.name}norm.embedding", site.stream, added, 1, "embedding")
    yield saved("dropout", added)._replace(number="mask", dropout=True)
    if spec.embedding.width is not None:
        yield saved("projection.input", tokens)


def _hearing(site: Site, mel_bins: int) -> Iterator[Saved]:
    """The spectrogram, of two frames a position, and what goes into and comes out of each GELU behind a convolution.

    Every device of tensor parallelism has the convolutions whole, and all that they read.
    """
    d, name = site.d_model, f"{site.name}embedding"
    for what, width in (("spectrogram", 2 * mel_bins), ("conv_1", 2 * d), ("conv_2.input", 2 * d), ("conv_2", d)):
        yield Saved(f"{name}.{what}", "embedding", site.stream, width, 1, keeping=ALWAYS, gathered=True)
    yield Saved(f"{name}.dropout", "embedding", site.stream, d, 1, "mask", keeping=ALWAYS, dropout=True)


def _stack(spec: ModelSpec, site: Site, own: Encoder | None = None) -> Iterator[Saved]:
    """What one stack of layers keeps: every sub-layer's input, one for both where they run side by side, and its own."""
    mixers = (own.attention,) if own and own.attention else spec.mixers
    feed_forwards = (own.feed_forward,) if own and own.feed_forward else spec.feed_forwards
    two_stacks = spec.kind == "encoder-decoder"
    used: dict[str, int] = {}
    parallel = spec.norm.place == "parallel"
    yield Saved(f"{site.name}layer.input", "norm", site.stream, site.d_model, site.used, "residual", keeping=("full",))
    if parallel:
        yield Saved(f"{site.name}layer.normed", "norm", site.stream, site.d_model, site.used)
    if isinstance(spec.positions, Relative | Disentangled):
        widths = next(mixer.widths(site.d_model) for mixer in attentions(mixers))
        yield from spec.positions.saves(site, widths)
    for label, mixer, place in dealt(mixers, site):
        name = "self_attention" if two_stacks else label
        used[name] = place.used
        yield from _sub_layer(spec, mixer, place._replace(name=f"{site.name}{name}"), "attention", parallel=parallel)
    if two_stacks and site.causal:
        used["cross_attention"] = site.used
        cross = site._replace(name=f"{site.name}cross_attention", keys="source", causal=False)
        yield from _sub_layer(spec, seeing_all(mixers[0]), cross, "attention", parallel=False)
    for label, feed_forward, place in dealt(feed_forwards, site):
        used[label] = place.used
        inner = place._replace(name=f"{site.name}{label}")
        yield from _sub_layer(spec, feed_forward, inner, "feed_forward", parallel=parallel)
    if spec.layer_input is not None:
        yield from spec.layer_input.saves(site)
    yield from spec.norm.saves(site, used)


def _sub_layer(spec: ModelSpec, block: object, site: Site, part: Part, *, parallel: bool) -> Iterator[Saved]:
    """A sub-layer's input, what it keeps within, and the mask of the dropout behind it."""
    if not isinstance(block, Saving):
        raise unrecorded(f"{site.name} of {spec.name}")
    if not parallel:
        yield Saved(f"{site.name}.input", part, site.stream, site.d_model, site.used)
    yield from block.saves(site)
    yield Saved(f"{site.name}.dropout", part, site.stream, site.d_model, site.used, "mask", dropout=True)


def _head(spec: ModelSpec, stream: Stream) -> Iterator[Saved]:
    """What the head multiplies, and the logarithms of the probabilities, in 32 bits; the loss needs the words too."""
    d, head = spec.d_model, spec.head
    width, _ = spec.embedding_widths()

    def saved(what: str, numbers: int) -> Saved:
        return Saved(f"head.{what}", "head", stream, numbers, 1, keeping=ALWAYS)

    if head.pooler:
        yield Saved("head.pooler", "head", "once", d, 1, keeping=ALWAYS)
    if head.classes is not None:
        yield Saved("head.classes", "head", "once", head.classes, 1, "fp32", keeping=ALWAYS)
    match head.kind:
        case "none":
            return
        case "discriminator":
            for what, numbers in (("transform.input", d), ("transform", d), ("input", d)):
                yield saved(what, numbers)
            for what in ("logits", "replaced"):  # the loss needs which words were replaced as numbers of its own format
                yield saved(what, 1)._replace(number="fp32")
            return
        case "masked":
            if head.transform == "none" and spec.embedding.width is not None:
                raise unrecorded("a masked head without a transform, on an embedding of a width of its own,")
            width = width if head.width is None else head.width
            if head.transform != "none":
                yield saved("transform.input", d)
                yield saved("transform", width)
                yield from spec.norm.saves_one("head.norm", stream, width, 1, "head")
        case "language-model":
            if spec.embedding.width is not None and spec.embedding.projects == "tokens":
                yield saved("projection.input", d)
    yield saved("input", width)
    by_word = Cut(spec.vocabulary, otherwise="padded")
    yield saved("logits", spec.vocabulary)._replace(number="fp32", cut=by_word)
    yield saved("words", 1)._replace(number="index", gathered=True)
