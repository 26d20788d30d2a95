"""What a spec says: a model's shape, where every figure of it was published, and what was published about it.

Plain frozen dataclasses. `tscale.models.validation` lets pydantic check files against them; the catalogue of built-in
models, checked when it was made, builds them directly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Annotated, Any, ClassVar, Final, Literal

from tscale.blocks import (
    FEED_FORWARDS,
    MIXERS,
    POSITIONS,
    STATE_SPACES,
    Attention,
    Computed,
    Disentangled,
    FeedForward,
    LayerInput,
    Mixer,
    Mlp,
    Norm,
    Positions,
    attentions,
)
from tscale.blocks.fields import (
    CONFIG,
    MOST_SIZE,
    LayerSelector,
    Number,
    Problem,
    Size,
    Tagged,
    Whole,
    of_one_line,
    telling_layers,
)
from tscale.core.dtypes import find_format
from tscale.core.tracing import MOST_TOKENS, TracedInt
from tscale.errors import RequestError, shown

_SEEING_BOTH_WAYS: Final = ("multi-head", "latent")
"""Kinds of mixers that an encoder can have, and a decoder that reads one."""

Evidence = Literal["primary", "secondary", "derived", "unconfirmed"]
"""How a published figure was confirmed: read in the source itself, quoted by others, calculated, or recalled."""

NoteTopic = Literal["attention", "training"]
"""What a note of a model may be about alone."""

PublishedName = Literal[
    "params",
    "active_params",
    "non_embedding_params",
    "embedding_params",
    "d_model",
    "heads",
    "training_flops",
    "pf_days",
    "vocabulary",
    "training_tokens",
    "dataset_tokens",
    "common_crawl_tokens",
    "sentence_pairs",
    "batch_tokens",
]


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """What is right where a source has a slip, and where that stands."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    value: Annotated[int | float, Number()]
    source: str


@dataclass(frozen=True, kw_only=True)
class Published:
    """A figure as its source prints it."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    value: Annotated[int | float, Number()]
    source: str
    evidence: Evidence = "unconfirmed"
    note: str | None = None
    """What must be said of it, such as what it counts."""
    corrected: Corrected | None = None
    """With it, the figure is known to be wrong: a misprint, or made from one."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a third party estimates of a model that was not disclosed."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    claim: str
    by: str
    evidence: Evidence = "unconfirmed"


