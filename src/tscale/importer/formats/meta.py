"""Meta's params.json, next to consolidated.*.pth: Llama 1 to 4.

Source: https://github.com/meta-llama/llama-models, models/llama3/{args,model}.py and models/llama4/{args,model,moe}.py.
"""

from __future__ import annotations

from typing import Any, Final

from tscale.errors import shown
from tscale.importer.config_keys import Config
from tscale.importer.family import Keys
from tscale.importer.formats.format import Format, keys, taken_of
from tscale.importer.layer_lists import layers_told_apart

_NAMES: Final = {
    "dim": "hidden_size", "n_layers": "num_hidden_layers", "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads", "vocab_size": "vocab_size",
}  # fmt: skip
_READS: Final[dict[str, object]] = {
    "dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": None, "vocab_size": -1, "multiple_of": 256,
    "ffn_dim_multiplier": None, "moe_args": None, "ffn_exp": None, "nope_layer_interval": None,
    "attention_chunk_size": None, "use_qk_norm": False, "head_dim": None, "lora_args": None,
}  # fmt: skip


def _llama(config: Config) -> dict[str, object]:
    if config.value("vocab_size") == -1:
        raise config.wrong(
            "vocab_size -1 is read from the tokenizer: write the number in its place, such as 32000 for Llama 1 and 2"
        )
    heads, d_model = config.size("n_heads"), config.size("dim")
    if config.optional("head_dim") not in (None, d_model // heads):
        raise config.wrong(f"head_dim: {config.optional('head_dim')} is not dim / n_heads, which the program takes")
    if config.value("lora_args") is not None:
        raise config.wrong("lora_args: adapters inside of a params.json are not known yet: only null is")
    common = taken_of(config, _NAMES) | {"intermediate_size": _d_ff(config, 4 * d_model)}
    return _llama4(config, common) if config.value("moe_args") is not None else {"model_type": "llama"} | common


def _d_ff(config: Config, width: int, share: float = 1) -> int:
    """Two thirds of a width, times a factor, rounded down each time and then up to a multiple."""
    width, factor, multiple = int(2 * width / 3), config.value("ffn_dim_multiplier"), config.size("multiple_of")
    if factor is not None:
        width = int(_number(config, "ffn_dim_multiplier", factor) * width)
    width = int(width / share)
    return multiple * -(-width // multiple)


def _number(config: Config, key: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1000:
        raise config.wrong(f"{key} must be a number from 0 to 1000, not {shown(value)}")
    return float(value)


_MOE: Final[dict[str, Any]] = {
    "num_experts": -1, "capacity_factor": 1.0, "auto_scale_F": True, "top_k": 1, "interleave_moe_layer_step": 1,
}  # fmt: skip


def _llama4(config: Config, common: dict[str, object]) -> dict[str, object]:
    """Llama 4: experts in every so many layers, and layers without positions."""
    said = config.value("moe_args")
    if not isinstance(said, dict) or not set(said) <= set(_MOE):
        raise config.wrong(f"moe_args must be a mapping with no other keys than {', '.join(_MOE)}")
    moe = _MOE | said
    share = _number(config, "moe_args.capacity_factor", moe["capacity_factor"]) + 1 if moe["auto_scale_F"] else 1
    width = int(_number(config, "ffn_exp", config.value("ffn_exp")) * config.size("dim"))
    own = {
        "model_type": "llama4_text",
        "intermediate_size_mlp": common["intermediate_size"],
        "intermediate_size": _d_ff(config, width, share),
        "num_local_experts": moe["num_experts"],
        "num_experts_per_tok": moe["top_k"],
        "interleave_moe_layer_step": moe["interleave_moe_layer_step"],
        "head_dim": None,
    }
    return common | own | _chunks(config)


def _chunks(config: Config) -> dict[str, object]:
    """Layers with positions see their own chunk only, where there is one; the last of each interval has none."""
    chunk, interval = config.optional("attention_chunk_size"), config.optional("nope_layer_interval")
    layers = range(1, layers_told_apart(config) + 1)
    if chunk is None:
        return {"layer_types": ["full_attention" for _ in layers]}
    everywhere = [interval is not None and layer % interval == 0 for layer in layers]
    kinds = ["full_attention" if every else "chunked_attention" for every in everywhere]
    return {"layer_types": kinds, "attention_chunk_size": chunk}


META: Final = Format(
    title="Meta's params.json",
    told_by=frozenset({"dim", "n_layers", "n_heads", "multiple_of", "norm_eps"}),
    row=keys(
        _READS,
        names=Keys(layers="n_layers"),
        harmless="norm_eps rope_theta use_scaled_rope rope_scaling_factor rope_high_freq_factor max_batch_size "
        "max_seq_len attn_temperature_tuning floor_scale attn_scale model_parallel_size quantization_args",
    ),
    translated=_llama,
)
