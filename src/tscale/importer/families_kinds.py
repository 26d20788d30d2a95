"""Families whose layers are of several kinds of attention, choose their keys, or take an input of their own.

One row each, as in `tscale.importer.families_mixers`.
"""

from __future__ import annotations

from typing import Final

from tscale.blocks import Computed, Norm
from tscale.importer import expert_rules as experts
from tscale.importer import family_kinds as kinds
from tscale.importer import family_rules as rules
from tscale.importer.expert_rules import Routed
from tscale.importer.families_mixers import row
from tscale.importer.family import Family, Keys
from tscale.importer.family_rows import causal, modern
from tscale.models.spec import Embedding

_LATENT: Final[dict[str, object]] = {
    "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_head_dim": None, "attention_bias": False,
    "n_shared_experts": 1, "num_experts_per_tok": 8, "moe_intermediate_size": 2048, "mlp_layer_types": None,
    "first_k_dense_replace": 3, "index_topk": 2048, "index_head_dim": 128, "layer_types": None,
    "num_nextn_predict_layers": 0, "indexer_rope_interleave": None,
}  # fmt: skip
_DSA: Final = Routed(
    experts="n_routed_experts", shared="n_shared_experts", selection_bias="buffer", sparse=experts.exaone_moe
)
_DSA_NAMES: Final[dict[str, str]] = {
    "num_local_experts": "n_routed_experts", "num_experts": "n_routed_experts",
    "num_mtp_layers": "num_nextn_predict_layers",
}  # fmt: skip

