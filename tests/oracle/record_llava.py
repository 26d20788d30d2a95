"""Counts files of LLaVA's own code, as its classes build them on the meta device, and the tokens that it makes of images.

    python tests/oracle/record_llava.py LLAVA LLAVA_NEXT > tests/oracle/llava.jsonl

LLAVA and LLAVA_NEXT are checkouts of https://github.com/haotian-liu/LLaVA (c121f04) and https://github.com/LLaVA-VL/LLaVA-NeXT (df17966);
`transformers` 5.24.0, `torch`, `pillow` and `requests` must be installed. Their code loads the vision tower from the hub: here it is built
from the sizes that its repository publishes. `total` is `sum(p.numel())` of the class with its tower, `shapes` the names and shapes that it
saves; `tokens` is how much longer its `prepare_inputs_labels_for_multimodal` makes a sequence of what its `process_images` makes of an image.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import contextlib
import importlib
import json
import re
import sys
import types
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image

IMAGES = [(224, 224), (336, 336), (480, 640), (768, 1024), (1024, 1024), (1080, 1920), (1920, 1080), (2160, 3840),
          (100, 1000), (1333, 777), (30, 45), (3000, 500)]  # fmt: skip
PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
SIDES = [384 * times for times in range(1, 7)]
LARGE, SMALL, SIGLIP = (
    "openai/clip-vit-large-patch14-336", "openai/clip-vit-large-patch14", "google/siglip-so400m-patch14-384",
)  # fmt: skip
CLIP = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
}
TOWERS = {LARGE: CLIP | {"image_size": 336}, SMALL: CLIP | {"image_size": 224}}
ABSENT = (
    *(f"multimodal_encoder.{name}" for name in ("imagebind", "open_clip_encoder", "hf_vision", "mlcd_encoder")),
    *(f"multimodal_resampler.{name}" for name in ("perceiver", "qformer")),
)
"""Towers and resamplers of other files, whose packages are not needed here."""

V15 = {
    "architectures": ["LlavaLlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "freeze_mm_mlp_adapter": False,
    "freeze_mm_vision_resampler": False, "hidden_act": "silu", "hidden_size": 4096, "image_aspect_ratio": "pad",
    "initializer_range": 0.02, "intermediate_size": 11008, "max_position_embeddings": 4096, "mm_hidden_size": 1024,
    "mm_projector_type": "mlp2x_gelu", "mm_resampler_type": None, "mm_use_im_patch_token": False, "mm_use_im_start_end": False,
    "mm_vision_select_feature": "patch", "mm_vision_select_layer": -2, "mm_vision_tower": LARGE, "model_type": "llava",
    "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
    "rope_scaling": None, "tie_word_embeddings": False, "torch_dtype": "float16", "transformers_version": "4.31.0",
    "tune_mm_mlp_adapter": False, "tune_mm_vision_resampler": False, "unfreeze_mm_vision_tower": False, "use_cache": True,
    "use_mm_proj": True, "vocab_size": 32000,
}  # fmt: skip
V16 = V15 | {
    "image_aspect_ratio": "anyres", "image_crop_resolution": 224, "image_grid_pinpoints": PINPOINTS, "image_split_resolution": 224,
    "mm_patch_merge_type": "spatial_unpad", "mm_projector_lr": None, "mm_vision_tower_lr": 2e-06, "rope_theta": 10000.0,
    "tokenizer_model_max_length": 4096, "tokenizer_padding_side": "right", "torch_dtype": "bfloat16", "unfreeze_mm_vision_tower": True,
}  # fmt: skip
THIRTEEN = {"hidden_size": 5120, "intermediate_size": 13824, "num_attention_heads": 40, "num_hidden_layers": 40,
            "num_key_value_heads": 40}  # fmt: skip
MISTRAL = {
    "architectures": ["LlavaMistralForCausalLM"], "model_type": "llava_mistral", "intermediate_size": 14336, "num_key_value_heads": 8,
    "max_position_embeddings": 32768, "rope_theta": 1000000.0, "sliding_window": None,
}  # fmt: skip
YI = {"hidden_size": 7168, "intermediate_size": 20480, "num_attention_heads": 56, "num_hidden_layers": 60, "num_key_value_heads": 8,
      "vocab_size": 64000}  # fmt: skip
ONEVISION = {key: value for key, value in V16.items() if not key.startswith(("freeze", "tune", "unfreeze", "pretraining"))} | {
    "architectures": ["LlavaQwenForCausalLM"], "mm_newline_position": "one_token", "hidden_size": 3584, "image_token_index": 151646,
    "image_aspect_ratio": "anyres_max_9", "image_crop_resolution": None, "image_split_resolution": None,
    "image_grid_pinpoints": [[high, wide] for high in SIDES for wide in SIDES], "intermediate_size": 18944,
    "max_position_embeddings": 32768, "max_window_layers": 28, "mm_hidden_size": 1152, "mm_spatial_pool_mode": "bilinear",
    "mm_tunable_parts": "mm_vision_tower,mm_mlp_adapter,mm_language_model", "mm_vision_tower": SIGLIP, "num_attention_heads": 28,
    "num_hidden_layers": 28, "num_key_value_heads": 4, "pos_skipping_range": 4096, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
    "sliding_window": 131072, "tokenizer_model_max_length": 32768, "use_pos_skipping": False, "use_sliding_window": False, "vision_tower_pretrained": None,
    "vocab_size": 152064,
}  # fmt: skip
INTERLEAVE = ONEVISION | {
    "model_type": "llava_qwen", "hidden_size": 1024, "image_aspect_ratio": "anyres", "intermediate_size": 2816, "max_window_layers": 21,
    "image_grid_pinpoints": [[384, 768], [768, 384], [768, 768], [1152, 384], [384, 1152]], "num_attention_heads": 16,
    "mm_tunable_parts": "mm_mlp_adapter,mm_language_model", "num_hidden_layers": 24, "num_key_value_heads": 16,
    "sliding_window": 32768, "tie_word_embeddings": True, "vocab_size": 151936,
}  # fmt: skip
TINY = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 4,
        "vocab_size": 300}  # fmt: skip
FILES = {
    "llava-v1.5-7b": V15,
    "llava-v1.5-13b": V15 | THIRTEEN,
    "llava-v1.6-vicuna-7b": V16,
    "llava-v1.6-vicuna-13b": V16 | THIRTEEN,
    "llava-v1.6-mistral-7b": V16 | MISTRAL,
    "llava-v1.6-34b": V16 | YI,
    "llava-onevision-qwen2-7b-ov": ONEVISION,
    "llava-next-interleave-qwen-0.5b": INTERLEAVE,
    "one matrix, tower of 224": V15 | TINY | {"mm_projector_type": "linear", "mm_vision_tower": SMALL},
    "no projector type": {key: value for key, value in (V15 | TINY).items() if key != "mm_projector_type"},
    "three matrices": V15 | TINY | {"mm_projector_type": "mlp3x_gelu", "model_type": "llava_llama"},
    "no projector": V15 | TINY | {"mm_projector_type": "identity", "hidden_size": 1024},
    "the class token too": V15 | TINY | {"mm_vision_select_feature": "cls_patch"},
    "square images": V15 | TINY | {"image_aspect_ratio": "square", "mm_patch_merge_type": "spatial_unpad"},
    "another layer": V16 | TINY | {"mm_vision_select_layer": -1, "mm_hidden_size": 1024},
}
"""Published files, and changes of one thing each in small ones."""


class AnyModule(types.ModuleType):
    """A module that has every name."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class Processor:
    """What an image processor says of its sizes, and an image of one pixel in place of what it makes."""

    image_mean = (0.5, 0.5, 0.5)

    def __init__(self, side: int) -> None:
        self.crop_size, self.size = {"height": side, "width": side}, {"shortest_edge": side}

    def preprocess(self, _: Any, **__: Any) -> dict[str, list[torch.Tensor]]:
        return {"pixel_values": [torch.zeros(3, 1, 1)]}

    def __call__(self, images: list[Any], **_: Any) -> dict[str, torch.Tensor]:
        return {"pixel_values": torch.zeros(len(images), 3, 1, 1)}


