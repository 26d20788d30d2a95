"""The mixers and feed-forwards of the rows in `tscale.spec.families_hybrids`, one small function a family."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscale.blocks import Experts, FeedForward, Mixer, Mlp
from tscale.spec import family_mixers as mixers
from tscale.spec.family_rules import layers_told_apart
from tscale.spec.model import Head

if TYPE_CHECKING:
    from tscale.spec.importer import Config


# ---- Qwen3.5 ----


def qwen3_5_classes(prefix: str) -> dict[str, Head]:
    """The text model's classes, and the whole's, which files of the text model may name."""
    heads = {f"{prefix}ForCausalLM": Head(), f"{prefix}ForConditionalGeneration": Head()}
    return heads | {f"{prefix}TextModel": Head(kind="none"), f"{prefix}Model": Head(kind="none")}


def qwen3_5_notes(config: Config) -> tuple[str, ...]:
    """A note where the file names layers that predict further tokens, which the class does not build."""
    if not config.value("mtp_num_hidden_layers"):
        return ()
    return ("Left out: the layers that predict further tokens (mtp_num_hidden_layers), as the class does.",)


def qwen3_5_experts(config: Config) -> Experts:
    """Experts in every layer, beside a gated shared one."""
    return Experts(
        kind="experts",
        experts=config.size("num_experts"),
        top_k=config.size("num_experts_per_tok"),
        d_ff=config.size("moe_intermediate_size"),
        shared_d_ff=config.size("shared_expert_intermediate_size"),
        shared_gate=True,
    )


# ---- LFM2 ----


def lfm2_moe(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Attention where `layer_types` says so, which the class needs."""
    if config.value("layer_types") is None:
        raise config.wrong('no "layer_types": lfm2_moe needs it')
    return mixers.with_short_convolutions(config, mixers.listed_attention(config, "conv") or [])


def lfm2_moe_experts(config: Config) -> Mlp | tuple[Mlp, ...]:
    """Experts in all but the first `num_dense_layers`."""
    first, depth = config.whole("num_dense_layers"), layers_told_apart(config)
    routed = Experts(
        kind="experts",
        experts=config.size("num_experts"),
        top_k=config.size("num_experts_per_tok"),
        d_ff=config.size("moe_intermediate_size"),
        selection_bias="buffer" if config.flag("use_expert_bias") else None,
    )
    dense = FeedForward(d_ff=config.size("intermediate_size"), gated=True)
    return mixers.with_experts(config, dense, routed, range(min(first, depth), depth))