MOST_ASSUMED: Final = 8_192
"""Tokens of a sequence in training that are assumed at most: contexts beyond it are nearly always extended later."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stretch of training in sequences of one length; a model's context is often extended in a short last one."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    tokens: Annotated[int, Whole(1, MOST_TOKENS)] | None = None
    """Tokens that it ran through, repeats counted; both streams of an encoder-decoder. Absent where not published."""
    context: Size | None = None
    """Tokens of a sequence. Absent where not published: min(context, 8,192) of the model is assumed."""
    up_to: bool = False
    """Whether some of its sequences were shorter, or may have been: all tokens are counted at `context`, an upper bound."""
    source: str
    evidence: Evidence = "unconfirmed"
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Training:
    """What the model was trained on: in stages, or `tokens` alone where the length of the sequences was not published."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    tokens: Annotated[int, Whole(1, MOST_TOKENS)] | None = None
    source: str | None = None
    evidence: Evidence = "unconfirmed"
    note: str | None = None
    stages: tuple[Stage, ...] = ()
    """In the order of training; the first is where most of it took place."""

    def all_stages(self) -> tuple[Stage, ...]:
        """The stages, the short form as one of them."""
        if self.source is None:
            return self.stages
        return (Stage(tokens=self.tokens, source=self.source, evidence=self.evidence, note=self.note),)

    @property
    def total_tokens(self) -> int | None:
        """Tokens of all stages whose tokens were published; None where those of the first were not."""
        stages = self.all_stages()
        return None if stages[0].tokens is None else sum(stage.tokens or 0 for stage in stages)

    def problems(self, context: int | None) -> Iterator[Problem]:
        """What contradicts itself, or the `context` of the model."""
        for place, stage in enumerate(self.stages):
            if context is not None and stage.context is not None and stage.context > context:
                yield (
                    ("stages", place, "context"),
                    f"{stage.context} tokens are more than the model's context of {context}: raise context, or leave it out "
                    "where there is no limit",
                )
        if self.stages and (self.tokens is not None or self.source is not None):
            yield (), "each stage says its own tokens and source, and their sum is the total: drop those next to stages"
        elif not self.stages and (self.tokens is None or self.source is None):
            yield (), "needs stages, or tokens with their source"
        if any(stage.up_to and stage.context is None for stage in self.stages):
            yield ("stages",), "a stage with up_to needs the longest of its lengths: set its context, or drop up_to"


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """The token embedding."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    shared: bool = True
    """Whether encoder and decoder share one table."""
    segments: Size | None = None
    """Rows of a table of segments added to the embedding (BERT has 2); of all such tables, where there are several."""
    mask: bool = False
    """Whether a vector of its own, in no table, stands for tokens that are to be predicted (XLNet)."""
    width: Size | None = None
    """Width of the token embedding where it is not d_model, and of the head on it: a projection bridges the two."""
    projects: Literal["tokens", "sum"] = "tokens"
    """What is brought from `width` to d_model. tokens: the tokens' vectors alone, and the output of the stack back again,
    without biases (OPT-350m). sum: with positions and segments and after the norm, with a bias (ELECTRA, ALBERT)."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """What stands on the last layer."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["language-model", "masked", "discriminator", "none"] = "language-model"
    """A projection to the vocabulary; one behind a transform of its own, as BERT's; a transform and one number for each
    position, as ELECTRA's discriminator; or none."""
    bias: bool = False
    """Whether the projection to the vocabulary has a bias."""
    transform: Literal["biased", "plain", "none"] = "biased"
    """What stands before a masked head's projection: a square layer with a bias and a norm, as in BERT; the same without
    a bias (ModernBERT); or nothing."""
    width: Size | None = None
    """Width of what a masked head projects to the vocabulary, where it is not the token embedding's (RemBERT)."""
    contacts: bool = False
    """Whether a regression on every head's attention map is stored, which no token runs through (ESM)."""
    pooler: bool = False
    """Whether a square layer is applied to the first position of a sequence, as in BERT."""
    classes: Size | None = None
    """Outputs of a classifier: behind the pooler (BERT's next-sentence head has 2), or on the last layer (a reward has 1)."""
    classes_bias: bool = True
    """Whether the classifier has a bias."""
    per_token: bool = False
    """Whether every position is classified, and not a sequence once."""


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """Where the encoder of an encoder-decoder differs from its decoder; what is absent is the same."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    layers: Size | None = None
    attention: Annotated[Mixer | None, Tagged(MIXERS, "multi-head")] = None
    feed_forward: Annotated[Mlp | None, Tagged(FEED_FORWARDS, "dense")] = None
    mel_bins: Size | None = None
    """Bins of the spectrogram that it reads through two convolutions, the second of which halves its length (Whisper)."""
    frames: Size | None = None
    """With `mel_bins`: its positions behind the convolutions, in a table of sines; they are its length, whatever is asked."""


@dataclass(frozen=True, kw_only=True)
class WeightRule:
    """Weights that a release keeps in a format of their own."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    format: str
    """What they are kept in: a name of `tscale list formats`, or one that spells out its scales (int4-g64-sym, fp8-128x128)."""
    parts: tuple[str, ...]
    """What is kept so, by the names that `params` shows, whole or up to a dot: attention is all of its matrices."""
    layers: tuple[Annotated[int, Whole(0, MOST_SIZE)], ...] | None = None
    """The layers by number, counted from 0; absent: all of them."""

    def problems(self) -> Iterator[Problem]:
        """A format that is not known, and lists that say nothing, or a thing twice."""
        yield from _format_problems("format", self.format)
        if not self.parts:
            yield ("parts",), "an empty list is about nothing: name parts, such as attention or head"
        if len(set(self.parts)) < len(self.parts):
            yield ("parts",), "parts are each listed once"
        if self.layers is not None and (not self.layers or len(set(self.layers)) < len(self.layers)):
            yield ("layers",), "layers are each listed once; leave it out for all of them"