def use(root: str) -> None:
    """Takes the code of one checkout, without the packages' own files, which import everything else."""
    for name in [name for name in sys.modules if name == "llava" or name.startswith("llava.")]:
        del sys.modules[name]
    for name in ("llava", "llava.model", "llava.model.language_model", "llava.model.multimodal_encoder"):
        package = types.ModuleType(name)
        package.__path__ = [str(Path(root, *name.split(".")))]
        sys.modules[name] = package
    for name in ABSENT:
        sys.modules[f"llava.model.{name}"] = AnyModule(name)


def class_of(file: dict[str, Any]) -> Any:
    """The class of a file, and its configuration's."""
    name = file["architectures"][0]
    inner = {"LlavaLlamaForCausalLM": "llama", "LlavaMistralForCausalLM": "mistral", "LlavaQwenForCausalLM": "qwen"}[
        name
    ]
    module = importlib.import_module(f"llava.model.language_model.llava_{inner}")
    siglip = sys.modules.get("llava.model.multimodal_encoder.siglip_encoder")
    if siglip is not None:
        siglip.SigLipVisionModel.from_pretrained = classmethod(lambda cls, *_, **__: cls(siglip.SigLipVisionConfig()))
    found = getattr(module, name)
    setting = found.config_class.__setattr__

    def kept(config: Any, key: str, value: object) -> None:
        """Its code empties `rope_scaling`, where this release keeps all of RoPE; RoPE has no parameters."""
        if key != "rope_scaling":
            setting(config, key, value)

    found.config_class.__setattr__ = kept
    return found


