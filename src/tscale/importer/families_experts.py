"""More rows of the table of model families: those that normalise queries and keys, have experts or latent attention.

As in `tscale.importer.families`: sizes stand in the order of `Keys`, and all defaults are those of transformers 5.23.0.
"""

from __future__ import annotations

from typing import Any, Final

from tscale.blocks import Norm
from tscale.importer import expert_rules as experts
from tscale.importer import family_rules as rules
from tscale.importer.expert_rules import Routed
from tscale.importer.family import NO_VISION, Family, Keys, Nested
from tscale.importer.family_rows import EVERY, LAYER, NEEDED, NO_BIASES, SANDWICH, causal, modern

_AFTER: Final = Norm(kind="rmsnorm", place="post", final=True)
"""Norms behind the sub-layers, as in OLMo 2."""
_HEAD: Final[dict[str, Any]] = {"qk_norm": "head"}
_FULL: Final[dict[str, Any]] = {"qk_norm": "full"}
_NO_BIAS: Final[dict[str, object]] = {"attention_bias": False}
_SLIDES: Final[dict[str, object]] = {"use_sliding_window": False, "sliding_window": None, "max_window_layers": 28}
_LISTED: Final[dict[str, object]] = {"sliding_window": 4096, "layer_types": None}

# fmt: off
NORMED: Final[dict[str, Family]] = {
    "qwen3": modern(
        "Qwen3", (151936, 4096, 32, 32, 22016, 32768),
        {"num_key_value_heads": 32, "head_dim": 128, **_NO_BIAS, **_SLIDES, "layer_types": None},
        null=("num_key_value_heads",), sight=rules.qwen2_sight, **_HEAD,
    ),
    "gemma3_text": modern(
        "Gemma3", (262208, 2304, 26, 8, 9216, 131072),
        {"num_key_value_heads": 4, "head_dim": 256, **_NO_BIAS, **_LISTED, "tie_word_embeddings": True,
         "sliding_window_pattern": 6, "_sliding_window_pattern": None}, null=("sliding_window",),
        classes=causal("Gemma3", model="Gemma3TextModel"), fixed={"use_bidirectional_attention": False},
        norm=SANDWICH, sight=rules.gemma3_sight, **_HEAD,
    ),
    "olmo2": modern(
        "Olmo2", (50304, 4096, 32, 32, 11008, 2048), _NO_BIAS, norm=_AFTER, **_FULL,
    ),
    "olmo3": modern(
        "Olmo3", (50304, 4096, 32, 32, 11008, 2048), _NO_BIAS | _LISTED, null=("sliding_window",), norm=_AFTER,
        sight=rules.three_of_four, **_FULL,
    ),
    "exaone4": modern(
        "Exaone4", (102400, 4096, 32, 32, 16384, 2048),
        {"num_key_value_heads": 32, **_LISTED, "sliding_window_pattern": 4},
        null=("sliding_window", "sliding_window_pattern"), norm=_AFTER, sight=rules.exaone4_sight, **_HEAD,
    ),
    # the activation has two learned numbers
    "apertus": modern(
        "Apertus", (131072, 4096, 32, 32, 14336, 65536), _NO_BIAS, gated=False, scalars=2,
        fixed={"hidden_act": "xielu", "qk_norm": True, "post_norm": False, "mlp_bias": False}, **_HEAD,
    ),
    "persimmon": modern(
        "Persimmon", (262144, 4096, 36, 64, 16384, 16384), {"qk_layernorm": True}, norm=LAYER, biases=EVERY,
        d_ff_bias=True, gated=False, kv_heads=rules.all_kv_heads, head_dim=rules.exact_head_dim, qk_norm="head",
        qk_norm_if="qk_layernorm", qk_norm_bias=True,
    ),
    "hunyuan_v1_dense": modern(
        "HunYuanDenseV1", (290943, 4096, 32, 32, 11008, 2048), _NO_BIAS,
        fixed={"use_qk_norm": True, "use_cla": False, "mlp_bias": False}, **_HEAD,
    ),
    "ministral": modern(
        "Ministral", (32000, 4096, 32, 32, 14336, 131072), {"num_key_value_heads": 8, **_LISTED},
        null=("num_key_value_heads", "sliding_window"), sight=rules.ministral_sight,
    ),
    "ministral3": modern(
        "Ministral3", (131072, 4096, 34, 32, 14336, 262144),
        {"num_key_value_heads": 8, "head_dim": 128, "sliding_window": None}, null=("num_key_value_heads", "head_dim"),
        sight=rules.window,
    ),
    "cwm": modern(
        "Cwm", (128256, 6144, 64, 48, 21504, 131072),
        {"num_key_value_heads": 8, "head_dim": 128, "sliding_window": 8192, "layer_types": None},
        null=("num_key_value_heads", "head_dim", "sliding_window"), fixed={"mlp_bias": False, "attention_bias": False},
        sight=rules.all_but_every_fourth,
    ),
    "granite_swa": modern(
        "GraniteSWA", (100352, 2560, 24, 20, 8192, 8192),
        {"num_key_value_heads": 4, **NO_BIASES, "sliding_window": 128, "layer_types": None,
         "tie_word_embeddings": True, "layer_rope_theta": None}, null=("num_key_value_heads", "sliding_window"),
        sinks=True, sight=rules.all_but_every_fourth,
    ),
    "vaultgemma": modern(
        "VaultGemma", (256000, 2304, 26, 8, 9216, 8192),
        {"num_key_value_heads": 4, "head_dim": 256, **_NO_BIAS, **_LISTED, "tie_word_embeddings": True},
        null=("sliding_window",), sight=rules.gemma2_sight,
    ),
    "jais2": modern(
        "Jais2", (150272, 3328, 32, 26, 26624, 8192), {"num_key_value_heads": None, "head_dim": None,
         "attention_bias": True, "mlp_bias": True}, null=("num_key_value_heads", "head_dim"), norm=LAYER, gated=False,
    ),
}


