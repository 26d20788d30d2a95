"""Counts towers that are models by themselves, one change of a configuration at a time, and the FLOPs of an image or a sound.

`python tests/oracle/record_towers_alone.py [TYPE ...] > tests/oracle/towers_alone.jsonl` needs `transformers` 5.24.0 and `torch`
2.13.0 or later. `total` is `sum(p.numel())` of the class on the meta device; `flops` are those of `torch.utils.flop_counter` for
one image of the configuration's own size, or for ten seconds of sound at 16,000 samples a second, and `positions` how many
the last layer yields for it; null where the class was not run. With the word `tensors` it writes tower_alone_tensors.jsonl instead.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import copy
import json
import logging
import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
import transformers
from record_tower_defaults import plain
from record_towers import other
from torch.utils.flop_counter import FlopCounterMode
from transformers import CONFIG_MAPPING

CLASSES = {
    "vit": ("ViTModel", "ViTForImageClassification"),
    "dinov2": ("Dinov2Model", "Dinov2ForImageClassification"),
    "dinov3_vit": ("DINOv3ViTModel",),
    "clip_vision_model": ("CLIPVisionModel", "CLIPVisionModelWithProjection"),
    "siglip_vision_model": ("SiglipVisionModel",),
    "wav2vec2": ("Wav2Vec2Model", "Wav2Vec2ForCTC", "Wav2Vec2ForPreTraining"),
    "hubert": ("HubertModel", "HubertForCTC"),
    "vit_msn": ("ViTMSNModel", "ViTMSNForImageClassification"),
    "deit": ("DeiTModel", "DeiTForImageClassification", "DeiTForImageClassificationWithTeacher"),
    "ijepa": ("IJepaModel", "IJepaForImageClassification"),
    "dinov2_with_registers": ("Dinov2WithRegistersModel", "Dinov2WithRegistersForImageClassification"),
    "whisper": ("WhisperForAudioClassification",),
}
MORE = {
    "vit": ({"id2label": {str(label): f"label {label}" for label in range(7)}}, {"pooler_output_size": 96}),
    "dinov3_vit": ({"num_register_tokens": 4}, {"use_gated_mlp": True, "mlp_bias": False}),
    "dinov2": ({"use_swiglu_ffn": True, "hidden_size": 1536, "num_attention_heads": 24},),
    "wav2vec2": (
        {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
        {"mask_time_prob": 0.0},
        {"conv_dim": [32, 64], "conv_kernel": [10, 3], "conv_stride": [5, 2]},
    ),
    "hubert": (
        {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
        {"mask_time_prob": 0.0},
    ),
}
"""Changes of several keys, or to values that are not of the same kind as the defaults."""
SOUNDS = ("wav2vec2", "hubert", "whisper")
SAMPLES = 160_000


def changes(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each class, each of its keys changed alone, and those of `MORE`."""
    for cls in CLASSES[kind]:
        file = {
            "model_type": kind,
            "architectures": [cls],
            "encoder_layers" if kind == "whisper" else "num_hidden_layers": 3,
        }
        yield "", file
        for key, value in plain(CONFIG_MAPPING[kind]()).items():
            if key == "pooler_output_size" or "token_id" in key or key.startswith("_"):
                continue
            for new in other(key, 3 if key in ("num_hidden_layers", "encoder_layers") else value):
                yield key, file | {key: new}
        for more in MORE.get(kind, ()):
            yield ", ".join(more), file | more


def write(kind: str, changed: str, file: dict[str, Any]) -> None:
    """One configuration, counted."""
    try:
        config = CONFIG_MAPPING[kind].from_dict(copy.deepcopy(file))
        with torch.device("meta"):
            model = getattr(transformers, file["architectures"][0])(config).eval()
    except Exception as error:  # noqa: BLE001 (whatever a class cannot be made of)
        print(f"{kind} {changed}: {error!r}"[:160], file=sys.stderr)
        return
    total = sum(p.numel() for p in model.parameters())
    flops, positions = run(kind, model, config) if "PreTraining" not in file["architectures"][0] else (None, None)
    print(
        json.dumps({"changed": changed, "config": file, "total": total, "flops": flops, "positions": positions}),
        flush=True,
    )


def run(kind: str, model: Any, config: Any) -> tuple[int | None, int | None]:
    """FLOPs of one image or sound, and the positions that the last layer yields."""
    seen = []
    hook = [module for name, module in model.named_modules() if name.endswith(("layers", "layer"))][-1][-1]
    hook.register_forward_hook(lambda _, __, out: seen.append((out[0] if isinstance(out, tuple) else out).shape[-2]))
    with torch.device("meta"):
        if kind == "whisper":
            inputs = {"input_features": torch.zeros(1, config.num_mel_bins, 2 * config.max_source_positions)}
        elif kind in SOUNDS:
            inputs = {"input_values": torch.zeros(1, SAMPLES)}
        else:
            side = config.image_size
            inputs = {"pixel_values": torch.zeros(1, config.num_channels, side, side)}
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(**inputs)
    except Exception as error:  # noqa: BLE001 (whatever a class cannot run)
        print(f"{kind}: {error!r}"[:160], file=sys.stderr)
        return None, None
    return counter.get_total_flops(), seen[-1]


def tensors() -> None:
    """Writes the names and shapes that each class saves, as `record_tower_tensors.py` does."""
    for kind, classes in CLASSES.items():
        for cls in classes:
            depth = "encoder_layers" if kind == "whisper" else "num_hidden_layers"
            file = {"model_type": kind, "architectures": [cls], depth: 2}
            with torch.device("meta"):
                model = getattr(transformers, cls)(CONFIG_MAPPING[kind].from_dict(dict(file)))
            saved = model.named_parameters(remove_duplicate=False)
            shapes = Counter((re.sub(r"\d+", "#", name), tuple(p.shape)) for name, p in saved)
            print(json.dumps({"config": file, "shapes": [[*key, count] for key, count in shapes.items()]}))


def main(kinds: list[str]) -> None:
    """Writes one line for each change that the class accepts."""
    for kind in kinds:
        for changed, file in changes(kind):
            write(kind, changed, file)


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    transformers.logging.set_verbosity_error()
    if sys.argv[1:] == ["tensors"]:
        tensors()
    else:
        main(sys.argv[1:] or list(CLASSES))
