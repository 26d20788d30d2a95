"""Counts the tokens of images of several sizes as the processors of transformers do.

`python tests/oracle/record_image_tokens.py > tests/oracle/image_tokens.jsonl` needs `transformers` 5.24.0, `torch`, `torchvision`
and `pillow`. `sizes`: what a configuration says of the images that the processor was set to; `image`: height and width; `tokens`:
those that stand for the image in a sequence.
"""

# mypy: ignore-errors
# transformers is installed only where this is run
from __future__ import annotations

import importlib
import json
import re
from typing import Any

import torch
import transformers
from transformers.image_utils import SizeDict
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
from transformers.models.got_ocr2.processing_got_ocr2 import GotOcr2Processor
from transformers.models.idefics2.processing_idefics2 import Idefics2Processor
from transformers.models.lfm2_vl.processing_lfm2_vl import Lfm2VlProcessor
from transformers.models.llama4 import image_processing_llama4 as llama4
from transformers.models.llama4.processing_llama4 import Llama4Processor
from transformers.models.minicpmv4_6.processing_minicpmv4_6 import MiniCPMV4_6Processor
from transformers.models.step3p7.processing_step3p7 import Step3p7Processor

IMAGES = [(224, 224), (336, 336), (480, 640), (768, 1024), (1024, 1024), (1080, 1920), (1920, 1080), (2160, 3840),
          (100, 1000), (1333, 777), (30, 45), (3000, 500)]  # fmt: skip
GRIDS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]


def processor(family: str, of: str, image: dict[str, Any], own: dict[str, Any]) -> Any:
    """A processor without a tokenizer: what it counts of images needs none but to say that two line ends are one token."""
    module = importlib.import_module(f"transformers.models.{family}.processing_{family}")
    (cls,) = [
        value
        for name, value in vars(module).items()
        if name.endswith("Processor") and value.__module__ == module.__name__
    ]
    name = IMAGE_PROCESSOR_MAPPING_NAMES[of]
    name = (
        name
        if isinstance(name, str)
        else [one for one in (name.values() if isinstance(name, dict) else name) if one][-1]
    )
    made = object.__new__(cls)
    made.image_processor = getattr(transformers, name.replace("Fast", ""))(**image)
    made.tokenizer = lambda text, *, add_special_tokens: {"input_ids": [0]}  # noqa: ARG005
    made._merge_kwargs = lambda **_: {"images_kwargs": {}}
    for key, value in own.items():
        setattr(made, key, value)
    return made


def record(
    family: str,
    *,
    code: str = "",
    of: str = "",
    image: dict[str, Any] | None = None,
    own: dict[str, Any] | None = None,
    sizes: dict[str, Any] | None = None,
) -> None:
    """The tokens of each image; `code`: the family whose processor it has, `of`: whose image processor."""
    made = processor(code or family, of or code or family, image or {}, own or {})
    for size in IMAGES:
        (tokens,) = made._get_num_multimodal_tokens(image_sizes=[size])["num_image_tokens"]
        print(json.dumps({"family": family, "sizes": sizes or {}, "image": size, "tokens": tokens}))