def built(file: dict[str, Any], device: str) -> Any:
    cls = class_of(file)
    with torch.device(device):
        return cls(cls.config_class(**{key: value for key, value in file.items() if key != "model_type"}))


def counted(file: dict[str, Any]) -> tuple[int, list[list[Any]]]:
    model = built(file, "meta")
    with torch.device("meta"):
        model.get_vision_tower().load_model()
    if file["tie_word_embeddings"]:
        model.lm_head.weight = model.get_model().embed_tokens.weight
    shapes = Counter((re.sub(r"\d+", "#", name), tuple(p.shape)) for name, p in model.named_parameters())
    rows = [[name, list(shape), count] for (name, shape), count in shapes.items()]
    return sum(p.numel() for p in model.parameters()), rows


def tokens_of(file: dict[str, Any]) -> list[int]:
    """By the file's rule, with a small text model: what stands in a sequence for an image of each size."""
    model = built(file | TINY | {"hidden_size": 64}, "cpu")
    tower, mm = model.get_vision_tower(), importlib.import_module("llava.mm_utils")
    positions = tower.num_patches + (file["mm_vision_select_feature"] == "cls_patch")
    model.encode_images = lambda images: torch.zeros(len(images), positions, 64)
    model.get_vision_tower = lambda: tower
    found = []
    for high, wide in IMAGES:
        images = mm.process_images([Image.new("RGB", (wide, high))], Processor(tower.config.image_size), model.config)
        ids = torch.tensor([[1, -200, 2]])
        made = model.prepare_inputs_labels_for_multimodal(
            ids, None, None, None, None, images, image_sizes=[(wide, high)]
        )
        found.append(made[4].shape[1] - 2)
    return found


def main() -> None:
    transformers.CLIPVisionConfig.from_pretrained = lambda name: transformers.CLIPVisionConfig(**TOWERS[name])
    transformers.CLIPImageProcessor.from_pretrained = lambda _: None
    transformers.CLIPVisionModel.from_pretrained = lambda name, **_: transformers.CLIPVisionModel(
        transformers.CLIPVisionConfig(**TOWERS[name])
    )
    roots = {"LlavaQwenForCausalLM": sys.argv[2]}
    for name, file in FILES.items():
        use(roots.get(file["architectures"][0], sys.argv[1]))
        with contextlib.redirect_stdout(sys.stderr):
            total, shapes = counted(file)
            tokens = [[*size, many] for size, many in zip(IMAGES, tokens_of(file), strict=True)]
        print(json.dumps({"name": name, "config": file, "total": total, "tokens": tokens, "shapes": shapes}))


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    main()
