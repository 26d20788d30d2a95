"""Records what autograd keeps of one layer that attends to images: transformers' own layer of Llama 3.2 Vision.

`python tests/oracle/record_activations_images.py > tests/oracle/activations_images.jsonl` needs `transformers` 5.24.0 and `torch`
2.13.0 or later; it knows nothing of tscale. Each line holds the sizes of the layer, tokens of a sequence, positions of its images, a
number format and a kind of attention, and the bytes of the distinct storages that autograd still refers to when the pass is over,
parameters left out.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import json
import logging

import torch
from record_activations_towers import DTYPES, kept
from transformers.models.mllama.configuration_mllama import MllamaTextConfig
from transformers.models.mllama.modeling_mllama import MllamaCrossAttentionDecoderLayer, _prepare_cross_attention_mask

SIZES = (
    {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96},
    {"hidden_size": 96, "num_attention_heads": 4, "num_key_value_heads": 4, "intermediate_size": 80},
)
SHAPES = ((1, 16, 2, 17), (2, 9, 4, 10))
"""Sequences, tokens of each, tiles of its images, and positions of each tile."""


def main() -> None:
    for sizes in SIZES:
        for attention in ("eager", "sdpa"):
            config = MllamaTextConfig(**sizes)
            config._attn_implementation = attention
            for batch, tokens, tiles, each in SHAPES:
                for dtype, kind in DTYPES.items():
                    layer = MllamaCrossAttentionDecoderLayer(config, 0).to(kind).train()
                    mask, rows = _prepare_cross_attention_mask(torch.ones(batch, tokens, 1, tiles), each, kind)
                    width = sizes["hidden_size"]
                    words = torch.randn(batch, tokens, width, dtype=kind, requires_grad=True)
                    states = torch.randn(batch, tiles * each, width, dtype=kind, requires_grad=True)
                    found = kept(
                        lambda layer=layer, words=words, states=states, mask=mask, rows=rows: layer(
                            words * 1,
                            cross_attention_states=states * 1,
                            cross_attention_mask=mask,
                            attention_mask=None,
                            full_text_row_masked_out_mask=rows,
                        ),
                        layer,
                    )
                    total = sum(int(key.split()[1]) * many for key, many in found.items())
                    print(
                        json.dumps(
                            {
                                **sizes,
                                "attention": attention,
                                "batch": batch,
                                "tokens": tokens,
                                "images": tiles * each,
                                "dtype": dtype,
                                "bytes": total,
                                "storages": dict(sorted(found.items())),
                            }
                        )
                    )


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
