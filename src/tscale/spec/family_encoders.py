"""What several keys decide in encoders and in stacks that read them: shared layers, distances, sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tscale.blocks import Attention, Disentangled, FeedForward, Learned, Norm, Positions
from tscale.spec.model import Embedding, Encoder

if TYPE_CHECKING:
    from tscale.spec.importer import Config


# ---- ALBERT: groups of layers share their weights ----


def albert_layers(config: Config) -> int:
    """Each layer of the file runs through all the inner layers of its group."""
    return config.size("num_hidden_layers") * config.size("inner_group_num")


def albert_unique_layers(config: Config) -> int | None:
    """The inner layers of all groups that some layer belongs to; the file's layers are dealt to groups in order."""
    layers, groups, inner = (config.size(key) for key in ("num_hidden_layers", "num_hidden_groups", "inner_group_num"))
    if layers % groups:
        raise config.wrong(f"num_hidden_groups: {groups} groups do not divide {layers} layers, so that some are uneven")
    return None if groups == layers else groups * inner


# ---- DeBERTa: contents score distances ----


def deberta_positions(config: Config) -> Positions:
    """A table of distances for every layer, and what its terms project it with; version 1."""
    span = _span(config)
    terms = _terms(config)
    biases: tuple[Literal["p2c"], ...] = ("p2c",) if "p2c" in terms else ()
    return Disentangled(kind="disentangled", span=span, terms=terms, biases=biases)


def deberta_v2_positions(config: Config) -> Positions:
    """The same, all rows of the table at once, which may be buckets of distances; version 2 and 3."""
    buckets = config.value("position_buckets")
    if not isinstance(buckets, int) or isinstance(buckets, bool):
        raise config.wrong(f"position_buckets must be a whole number, not {buckets}")
    terms = _terms(config)
    shared = config.flag("share_att_key")
    norms = config.text("norm_rel_ebd").lower().split("|")
    if any(norm.strip() not in ("none", "layer_norm") for norm in norms):
        raise config.wrong(f"norm_rel_ebd: {'|'.join(norms)} is not known: only none and layer_norm are")
    return Disentangled(
        kind="disentangled",
        span=buckets if buckets > 0 else _span(config),
        whole=True,
        terms=terms,
        biases=terms,
        shared=shared,
        norm="layer_norm" in [norm.strip() for norm in norms],
    )


def _span(config: Config) -> int:
    """The furthest distance that has a row of its own; as many as positions where the file gives none."""
    value = config.value("max_relative_positions")
    if not isinstance(value, int) or isinstance(value, bool):
        raise config.wrong(f"max_relative_positions must be a whole number, not {value}")
    return config.size("max_position_embeddings") if value < 1 else value


def _terms(config: Config) -> tuple[Literal["c2p", "p2c"], ...]:
    """Which terms the scores have; those of relative attention, which the file must ask for."""
    if not config.flag("relative_attention"):
        raise config.wrong("relative_attention: false is not known yet: only true is")
    if config.flag("position_biased_input"):
        raise config.wrong("position_biased_input: true is not known yet: only false is")
    value = config.value("pos_att_type")
    named = value.lower().split("|") if isinstance(value, str) else value
    known: tuple[Literal["c2p", "p2c"], ...] = ("c2p", "p2c")
    if not isinstance(named, list) or any(str(term).strip() not in known for term in named):
        raise config.wrong(f"pos_att_type: {value} is not known: a list of c2p and p2c is")
    return tuple(term for term in known if term in [str(name).strip() for name in named])


def deberta_embedding(config: Config) -> Embedding:
    """Segments where the file has any; in version 2 a convolution behind the first layer too."""
    segments = config.whole("type_vocab_size") or None
    kernel = config.whole("conv_kernel_size") if config.reads("conv_kernel_size") else 0
    if kernel and kernel % 2 == 0:
        raise config.wrong(f"conv_kernel_size: {kernel} is not known yet: an odd one keeps the length of a sequence")
    return Embedding(segments=segments, ngram=kernel or None)


# ---- Whisper: sound in, text out ----


def whisper_positions(config: Config) -> Positions:
    """A learned table of the text's positions."""
    return Learned(rows=config.size("max_target_positions"))


def whisper_attention(config: Config) -> Attention:
    """Keys have no bias."""
    return Attention(heads=config.size("decoder_attention_heads"), bias=("q", "v", "o"))


def whisper_encoder(config: Config) -> Encoder:
    """Frames of sound through two convolutions, and a table of sinusoids that is stored and never trained."""
    layers, heads, d_ff = (config.size(f"encoder_{key}") for key in ("layers", "attention_heads", "ffn_dim"))
    return Encoder(
        layers=None if layers == config.size("decoder_layers") else layers,
        frames=config.size("num_mel_bins"),
        positions=config.size("max_source_positions"),
        attention=None
        if heads == config.size("decoder_attention_heads")
        else Attention(heads=heads, bias=("q", "v", "o")),
        feed_forward=None if d_ff == config.size("decoder_ffn_dim") else FeedForward(d_ff=d_ff, bias=True),
    )


def whisper_notes(config: Config) -> tuple[str, ...]:
    """What is counted of sound."""
    rows = config.size("max_source_positions")
    return (
        f"Its encoder reads sound: {rows:,} positions are {2 * rows:,} frames, which the two convolutions make of each "
        "thirty seconds; that is a source of as many tokens here.",
        "The encoder's table of sinusoids is stored with the parameters and never trained.",
    )


# ---- FSMT: two vocabularies ----


def fsmt_embedding(config: Config) -> Embedding:
    """One table for both languages and the head."""
    source, target = config.size("src_vocab_size"), config.size("tgt_vocab_size")
    if source != target or not config.flag("tie_word_embeddings"):
        raise config.wrong(
            "src_vocab_size: languages with tables of their own are not known yet: only one table for both is"
        )
    return Embedding()


# ---- ModernBERT: windows, and norms that the first layer does without ----


def xlnet_head_dim(config: Config) -> int | None:
    """The width of a head; the class itself refuses any but d_model / n_head."""
    width = config.size("d_model") // config.size("n_head")
    config.agreed("d_head", width, "d_model / n_head")
    return None


def prelayernorm() -> Norm:
    """Norms before each sub-layer, a final one, and one behind the embedding."""
    return Norm(kind="layernorm", embedding=True)
