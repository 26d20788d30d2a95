"""Says for classes that read more than text whether the head is tied to the table of tokens, as each of two keys says it.

`python tests/oracle/record_ties.py [FAMILY ...] > tests/oracle/ties.jsonl` needs `transformers` 5.24.0 and `torch`. `tie_word_embeddings` is
set in the whole, in the text model, in both and in neither; `tied`: whether both are one tensor when the class is built. What
`record_nested.py` records of these keys for other families is not repeated here: these are the families it has not, and text models
whose own family ties where the file is silent.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import copy
import json
import logging
import sys

import torch
import transformers
from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto

CLASSES = {
    **modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    **modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
    **modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
}
SMALL = {"num_hidden_layers": 1, "hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 4,
         "head_dim": 16, "vocab_size": 1000}  # fmt: skip
PAIRS = (
    ("mistral3", "mistral"), ("gemma3", "gemma3_text"), ("llama4", "llama4_text"), ("fuyu", "persimmon"), ("glmga", "glm4v_text"),
    ("llava", "gemma"), ("llava", "llama"), ("llava_onevision", "gemma"), ("llava_next", "gemma"), ("internvl", "gemma"),
    ("blip-2", "opt"), ("instructblip", "opt"), ("instructblip", "llama"), ("mistral3", "gemma"),
    ("vipllava", "gemma"), ("llava_next_video", "gemma"), ("idefics3", "gemma"), ("gemma3n", "gemma3n_text"),
    ("minicpmv4_7", "qwen3_5_text"), ("ernie4_5_vl_moe", "ernie4_5_vl_moe_text"),
)  # fmt: skip
OPT = {"num_hidden_layers": 1, "hidden_size": 64, "ffn_dim": 64, "num_attention_heads": 4, "vocab_size": 1000,
       "word_embed_proj_dim": 64}  # fmt: skip
DEPTH = {"num_hidden_layers": 4}
OWN = {
    "opt": OPT,
    "gemma3n_text": {**DEPTH, "num_kv_shared_layers": 0},
    "qwen3_5_text": DEPTH,
    "ernie4_5_vl_moe_text": DEPTH,
}
WAYS = ({}, {"tie_word_embeddings": True}, {"tie_word_embeddings": False})


def main() -> None:
    """Writes one line for each way."""
    logging.disable(logging.WARNING)
    for family, inner in PAIRS:
        if sys.argv[1:] and family not in sys.argv[1:]:
            continue
        for whole in WAYS:
            for inside in WAYS:
                sizes = OWN.get(inner, SMALL)
                text = {"model_type": inner, **sizes, **inside}
                config = {"model_type": family, "architectures": [CLASSES[family]], **whole, "text_config": text}
                try:
                    with torch.device("meta"):
                        settings = CONFIG_MAPPING[family].from_dict(copy.deepcopy(config))
                        model = getattr(transformers, CLASSES[family])(settings)
                except Exception as error:  # noqa: BLE001  # whatever it raises, there is nothing to compare with
                    print(f"{family} {inner}: {error!r}"[:150], file=sys.stderr)
                    break
                tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
                print(json.dumps({"config": config, "tied": tied}), flush=True)


if __name__ == "__main__":
    main()
