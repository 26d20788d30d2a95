"""DeBERTa and its second and third version."""

from __future__ import annotations

from tscale.blocks import Disentangled, Learned, Positions
from tscale.blocks.disentangled import Term
from tscale.errors import shown
from tscale.importer.config_keys import Config
from tscale.models.spec import Embedding


def embedding(config: Config) -> Embedding:
    """With segments where there are any; as wide as the model."""
    config.agreed("embedding_size", config.size("hidden_size"), "hidden_size")
    return Embedding(segments=config.whole("type_vocab_size") or None)


def positions(config: Config) -> Positions:
    """Distances as far as the longest sequence, of which each sequence takes its own."""
    if not config.flag("relative_attention"):
        return _absolute(config)
    span, longest = _span(config), config.size("max_position_embeddings")
    if span < longest:
        raise config.wrong(f"max_relative_positions: {span} is not known below max_position_embeddings, {longest}")
    return Disentangled(
        kind="disentangled", span=span, terms=_terms(config), whole=False, biases=("p2c",), rows=_rows(config)
    )


def positions_v2(config: Config) -> Positions:
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
