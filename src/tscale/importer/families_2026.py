"""Families of models that came out since 2025 with layers of their own: rows as in `tscale.importer.families`.

All defaults are those of transformers 5.24.0.
"""

from __future__ import annotations

from typing import Final

from tscale.blocks import Computed, Norm
from tscale.importer import expert_rules as experts
from tscale.importer import family_2026 as rules
from tscale.importer.expert_rules import Routed
from tscale.importer.family import NO_VISION, Family, Keys, Nested
from tscale.importer.family_rows import causal, modern

_ROUTED_NAMES: Final[dict[str, str]] = {
    "num_local_experts": "n_routed_experts", "num_experts": "n_routed_experts",
    "num_mtp_layers": "num_nextn_predict_layers",
}  # fmt: skip

# fmt: off
NEW: Final[dict[str, Family]] = {
    "deepseek_v4": modern(
        "DeepseekV4", (129280, 4096, 43, 64, 1048576),
        {"num_key_value_heads": 1, "head_dim": 512, "q_lora_rank": 1024, "moe_intermediate_size": 2048,
         "num_experts_per_tok": 6, "n_routed_experts": 256, "n_shared_experts": 1, "layer_types": None,
         "compress_ratios": None, "compress_rates": None, "compress_rate_csa": None, "compress_rate_hca": None,
         "hc_mult": 4, "mlp_layer_types": None, "num_hash_layers": None, "sliding_window": 128, "o_groups": 8,
         "o_lora_rank": 1024, "index_n_heads": 64, "index_head_dim": 128, "index_topk": 512,
         "num_nextn_predict_layers": 1},
        keys=Keys(d_ff=None), aliases=_ROUTED_NAMES | {"intermediate_size": "moe_intermediate_size"},
        fixed={"num_key_value_heads": 1, "mlp_bias": False},
        harmless=("hc_sinkhorn_iters", "hc_eps", "compress_rope_theta", "qk_rope_head_dim", "expert_dtype", "attention_bias"),
        attention=rules.deepseek_v4, feed_forward=rules.deepseek_v4_experts, streams=rules.streams_mixed,
        notes=experts.prediction_layers,
    ),
    "hy_v4": modern(
        "HYV4", (120832, 2816, 34, 32, 6912, 262144),
        {"moe_intermediate_size": 768, "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8,
         "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "v_head_dim": 256,
         "qk_head_dim": None, "attention_bias": False, "mlp_layer_types": None, "layer_types": None, "index_topk": 2048,
         "index_head_dim": 128, "index_n_heads": 16, "indexer_types": None, "hc_mult": 4},
        aliases=_ROUTED_NAMES, null=("num_key_value_heads", "head_dim"),
        harmless=("hc_magnitude", "hc_eps", "learnable_sink_init"),
        attention=rules.hy_v4, streams=rules.streams_apart,
        experts=Routed(experts="n_routed_experts", shared="n_shared_experts", selection_bias="buffer",
                       sparse=experts.all_but_first),
    ),
    "mistral_large4_text": modern(
        "MistralLarge4", (204800, 6144, 72, 64, 24576, 1048576),
        {"num_key_value_heads": 64, "moe_intermediate_size": 6144, "n_routed_experts": 128, "n_shared_experts": 1,
         "num_experts_per_tok": 4, "kv_lora_rank": 512, "qk_nope_head_dim": 64, "qk_rope_head_dim": 64,
         "v_head_dim": 128, "qk_head_dim": None, "attention_bias": False, "mlp_layer_types": None,
         "first_k_dense_replace": 1, "index_topk": 2048, "index_head_dim": 128, "index_n_heads": 32,
         "indexer_types": None, "index_topk_pattern": None, "index_topk_freq": 1, "index_skip_topk_offset": 2,
         "no_rope_layers": None, "no_rope_layer_interval": 4, "kv_source_layers": None},
        classes=causal("MistralLarge4", suffix="ForConditionalGeneration", model="MistralLarge4TextModel"),
        aliases=_ROUTED_NAMES, null=("num_key_value_heads", "head_dim"), harmless=("layer_types", "indexer_rope_interleave"),
        fixed={"moe_layer_freq": 1, "q_lora_rank": None, "mlp_bias": False, "norm_topk_prob": True},
        positions=rules.learned_frequencies, attention=rules.mistral_large4,
        experts=Routed(experts="n_routed_experts", shared="n_shared_experts", sparse=experts.exaone_moe),
    ),
    "glm5_next_text": modern(
        "Glm5Next", (154880, 4096, 45, 64, 12288, 1048576),
        {"num_key_value_heads": 64, "head_dim": 0, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 256,
         "qk_rope_head_dim": 0, "v_head_dim": 256, "qk_head_dim": None, "attention_bias": False,
         "moe_intermediate_size": 2048, "num_experts_per_tok": 8, "n_routed_experts": 288, "n_shared_experts": 1,
         "mlp_layer_types": None, "layer_types": None, "linear_head_dim": 128, "linear_num_heads": 64,
         "linear_conv_kernel_dim": 4, "linear_attn_config": None, "index_topk": 2048, "index_head_dim": 128,
         "index_n_heads": 32, "index_kpool": 16, "indexer_types": None, "index_topk_pattern": None, "index_topk_freq": 1,
         "index_skip_topk_offset": 2, "hc_mult": 4},
        classes=causal("Glm5Next", suffix="ForConditionalGeneration", model="Glm5NextTextModel"),
        aliases=_ROUTED_NAMES, null=("num_key_value_heads", "head_dim"), positions=Computed(kind="none"),
        harmless=("hc_sinkhorn_iters", "hc_eps", "linear_lower_bound", "index_kpool_always_select_tail", "indexer_rope_interleave"),
        fixed={"moe_layer_freq": 1}, attention=rules.glm5_next, streams=rules.streams_averaged,
        experts=Routed(experts="n_routed_experts", shared="n_shared_experts", selection_bias="buffer",
                       sparse=rules.glm5_sparse),
    ),
    "gemma3n_text": modern(
        "Gemma3n", (262400, 2048, 35, 8, 16384, 32768),
        {"num_key_value_heads": 2, "head_dim": 256, "attention_bias": False, "sliding_window": 512, "layer_types": None,
         "vocab_size_per_layer_input": 262144, "hidden_size_per_layer_input": 256, "altup_num_inputs": 4,
         "num_kv_shared_layers": 15, "laurel_rank": 64, "tie_word_embeddings": True},
        classes=causal("Gemma3n", model="Gemma3nTextModel"), norm=Norm(kind="rmsnorm", place="sandwich"),
        harmless=("altup_active_idx", "altup_coef_clip", "altup_correct_scale", "activation_sparsity_pattern"),
        attention=rules.gemma3n, feed_forward=rules.gemma3n_feed_forward, layer_input=rules.gemma3n_layer_input,
        streams=rules.gemma3n_streams,
    ),
}

_IMAGES: Final = ("text_config", "vision_config", "tie_word_embeddings", "image_token_index", "image_token_id")

NEW_NESTED: Final[dict[str, Nested]] = {
    "gemma3n": Nested(
        classes=("Gemma3nForConditionalGeneration",), text=("gemma3n_text",), tied=True,
        own=(*_IMAGES, "audio_config", "audio_soft_tokens_per_image", "vision_soft_tokens_per_image"),
        left_out="Left out: the vision and audio towers and their projections (vision_config, audio_config): the text model alone is "
                 "counted.",
    ),
    "mistral_large4": Nested(
        classes=("MistralLarge4ForConditionalGeneration",), text=("mistral_large4_text",), tied=False,
        own=(*_IMAGES, "projector_hidden_act", "vision_feature_layer", "multimodal_projector_bias", "spatial_merge_size"),
        left_out=NO_VISION,
    ),
    "glm5_next": Nested(
        classes=("Glm5NextForConditionalGeneration",), text=("glm5_next_text",), tied=False, own=_IMAGES, flat=True,
        left_out=NO_VISION,
    ),
}
# fmt: on
