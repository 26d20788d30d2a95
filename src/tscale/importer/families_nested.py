"""Families that read more than text, and are counted by the text model inside: one row each.

What is left out is said. Where a file is silent about whether the head is tied, releases of transformers differ for some
of them: those rows have None, are read as release 5 does (tied), and that is said.
"""

from __future__ import annotations

from typing import Any, Final

from tscale.importer.family import NO_VISION, Nested

_IMAGES: Final = (
    "text_config",
    "vision_config",
    "tie_word_embeddings",
    "image_token_index",
    "boi_token_index",
    "eoi_token_index",
    "video_token_index",
    "projector_hidden_act",
    "projector_hidden_size",
    "projector_bias",
    "multimodal_projector_bias",
    "vision_feature_layer",
    "vision_feature_select_strategy",
    "spatial_merge_size",
    "image_seq_length",
    "video_seq_length",
    "image_grid_pinpoints",
    "downsample_factor",
    "downsample_ratio",
    "ignore_index",
)
"""Keys that say how images are read, and change nothing in the text model."""
_SOUNDS: Final = ("text_config", "audio_config", "tie_word_embeddings", "audio_token_index", "projector_hidden_act")
_NO_SOUND: Final = "Left out: the audio tower and its projection (audio_config): the text model alone is counted."
_ANY: Final = (
    "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "phi", "phi3", "granite", "mixtral", "opt", "cohere",
    "cohere2", "olmo", "olmo2", "smollm3", "stablelm", "gpt_neox", "qwen3_moe", "gpt_oss", "ministral3",
)  # fmt: skip
"""Text models that files put into classes which build whatever `text_config` names."""


def _sees(name: str, text: str | tuple[str, ...], tied: bool | None, *own: str, **columns: Any) -> Nested:
    """A row of a family with images: `name` is its class's, before ForConditionalGeneration."""
    usual: dict[str, Any] = {"classes": (f"{name}ForConditionalGeneration",), "left_out": NO_VISION}
    texts = (text,) if isinstance(text, str) else text
    return Nested(**(usual | columns), text=texts, tied=tied is not False, unsaid=tied is None, own=(*_IMAGES, *own))


def _hears(name: str, text: str | tuple[str, ...], tied: bool | None, *own: str, **columns: Any) -> Nested:
    """A row of a family with sounds."""
    usual: dict[str, Any] = {"classes": (f"{name}ForConditionalGeneration",), "left_out": _NO_SOUND}
    texts = (text,) if isinstance(text, str) else text
    return Nested(**(usual | columns), text=texts, tied=tied is not False, unsaid=tied is None, own=(*_SOUNDS, *own))


def _first(family: str) -> tuple[str, ...]:
    return (family, *(name for name in _ANY if name != family))


_GLMASR: Final[dict[str, object]] = {
    "vocab_size": 59264, "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28,
    "num_attention_heads": 16, "num_key_value_heads": 4, "max_position_embeddings": 8192,
}  # fmt: skip
_PHI4: Final[dict[str, object]] = {
    "vocab_size": 200064, "num_key_value_heads": 8, "max_position_embeddings": 131072,
}  # fmt: skip
_VOXTRAL: Final[dict[str, object]] = {
    "vocab_size": 131072, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 30,
    "num_key_value_heads": 8, "max_position_embeddings": 131072, "head_dim": 128,
}  # fmt: skip
_QFORMER: Final = ("qformer_config", "num_query_tokens", "image_text_hidden_size", "use_decoder_only_language_model")
_GENERATES: Final = (
    "Left out: the vision towers, their projections and what makes images (vision_config, vq_config): the text model "
    "alone is counted."
)
_QFORMER_TOO: Final = (
    "Left out: the vision tower, the Q-Former and its projection (vision_config, qformer_config): the text model alone "
    "is counted."
)

