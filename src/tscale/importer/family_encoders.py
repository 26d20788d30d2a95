"""What several keys decide together in encoders and encoder-decoders, for the rows of `tscale.importer.families_encoders`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tscale.blocks import (
    Attention,
    Computed,
    Disentangled,
    Experts,
    FeedForward,
    Learned,
    Mlp,
    Norm,
    Positions,
    Relative,
    RelativeBias,
)
from tscale.blocks.disentangled import Term
from tscale.blocks.fields import LayerSelector
from tscale.errors import shown
from tscale.importer import family_rules as rules
from tscale.models.spec import Embedding, Encoder, Head

if TYPE_CHECKING:
    from tscale.importer.config_keys import Config

# ---- shared layers ----


def albert_layers(config: Config) -> int:
    """Each of `num_hidden_layers` steps runs through the layers of its group."""
    return config.size("num_hidden_layers") * config.size("inner_group_num")


def albert_unique_layers(config: Config) -> int:
    """Each group has layers of its own; steps are dealt to the groups in turn."""
    groups = config.size("num_hidden_groups")
    if groups > config.size("num_hidden_layers"):
        raise config.wrong(
            f"num_hidden_groups: {groups} groups are more than num_hidden_layers, so some are never used"
        )
    return groups * config.size("inner_group_num")


def albert_embedding(config: Config) -> Embedding:
    """With segments, and projected as a whole even where it is as wide as the model."""
    return Embedding(segments=config.size("type_vocab_size"), width=config.size("embedding_size"), projects="sum")


# ---- DeBERTa ----


def deberta_embedding(config: Config) -> Embedding:
    """With segments where there are any; as wide as the model."""
    config.agreed("embedding_size", config.size("hidden_size"), "hidden_size")
    return Embedding(segments=config.whole("type_vocab_size") or None)


def deberta_head_dim(config: Config) -> int | None:
    """Its own key where it has one; then heads times it must be d_model, since what follows is that wide."""
    width, heads, d_model = config.optional("attention_head_size"), config.size("num_attention_heads"), "hidden_size"
    if width is not None and width * heads != config.size(d_model):
        raise config.wrong(
            f"attention_head_size: {width} times {heads} heads is not {d_model} {config.size(d_model)}, as it must be"
        )
    return None


def deberta_positions(config: Config) -> Positions:
    """Distances as far as the longest sequence, of which each sequence takes its own."""
    if not config.flag("relative_attention"):
        return _absolute(config)
    span, longest = _span(config), config.size("max_position_embeddings")
    if span < longest:
        raise config.wrong(f"max_relative_positions: {span} is not known below max_position_embeddings, {longest}")
    return Disentangled(
        kind="disentangled", span=span, terms=_terms(config), whole=False, biases=("p2c",), rows=_rows(config)
    )


def deberta_v2_positions(config: Config) -> Positions:
    """Distances in buckets, where there are any; the convolution belongs to the same keys."""
    kernel = config.whole("conv_kernel_size") or None
    if not config.flag("relative_attention"):
        if kernel is not None or config.text("norm_rel_ebd") != "none":
            raise config.wrong("conv_kernel_size and norm_rel_ebd are not known without relative_attention")
        return _absolute(config)
    if kernel is not None and (kernel % 2 == 0 or config.size("hidden_size") % config.size("conv_groups")):
        raise config.wrong("conv_kernel_size must be odd, and conv_groups divide hidden_size")
    norms = [word.strip() for word in config.text("norm_rel_ebd").lower().split("|")]
    if any(word not in ("none", "layer_norm") for word in norms):
        raise config.wrong(f"norm_rel_ebd: {shown(config.value('norm_rel_ebd'))} is not known: none or layer_norm")
    return Disentangled(
        kind="disentangled",
        span=_whole_or_minus_one(config, "position_buckets") or _span(config),
        terms=_terms(config),
        shared=config.flag("share_att_key"),
        normed="layer_norm" in norms,
        rows=_rows(config),
        conv=kernel,
        conv_groups=config.size("conv_groups"),
    )


def _absolute(config: Config) -> Positions:
    rows = _rows(config)
    if rows is None:
        raise config.wrong("position_biased_input: false without relative_attention leaves no positions at all")
    return Learned(rows=rows)


def _rows(config: Config) -> int | None:
    return config.size("max_position_embeddings") if config.flag("position_biased_input") else None


def _span(config: Config) -> int:
    return _whole_or_minus_one(config, "max_relative_positions") or config.size("max_position_embeddings")


def _whole_or_minus_one(config: Config, key: str) -> int | None:
    """A whole number above 0, or None where the file says -1, 0 or null: the class takes another key then."""
    return None if config.value(key) in (-1, 0, None) else config.size(key)


def _terms(config: Config) -> tuple[Term, ...]:
    said = config.value("pos_att_type")
    words = said.split("|") if isinstance(said, str) else said
    names = [word.strip() if isinstance(word, str) else word for word in words] if isinstance(words, list) else []
    if said is not None and not (isinstance(words, list) and all(name in ("c2p", "p2c") for name in names)):
        raise config.wrong(f"pos_att_type: {shown(said)} is not known: only c2p and p2c are")
    legal: tuple[Term, ...] = ("c2p", "p2c")
    return tuple(term for term in legal if term in names)


# ---- XLNet ----

XLNET_POSITIONS: Final = Relative(segments=True)


XLNET_EMBEDDING: Final = Embedding(mask=True)


def xlnet_head_dim(config: Config) -> int | None:
    """d_model / heads: `d_head` may repeat that, and nothing else."""
    heads, d_model = config.size("n_head"), config.size("d_model")
    if d_model % heads == 0:
        config.agreed("d_head", d_model // heads, "d_model / n_head")
    return None


# ---- ModernBERT ----


def modernbert_norm(config: Config) -> Norm:
    """The first layer's attention has none of its own."""
    return Norm(kind="layernorm", bias=config.flag("norm_bias"), embedding=True, skips_first=True)


