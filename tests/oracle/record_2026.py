"""Counts the families of `tests/oracle/variations_2026.jsonl` as `record_more.py` does, each field changed alone.

`python tests/oracle/record_2026.py [FAMILY ...] > tests/oracle/variations_2026.jsonl` needs `transformers` 5.24.0 and
`torch` 2.13.0. Every line says what a line of `variations_more.jsonl` does. Of keys that stand for several positions, what a cache
keeps is measured at two lengths that are one short of a whole number of blocks, so that as much waits as ever does.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator

import record
import record_more
import torch
import transformers
from record_mixers import FACTORS, LENGTH, counted
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.auto import modeling_auto

SPARSE, HEAVY, SLIDES, FULL = (
    "compressed_sparse_attention",
    "heavily_compressed_attention",
    "sliding_attention",
    "full_attention",
)
FAMILIES = ["deepseek_v4", "hy_v4", "gemma3n_text", "mistral_large4_text", "glm5_next_text", "bailing_hybrid",
            "lfm3", "lara_mini", "gemma4_unified_text", "layoutlm", "jina_embeddings_v3", "bert-generation", "xlm", "flaubert",
            "muse_spark_text", "hrm_text", "dory", "zaya", "axk2", "qwen4_exp_text", "dots3_note_text", "molmo2_text", "cosmos3_edge_text",
            "hunyuan_vl_text"]  # fmt: skip
record.BASE |= {
    "deepseek_v4": {
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "num_hash_layers": 1,
        "hidden_size": 256,
        "moe_intermediate_size": 64,
        "compress_rate_hca": 16,
        "sliding_window": 512,
        "vocab_size": 500,
    },
    "hy_v4": {
        "pad_token_id": 0,
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "hidden_size": 256,
        "vocab_size": 500,
    },
    "mistral_large4_text": {
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "hidden_size": 256,
        "vocab_size": 500,
        "intermediate_size": 512,
        "moe_intermediate_size": 128,
    },
    "glm5_next_text": {
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "hidden_size": 256,
        "vocab_size": 500,
        "pad_token_id": 0,
        "intermediate_size": 512,
        "moe_intermediate_size": 128,
        "index_topk": 256,
    },
    "bailing_hybrid": {
        "num_experts": 8,
        "num_experts_per_token": 2,
        "num_expert_group": 2,
        "topk_group": 1,
        "hidden_size": 256,
        "vocab_size": 500,
        "pad_token_id": 0,
        "intermediate_size": 512,
        "moe_intermediate_size": 128,
        "layer_group_size": 2,
    },
    "lfm3": {
        "hidden_size": 256,
        "vocab_size": 500,
        "pad_token_id": 0,
        "intermediate_size": 512,
        "num_hidden_layers": 6,
    },
    "lara_mini": {
        "hidden_size": 256,
        "vocab_size": 500,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "num_hidden_layers": 5,
    },
    "gemma4_unified_text": {"hidden_size": 256, "vocab_size": 500, "intermediate_size": 512, "num_hidden_layers": 6},
    "muse_spark_text": {
        "hidden_size": 256,
        "vocab_size": 500,
        "intermediate_size": 512,
        "moe_hidden_size": 128,
        "moe_intermediate_size": 64,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "sliding_window": 512,
    },
    "hrm_text": {"vocab_size": 500, "num_hidden_layers": 2, "hidden_size": 384, "num_attention_heads": 3},
    "dory": {
        "vocab_size": 500,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 8,
        "n_input_layers": 2,
        "n_output_layers": 1,
        "sliding_window": 512,
    },
    "zaya": {"vocab_size": 500, "hidden_size": 256, "moe_intermediate_size": 64, "num_experts": 8},
    "axk2": {
        "vocab_size": 500,
        "hidden_size": 256,
        "intermediate_size": 512,
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "moe_intermediate_size": 64,
    },
    "molmo2_text": {
        "vocab_size": 500,
        "hidden_size": 256,
        "intermediate_size": 448,
        "num_attention_heads": 8,
        "head_dim": 32,
    },
    "cosmos3_edge_text": {"vocab_size": 500, "hidden_size": 256, "intermediate_size": 448, "num_attention_heads": 8},
    "hunyuan_vl_text": {
        "vocab_size": 500,
        "hidden_size": 256,
        "intermediate_size": 448,
        "num_attention_heads": 8,
        "head_dim": 128,
    },
    "dots3_note_text": {
        "vocab_size": 500,
        "pad_token_id": 0,
        "hidden_size": 256,
        "intermediate_size": 512,
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 64,
        "shared_experts_intermediate_size": 64,
    },
    "qwen4_exp_text": {
        "vocab_size": 500,
        "hidden_size": 256,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "ple_layer_ids": [1, 3],
        "ngram_vocab_size_base": 1000,
        "eos_token_id": 1,
        "indexer_n_heads": 4,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 256,
        "indexer_budget": 2048,
        "indexer_compress_ratio": 128,
    },
    "gemma3n_text": {
        "num_hidden_layers": 10,
        "num_kv_shared_layers": 5,
        "vocab_size": 500,
        "vocab_size_per_layer_input": 400,
        "hidden_size": 256,
        "intermediate_size": 512,
    },
}
record.LISTS |= {
    "layer_types": (
        [SLIDES] * 4,
        [HEAVY] * 4,
        [SPARSE] * 4,
        [SLIDES, HEAVY, SPARSE, HEAVY],
        ["linear_attention", "indexed_attention"] * 2,
        ["linear_attention"] * 4,
        [FULL] * 4,
        [*[SLIDES] * 9, FULL],
        [SLIDES, FULL] * 5,
        [FULL] * 10,
        [*[SLIDES] * 3, FULL, *[SLIDES] * 3, FULL],
        ["hybrid_sliding", "hybrid"] * 2,
        [SLIDES, "mlp", FULL, "mlp"] * 2,
    ),
    "ple_layer_ids": ([], [2], [1, 2, 3]),
    "mlp_layer_types": (["hash_moe"] * 4, ["moe"] * 4, ["moe", "hash_moe"] * 2, ["dense"] * 4, ["sparse"] * 4),
    "indexer_types": (["full"] * 4, ["full", "shared"] * 2, ["full", "shared", "shared", "shared"]),
}
record_more.NAMES |= {
    "muse_spark_text": ["MuseSparkTextModel"],
    "molmo2_text": ["Molmo2TextModel"],
    "cosmos3_edge_text": ["Cosmos3EdgeTextModel"],
    "hunyuan_vl_text": ["HunYuanVLTextModel"],
    "mistral_large4_text": ["MistralLarge4TextModel"],
    "glm5_next_text": ["Glm5NextTextModel"],
    "xlm": ["XLMWithLMHeadModel", "XLMModel"],
    "flaubert": ["FlaubertWithLMHeadModel", "FlaubertModel"],
    "layoutlm": ["LayoutLMForMaskedLM", "LayoutLMModel"],
    "jina_embeddings_v3": ["JinaEmbeddingsV3ForMaskedLM", "JinaEmbeddingsV3Model"],
    "bert-generation": ["BertGenerationDecoder", "BertGenerationEncoder"],
}
record_more.EXTRA |= {
    "muse_spark_text": [{"sliding_window": None, "layer_types": [FULL] * 4}],
    "hrm_text": [{"num_layers_per_stack": 2, "num_hidden_layers": 16}, {"attention_bias": True, "mlp_bias": True}],
    "dory": [
        {"num_hidden_layers": 8, "n_recurrent_loops": 3, "n_recurrent_layers": 5},
        {
            "num_hidden_layers": 8,
            "n_input_layers": 2,
            "n_output_layers": 2,
            "layer_types": [SLIDES, "mlp", FULL, "mlp"] * 2,
        },
    ],
    "zaya": [{"layer_types": ["hybrid_sliding", "hybrid"] * 2, "sliding_window": 512}],
    "axk2": [{"first_k_dense_replace": 2}, {"n_group": 4, "topk_group": 2}],
    "dots3_note_text": [
        {"use_dsa": False},
        {"use_sliding_window": False},
        {"first_k_dense_replace": 2, "moe_layer_freq": 2},
        {"moe_layer_freq": [0, 1, 0, 1]},
        {"swa_num_attention_heads": 16, "swa_num_key_value_heads": 16, "swa_q_lora_rank": 128, "swa_kv_lora_rank": 64},
        {"swa_qk_nope_head_dim": 128, "swa_v_head_dim": 64},
        {"moe_shared_expert_intermediate_size": 128, "n_shared_experts": 2},
    ],
    "qwen4_exp_text": [
        {"full_attention_interval": 2, "ple_layer_ids": [1]},
        {"ple_embed_dim": 512},
        {"ple_layer_ids": None},
    ],
    "mistral_large4_text": [
        {"kv_source_layers": [0, 1, 1, 0]},
        {"kv_source_layers": [0, 0, 2, 2], "indexer_types": ["full", "shared", "full", "full"]},
        {"no_rope_layers": [1, 0, 0, 1, 1]},
        {"no_rope_layer_interval": 2},
        {"first_k_dense_replace": 2},
        {"index_topk_freq": 2},
        {"index_topk_pattern": "FSFS"},
    ],
    "bailing_hybrid": [{"layer_group_size": 3}, {"first_k_dense_replace": 0}],
    "lfm3": [{"layer_types": ["conv", SLIDES, FULL, "conv", "conv", SLIDES], "num_hidden_layers": 6}],
    "lara_mini": [{"layer_types": ["linear_attention", SLIDES, FULL], "num_hidden_layers": 3}],
    "gemma4_unified_text": [
        {"num_kv_shared_layers": 4, "num_hidden_layers": 12},
        {"num_kv_shared_layers": 4, "num_hidden_layers": 12, "use_double_wide_mlp": True},
        {"num_global_key_value_heads": 2, "attention_k_eq_v": True},
    ],
    "xlm": [{"n_langs": 5, "use_lang_emb": True}, {"n_langs": 5, "use_lang_emb": False}],
    "flaubert": [{"n_langs": 5}],
    "glm5_next_text": [
        {"linear_attn_config": {"head_dim": 64, "num_heads": 8, "short_conv_kernel_size": 3}},
        {"index_topk_pattern": "FFFS", "layer_types": ["indexed_attention"] * 4},
        {"index_topk_freq": 2, "layer_types": ["indexed_attention"] * 4},
    ],
    "deepseek_v4": [
        {"compress_ratios": [0, 4, 128, 4, 0]},
        {"compress_rates": {SPARSE: 8, HEAVY: 32}, "compress_rate_hca": None},
        {"compress_rate_csa": 8},
        {"qk_rope_head_dim": 32},
        {"num_hash_layers": 0},
        {"hidden_size": 512, "o_groups": 4, "num_attention_heads": 16, "head_dim": 64},
    ],
    "gemma3n_text": [
        {"num_kv_shared_layers": 0},
        {"num_kv_shared_layers": 4, "layer_types": [SLIDES, FULL] * 5},
        {"intermediate_size": [512, 256] * 5},
        {"activation_sparsity_pattern": [0.5] * 10},
        {"num_hidden_layers": 20, "num_kv_shared_layers": 10},
        {"attention_bias": True, "num_kv_shared_layers": 0},
    ],
}
SHORT, LONG = 63, 127
WITH_MEMORY = ("glm5_next_text", "layoutlm", "xlm", "flaubert", "qwen4_exp_text")
"""Classes that cannot be run without memory behind them."""
TRIED_WITH_MEMORY = ("hc_mult", "index_kpool", "max_2d_position_embeddings", "emb_dim", "hc_count", "hc_lowrank", "ngram_size")  # fmt: skip
"""The changes whose FLOPs are counted with it, which takes long."""
SCORED_AT_ONCE = ("axk2",)
"""Families whose classifiers of sequences score every position and take one of them: their FLOPs are null."""


def main() -> None:
    """Writes one line for each change that the class accepts."""
    logging.disable(logging.WARNING)
    usual_values, usual_classes = record.values, record.classes
    record.classes = lambda family, head: record_more.NAMES.get(family) or usual_classes(family, head)
    record.values = lambda key, value: (*usual_values(key, value), *FACTORS.get(key, ()))
    for family in sys.argv[1:] or FAMILIES:
        for changed, config in (*record_more.every(family), *heads(family)):
            try:
                write(changed, config)
            except Exception as error:  # noqa: BLE001  # whatever it raises, there is nothing to compare with
                print(f"{family} {changed}: {error!r}"[:150], file=sys.stderr)


def heads(family: str) -> Iterator[tuple[str, dict]]:
    """Every class of the family that the release's own tables name, on a small body; classifiers with three labels."""
    depths = {key: 4 for key in record.DEPTHS if key in transformers.CONFIG_MAPPING[family]().to_dict()}
    small = {"model_type": family, **depths, **record.BASE.get(family, {})}
    tables = (getattr(modeling_auto, name) for name in dir(modeling_auto) if name.endswith("_MAPPING_NAMES"))
    for name in dict.fromkeys(table[family] for table in tables if isinstance(table.get(family), str)):
        labels = {"num_labels": 3, "id2label": {"0": "a", "1": "b", "2": "c"}} if "Classification" in name else {}
        if hasattr(transformers, name) and "Config" not in name:
            yield name, {**small, "architectures": [name], **labels}


