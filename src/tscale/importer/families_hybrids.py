"""More families of whose layers not all have attention: one row each, as in `tscale.importer.families_mixers`."""

from __future__ import annotations

from typing import Final

from tscale.blocks import Computed
from tscale.importer import expert_rules as experts
from tscale.importer import family_hybrids as hybrids
from tscale.importer import family_mixers as mixers
from tscale.importer.families_mixers import row
from tscale.importer.family import Family, Keys

_DELTA: Final[dict[str, object]] = {
    "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_num_key_heads": 16,
    "linear_num_value_heads": 32, "full_attention_interval": 4, "layer_types": None, "attention_bias": False,
    "head_dim": 256, "max_position_embeddings": 32768, "vocab_size": 248320, "num_attention_heads": 16,
}  # fmt: skip
_LAYERS: Final[dict[str, str]] = {"layer_types": "layers_block_type"}
ZAMBA2_LAYERS: Final[list[str]] = [
    "hybrid" if layer in (6, 12, 18, 24, 30, 36, 42, 47, 51) else "linear_attention" for layer in range(54)
]
"""Those of Zamba2 2.7B."""
_UNBUILT: Final[dict[str, object]] = dict.fromkeys(["mtp_num_hidden_layers", "mtp_use_dedicated_embeddings"])