def modernbert_head(config: Config, head: Head) -> Head:
    """A masked head's square layer has a bias where the file says so."""
    biased = head.kind == "masked" and config.flag("classifier_bias")
    return replace(head, transform="biased") if biased else head


def modernbert_sight(config: Config) -> rules.AttentionMask:
    """The first of every `global_attn_every_n_layers` layers is global; half of the window is on either side."""
    period = config.size("global_attn_every_n_layers")
    return rules.by_layer_types(config, config.size("local_attention"), lambda layer: layer % period != 0)


def modernbert_decoder_sight(config: Config) -> rules.AttentionMask:
    """As ModernBERT's, but a query sees half of the window: what came before it."""
    period = config.size("global_attn_every_n_layers")
    half = config.optional("sliding_window") or config.size("local_attention") // 2
    return rules.by_layer_types(config, half, lambda layer: layer % period != 0)


# ---- sparse attention ----


def longformer_sight(config: Config) -> rules.AttentionMask:
    """One window for all layers, half of it on either side."""
    said = config.value("attention_window")
    first = said[0] if isinstance(said, list) and said else said
    alike = said == first or (isinstance(said, list) and all(length == first for length in said))
    if not isinstance(first, int) or not alike or first <= 0 or first % 2:
        raise config.wrong(
            "attention_window must be one even length above 0: windows that differ by layer are not known yet"
        )
    return rules.AttentionMask(first)


def longformer_notes(config: Config) -> tuple[str, ...]:
    """What the tokens of a task add."""
    del config
    return ("Tokens that a task lets see all others are not counted: their projections are stored, and run by none.",)


def big_bird_notes(config: Config) -> tuple[str, ...]:
    """What full attention means for keys that are picked in blocks."""
    kind = config.text("attention_type")
    if kind not in ("block_sparse", "original_full"):
        raise config.wrong(f"attention_type: {shown(kind)} is not known: block_sparse or original_full")
    if kind == "original_full":
        return ()
    seen = (config.whole("num_random_blocks") + 5) * config.size("block_size")
    return (f"Each query sees {seen:,} keys, in blocks (block_sparse): full attention counts all of them.",)


def gte_segments(config: Config) -> Embedding:
    """A table of segments, where there are any."""
    return Embedding(segments=config.whole("type_vocab_size") or None)


# ---- others like BERT ----


def rembert_embedding(config: Config) -> Embedding:
    """Narrow on the way in, and projected."""
    width = config.size("input_embedding_size")
    return Embedding(segments=config.size("type_vocab_size"), width=width, projects="sum")


def rembert_head(config: Config, head: Head) -> Head:
    """As wide on the way out as the file says."""
    return Head(kind="masked", bias=True, width=config.size("output_embedding_size")) if head.kind == "masked" else head


