"""Further families that read more than text: one row each, with the text models that stand inside them.

What the columns say: see `tscale.importer.family`.
"""

from __future__ import annotations

from typing import Any, Final

from tscale.importer import expert_rules as experts
from tscale.importer import family_rules as rules
from tscale.importer.expert_rules import Routed
from tscale.importer.family import NO_VISION, Family, Nested
from tscale.importer.family_rows import causal, modern

_IMAGES: Final = (
    "text_config", "vision_config", "tie_word_embeddings", "image_token_index", "image_token_id", "video_token_index",
    "vision_start_token_id", "vision_end_token_id", "vision_token_id",
)  # fmt: skip
_SOUNDS: Final = ("audio_config", "audio_token_index", "audio_token_id", "audio_start_token_id", "audio_end_token_id")
_FEATURES: Final = (
    "image_seq_length", "projector_hidden_act", "multimodal_projector_bias", "vision_feature_layer", "vision_feature_select_strategy",
)  # fmt: skip
_OMNI: Final = ("position_id_per_seconds", "seconds_per_chunk", "user_token_id", "pad_token_id")
_NO_TOWERS: Final = (
    "Left out: the vision and audio towers (vision_config, audio_config): the text model alone is counted."
)
_NO_SOUND: Final = "Left out: the audio tower and its projection (audio_config): the text model alone is counted."
_OF_TIMM: Final = (
    "Left out: the vision tower and its projection: timm builds the tower by the name of its architecture "
    "(vision_config), and no file gives its shape: the text model alone is counted."
)
_QFORMER: Final = "Left out: the vision tower, the Q-Former and its projection (vision_config, qformer_config): the text model alone is counted."


def _whole(cls: str, text: str, *own: str, tied: bool = False, **columns: Any) -> Nested:
    usual: dict[str, Any] = {"left_out": NO_VISION}
    return Nested(**(usual | columns), classes=(cls,), text=(text,), tied=tied, own=own)


# fmt: off
WHOLE: Final[dict[str, Nested]] = {
    "qwen2_5_omni_thinker": _whole(
        "Qwen2_5OmniThinkerForConditionalGeneration", "qwen2_5_omni_text", *_IMAGES, *_SOUNDS, *_OMNI, left_out=_NO_TOWERS,
    ),
    "qwen3_omni_moe_thinker": _whole(
        "Qwen3OmniMoeThinkerForConditionalGeneration", "qwen3_omni_moe_text", *_IMAGES, *_SOUNDS, *_OMNI, left_out=_NO_TOWERS,
    ),
    "florence2": _whole("Florence2ForConditionalGeneration", "bart", *_IMAGES, "is_encoder_decoder", tied=True, retied=False),
    "fast_vlm": _whole("FastVlmForConditionalGeneration", "qwen2", *_IMAGES, *_FEATURES, ties_whole=True, left_out=_OF_TIMM),
    "perception_lm": _whole(
        "PerceptionLMForConditionalGeneration", "llama", *_IMAGES, "vision_use_cls_token", "projector_pooling_ratio", ties_whole=True,
        left_out=_OF_TIMM,
    ),
    "instructblipvideo": Nested(
        classes=("InstructBlipVideoForConditionalGeneration",), text=("opt", "llama"), tied=True, retied=False, left_out=_QFORMER,
        own=(*_IMAGES, "qformer_config", "num_query_tokens", "use_decoder_only_language_model"),
    ),
    "audioflamingo3": _whole(
        "AudioFlamingo3ForConditionalGeneration", "qwen2", *_IMAGES, *_SOUNDS, "projector_hidden_act", "projector_bias",
        retied=False, left_out=_NO_SOUND,
    ),
    "musicflamingo": _whole(
        "MusicFlamingoForConditionalGeneration", "qwen2", *_IMAGES, *_SOUNDS, "projector_hidden_act", "projector_bias",
        "audio_bos_token_id", "audio_eos_token_id", "audio_frame_step", "max_position_embeddings", "head_dim",
        retied=False, left_out=_NO_SOUND,
    ),
}

INNER: Final[dict[str, Family]] = {
    "qwen2_5_omni_text": modern(
        "Qwen2_5Omni", (152064, 3584, 28, 28, 18944, 32768),
        {"num_key_value_heads": 4, "max_window_layers": 28, "use_sliding_window": False, "sliding_window": None, "layer_types": None},
        classes=causal("Qwen2_5OmniThinker", suffix="ForConditionalGeneration", model="Qwen2_5OmniThinkerTextModel"),
        null=("num_key_value_heads",), biases={"qkv": True}, sight=rules.qwen2_sight, head_dim=rules.exact_head_dim,
    ),
    "qwen3_omni_moe_text": modern(
        "Qwen3OmniMoe", (3584, 2048, 28, 28, 18944, 32768),
        {"num_key_value_heads": 4, "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768,
         "decoder_sparse_step": 1, "mlp_only_layers": None, "attention_bias": False}, null=("num_key_value_heads",),
        classes=causal("Qwen3OmniMoeThinker", suffix="ForConditionalGeneration", model="Qwen3OmniMoeThinkerTextModel"),
        experts=Routed(experts="num_experts", sparse=experts.qwen_moe), qk_norm="head",
    ),
}
# fmt: on


_SPEAKS: Final = {"qwen2_5_omni": "token2wav_config", "qwen3_omni_moe": "code2wav_config"}


def thinker(config: dict[str, object]) -> tuple[dict[str, object], tuple[str, ...]]:
    """Of a model that speaks, the part that reads and thinks, and what is said of the rest; any other file as it is."""
    kind, inner = config.get("model_type"), config.get("thinker_config")
    if not isinstance(kind, str) or kind not in _SPEAKS or not isinstance(inner, dict):
        return config, ()
    named = {"model_type": f"{kind}_thinker", "architectures": None}
    left_out = (
        f"Left out: what speaks (talker_config, {_SPEAKS[kind]}): the thinker alone, with its towers, is counted."
    )
    return {**inner, **named}, (left_out,)
