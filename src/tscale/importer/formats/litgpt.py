"""litgpt's model_config.yaml: one model class for all of its architectures, whose keys say what is in a layer.

Source: https://github.com/Lightning-AI/litgpt, litgpt/config.py and litgpt/model.py.
"""

from __future__ import annotations

from typing import Any, Final

from tscale.blocks import Attention, FeedForward, LatentAttention, Mixer, Mlp, Norm
from tscale.errors import shown
from tscale.importer.config_keys import Config
from tscale.importer.experts import dealt_out
from tscale.importer.family import Family, Keys, Routed
from tscale.importer.formats.format import Format
from tscale.importer.layer_lists import AttentionMask, layers_told_apart, mask_of
from tscale.models.spec import Head

_KEYS: Final = Keys(
    vocabulary="padded_vocab_size", d_model="n_embd", layers="n_layer", heads="n_head", d_ff="intermediate_size",
    context="block_size",
)  # fmt: skip
_READS: Final[dict[str, object]] = {
    "name": "", "head_size": None, "n_query_groups": None, "attn_bias": False, "bias": True, "lm_head_bias": False,
    "norm_class_name": "LayerNorm", "norm_qk": False, "norm_qk_type": "default", "norm_1": True, "norm_2": True,
    "post_attention_norm": False, "post_mlp_norm": False, "parallel_residual": True, "shared_attention_norm": False,
    "mlp_class_name": "GptNeoxMLP", "moe_intermediate_size": None, "n_expert": 0, "n_expert_per_token": 0,
    "n_shared_expert": None, "n_expert_groups": None, "first_k_dense_replace": None, "sliding_window_size": None,
    "sliding_window_indices": None, "latent_attention": None,
}  # fmt: skip
_HARMLESS: Final = """
    hf_config vocab_size padding_multiple norm_eps attention_scores_scalar attention_logit_softcapping rope_base
    rotary_percentage rope_condense_ratio rope_adjustments rope_interleave gelu_approximate n_topk_groups
    n_topk_scores_per_group routed_scaling_factor norm_topk_prob scale_embeddings final_logit_softcapping
    rope_local_base_freq rope_indices rope_n_elem q_lora_rank kv_lora_rank qk_rope_head_dim qk_nope_head_dim v_head_dim
    qk_head_dim
"""
_LATENT: Final = ("q_lora_rank", "kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")


def _norm_kind(config: Config) -> dict[str, Any]:
    """The class of all norms; a LayerNorm of OLMo's has no weights."""
    name = config.text("norm_class_name")
    if name not in ("LayerNorm", "RMSNorm"):
        raise config.wrong(f"norm_class_name must be LayerNorm or RMSNorm, not {shown(name)}")
    if name == "RMSNorm":
        return {"kind": "rmsnorm"}
    return {"kind": "layernorm"} | ({"gain": False, "bias": False} if "OLMo" in config.text("name") else {})


def _norm(config: Config) -> Norm:
    """Where the norms stand: before, after or on both sides of a sub-layer, or one for both."""
    before = config.flag("norm_1"), config.flag("norm_2")
    after = config.flag("post_attention_norm"), config.flag("post_mlp_norm")
    shared = config.flag("shared_attention_norm")
    if shared and config.flag("parallel_residual") and before == (True, True) and after == (False, False):
        return Norm(place="parallel", **_norm_kind(config))
    places = {
        ((True, True), (False, False)): "pre",
        ((True, True), (True, True)): "sandwich",
        ((False, False), (True, True)): "post",
    }
    place = places.get((before, after))
    if place is None or shared:
        raise config.wrong(
            "norm_1, norm_2, post_attention_norm, post_mlp_norm and shared_attention_norm stand in a way that is not known yet"
        )
    return Norm(place=place, final=True if place == "post" else None, **_norm_kind(config))  # type: ignore[arg-type]


