"""More families of whose layers not all have attention: one row each, as in `tscale.spec.families_mixers`."""

from __future__ import annotations

from typing import Final

from tscale.spec import family_hybrids as hybrids
from tscale.spec import family_mixers as mixers
from tscale.spec.families_mixers import row
from tscale.spec.family import Family, Keys

_DELTA: Final[dict[str, object]] = {
    "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_num_key_heads": 16,
    "linear_num_value_heads": 32, "full_attention_interval": 4, "layer_types": None, "attention_bias": False,
    "head_dim": 256, "max_position_embeddings": 32768, "vocab_size": 248320, "num_attention_heads": 16,
}  # fmt: skip
_UNBUILT: Final[dict[str, object]] = dict.fromkeys(["mtp_num_hidden_layers", "mtp_use_dedicated_embeddings"])

# fmt: off
HYBRIDS: Final[dict[str, Family]] = {
    "qwen3_5_text": row(
        "Qwen3_5", Keys(),
        _DELTA | {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 32, "num_key_value_heads": 4,
                  "attn_output_gate": True, "mamba_ssm_dtype": None} | _UNBUILT,
        classes=hybrids.qwen3_5_classes("Qwen3_5"), fixed={"attn_output_gate": True}, attention=mixers.qwen3_next,
        gated=True, notes=hybrids.qwen3_5_notes,
    ),
    "qwen3_5_moe_text": row(
        "Qwen3_5Moe", Keys(d_ff=None),
        _DELTA | {"hidden_size": 2048, "num_hidden_layers": 40, "num_key_value_heads": 2, "moe_intermediate_size": 512,
                  "shared_expert_intermediate_size": 512, "num_experts_per_tok": 8, "num_experts": 256,
                  "attn_output_gate": True, "mamba_ssm_dtype": None} | _UNBUILT,
        classes=hybrids.qwen3_5_classes("Qwen3_5Moe"), fixed={"attn_output_gate": True}, attention=mixers.qwen3_next,
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
}
# fmt: on
