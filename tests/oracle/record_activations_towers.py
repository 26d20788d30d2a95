"""Records what autograd keeps of a forward pass through towers and projectors: small ones of transformers' own classes.

`python tests/oracle/record_activations_towers.py > tests/oracle/activations_towers.jsonl` needs `transformers` 5.24.0 and `torch`
2.13.0 or later; it knows nothing of tscale. Each line holds a configuration, how many images (or sounds) of which size, a number
format and a kind of attention, and the bytes of the distinct storages that autograd still refers to when the pass is over,
parameters and buffers left out, with those storages, one shape and format a key. What a tower computes and nobody reads is gone by
then.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import functools
import gc
import json
import logging
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
import transformers
from torch import nn
from transformers import CONFIG_MAPPING
from transformers.modeling_outputs import BaseModelOutputWithPooling

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
TEXT = {"vocab_size": 128, "hidden_size": 80, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 1,
        "intermediate_size": 96, "head_dim": 20}  # fmt: skip
VISION = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 144, "image_size": 32,
          "patch_size": 8}  # fmt: skip
QWEN = {"depth": 2, "hidden_size": 64, "num_heads": 4, "intermediate_size": 144, "patch_size": 8, "spatial_merge_size": 2,
        "temporal_patch_size": 2, "out_hidden_size": 80}  # fmt: skip
OUT = {"projection_dim": 80}


def text(kind: str, **more: Any) -> dict[str, Any]:
    """A text model of one layer, of which nothing is run."""
    return {"model_type": kind, **TEXT, **more}


def images(count: int, height: int, width: int, kind: torch.dtype) -> torch.Tensor:
    """Random images."""
    return torch.randn(count, 3, height, width, dtype=kind)


def fixed(config: dict[str, Any], count: int, side: tuple[int, int], kind: torch.dtype) -> dict[str, Any]:
    """Images of the tower's own size."""
    return {"pixel_values": images(count, *side, kind)}


def patches(config: dict[str, Any], count: int, side: tuple[int, int], kind: torch.dtype) -> dict[str, Any]:
    """Images cut into patches, one row each, with the grid of each image."""
    v = config["vision_config"]
    size, frames = v["patch_size"], v.get("temporal_patch_size", 2)
    rows, columns = side[0] // size, side[1] // size
    pixels = torch.randn(count * rows * columns, 3 * frames * size**2, dtype=kind)
    return {"pixel_values": pixels, "image_grid_thw": torch.tensor([[1, rows, columns]] * count)}


def squares(config: dict[str, Any], count: int, side: tuple[int, int], kind: torch.dtype) -> dict[str, Any]:
    """The same, each patch a small image."""
    size = config["vision_config"]["patch_size"]
    rows, columns = side[0] // size, side[1] // size
    grid = torch.tensor([[1, rows, columns]] * count)
    return {"pixel_values": images(count * rows * columns, size, size, kind), "image_grid_thw": grid}


def sized(config: dict[str, Any], count: int, side: tuple[int, int], kind: torch.dtype) -> dict[str, Any]:
    """Images of any size, with their sizes."""
    return {"pixel_values": images(count, *side, kind), "image_sizes": torch.tensor([list(side)] * count)}


def tiled(config: dict[str, Any], count: int, side: tuple[int, int], kind: torch.dtype) -> dict[str, Any]:
    """Images of two tiles each beside the whole image."""
    size = config["vision_config"]["image_size"]
    pixels = torch.randn(count, 3, 3, size, size, dtype=kind)
    return {"pixel_values": pixels, "image_sizes": torch.tensor([[size, 2 * size]] * count)}


def listed(config: dict[str, Any], count: int, side: tuple[int, int], kind: torch.dtype) -> dict[str, Any]:
    """Images of one sequence in a dimension of their own."""
    return {"pixel_values": images(count, *side, kind)[None]}


