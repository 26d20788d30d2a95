"""Families of models that came out since 2025 with layers of their own: rows as in `tscale.importer.families`.

All defaults are those of transformers 5.24.0.
"""

from __future__ import annotations

from typing import Final

from tscale.blocks import Computed, Norm
from tscale.importer import expert_rules as experts
from tscale.importer import family_2026 as rules
from tscale.importer import family_kinds as kinds
from tscale.importer.expert_rules import Routed
from tscale.importer.family import NO_VISION, Family, Keys, Nested
from tscale.importer.family_rows import BARE, EVERY, POOLED, SEGMENTS, TIED, causal, encoder, modern
from tscale.importer.family_rules import segments, table
from tscale.models.spec import Head

_ROUTED_NAMES: Final[dict[str, str]] = {
    "num_local_experts": "n_routed_experts", "num_experts": "n_routed_experts",
    "num_mtp_layers": "num_nextn_predict_layers",
}  # fmt: skip

_XLM: Final = Keys(d_model="emb_dim", layers="n_layers", heads="n_heads", d_ff=None)
_XLM_NAMES: Final[dict[str, str]] = {
    "hidden_size": "emb_dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers", "n_words": "vocab_size",
}  # fmt: skip
_XLM_SAYS: Final = (
    "gelu_activation", "sinusoidal_embeddings", "embed_init_std", "unk_index", "mask_index", "bos_index", "eos_index", "pad_index",
    "start_n_top", "end_n_top", "lang_id", "id2lang", "lang2id",
)  # fmt: skip
_WORDS: Final = Head(kind="masked", transform="none", bias=True)
_WITH_WORDS: Final = {"XLMWithLMHeadModel": _WORDS}

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
    "bailing_hybrid": modern(
        "BailingHybrid", (157184, 2560, 42, 32, 6144, 262144),
        {"num_key_value_heads": 32, "head_dim": 128, "num_experts": 512, "num_experts_per_token": 8,
         "num_shared_experts": 1, "moe_intermediate_size": 768, "first_k_dense_replace": 2, "kv_lora_rank": 512,
         "q_lora_rank": None, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "qk_head_dim": None,
         "attention_bias": False, "short_conv_kernel_size": 4, "layer_group_size": 6, "layer_types": None,
         "mlp_layer_types": None, "num_nextn_predict_layers": 1, "linear_head_dim": None, "linear_num_heads": None,
         "linear_conv_kernel_dim": None},
        keys=Keys(context="model_max_length"), null=("num_key_value_heads",),
        aliases={"num_local_experts": "num_experts", "num_experts_per_tok": "num_experts_per_token",
                 "n_shared_experts": "num_shared_experts", "num_mtp_layers": "num_nextn_predict_layers",
                 "max_position_embeddings": "model_max_length"},
        harmless=("kda_safe_gate", "kda_lower_bound", "mtp_loss_scaling_factor", "moe_renormalize", "num_expert_group"),
        fixed={"moe_layer_freq": 1, "tie_word_embeddings": False}, attention=rules.bailing_hybrid, notes=experts.prediction_layers,
        experts=Routed(experts="num_experts", top_k="num_experts_per_token", shared="num_shared_experts",
                       selection_bias="buffer", sparse=experts.exaone_moe),
    ),
    "lfm3": modern(
        "Lfm3", (128000, 2048, 24, 16, 7680, 128000),
        {"num_key_value_heads": 4, "head_dim": 128, "tie_word_embeddings": True, "conv_bias": False, "conv_L_cache": 7,
         "sliding_window": 256, "layer_types": None, "use_sandwich_norm": True, "use_attention_gate": True,
         "attention_bias": False},
        null=("sliding_window", "head_dim"), norm=rules.lfm3_norm, attention=rules.lfm3,
    ),
    "lara_mini": modern(
        "LaraMini", (151936, 1024, 34, 16, 131072),
        {"num_key_value_heads": 4, "head_dim": 128, "tie_word_embeddings": True, "sliding_window": 512,
         "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_num_key_heads": 8,
         "linear_num_value_heads": 16, "num_experts": 128, "num_experts_per_tok": 4, "moe_intermediate_size": 512,
         "shared_expert_intermediate_size": 512, "layer_types": None, "attention_bias": False},
        keys=Keys(d_ff=None), aliases={"num_local_experts": "num_experts"}, null=("sliding_window",),
        attention=rules.lara_mini,
        experts=Routed(experts="num_experts", shared_d_ff="shared_expert_intermediate_size"),
    ),
    "gemma4_unified_text": modern(
        "Gemma4Unified", (262144, 2304, 30, 8, 9216, 262144),
        {"num_key_value_heads": 4, "head_dim": 256, "attention_bias": False, "sliding_window": 1024, "layer_types": None,
         "tie_word_embeddings": True, "global_head_dim": 512, "num_global_key_value_heads": None,
         "per_layer_config": None, "attention_k_eq_v": False, "num_kv_shared_layers": 0, "use_double_wide_mlp": False,
         "use_bidirectional_attention": "vision"},
        classes=causal("Gemma4Unified", model="Gemma4UnifiedTextModel"), null=("sliding_window", "use_bidirectional_attention"),
        norm=Norm(kind="rmsnorm", place="sandwich", layer_scale=True), attention=kinds.gemma4,
        experts=rules.gemma4_unified_feed_forward,
    ),
    "layoutlm": encoder(
        "LayoutLM", Keys(), (30522, 768, 12, 12, 3072, 512), SEGMENTS | {"max_2d_position_embeddings": 1024},
        embedding=rules.layoutlm_embedding,
        classes={"LayoutLMForMaskedLM": Head(kind="masked", bias=True, pooler=True), "LayoutLMModel": POOLED},
    ),
    "jina_embeddings_v3": encoder(
        "JinaEmbeddingsV3", Keys(), (250002, 1024, 24, 16, 4096, 8194), {"type_vocab_size": 1},
        embedding=segments, pooler=True, positions=Computed(kind="rotary"), fixed=TIED,
    ),
    "bert-generation": Family(
        classes={"BertGenerationDecoder": Head(bias=True), "BertGenerationEncoder": BARE}, reads=Keys().reads((50358, 1024, 24, 16, 4096, 512), tie_word_embeddings=True),
        fixed={"tie_word_embeddings": True, "position_embedding_type": "absolute", "add_cross_attention": False},
        harmless=("is_decoder",),
        norm=Norm(kind="layernorm", place="post", embedding=True), positions=table, biases=EVERY, d_ff_bias=True,
    ),
    "xlm": encoder(
        "XLM", _XLM, (30145, 2048, 12, 16, 512), {"n_langs": 1, "use_lang_emb": True}, aliases=_XLM_NAMES,
        classes=_WITH_WORDS | {"XLMModel": BARE}, embedding=rules.xlm_embedding, harmless=_XLM_SAYS,
        fixed=TIED | {"asm": False, "is_encoder": True, "causal": False},
    ),
    "flaubert": encoder(
        "Flaubert", _XLM, (30145, 2048, 12, 16, 512), {"n_langs": 1, "use_lang_emb": True}, aliases=_XLM_NAMES,
        classes={"FlaubertWithLMHeadModel": _WORDS, "FlaubertModel": BARE}, embedding=rules.xlm_embedding, harmless=_XLM_SAYS,
        fixed=TIED | {"asm": False, "is_encoder": True, "causal": False, "pre_norm": False},
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
