"""More decoders of attention alone: rows as in `tscale.importer.families`, and text models that stand in other files.

All defaults are those of transformers 5.23.0.
"""

from __future__ import annotations

from typing import Any, Final

from tscale.blocks import Computed, Learned, Norm
from tscale.importer import expert_rules as experts
from tscale.importer import family_encoders as encoders
from tscale.importer import family_rules as rules
from tscale.importer.expert_rules import Routed
from tscale.importer.family import Family, Keys
from tscale.importer.family_rows import BARE, EVERY, LAYER, NO_BIASES, SANDWICH, TIED, causal, modern
from tscale.models.spec import Head

_NO_BIAS: Final[dict[str, object]] = {"attention_bias": False}
_LISTED: Final[dict[str, object]] = {"sliding_window": 4096, "layer_types": None}
_LATENT: Final[dict[str, Any]] = {"attention": experts.latent, "null": ("num_key_value_heads", "head_dim")}
_RANKS: Final[dict[str, object]] = {
    "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_rope_head_dim": 64, "v_head_dim": 128, "qk_nope_head_dim": 128,
    "qk_head_dim": None, **_NO_BIAS,
}  # fmt: skip
_DEEPSEEK: Final[dict[str, str]] = {"num_local_experts": "n_routed_experts"}
_COUNTED: Final[dict[str, str]] = {"num_local_experts": "num_experts"}
_NUMBERED: Final[dict[str, str]] = {"num_experts": "num_local_experts"}
_GPT: Final = Keys(d_model="n_embd", layers="n_layer", heads="n_head", d_ff="n_inner", context="n_positions")
_CTRL: Final = Keys(d_model="n_embd", layers="n_layer", heads="n_head", d_ff="dff", context="n_positions")
_GPT_NAMES: Final[dict[str, str]] = {
    "hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
    "max_position_embeddings": "n_positions",
}  # fmt: skip

# fmt: off
DECODERS: Final[dict[str, Family]] = {
    "internlm3": modern(
        "Llama", (128512, 4096, 48, 32, 10240, 32768), {"num_key_value_heads": 2, "head_dim": 128, **NO_BIASES},
        null=("num_key_value_heads", "head_dim"), aliases={"qkv_bias": "attention_bias", "bias": "mlp_bias"},
    ),
    "exaone": modern(
        "Llama", (102400, 4096, 32, 32, 14336, 4096), {"num_key_value_heads": 8, **NO_BIASES},
        classes=causal("Llama") | causal("Exaone"), null=("num_key_value_heads",), head_dim=rules.head_dim,
        aliases={"num_layers": "num_hidden_layers"},
    ),
    "iquestcoder": modern(
        "Llama", (76800, 5120, 80, 40, 27648, 131072), {"num_key_value_heads": 8, "head_dim": 128, **NO_BIASES},
        null=("num_key_value_heads", "head_dim"),
    ),
    "hyperclovax": modern(
        "HyperCLOVAX", (32000, 4096, 32, 32, 11008, 2048), {**NO_BIASES, "use_post_norm": True},
        norm=rules.post_norm_too,
    ),
    # none of its norms has weights
    "nanochat": modern(
        "NanoChat", (50304, 768, 12, 6, 8192, 2048), _NO_BIAS, norm=Norm(kind="rmsnorm", gain=False, embedding=True), gated=False,
    ),
    "bitnet": modern(
        "BitNet", (128256, 2560, 30, 20, 6912, 2048), {"num_key_value_heads": 5, **_NO_BIAS},
        null=("num_key_value_heads",), head_dim=rules.exact_head_dim, out_norm=True, inner_norm=True,
    ),
    "diffllama": modern(
        "DiffLlama", (32000, 2048, 16, 32, 8192, 2048), _NO_BIAS, differential=True, fixed={"lambda_std_dev": 0.1},
    ),
    # the last layer alone has a bias behind its attention
    "gpt_neox_japanese": modern(
        "GPTNeoXJapanese", (32000, 2560, 32, 32, 4, 2048), {"tie_word_embeddings": True},
        keys=Keys(d_ff="intermediate_multiple_size"), norm=LAYER, gated=False, kv_heads=rules.all_kv_heads,
        head_dim=rules.exact_head_dim, attention=rules.last_biased, feed_forward=rules.multiple_of_width,
    ),
    "modernbert-decoder": modern(
        "ModernBertDecoder", (50368, 768, 22, 12, 1152, 8192),
        {"norm_bias": False, "attention_bias": False, "mlp_bias": False, "decoder_bias": True, "classifier_bias": False,
         "local_attention": 128, "sliding_window": None, "layer_types": None, "global_attn_every_n_layers": 3,
         "tie_word_embeddings": True},
        classes={"ModernBertDecoderForCausalLM": Head(kind="masked", transform="plain"), "ModernBertDecoderModel": BARE},
        head=encoders.modernbert_head, head_bias="decoder_bias",
        harmless=("classifier_activation", "global_rope_theta", "local_rope_theta"),
        norm=encoders.modernbert_norm, sight=encoders.modernbert_decoder_sight, head_dim=rules.exact_head_dim,
    ),
    "gpt-sw3": Family(
        classes=causal("GPT2", suffix="LMHeadModel"), keys=_GPT,
        reads=_GPT.reads((50257, 768, 12, 12, None, 1024), **TIED), aliases=_GPT_NAMES, norm=LAYER,
        positions=Learned(), biases=EVERY, d_ff_bias=True,
    ),
    "ctrl": Family(
        classes=causal("CTRL", suffix="LMHeadModel", bias=True), keys=_CTRL,
        reads=_CTRL.reads((246534, 1280, 48, 16, 8192, 256), **TIED), aliases=_GPT_NAMES, norm=LAYER,
        positions=Computed(kind="sinusoidal"), biases=EVERY, d_ff_bias=True,
    ),
}