def placed(config: dict[str, Any], count: int, side: tuple[int, int], kind: torch.dtype) -> dict[str, Any]:
    """Patches, each with its place."""
    v = config["vision_config"]
    size = v["patch_size"] * (v.get("pooling_kernel_size", 1) if "mm_embed_dim" in v else 1)
    rows, columns = side[0] // size, side[1] // size
    places = torch.stack(torch.meshgrid(torch.arange(columns), torch.arange(rows), indexing="xy"), -1).reshape(-1, 2)
    return {
        "pixel_values": torch.rand(count, rows * columns, 3 * size**2, dtype=kind),
        "image_position_ids": places[None].repeat(count, 1, 1),
    }


def flat(config: dict[str, Any], count: int, side: tuple[int, int], kind: torch.dtype) -> dict[str, Any]:
    """Patches in rows, with masks and shapes (SigLIP 2)."""
    size = config["vision_config"]["patch_size"]
    rows, columns = side[0] // size, side[1] // size
    return {
        "pixel_values": torch.randn(count, rows * columns, 3 * size**2, dtype=kind),
        "pixel_attention_mask": torch.ones(count, rows * columns, dtype=torch.long),
        "spatial_shapes": torch.tensor([[rows, columns]] * count),
    }


def heard(config: dict[str, Any], count: int, side: tuple[int, int], kind: torch.dtype) -> dict[str, Any]:
    """Spectra of sounds of so many frames."""
    return {"input_features": torch.randn(count, side[0], side[1], dtype=kind)}


def masked(config: dict[str, Any], count: int, side: tuple[int, int], kind: torch.dtype) -> dict[str, Any]:
    """Tiles of one page, each with whether it is one."""
    return {
        "pixel_values": images(count, *side, kind)[None],
        "pixel_attention_mask": torch.ones(1, count, dtype=torch.bool),
    }


def packed(config: dict[str, Any], count: int, side: tuple[int, int], kind: torch.dtype) -> dict[str, Any]:
    """The patches of all images in one row, with the grid of each."""
    patch = config["vision_config"]["patch_size"]
    rows, columns = side[0] // patch, side[1] // patch
    return {
        "pixel_values": images(1, patch, count * rows * columns * patch, kind),
        "target_sizes": torch.tensor([[rows, columns]] * count),
    }


def canvases(config: dict[str, Any], count: int, side: tuple[int, int], kind: torch.dtype) -> dict[str, Any]:
    """Images of so many tiles each, with their layout (Llama 3.2 Vision)."""
    tiles = config["vision_config"]["max_num_tiles"]
    return {
        "pixel_values": torch.randn(1, count, tiles, 3, *side, dtype=kind),
        "aspect_ratio_ids": torch.ones(1, count, dtype=torch.long),
        "aspect_ratio_mask": torch.ones(1, count, tiles, dtype=torch.long),
    }


CLIP = {"model_type": "clip_vision_model", **VISION, **OUT}
SIGLIP = {"model_type": "siglip_vision_model", **VISION, "vision_use_head": False}
PIXTRAL = {"model_type": "pixtral", **VISION, "head_dim": 16, "image_size": 64}
OWN = ((1, (32, 32)), (3, (32, 32)))
ANY = ((1, (32, 48)), (3, (64, 32)))

