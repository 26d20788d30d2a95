"""What one row of the table of model families says; the rows stand in `tscale.importer.families`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from tscale.blocks import Computed, FeedForward, LayerInput, Mixer, Mlp, Norm, Positions, Streams
from tscale.importer import family_rules as rules
from tscale.importer.expert_rules import Routed
from tscale.models.spec import Embedding, Encoder, Head

if TYPE_CHECKING:
    from tscale.importer.config_keys import Config


@dataclass(frozen=True, slots=True)
class Keys:
    """How a family's files call the sizes that all of them have. In an encoder-decoder, those of its decoder."""

    vocabulary: str = "vocab_size"
    d_model: str = "hidden_size"
    layers: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    d_ff: str | None = "intermediate_size"
    """Its value, or the key's absence, may be null: four times d_model."""
    context: str | None = "max_position_embeddings"

    def reads(self, sizes: tuple[object, ...], **more: object) -> dict[str, object]:
        """These keys and `more`, each with what the class takes where it is absent; `sizes` in the order above."""
        names = (self.vocabulary, self.d_model, self.layers, self.heads, self.d_ff, self.context)
        named = [name for name in names if name is not None]
        return dict(zip(named, sizes, strict=True)) | more


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One row. Where a value of the file decides, a column holds its key, or a function where several decide."""

    classes: Mapping[str, Head]
    """The head of each class that `architectures` may name; the first is taken where none is named."""
    head: Callable[[Config, Head], Head] | None = None
    """What the file says of that head, where it says anything."""
    head_bias: str | None = None
    """The key that says whether the projection to the vocabulary has a bias, where the class does not."""
    kind: Literal["decoder", "encoder", "encoder-decoder"] = "decoder"
    keys: Keys = Keys()
    reads: Mapping[str, object]
    """Every key that the class reads and that could decide a count, and what it takes where the key is absent."""
    null: tuple[str, ...] = ()
    """Keys that may be null although their default is not."""
    fixed: Mapping[str, object] = field(default_factory=dict)
    """Keys that files hold and whose value the class takes for granted: another value is another architecture."""
    harmless: tuple[str, ...] = ()
    """Keys of this family alone that change no count."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Other names of keys."""
    norm: Norm | Callable[[Config], Norm]
    positions: Positions | Callable[[Config], Positions] = Computed(kind="rotary")
    unread_rows: int = 0
    """Rows of the position table that no token reads, so that the context is shorter than the table."""
    biases: Mapping[str, bool | str] = field(default_factory=dict)
    """Which of the projections q, k, v and o have a bias: always, or where a key says so."""
    gated: bool | Callable[[Config], bool] = False
    qk_norm: Literal["head", "full"] | None = None
    """Norms on queries and keys."""
    qk_norm_if: str | None = None
    """The key that says whether there are any; where absent, there are."""
    qk_norm_bias: bool = False
    out_norm: bool = False
    differential: bool = False
    gated_heads: bool = False
    """Whether a projection of the width of the queries gates the heads' outputs."""
    sinks: bool = False
    global_projections: bool = False
    """Whether tokens that see all others have projections of their own."""
    d_ff_out_bias: bool = False
    """Whether the matrix down alone has a bias."""
    d_ff_bias: bool | str = False
    inner_norm: bool = False
    scalars: int | None = None
    """Learned numbers of the activation."""
    experts: Routed | Callable[[Config, FeedForward], Mlp | tuple[Mlp, ...]] | None = None
    """What stands in place of some or all of the dense feed-forwards, which are handed over."""
    layers: Callable[[Config], int] | None = None
    unique_layers: Callable[[Config], int | None] | None = None
    """How many layers have weights of their own, where several share them."""
    kv_heads: Callable[[Config], int | None] = rules.kv_heads
    attention: Callable[[Config], Mixer | tuple[Mixer, ...]] | None = None
    """The mixers, where they are not all of one softmax attention that the other columns describe."""
    feed_forward: Callable[[Config], Mlp | tuple[Mlp, ...] | None] | None = None
    """The feed-forwards, where they are not all of one dense kind that the other columns describe."""
    head_dim: Callable[[Config], int | None] = rules.head_dim
    sight: Callable[[Config], rules.AttentionMask] | None = None
    """Which layers see how far; where absent, every layer sees every key."""
    embedding: Embedding | Callable[[Config], Embedding] = Embedding()
    layer_input: Callable[[Config], LayerInput | None] | None = None
    streams: Callable[[Config], Streams] | None = None
    """The residual streams, where there are several."""
    encoder: Callable[[Config], Encoder | None] | None = None
    notes: Callable[[Config], tuple[str, ...]] | None = None
    """What the file names and the class leaves out."""


NO_VISION: Final = "Left out: the vision tower and its projection (vision_config): the text model alone is counted."


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested:
    """A family that reads more than text: the text model stands in `text_config`, and that alone is read."""

    classes: tuple[str, ...]
    text: tuple[str, ...]
    """The families that `text_config` may be of; the first where it names none."""
    tied: bool
    """Whether the head is tied where the file is silent."""
    unsaid: bool = False
    """Whether releases differ about that, so that it is said."""
    named: Mapping[str, str] = field(default_factory=dict)
    """Other names that files give to one of those families."""
    own: tuple[str, ...]
    """Keys of the file beside those of the text model, all of what is left out."""
    inside: tuple[str, ...] = ()
    """Keys of the text model that say how it meets what is left out."""
    defaults: Mapping[str, object] = field(default_factory=dict)
    """What the class takes for keys that the text model lacks, where its own family takes other values."""
    flat: bool = False
    """Whether older files have the keys of the text model beside the others, and no `text_config`."""
    unread_flat: bool = False
    """Whether its class builds a text model of its own sizes where there is no `text_config`, whatever stands beside."""
    ties_whole: bool = False
    """Whether a text model that says that it is tied ties the whole where the file is silent, as before release 5."""
    retied: bool = True
    """Whether the file decides at all whether the head is tied."""
    left_out: str
