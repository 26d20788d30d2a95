"""Kin of T5: with experts (Switch Transformers), for long inputs (LongT5), and made of Gemma (T5Gemma)."""

from __future__ import annotations

from tscale.blocks import Attention, Experts, FeedForward, Mlp
from tscale.blocks.fields import LayerSelector
from tscale.errors import shown
from tscale.importer.config_keys import Config
from tscale.models.spec import Encoder


def switch_experts(config: Config, dense: FeedForward) -> Mlp | tuple[Mlp, ...]:
    """A dense feed-forward in most layers and experts in every n-th of both stacks, one a token (Fedus 2021)."""
    steps = {
        _sparse_step(config, "num_layers", "num_sparse_encoder_layers", "encoder_sparse_step"),
        _sparse_step(config, "num_decoder_layers", "num_sparse_decoder_layers", "decoder_sparse_step"),
    }
    if len(steps) > 1:
        raise config.wrong(
            f"num_sparse_encoder_layers: experts in every n-th layer are known with one n for both stacks only, not "
            f"with {min(steps)} and {max(steps)}"
        )
    (step,) = steps
    if not step:
        return dense
    experts = Experts(
        kind="experts",
        experts=config.size("num_experts"),
        top_k=1,
        d_ff=dense.d_ff,
        gated=False,
        router_bias=config.flag("router_bias"),
        on=None if step == 1 else LayerSelector(every=step, at=1),
    )
    return experts if step == 1 else (dense, experts)


def _sparse_step(config: Config, layers: str, sparse_layers: str, step: str) -> int:
    """Every which layer has experts, 0 for none: the class divides the depth by their number, and takes it whole for 0."""
    depth = config.optional(layers) or config.size("num_layers")
    sparse, said = config.whole(sparse_layers), config.optional(step)
    return said or (depth // sparse if sparse else depth)


def longt5_encoder(config: Config) -> Encoder:
    """Each token sees its neighbours, and in the transient kind the sum of each block of tokens as well (Guo 2022)."""
    kind, layers = config.text("encoder_attention_type"), config.size("num_layers")
    if kind not in ("local", "transient-global"):
        raise config.wrong(f"encoder_attention_type: {shown(kind)} is not known: local or transient-global")
    attention = Attention(
        heads=config.size("num_heads"),
        head_dim=config.size("d_kv"),
        window=2 * config.size("local_radius") + 1 if kind == "local" else None,
        summaries=config.size("relative_attention_num_buckets") if kind == "transient-global" else None,
    )
    decoder = config.optional("num_decoder_layers") or layers
    return Encoder(layers=None if layers == decoder else layers, attention=attention)


def longt5_notes(config: Config) -> tuple[str, ...]:
    """What the sums of blocks stand for."""
    if config.text("encoder_attention_type") == "local":
        return ()
    radius, block = config.size("local_radius"), config.size("global_block_size")
    return (f"A token of the encoder sees those up to {radius:,} places off and the sums of blocks of {block:,}: all tokens are "
            "counted in place of these.",)  # fmt: skip


_ALTERNATING = ("sliding_attention", "full_attention")


def t5gemma_encoder(config: Config) -> Encoder:
    """A stack of Gemma 2 that sees both ways, of the decoder's width."""
    for key in ("hidden_size", "vocab_size"):
        config.agreed(f"encoder_{key}", config.size(key), key)
    layers, window = config.size("encoder_num_hidden_layers"), config.optional("encoder_sliding_window")
    listed = config.listed("encoder_layer_types", str)
    if listed is not None and listed != [_ALTERNATING[layer % 2] for layer in range(layers)]:
        raise config.wrong("encoder.layer_types that do not take turns, the first of them sliding, are not known yet")
    own_d_ff, d_ff = config.size("encoder_intermediate_size"), config.size("intermediate_size")
    attention = Attention(
        heads=config.size("encoder_num_attention_heads"),
        kv_heads=config.size("encoder_num_key_value_heads"),
        head_dim=config.size("encoder_head_dim"),
        bias=config.flag("encoder_attention_bias"),
        window=None if window is None else 2 * window + 1,
        pattern=None if window is None else ("local", "global"),
    )
    return Encoder(
        layers=None if layers == config.size("num_hidden_layers") else layers,
        attention=attention,
        feed_forward=None if own_d_ff == d_ff else FeedForward(d_ff=own_d_ff, gated=True),
    )