# fmt: off
SEEING: Final[dict[str, Nested]] = {
    "minimax_m3_vl": _sees(
        "MiniMaxM3VL", "minimax_m3_vl_text", False, "img_token_compression_config", "process_image_mode",
        "merged_hidden_size", ties_whole=True,
        classes=("MiniMaxM3SparseForConditionalGeneration",),
    ),
    "mllama": _sees("Mllama", "mllama_text_model", False, retied=False),
    "phi4_multimodal": _sees(
        "Phi4Multimodal", "phi3", False, "audio_config", "original_max_position_embeddings", flat=True, defaults=_PHI4,
        classes=("Phi4MultimodalForCausalLM",),
    ),
    "step3p7": Nested(
        classes=("Step3p7ForConditionalGeneration", "Step3p7FlashForCausalLM"), text=("step3p5",), tied=False,
        own=(*_IMAGES, "image_token_id", "vision_config"), left_out=NO_VISION, unread_flat=True,
    ),
    "llava": _sees("Llava", _first("llama"), False, ties_whole=True),
    "llava_next": _sees("LlavaNext", _first("llama"), False, "use_image_newline_parameter"),
    "llava_next_video": _sees("LlavaNextVideo", _first("llama"), False, "spatial_pool_mode", "spatial_pool_stride",
                              ties_whole=True),
    "llava_onevision": _sees("LlavaOnevision", _first("qwen2"), False, "vision_aspect_ratio", ties_whole=True),
    "video_llava": _sees("VideoLlava", _first("llama"), False),
    "vipllava": _sees("VipLlava", _first("llama"), False, "projector_layernorm_eps", "vision_feature_layers"),
    "video_llama_3": _sees("VideoLlama3", "qwen2", False, ties_whole=True),
    "qwen2_vl": _sees("Qwen2VL", "qwen2_vl_text", False, flat=True, ties_whole=True),
    "qwen2_5_vl": _sees("Qwen2_5_VL", "qwen2_5_vl_text", False, flat=True, ties_whole=True),
    "qwen3_vl": _sees("Qwen3VL", "qwen3_vl_text", False),
    "qwen3_vl_moe": _sees("Qwen3VLMoe", "qwen3_vl_moe_text", False),
    "qwen3_5": _sees("Qwen3_5", "qwen3_5_text", False),
    "qwen3_5_moe": _sees("Qwen3_5Moe", "qwen3_5_moe_text", False),
    "internvl": _sees("InternVL", _first("qwen2"), None),
    "got_ocr2": _sees("GotOcr2", "qwen2", None),
    "glm4v": _sees("Glm4v", "glm4v_text", False, ties_whole=True),
    "glm46v": _sees("Glm46V", ("glm4v_text", "glm4v_moe_text"), False),
    "glm4v_moe": _sees("Glm4vMoe", "glm4v_moe_text", False, ties_whole=True),
    "glm_ocr": _sees("GlmOcr", "glm_ocr_text", False, ties_whole=True),
    "idefics2": _sees("Idefics2", _first("mistral"), False, "perceiver_config"),
    "idefics3": _sees("Idefics3", _first("llama"), False, "scale_factor", "_pad_token_id"),
    "smolvlm": _sees("SmolVLM", _first("llama"), False, "scale_factor", "_pad_token_id"),
    "paligemma": _sees(
        "PaliGemma", ("gemma", "gemma2"), True, "projection_dim", "vocab_size", "hidden_size",
        inside=("num_image_tokens", "use_bidirectional_attention"),
        left_out=f"{NO_VISION} Its prompt is read both ways; costs by a causal convention take it as causal.",
    ),
    "shieldgemma2": _sees("Gemma3", "gemma3_text", True, "mm_tokens_per_image", retied=False,
                          classes=("Gemma3ForConditionalGeneration", "ShieldGemma2ForImageClassification")),
    "gemma4": _sees(
        "Gemma4", "gemma4_text", True, "audio_config", "eoa_token_index",
        left_out="Left out: the vision and audio towers (vision_config, audio_config): the text model alone is counted.",
    ),
    "aya_vision": _sees("AyaVision", "cohere2", True, "adapter_layer_norm_eps"),
    "cohere2_vision": _sees("Cohere2Vision", "cohere2", True, "alignment_intermediate_size"),
    "aria": _sees("Aria", "aria_text", False, "projector_patch_to_query_dict", "max_value_projector_patch_to_query_dict"),
    "exaone4_5": _sees("Exaone4_5_", "exaone4", False),
    "lighton_ocr": _sees("LightOnOcr", "qwen3", None),
    "qianfan_ocr": _sees("QianfanOCR", "qwen3", False),
    "kimi_k25": _sees("Kimi_K25", "deepseek_v3", None, "projection_hidden_size", "projection_layer_norm_eps",
                      named={"kimi_k2": "deepseek_v3"}),
    "paddleocr_vl": _sees("PaddleOCRVL", "paddleocr_vl_text", True, retied=False),
    "lfm2_vl": _sees("Lfm2Vl", "lfm2", True, "projector_use_layernorm"),
    "granite_docling": _sees("GraniteDocling", "granite_docling_text", True, "density_router_hidden_size",
                             "density_router_threshold", "density_router_loss_weight"),
    "minicpmv4_6": _sees("MiniCPMV4_6", "qwen3_5_text", False, "insert_layer_id", "image_size",
                         "drop_vision_last_layer", "downsample_mode", "merge_kernel_size", "merger_times", "patch_size"),
    "hyperclovax_vision_v2": _sees("HyperCLOVAXVisionV2", "hyperclovax", None),
    "deepseek_vl": _sees("DeepseekVL", _first("llama"), None),
    "deepseek_vl_hybrid": _sees("DeepseekVLHybrid", _first("llama"), None, "high_res_vision_config"),
    "janus": _sees("Janus", "llama", None, "vq_config", left_out=_GENERATES),
    "blip-2": _sees("Blip2", ("opt",), True, *_QFORMER, retied=False, left_out=_QFORMER_TOO),
    "instructblip": _sees("InstructBlip", ("opt", "llama"), True, *_QFORMER, retied=False, left_out=_QFORMER_TOO),
}
BOTH: Final[dict[str, Nested]] = {
    name: Nested(
        classes=(cls,), text=(f"{name}_text_model",), tied=False, retied=False, left_out=NO_VISION,
        own=("text_config", "vision_config", "tie_word_embeddings", "projection_dim", "logit_scale_init_value",
             "text_config_dict", "vision_config_dict", "text_projection_dim", "vision_projection_dim"),
    )
    for name, cls in (("clip", "CLIPModel"), ("siglip", "SiglipModel"), ("siglip2", "Siglip2Model"))
}
"""Pairs of encoders, one of texts and one of images, whose outputs are compared."""
HEARING: Final[dict[str, Nested]] = {
    "qwen2_audio": _hears("Qwen2Audio", "qwen2", False, retied=False),
    "qwen3_asr": _hears("Qwen3ASR", "qwen3", None, "timestamp_token_id", "token_classification_bias"),
    "voxtral": _hears("Voxtral", "llama", False, "hidden_size", defaults=_VOXTRAL, retied=False),
    "glmasr": _hears("GlmAsr", "llama", None, defaults=_GLMASR),
    "granite_speech": _hears("GraniteSpeech", "granite", None, "encoder_config", "projector_config", "has_lora_adapter",
                             "downsample_rate", "window_size", left_out=(
                                 "Left out: the audio encoder, its projector and the adapters that listen "
                                 "(encoder_config, projector_config): the text model alone is counted.")),
}
# fmt: on
