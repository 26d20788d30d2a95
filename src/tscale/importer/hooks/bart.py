"""Encoder-decoders like BART with a twist each."""

from __future__ import annotations

from dataclasses import replace

from tscale.blocks import Attention, Experts, FeedForward, Learned, Mlp, Positions
from tscale.blocks.fields import LayerSelector
from tscale.importer.config_keys import Config
from tscale.importer.hooks.bert import longformer_window
from tscale.importer.rules.stacks import stack
from tscale.importer.towers.parts import table
from tscale.models.spec import Embedding, Encoder


def fsmt_embedding(config: Config) -> Embedding:
    """One table for both languages where it is tied, one each where it is not; of as many words each."""
    source, target = config.size("src_vocab_size"), config.size("tgt_vocab_size")
    if source != target:
        raise config.wrong(f"src_vocab_size ({source}) and tgt_vocab_size ({target}) differ: that is not known yet")
    return Embedding(shared=config.flag("tie_word_embeddings"))


def tables(config: Config) -> Embedding:
    """One table; where it is not tied, one for each stack, and another that stands around them and none reads."""
    if config.flag("tie_word_embeddings"):
        return Embedding()
    unread = table("unread_tokens", config.size("vocab_size"), config.size("d_model"))
    return Embedding(shared=False, pieces=(unread,))


def nllb_experts(config: Config, dense: FeedForward) -> Mlp | tuple[Mlp, ...]:
    """Experts in the last of every n layers of both stacks, two a token (NLLB 2022, section 6.2)."""
    step, other = config.whole("encoder_sparse_step"), config.whole("decoder_sparse_step")
    if step != other:
        raise config.wrong(
            f"encoder_sparse_step: {step} is known next to a decoder_sparse_step of {step} only, not of {other}"
        )
    if not step:
        return dense
    if config.size("encoder_ffn_dim") != config.size("decoder_ffn_dim"):
        raise config.wrong("encoder_ffn_dim and decoder_ffn_dim that differ are not known yet with experts")
    experts = Experts(
        kind="experts",
        experts=config.size("num_experts"),
        top_k=2,
        d_ff=dense.d_ff,
        gated=False,
        bias=True,
        router_bias=config.flag("router_bias"),
        on=None if step == 1 else LayerSelector(every=step, at=step - 1),
    )
    return experts if step == 1 else (dense, experts)


def led_positions(config: Config) -> Positions:
    """A table for each stack, the encoder's of more rows."""
    source = config.size("max_encoder_position_embeddings")
    return Learned(rows=config.size("max_decoder_position_embeddings"), encoder_rows=source)


def led_encoder(config: Config) -> Encoder:
    """Longformer's attention: a window, and projections for tokens that see all others (Beltagy 2020)."""
    layers, d_ff = config.size("encoder_layers"), config.size("encoder_ffn_dim")
    return Encoder(
        layers=None if layers == config.size("decoder_layers") else layers,
        attention=Attention(
            heads=config.size("encoder_attention_heads"),
            bias=True,
            global_projections=True,
            window=longformer_window(config).window,
        ),
        feed_forward=None if d_ff == config.size("decoder_ffn_dim") else FeedForward(d_ff=d_ff, bias=True),
    )


def big_bird_encoder(config: Config) -> Encoder | None:
    """As BART's, with biases in attention where the file asks for them."""
    found = stack(config, layers="encoder_layers", heads="encoder_attention_heads", d_ff="encoder_ffn_dim")
    if found is None or found.attention is None:
        return found
    own = Attention(heads=config.size("encoder_attention_heads"), bias=config.flag("use_bias"))
    return replace(found, attention=own)