MORE_EXPERTS: Final[dict[str, Family]] = {
    # norms behind the sub-layers too
    "kolibri1": modern(
        "Kolibri1", (128000, 2560, 50, 48, 262144),
        {"num_key_value_heads": 4, "head_dim": 128, "sliding_window": 513, "layer_types": None, "num_local_experts": 384,
         "num_experts_per_tok": 6, "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512},
        keys=Keys(d_ff=None), aliases=_NUMBERED, null=("sliding_window",), norm=SANDWICH, qk_norm="head",
        sight=rules.four_of_five,
        experts=Routed(shared_d_ff="shared_expert_intermediate_size", selection_bias="buffer"),
    ),
    "axk1": modern(
        "AXK1", (163840, 7168, 61, 64, 18432, 32768),
        {**_RANKS, "n_routed_experts": 192, "num_experts_per_tok": 8, "n_shared_experts": 1, "mlp_layer_types": None,
         "moe_intermediate_size": 2048, "first_k_dense_replace": 1}, aliases=_DEEPSEEK, fixed={"moe_layer_freq": 1},
        experts=Routed(experts="n_routed_experts", shared="n_shared_experts", selection_bias="buffer", out_norm=True,
                       sparse=experts.exaone_moe), **_LATENT,
    ),
    "mistral4": modern(
        "Mistral4", (131072, 4096, 36, 32, 12288, 1048576),
        {**_RANKS, "kv_lora_rank": 256, "q_lora_rank": 1024, "qk_nope_head_dim": 64, "n_routed_experts": 128,
         "num_experts_per_tok": 4, "n_shared_experts": 1, "moe_intermediate_size": 2048, "first_k_dense_replace": 0},
        aliases=_DEEPSEEK, attention=experts.latent, null=("num_key_value_heads", "head_dim", "q_lora_rank"),
        experts=Routed(experts="n_routed_experts", shared="n_shared_experts", sparse=experts.after_the_first),
    ),
    "afmoe": modern(
        "Afmoe", (200192, 2048, 32, 16, 6144, 16384),
        {"head_dim": 128, "sliding_window": 1024, "layer_types": None, "num_experts": 64,
         "global_attn_every_n_layers": 4, "num_experts_per_tok": 6, "num_shared_experts": 2, "num_dense_layers": 1,
         "moe_intermediate_size": 1408, "route_scale": None, "mup_enabled": None}, fixed={"attention_bias": False},
        aliases=_COUNTED, null=("sliding_window",), norm=SANDWICH, qk_norm="head", gated_heads=True,
        sight=rules.afmoe_sight,
        experts=Routed(experts="num_experts", shared="num_shared_experts", selection_bias="parameter",
                       sparse=experts.after_dense),
    ),
    "cohere2_moe": modern(
        "Cohere2Moe", (256000, 8192, 40, 64, 22528, 8192),
        {"num_experts": 8, "num_experts_per_tok": 2, "num_shared_experts": 0, "mlp_layer_types": None, **_LISTED,
         "prefix_dense_intermediate_size": None, "sliding_window_pattern": 4, "tie_word_embeddings": True, "head_dim": 128, **_NO_BIAS,
         "shared_expert_combination_strategy": None, "expert_selection_fn": None,
         "prefix_dense_sliding_window_pattern": None},
        fixed={"first_k_dense_replace": 0}, null=("sliding_window",), aliases=_COUNTED,
        norm=Norm(kind="layernorm", place="parallel", bias=False), sight=rules.cohere2_sight,
        experts=experts.cohere2_moe,
    ),
    "granitemoe_swa": modern(
        "GraniteMoeSWA", (32000, 4096, 32, 32, 11008, 2048),
        {"num_local_experts": 8, "num_experts_per_tok": 2, "shared_intermediate_size": 0, "sliding_window": 128,
         "layer_types": None, "layer_rope_theta": None, **_NO_BIAS}, sinks=True, sight=rules.all_but_every_fourth,
        null=("sliding_window",), experts=Routed(d_ff="intermediate_size", shared_d_ff="shared_intermediate_size"),
    ),
    # transformers builds both with the classes of the families that they are like
    "sarvam_moe": modern(
        "SarvamMoE", (262144, 4096, 19, 64, 8192, 131072),
        {"num_key_value_heads": 4, "head_dim": 64, "n_routed_experts": 128, "num_experts_per_tok": 6, "n_shared_experts": 1,
         "moe_intermediate_size": 1024, "first_k_dense_replace": 1, "num_nextn_predict_layers": 0, "use_qk_norm": True, **_NO_BIAS},
        classes=causal("Glm4Moe") | causal("SarvamMoE"), biases={"qkv": "attention_bias"}, qk_norm="head", qk_norm_if="use_qk_norm",
        aliases=_DEEPSEEK | {"num_mtp_layers": "num_nextn_predict_layers"}, notes=experts.prediction_layers,
        experts=Routed(experts="n_routed_experts", shared="n_shared_experts", selection_bias="buffer",
                       sparse=experts.after_the_first),
    ),
    "sarvam_mla": modern(
        "SarvamMLA", (262144, 4096, 32, 64, 16384, 4096),
        {**_RANKS, "q_lora_rank": None, "n_routed_experts": 128, "num_experts_per_tok": 8, "n_shared_experts": 1,
         "moe_intermediate_size": 2048, "first_k_dense_replace": 1, "num_nextn_predict_layers": 0},
        classes=causal("DeepseekV3") | causal("SarvamMLA"), notes=experts.prediction_layers,
        aliases=_DEEPSEEK | {"num_mtp_layers": "num_nextn_predict_layers"},
        experts=Routed(experts="n_routed_experts", shared="n_shared_experts", selection_bias="buffer",
                       sparse=experts.after_the_first), **_LATENT,
    ),
    "aria_text": modern(
        "AriaText", (32000, 4096, 32, 32, 4096, 2048),
        {"moe_num_experts": 8, "moe_topk": 2, "moe_num_shared_experts": 2, **_NO_BIAS}, fixed={"mlp_bias": False},
        experts=Routed(experts="moe_num_experts", top_k="moe_topk", d_ff="intermediate_size",
                       shared="moe_num_shared_experts"),
    ),
}


def _inside(prefix: str, sizes: tuple[int, ...], reads: dict[str, object], **columns: Any) -> Family:
    """A text model that has no class of its own with a head: the whole's is named."""
    model = columns.pop("model", f"{prefix}TextModel")
    return modern(prefix, sizes, reads, classes=causal(prefix, suffix="ForConditionalGeneration", model=model), **columns)


_SLIDES: Final[dict[str, object]] = {"use_sliding_window": False, "sliding_window": None, "layer_types": None}
_QWEN2: Final[dict[str, Any]] = {
    "null": ("num_key_value_heads",), "biases": {"qkv": True}, "sight": rules.qwen2_sight,
    "head_dim": rules.exact_head_dim,
}  # fmt: skip

INSIDE: Final[dict[str, Family]] = {
    "qwen2_vl_text": _inside(
        "Qwen2VL", (152064, 8192, 80, 64, 29568, 32768),
        {"num_key_value_heads": 8, "max_window_layers": 80, **_SLIDES}, **_QWEN2,
    ),
    "qwen2_5_vl_text": _inside(
        "Qwen2_5_VL", (152064, 8192, 80, 64, 29568, 32768),
        {"num_key_value_heads": 8, "max_window_layers": 80, **_SLIDES}, **_QWEN2,
    ),
    "qwen3_vl_text": _inside(
        "Qwen3VL", (151936, 4096, 32, 32, 22016, 128000), {"num_key_value_heads": 32, "head_dim": 128, **_NO_BIAS},
        null=("num_key_value_heads",), qk_norm="head",
    ),
    "qwen3_vl_moe_text": _inside(
        "Qwen3VLMoe", (151936, 2048, 24, 16, 5632, 128000),
        {"num_key_value_heads": 16, "num_local_experts": 60, "num_experts_per_tok": 4, "moe_intermediate_size": 1408,
         "decoder_sparse_step": 1, "mlp_only_layers": None, **_NO_BIAS}, null=("num_key_value_heads",),
        aliases=_NUMBERED, experts=Routed(sparse=experts.qwen_moe), qk_norm="head",
    ),
    "glm4v_text": _inside(
        "Glm4v", (151552, 4096, 40, 32, 13696, 32768), {"num_key_value_heads": 2}, null=("num_key_value_heads",),
        biases={"qkv": True}, norm=SANDWICH, head_dim=rules.exact_head_dim,
    ),
    "glm4v_moe_text": _inside(
        "Glm4vMoe", (151424, 4096, 46, 96, 10944, 65536),
        {"num_key_value_heads": 8, "n_routed_experts": 128, "num_experts_per_tok": 8, "n_shared_experts": 1,
         "moe_intermediate_size": 1408, "first_k_dense_replace": 1, "attention_bias": True},
        biases={"qkv": "attention_bias"}, aliases=_DEEPSEEK, null=("num_key_value_heads",),
        experts=Routed(experts="n_routed_experts", shared="n_shared_experts", selection_bias="buffer",
                       sparse=experts.after_the_first),
    ),
    "glm_ocr_text": _inside(
        "GlmOcr", (59392, 1024, 16, 16, 4096, 131072), {"num_key_value_heads": 8}, null=("num_key_value_heads",),
        norm=SANDWICH,
    ),
    "paddleocr_vl_text": _inside(
        "PaddleOCRVL", (103424, 1024, 18, 16, 3072, 131072),
        {"num_key_value_heads": 2, "head_dim": 128, "use_bias": False, "tie_word_embeddings": True},
        null=("num_key_value_heads", "head_dim"), biases={"qkvo": "use_bias"}, d_ff_bias="use_bias",
        model="PaddleOCRTextModel",
    ),
    "granite_docling_text": _inside(
        "GraniteDocling", (133800, 1024, 28, 16, 2048, 32768),
        {"num_key_value_heads": 4, "tie_word_embeddings": True, **NO_BIASES}, null=("num_key_value_heads",),
    ),
}
"""Text models of families that read more than text."""
# fmt: on
