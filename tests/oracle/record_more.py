"""Counts more families as `record_mixers.py` does, with active parameters and what a cache keeps.

`python tests/oracle/record_more.py [FAMILY ...] > tests/oracle/variations_more.jsonl` needs `transformers` 5.23.0 and
`torch` 2.13.0. Each line holds, beside what `record_mixers.py` writes, `active` (routed experts by top_k of all of them,
null where there are none) and `cache`: the numbers that each further token adds, from 64 to 96 tokens, and those that
do not grow; null where the class returns no cache.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator

import record
import torch
from record import variations
from record_mixers import FACTORS, FULL, LINEAR, counted
from transformers import AutoModelForCausalLM

FAMILIES = [
    "exaone",
    "internlm3",
    "iquestcoder",
    "hyperclovax",
    "nanochat",
    "bitnet",
    "kolibri1",
    "axk1",
    "mistral4",
    "afmoe",
    "lfm2_moe",
    "gpt_neox_japanese",
    "gpt-sw3",
    "diffllama",
    "cohere2_moe",
    "qwen3_5_text",
    "qwen3_5_moe_text",
    "granitemoe_swa",
    "modernbert-decoder",
    "step3p5",
    "sarvam_moe",
    "sarvam_mla",
    "minimax_m3_vl_text",
    "mllama_text_model",
]
SLIDES, PICKED = "sliding_attention", "minimax_m3_sparse"
record.BASE |= {
    "mllama_text_model": {"cross_attention_layers": [1]},
    "glm4v_moe_text": {"head_dim": 128},  # the class's own heads do not divide its width
    "gemma4_text": {"num_hidden_layers": 6},
    "step3p5": {"sliding_window": 32, "num_hidden_layers": 4, "n_routed_experts": 8},
    "zamba": {"attn_layer_period": 2, "attn_layer_offset": 0},
    "zamba2": {
        "num_hidden_layers": 6,
        "num_mem_blocks": 2,
        "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid", "mamba", "hybrid"],
    },
    "nemotron_h": {"layers_block_type": ["linear_attention", "moe", "full_attention", "mlp", "linear_attention"]},
    "lfm2_moe": {"num_hidden_layers": 4, "layer_types": ["conv", "conv", FULL, "conv"]},
    "minimax_m3_vl_text": {
        "num_hidden_layers": 4,
        "layer_types": [FULL, PICKED, PICKED, PICKED],
        "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"],
        "num_local_experts": 8,
    },
}
record.LISTS |= {
    "layers_block_type": (
        ["mamba"] * 4,
        ["hybrid", "mamba", "mamba", "mamba", "mamba", "hybrid"],
        ["mamba", "mamba", "hybrid", "mamba"],
        ["attention", "mlp", "mlp"],
        ["moe", "linear_attention", "moe", "full_attention", "moe"],
    ),
    "indexer_types": (["full", "full", "shared", "shared"], ["full"] * 4, ["full", "shared", "full", "shared"]),
    "num_attention_heads_per_layer": ([48] * 4, [48, 64, 64, 64], [64, 32, 64, 32]),
    "gating": ("per-head", "per-channel"),
    "hybrid_override_pattern": ("M-M*", "MEM*E", "M"),
    "layer_types": (
        [FULL] * 4,
        [LINEAR] * 4,
        [SLIDES] * 4,
        [FULL, SLIDES] * 2,
        [LINEAR, FULL] * 2,
        ["conv", FULL] * 2,
        [PICKED] * 4,
        [FULL, PICKED] * 2,
    ),
}
NAMES = {
    "mllama_text_model": ["MllamaForCausalLM"],
    "step3p5": ["Step3p7TextModel"],
    "mistral4": ["Mistral4ForCausalLM", "Mistral4Model"],
    "paddleocr_vl_text": ["PaddleOCRTextModel"],
}
"""Classes that the library's own tables of usual heads do not hold."""
EXTRA = {
    "kimi_linear": [
        {"linear_attn_config": {"full_attn_layers": [2, 4], "kda_layers": [1, 3], "head_dim": 64, "num_heads": 16}},
        {"linear_attn_config": {"short_conv_kernel_size": 3, "head_dim": 64, "num_heads": 16}},
        {"first_k_dense_replace": 2},
    ],
    "glm_moe_dsa": [
        {"index_topk_pattern": "FFSS"},
        {"index_topk_freq": 2},
        {"index_topk_freq": 2, "index_skip_topk_offset": 1},
    ],
    "mllama_text_model": [{"cross_attention_layers": layers} for layers in ([], [0, 2], [1, 3], [2, 9])],
    "minimax_m3_vl_text": [
        {"layer_types": None, "mlp_layer_types": None, "moe_layer_freq": [0, 1, 0, 1]},
        {
            "layer_types": None,
            "sparse_attention_config": {
                "sparse_attention_freq": [0, 1, 1, 0],
                "sparse_index_dim": 96,
                "sparse_num_index_heads": 2,
                "sparse_topk_blocks": 3,
                "sparse_block_size": 16,
            },
        },
        {"layer_types": None, "sparse_attention_config": {"sparse_index_dim": 64}},
    ],
    "deepseek_v32": [{"num_experts": 64}],
    "mimo_v2_flash": [{"sliding_window_size": 127}],
    "nemotron_h": [
        {"hybrid_override_pattern": pattern, "num_hidden_layers": len(pattern), "layers_block_type": None}
        for pattern in ("M-M*", "MEM*E", "M")
    ],
    "axk1": [{"first_k_dense_replace": 2}],
    "qwen3_5_text": [{"full_attention_interval": 2}],
    "modernbert-decoder": [{"global_attn_every_n_layers": 2}],
    "gemma4_text": [
        {"global_head_dim": 256},
        {"num_global_key_value_heads": 2, "attention_k_eq_v": True},
        {"num_global_key_value_heads": 2},
        {"num_kv_shared_layers": 4, "num_hidden_layers": 12},
        {"num_kv_shared_layers": 4, "num_hidden_layers": 12, "use_double_wide_mlp": True},
        {"enable_moe_block": True, "num_experts": 16, "top_k_experts": 4, "moe_intermediate_size": 512},
    ],
}
"""Changes by keys that older files have and the class does not save, and of several keys together."""
TOP_K = ("num_experts_per_tok", "moe_topk", "moe_k", "top_k_experts", "num_experts_per_token")