def record_llama4() -> None:
    """The tokens that its processor writes for the grid that its image processor chooses."""
    grids = torch.tensor(llama4.find_supported_resolutions(16, SizeDict(height=336, width=336)))
    for size in IMAGES:
        high, wide = (int(side) for side in llama4.get_best_fit(size, grids))
        text = Llama4Processor._prompt_split_image(None, (high // 336, wide // 336), 144)
        tokens = len(re.findall(r"<\|[a-z_]+\|>", text))
        print(json.dumps({"family": "llama4", "sizes": {"image_size": 336}, "image": size, "tokens": tokens}))


def write(family: str, size: tuple[int, int], tokens: int, **sizes: int) -> None:
    """One line."""
    print(json.dumps({"family": family, "sizes": sizes, "image": size, "tokens": tokens}))


def idefics2_tokens(made: Any) -> int:
    """Tokens of the text that its processor writes for one image, whatever its size."""
    for name, value in {"fake_image_token": "<fake>", "image_token": "<image>", "image_seq_len": 64}.items():
        setattr(made, name, value)
    made._merge_kwargs = lambda **_: {"text_kwargs": {}}
    made._check_special_mm_tokens = lambda *_, **__: None
    found = []
    made.tokenizer = type(
        "Tokenizer", (), {"init_kwargs": {}, "__call__": lambda _, texts, **__: found.extend(texts) or {}}
    )()
    made(text="<image>")
    return found[0].count("<")


class Words:
    """A tokenizer that takes what stands in brackets, a digit, and line ends in a row, for one token each."""

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [0] * len(re.findall(r"<[^>]+>|\d|\n+", text))}


def record_placed() -> None:
    """Of processors that put an image's tokens into a text: those of the text that stands for it, with its markers."""
    got, mini = object.__new__(GotOcr2Processor), object.__new__(MiniCPMV4_6Processor)
    got.image_processor, got.image_token = transformers.GotOcr2ImageProcessor(), "<imgpad>"
    mini.image_processor, mini.slice_mode, mini.image_token = (
        transformers.MiniCPMV4_6ImageProcessor(),
        True,
        "<image_pad>",
    )
    for name in ("image_start", "image_end", "slice_start", "slice_end", "image_id_start", "image_id_end"):
        setattr(mini, f"{name}_token", f"<{name}>")
    for size in IMAGES:
        image = torch.zeros(3, *size, dtype=torch.uint8)
        _, (said,) = got._process_images([image], **got.images_kwargs)
        write("got_ocr2", size, len(Words()(f"<img>{said}</img>")["input_ids"]))
        _, found = mini._process_images([image], return_tensors="pt")
        (said,) = mini._prepend_local_ids(["<image_pad>"], found, "<image_pad>")
        write("minicpmv4_6", size, len(Words()(said)["input_ids"]), patch_size=14)


def record_run() -> None:
    """Of processors that count no tokens by themselves: what they write for images that they are given."""
    phi4 = transformers.Phi4MultimodalImageProcessor()
    step, glmga, lfm2 = (
        transformers.Step3p7ImageProcessor(),
        transformers.GlmgaImageProcessor(),
        transformers.Lfm2VlImageProcessor(return_row_col_info=True),
    )
    stepping = object.__new__(Step3p7Processor)
    stride = step.vision_patch_size * step.downsampler_stride
    stepping.image_feature_placeholder = "<im_patch>" * (step.size["height"] // stride) ** 2
    stepping.patch_feature_placeholder = "<im_patch>" * (step.patch_size // stride) ** 2
    idefics2 = object.__new__(Idefics2Processor)
    idefics2.image_processor = transformers.Idefics2ImageProcessor()
    listing = object.__new__(Lfm2VlProcessor)
    listing.image_processor = lfm2
    for name in ("token", "start_token", "end_token", "thumbnail_token"):
        setattr(listing, f"image_{name}", f"<|{name}|>")
    for size in IMAGES:
        image = torch.zeros(3, *size, dtype=torch.uint8)
        write("phi4_multimodal", size, int(phi4([image])["num_img_tokens"][0]))
        made = step([image])
        write("idefics2", size, idefics2_tokens(idefics2))
        write("step3p7", size, len(re.findall("<[a-z_]+>", stepping.replace_image_token(made, 0))))
        write("glmga", size, glmga.get_number_of_image_patches(*size) // 4)
        made = lfm2([[image]])
        made = listing.replace_image_token(made, 0, use_image_special_tokens=True)
        write("lfm2_vl", size, made.count("<|"))


def main() -> None:
    record_run()
    record_placed()
    docling = {
        "image_seq_len": 64,
        "image_token": "<image>",
        "fake_image_token": "<fake>",
        "global_image_tag": "<whole>",
    }
    record("granite_docling", own=docling | {"tokenizer": Words()})
    record("qwen3_omni_moe_thinker", code="qwen3_omni_moe", of="qwen2_vl", image={"patch_size": 16})
    record("qwen2_vl")
    record("qwen2_5_vl", of="qwen2_vl")
    record(
        "qwen3_vl", of="qwen2_vl", image={"patch_size": 16, "size": {"shortest_edge": 65536, "longest_edge": 16777216}}
    )
    record("exaone4_5", of="qwen2_vl")
    record("ernie4_5_vl_moe")
    record("hyperclovax_vision_v2", of="qwen2_vl")
    record("qwen2_5_omni_thinker", code="qwen2_5_omni", of="qwen2_vl")
    record("glm4v")
    record("kimi_k25")
    record("video_llama_3", sizes={"patch_size": 14})
    record("gemma4")
    record("gemma4_unified")
    record("gemma3", own={"image_seq_length": 256})
    record("paligemma", of="siglip", own={"image_seq_length": 256})
    record("mistral3", code="pixtral", image={"size": {"longest_edge": 1540}, "patch_size": 14},
           own={"patch_size": 14, "spatial_merge_size": 2})  # fmt: skip
    tiles = {"size": {"height": 448, "width": 448}, "crop_to_patches": True, "min_patches": 1, "max_patches": 12}
    record("internvl", of="got_ocr2", image=tiles, own={"image_seq_length": 256})
    record("cohere2_vision", own={"patch_size": 16})
    aya = tiles | {"size": {"height": 364, "width": 364}}
    record("aya_vision", of="got_ocr2", image=aya, own={"patch_size": 28, "img_size": 364},
           sizes={"image_size": 364, "patch_size": 14})  # fmt: skip
    record("aria", own={"size_conversion": {490: 128, 980: 256}}, sizes={"image_size": 980, "patch_size": 14})
    clip = {"patch_size": 14, "num_additional_image_tokens": 1, "vision_feature_select_strategy": "default"}
    record("llava", image={"crop_size": {"height": 336, "width": 336}}, own=clip)
    record("llava_next", image={"size": {"shortest_edge": 336}, "image_grid_pinpoints": GRIDS}, own=clip)
    record(
        "llava_next_video",
        of="llava_next",
        image={"size": {"shortest_edge": 336}, "image_grid_pinpoints": GRIDS},
        own=clip,
    )
    siglip = {"num_image_tokens": 729, "vision_feature_select_strategy": "full", "vision_aspect_ratio": "anyres_max_9"}
    record("llava_onevision", own=siglip)
    record("idefics3", own={"image_seq_len": 169}, sizes={"image_size": 364, "patch_size": 14})
    smol = {"size": {"longest_edge": 2048}, "max_image_size": {"longest_edge": 512}}
    record(
        "smolvlm", code="idefics3", image=smol, own={"image_seq_len": 64}, sizes={"image_size": 512, "patch_size": 16}
    )
    record_llama4()


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    main()