# fmt: off
HYBRIDS: Final[dict[str, Family]] = {
    "qwen3_5_text": row(
        "Qwen3_5", Keys(),
        _DELTA | {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 32, "num_key_value_heads": 4,
                  "attn_output_gate": True, "mamba_ssm_dtype": None} | _UNBUILT,
        classes=hybrids.qwen3_5_classes("Qwen3_5"), fixed={"attn_output_gate": True}, harmless=("output_gate_type",), attention=mixers.qwen3_next,
        gated=True, notes=hybrids.qwen3_5_notes,
    ),
    "qwen3_5_moe_text": row(
        "Qwen3_5Moe", Keys(d_ff=None),
        _DELTA | {"hidden_size": 2048, "num_hidden_layers": 40, "num_key_value_heads": 2, "moe_intermediate_size": 512,
                  "shared_expert_intermediate_size": 512, "num_experts_per_tok": 8, "num_experts": 256,
                  "attn_output_gate": True, "mamba_ssm_dtype": None} | _UNBUILT,
        classes=hybrids.qwen3_5_classes("Qwen3_5Moe"), fixed={"attn_output_gate": True}, harmless=("output_gate_type",), attention=mixers.qwen3_next,
        feed_forward=hybrids.qwen3_5_experts, notes=hybrids.qwen3_5_notes,
    ),
    "lfm2_moe": row(
        "Lfm2Moe", Keys(),
        {"vocab_size": 65536, "hidden_size": 2048, "intermediate_size": 7168, "moe_intermediate_size": 1792,
         "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": None,
         "max_position_embeddings": 128000, "tie_word_embeddings": True, "conv_bias": False, "conv_L_cache": 3,
         "num_dense_layers": 2, "num_experts_per_tok": 4, "num_experts": 32, "use_expert_bias": True,
         "layer_types": None},
        aliases={"tie_embedding": "tie_word_embeddings"}, attention=hybrids.lfm2_moe,
        feed_forward=hybrids.lfm2_moe_experts,
    ),
    "minimax": row(
        "MiniMax", Keys(),
        {"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
         "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": None, "max_position_embeddings": 131072,
         "num_experts_per_tok": 2, "num_local_experts": 8, "layer_types": None, "block_size": 256}
        | dict.fromkeys(["full_attn_alpha_factor", "full_attn_beta_factor", "linear_attn_alpha_factor",
                         "linear_attn_beta_factor", "mlp_alpha_factor", "mlp_beta_factor"]),
        aliases={"num_experts": "num_local_experts"}, null=("num_key_value_heads",), fixed={"sliding_window": None},
        attention=hybrids.minimax, feed_forward=hybrids.minimax_experts,
    ),
    "jetmoe": row(
        "JetMoe", Keys(heads="num_key_value_heads"),
        {"vocab_size": 32000, "hidden_size": 2048, "num_hidden_layers": 12, "num_key_value_heads": 16, "kv_channels": 128,
         "intermediate_size": 5632, "max_position_embeddings": 4096, "num_local_experts": 8, "num_experts_per_tok": 2,
         "tie_word_embeddings": True, "num_attention_heads": None},
        aliases={"num_experts": "num_local_experts", "head_dim": "kv_channels"}, attention=hybrids.jetmoe,
        feed_forward=hybrids.jetmoe_experts,
    ),
    "zamba": row(
        "Zamba", Keys(),
        {"vocab_size": 32000, "hidden_size": 3712, "attention_hidden_size": None, "intermediate_size": 14848,
         "num_hidden_layers": 76, "num_attention_heads": 16, "attention_head_dim": None, "num_key_value_heads": 16,
         "n_mamba_heads": 2, "max_position_embeddings": 4096, "attn_layer_period": 6, "attn_layer_offset": 4,
         "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_dt_rank": "auto", "mamba_conv_bias": True,
         "mamba_proj_bias": False, "layers_block_type": None, "tie_word_embeddings": True, "hidden_mamba_act": None},
        aliases=_LAYERS | {"head_dim": "attention_head_dim"}, positions=Computed(kind="none"), attention=hybrids.zamba,
        fixed={"tie_word_embeddings": True},
        feed_forward=mixers.nothing,
    ),
    "zamba2": row(
        "Zamba2", Keys(),
        {"vocab_size": 32000, "hidden_size": 2560, "num_hidden_layers": 54, "layers_block_type": ZAMBA2_LAYERS,
         "mamba_d_state": 64, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_ngroups": 1, "n_mamba_heads": 8,
         "chunk_size": 256, "add_bias_linear": False, "intermediate_size": None,
         "num_attention_heads": 32, "num_key_value_heads": None, "num_mem_blocks": 1, "adapter_rank": 128,
         "use_shared_attention_adapter": False, "use_mem_rope": False, "max_position_embeddings": 4096,
         "tie_word_embeddings": True, "attention_hidden_size": None, "attention_head_dim": None, "mamba_headdim": None,
         "kv_channels": None, "num_query_groups": None, "hybrid_layer_ids": None,
         "use_mem_eff_path": None},
        aliases=_LAYERS | {"head_dim": "attention_head_dim"}, null=("layers_block_type",),
        fixed={"use_long_context": False, "use_conv_bias": True, "use_shared_mlp_adapter": True, "tie_word_embeddings": True}, positions=hybrids.zamba2_positions, attention=hybrids.zamba2,
        feed_forward=mixers.nothing,
    ),
    # each of its layers is a mixer or a feed-forward
    "nemotron_h": row(
        "NemotronH", Keys(layers="num_hidden_layers"),
        {"vocab_size": 131072, "hidden_size": 4096, "num_hidden_layers": None, "num_attention_heads": 32,
         "layers_block_type": None, "hybrid_override_pattern": None,
         "num_key_value_heads": 8, "head_dim": 128, "attention_head_dim": None, "max_position_embeddings": 4096,
         "intermediate_size": 21504, "mlp_bias": False, "ssm_state_size": 128,
         "mamba_num_heads": 128, "mamba_head_dim": 64, "n_groups": 8, "conv_kernel": 4, "use_conv_bias": True,
         "chunk_size": 128, "use_bias": False, "n_routed_experts": 8, "n_shared_experts": 1,
         "moe_intermediate_size": 7688, "moe_shared_expert_intermediate_size": 7688, "moe_latent_size": None,
         "num_experts_per_tok": 2, "num_nextn_predict_layers": 0}
        | dict.fromkeys(["expand", "mamba_hidden_act", "mlp_hidden_act", "mamba_ssm_cache_dtype",
                         "moe_shared_expert_overlap", "mtp_layers_block_type", "mtp_hybrid_override_pattern"]),
        aliases=_LAYERS | {"num_local_experts": "n_routed_experts", "mamba_n_groups": "n_groups",
                           "mamba_d_conv": "conv_kernel", "mamba_expand": "expand", "mamba_conv_bias": "use_conv_bias",
                           "mamba_chunk_size": "chunk_size", "num_mtp_layers": "num_nextn_predict_layers"},
        fixed={"sliding_window": None, "mamba_proj_bias": False, "attention_bias": False, "tie_word_embeddings": False}, null=("num_key_value_heads",),
        positions=Computed(kind="none"), layers=hybrids.nemotron_h_layers, attention=hybrids.nemotron_h,
        feed_forward=hybrids.nemotron_h_feed_forward, notes=experts.prediction_layers,
    ),
    "olmo_hybrid": row(
        "OlmoHybrid", Keys(),
        {"vocab_size": 100352, "hidden_size": 3840, "intermediate_size": 11008, "num_hidden_layers": 32,
         "num_attention_heads": 30, "num_key_value_heads": None, "head_dim": None, "max_position_embeddings": 65536,
         "attention_bias": False, "layer_types": None, "linear_num_key_heads": None, "linear_num_value_heads": None,
         "linear_key_head_dim": None, "linear_value_head_dim": None, "linear_conv_kernel_dim": 4}
        | dict.fromkeys(["linear_a_log_min", "linear_a_log_max", "linear_dt_min", "linear_dt_max",
                         "linear_dt_init_floor", "linear_allow_neg_eigval"]),
        attention=hybrids.olmo_hybrid, gated=True,
    ),
}
# fmt: on
