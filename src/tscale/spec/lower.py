"""From a spec to its ledger: which stacks, tables and heads there are; the blocks write their own entries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar, assert_never

from tscale.blocks import Attention, Mixer, Mlp, attentions
from tscale.blocks.fields import Site
from tscale.core.ledger import Cut, Entry, Ledger, Lookup, Matmul, Stream, Vector
from tscale.core.numbers import named
from tscale.core.run import Run
from tscale.spec.model import Encoder, ModelSpec, labelled


def lower(spec: ModelSpec) -> Ledger:
    """The ledger of a model, in reading order: embeddings, stacks, head."""
    return Ledger(spec.name, tuple(_entries(spec)), spec.heard)


def run_of(spec: ModelSpec, context: int, source: int | None = None, target: int | None = None) -> Run:
    """The run of one sequence: `context` tokens, or in an encoder-decoder `source` and `target` where given."""
    match spec.kind:
        case "decoder":
            return Run(target=context)
        case "encoder":
            return Run(target=0, source=context)
        case "encoder-decoder":
            read = spec.heard or (context if source is None else source)
            return Run(target=context if target is None else target, source=read)


def _entries(spec: ModelSpec) -> Iterator[Entry]:
    d = spec.d_model
    last: Stream = "source" if spec.kind == "encoder" else "target"
    yield from _embeddings(spec, last)
    stored = spec.unique_layers or spec.layers
    match spec.kind:
        case "decoder":
            site = Site("", d, stored, spec.layers, "target", "target", causal=True)
            if spec.layer_input is not None:
                yield from spec.layer_input.lower(site)
            yield from _stack(spec, site)
        case "encoder":
            yield from _stack(spec, Site("", d, stored, spec.layers, "source", "source", causal=False))
        case "encoder-decoder":
            layers = spec.encoder_layers()
            yield from _stack(spec, Site("encoder.", d, layers, layers, "source", "source", causal=False), spec.encoder)
            yield from _stack(spec, Site("decoder.", d, stored, spec.layers, "target", "target", causal=True))
    yield from _head(spec, last)


def _embeddings(spec: ModelSpec, stream: Stream) -> Iterator[Entry]:
    tokens, added = spec.embedding_widths()
    two_stacks = spec.kind == "encoder-decoder"
    tables = 2 if two_stacks and not spec.embedding.shared else 1
    by_row = Cut(spec.vocabulary, otherwise="padded")
    yield Lookup("embedding.tokens", "embedding", spec.vocabulary, tokens, tables, by_row)
    if spec.embedding.segments is not None:
        yield Lookup("embedding.segments", "embedding", spec.embedding.segments, added, 1)
    if spec.embedding.mask:
        yield Vector("embedding.mask", "embedding", tokens, 1)
    if spec.norm.embedding:
        yield Vector("norm.embedding", "norm", spec.norm.width(added), 2 if two_stacks else 1)
    if spec.embedding.width is not None:
        biased = spec.embedding.projects == "sum"
        yield Matmul("embedding.projection", "embedding", stream, tokens, spec.d_model, 1, 1, biased)


def _stack(spec: ModelSpec, site: Site, own: Encoder | None = None) -> Iterator[Entry]:
    """One stack of layers. A decoder that reads an encoder attends to it between its own attention and feed-forward."""
    mixers = (own.attention,) if own and own.attention else spec.mixers
    feed_forwards = (own.feed_forward,) if own and own.feed_forward else spec.feed_forwards
    two_stacks = spec.kind == "encoder-decoder"
    normed: dict[str, int] = {}
    widths = next((mixer.widths(site.d_model) for mixer in attentions(mixers)), None)
    if own is not None and own.mel_bins is not None and own.frames is not None:
        yield from _hearing(site, own.mel_bins, own.frames)
    else:
        added = site._replace(d_model=spec.embedding_widths()[1]) if spec.positions.kind == "learned" else site
        yield from spec.positions.lower(added, widths, spec.context)
    for label, mixer, place in dealt(mixers, site):
        name = "self_attention" if two_stacks else label
        normed[name] = place.stored
        yield from mixer.lower(place._replace(name=f"{site.name}{name}"), caches=site.causal)
    if two_stacks and site.causal:
        normed["cross_attention"] = site.stored
        cross = site._replace(name=f"{site.name}cross_attention", keys="source", causal=False)
        yield from seeing_all(mixers[0]).lower(cross, caches=True)
    for label, feed_forward, place in dealt(feed_forwards, site):
        normed[label] = place.stored
        yield from feed_forward.lower(place._replace(name=f"{site.name}{label}"))
    yield from spec.norm.lower(site, normed)


def _hearing(site: Site, mel_bins: int, frames: int) -> Iterator[Entry]:
    """Whisper's two convolutions of length 3, as matrices (the first yields two frames for each position), and its sines."""
    d = site.d_model
    yield Matmul(f"{site.name}conv_1", "embedding", site.stream, 3 * mel_bins, d, 1, 2, bias=True)
    yield Matmul(f"{site.name}conv_2", "embedding", site.stream, 3 * d, d, 1, 1, bias=True)
    yield Lookup(f"{site.name}embedding.sines", "positions", frames, d, 1, trained=False)