def write(changed: str, config: dict) -> None:
    """One configuration, counted."""
    model, line = counted(changed, config)
    if config["model_type"] in WITH_MEMORY and changed in TRIED_WITH_MEMORY:
        line["flops"] = flops_with_memory(config)
        if config["model_type"] == "qwen4_exp_text":  # whose indexer asks for numbers, even where nothing is cached
            model = built_with_memory(config)
    if config["model_type"] in SCORED_AT_ONCE and config["architectures"][0].endswith("ForSequenceClassification"):
        line["flops"] = None
    print(json.dumps(line | {"active": record_more.active(model), "cache": cache(model)}), flush=True)


def built_with_memory(config: dict) -> torch.nn.Module:
    """The class with numbers in it, and attention step by step, of which the counter knows every product."""
    name = config["architectures"][0]
    model = getattr(transformers, name)(transformers.CONFIG_MAPPING[config["model_type"]].from_dict(config)).eval()
    model.config._experts_implementation = "batched_mm"
    model.config._attn_implementation = "eager"
    return model


def flops_with_memory(config: dict) -> int | None:
    """Forward FLOPs of a sequence of a class that chooses by numbers, and so needs memory behind them."""
    model = built_with_memory(config)
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(input_ids=torch.ones(1, LENGTH, dtype=torch.long), use_cache=False)
    except Exception as error:  # noqa: BLE001  # whatever it raises, there is nothing to compare with
        print(f"{config['model_type']}: {error!r}"[:150], file=sys.stderr)
        return None
    return counter.get_total_flops()


def cache(model: torch.nn.Module) -> dict[str, int] | None:
    """Numbers that are kept after `SHORT` and after `LONG` tokens, what shares a storage counted once."""
    try:
        return {"short": kept(model, SHORT), "long": kept(model, LONG)}
    except Exception as error:  # noqa: BLE001  # whatever it raises, there is nothing to compare with
        print(f"{model.config.model_type}: {error!r}"[:150], file=sys.stderr)
        return None


def kept(model: torch.nn.Module, length: int) -> int:
    """Numbers in the cache that the class returns after so many tokens."""
    with torch.no_grad(), next(model.parameters()).device:
        found = model(input_ids=torch.zeros(1, length, dtype=torch.long), use_cache=True)
    layers = (found.get("cache") or found.past_key_values).layers
    held = [dict(vars(layer)) for layer in layers]
    if model.config.model_type == "deepseek_v4":  # its one key is its value; layers that only slide keep it twice
        held = [{key: value for key, value in layer.items() if key != "values"} for layer in held]
    states = list(record_more.tensors(held))
    return sum(tensor.numel() for tensor in {id(tensor): tensor for tensor in states}.values())


if __name__ == "__main__":
    main()
