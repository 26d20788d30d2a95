"""What a spec says: a model's shape, where every figure of it was published, and what was published about it.

Plain frozen dataclasses. `tscale.models.validation` lets pydantic check files against them; the catalogue of built-in
models, checked when it was made, builds them directly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from tscale.blocks import Attention, FeedForward, Norm, sees_images
from tscale.blocks.fields import (
    Elsewhere,
    LayerSelector,
    Length,
    Positive,
    Problem,
    SeveralElsewhere,
    Size,
    Tagged,
    Whole,
)
from tscale.blocks.kinds import (
    FEED_FORWARDS,
    MIXERS,
    POSITIONS,
    SIMPLE_PIECES,
    STATE_SPACES,
    STREAMS,
    TOWER_INPUTS,
    TOWER_PIECES,
    Kinds,
)
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.counts import MOST_TOKENS

if TYPE_CHECKING:
    from tscale.blocks import LayerInput, Mixer, Mlp, Positions, Streams
    from tscale.blocks.tower import Tower
    from tscale.models.adapter_spec import Adapter
    from tscale.models.tower_spec import TowerSpec
    from tscale.models.undisclosed import UndisclosedSpec
    from tscale.models.weights_spec import AssumedFamily, NamedRelease, Release
else:  # the markers of the fields say which classes they hold, and import those that are asked for
    Adapter = AssumedFamily = LayerInput = Mixer = Mlp = NamedRelease = Positions = Release = Streams = Tower = object

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
    "common_crawl_share",
    "layer_kinds",
    "sentence_pairs",
    "batch_tokens",
]


@spec_dataclass
class Corrected:
    """What is right where a source has a slip, and where that stands."""

    value: Positive
    source: str


@spec_dataclass
class Published:
    """A figure as its source prints it."""

    value: Positive
    source: str
    evidence: Evidence = "unconfirmed"
    note: str | None = None
    """What must be said of it, such as what it counts."""
    corrected: Corrected | None = None
    """With it, the figure is known to be wrong: a misprint, or made from one."""


MOST_LAYERS: Final = 1024
"""Layers of a model whose layers are told apart by number: no model has come near."""

MOST_ASSUMED: Final = 8_192
"""Tokens of a sequence in training that are assumed at most: contexts beyond it are nearly always extended later."""


@spec_dataclass
class Stage:
    """A stretch of training in sequences of one length; a model's context is often extended in a short last one."""

    tokens: Annotated[int, Whole(1, MOST_TOKENS, kilo=1000)] | None = None
    """Tokens that it ran through, repeats counted; both streams of an encoder-decoder. Absent where not published."""
    context: Length | None = None
    """Tokens of a sequence. Absent where not published: min(context, 8,192) of the model is assumed."""
    up_to: bool = False
    """Whether some of its sequences were shorter, or may have been: all tokens are counted at `context`, an upper bound."""
    source: str
    evidence: Evidence = "unconfirmed"
    note: str | None = None


@spec_dataclass
class Training:
    """What the model was trained on: in stages, or `tokens` alone where the length of the sequences was not published."""

    tokens: Annotated[int, Whole(1, MOST_TOKENS, kilo=1000)] | None = None
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


@spec_dataclass
class Embedding:
    """The token embedding."""

    shared: bool = True
    """Whether encoder and decoder share one table."""
    more_rows: Size | None = None
    """Rows of the table beyond the vocabulary, of tokens that the head does not predict (8 in Llama 3.2 Vision)."""
    segments: Size | None = None
    """Rows of a table of segments added to the embedding (BERT has 2); of all such tables, where there are several."""
    mask: bool = False
    """Whether a vector of its own, in no table, stands for tokens that are to be predicted (XLNet)."""
    width: Size | None = None
    """Width of the token embedding where it is not d_model, and of the head on it: a projection bridges the two."""
    projects: Literal["tokens", "sum", "trigrams"] = "tokens"
    """What is brought from `width` to d_model. tokens: the tokens' vectors alone, and the output of the stack back again,
    without biases (OPT-350m). sum: with positions and segments and after the norm, with a bias (ELECTRA, ALBERT).
    trigrams: each token's vector between those of its neighbours, with a bias (MobileBERT)."""
    pieces: Annotated[tuple[Any, ...], Tagged(SIMPLE_PIECES, "linear", many=True)] = ()
    """What else stands before the layers: tables of other widths, and matrices. `inputs` are the tokens; what is at `patches` or
    `outputs` is stored, and run by none of a plain text (a page's image in LayoutLMv3)."""