def main() -> None:
    """Writes one line for each change that the class accepts."""
    logging.disable(logging.WARNING)
    usual_values, usual_classes = record.values, record.classes
    record.classes = lambda family, head: NAMES.get(family) or usual_classes(family, head)
    record.values = lambda key, value: (*usual_values(key, value), *FACTORS.get(key, ()))
    for family in sys.argv[1:] or FAMILIES:
        for changed, config in every(family):
            try:
                write(changed, config)
            except Exception as error:  # noqa: BLE001  # whatever it raises, there is nothing to compare with
                print(f"{family} {changed}: {error!r}"[:150], file=sys.stderr)


def every(family: str) -> Iterator[tuple[str, dict]]:
    """The variations of one field each, and those of `EXTRA`."""
    found = list(variations(family, AutoModelForCausalLM))
    yield from found
    _, base = next(pair for pair in found if pair[0] not in ("nothing", "nothing, saved", "architectures"))
    plain = {"model_type": family, "architectures": base["architectures"], **record.BASE.get(family, {})}
    for changes in EXTRA.get(family, ()):
        yield " and ".join(changes), {"num_hidden_layers": 4, **plain, **changes}


def write(changed: str, config: dict) -> None:
    """One configuration, counted."""
    model, line = counted(changed, config)
    print(json.dumps(line | {"active": active(model), "cache": cache(model)}), flush=True)


def active(model: torch.nn.Module) -> int | None:
    """Parameters that a token is run through: of routed experts top_k of as many as their tensors hold."""
    routed = [p for name, p in model.named_parameters() if is_routed(name, p)]
    if not routed:
        return None
    top_k = next(getattr(model.config, key) for key in TOP_K if getattr(model.config, key, None) is not None)
    idle = sum(p.numel() * (p.shape[0] - top_k) // p.shape[0] for p in routed)
    return sum(p.numel() for p in model.parameters()) - idle


def is_routed(name: str, parameter: torch.Tensor) -> bool:
    """Whether a tensor holds the matrices of all routed experts of a layer."""
    known = ".experts." in name or "put_linear." in name  # JetMoE calls its own input_linear and output_linear
    return known and "shared" not in name and (parameter.dim() == 3 or name.endswith("_bias"))


def cache(model: torch.nn.Module) -> dict[str, int] | None:
    """Numbers that a token adds to the cache and numbers that stay, by the difference of two lengths."""
    try:
        short, long = kept(model, 64), kept(model, 96)
    except Exception as error:  # noqa: BLE001  # whatever it raises, there is nothing to compare with
        print(f"{model.config.model_type}: {error!r}"[:150], file=sys.stderr)
        return None
    per_token, rest = divmod(long - short, 32)
    return None if rest or not short else {"per_token": per_token, "constant": short - 64 * per_token}


def kept(model: torch.nn.Module, length: int) -> int:
    """Numbers in the cache that the class returns after so many tokens."""
    with torch.no_grad(), torch.device("meta"):
        found = model(input_ids=torch.zeros(1, length, dtype=torch.long), use_cache=True).past_key_values
    own = [value for key, value in vars(found).items() if key != "layers"]  # MiniMax keeps its states beside them
    return sum(tensor.numel() for tensor in tensors([*map(vars, found.layers), *own]))


def tensors(value: object) -> Iterator[torch.Tensor]:
    """All tensors of a state, however it holds them."""
    match value:
        case torch.Tensor():
            if value.is_floating_point():
                yield value
        case dict():
            for inner in value.values():
                yield from tensors(inner)
        case list() | tuple():
            for inner in value:
                yield from tensors(inner)


if __name__ == "__main__":
    main()
