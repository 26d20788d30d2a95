"""Rules of the encoders and encoder-decoders of `families_2026_encoders`: one small function a twist."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tscale.blocks import Attention, FeedForward, Learned, Mixer, Norm, Positions
from tscale.importer import family_rules as rules
from tscale.models.spec import Embedding, Encoder, Head

if TYPE_CHECKING:
    from tscale.importer.config_keys import Config

# ---- encoders like BERT ----


def layout_segments(config: Config) -> Embedding:
    """Segments, and four tables of where a word stands on a page: left and top, height and width (LayoutLM)."""
    places = config.size("max_2d_position_embeddings")
    return Embedding(segments=config.size("type_vocab_size") + 4 * places)


def layout_head(config: Config, head: Head) -> Head:
    """As many classes of words as the file has labels."""
    return replace(head, classes=config.labels()) if head.per_token else head


def table_segments(config: Config) -> Embedding:
    """Seven tables or more of where a word stands in a table (TAPAS)."""
    rows = config.value("type_vocab_sizes")
    if not isinstance(rows, list) or not rows or not all(type(size) is int and 0 < size < 10**9 for size in rows):
        raise config.wrong("type_vocab_sizes must be a list of whole numbers above 0")
    return Embedding(segments=sum(rows))


def languages(config: Config) -> Embedding:
    """A vector for each language, where there are several (XLM)."""
    many = config.size("n_langs")
    return Embedding(segments=many if many > 1 and config.flag("use_lang_emb") else None)


def xlm_norm(_: Config) -> Norm:
    """Behind each half of a layer and behind the embedding."""
    return Norm(kind="layernorm", place="post", embedding=True)


def flaubert_norm(config: Config) -> Norm:
    """The same, or before each half, as `pre_norm` says; none behind the last layer either way."""
    pre = config.flag("pre_norm")
    return Norm(kind="layernorm", place="pre" if pre else "post", embedding=True, final=False if pre else None)


def four_times(config: Config) -> FeedForward:
    """A feed-forward four times as wide as the model, whatever the file says."""
    return FeedForward(d_ff=4 * config.size(config.keys.d_model), bias=True)


def yoso_notes(_: Config) -> tuple[str, ...]:
    """What full attention means for keys that are sampled by their hashes."""
    return (
        "Its keys are weighted by how often their hashes agree with a query's (YOSO): full attention counts all of them.",
    )


# ---- encoder-decoders that read long texts ----


def led_positions(config: Config) -> Positions:
    """A table for each stack, the encoder's of more rows."""
    source = config.size("max_encoder_position_embeddings")
    return Learned(rows=config.size("max_decoder_position_embeddings"), encoder_rows=source)


def led_encoder(config: Config) -> Encoder:
    """Longformer's attention: a window, and projections for tokens that see all others (Beltagy 2020)."""
    from tscale.importer.family_encoders import longformer_sight

    layers, d_ff = config.size("encoder_layers"), config.size("encoder_ffn_dim")
    return Encoder(
        layers=None if layers == config.size("decoder_layers") else layers,
        attention=Attention(
            heads=config.size("encoder_attention_heads"),
            bias=True,
            global_projections=True,
            window=longformer_sight(config).window,
        ),
        feed_forward=None if d_ff == config.size("decoder_ffn_dim") else FeedForward(d_ff=d_ff, bias=True),
    )


def big_bird_encoder(config: Config) -> Encoder | None:
    """As BART's, with biases in attention where the file asks for them."""
    found = rules.bart_encoder(config)
    if found is None or found.attention is None:
        return found
    own = Attention(heads=config.size("encoder_attention_heads"), bias=config.flag("use_bias"))
    return Encoder(layers=found.layers, attention=own, feed_forward=found.feed_forward)


def big_bird_attention(config: Config) -> Mixer:
    """The decoder's."""
    return Attention(heads=config.size("decoder_attention_heads"), bias=config.flag("use_bias"))