@spec_dataclass
class Head:
    """What stands on the last layer."""

    kind: Literal["language-model", "masked", "discriminator", "none"] = "language-model"
    """A projection to the vocabulary; one behind a transform of its own, as BERT's; a transform and one number for each
    position, as ELECTRA's discriminator; or none."""
    bias: bool = False
    """Whether the projection to the vocabulary has a bias."""
    transform: Literal["biased", "plain", "none"] = "biased"
    """What stands before a masked head's projection: a square layer with a bias and a norm, as in BERT; the same without
    a bias (ModernBERT); or nothing."""
    words: Size | None = None
    """Words that it can answer with, where these are not the whole vocabulary (Apertus 1.5 answers with no word of an image)."""
    width: Size | None = None
    """Width of what a masked head projects to the vocabulary, where it is not the token embedding's (RemBERT)."""
    further: Size | None = None
    """Channels of what a masked head projects that the token embedding does not have: a table of its own reads them (MobileBERT)."""
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
    pieces: Annotated[tuple[Any, ...], Tagged(SIMPLE_PIECES, "linear", many=True)] = ()
    """What else stands on the last layer: layers of a classifier of its own, at every token (`inputs`) or `once`."""


@spec_dataclass
class Encoder:
    """Where the encoder of an encoder-decoder differs from its decoder; what is absent is the same."""

    layers: Size | None = None
    attention: Annotated[Mixer | None, Tagged(MIXERS, "multi-head")] = None
    feed_forward: Annotated[Mlp | None, Tagged(FEED_FORWARDS, "dense")] = None
    mel_bins: Size | None = None
    """Bins of the spectrogram that it reads through two convolutions, the second of which halves its length (Whisper)."""
    frames: Size | None = None
    """With `mel_bins`: its positions behind the convolutions, in a table of sines; they are its length, whatever is asked."""