def seeing_all(mixer: Mixer) -> Mixer:
    """The same mixer without its window: a window is a stretch of its own sequence, not of another's."""
    if isinstance(mixer, Attention):
        return replace(mixer, window=None, pattern=None, chunked=False)
    return mixer


Block = TypeVar("Block", bound=Mixer | Mlp)


def dealt(blocks: tuple[Block, ...], site: Site) -> Iterator[tuple[str, Block, Site]]:
    """Each block with its name and the layers that it stands in: those it claims, or those that no other does."""
    claimed = sum(block.on.count(site.used) for block in blocks if block.on is not None)
    for label, block in labelled(blocks):
        if len(blocks) == 1 and block.on is None:
            yield label, block, site
            continue
        layers = named(f"{label}_layers", site.used - claimed if block.on is None else block.on.count(site.used))
        yield label, block, site._replace(stored=layers, used=layers)


def _head(spec: ModelSpec, stream: Stream) -> Iterator[Entry]:
    d, head = spec.d_model, spec.head
    width, _ = spec.embedding_widths()
    if head.contacts:
        heads = next(attentions(spec.mixers)).widths(d).heads
        yield Vector("head.contacts", "head", spec.layers * heads + 1, 1)
    if head.pooler:
        yield Matmul("head.pooler", "head", "once", d, d, 1, 1, bias=True)
    if head.classes is not None:
        yield Matmul("head.classes", "head", "once", d, head.classes, 1, 1, bias=True)
    if spec.embedding.width is not None and spec.embedding.projects == "tokens":
        yield Matmul("head.projection", "head", stream, d, width, 1, 1)
    match head.kind:
        case "none":
            return
        case "discriminator":
            yield Matmul("head.transform", "head", stream, d, d, 1, 1, bias=True)
            yield Matmul("head.verdict", "head", stream, d, 1, 1, 1, bias=True)
            return
        case "masked":
            width = width if head.width is None else head.width
            if head.transform != "none":
                yield Matmul("head.transform", "head", stream, d, width, 1, 1, bias=head.transform == "biased")
                yield Vector("head.norm", "head", spec.norm.width(width), 1)
        case "language-model":
            pass  # the projection alone
        case _:
            assert_never(head.kind)
    by_word = Cut(spec.vocabulary, otherwise="padded")
    yield Matmul("head", "head", stream, width, spec.vocabulary, 0 if spec.tied else 1, 1, cut=by_word)
    if head.bias:
        yield Vector("head.bias", "head", spec.vocabulary, 1, by_word)