_MIXTRAL: Final = Routed(d_ff="intermediate_size")
_NUMBERED: Final[dict[str, str]] = {"num_experts": "num_local_experts"}
_COUNTED: Final[dict[str, str]] = {"num_local_experts": "num_experts"}
_DEEPSEEK: Final = Routed(
    experts="n_routed_experts", shared="n_shared_experts", selection_bias="buffer", sparse=experts.after_the_first,
)
_SHARED: Final[dict[str, str]] = {"num_local_experts": "n_routed_experts"}
_PREDICTS: Final[dict[str, str]] = {"num_mtp_layers": "num_nextn_predict_layers"}
_LATENT: Final[dict[str, Any]] = {"attention": experts.latent, "null": ("q_lora_rank", "num_key_value_heads", "head_dim")}


def _ranks(q: int, kv: int, nope: int, rope: int, v: int | None) -> dict[str, object]:
    """The sizes of latent attention; the class reads, and does not use, those of multi-head attention."""
    return {
        "q_lora_rank": q, "kv_lora_rank": kv, "qk_nope_head_dim": nope, "qk_rope_head_dim": rope, "v_head_dim": v,
        "qk_head_dim": None, **_NO_BIAS,
    }


def _experts(number: object, top_k: object, **more: object) -> dict[str, object]:
    return {"num_local_experts": number, "num_experts_per_tok": top_k, **more}