@spec_dataclass
class ModelSpec:
    """A model with a shape that is known."""

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
    context: Length | None = None
    """The longest sequence it was trained on; absent where there is no limit or it is not known."""
    tied: bool | None = None
    """Whether the head is the token embedding, transposed; needed where there is a head."""
    attention: Annotated[Mixer | tuple[Mixer, ...], Tagged(MIXERS, "multi-head", many=True)]
    """How tokens are mixed: one block for every layer, or a list of blocks that say which layers they stand in."""
    feed_forward: Annotated[Mlp | tuple[Mlp, ...] | None, Tagged(FEED_FORWARDS, "dense", many=True)] = None
    """What follows the mixing, alike; absent where nothing does."""
    unique_layers: Size | None = None
    """How many layers have weights of their own, where several share them (ALBERT has 1)."""
    mtp: Size | None = None
    """Modules behind the last layer that each predict one token further in training, where they are counted (DeepSeek-V3 had 1)."""
    positions: Annotated[Positions, Tagged(POSITIONS)]
    norm: Norm
    embedding: Embedding = Embedding()
    layer_input: Annotated[LayerInput | None, Elsewhere("blocks.layer_input.LayerInput")] = None
    """What each layer looks up for itself; absent where none does."""
    streams: Annotated[Streams | None, Tagged(STREAMS)] = None
    """How layers meet several residual streams; absent where there is one, as nearly always."""
    head: Head = Head()
    encoder: Encoder | None = None
    """Where an encoder-decoder's encoder differs from its decoder."""
    towers: Annotated[tuple[Tower, ...] | None, SeveralElsewhere("blocks.tower.Tower")] = None
    """What brings images and sounds to the language model, which the other fields describe; absent where nothing does."""
    idle_cross_attention: bool = False
    """Whether a decoder's layers hold attention to an encoder that it does without: stored, and never run (BartForCausalLM)."""
    weights: Annotated[Release | None, Elsewhere("models.weights_spec.Release")] = None
    """What its weights are kept in as they are released, where that is no plain 16 bits."""
    releases: Annotated[tuple[NamedRelease, ...] | None, SeveralElsewhere("models.weights_spec.NamedRelease")] = None
    """Other releases of it in formats of their own, which `--dtype` means by the names of these formats."""
    states: Literal["fp32", "bf16", "fp16"] | None = None
    """What recurrent states are kept in while decoding, where its file says so; absent: as the cache, in 16 bits at the least."""
    assumed: Annotated[AssumedFamily | None, Elsewhere("models.weights_spec.AssumedFamily")] = None
    """The family that it is counted like at its user's request: all that is counted of it is assumed."""
    adapter: Annotated[Adapter | None, Elsewhere("models.adapter_spec.Adapter")] = None
    """Low-rank adapters that are trained on it, where it is counted with some."""
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

    @property
    def image_positions(self) -> int:
        """Positions of a sequence's images that layers attend to; 0 where none does, or there are no images."""
        return next((getattr(mixer, "images", None) or 0 for mixer in self.mixers if sees_images(mixer)), 0)

    def encoder_layers(self) -> int:
        """Depth of the encoder of an encoder-decoder."""
        return (self.encoder and self.encoder.layers) or self.layers

    def figures(self, name: PublishedName) -> tuple[Published, ...]:
        """All that was published under a name, the one to compare with first."""
        found = (self.published or {}).get(name, ())
        return found if isinstance(found, tuple) else (found,)

    @cached_property
    def made(self) -> dict[Any, Any]:
        """What was made of this very spec, kept with it for whoever asks again: a changed copy has its own.

        Ledgers by whether they say what is saved (`lower`), and the pieces that plans cut them into (`tscale.models.trainer`).
        """
        return {}

    def problems(self) -> Iterator[Problem]:
        """What contradicts itself: each names a field and says what is wrong and what to do."""
        from tscale.models.problems import contradictions

        return contradictions(self)


Spec: TypeAlias = "ModelSpec | TowerSpec | UndisclosedSpec"

NESTED: Final[Mapping[str, Mapping[str, type]]] = {
    "attention": MIXERS,
    "mamba": STATE_SPACES,
    "feed_forward": FEED_FORWARDS,
    "positions": POSITIONS,
    "norm": {"": Norm},
    "embedding": {"": Embedding},
    "layer_input": Kinds({"": "blocks.layer_input.LayerInput"}),
    "streams": STREAMS,
    "head": {"": Head},
    "encoder": {"": Encoder},
    "towers": Kinds({"": "blocks.tower.Tower"}),
    "input": TOWER_INPUTS,
    "pieces": TOWER_PIECES,
    "each": TOWER_PIECES,
    "training": {"": Training},
    "weights": Kinds({"": "models.weights_spec.Release"}),
    "releases": Kinds({"": "models.weights_spec.NamedRelease"}),
    "rules": Kinds({"": "models.weights_spec.WeightRule"}),
    "assumed": Kinds({"": "models.weights_spec.AssumedFamily"}),
    "adapter": Kinds({"": "models.adapter_spec.Adapter"}),
    "stages": {"": Stage},
    "figure": {"": Published},
    "corrected": {"": Corrected},
    "on": {"": LayerSelector},
    "estimates": Kinds({"": "models.undisclosed.Estimate"}),
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
    return kinds[kind if isinstance(kind, str) and kind in kinds else next(iter(kinds))]
