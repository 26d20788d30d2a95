"""What stands before and behind the stacks of a model: tables, convolutions of sounds, and heads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from tscale.blocks import attentions
from tscale.blocks.fields import LayerContext, unrecorded
from tscale.blocks.text_pieces import in_text
from tscale.core.ledger import ALWAYS, Cut, Entry, Lookup, Matmul, Saved, Stream, Vector
from tscale.core.roles import Role
from tscale.models.spec import Head, ModelSpec
from tscale.models.stack import Stack


def embedding_entries(spec: ModelSpec, stream: Stream) -> Iterator[Entry]:
    """Tables of tokens and segments, the norm behind them, and the projection to the width of the stack."""
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
        yield spec.norm.vector("norm.embedding", added)._replace(stored=2 if two_stacks else 1)
    yield from in_text(spec.embedding.pieces, "embedding", stream, "embedding")
    if spec.embedding.width is not None:
        biased, many = spec.embedding.projects != "tokens", 3 if spec.embedding.projects == "trigrams" else 1
        yield Matmul("embedding.projection", "projection", "embedding", stream, many * tokens, spec.d_model, biased)


def embedding_saves(stack: Stack) -> Iterator[Saved]:
    """The tokens, what a norm behind the table keeps, the mask of its dropout, and what a projection multiplies."""
    spec, site = stack.spec, stack.site
    if stack.own is not None and stack.own.mel_bins is not None:
        yield from _hearing_saves(site, stack.own.mel_bins)
        return
    if spec.embedding.pieces:
        raise unrecorded("an embedding with parts of its own")
    tokens, added = spec.embedding_widths()
    kept = Saved(f"{site.name}embedding.tokens", "embedding", site.stream, 1, keeping=ALWAYS)
    yield kept._replace(number="index", gathered=True)
    if spec.norm.embedding:
        yield from spec.norm.saves_one(f"{site.name}norm.embedding", site.stream, added, "embedding")
    yield kept._replace(name=f"{site.name}embedding.dropout", width=added, number="mask", dropout=True)
    if spec.embedding.width is not None:
        yield kept._replace(name=f"{site.name}embedding.projection.input", width=tokens)


def hearing_entries(site: LayerContext, mel_bins: int, frames: int) -> Iterator[Entry]:
    """Whisper's two convolutions of length 3, as matrices (the first yields two frames for each position), and its sines."""
    d = site.d_model
    yield Matmul(f"{site.name}conv_1", "conv", "embedding", site.stream, 3 * mel_bins, d, bias=True, conv=True, used=2)
    yield Matmul(f"{site.name}conv_2", "conv", "embedding", site.stream, 3 * d, d, bias=True, conv=True)
    yield Lookup(f"{site.name}embedding.sines", "positions", "positions", frames, d, trained=False)


def _hearing_saves(site: LayerContext, mel_bins: int) -> Iterator[Saved]:
    """The spectrogram, of two frames a position, and what goes into and comes out of each GELU behind a convolution.

    Every device of tensor parallelism has the convolutions whole, and all that they read.
    """
    d, name = site.d_model, f"{site.name}embedding"
    for what, width in (("spectrogram", 2 * mel_bins), ("conv_1", 2 * d), ("conv_2.input", 2 * d), ("conv_2", d)):
        yield Saved(f"{name}.{what}", "embedding", site.stream, width, keeping=ALWAYS, gathered=True)
    yield Saved(f"{name}.dropout", "embedding", site.stream, d, "mask", keeping=ALWAYS, dropout=True)


def words_of(spec: ModelSpec) -> int:
    """Words that the head can answer with: the vocabulary, or as many of it as the head says."""
    return spec.vocabulary if spec.head.words is None else spec.head.words


def losses_of(spec: ModelSpec) -> int:
    """How many words each position predicts: the next one, and one for each module that predicts a further one."""
    return 1 + (spec.mtp or 0)


def head_entries(spec: ModelSpec, stream: Stream) -> Iterator[Entry]:
    """What turns the last layer's output into an answer."""
    d, head = spec.d_model, spec.head
    width, _ = spec.embedding_widths()
    yield from _classifier(spec, stream)
    yield from in_text(head.pieces, "head", stream, "head")
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
                yield spec.norm.vector("head.norm", wide, "head")
            if head.further is not None:
                cut = Cut(spec.vocabulary, otherwise="padded")
                yield Matmul("head.further", "head", "head", stream, head.further, spec.vocabulary, cut=cut)
        case "language-model":
            pass  # the projection alone
        case _:
            assert_never(head.kind)
    answers = words_of(spec)
    by_word = Cut(answers, otherwise="padded")
    stored = 0 if spec.tied else 1
    words = Matmul("head", "head", "head", stream, width, answers, cut=by_word, stored=stored, used=losses_of(spec))
    yield spec.streams.read(words) if spec.streams is not None and spec.streams.kind == "predicting" else words
    if head.bias:
        yield Vector("head.bias", "bias", "head", answers, by_word)


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
            yield spec.norm.vector("head.norm", d, "head")
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


def _refuse_unrecorded(head: Head) -> None:
    """Raises `RequestError` for a head of which nobody has recorded what it keeps."""
    if head.pieces:
        raise unrecorded("a head with parts of its own")
    if head.classes is not None and not head.pooler and not _scores(head):
        raise unrecorded("a classifier on the last layer")


def _scores(head: Head) -> bool:
    """Whether each position is given numbers by one matrix, as a reward or value model does."""
    return head.kind == "none" and head.per_token and head.transform != "plain"


def head_saves(spec: ModelSpec, stream: Stream) -> Iterator[Saved]:
    """What the head multiplies, and the logarithms of the probabilities, in 32 bits; the loss needs the words too."""
    d, head = spec.d_model, spec.head
    _refuse_unrecorded(head)
    width, _ = spec.embedding_widths()

    def saved(what: str, numbers: int) -> Saved:
        multiplied: Role | None = "head" if what.endswith("input") else None
        return Saved(f"head.{what}", "head", stream, numbers, keeping=ALWAYS, role=multiplied, used=losses_of(spec))

    if head.pooler:
        yield Saved("head.pooler", "head", "once", d, keeping=ALWAYS)
    if head.classes is not None:
        read: Stream = stream if _scores(head) else "once"
        if _scores(head):
            yield saved("input", d)
        yield Saved("head.classes", "head", read, head.classes, "fp32", keeping=ALWAYS)
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
    answers = words_of(spec)
    by_word = Cut(answers, otherwise="padded")
    yield saved("logits", answers)._replace(number="fp32", cut=by_word, role="logits")
    yield saved("words", 1)._replace(number="index", gathered=True)