EXPERTS: Final[dict[str, Family]] = {
    "mixtral": modern(
        "Mixtral", (32000, 4096, 32, 32, 14336, 131072),
        _experts(8, 2, num_key_value_heads=8, sliding_window=None), null=("num_key_value_heads",), aliases=_NUMBERED,
        experts=_MIXTRAL, sight=rules.window,
    ),
    "qwen3_moe": modern(
        "Qwen3Moe", (151936, 2048, 24, 32, 6144, 32768),
        _experts(128, 8, moe_intermediate_size=768, decoder_sparse_step=1, mlp_only_layers=None, num_key_value_heads=4,
                 **_NO_BIAS, **_SLIDES),
        aliases=_NUMBERED, experts=Routed(sparse=experts.qwen_moe), sight=rules.window_in_use, **_HEAD,
    ),
    "qwen2_moe": modern(
        "Qwen2Moe", (151936, 2048, 24, 16, 5632, 32768),
        {"num_experts": 60, "num_experts_per_tok": 4, "moe_intermediate_size": 1408,
         "shared_expert_intermediate_size": 5632, "decoder_sparse_step": 1, "mlp_only_layers": None,
         "num_key_value_heads": 16, "qkv_bias": True, "layer_types": None, **_SLIDES},
        biases={"qkv": "qkv_bias"}, sight=rules.qwen2_moe_sight,
        experts=Routed(experts="num_experts", shared_d_ff="shared_expert_intermediate_size", shared_gate=True,
                       sparse=experts.qwen_moe),
    ),
    "deepseek_v3": modern(
        "DeepseekV3", (129280, 7168, 61, 128, 18432, 4096),
        {"n_routed_experts": 256, "num_experts_per_tok": 8, "n_shared_experts": 1, "moe_intermediate_size": 2048,
         "first_k_dense_replace": 3, "num_nextn_predict_layers": 1, **_ranks(1536, 512, 128, 64, 128)},
        fixed={"moe_layer_freq": 1}, aliases=_SHARED | _PREDICTS, experts=_DEEPSEEK, notes=experts.prediction_layers,
        **_LATENT,
    ),
    "deepseek_v2": modern(
        "DeepseekV2", (102400, 4096, 32, 32, 11008, 2048),
        {"n_routed_experts": 64, "num_experts_per_tok": NEEDED, "n_shared_experts": 2, "moe_intermediate_size": 1407,
         "first_k_dense_replace": 0, **_ranks(1536, 512, 128, 64, 128)},
        fixed={"moe_layer_freq": 1, "mlp_bias": False}, aliases={"num_experts": "n_routed_experts"},
        experts=Routed(experts="n_routed_experts", shared="n_shared_experts", sparse=experts.after_the_first),
        **_LATENT,
    ),
    "glm4_moe_lite": modern(
        "Glm4MoeLite", (154880, 2048, 47, 20, 10240, 202752),
        {"n_routed_experts": 64, "num_experts_per_tok": 4, "n_shared_experts": 1, "moe_intermediate_size": 1536,
         "mlp_layer_types": None, **_ranks(768, 512, 192, 64, 256)},
        aliases=_SHARED | {"head_dim": "qk_rope_head_dim"},
        experts=Routed(experts="n_routed_experts", shared="n_shared_experts", selection_bias="buffer",
                       sparse=experts.all_but_first), **_LATENT,
    ),
    "youtu": modern(
        "Youtu", (128256, 2048, 32, 16, 6144, 131072),
        {**_ranks(1536, 512, 128, 64, 128), "tie_word_embeddings": True}, **_LATENT,
    ),
    "minicpm3": modern(
        "MiniCPM3", (73448, 2560, 62, 40, 6400, 32768),
        {**_ranks(768, 256, 64, 32, None), "mlp_bias": False, "tie_word_embeddings": True}, **_LATENT,
    ),
    "gpt_oss": modern(
        "GptOss", (201088, 2880, 36, 64, 2880, 131072),
        _experts(128, 4, num_key_value_heads=8, head_dim=64, attention_bias=True, sliding_window=128, layer_types=None),
        null=("num_key_value_heads", "head_dim", "sliding_window"),
        aliases=_NUMBERED | {"experts_per_token": "num_experts_per_tok"}, sinks=True, sight=rules.gemma2_sight,
        experts=Routed(d_ff="intermediate_size", bias=True, router_bias=True),
    ),
    # its norms on queries and keys have no weights
    "llama4_text": modern(
        "Llama4", (202048, 5120, 48, 40, 16384, 131072),
        _experts(16, 1, intermediate_size=8192, num_key_value_heads=8, head_dim=128, moe_layers=None, layer_types=None,
                 interleave_moe_layer_step=1, use_qk_norm=True, attention_chunk_size=8192, no_rope_layers=None,
                 no_rope_layer_interval=4, **_NO_BIAS),
        keys=Keys(d_ff="intermediate_size_mlp"), classes=causal("Llama4", model="Llama4TextModel"),
        null=("num_key_value_heads", "head_dim", "attention_chunk_size"), sight=rules.llama4_sight,
        experts=Routed(d_ff="intermediate_size", shared_d_ff="intermediate_size", sparse=experts.llama4),
    ),
    "glm4_moe": modern(
        "Glm4Moe", (151552, 4096, 46, 96, 10944, 131072),
        {"n_routed_experts": 128, "num_experts_per_tok": 8, "n_shared_experts": 1, "moe_intermediate_size": 1408,
         "first_k_dense_replace": 1, "num_nextn_predict_layers": 1, "num_key_value_heads": 8, "use_qk_norm": False,
         **_NO_BIAS},
        aliases=_SHARED | _PREDICTS, biases={"qkv": "attention_bias"}, qk_norm="head", qk_norm_if="use_qk_norm",
        experts=_DEEPSEEK, notes=experts.prediction_layers,
    ),
    "granitemoe": modern(
        "GraniteMoe", (32000, 4096, 32, 32, 11008, 2048), _experts(8, 2, **_NO_BIAS), experts=_MIXTRAL,
    ),
    "granitemoeshared": modern(
        "GraniteMoeShared", (32000, 4096, 32, 32, 11008, 2048), _experts(8, 2, shared_intermediate_size=0, **_NO_BIAS),
        experts=Routed(d_ff="intermediate_size", shared_d_ff="shared_intermediate_size"),
    ),
    "phimoe": modern(
        "Phimoe", (32064, 4096, 32, 32, 6400, 131072),
        _experts(16, 2, num_key_value_heads=8, sliding_window=None, lm_head_bias=False, **_NO_BIAS),
        null=("num_key_value_heads",), head_bias="lm_head_bias", norm=LAYER, experts=_MIXTRAL, sight=rules.window,
    ),
    "dbrx": Family(
        classes=causal("Dbrx"), keys=(keys := Keys(d_model="d_model", layers="n_layers", heads="n_heads", d_ff=None,
                                                   context="max_seq_len")),
        reads=keys.reads((32000, 2048, 24, 16, 2048), attn_config=None, ffn_config=None, num_key_value_heads=None,
                         tie_word_embeddings=False),
        aliases={"num_attention_heads": "n_heads", "hidden_size": "d_model", "num_hidden_layers": "n_layers",
                 "max_position_embeddings": "max_seq_len"},
        fixed={"tie_word_embeddings": False}, norm=Norm(kind="layernorm", bias=False), gated=True,
        kv_heads=rules.dbrx_kv_heads, head_dim=rules.even_head_dim, experts=experts.dbrx_experts,
    ),
    "ernie4_5_moe": modern(
        "Ernie4_5_Moe", (103424, 2560, 28, 20, 12288, 131072),
        {"moe_num_experts": 64, "moe_k": 6, "moe_num_shared_experts": 2, "moe_intermediate_size": 1536,
         "moe_layer_start_index": 1, "moe_layer_end_index": -1, "moe_layer_interval": 1, "num_key_value_heads": 4,
         "tie_word_embeddings": True}, fixed={"use_bias": False},
        aliases={"num_experts": "moe_num_experts", "num_experts_per_tok": "moe_k"},
        experts=Routed(experts="moe_num_experts", top_k="moe_k", shared="moe_num_shared_experts",
                       selection_bias="parameter", sparse=experts.ernie_moe),
    ),
    "olmoe": modern(
        "Olmoe", (50304, 2048, 16, 16, 2048, 4096), {"num_experts": 64, "num_experts_per_tok": 8, **_NO_BIAS},
        aliases=_COUNTED, head_dim=rules.exact_head_dim, experts=Routed(experts="num_experts", d_ff="intermediate_size"),
        **_FULL,
    ),
    "flex_olmo": modern(
        "FlexOlmo", (100352, 4096, 32, 32, 11008, 4096), {"num_experts": 7, "num_experts_per_tok": 5, **_NO_BIAS},
        aliases=_COUNTED, norm=_AFTER, experts=Routed(experts="num_experts", d_ff="intermediate_size"), **_FULL,
    ),
    "minimax_m2": modern(
        "MiniMaxM2", (200064, 3072, 62, 48, 1536, 196608),
        _experts(256, 8, num_key_value_heads=8, head_dim=128, attn_type_list=None), aliases=_NUMBERED,
        fixed={"use_qk_norm": True, "qk_norm_type": "per_layer", "use_routing_bias": True,
               "shared_intermediate_size": 0}, sight=rules.minimax_m2_sight,
        experts=Routed(d_ff="intermediate_size", selection_bias="buffer"), **_FULL,
    ),
    "hunyuan_v1_moe": modern(
        "HunYuanMoEV1", (290943, 4096, 32, 32, 11008, 2048), {"num_experts": 1, "moe_topk": 1, **_NO_BIAS},
        aliases=_COUNTED | {"num_experts_per_tok": "moe_topk"}, fixed={"use_qk_norm": True, "use_cla": False},
        experts=Routed(experts="num_experts", top_k="moe_topk", d_ff="intermediate_size",
                       shared_d_ff="intermediate_size"), **_HEAD,
    ),
    "dots1": modern(
        "Dots1", (152064, 4608, 62, 32, 10944, 2048),
        {"n_routed_experts": NEEDED, "num_experts_per_tok": NEEDED, "n_shared_experts": NEEDED,
         "moe_intermediate_size": 1408, "first_k_dense_replace": 0, "max_window_layers": 62, "num_key_value_heads": 32, **_LISTED, **_NO_BIAS},
        null=("sliding_window",), aliases=_SHARED, experts=_DEEPSEEK, sight=rules.dots1_sight, **_HEAD,
    ),
    "exaone_moe": modern(
        "ExaoneMoe", (102400, 4096, 32, 32, 16384, 2048),
        {"num_experts": 64, "num_experts_per_tok": 8, "num_shared_experts": 1, "moe_intermediate_size": 1024,
         "first_k_dense_replace": 1, "mlp_layer_types": None, "num_key_value_heads": 32, **_LISTED,
         "sliding_window_pattern": 4}, null=("sliding_window", "sliding_window_pattern"),
        sight=rules.exaone4_sight, experts=Routed(experts="num_experts", shared="num_shared_experts",
        selection_bias="buffer", sparse=experts.exaone_moe), **_HEAD,
    ),
    "hy_v3": modern(
        "HYV3", (120832, 4096, 80, 64, 13312, 131072),
        {"num_experts": 192, "num_experts_per_tok": 8, "num_shared_experts": 1, "moe_intermediate_size": 1536,
         "mlp_layer_types": None, "num_key_value_heads": 8, "head_dim": 128, **_NO_BIAS},
        fixed={"mlp_bias": False}, aliases=_COUNTED, experts=Routed(experts="num_experts", shared="num_shared_experts",
        selection_bias="buffer", sparse=experts.all_but_first), **_HEAD,
    ),
    "solar_open": modern(
        "SolarOpen", (196608, 4096, 48, 64, 131072),
        {"n_routed_experts": 128, "num_experts_per_tok": 8, "n_shared_experts": 1, "moe_intermediate_size": 1280,
         "num_key_value_heads": 8, "head_dim": 128, **_NO_BIAS}, keys=Keys(d_ff=None), aliases=_SHARED,
        biases={"qkv": "attention_bias"},
        experts=Routed(experts="n_routed_experts", shared="n_shared_experts", selection_bias="buffer"),
    ),
    "mellum": modern(
        "Mellum", (98304, 2304, 28, 32, 7168, 131072),
        _experts(64, 8, moe_intermediate_size=896, mlp_layer_types=None, sliding_window=1024, layer_types=None,
                 num_key_value_heads=4, head_dim=128, **_NO_BIAS), null=("sliding_window",),
        fixed={"num_nextn_predict_layers": None}, aliases=_NUMBERED | _PREDICTS, sight=rules.full_unless_listed,
        experts=Routed(sparse=experts.all_unless_listed), **_HEAD,
    ),
}
# fmt: on

_IMAGES: Final = (
    "text_config",
    "vision_config",
    "tie_word_embeddings",
    "image_token_index",
    "boi_token_index",
    "eoi_token_index",
)

NESTED: Final[dict[str, Nested]] = {
    "gemma3": Nested(
        classes=("Gemma3ForConditionalGeneration",),
        text=("gemma3_text",),
        tied=True,
        own=(*_IMAGES, "mm_tokens_per_image"),
        left_out=NO_VISION,
    ),
    "llama4": Nested(
        classes=("Llama4ForConditionalGeneration",),
        text=("llama4_text",),
        tied=False,
        own=_IMAGES,
        left_out=NO_VISION,
    ),
    "mistral3": Nested(
        classes=("Mistral3ForConditionalGeneration",),
        text=("mistral", "ministral3"),
        tied=True,
        unsaid=True,
        own=(
            *_IMAGES,
            "projector_hidden_act",
            "vision_feature_layer",
            "multimodal_projector_bias",
            "spatial_merge_size",
        ),
        left_out=NO_VISION,
    ),
}
"""Families that read more than text."""
