"""What one row of the table of model families says: a file of `configs/families/`, or of a user's (`--families`).

Where a value of the config.json decides, a column holds a rule (`{rule: NAME}`, of `tscale.importer.rules`) or, for a twist
of one lineage, a hook (`{hook: FILE.NAME}`, of `tscale.importer.hooks`): both are functions of the keys of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tscale.blocks import POSITIONS, Computed, FeedForward, LayerInput, Mixer, Mlp, Norm, Positions, Streams
from tscale.blocks.fields import Tagged
from tscale.blocks.spec_dataclass import CONFIG
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import AttentionMask
from tscale.importer.rules import Key
from tscale.models.spec import Embedding, Encoder, Head

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema


class Ruled:
    """Marks a column that holds a rule or a hook, or a value of `plain` where there is such a type."""

    def __init__(self, column: str, plain: Any = None) -> None:
        self.column, self.plain = column, plain

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from tscale.importer.family_schema import schema_of_column

        return schema_of_column(self.column, self.plain, handler)


Group = Literal[
    "decoder",
    "normed",
    "experts",
    "hybrid",
    "several attentions",
    "new layers",
    "inner",
    "encoder",
    "encoder-decoder",
    "repository",
]
"""Plain decoders; those with norms on queries and keys; with experts or latent attention; with recurrences or convolutions;
with several kinds of attention; with layers of the years since 2025; text models of families that read more; encoders; encoder-decoders; and those whose code
stands in their repositories."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """How a family's files call the sizes that all of them have. In an encoder-decoder, those of its decoder."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

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
class Routed:
    """How a family's files call the sizes of its experts, and what the class takes for granted."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    experts: Key = "num_local_experts"
    """The key of how many there are in a layer."""
    top_k: Key = "num_experts_per_tok"
    """That of how many a token runs through."""
    d_ff: Key = "moe_intermediate_size"
    """That of the width of one."""
    shared: Key | None = None
    """The key of how many shared experts there are, each as wide as a routed one."""
    shared_d_ff: Key | None = None
    """The key of the width of all shared experts."""
    dense_d_ff: Key | None = None
    """That of the width of dense layers, where it may be another than that of other families' feed-forwards."""
    shared_gate: bool = False
    """Whether a gate scales what the shared experts yield."""
    bias: bool = False
    router_bias: bool = False
    selection_bias: Literal["buffer", "parameter"] | None = None
    """What is added to scores where experts are chosen, and how it is stored."""
    out_norm: bool = False
    sparse: Annotated[Callable[[Config], list[bool]] | None, Ruled("sparse")] = None
    """Which layers have experts; by default every layer has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A family of model types that one class builds: what its config.json files say, and what the class takes for granted."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    name: str
    """What files say as `model_type`."""
    also: tuple[str, ...] = ()
    """Names that the release of transformers reads as this one."""
    source: str = ""
    """Where the row was read."""
    defaults_of: str | None = None
    """The class with the defaults that `reads` holds."""
    group: Group | None = None
    """Under which heading lists of families have it."""
    classes: Mapping[str, Head]
    """The head of each class that `architectures` may name; the first is taken where none is named."""
    head: Annotated[Callable[[Config, Head], Head] | None, Ruled("head")] = None
    """What the file says of that head, where it says anything."""
    head_bias: Key | None = None
    """The key that says whether the projection to the vocabulary has a bias, where the class does not."""
    kind: Literal["decoder", "encoder", "encoder-decoder"] = "decoder"
    """Which stacks it has."""
    keys: Keys = field(default_factory=Keys)
    """How its files call the sizes that all have, where that is not as most do."""
    reads: Mapping[str, object]
    """Every key that the class reads and that could decide a count, and what it takes where the key is absent: `required`
    where it has no default that makes sense."""
    nullable: tuple[Key, ...] = ()
    """Keys that may be null although their default is not."""
    fixed: Mapping[str, object] = field(default_factory=dict)
    """Keys that files hold and of which the class takes the value for granted: another value is another architecture."""
    harmless: tuple[str, ...] = ()
    """Keys of this family alone that change no count."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Other names of keys."""
    norm: Annotated[Norm | Callable[[Config], Norm], Ruled("norm", Norm)]
    """Its norms."""
    positions: Annotated[
        Positions | Callable[[Config], Positions], Ruled("positions", Annotated[Positions, Tagged(POSITIONS)])
    ] = field(default_factory=lambda: Computed(kind="rotary"))
    """How it encodes positions; by default rotary."""
    unread_rows: int = 0
    """Rows of the position table that no token reads, so that the context is shorter than the table."""
    biases: Mapping[str, bool | Key] = field(default_factory=dict)
    """Which of the projections q, k, v and o have a bias: always, or where a key says so."""
    gated: Annotated[bool | Callable[[Config], bool], Ruled("gated", bool)] = False
    """Whether feed-forwards have a gate."""
    qk_norm: Literal["head", "full"] | None = None
    """Norms on queries and keys."""
    qk_norm_if: Key | None = None
    """The key that says whether there are any; by default there are."""
    qk_norm_bias: bool = False
    out_norm: bool = False
    """Whether a norm stands before the projection out of attention."""
    differential: bool = False
    """Whether heads work in pairs, one output subtracted from the other."""
    gated_heads: bool = False
    """Whether a projection of the width of the queries gates the heads' outputs."""
    gate_bias: bool = False
    """Whether that gate has a bias for each head."""
    sinks: bool = False
    """Whether heads have a learned sink."""
    global_projections: bool = False
    """Whether tokens that see all others have projections of their own."""
    d_ff_out_bias: bool = False
    """Whether the matrix down alone has a bias."""
    d_ff_bias: bool | Key = False
    """Whether the matrices of feed-forwards have a bias: always, or where a key says so."""
    inner_norm: bool = False
    """Whether a norm stands before the matrix down."""
    scalars: int | None = None
    """Learned numbers of the activation."""
    experts: Annotated[
        Routed | Callable[[Config, FeedForward], Mlp | tuple[Mlp, ...]] | None, Ruled("experts", Routed)
    ] = None
    """What replaces some or all of the dense feed-forwards that it is given."""
    layers: Annotated[Callable[[Config], int] | None, Ruled("layers")] = None
    """How deep its stack is, where no one key says so."""
    unique_layers: Annotated[Callable[[Config], int | None] | None, Ruled("unique_layers")] = None
    """How many layers have weights of their own, where several share them."""
    kv_heads: Annotated[Callable[[Config], int | None] | None, Ruled("kv_heads")] = None
    """Heads of keys and values: by default what `num_key_value_heads` says if the class reads it."""
    head_dim: Annotated[Callable[[Config], int | None] | None, Ruled("head_dim")] = None
    """Width of a head: by default what `head_dim` says if the class reads it."""
    attention: Annotated[Callable[[Config], Mixer | tuple[Mixer, ...]] | None, Ruled("attention")] = None
    """The mixers, where they are not all of one softmax attention that the other columns describe."""
    feed_forward: Annotated[Callable[[Config], Mlp | tuple[Mlp, ...] | None] | None, Ruled("feed_forward")] = None
    """The feed-forwards, where they are not all of one dense kind that the other columns describe."""
    window: Annotated[Callable[[Config], AttentionMask] | None, Ruled("window")] = None
    """Which layers see how far; by default every layer sees every key."""
    embedding: Annotated[Embedding | Callable[[Config], Embedding], Ruled("embedding", Embedding)] = field(
        default_factory=Embedding
    )
    """Its tables of embeddings; by default one of tokens."""
    layer_input: Annotated[Callable[[Config], LayerInput | None] | None, Ruled("layer_input")] = None
    """What each layer takes in addition to the output of the last one."""
    streams: Annotated[Callable[[Config], Streams] | None, Ruled("streams")] = None
    """The residual streams, where there are several."""
    encoder: Annotated[Callable[[Config], Encoder | None] | None, Ruled("encoder")] = None
    """How the encoder of an encoder-decoder is unlike its decoder."""
    notes: Annotated[Callable[[Config], tuple[str, ...]] | None, Ruled("notes")] = None
    """What the file names and the class leaves out."""
