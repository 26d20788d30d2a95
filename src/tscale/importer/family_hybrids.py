"""The mixers and feed-forwards of the rows in `tscale.importer.families_hybrids`, one small function a family."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tscale.blocks import (
    Computed,
    ExpertAttention,
    Experts,
    FeedForward,
    GatedDeltaNet,
    Lightning,
    Mamba,
    Mamba2,
    Mixer,
    Mlp,
    SharedBlock,
)
from tscale.blocks.fields import LayerSelector
from tscale.errors import shown
from tscale.importer import family_mixers as mixers
from tscale.importer.family_rules import MOST_LAYERS, layers_told_apart
from tscale.models.spec import Head

if TYPE_CHECKING:
    from tscale.importer.config_keys import Config


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


# ---- MiniMax ----


def minimax(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Softmax attention in every other layer, beginning with the first, or where `layer_types` says so."""
    depth, heads = layers_told_apart(config), config.size("num_attention_heads")
    found = mixers.listed_attention(config, "linear_attention")
    usual = Lightning(
        kind="lightning",
        heads=heads,
        head_dim=config.optional("head_dim") or config.size("hidden_size") // heads,
        chunk=config.size("block_size"),
    )
    layers = list(range(0, depth, 2)) if found is None else found
    return mixers.dealt(config, layers, usual, mixers.attention_of(config))


def minimax_experts(config: Config) -> Experts:
    """Experts in every layer."""
    return Experts(
        kind="experts",
        experts=config.size("num_local_experts"),
        top_k=config.size("num_experts_per_tok"),
        d_ff=config.size("intermediate_size"),
    )


# ---- JetMoE ----


def jetmoe(config: Config) -> ExpertAttention:
    """A choice of heads; how many a token queries with, the file may repeat."""
    heads, top_k = config.size("num_key_value_heads"), config.size("num_experts_per_tok")
    config.agreed("num_attention_heads", heads * top_k, "num_key_value_heads times num_experts_per_tok")
    return ExpertAttention(
        kind="expert-attention",
        experts=config.size("num_local_experts"),
        top_k=top_k,
        heads=heads,
        head_dim=config.size("kv_channels"),
    )


def jetmoe_experts(config: Config) -> Experts:
    """Experts in every layer, with one bias behind all of them."""
    return Experts(
        kind="experts",
        experts=config.size("num_local_experts"),
        top_k=config.size("num_experts_per_tok"),
        d_ff=config.size("intermediate_size"),
        out_bias=True,
    )


# ---- Zamba ----

_SHARING: Final = {"mamba": "linear_attention", "linear_attention": "linear_attention", "hybrid": "hybrid"}


def zamba(config: Config) -> tuple[Mixer, ...]:
    """Mamba in every layer, and before some of them the one block that they share."""
    depth, d_model = layers_told_apart(config), config.size("hidden_size")
    period, offset = config.size("attn_layer_period"), config.whole("attn_layer_offset")
    listed = _types(config, _SHARING)
    if listed is None:
        tail = ["hybrid" if i % period == offset else "linear_attention" for i in range(depth - 3)]
        listed = ["linear_attention", "linear_attention", "hybrid", *tail]
    config.agreed("attention_hidden_size", 2 * d_model, "hidden_size")
    rank = config.value("mamba_dt_rank")
    state_space = Mamba(
        kind="mamba",
        d_inner=config.size("mamba_expand") * d_model,
        d_state=config.size("mamba_d_state"),
        d_conv=config.size("mamba_d_conv"),
        dt_rank=None if rank == "auto" else config.size("mamba_dt_rank"),
        heads=config.size("n_mamba_heads"),
        conv_bias=config.flag("mamba_conv_bias"),
        bias=config.flag("mamba_proj_bias"),
    )
    shared = SharedBlock(
        kind="shared-block",
        heads=config.size("num_attention_heads"),
        kv_heads=config.size("num_key_value_heads"),
        head_dim=config.optional("attention_head_dim"),
        d_ff=config.size("intermediate_size"),
        mamba=state_space,
    )
    return _sharing(config, listed, state_space, shared)


