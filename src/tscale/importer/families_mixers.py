"""The families of whose layers not all have attention, or none: one row each, as in `tscale.importer.families`."""

from __future__ import annotations

from typing import Any, Final

from tscale.blocks import Computed, Norm
from tscale.importer import family_mixers as mixers
from tscale.importer.family import Family, Keys
from tscale.models.spec import Head

_BARE: Final = Head(kind="none")
_RMS: Final = Norm(kind="rmsnorm")
_NONE: Final = Computed(kind="none")
_ROTARY: Final = Computed(kind="rotary")
ELEMENTWISE: Final[dict[str, object]] = dict.fromkeys(
    [
        "residual_in_fp32",
        "rescale_prenorm_residual",
        "time_step_limit",
        "time_step_scale",
        "time_step_min",
        "time_step_max",
        "time_step_floor",
        "time_step_init_scheme",
        "use_mambapy",
        "use_associative_scan",
        "use_mamba_kernels",
        "mixer_rms_eps",
        "num_logits_to_keep",
        "z_loss_coefficient",
        "output_router_logits",
        "router_aux_loss_coef",
        "norm_topk_prob",
        "rope_parameters",
    ]
)
"""Keys that change no count in the families of this table, whatever their value."""


def row(prefix: str, keys: Keys, reads: dict[str, object], **columns: Any) -> Family:
    """RMSNorm, and mixers and feed-forwards by a function each."""
    usual: dict[str, Any] = {
        "classes": {f"{prefix}ForCausalLM": Head(), f"{prefix}Model": _BARE},
        "norm": _RMS,
        "positions": _ROTARY,
    }
    return Family(**(usual | columns), keys=keys, reads={"tie_word_embeddings": False} | reads | ELEMENTWISE)


_ENDLESS: Final = Keys(d_ff=None, context=None)
_MAMBA: Final[dict[str, object]] = {
    "vocab_size": 50280, "hidden_size": 768, "num_hidden_layers": 32, "state_size": 16, "expand": 2, "conv_kernel": 4,
    "time_step_rank": "auto", "use_bias": False, "use_conv_bias": True, "tie_word_embeddings": True,
    "intermediate_size": None,
}  # fmt: skip
_SSD: Final[dict[str, object]] = {
    "mamba_n_heads": 128, "mamba_d_head": "auto", "mamba_n_groups": 1, "mamba_d_state": 256, "mamba_d_conv": 4,
    "mamba_expand": 2, "mamba_chunk_size": 256, "mamba_conv_bias": True, "mamba_proj_bias": False,
}  # fmt: skip
_HYBRID: Final[dict[str, object]] = {
    "vocab_size": 128000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": None,
}  # fmt: skip

