"""Encoders like BERT whose layers are made of other matrices."""

from __future__ import annotations

from dataclasses import replace

from tscale.blocks import Attention, Bottleneck, FeedForward
from tscale.importer.config_keys import Config
from tscale.models.spec import Embedding, Head


def squeezebert(config: Config) -> Attention:
    """Projections within groups of channels, of which q, k and v have as many; the one out has none (Iandola 2020)."""
    groups = config.size("q_groups")
    if (config.size("k_groups"), config.size("v_groups")) != (groups, groups):
        raise config.wrong("q_groups, k_groups and v_groups that differ are not known yet")
    if config.size("post_attention_groups") != 1:
        raise config.wrong("post_attention_groups: only 1 is known yet")
    config.agreed("embedding_size", config.size("hidden_size"), "hidden_size")
    return Attention(heads=config.size("num_attention_heads"), bias=True, groups=groups)


def squeezebert_feed_forward(config: Config) -> FeedForward:
    """Both matrices within as many groups of channels."""
    groups = config.size("intermediate_groups")
    if config.size("output_groups") != groups:
        raise config.wrong("intermediate_groups and output_groups that differ are not known yet")
    return FeedForward(d_ff=config.size("intermediate_size"), bias=True, groups=groups)


def nystromformer(config: Config) -> Attention:
    """Softmax attention, and a filter over the values of each head (Xiong 2021)."""
    return Attention(
        heads=config.size("num_attention_heads"), bias=True, value_conv=config.optional("conv_kernel_size")
    )


def nystromformer_notes(config: Config) -> tuple[str, ...]:
    """That keys are seen by way of landmarks, unless there is one for each segment."""
    if config.size("num_landmarks") == config.size("segment_means_seq_len"):
        return ()
    return ("Its keys are seen by way of landmarks (Nystromformer): full attention counts all of them.",)


def mobilebert(config: Config) -> Bottleneck:
    """Layers that work in a narrow stream."""
    config.agreed("true_hidden_size", config.size("intra_bottleneck_size"), "intra_bottleneck_size")
    return Bottleneck(
        kind="bottleneck",
        heads=config.size("num_attention_heads"),
        width=config.size("intra_bottleneck_size"),
        d_ff=config.size("intermediate_size"),
        feed_forwards=config.size("num_feedforward_networks"),
    )


def mobilebert_embedding(config: Config) -> Embedding:
    """Narrow vectors of three words in a row, brought to the width of the model."""
    width = config.size("embedding_size")
    if width >= config.size("hidden_size"):
        raise config.wrong("embedding_size must be below hidden_size: the table of the head holds the rest")
    return Embedding(segments=config.size("type_vocab_size"), width=width, projects="trigrams")


def mobilebert_head(config: Config, head: Head) -> Head:
    """The table of words, and what it lacks to the width of the model; a pooler where its flag says so."""
    pooler = head.pooler and config.flag("classifier_activation")
    further = config.size("hidden_size") - config.size("embedding_size")
    return replace(head, pooler=pooler, further=further if head.kind == "masked" else None)