@dataclass(frozen=True, kw_only=True)
class Release:
    """What weights are kept in as they are released: one format, and rules for what is kept in another."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    method: str | None = None
    """The quantisation method, as its file calls it."""
    format: str | None = None
    """What matrices of layers are kept in, routers excepted, where no rule says otherwise; absent: as all else."""
    rules: tuple[WeightRule, ...] = ()
    """The first rule that is about a weight decides."""
    rest: Literal["bf16", "fp16", "fp32"] = "bf16"
    """What all else is kept in."""
    cache: str | None = None
    """What the file says that a cache is kept in; absent: in 16 bits."""
    unread: tuple[str, ...] = ()
    """What its file says and was not read; it is counted as if it did not stand there."""

    def problems(self) -> Iterator[Problem]:
        """Formats that are not known, and texts that no table could show."""
        for field, name in (("format", self.format), ("cache", self.cache)):
            if name is not None:
                yield from _format_problems(field, name, cache=field == "cache")
        yield from of_one_line(method=self.method)
        yield from _unshowable("unread", self.unread)
        for place, rule in enumerate(self.rules):
            for path, message in rule.problems():
                yield ("rules", place, *path), message

    def layer_problems(self, layers: int, *, apart: bool) -> Iterator[Problem]:
        """Rules about layers of a stack that it does not have, or whose layers are not told `apart` by number."""
        for place, rule in enumerate(self.rules):
            if rule.layers is None:
                continue
            if not apart:
                message = (
                    "formats by layer are known in a single stack of layers with weights of their own: leave layers out"
                )
            elif layers > MOST_LAYERS:
                message = f"formats by layer are known up to {MOST_LAYERS:,} layers, and there are {layers:,}: leave layers out"
            elif max(rule.layers, default=0) >= layers:
                message = f"layers are counted from 0, here to {layers - 1}, and {max(rule.layers)} is past the last"
            else:
                continue
            yield ("rules", place, "layers"), message


MOST_LAYERS: Final = 1024
"""Layers of a model whose layers are told apart by number: no model has come near."""


def _format_problems(field: str, name: str, *, cache: bool = False) -> Iterator[Problem]:
    """What is wrong with the name of a format: a file is held to it as it is written."""
    try:
        find_format(name, what=field, cache=cache)
    except RequestError as error:
        yield (field,), str(error).removeprefix(f"{field}: ")
        return
    if name != name.strip():
        yield (field,), f"{shown(name)} has blanks around it: write {shown(name.strip())}"


def _unshowable(field: str, texts: tuple[str, ...]) -> Iterator[Problem]:
    """Those of several texts that no table could show."""
    for place, text in enumerate(texts):
        for _, message in of_one_line(text=text):
            yield (field, place), message


@dataclass(frozen=True, kw_only=True)
class AssumedFamily:
    """A family that a file of an unknown one is counted like (--assume)."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    family: str
    model_type: str | None = None
    """What the file says that it is."""
    defaults: tuple[str, ...] = ()
    """What was taken from the family's defaults, since the file does not say it."""
    unread: tuple[str, ...] = ()
    """Keys of the file that the family does not have."""

    def problems(self) -> Iterator[Problem]:
        """Texts that no table could show."""
        yield from of_one_line(model_type=self.model_type)
        yield from _unshowable("defaults", self.defaults)
        yield from _unshowable("unread", self.unread)


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model with a shape that is known."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    name: str
    """Lower case, with dashes: what people type."""
    title: str | None = None
    """The name as its makers write it."""
    aliases: tuple[str, ...] = ()
    """Other names that people type."""
    year: Annotated[int, Whole(1900, 2100)] | None = None
    """The year of its publication."""
    kind: Literal["decoder", "encoder", "encoder-decoder"] = "decoder"
    """Which stacks it has."""
    layers: Size
    """Layers of the stack; of the decoder, and of the encoder unless it says otherwise, in an encoder-decoder."""
    d_model: Size
    """Width of the residual stream."""
    vocabulary: Size
    """Rows of the token embedding, padding included."""
    context: Size | None = None
    """The longest sequence it was trained on; absent where there is no limit or it is not known."""
    tied: bool | None = None
    """Whether the head is the token embedding, transposed; needed where there is a head."""
    attention: Annotated[Mixer | tuple[Mixer, ...], Tagged(MIXERS, "multi-head", many=True)]
    """How tokens are mixed: one block for every layer, or a list of blocks that say which layers they stand in."""
    feed_forward: Annotated[Mlp | tuple[Mlp, ...] | None, Tagged(FEED_FORWARDS, "dense", many=True)] = None
    """What follows the mixing, alike; absent where nothing does."""
    unique_layers: Size | None = None
    """How many layers have weights of their own, where several share them (ALBERT has 1)."""
    positions: Annotated[Positions, Tagged(POSITIONS)]
    norm: Norm
    embedding: Embedding = Embedding()
    layer_input: LayerInput | None = None
    """What each layer looks up for itself; absent where none does."""
    head: Head = Head()
    encoder: Encoder | None = None
    """Where an encoder-decoder's encoder differs from its decoder."""
    weights: Release | None = None
    """What its weights are kept in as they are released, where that is no plain 16 bits."""
    assumed: AssumedFamily | None = None
    """The family that it is counted like at its user's request: all that is counted of it is assumed."""
    training: Training | None = None
    published: dict[PublishedName, Published | tuple[Published, ...]] | None = None
    """What was published about it, by name of the figure; the first of several is the one to compare with."""
    sources: tuple[str, ...] = ()
    """Where its shape was read."""
    evidence: Evidence | None = None
    """How its shape was confirmed."""
    notes: tuple[str, ...] = ()
    """What is said of it wherever it is counted."""
    notes_on: dict[NoteTopic, tuple[str, ...]] | None = None
    """What is said of it only where an answer is about that: its attention, or its training."""

    @property
    def label(self) -> str:
        """The name as its makers write it."""
        return self.title or self.name

    def embedding_widths(self) -> tuple[int, int]:
        """Width of the token embedding, and of what is added to it: positions, segments and a norm."""
        tokens = self.d_model if self.embedding.width is None else self.embedding.width
        return tokens, tokens if self.embedding.projects == "sum" else self.d_model

    @property
    def mixers(self) -> tuple[Mixer, ...]:
        """The blocks that mix tokens, one or several."""
        return self.attention if isinstance(self.attention, tuple) else (self.attention,)

    @property
    def feed_forwards(self) -> tuple[Mlp, ...]:
        """The feed-forwards, none, one or several."""
        if self.feed_forward is None:
            return ()
        return self.feed_forward if isinstance(self.feed_forward, tuple) else (self.feed_forward,)

    def plain_blocks(self) -> tuple[Attention, FeedForward] | None:
        """The attention and the feed-forward of a stack in which all layers have the same plain ones; None of others."""
        if isinstance(self.attention, Attention) and isinstance(self.feed_forward, FeedForward):
            return self.attention, self.feed_forward
        return None

    @property
    def parallel_block(self) -> bool:
        """Whether attention and feed-forward of a layer read the same normed input, and are added up at once."""
        return self.norm.place == "parallel"

    @property
    def audio_frames(self) -> int | None:
        """Positions of the sound that an encoder reads, always as many; None where it reads no sound."""
        return None if self.encoder is None else self.encoder.frames

    def encoder_layers(self) -> int:
        """Depth of the encoder of an encoder-decoder."""
        return (self.encoder and self.encoder.layers) or self.layers

    def figures(self, name: PublishedName) -> tuple[Published, ...]:
        """All that was published under a name, the one to compare with first."""
        found = (self.published or {}).get(name, ())
        return found if isinstance(found, tuple) else (found,)

    def problems(self) -> Iterator[Problem]:
        """What contradicts itself: each names a field and says what is wrong and what to do."""
        for path, block in self._blocks():
            for field, message in block.problems(self.d_model):
                yield (*path, *field), message
            if block.on is not None:
                for field, message in block.on.problems(self.layers):
                    yield (*path, *field), message
        for field, message in self.training.problems(self.context) if self.training else ():
            yield ("training", *field), message
        yield from self._dealing_problems()
        yield from self._stack_problems()
        if self.positions.kind == "learned" and self.positions.rows is None and self.context is None:
            yield ("positions",), "a learned table needs its rows: set context or positions.rows"
        if (
            isinstance(self.positions, Computed)
            and self.positions.rows is not None
            and self.positions.kind in ("alibi", "none")
        ):
            yield ("positions", "rows"), f"{self.positions.kind} positions are no table that could be stored: drop it"
        if self.positions.kind in ("relative", "relative-bias", "disentangled") and not any(attentions(self.mixers)):
            yield ("positions",), "relative positions score by heads, and no layer has any: set positions to none"
        if self.kind == "encoder" and any(mixer.kind not in _SEEING_BOTH_WAYS for mixer in self.mixers):
            yield ("attention",), "a recurrence reads from left to right, an encoder does not: set kind to decoder"
        if self.kind == "encoder-decoder" and any(mixer.kind not in _SEEING_BOTH_WAYS for mixer in self.mixers):
            yield ("attention",), "a recurrence cannot read an encoder: set kind to decoder"
        on_vocabulary = self.head.kind in ("language-model", "masked")
        if on_vocabulary and self.tied is None:
            yield ("head",), "a head is tied to the embedding or it is not: set tied to true or false"
        if not on_vocabulary and self.tied is not None:
            yield ("tied",), "there is no head to tie: drop tied, or give the head a kind"
        if not self.embedding.shared and self.kind != "encoder-decoder":
            yield ("embedding", "shared"), "there is one stack only to have a table: drop it"
        if self.head.bias and not on_vocabulary:
            yield (
                ("head", "bias"),
                f"a head of kind {self.head.kind} has no projection to the vocabulary: drop the bias",
            )
        if self.norm.bias and not self.norm.gain:
            yield ("norm", "bias"), "a norm without weights has no bias: drop it, or set norm.gain to true"
        yield from self._classifier_problems()
        if self.head.kind != "masked" and (self.head.transform != "biased" or self.head.width is not None):
            yield (
                ("head", "transform"),
                "a masked head alone has a transform and a width: drop them, or set kind to masked",
            )
        if self.head.width is not None and (self.tied or self.head.transform == "none"):
            yield ("head", "width"), "a head of another width has a table and a transform of its own: set tied to false"
        if self.norm.skips_first and (self.norm.place != "pre" or self.kind == "encoder-decoder"):
            yield ("norm", "skips_first"), "known before the sub-layers of a single stack only: drop it"
        if self.encoder is not None and (self.encoder.mel_bins is None) != (self.encoder.frames is None):
            yield ("encoder", "frames"), "a spectrogram has both mel_bins and frames: set the other one too, or drop it"
        if self.embedding.width is None and self.embedding.projects != "tokens":
            yield ("embedding", "projects"), "nothing is projected without a width of its own: set embedding.width"
        if self.layer_input is not None and self.kind != "decoder":
            yield ("layer_input",), "an input for every layer is known in a decoder only: drop it"
        if self.embedding.width is not None and self.kind == "encoder-decoder":
            yield ("embedding", "width"), "an embedding of a width of its own is known in a single stack only: drop it"
        if self.encoder is not None and self.kind != "encoder-decoder":
            yield ("encoder",), f"only an encoder-decoder has a second stack: drop it, or change the kind ({self.kind})"
        if self.kind == "encoder" and self.head.kind == "language-model":
            yield ("head",), "an encoder has no language-model head: set head.kind to masked or none"
        if self.kind != "encoder" and self.head.kind in ("masked", "discriminator"):
            yield ("head", "kind"), f"a {self.head.kind} head stands on an encoder, not on a {self.kind}"

    def _classifier_problems(self) -> Iterator[Problem]:
        """Where a classifier stands, and what is said of one that is not there."""
        if self.head.classes is not None and not self.head.pooler and self.head.kind != "none":
            yield (
                ("head", "classes"),
                "a classifier stands on the pooler or alone: set head.pooler, or head.kind to none",
            )
        if self.head.classes is None and (self.head.per_token or not self.head.classes_bias):
            yield ("head", "classes"), "there is no classifier: set head.classes"

    def _stack_problems(self) -> Iterator[Problem]:
        """What an encoder reads with, whose keys are borrowed, and what is wrong with distances or formats."""
        apart = self.kind != "encoder-decoder" and self.unique_layers is None
        for path, message in (
            ()
            if self.weights is None
            else (
                *self.weights.problems(),
                *self.weights.layer_problems(self.layers, apart=apart),
            )
        ):
            yield ("weights", *path), message
        for path, message in () if self.assumed is None else self.assumed.problems():
            yield ("assumed", *path), message
        if self.encoder and self.encoder.attention and self.encoder.attention.kind not in _SEEING_BOTH_WAYS:
            yield ("encoder", "attention"), "a recurrence reads from left to right, an encoder does not: drop it"
        lenders = [
            mixer for mixer in attentions(self.mixers) if not (isinstance(mixer, Attention) and mixer.borrows_keys)
        ]
        if not lenders and any(attentions(self.mixers)):
            yield ("attention",), "keys are borrowed and no layer has any: drop borrows_keys from one of the blocks"
        if isinstance(self.positions, Disentangled):
            for field, message in self.positions.problems(self.d_model):
                yield ("positions", *field), message

    def _dealing_problems(self) -> Iterator[Problem]:
        """Whether every layer has one mixer and at most one feed-forward, as far as counting tells."""
        for field, blocks in (("attention", self.mixers), ("feed_forward", self.feed_forwards)):
            rest = [block for block in blocks if block.on is None]
            claimed = sum(block.on.count(self.layers) for block in blocks if block.on is not None)
            if len(rest) > 1:
                yield (field,), "only one block may be without `on`: it takes the layers that no other claims"
            if claimed > self.layers:
                yield (field,), f"{claimed} layers are claimed of {self.layers}: let each layer have one block"
            elif (
                twice := _claimed_twice([block.on for block in blocks if block.on is not None], self.layers)
            ) is not None:
                yield (field,), f"layer {twice} is claimed by two blocks: let each layer have one"
            if field == "attention" and not rest and claimed + self._of_feed_forwards_alone() < self.layers:
                yield (field,), f"only {claimed} of {self.layers} layers have a block: leave `on` out of one of them"
            if len(blocks) > 1 and self.unique_layers is not None:
                yield (field,), "several blocks are known in layers of their own weights only"
            if (
                len(blocks) > 1
                and self.kind == "encoder-decoder"
                and not (field == "feed_forward" and _by_steps(blocks))
            ):
                yield (
                    (field,),
                    "several blocks are known in both stacks only where `on` says every n-th: feed-forwards alone",
                )
        if self.unique_layers is not None and self.unique_layers > self.layers:
            yield ("unique_layers",), f"{self.unique_layers} layers of their own weights are more than {self.layers}"

    def _of_feed_forwards_alone(self) -> int:
        """Layers that may do without a mixer: those that feed-forwards claim, where each of them says which."""
        claims = [block.on for block in self.feed_forwards]
        return 0 if None in claims else sum(on.count(self.layers) for on in claims if on is not None)

    def _blocks(self) -> Iterator[tuple[tuple[str, ...], Mixer | Mlp]]:
        for field, blocks in (("attention", self.mixers), ("feed_forward", self.feed_forwards)):
            for block in blocks:
                yield (field,), block
        if self.encoder is not None:
            if self.encoder.attention is not None:
                yield ("encoder", "attention"), self.encoder.attention
            if self.encoder.feed_forward is not None:
                yield ("encoder", "feed_forward"), self.encoder.feed_forward