def _attention(config: Config) -> Mixer:
    latent = config.value("latent_attention")
    if latent is not None:
        return _latent(config, latent)
    biased, kind = config.flag("bias"), _norm_kind(config)
    mask = _sight(config)
    return Attention(
        heads=config.size("n_head"),
        kv_heads=config.optional("n_query_groups"),
        head_dim=config.optional("head_size"),
        bias=biased or (("q", "k", "v") if config.flag("attn_bias") else False),
        qk_norm=None if not config.flag("norm_qk") else "full" if config.text("norm_qk_type") == "olmo2" else "head",
        qk_norm_bias=config.flag("norm_qk") and kind["kind"] == "layernorm" and kind.get("gain", True),
        window=mask.window,
        pattern=mask.pattern,
        fused=True,
    )


def _latent(config: Config, said: object) -> LatentAttention:
    if (
        not isinstance(said, dict)
        or set(said) != set(_LATENT)
        or not all(type(size) is int and size > 0 for size in said.values())
    ):
        raise config.wrong(f"latent_attention must give whole numbers for {', '.join(_LATENT)}")
    if config.flag("bias") or config.flag("attn_bias"):
        raise config.wrong("bias and attn_bias: true are not known yet with latent_attention")
    q, kv, rope, nope, value = (said[key] for key in _LATENT)
    return LatentAttention(
        kind="latent", heads=config.size("n_head"), q_rank=q, kv_rank=kv, nope_dim=nope, rope_dim=rope, v_dim=value
    )


def _sight(config: Config) -> AttentionMask:
    """With a window, the layers that are listed with a 1 are local; all of them where none is listed."""
    window, listed = config.optional("sliding_window_size"), config.listed("sliding_window_indices", int)
    if window is None or listed is None:
        return AttentionMask(window)
    layers = layers_told_apart(config)
    if len(listed) < layers or not set(listed) <= {0, 1}:
        raise config.wrong(f"sliding_window_indices must have a 0 or a 1 for each of {layers} layers")
    return mask_of(tuple("local" if one else "global" for one in listed[:layers]), window)


def _sparse(config: Config) -> list[bool]:
    first = config.whole("first_k_dense_replace") if config.value("first_k_dense_replace") is not None else 0
    return [layer >= first for layer in range(layers_told_apart(config))]


def _feed_forward(config: Config) -> Mlp | tuple[Mlp, ...]:
    kind, biased = config.text("mlp_class_name"), config.flag("bias")
    if kind not in ("GptNeoxMLP", "LLaMAMLP", "GemmaMLP", "LLaMAMoE"):
        raise config.wrong(f"mlp_class_name: {shown(kind)} is not known: GptNeoxMLP, LLaMAMLP, GemmaMLP or LLaMAMoE")
    d_ff = config.optional("intermediate_size") or 4 * config.size("n_embd")
    dense = FeedForward(d_ff=d_ff, gated=kind != "GptNeoxMLP", bias=biased)
    if kind != "LLaMAMoE":
        return dense
    own = "moe_intermediate_size" if config.value("moe_intermediate_size") is not None else "intermediate_size"
    return dealt_out(config, dense, Routed(
        experts="n_expert", top_k="n_expert_per_token", d_ff=own, bias=biased, sparse=_sparse,
        shared="n_shared_expert" if config.value("n_shared_expert") else None,
        selection_bias="buffer" if config.value("n_expert_groups") else None,
    ))  # fmt: skip


def _notes(config: Config) -> tuple[str, ...]:
    if "gemma" not in config.text("name").lower():
        return ()
    return (
        "litgpt keeps a head of its own next to the embedding, with the same numbers in Gemma: --set tied=true counts it once.",
    )


LITGPT: Final = Format(
    title="litgpt's model_config.yaml",
    told_by=frozenset({"n_layer", "n_embd", "padded_vocab_size", "mlp_class_name", "norm_class_name"}),
    row=Family(
        name="GPT", classes={"GPT": Head()}, head_bias="lm_head_bias", keys=_KEYS,
        reads=_KEYS.reads((50688, 4096, 16, 32, None, 4096), tie_word_embeddings=False, **_READS), norm=_norm,
        attention=_attention, feed_forward=_feed_forward, notes=_notes,
        harmless=tuple(_HARMLESS.split()),
    ),
)  # fmt: skip