def ernie_embedding(config: Config) -> Embedding:
    """Segments, and tasks where there are any."""
    tasks = config.size("task_type_vocab_size") if config.flag("use_task_id") else 0
    return Embedding(segments=config.size("type_vocab_size") + tasks)


def esm_norm(config: Config) -> Norm:
    """Before the sub-layers, and behind the embedding where the file says so."""
    said = config.value("emb_layer_norm_before")
    return Norm(kind="layernorm", embedding=False if said is None else config.flag("emb_layer_norm_before"))


def esm_positions(config: Config) -> Positions:
    """A table, or rotation."""
    kind = config.text("position_embedding_type")
    if kind not in ("absolute", "rotary"):
        raise config.wrong(f"position_embedding_type: {shown(kind)} is not known: only absolute and rotary are")
    return Computed(kind="rotary") if kind == "rotary" else rules.table(config)


def mpnet_positions(config: Config) -> Positions:
    """A table of positions, and one of biases for distances."""
    return RelativeBias(
        buckets=config.size("relative_attention_num_buckets"), rows=config.size("max_position_embeddings")
    )


def roformer_embedding(config: Config) -> Embedding:
    """With segments, and projected where it is not as wide as the model."""
    width, segments = config.optional("embedding_size"), config.size("type_vocab_size")
    if width in (None, config.size("hidden_size")):
        return Embedding(segments=segments)
    return Embedding(segments=segments, width=width, projects="sum")


# ---- encoder-decoders ----


def whisper_positions(config: Config) -> Positions:
    """The decoder's table; the encoder's sines belong to its stem."""
    return Learned(rows=config.size("max_target_positions"))


def whisper_encoder(config: Config) -> Encoder:
    """Reads a spectrogram; keys have no bias."""
    heads, d_ff = config.size("encoder_attention_heads"), config.size("encoder_ffn_dim")
    layers = config.size("encoder_layers")
    return Encoder(
        layers=None if layers == config.size("decoder_layers") else layers,
        attention=None
        if heads == config.size("decoder_attention_heads")
        else Attention(heads=heads, bias=("q", "v", "o")),
        feed_forward=None if d_ff == config.size("decoder_ffn_dim") else FeedForward(d_ff=d_ff, bias=True),
        mel_bins=config.size("num_mel_bins"),
        frames=config.size("max_source_positions"),
    )


def fsmt_positions(config: Config) -> Positions:
    """Sinusoids that are stored, of two rows more than positions."""
    return Computed(kind="sinusoidal", rows=config.size("max_position_embeddings") + 2)


def roformer_positions(config: Config) -> Positions:
    """Rotations by sinusoids that are stored."""
    return Computed(kind="rotary", rows=config.size("max_position_embeddings"))


def fsmt_embedding(config: Config) -> Embedding:
    """One table for both languages where it is tied, one each where it is not; of as many words each."""
    source, target = config.size("src_vocab_size"), config.size("tgt_vocab_size")
    if source != target:
        raise config.wrong(f"src_vocab_size ({source}) and tgt_vocab_size ({target}) differ: that is not known yet")
    return Embedding(shared=config.flag("tie_word_embeddings"))


# ---- Switch Transformers: experts in both stacks ----


def switch_experts(config: Config, dense: FeedForward) -> Mlp | tuple[Mlp, ...]:
    """A dense feed-forward in most layers and experts in every n-th of both stacks, one a token (Fedus 2021)."""
    steps = {
        _sparse_step(config, stack, layers)
        for stack, layers in (("encoder", "num_layers"), ("decoder", "num_decoder_layers"))
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


def _sparse_step(config: Config, stack: str, layers: str) -> int:
    """Every which layer has experts, 0 for none: the class divides the depth by their number, and takes it whole for 0."""
    depth = config.optional(layers) or config.size("num_layers")
    sparse = config.whole(f"num_sparse_{stack}_layers")
    said = config.optional(f"{stack}_sparse_step")
    return said or (depth // sparse if sparse else depth)


def siglip_head(config: Config, head: Head) -> Head:
    """The layer on the last token, which is known where it keeps the width."""
    config.agreed("projection_size", config.size("hidden_size"), "hidden_size")
    return head


def clip_notes(_: Config) -> tuple[str, ...]:
    """What is odd about an encoder of text that reads from left to right."""
    return ("It is the text half of CLIP: what it reads is seen from left to right, and nothing is decoded.",)


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