def _by_steps(blocks: tuple[Mixer | Mlp, ...]) -> bool:
    """Whether blocks stand in every n-th layer or in all the others, so that they do so in a stack of any depth."""
    return all(block.on is None or block.on.every is not None for block in blocks)


@dataclass(frozen=True, kw_only=True)
class UndisclosedSpec:
    """A model with a shape that was not published: what was published, and the estimates of others."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    name: str
    title: str | None = None
    aliases: tuple[str, ...] = ()
    year: Annotated[int, Whole(1900, 2100)] | None = None
    kind: Literal["undisclosed"]
    disclosed: str
    """What its makers published."""
    source: str
    evidence: Evidence = "unconfirmed"
    estimates: tuple[Estimate, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name as its makers write it."""
        return self.title or self.name


Spec = ModelSpec | UndisclosedSpec

NESTED: Final[dict[str, dict[str, type]]] = {
    "attention": MIXERS,
    "mamba": STATE_SPACES,
    "feed_forward": FEED_FORWARDS,
    "positions": POSITIONS,
    "norm": {"": Norm},
    "embedding": {"": Embedding},
    "layer_input": {"": LayerInput},
    "head": {"": Head},
    "encoder": {"": Encoder},
    "training": {"": Training},
    "weights": {"": Release},
    "rules": {"": WeightRule},
    "assumed": {"": AssumedFamily},
    "stages": {"": Stage},
    "figure": {"": Published},
    "corrected": {"": Corrected},
    "on": {"": LayerSelector},
    "estimates": {"": Estimate},
}
"""The spec classes that a field may hold, by `kind` where there are several."""