CASES: dict[str, tuple[str, dict[str, Any], Callable[..., dict[str, Any]], tuple[Any, ...]]] = {
    "llava-clip": (
        "LlavaForConditionalGeneration",
        {"model_type": "llava", "vision_config": CLIP, "text_config": text("llama")}, fixed, OWN,
    ),
    "llava-siglip": (
        "LlavaForConditionalGeneration",
        {"model_type": "llava", "vision_config": SIGLIP, "text_config": text("llama"), "vision_feature_layer": -1,
         "vision_feature_select_strategy": "full"}, fixed, OWN,
    ),
    "llava_next": (
        "LlavaNextForConditionalGeneration",
        {"model_type": "llava_next", "vision_config": CLIP, "text_config": text("llama"), "vision_feature_layer": -1,
         "image_grid_pinpoints": [[32, 64], [64, 32]]}, tiled, OWN,
    ),
    "llava_onevision": (
        "LlavaOnevisionForConditionalGeneration",
        {"model_type": "llava_onevision", "vision_config": SIGLIP, "text_config": text("qwen2"), "vision_feature_layer": -1,
         "image_grid_pinpoints": [[32, 64], [64, 32]]}, tiled, OWN,
    ),
    "vipllava": (
        "VipLlavaForConditionalGeneration",
        {"model_type": "vipllava", "vision_config": {**CLIP, "num_hidden_layers": 3}, "text_config": text("llama"),
         "vision_feature_layers": [-1, -2]}, fixed, OWN,
    ),
    "paligemma": (
        "PaliGemmaForConditionalGeneration",
        {"model_type": "paligemma", "vision_config": SIGLIP, "text_config": text("gemma"), "projection_dim": 80}, fixed, OWN,
    ),
    "gemma3": (
        "Gemma3ForConditionalGeneration",
        {"model_type": "gemma3", "vision_config": SIGLIP, "text_config": text("gemma3_text"), "mm_tokens_per_image": 4},
        fixed, OWN,
    ),
    "gemma4": (
        "Gemma4ForConditionalGeneration",
        {"model_type": "gemma4", "vision_config": {
            "model_type": "gemma4_vision", **VISION, "num_key_value_heads": 4, "head_dim": 16, "pooling_kernel_size": 2},
         "text_config": text("gemma4_text", hidden_size_per_layer_input=0, num_kv_shared_layers=0)}, placed, ANY,
    ),
    "gemma4_unified": (
        "Gemma4UnifiedForConditionalGeneration",
        {"model_type": "gemma4_unified", "vision_config": {
            "model_type": "gemma4_unified_vision", "patch_size": 4, "pooling_kernel_size": 2, "mm_embed_dim": 64,
            "mm_posemb_size": 16, "output_proj_dims": 64},
         "text_config": text("gemma4_unified_text", num_kv_shared_layers=0)}, placed, ANY,
    ),
    "idefics3": (
        "Idefics3ForConditionalGeneration",
        {"model_type": "idefics3", "vision_config": {"model_type": "idefics3_vision", **VISION}, "scale_factor": 2,
         "text_config": text("llama")}, listed, OWN,
    ),
    "smolvlm": (
        "SmolVLMForConditionalGeneration",
        {"model_type": "smolvlm", "vision_config": {"model_type": "smolvlm_vision", **VISION}, "scale_factor": 2,
         "text_config": text("llama")}, listed, OWN,
    ),
    "granite_docling": (
        "GraniteDoclingForConditionalGeneration",
        {"model_type": "granite_docling", "vision_config": {
            "model_type": "granite_docling_vision", **VISION, "out_hidden_size": 80, "scale_factor": 2,
            "num_hidden_layers": 3, "deepstack_visual_indexes": [0, 1], "use_fine_route": True},
         "text_config": text("granite_docling_text", pad_token_id=0)}, masked, OWN,
    ),
    "minicpmv4_6": (
        "MiniCPMV4_6ForConditionalGeneration",
        {"model_type": "minicpmv4_6", "insert_layer_id": 0, "merger_times": 1, "vision_config": {
            "model_type": "minicpmv4_6_vision", **VISION}, "text_config": text("qwen3_5_text")}, packed,
        ((1, (32, 64)), (3, (64, 32))),
    ),
    "internvl": (
        "InternVLForConditionalGeneration",
        {"model_type": "internvl", "vision_config": {
            "model_type": "internvl_vision", **VISION, "image_size": [32, 32], "patch_size": [8, 8]},
         "text_config": text("qwen2")}, fixed, OWN,
    ),
    "qwen2_vl": (
        "Qwen2VLForConditionalGeneration",
        {"model_type": "qwen2_vl", "vision_config": {
            "model_type": "qwen2_vl_vision", "depth": 2, "embed_dim": 64, "hidden_size": 80, "num_heads": 4, "mlp_ratio": 3,
            "patch_size": 8, "spatial_merge_size": 2, "temporal_patch_size": 2}, "text_config": text("qwen2_vl_text")},
        patches, ANY,
    ),
    "qwen2_5_vl": (
        "Qwen2_5_VLForConditionalGeneration",
        {"model_type": "qwen2_5_vl", "vision_config": {
            "model_type": "qwen2_5_vl_vision", **QWEN, "fullatt_block_indexes": [1], "window_size": 32},
         "text_config": text("qwen2_5_vl_text")}, patches, ANY,
    ),
    "qwen3_vl": (
        "Qwen3VLForConditionalGeneration",
        {"model_type": "qwen3_vl", "vision_config": {
            "model_type": "qwen3_vl_vision", **QWEN, "num_position_embeddings": 16, "deepstack_visual_indexes": [0]},
         "text_config": text("qwen3_vl_text")}, patches, ANY,
    ),
    "qwen3_5": (
        "Qwen3_5ForConditionalGeneration",
        {"model_type": "qwen3_5", "vision_config": {
            "model_type": "qwen3_5_vision", **QWEN, "num_position_embeddings": 16},
         "text_config": text("qwen3_5_text")}, patches, ANY,
    ),
    "glm4v": (
        "Glm4vForConditionalGeneration",
        {"model_type": "glm4v", "vision_config": {"model_type": "glm4v_vision", **QWEN, "image_size": 32},
         "text_config": text("glm4v_text")}, patches, ANY,
    ),
    "mistral3": (
        "Mistral3ForConditionalGeneration",
        {"model_type": "mistral3", "vision_config": PIXTRAL, "text_config": text("mistral"), "spatial_merge_size": 2,
         "vision_feature_layer": -1}, sized, ANY,
    ),
    "llava-pixtral": (
        "LlavaForConditionalGeneration",
        {"model_type": "llava", "vision_config": PIXTRAL, "text_config": text("mistral"), "vision_feature_layer": -1,
         "vision_feature_select_strategy": "full"}, sized, ANY,
    ),
    "llama4": (
        "Llama4ForConditionalGeneration",
        {"model_type": "llama4", "vision_config": {
            "model_type": "llama4_vision_model", **VISION, "intermediate_size": 256, "projector_input_dim": 48,
            "projector_output_dim": 48, "vision_output_dim": 48, "pixel_shuffle_ratio": 0.5},
         "text_config": text("llama4_text", num_local_experts=2, intermediate_size_mlp=96)}, fixed, OWN,
    ),
    "aya_vision": (
        "AyaVisionForConditionalGeneration",
        {"model_type": "aya_vision", "vision_config": SIGLIP, "text_config": text("cohere2"), "vision_feature_layer": -1,
         "downsample_factor": 2}, fixed, OWN,
    ),
    "cohere2_vision": (
        "Cohere2VisionForConditionalGeneration",
        {"model_type": "cohere2_vision", "vision_config": SIGLIP, "text_config": text("cohere2"),
         "alignment_intermediate_size": 96, "downsample_factor": 2}, fixed, OWN,
    ),
    "mllama": (
        "MllamaForConditionalGeneration",
        {"model_type": "mllama", "vision_config": {
            "model_type": "mllama_vision_model", "hidden_size": 64, "attention_heads": 4, "num_hidden_layers": 1,
            "num_global_layers": 1, "intermediate_size": 144, "image_size": 32, "patch_size": 8, "max_num_tiles": 2,
            "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]], "intermediate_layers_indices": [0], "vision_output_dim": 128},
         "text_config": {"model_type": "mllama_text_model", "vocab_size": 128, "hidden_size": 80, "num_attention_heads": 4,
                         "num_key_value_heads": 2, "num_hidden_layers": 2, "intermediate_size": 96,
                         "cross_attention_layers": [1], "pad_token_id": 0}}, canvases, OWN,
    ),
    "kimi_k25": (
        "Kimi_K25ForConditionalGeneration",
        {"model_type": "kimi_k25", "vision_config": {
            "model_type": "kimi_k25_vision", **VISION, "pos_emb_height": 4, "pos_emb_width": 4, "pos_emb_time": 4,
            "merge_kernel_size": [2, 2]},
         "projection_hidden_size": 64, "text_config": text("deepseek_v3")}, squares, ANY,
    ),
    "qwen2_audio": (
        "Qwen2AudioForConditionalGeneration",
        {"model_type": "qwen2_audio", "audio_config": {
            "model_type": "qwen2_audio_encoder", "d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 4,
            "encoder_ffn_dim": 144, "num_mel_bins": 16, "max_source_positions": 20}, "text_config": text("qwen2")},
        heard, ((1, (16, 40)), (3, (16, 40))),
    ),
    "voxtral": (
        "VoxtralForConditionalGeneration",
        {"model_type": "voxtral", "audio_config": {
            "model_type": "voxtral_encoder", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "intermediate_size": 256, "num_mel_bins": 16, "max_source_positions": 20}, "text_config": text("llama")},
        heard, ((1, (16, 40)), (3, (16, 40))),
    ),
}  # fmt: skip
"""By a name: the class, its configuration, how images become its inputs, and how many of which sizes."""

ALONE: dict[str, tuple[str, dict[str, Any], Callable[..., dict[str, Any]], tuple[Any, ...]]] = {
    "vit": ("ViTForImageClassification", {"model_type": "vit", **VISION, "num_labels": 10}, fixed, OWN),
    "deit": ("DeiTModel", {"model_type": "deit", **VISION}, fixed, OWN),
    "dinov2": ("Dinov2Model", {"model_type": "dinov2", **VISION, "mlp_ratio": 3}, fixed, OWN),
    "dinov2_with_registers": (
        "Dinov2WithRegistersModel",
        {"model_type": "dinov2_with_registers", **VISION, "mlp_ratio": 3, "num_register_tokens": 4}, fixed, OWN,
    ),
    "dinov3_vit": ("DINOv3ViTModel", {"model_type": "dinov3_vit", **VISION, "num_register_tokens": 4}, fixed, OWN),
    "ijepa": ("IJepaModel", {"model_type": "ijepa", **VISION}, fixed, OWN),
    "vit_msn": ("ViTMSNModel", {"model_type": "vit_msn", **VISION}, fixed, OWN),
    "clip_vision_model": ("CLIPVisionModelWithProjection", CLIP, fixed, OWN),
    "siglip_vision_model": ("SiglipVisionModel", {**SIGLIP, "vision_use_head": True}, fixed, OWN),
}  # fmt: skip
"""The same of towers that are models by themselves."""

WORDS = {"vocab_size": 128, "hidden_size": 80, "num_attention_heads": 4, "num_hidden_layers": 1, "intermediate_size": 96,
         "max_position_embeddings": 12}  # fmt: skip
COMPARED: dict[str, tuple[str, dict[str, Any], Callable[..., dict[str, Any]], tuple[Any, ...]]] = {
    "clip": (
        "CLIPModel",
        {"model_type": "clip", "vision_config": {**CLIP, "projection_dim": 48}, "projection_dim": 48,
         "text_config": {"model_type": "clip_text_model", **WORDS, "projection_dim": 48}}, fixed, OWN,
    ),
    "siglip": (
        "SiglipModel",
        {"model_type": "siglip", "vision_config": {**SIGLIP, "vision_use_head": True},
         "text_config": {"model_type": "siglip_text_model", **WORDS, "hidden_size": 64, "projection_size": 64}}, fixed, OWN,
    ),
    "siglip2": (
        "Siglip2Model",
        {"model_type": "siglip2",
         "vision_config": {**SIGLIP, "model_type": "siglip2_vision_model", "num_patches": 16, "vision_use_head": True},
         "text_config": {"model_type": "siglip2_text_model", **WORDS, "hidden_size": 64, "projection_size": 64}}, flat, OWN,
    ),
}  # fmt: skip
"""The same of models that compare images with as many texts: their whole loss, of texts that are already vectors."""
EVERY = CASES | ALONE | COMPARED
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "dropout": 0.0, "attention_dropout": 0.0,
              "activation_dropout": 0.0, "encoder_layerdrop": 0.0, "drop_path_rate": 0.0, "hidden_dropout": 0.0}  # fmt: skip