def zamba2(config: Config) -> tuple[Mixer, ...]:
    """Mamba-2 in every layer, and before some of them one of the blocks that they share in turn."""
    layers_told_apart(config)
    d_model, heads, width = config.size("hidden_size"), config.size("num_attention_heads"), 2
    inner, own = config.size("mamba_expand") * d_model, config.size("n_mamba_heads")
    biased, adapted = config.flag("add_bias_linear"), config.flag("use_shared_attention_adapter")
    config.agreed("attention_hidden_size", width * d_model, "hidden_size")
    config.agreed("attention_head_dim", width * d_model // heads, "num_attention_heads")
    config.agreed("mamba_headdim", inner // own, "n_mamba_heads")
    kv_heads = config.optional("num_key_value_heads")
    if adapted and kv_heads not in (None, heads):
        raise config.wrong(f"num_key_value_heads: adapters of attention are known for {heads} alone, not {kv_heads}")
    state_space = Mamba2(
        kind="mamba2",
        heads=own,
        d_head=inner // own,
        d_state=config.size("mamba_d_state"),
        groups=config.size("mamba_ngroups"),
        d_conv=config.size("mamba_d_conv"),
        chunk=config.size("chunk_size"),
        bias=biased,
    )
    shared = SharedBlock(
        kind="shared-block",
        blocks=config.size("num_mem_blocks"),
        heads=heads,
        kv_heads=kv_heads,
        d_ff=config.optional("intermediate_size") or 4 * d_model,
        bias=biased,
        adapter_rank=config.size("adapter_rank"),
        attention_adapters=adapted,
        mamba=state_space,
    )
    return _sharing(config, _types(config, _SHARING) or [], state_space, shared)


def zamba2_positions(config: Config) -> Computed:
    """Rotation where `use_mem_rope` says so, otherwise none."""
    return Computed(kind="rotary" if config.flag("use_mem_rope") else "none")


def _sharing(config: Config, listed: list[str], usual: Mixer, shared: SharedBlock) -> tuple[Mixer, ...]:
    at = [layer for layer, name in enumerate(listed) if name == "hybrid"]
    depth = config.size("num_hidden_layers")
    if len(listed) != depth:
        raise config.wrong(f"layers_block_type has {len(listed)} entries, and num_hidden_layers is {depth}")
    if not at:
        raise config.wrong("layers_block_type: no layer is hybrid")
    return (shared,) if len(at) == depth else (usual, replace(shared, on=mixers.on(at, depth)))


def _types(config: Config, legal: dict[str, str]) -> list[str] | None:
    """What each layer is, older names put into the newer."""
    listed = config.listed("layers_block_type", str)
    for name in listed or ():
        if name not in legal:
            raise config.wrong(
                f"layers_block_type: {shown(name)} is not known yet: only {' and '.join(sorted(legal))} are"
            )
    return None if listed is None else [legal[name] for name in listed]


# ---- Nemotron-H ----

_EACH: Final = {
    "mamba": "linear_attention",
    "linear_attention": "linear_attention",
    "attention": "full_attention",
    "full_attention": "full_attention",
    "mlp": "mlp",
    "moe": "moe",
}
_LETTERS: Final = {"M": "linear_attention", "E": "moe", "*": "full_attention", "-": "mlp"}


def _each(config: Config) -> list[str]:
    """What each layer is: by the letters of a pattern, or by a list."""
    listed = _types(config, _EACH)
    if config.value("hybrid_override_pattern") is None:
        return listed or ["linear_attention", "moe", "full_attention", "mlp"]
    letters = config.text("hybrid_override_pattern")
    if not letters or not set(letters) <= set(_LETTERS):
        raise config.wrong(f"hybrid_override_pattern must be letters of {' '.join(_LETTERS)}, not {shown(letters)}")
    found = [_LETTERS[letter] for letter in letters]
    if listed not in (None, found):
        raise config.wrong("hybrid_override_pattern and layers_block_type differ")
    return found


def nemotron_h_layers(config: Config) -> int:
    """As many as are listed."""
    found = _each(config)
    if len(found) > MOST_LAYERS:
        raise config.wrong(f"{len(found)} is too deep for layers that differ: at most {MOST_LAYERS}")
    return config.agreed("num_hidden_layers", len(found), "the list of layers")


def _at(config: Config, name: str) -> LayerSelector | None:
    found = _each(config)
    layers = [layer for layer, kind in enumerate(found) if kind == name]
    return mixers.on(layers, len(found)) if layers else None


def nemotron_h(config: Config) -> tuple[Mixer, ...]:
    """Mamba-2 and attention, each in its own layers."""
    found: list[Mixer] = []
    if (layers := _at(config, "linear_attention")) is not None:
        heads = config.size("mamba_num_heads")
        mamba = Mamba2(
            kind="mamba2",
            heads=heads,
            d_head=config.size("mamba_head_dim"),
            d_state=config.size("ssm_state_size"),
            groups=config.size("n_groups"),
            d_conv=config.size("conv_kernel"),
            chunk=config.size("chunk_size"),
            conv_bias=config.flag("use_conv_bias"),
            bias=config.flag("use_bias"),
            on=layers,
        )
        found.append(mamba)
    if (layers := _at(config, "full_attention")) is not None:
        config.agreed("attention_head_dim", config.size("head_dim"), "head_dim")
        found.append(mixers.attention_of(config, on=layers))
    if not found:
        raise config.wrong("no layer has attention or a state space")
    return tuple(found)


def nemotron_h_feed_forward(config: Config) -> tuple[Mlp, ...] | None:
    """Dense feed-forwards and experts, each in its own layers."""
    found: list[Mlp] = []
    biased = config.flag("mlp_bias")
    if (layers := _at(config, "mlp")) is not None:
        found.append(FeedForward(d_ff=config.size("intermediate_size"), bias=biased, on=layers))
    if (layers := _at(config, "moe")) is not None:
        if biased:
            raise config.wrong("mlp_bias: true is not known yet for layers of experts: only false is")
        routed = Experts(
            kind="experts",
            experts=config.size("n_routed_experts"),
            top_k=config.size("num_experts_per_tok"),
            d_ff=config.size("moe_intermediate_size"),
            gated=False,
            latent=config.optional("moe_latent_size"),
            selection_bias="buffer",
            shared_d_ff=config.size("moe_shared_expert_intermediate_size"),
            on=layers,
        )
        found.append(routed)
    return tuple(found) or None


# ---- OLMo hybrid ----


def olmo_hybrid(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Attention in every fourth layer, or in the last where there are fewer, or where `layer_types` says so."""
    depth, heads, d_model = layers_told_apart(config), config.size("num_attention_heads"), config.size("hidden_size")
    found = mixers.listed_attention(config, "linear_attention")
    key_dim = config.optional("linear_key_head_dim")
    if key_dim is None:
        key_dim = int(0.75 * d_model / (config.optional("linear_num_key_heads") or heads))
    usual = GatedDeltaNet(
        kind="gated-delta-net",
        key_heads=config.optional("linear_num_key_heads") or heads,
        value_heads=config.optional("linear_num_value_heads") or heads,
        key_dim=key_dim,
        value_dim=config.optional("linear_value_head_dim") or 2 * key_dim,
        d_conv=config.size("linear_conv_kernel_dim"),
    )
    layers = (list(range(3, depth, 4)) or [depth - 1]) if found is None else found
    if len(layers) in (0, depth):
        raise config.wrong("layer_types must list both full_attention and linear_attention")
    return mixers.dealt(config, layers, usual, mixers.attention_of(config, qk_norm="full"))