def build(cls: type, data: dict[str, Any]) -> Any:
    """A spec from data that is known to be valid: the catalogue's, checked when it was made. Nothing is checked here."""
    return cls(**{key: _build_field(key, value) for key, value in data.items()})


def _build_field(key: str, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_build_field(key, item) for item in value)
    if not isinstance(value, dict):
        return value
    if key in ("published", "notes_on"):
        return {name: _build_field("figure", item) for name, item in value.items()}
    return build(spec_class(key, value), value)


def spec_class(key: str, data: Any) -> type:
    """The spec class that a field's data describes: the one of its `kind`, or the first."""
    kinds = NESTED[key]
    kind = data.get("kind") if isinstance(data, dict) else None
    return kinds.get(kind, next(iter(kinds.values())))  # type: ignore[arg-type]


def remembered(spec: ModelSpec) -> ModelSpec:
    """The same spec on numbers that remember: every size carries its field's name into whatever is derived from it."""
    return replace(
        spec,
        layers=TracedInt(spec.layers, label="layers"),
        d_model=TracedInt(spec.d_model, label="d_model"),
        vocabulary=TracedInt(spec.vocabulary, label="vocabulary"),
        context=None if spec.context is None else TracedInt(spec.context, label="trained_context"),
        unique_layers=spec.unique_layers and TracedInt(spec.unique_layers, label="unique_layers"),
        attention=_named_blocks(spec.attention),
        feed_forward=_named_blocks(spec.feed_forward),
        positions=_with_names(spec.positions),
        embedding=_with_names(spec.embedding),
        layer_input=spec.layer_input and _with_names(spec.layer_input, "layer_input_"),
        encoder=spec.encoder and _with_names(spec.encoder, "encoder_"),
    )


