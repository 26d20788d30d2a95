"""Mistral's params.json, next to consolidated.safetensors: dense models, Mixtral, Mistral Large 3 and Codestral Mamba.

Sources: https://github.com/mistralai/mistral-inference, args.py and transformer_layers.py; how vLLM reads the newer keys,
https://github.com/vllm-project/vllm, vllm/transformers_utils/configs/mistral.py.
"""

from __future__ import annotations

from typing import Final

from tscale.importer.config_keys import NEEDED, Config
from tscale.importer.formats.format import Format, keys, taken_of

_NAMES: Final = {
    "dim": "hidden_size", "n_layers": "num_hidden_layers", "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads", "vocab_size": "vocab_size", "hidden_dim": "intermediate_size",
    "head_dim": "head_dim", "max_position_embeddings": "max_position_embeddings",
    "tied_embeddings": "tie_word_embeddings",
}  # fmt: skip
_LATENT: Final = ("q_lora_rank", "kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")
_MOE: Final = {"num_experts": "n_routed_experts", "num_experts_per_tok": "num_experts_per_tok",
               "num_shared_experts": "n_shared_experts", "expert_hidden_dim": "moe_intermediate_size",
               "first_k_dense_replace": "first_k_dense_replace", "route_every_n": "moe_layer_freq"}  # fmt: skip
_GROUPS: Final = {"num_expert_groups": "n_group", "num_expert_groups_per_tok": "topk_group"}
_ROUTING: Final = frozenset({
    "routed_scale", *_GROUPS, "expert_parallel", "expert_model_parallel",
    "renorm_strategy", "use_load_balancing_bias",
})  # fmt: skip
"""How experts are chosen and where they stand."""


def _mistral(config: Config) -> dict[str, object]:
    common = taken_of(config, _NAMES) | _quantized(config)
    moe, latent = config.value("moe"), config.says("kv_lora_rank") is not None
    if moe is None:
        if latent:
            raise config.wrong("kv_lora_rank: latent attention without experts (moe) is not known yet")
        return {"model_type": "mistral"} | common | _window(config)
    if not isinstance(moe, dict) or not set(moe) <= {*_MOE, *_ROUTING}:
        raise config.wrong(f"moe must be a mapping with no other keys than {', '.join(_MOE)}")
    if not latent:
        return _mixtral(config, moe, common)
    for key in ("num_experts", "num_experts_per_tok", "expert_hidden_dim"):
        if moe.get(key) is None:
            raise config.wrong(f'no "moe.{key}": experts need it')
    sizes = {key: config.value(key) for key in _LATENT}
    routed = {new: moe[old] for old, new in (_MOE | _GROUPS).items() if moe.get(old) is not None}
    return {"model_type": "deepseek_v3", "num_nextn_predict_layers": 0} | common | sizes | routed | {"head_dim": None}


def _mixtral(config: Config, moe: dict[str, object], common: dict[str, object]) -> dict[str, object]:
    """Experts as wide as a dense layer would be, in every layer."""
    other = sorted(
        key for key, value in moe.items() if value and key not in ("num_experts", "num_experts_per_tok", *_ROUTING)
    )
    if other:
        raise config.wrong(f"moe.{other[0]} is not known yet without latent attention")
    experts = {"num_local_experts": moe.get("num_experts"), "num_experts_per_tok": moe.get("num_experts_per_tok")}
    return {"model_type": "mixtral"} | common | experts | {"sliding_window": _one_window(config)}


def _window(config: Config) -> dict[str, object]:
    """A window for all layers, or a list with one for each, repeated."""
    said = config.value("sliding_window") or config.value("_sliding_window")
    if not isinstance(said, list):
        return {"sliding_window": _one_window(config)}
    layers, lengths = config.size("n_layers"), {length for length in said if length is not None}
    if len(lengths) > 1 or not said or layers % len(said):
        raise config.wrong("sliding_window must be one length, or a list of it and null that repeats down the layers")
    kinds = ["full_attention" if length is None else "sliding_attention" for length in said]
    return {"model_type": "ministral", "sliding_window": lengths.pop() if lengths else None,
            "layer_types": kinds * (layers // len(said))}  # fmt: skip


def _one_window(config: Config) -> int | None:
    return config.optional("sliding_window") or config.optional("_sliding_window")


def _quantized(config: Config) -> dict[str, object]:
    """The formats of the weights, in the words of a config.json."""
    said = config.value("quantization")
    if not said:
        return {}
    if isinstance(said, dict) and said.get("qformat_weight") == "fp8_e4m3":
        return {"quantization_config": {"quant_method": "fp8"}}
    return {"quantization_config": said}


MISTRAL: Final = Format(
    title="Mistral's params.json",
    told_by=frozenset({"dim", "n_layers", "n_heads", "hidden_dim", "head_dim", "vocab_size"}),
    model_types=frozenset({None, "transformer"}),
    row=keys(
        {**dict.fromkeys(("dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "hidden_dim", "head_dim"), NEEDED),
         "max_position_embeddings": None, "tied_embeddings": False, "moe": None, "sliding_window": None,
         "_sliding_window": None, "quantization": None, **dict.fromkeys(_LATENT)},
        harmless="norm_eps rope_theta max_batch_size max_seq_len yarn llama_4_scaling causal use_biases activation "
        "ragged_attention model_parallel q_norm",
        use_biases=False, causal=True, use_qk_norm=False, vision_encoder=None, multimodal=None, lora=None,
    ),
    translated=_mistral,
)  # fmt: skip


def _mamba2(config: Config) -> dict[str, object]:
    """The sizes of mamba_ssm's Mamba-2, but for its groups."""
    from tscale.importer.formats.mamba import padded

    return {
        "model_type": "mamba2",
        "hidden_size": config.size("dim"),
        "num_hidden_layers": config.size("n_layers"),
        "vocab_size": padded(config),
        "n_groups": config.size("n_groups"),
        "expand": 2,
        "head_dim": 64,
        "num_heads": 2 * config.size("dim") // 64,
        "tie_word_embeddings": config.flag("tie_embeddings"),
    }


MISTRAL_MAMBA: Final = Format(
    title="Mistral's params.json of a Mamba",
    told_by=frozenset({"dim", "n_layers", "vocab_size", "n_groups", "fused_add_norm", "pad_vocab_size_multiple"}),
    model_types=frozenset({"mamba"}),
    row=keys(
        {"dim": NEEDED, "n_layers": NEEDED, "vocab_size": NEEDED, "n_groups": 1, "pad_vocab_size_multiple": 1, "tie_embeddings": True},
        harmless="residual_in_fp32 fused_add_norm model_type", rms_norm=True,
    ),
    translated=_mamba2,
)  # fmt: skip
