"""Encoders like BERT whose layers or tables have parts that BERT's do not."""

from __future__ import annotations

from dataclasses import replace

from tscale.blocks import Attention, FeedForward
from tscale.blocks.augmented import Augmented
from tscale.blocks.tower_pieces import Linear, Simple
from tscale.importer.config_keys import Config
from tscale.importer.towers.parts import linear, norm, table, vector
from tscale.models.spec import Embedding, Head


def convbert(config: Config) -> Augmented:
    """Half of the width by attention of fewer heads, half by filters that each token computes (Jiang 2020)."""
    d, k = config.size("hidden_size"), config.size("conv_kernel_size")
    heads = config.size("num_attention_heads") // config.size("head_ratio") or 1
    if d % (2 * heads):
        raise config.wrong(
            f"hidden_size: {d} is not two halves of {heads} heads, as num_attention_heads / head_ratio makes it"
        )
    half = d // 2
    return Augmented(
        kind="augmented",
        attention=Attention(heads=heads, head_dim=half // heads, bias=True),
        pieces=(
            linear("conv.depthwise", k, 1, bias=False, copies=d),  # padded so that it yields as many positions
            linear("conv.pointwise", d, half),
            linear("conv.kernel", half, heads * k),
            linear("conv.v", d, half),
            Linear(name="conv.filter", d_in=k, d_out=half, learned=False),
            linear("conv.o", half, d, bias=False),
        ),
    )


def convbert_feed_forward(config: Config) -> FeedForward:
    """Both matrices within groups of channels."""
    groups = config.size("num_groups")
    return FeedForward(d_ff=config.size("intermediate_size"), bias=True, groups=None if groups == 1 else groups)


def fourier(config: Config) -> Augmented:
    """Tokens are mixed by a Fourier transform, which has no weights and no matrix products (Lee-Thorp 2021)."""
    del config
    return Augmented(kind="augmented")


def xmod(config: Config) -> Augmented:
    """Attention, and an adapter for each language, of which a text runs through one (Pfeiffer 2022)."""
    d = config.size("hidden_size")
    languages, narrow = config.listed("languages", str), d // config.size("adapter_reduction_factor")
    if not languages or not narrow:
        raise config.wrong("languages and adapter_reduction_factor must give each layer an adapter of some width")
    pieces: list[Simple] = [linear("adapter.down", d, narrow), linear("adapter.up", narrow, d)]
    if len(languages) > 1:
        pieces += [
            linear("other_adapters.down", d, narrow, at="patches", copies=len(languages) - 1),
            linear("other_adapters.up", narrow, d, at="patches", copies=len(languages) - 1),
        ]
    if config.flag("adapter_layer_norm"):
        pieces.append(norm("adapter.norm", d))
    attention = Attention(heads=config.size("num_attention_heads"), bias=True)
    return Augmented(kind="augmented", attention=attention, pieces=tuple(pieces))


def roc_bert_embedding(config: Config) -> Embedding:
    """Tables of segments, of how a word is said and what it looks like, brought to the model's width next to the word (Su 2022)."""
    d = config.size("hidden_size")
    said, seen = config.size("pronunciation_embed_dim"), config.size("shape_embed_dim")
    pieces: list[Simple] = [
        table("pronunciations", config.size("pronunciation_vocab_size"), said),
        table("shapes", config.size("shape_vocab_size"), seen),
    ]
    if config.flag("concat_input"):
        wide = d + config.flag("enable_pronunciation") * said + config.flag("enable_shape") * seen
        pieces.append(linear("in", wide, d))
    return Embedding(segments=config.size("type_vocab_size"), pieces=tuple(pieces))


def luke(config: Config) -> Augmented:
    """Attention with queries of their own where words and entities meet: of a plain text, which has no entities, none of them runs."""
    d = config.size("hidden_size")
    others = (
        ("words_to_entities.q", "entities_to_words.q", "entities.q")
        if config.flag("use_entity_aware_attention")
        else ()
    )
    return Augmented(
        kind="augmented",
        attention=Attention(heads=config.size("num_attention_heads"), bias=True),
        pieces=tuple(linear(name, d, d, at="patches") for name in others),
    )


def luke_embedding(config: Config) -> Embedding:
    """Tables of segments; of entities, a narrow table with a matrix behind it, and positions, segments and a norm."""
    d, width, segments = config.size("hidden_size"), config.size("entity_emb_size"), config.size("type_vocab_size")
    pieces: list[Simple] = [table("entities", config.size("entity_vocab_size"), width)]
    if width != d:
        pieces.append(linear("entities.in", width, d, bias=False, at="patches"))
    pieces += [
        table("entities.positions", config.size("max_position_embeddings"), d),
        table("entities.segments", segments, d),
        norm("entities.norm", d),
    ]
    return Embedding(segments=segments, pieces=tuple(pieces))


def luke_head(config: Config, head: Head) -> Head:
    """The words' head, with a matrix of its own, and the entities' next to it: a layer, a norm, and a bias on their table."""
    if head.kind != "masked":
        return head
    d, width, words = config.size("hidden_size"), config.size("entity_emb_size"), config.size("vocab_size")
    pieces = (
        linear("transform", d, d),
        norm("norm", d),
        linear("words", d, words),
        linear("entities.transform", d, width, at="patches"),
        norm("entities.norm", width),
        vector("entities.bias", config.size("entity_vocab_size")),
    )
    return Head(kind="none", pooler=True, pieces=pieces)


def big_bird_head(config: Config, head: Head) -> Head:
    """Classes behind a layer of their own, or behind a whole feed-forward where a span is looked for."""
    d, named = config.size("hidden_size"), config.architectures() or ""
    if head.classes is None or head.kind != "none":
        return head
    if named.endswith("ForSequenceClassification"):
        return replace(head, classes=config.labels(), pieces=(linear("dense", d, d, at="once"),))
    if named.endswith("ForQuestionAnswering"):
        inner = config.size("intermediate_size")
        pieces = (linear("up", d, inner), linear("down", inner, d), norm("norm", d))
        return replace(head, classes=config.labels(), pieces=pieces)
    return replace(head, classes=config.labels())


def blip(config: Config) -> Augmented:
    """Attention that decodes, and attention to an image behind it, of which a plain text has none (Li 2022)."""
    d, wide = config.size("hidden_size"), config.size("encoder_hidden_size")
    attention = Attention(heads=config.size("num_attention_heads"), bias=True)
    return Augmented(
        kind="augmented",
        attention=attention,
        pieces=(norm("image.norm", d),),
        image_attention=attention,
        image_width=None if wide == d else wide,
    )
