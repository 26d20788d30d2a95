"""From a spec to its ledger: which stacks, tables and heads there are; the blocks write their own entries.

One walk yields groups of layers. Asked to, it also tells what each layer saves for its backward pass: only the memory of
training asks for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tscale.blocks import attentions
from tscale.blocks.fields import LayerContext, unrecorded
from tscale.blocks.sub_layer import stored_alone
from tscale.core.ledger import ALWAYS, Entry, Group, Ledger, Part, Saved, Stream, Subset
from tscale.core.tracing import is_nothing
from tscale.core.workload import SequenceLengths, TowerPass
from tscale.models.ends import embedding_entries, embedding_saves, head_entries, head_saves, hearing_entries
from tscale.models.spec import ModelSpec
from tscale.models.stack import END, START, Stack, StackedBlock


def lower(spec: ModelSpec, *, saves: bool = False, media: tuple[TowerPass, ...] = ()) -> Ledger:
    """The ledger of a model, in reading order: embeddings, stacks, head; with what it `saves` for its backward pass.

    `media`: what runs through its towers, which then say what they save too. It is made once and kept with the spec, since most
    answers ask for it several times. Raises `RequestError` where what is saved is asked of a block of which nobody has recorded
    what it keeps.
    """
    run_through = frozenset(one.block for one in media) if saves else frozenset()
    found: Ledger | None = spec.made.get((saves, run_through))
    if found is None:
        towers = tuple(group for tower in spec.towers or () for group in tower.groups(saves=tower.block in run_through))
        groups = tuple(group for group in _groups(spec, saves=saves) if not is_nothing(group.layers))
        found = Ledger(spec.name, groups, spec.audio_frames, spec.assumed is not None, towers)
        spec.made[saves, run_through] = found
    return found


def every_entry(spec: ModelSpec) -> Iterator[Entry]:
    """All that a spec describes, also the blocks that none of its layers has: in a model of two layers, experts from the third on."""
    return (entry for group in _groups(spec, saves=False) for entry in group.entries)


def run_of(spec: ModelSpec, context: int, source: int | None = None, target: int | None = None) -> SequenceLengths:
    """The run of one sequence: `context` tokens, or in an encoder-decoder `source` and `target` where given."""
    match spec.kind:
        case "decoder":
            return SequenceLengths(target=context, images=spec.image_positions)
        case "encoder":
            return SequenceLengths(target=0, source=context)
        case "encoder-decoder":
            read = spec.audio_frames or (context if source is None else source)
            return SequenceLengths(target=context if target is None else target, source=read)


def _groups(spec: ModelSpec, *, saves: bool) -> Iterator[Group]:
    last: Stream = "source" if spec.kind == "encoder" else "target"
    stacks = tuple(_stacks(spec))
    yield from START.groups(embedding_entries(spec, last))
    if saves:
        for stack in stacks:
            yield from START.groups(embedding_saves(stack))
    if spec.layer_input is not None:
        yield from stacks[0].place().groups(spec.layer_input.lower(stacks[0].site))
    for stack in stacks:
        groups = tuple(_stack_groups(stack, saves=saves))
        yield from groups
        if spec.mtp is not None:
            from tscale.models.prediction_modules import module_groups

            yield from module_groups(spec, spec.mtp, stack, groups, saves=saves)
        if saves and stack.two and not stack.site.causal:
            yield from START.groups([Saved("encoder.output", "attention", "source", spec.d_model, keeping=ALWAYS)])
    yield from END.groups(head_entries(spec, last))
    if saves:
        yield from END.groups(head_saves(spec, last))


def _stacks(spec: ModelSpec) -> Iterator[Stack]:
    d = spec.d_model
    match spec.kind:
        case "decoder":
            yield Stack(spec, LayerContext("", d, spec.layers, "target", "target", causal=True), spec.unique_layers)
        case "encoder":
            yield Stack(spec, LayerContext("", d, spec.layers, "source", "source", causal=False), spec.unique_layers)
        case "encoder-decoder":
            encoder = LayerContext("encoder.", d, spec.encoder_layers(), "source", "source", causal=False)
            decoder = LayerContext("decoder.", d, spec.layers, "target", "target", causal=True)
            yield Stack(spec, encoder, None, spec.encoder)
            yield Stack(spec, decoder, spec.unique_layers)


def _stack_groups(stack: Stack, *, saves: bool) -> Iterator[Group]:
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
        found = stored_alone(part.lower()) if idle else part.lower()
        yield from part.place.groups(_run_by(spec, site, found))
        if saves:
            yield from part.place.groups(part.saves(spec))
    if saves and spec.layer_input is not None:
        yield from bare.groups(spec.layer_input.saves(site))
    norm, behind = spec.norm, END._replace(block=bare.block)
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


def _streams(stack: Stack, sub_layers: Sequence[StackedBlock], *, saves: bool) -> Iterator[Group]:
    """What makes each sub-layer's input of several residual streams, and what is left of them behind the last layer."""
    streams, bare = stack.spec.streams, stack.place()
    if streams is None or not stack.site.causal:
        return
    if saves:
        raise unrecorded(f"a model with {streams.count} residual streams")
    for part in sub_layers:
        kind: Part = "feed_forward" if part.place.block.sub_layer == "feed-forward" else "attention"
        here = part.place._replace(block=bare.block)
        yield from here.groups(streams.lower(stack.site, part.name, kind))
    yield from bare.groups(streams.lower_layer(stack.site))
    yield from END._replace(block=bare.block).groups(streams.lower_end(stack.site))


def _run_by(spec: ModelSpec, site: LayerContext, found: Iterable[Entry | Subset]) -> Iterable[Entry | Subset]:
    """The entries of a sub-layer, run by further streams where a decoder has some that predict."""
    if site.causal and spec.streams is not None and spec.streams.kind == "predicting":
        return spec.streams.run_by(site, found)
    return found


def _layer_saves(spec: ModelSpec, site: LayerContext) -> Iterator[Saved]:
    """A layer's input, where it is computed again whole; and the normed input that its sub-layers share side by side."""
    yield Saved(f"{site.name}layer.input", "norm", site.stream, site.d_model, "residual", keeping=("full",))
    if spec.norm.place == "parallel":
        yield Saved(f"{site.name}layer.normed", "norm", site.stream, site.d_model, "product")


def _positions(stack: Stack, *, saves: bool) -> Iterator[Entry | Saved | Subset]:
    """Tables of positions and what layers score distances with; of sounds, the convolutions that stand in their place."""
    spec, site, own = stack.spec, stack.site, stack.own
    widths = next((mixer.widths(site.d_model) for mixer in attentions(stack.mixers)), None)
    if own is not None and own.mel_bins is not None and own.frames is not None:
        yield Subset(tuple(hearing_entries(site, own.mel_bins, own.frames)), once=True)
    else:
        added = site._replace(d_model=spec.embedding_widths()[1]) if spec.positions.kind == "learned" else site
        yield from spec.positions.lower(added, widths, spec.context)
    if saves and spec.positions.kind in {"relative", "disentangled"}:
        assert widths is not None, "the spec's own check asks for heads"
        yield from spec.positions.saves(site, widths)
