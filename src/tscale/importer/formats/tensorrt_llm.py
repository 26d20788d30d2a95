"""TensorRT-LLM's config.json, of a checkpoint or inside that of an engine: classes and keys much like those of transformers.

Source: https://github.com/NVIDIA/TensorRT-LLM, tensorrt_llm/models/modeling_utils.py and tensorrt_llm/models/*/config.py.
"""

from __future__ import annotations

from typing import Final

from tscale.errors import shown
from tscale.importer.config_keys import NEEDED, Config
from tscale.importer.formats.format import Format, keys, taken_of

_NEEDED: Final = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
_OPTIONAL: Final = ("num_key_value_heads", "intermediate_size", "max_position_embeddings", "tie_word_embeddings")
_SAME: Final = {key: key for key in (*_NEEDED, *_OPTIONAL)}
"""Keys of the same name and meaning."""
_QWEN: Final = {"qwen2": "qwen2", "qwen3": "qwen3"}
_CLASSES: Final = {"LlamaForCausalLM": "llama", "MistralForCausalLM": "mistral", "MixtralForCausalLM": "mixtral",
                   "GemmaForCausalLM": "gemma", "Gemma2ForCausalLM": "gemma2", "PhiForCausalLM": "phi",
                   "Phi3ForCausalLM": "phi3"}  # fmt: skip


def _family(config: Config) -> str:
    """The family of transformers that a class of TensorRT-LLM is converted from."""
    named, of_qwen = config.text("architecture"), config.value("qwen_type")
    family = _QWEN.get(str(of_qwen)) if named.startswith("Qwen") else _CLASSES.get(named)
    if family is None:
        what = f"{shown(named)} with qwen_type {shown(of_qwen)}" if named.startswith("Qwen") else shown(named)
        raise config.wrong(f"architecture: {what} is not known yet: one of {', '.join(_CLASSES)}, Qwen2ForCausalLM")
    return family


def _translated(config: Config) -> dict[str, object]:
    family = _family(config)
    heads, d_model = config.size("num_attention_heads"), config.size("hidden_size")
    absent: dict[str, object] = {"model_type": family, "num_key_value_heads": heads, "intermediate_size": 4 * d_model}
    common = absent | taken_of(config, _SAME)
    common |= (
        {"quantization_config": config.value("quantization")} if _is_quantized(config.value("quantization")) else {}
    )
    width = config.optional("head_size")
    if width is not None and family not in ("phi3", "qwen2"):
        common["head_dim"] = width
    elif width not in (None, d_model // heads):
        raise config.wrong(f"head_size: {width} is not hidden_size / num_attention_heads, as it must be")
    return common | _of_family(config, family)


def _of_family(config: Config, family: str) -> dict[str, object]:
    """What a converter writes of a family beside its sizes; all else must be as the family has it."""
    own: dict[str, object] = {}
    moe = config.value("moe")
    routed = moe.get("num_experts") if isinstance(moe, dict) else 0
    if routed and family not in ("llama", "mixtral"):
        raise config.wrong("moe.num_experts is not known yet for this architecture")
    if routed and isinstance(moe, dict):
        family = own["model_type"] = "mixtral"
        own |= {"num_local_experts": routed, "num_experts_per_tok": moe.get("top_k")}
    for key, name in (("attn_bias", "attention_bias"), ("mlp_bias", "mlp_bias")):
        if family == "llama":
            own[name] = config.flag(key)
        elif config.flag(key):
            raise config.wrong(f"{key}: true is not known yet for this architecture")
    return own


def _is_quantized(said: object) -> bool:
    return isinstance(said, dict) and any(said.get(key) for key in ("quant_algo", "kv_cache_quant_algo"))


_KEYS: Final = keys(
    {**dict.fromkeys(_NEEDED, NEEDED), **dict.fromkeys(_OPTIONAL), "architecture": NEEDED, "qwen_type": None, "head_size": None, "quantization": None, "moe": None,
     "attn_bias": False, "mlp_bias": False, "tie_word_embeddings": False},
    harmless="dtype logits_dtype norm_epsilon runtime_defaults position_embedding_type hidden_act mapping "
    "use_parallel_embedding embedding_sharding_dim rotary_embedding_dim rotary_base rotary_scaling rope_theta seq_length "
    "rotary_embedding_percentage rotary_pct share_embedding_table moe_intermediate_size "
    "moe_shared_expert_intermediate_size producer kv_dtype disable_weight_only_quant_plugin remove_duplicated_kv_heads "
    "residual_mlp fc_after_embed use_input_layernorm_in_first_layer use_last_layernorm layer_idx_offset "
    "embedding_multiplier attention_multiplier residual_multiplier output_multiplier_scale has_partial_lora_mask "
    "query_pre_attn_scalar final_logit_softcapping attn_logit_softcapping inter_size qk_layernorm has_hf_model",
    use_prompt_tuning=False, qk_layernorm=False,
)  # fmt: skip

TENSORRT_LLM: Final = Format(
    title="TensorRT-LLM's config.json",
    told_by=frozenset({"architecture", "hidden_size", "num_hidden_layers", "mapping"}),
    row=_KEYS,
    translated=_translated,
)
