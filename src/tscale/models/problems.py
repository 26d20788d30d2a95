"""What contradicts itself in a spec whose fields are each right: only a spec that is new, or changed, is asked for it.

Each problem names a field and says what is wrong and what to do. The functions stand in the order in which a file's are told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tscale.blocks import Mixer, Mlp, attentions
from tscale.blocks.disentangled import Disentangled
from tscale.blocks.fields import LayerSelector, Problem, telling_layers, within
from tscale.models.spec import Head, ModelSpec, Training

_SEEING_BOTH_WAYS: Final = ("multi-head", "bottleneck", "latent", "augmented")
"""Kinds of mixers that an encoder can have, and a decoder that reads one."""


def contradictions(spec: ModelSpec) -> Iterator[Problem]:
    """All that contradicts itself in a spec."""
    yield from _of_blocks(spec)
    if spec.training is not None:
        yield from _of_training(spec.training, spec.context)
    yield from _of_assigned_layers(spec)
    yield from _of_weights(spec)
    yield from _of_mixers(spec)
    yield from _of_positions(spec)
    yield from _of_direction(spec)
    yield from _of_tables(spec)
    yield from _of_head(spec)
    yield from _of_stacks(spec)
    yield from _of_head_kind(spec)
    for place, tower in enumerate(spec.towers or ()):
        yield from within(("towers", place), tower.problems())


def _of_blocks(spec: ModelSpec) -> Iterator[Problem]:
    """What is wrong within a block, and layers that it stands in and the stack does not have."""
    for path, block in _blocks(spec):
        yield from within(path, block.problems(spec.d_model))
        if block.on is not None:
            yield from within(path, block.on.problems(spec.layers))


def _blocks(spec: ModelSpec) -> Iterator[tuple[tuple[str, ...], Mixer | Mlp]]:
    for field, blocks in (("attention", spec.mixers), ("feed_forward", spec.feed_forwards)):
        for block in blocks:
            yield (field,), block
    if spec.encoder is not None:
        if spec.encoder.attention is not None:
            yield ("encoder", "attention"), spec.encoder.attention
        if spec.encoder.feed_forward is not None:
            yield ("encoder", "feed_forward"), spec.encoder.feed_forward


def _of_training(training: Training, context: int | None) -> Iterator[Problem]:
    """Stages that contradict what stands beside them, or the `context` of the model."""
    for place, stage in enumerate(training.stages):
        if context is not None and stage.context is not None and stage.context > context:
            yield (
                ("training", "stages", place, "context"),
                f"{stage.context} tokens are more than the model's context of {context}: raise context, or leave it out "
                "where there is no limit",
            )
    whole = training.tokens is not None, training.source is not None
    if training.stages and any(whole):
        message = "each stage says its own tokens and source, and their sum is the total: drop those next to stages"
        yield ("training",), message
    elif not training.stages and not all(whole):
        yield ("training",), "needs stages, or tokens with their source"
    if any(stage.up_to and stage.context is None for stage in training.stages):
        message = "a stage with up_to needs the longest of its lengths: set its context, or drop up_to"
        yield ("training", "stages"), message


def _of_assigned_layers(spec: ModelSpec) -> Iterator[Problem]:
    """Whether every layer has one mixer and at most one feed-forward, as far as counting tells."""
    for field, blocks in (("attention", spec.mixers), ("feed_forward", spec.feed_forwards)):
        yield from _of_claims(spec, field, blocks)
        if len(blocks) > 1:
            yield from _of_several(spec, field, blocks)
    if spec.unique_layers is not None and spec.unique_layers > spec.layers:
        yield ("unique_layers",), f"{spec.unique_layers} layers of their own weights are more than {spec.layers}"


def _of_claims(spec: ModelSpec, field: str, blocks: tuple[Mixer | Mlp, ...]) -> Iterator[Problem]:
    """Layers that several blocks of a field claim, or none."""
    claims = [block.on for block in blocks if block.on is not None]
    rest = len(blocks) - len(claims)
    claimed = sum(on.count(spec.layers) for on in claims)
    if rest > 1:
        yield (field,), "only one block may be without `on`: it takes the layers that no other claims"
    if claimed > spec.layers:
        yield (field,), f"{claimed} layers are claimed of {spec.layers}: let each layer have one block"
    elif (twice := _claimed_twice(claims, spec.layers)) is not None:
        yield (field,), f"layer {twice} is claimed by two blocks: let each layer have one"
    if field == "attention" and not rest and claimed + _of_feed_forwards_alone(spec) < spec.layers:
        yield (field,), f"only {claimed} of {spec.layers} layers have a block: leave `on` out of one of them"


def _of_several(spec: ModelSpec, field: str, blocks: tuple[Mixer | Mlp, ...]) -> Iterator[Problem]:
    """Several blocks of a field where one alone is known."""
    if spec.unique_layers is not None:
        yield (field,), "several blocks are known in layers of their own weights only"
    if spec.kind == "encoder-decoder" and not (field == "feed_forward" and _by_steps(blocks)):
        message = "several blocks are known in both stacks only where `on` says every n-th: feed-forwards alone"
        yield (field,), message


def _of_feed_forwards_alone(spec: ModelSpec) -> int:
    """Layers that may do without a mixer: those that feed-forwards claim, where each of them says which."""
    claims = [block.on for block in spec.feed_forwards]
    return 0 if None in claims else sum(on.count(spec.layers) for on in claims if on is not None)


def _by_steps(blocks: tuple[Mixer | Mlp, ...]) -> bool:
    """Whether blocks stand in every n-th layer or in all the others, so that they do so in a stack of any depth."""
    return all(block.on is None or block.on.every is not None for block in blocks)


def _claimed_twice(ons: list[LayerSelector], layers: int) -> int | None:
    """The first layer that more than one of them claims."""
    places = telling_layers(ons, 0, layers) if len(ons) > 1 else ()
    return min((layer for layer in places if sum(on.holds(layer) for on in ons) > 1), default=None)


def _of_weights(spec: ModelSpec) -> Iterator[Problem]:
    """What is wrong with the formats of a release, with the family that was assumed, and with adapters."""
    apart = spec.kind != "encoder-decoder" and spec.unique_layers is None
    if spec.weights is not None:
        yield from within(
            ("weights",), [*spec.weights.problems(), *spec.weights.layer_problems(spec.layers, apart=apart)]
        )
    if spec.releases is not None:
        from tscale.models.weights_spec import releases_problems

        yield from releases_problems(spec.releases, int(spec.layers), apart=apart)
    if spec.assumed is not None:
        yield from within(("assumed",), spec.assumed.problems())
    if spec.adapter is not None:
        for place, there in enumerate(spec.adapter.places):
            if there.layers and max(there.layers) >= spec.layers:
                yield (
                    ("adapter", "places", place, "layers"),
                    f"layer {max(there.layers)} is none of {spec.layers}, counted from 0",
                )
        yield from within(("adapter",), spec.adapter.problems(spec.d_model))


def _of_mixers(spec: ModelSpec) -> Iterator[Problem]:
    """What an encoder reads with, whose keys are borrowed, and what is wrong with distances."""
    if spec.encoder and spec.encoder.attention and spec.encoder.attention.kind not in _SEEING_BOTH_WAYS:
        yield ("encoder", "attention"), "a recurrence reads from left to right, an encoder does not: drop it"
    borrowed = [mixer.kind == "multi-head" and mixer.borrows_keys for mixer in attentions(spec.mixers)]
    if borrowed and all(borrowed):
        yield ("attention",), "keys are borrowed and no layer has any: drop borrows_keys from one of the blocks"
    if isinstance(spec.positions, Disentangled):
        yield from within(("positions",), spec.positions.problems(spec.d_model))


def _of_positions(spec: ModelSpec) -> Iterator[Problem]:
    """Positions that need what there is none of: rows, a table, heads."""
    positions = spec.positions
    if positions.kind == "learned" and positions.rows is None and spec.context is None:
        yield ("positions",), "a learned table needs its rows: set context or positions.rows"
    if positions.kind in {"alibi", "none"} and getattr(positions, "rows", None) is not None:
        yield ("positions", "rows"), f"{positions.kind} positions are no table that could be stored: drop it"
    if positions.kind in {"relative", "relative-bias", "disentangled"} and not any(attentions(spec.mixers)):
        yield ("positions",), "relative positions score by heads, and no layer has any: set positions to none"


def _of_direction(spec: ModelSpec) -> Iterator[Problem]:
    """A recurrence in a stack that reads both ways, or reads another stack."""
    if all(mixer.kind in _SEEING_BOTH_WAYS for mixer in spec.mixers):
        return
    if spec.kind == "encoder":
        yield ("attention",), "a recurrence reads from left to right, an encoder does not: set kind to decoder"
    if spec.kind == "encoder-decoder":
        yield ("attention",), "a recurrence cannot read an encoder: set kind to decoder"


def _on_vocabulary(spec: ModelSpec) -> bool:
    """Whether the head projects to the vocabulary."""
    return spec.head.kind in {"language-model", "masked"}


def _of_tables(spec: ModelSpec) -> Iterator[Problem]:
    """Whether tables are shared and tied where there are two to be."""
    if _on_vocabulary(spec) and spec.tied is None:
        yield ("head",), "a head is tied to the embedding or it is not: set tied to true or false"
    if not _on_vocabulary(spec) and spec.tied is not None:
        yield ("tied",), "there is no head to tie: drop tied, or give the head a kind"
    if spec.embedding.more_rows is not None and spec.tied:
        yield ("embedding", "more_rows"), "a head that is the table has as many rows: drop it, or set tied to false"
    if not spec.embedding.shared and spec.kind != "encoder-decoder":
        yield ("embedding", "shared"), "there is one stack only to have a table: drop it"


def _of_classifiers(head: Head) -> Iterator[Problem]:
    """Where a classifier stands, and what is said of one that is not there."""
    if head.classes is not None and not head.pooler and head.kind != "none" and head.further is None:
        yield ("head", "classes"), "a classifier stands on the pooler or alone: set head.pooler, or head.kind to none"
    if head.classes is None and (head.per_token or not head.classes_bias):
        yield ("head", "classes"), "there is no classifier: set head.classes"


def _of_words(spec: ModelSpec) -> Iterator[Problem]:
    """Words of a head that has none of its own, or more than there are."""
    words = spec.head.words
    if words is None:
        return
    if not _on_vocabulary(spec) or spec.tied:
        yield (
            ("head", "words"),
            "only a projection with a table of its own has fewer words: set tied to false, or drop it",
        )
    if words > spec.vocabulary:
        yield ("head", "words"), f"{words:,} words are more than the vocabulary of {spec.vocabulary:,}: set fewer"


def _of_head(spec: ModelSpec) -> Iterator[Problem]:
    """Parts of heads and norms that stand on others which are not there."""
    head = spec.head
    if head.bias and not _on_vocabulary(spec):
        yield ("head", "bias"), f"a head of kind {head.kind} has no projection to the vocabulary: drop the bias"
    yield from _of_words(spec)
    if spec.norm.bias and not spec.norm.gain:
        yield ("norm", "bias"), "a norm without weights has no bias: drop it, or set norm.gain to true"
    yield from _of_classifiers(head)
    behind = head.kind == "masked" or (head.classes is not None and not head.pooler and head.transform == "plain")
    if (not behind and head.transform != "biased") or (head.kind != "masked" and head.width is not None):
        message = "a masked head alone has a transform and a width: drop them, or set kind to masked"
        yield ("head", "transform"), message
    if head.width is not None and (spec.tied or head.transform == "none"):
        yield ("head", "width"), "a head of another width has a table and a transform of its own: set tied to false"


_MOST_STREAMS: Final = 64


def _of_streams(spec: ModelSpec) -> Iterator[Problem]:
    """Where several residual streams are known, and how many are several."""
    if spec.streams is None:
        return
    if spec.streams.kind == "predicting":
        if spec.kind == "encoder" or any(mixer.kind != "multi-head" for mixer in spec.mixers):
            yield ("streams",), "streams that predict are known in a decoder with multi-head attention only: drop them"
        if spec.streams.count > _MOST_STREAMS:
            yield (
                ("streams", "count"),
                f"{spec.streams.count} streams are more than are counted: set at most {_MOST_STREAMS}",
            )
    elif spec.kind != "decoder" or spec.norm.place in ("post", "parallel"):
        yield (
            ("streams",),
            "several residual streams are known in a decoder with norms before its sub-layers only: drop it",
        )
    if spec.streams.count < 2:
        yield (
            ("streams", "count"),
            "one residual stream is what every model has: drop streams, or set count to 2 or more",
        )


def _of_stacks(spec: ModelSpec) -> Iterator[Problem]:
    """What is known in one kind of stack alone."""
    two, encoder = spec.kind == "encoder-decoder", spec.encoder
    if spec.norm.skips_first and (spec.norm.place != "pre" or two):
        yield ("norm", "skips_first"), "known before the sub-layers of a single stack only: drop it"
    if encoder is not None and (encoder.mel_bins is None) != (encoder.frames is None):
        yield ("encoder", "frames"), "a spectrogram has both mel_bins and frames: set the other one too, or drop it"
    if spec.embedding.width is None and spec.embedding.projects != "tokens":
        yield ("embedding", "projects"), "nothing is projected without a width of its own: set embedding.width"
    if spec.layer_input is not None and spec.kind != "decoder":
        yield ("layer_input",), "an input for every layer is known in a decoder only: drop it"
    yield from _of_streams(spec)
    if spec.embedding.width is not None and two:
        yield ("embedding", "width"), "an embedding of a width of its own is known in a single stack only: drop it"
    yield from _of_idle_attention(spec)
    yield from _of_modules(spec)
    if encoder is not None and not two:
        yield ("encoder",), f"only an encoder-decoder has a second stack: drop it, or change the kind ({spec.kind})"


def _of_modules(spec: ModelSpec) -> Iterator[Problem]:
    """Modules that predict further tokens, where nothing is known of them."""
    plain = spec.streams is None and spec.layer_input is None and spec.unique_layers is None
    if spec.mtp is not None and not (
        plain and spec.kind == "decoder" and spec.head.kind == "language-model" and spec.embedding.width is None
    ):
        yield (
            ("mtp",),
            "modules that predict further tokens are known in a decoder with a language-model head, one residual stream and layers of "
            "their own weights only: drop it",
        )
    elif (
        spec.mtp is not None
        and spec.feed_forwards
        and not all(_in_last(blocks, spec.layers) for blocks in (spec.mixers, spec.feed_forwards))
    ):
        yield (
            ("mtp",),
            "a module that predicts a further token has both attention and a feed-forward, and the last layer has only one: drop it",
        )


def _in_last(blocks: Sequence[Mixer] | Sequence[Mlp], layers: int) -> bool:
    """Whether one of the blocks stands in the last layer: one that claims it, or one that has all that no other claims."""
    return any(block.on is None or block.on.count(layers) > block.on.count(layers - 1) for block in blocks)


def _of_idle_attention(spec: ModelSpec) -> Iterator[Problem]:
    """Attention to an encoder that a model does without, where nothing is known of it."""
    if spec.idle_cross_attention and (
        spec.kind != "decoder" or any(mixer.kind != "multi-head" for mixer in spec.mixers)
    ):
        yield ("idle_cross_attention",), "known in a decoder with attention of one kind (multi-head) only: drop it"


def _of_head_kind(spec: ModelSpec) -> Iterator[Problem]:
    """A head that stands on another kind of stack."""
    two = spec.kind == "encoder-decoder"
    if spec.kind == "encoder" and spec.head.kind == "language-model":
        yield ("head",), "an encoder has no language-model head: set head.kind to masked or none"
    if spec.kind != "encoder" and spec.head.kind == "discriminator":
        yield ("head", "kind"), f"a discriminator head stands on an encoder, not on a {spec.kind}"
    if two and spec.head.kind == "masked":
        yield ("head", "kind"), "a masked head stands on a single stack, not on an encoder-decoder"