class Box:
    """What autograd holds in the place of a tensor, so that one can see when it lets it go."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor.detach()  # with its own gradient function it would hold what holds it


def kept(forward: Callable[[], Any], module: nn.Module) -> Counter[str]:
    """Distinct storages that autograd refers to after a forward pass, by format and shape; parameters and buffers left out."""
    owned = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers())}
    boxes: list[weakref.ref[Box]] = []

    def pack(tensor: torch.Tensor) -> Box:
        box = Box(tensor)
        boxes.append(weakref.ref(box))
        return box

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda box: box.tensor):
        result = forward()
    gc.collect()
    seen: dict[int, str] = {}
    for box in (ref() for ref in boxes):
        storage = None if box is None else box.tensor.untyped_storage()
        if storage is not None and storage.data_ptr() not in owned:
            name = f"{str(box.tensor.dtype).removeprefix('torch.')} {storage.nbytes()} {list(box.tensor.shape)}"
            seen.setdefault(storage.data_ptr(), name)
    del result
    return Counter(seen.values())


def read(found: Any) -> Any:
    """Of what a class gives, what a language model or a loss reads: the rest is let go."""
    for name in ("logits", "pooler_output", "image_embeds", "last_hidden_state"):
        value = getattr(found, name, None)
        if value is not None:
            deep = getattr(found, "deepstack_features", None)
            return value if deep is None else (value, deep)
    return found


def outputs(model: nn.Module, inputs: dict[str, Any], name: str) -> Any:
    """What the language model is handed, a tower alone yields, or the loss of images beside texts."""
    if name in COMPARED:
        many = len(inputs["pixel_values"])
        found = torch.randn(many, model.config.text_config.hidden_size, dtype=inputs["pixel_values"].dtype)
        texts = BaseModelOutputWithPooling(pooler_output=found.requires_grad_())
        model.text_model.forward = lambda *_, **__: texts
        return model(input_ids=torch.zeros(many, 12, dtype=torch.long), return_loss=True, **inputs).loss
    if name in ALONE:
        found = model(**inputs)
        return read(found) if name != "dinov2" else found.last_hidden_state
    if name == "mllama":
        return model.model.multi_modal_projector(model.model.vision_model(**inputs).last_hidden_state)
    if name == "qwen2_audio":
        body = model.model
        return body.multi_modal_projector(body.audio_tower(**inputs).last_hidden_state)
    if "input_features" in inputs:
        return read(model.get_audio_features(**inputs))
    return read(model.get_image_features(**inputs))


def records() -> Iterator[dict[str, Any]]:
    """One line for each case, number of images, size, format and kind of attention."""
    for name, (cls, config, made, sizes) in EVERY.items():
        for attention in ("eager", "sdpa"):
            for count, side in sizes:
                for dtype, kind in DTYPES.items():
                    torch.manual_seed(0)
                    given = json.loads(json.dumps(config))
                    settings = CONFIG_MAPPING[config["model_type"]].from_dict(given)
                    for one in (settings, *(getattr(settings, key, None) for key in list(given))):
                        for key, value in NO_DROPOUT.items():
                            if hasattr(one, key) and not isinstance(one, dict):
                                setattr(one, key, value)
                    settings._attn_implementation = attention
                    model = getattr(transformers, cls)(settings).to(kind).train()
                    inputs = made(config, count, side, kind)
                    storages = kept(functools.partial(outputs, model, inputs, name), model)
                    total = sum(int(key.split()[1]) * many for key, many in storages.items())
                    yield {
                        "name": name, "config": {**config, "architectures": [cls]}, "attention": attention, "images": count,
                        "size": side, "dtype": dtype, "bytes": total, "storages": dict(sorted(storages.items())),
                    }  # fmt: skip


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    if sys.argv[1:]:
        for left_out in [name for name in EVERY if name not in sys.argv[1:]]:
            EVERY.pop(left_out)
    for record in records():
        print(json.dumps(record))