# fmt: off
MIXED: Final[dict[str, Family]] = {
    "mamba": row(
        "Mamba", _ENDLESS, _MAMBA, attention=mixers.mamba, feed_forward=mixers.nothing, positions=_NONE,
        null=("time_step_rank",),
    ),
    # its norms of step sizes, inputs and outputs have no weights
    "falcon_mamba": row(
        "FalconMamba", _ENDLESS, _MAMBA, attention=mixers.mamba, feed_forward=mixers.nothing, positions=_NONE,
        null=("time_step_rank",),
    ),
    "mamba2": row(
        "Mamba2", _ENDLESS,
        {"vocab_size": 32768, "hidden_size": 4096, "num_hidden_layers": 64, "num_heads": 128, "head_dim": 64,
         "state_size": 128, "n_groups": 8, "expand": 2, "conv_kernel": 4, "chunk_size": 256, "use_bias": False,
         "use_conv_bias": True, "time_step_rank": None}, attention=mixers.mamba2, feed_forward=mixers.nothing,
        positions=_NONE,
    ),
    "bamba": row(
        "Bamba", Keys(), _HYBRID | _SSD | {"max_position_embeddings": 262144, "attn_layer_indices": None,
         "attention_bias": False, "mlp_bias": False, "attn_rotary_emb": None}, null=("num_key_value_heads",),
        attention=mixers.bamba, gated=True, d_ff_bias="mlp_bias",
    ),
    # the bias of its projection out is a key of its own
    "falcon_h1": row(
        "FalconH1", Keys(), _HYBRID | _SSD | {"max_position_embeddings": 8192, "mamba_d_ssm": 1024,
         "mamba_rms_norm": False, "projectors_bias": False, "attention_bias": False, "mlp_bias": False}
        | dict.fromkeys(["mamba_norm_before_gate", "lm_head_multiplier", "mlp_multipliers", "key_multiplier",
                         "attention_out_multiplier", "attention_in_multiplier", "ssm_multipliers",
                         "ssm_in_multiplier", "ssm_out_multiplier"]),
        null=("num_key_value_heads", "mamba_d_ssm"), attention=mixers.falcon_h1, gated=True, d_ff_bias="mlp_bias",
    ),
    "jamba": row(
        "Jamba", Keys(), _HYBRID | {"vocab_size": 65536, "max_position_embeddings": 262144, "num_experts": 16,
         "num_experts_per_tok": 2, "expert_layer_period": 2, "expert_layer_offset": 1, "attn_layer_period": 8,
         "attn_layer_offset": 4, "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_dt_rank": "auto",
         "mamba_conv_bias": True, "mamba_proj_bias": False}, null=("num_key_value_heads",), positions=_NONE,
        aliases={"num_local_experts": "num_experts"}, attention=mixers.jamba, feed_forward=mixers.jamba_experts,
    ),
    "qwen3_next": row(
        "Qwen3Next", Keys(),
        {"vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 48,
         "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256, "max_position_embeddings": 32768,
         "attention_bias": False, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128,
         "linear_value_head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
         "full_attention_interval": 4, "layer_types": None, "decoder_sparse_step": 1, "moe_intermediate_size": 512,
         "shared_expert_intermediate_size": 512, "num_experts_per_tok": 10, "num_experts": 512, "mlp_only_layers": None},
        attention=mixers.qwen3_next, feed_forward=mixers.qwen3_next_experts,
    ),
    "lfm2": row(
        "Lfm2", Keys(),
        {"vocab_size": 65536, "hidden_size": 2560, "intermediate_size": 12288, "num_hidden_layers": 32,
         "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": None, "max_position_embeddings": 128000,
         "tie_word_embeddings": True, "conv_bias": False, "conv_L_cache": 3, "block_multiple_of": 256,
         "block_ffn_dim_multiplier": 1.0, "block_auto_adjust_ff_dim": True, "full_attn_idxs": None,
         "layer_types": None}, null=("block_ffn_dim_multiplier",),
        aliases={"tie_embedding": "tie_word_embeddings", "block_ff_dim": "intermediate_size"},
        attention=mixers.lfm2, feed_forward=mixers.lfm2_feed_forward,
    ),
    "recurrent_gemma": row(
        "RecurrentGemma", Keys(context=None),
        {"vocab_size": 256000, "hidden_size": 2560, "intermediate_size": 7680, "num_hidden_layers": 26,
         "num_attention_heads": 10, "num_key_value_heads": None, "head_dim": None, "lru_width": None,
         "attention_window_size": 2048, "conv1d_width": 4, "attention_bias": False, "tie_word_embeddings": True,
         "block_types": ["recurrent", "recurrent", "attention"], "logits_soft_cap": None, "w_init_variance_scale": None,
         "final_w_init_variance_scale": None, "_block_types": None},
        aliases={"sliding_window": "attention_window_size"}, attention=mixers.recurrent_gemma,
        feed_forward=mixers.halved,
    ),
    "rwkv": row(
        "Rwkv", Keys(context="context_length"),
        {"vocab_size": 50277, "hidden_size": 4096, "num_hidden_layers": 32, "intermediate_size": None,
         "attention_hidden_size": None, "context_length": 1024, "rescale_every": None},
        aliases={"max_position_embeddings": "context_length"}, positions=_NONE,
        norm=Norm(kind="layernorm", embedding=True), attention=mixers.rwkv, feed_forward=mixers.channel_mixing,
    ),
    "xlstm": row(
        "xLSTM", Keys(d_ff=None, context=None),
        {"vocab_size": 50304, "hidden_size": 4096, "embedding_dim": None, "num_hidden_layers": 32, "num_blocks": None,
         "num_heads": 8, "qk_dim_factor": 0.5, "v_dim_factor": 1.0, "ffn_proj_factor": 2.667,
         "ffn_round_up_to_multiple_of": 64, "chunk_size": 64, "use_bias": False, "add_out_norm": None}
        | dict.fromkeys(["norm_reduction_force_float32", "chunkwise_kernel", "sequence_kernel", "step_kernel", "mode",
                         "return_last_states", "autocast_kernel_dtype", "eps", "inference_state_dtype",
                         "gate_soft_cap", "output_logit_soft_cap", "weight_mode", "max_inference_chunksize"]),
        fixed={"use_bias": False, "weight_mode": "single", "tie_word_embeddings": False}, positions=_NONE, attention=mixers.xlstm,
        feed_forward=mixers.xlstm_feed_forward, layers=mixers.xlstm_layers,
    ),
    # d_ff is that of one expert; without experts the shared feed-forward is the only one
    "granitemoehybrid": row(
        "GraniteMoeHybrid", Keys(),
        _SSD | {"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
         "num_attention_heads": 32, "num_key_value_heads": None, "max_position_embeddings": 2048,
         "attention_bias": False, "num_local_experts": 8, "num_experts_per_tok": 2, "shared_intermediate_size": 1024,
         "position_embedding_type": None, "layer_types": None, "head_dim": None},
        aliases={"layers_block_type": "layer_types"}, positions=mixers.granite_positions,
        attention=mixers.granitemoehybrid, feed_forward=mixers.granite_experts,
    ),
}
# fmt: on