# fmt: off
SEVERAL: Final[dict[str, Family]] = {
    "deepseek_v32": modern(
        "DeepseekV32", (129280, 7168, 61, 128, 18432, 163840),
        _LATENT | {"q_lora_rank": 1536, "v_head_dim": 128, "qk_nope_head_dim": 128, "n_routed_experts": 256,
                   "index_n_heads": 64},
        fixed={"moe_layer_freq": 1, "mlp_bias": False}, aliases=_DSA_NAMES, null=("num_key_value_heads", "head_dim"),
        attention=kinds.indexed, experts=_DSA, notes=kinds.indexed_notes,
    ),
    "glm_moe_dsa": modern(
        "GlmMoeDsa", (154880, 6144, 78, 64, 12288, 202752),
        _LATENT | {"q_lora_rank": 2048, "v_head_dim": 256, "qk_nope_head_dim": 192, "n_routed_experts": 256,
                   "index_n_heads": 32, "indexer_types": None, "index_topk_pattern": None, "index_topk_freq": 1,
                   "index_skip_topk_offset": 2},
        fixed={"moe_layer_freq": 1, "mlp_bias": False}, aliases=_DSA_NAMES, null=("num_key_value_heads", "head_dim"),
        attention=kinds.indexed_at_times, experts=_DSA, notes=kinds.indexed_notes,
    ),
    "minimax_m3_vl_text": modern(
        "MiniMaxM3VL", (200064, 6144, 60, 64, 12288, 524288),
        {"num_key_value_heads": 4, "head_dim": 128, "intermediate_size": 3072, "shared_intermediate_size": 3072,
         "num_local_experts": 128, "num_experts_per_tok": 4, "mlp_layer_types": None, "moe_layer_freq": None,
         "index_n_heads": 4, "index_head_dim": 128, "index_block_size": 128, "index_topk_blocks": 16,
         "index_local_blocks": 1, "layer_types": None, "sparse_attention_config": None},
        classes=causal("MiniMaxM3VL", model="MiniMaxM3VLTextModel"), keys=Keys(d_ff="dense_intermediate_size"),
        aliases={"num_experts": "num_local_experts"}, attention=kinds.minimax_m3, notes=kinds.minimax_m3_notes,
        fixed={"use_gemma_norm": True, "attention_output_gate": False, "use_qk_norm": True, "qk_norm_type": "per_head",
               "use_routing_bias": True, "n_shared_experts": 1},
        experts=Routed(d_ff="intermediate_size", shared_d_ff="shared_intermediate_size", selection_bias="buffer",
                       sparse=kinds.minimax_m3_experts),
    ),
    "mllama_text_model": modern(
        "Mllama", (128256, 4096, 40, 32, 14336, 131072), {"num_key_value_heads": 8, "cross_attention_layers": None},
        classes=causal("Mllama", model="MllamaTextModel"), head_dim=rules.exact_head_dim, embedding=Embedding(more_rows=8),
        fixed={"tie_word_embeddings": False}, attention=kinds.mllama, feed_forward=kinds.mllama_feed_forward,
        notes=kinds.mllama_notes,
    ),
    "flint": modern(
        "Flint", (150144, 2048, 49, 32, 6144, 262144),
        {"num_key_value_heads": 4, "head_dim": 128, "sliding_window": 513, "layer_types": None, "attention_bias": False,
         "decoder_sparse_step": 1, "moe_intermediate_size": 512, "shared_expert_intermediate_size": 1024,
         "num_experts_per_tok": 6, "num_experts": 256, "mlp_only_layers": [0, 1]},
        aliases={"num_local_experts": "num_experts"}, null=("sliding_window", "mlp_only_layers"), sinks=True,
        qk_norm="head", sight=kinds.flint_sight,
        experts=Routed(experts="num_experts", shared_d_ff="shared_expert_intermediate_size", sparse=kinds.flint_experts),
    ),
    "mimo_v2_flash": modern(
        "MiMoV2Flash", (152576, 4096, 48, 64, 16384, 131072),
        {"num_key_value_heads": 4, "head_dim": 192, "v_head_dim": 128, "sliding_window": 129, "layer_types": None,
         "sliding_window_size": None, "attention_bias": False, "mlp_layer_types": None, "moe_intermediate_size": 2048,
         "num_experts_per_tok": 8, "n_routed_experts": 256, "attention_value_scale": None},
        aliases={"num_local_experts": "n_routed_experts"}, null=("sliding_window",), attention=kinds.mimo,
        experts=Routed(experts="n_routed_experts", selection_bias="buffer", sparse=experts.all_but_first),
    ),
    "laguna": modern(
        "Laguna", (100352, 2048, 40, 48, 8192, 131072),
        {"num_key_value_heads": 8, "head_dim": 128, "sliding_window": 512, "layer_types": None, "attention_bias": False,
         "num_attention_heads_per_layer": None, "gating": True, "mlp_layer_types": None, "moe_intermediate_size": 512,
         "shared_expert_intermediate_size": 512, "num_experts_per_tok": 8, "num_experts": 256,
         "moe_routed_scaling_factor": None, "moe_router_logit_softcapping": None},
        aliases={"num_local_experts": "num_experts"}, null=("sliding_window",), attention=kinds.laguna,
        fixed={"moe_apply_router_weight_on_input": False},
        experts=Routed(experts="num_experts", shared_d_ff="shared_expert_intermediate_size", selection_bias="parameter",
                       sparse=experts.all_but_first),
    ),
    "step3p5": modern(
        "Step3p7", (128815, 4096, 45, 64, 11264, 128000),
        {"num_key_value_heads": 8, "head_dim": 128, "attention_bias": False, "sliding_window": None, "layer_types": None,
         "num_sliding_attention_heads": None, "attention_other_setting": None, "mlp_layer_types": None, "moe_layers_enum": None,
         "n_routed_experts": 288, "num_experts_per_tok": 8, "moe_intermediate_size": 1280, "share_expert_dim": 1280,
         "num_nextn_predict_layers": 0},
        classes=causal("Step3p7", suffix="ForConditionalGeneration", model="Step3p7TextModel"), attention=kinds.step3,
        aliases={"num_local_experts": "n_routed_experts", "moe_num_experts": "n_routed_experts", "num_experts": "n_routed_experts",
                 "num_attention_groups": "num_key_value_heads", "moe_top_k": "num_experts_per_tok"},
        fixed={"mlp_bias": False, "use_bidirectional_attention": False}, notes=experts.prediction_layers,
        harmless=("first_k_dense_replace", "n_shared_experts", "use_moe_router_bias", "moe_router_scaling_factor"),
        experts=Routed(experts="n_routed_experts", shared_d_ff="share_expert_dim", selection_bias="buffer",
                       sparse=kinds.step3_experts),
    ),
    "gemma4_text": modern(
        "Gemma4", (262144, 2304, 30, 8, 9216, 131072),
        {"num_key_value_heads": 4, "head_dim": 256, "attention_bias": False, "sliding_window": 512, "layer_types": None,
         "tie_word_embeddings": True, "global_head_dim": 512, "num_global_key_value_heads": None,
         "per_layer_config": None, "vocab_size_per_layer_input": 262144, "hidden_size_per_layer_input": 256,
         "attention_k_eq_v": False, "num_kv_shared_layers": 0, "enable_moe_block": False, "use_double_wide_mlp": False,
         "num_experts": None, "top_k_experts": None, "moe_intermediate_size": None,
         "use_bidirectional_attention": None},
        classes=causal("Gemma4", model="Gemma4TextModel"), aliases={"num_experts_per_tok": "top_k_experts"},
        norm=Norm(kind="rmsnorm", place="sandwich", layer_scale=True), attention=kinds.gemma4,
        null=("sliding_window",), experts=kinds.gemma4_experts, layer_input=kinds.layer_input,
    ),
    # its latent attention does not rotate
    "kimi_linear": row(
        "KimiLinear", Keys(context="model_max_length"),
        {"vocab_size": 163840, "hidden_size": 2304, "num_hidden_layers": 27, "num_attention_heads": 32,
         "intermediate_size": 9216, "model_max_length": 1048576, "num_key_value_heads": None, "head_dim": None,
         "kv_lora_rank": 512, "q_lora_rank": None, "qk_rope_head_dim": 64, "v_head_dim": 128, "qk_nope_head_dim": 128,
         "qk_head_dim": None, "attention_bias": False, "num_experts": 256, "num_experts_per_token": 8,
         "num_shared_experts": 1, "moe_intermediate_size": 1024, "mlp_layer_types": None, "first_k_dense_replace": 1,
         "layer_types": None, "linear_head_dim": 128, "linear_num_heads": 32, "linear_conv_kernel_dim": 4,
         "linear_attn_config": None, "num_nextn_predict_layers": 0}
        | dict.fromkeys(["moe_renormalize", "num_expert_group", "moe_router_activation_func", "use_grouped_topk",
                         "mla_use_nope"]),
        aliases={"num_local_experts": "num_experts", "num_experts_per_tok": "num_experts_per_token"},
        fixed={"moe_layer_freq": 1, "mla_use_nope": True, "tie_word_embeddings": False}, positions=Computed(kind="none"), gated=True,
        attention=kinds.kimi_linear, notes=experts.prediction_layers,
        experts=Routed(experts="num_experts", top_k="num_experts_per_token", shared="num_shared_experts",
                       selection_bias="buffer", sparse=experts.exaone_moe),
    ),
}
# fmt: on