def _named_blocks(blocks: Any) -> Any:
    """One block with the names of its fields; several with their own name before each, so that a name means one number."""
    if blocks is None or not isinstance(blocks, tuple):
        return blocks and _with_names(blocks)
    return tuple(
        _with_names(block, f"{label}_" if place else "") for place, (label, block) in enumerate(labelled(blocks))
    )


def _claimed_twice(ons: list[LayerSelector], layers: int) -> int | None:
    """The first layer that more than one of them claims."""
    places = telling_layers(ons, 0, layers) if len(ons) > 1 else ()
    return min((layer for layer in places if sum(on.holds(layer) for on in ons) > 1), default=None)


def labelled(blocks: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """Blocks with the names that their entries begin with: their own label, numbered where it comes again."""
    seen: dict[str, int] = {}
    for block in blocks:
        seen[block.label] = seen.get(block.label, 0) + 1
        yield block.label if seen[block.label] == 1 else f"{block.label}_{seen[block.label]}", block


def _with_names(block: Any, prefix: str = "") -> Any:
    """A copy of a spec class's instance whose whole numbers remember the field that they came from."""
    changes: dict[str, Any] = {}
    for field in fields(block):
        value = getattr(block, field.name)
        if isinstance(value, int) and not isinstance(value, bool):
            changes[field.name] = TracedInt(value, label=prefix + field.name)
        elif is_dataclass(value):
            # a recurrence beside attention has heads of its own
            changes[field.name] = _with_names(value, f"{prefix}mamba_" if field.name == "mamba" else prefix)
    return replace(block, **changes)
