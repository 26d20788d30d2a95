"""Counts the families of `tests/oracle/variations_more_2026.jsonl` as `record_2026.py` does, each field changed alone.

`python tests/oracle/record_more_2026.py [FAMILY ...] > tests/oracle/variations_more_2026.jsonl` needs `transformers` 5.24.0 and
`torch`. What kernels of its own score, or landmarks stand for, no counter sees as full attention: FLOPs are null there.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import sys

import record
import record_2026
import record_more
import torch
import transformers
from record_mixers import LENGTH
from torch.utils.flop_counter import FlopCounterMode

FAMILIES = ["mobilebert", "squeezebert", "nystromformer", "mra", "cohere_compass_text", "t5gemma", "longt5"]
OTHERWISE_SCORED = ("mra", "longt5")
record.BASE |= {
    "cohere_compass_text": {
        "hidden_size": 1024,
        "num_attention_heads": 8,
        "intermediate_size": 512,
        "vocab_size": 500,
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [24, 20, 20]}
            for kind in ("full_attention", "sliding_attention")
        },
    },
    "mobilebert": {"vocab_size": 500},
    "squeezebert": {"vocab_size": 500},
    "nystromformer": {"vocab_size": 500},
    "mra": {"vocab_size": 500},
}
GEMMA = {"vocab_size": 500, "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
         "head_dim": 64, "intermediate_size": 512, "sliding_window": 16}  # fmt: skip
record.BASE["t5gemma"] = {"encoder": GEMMA, "decoder": GEMMA, "vocab_size": 500}
record.BASE["longt5"] = {"vocab_size": 500, "d_model": 256}
CHANGES = [{"num_hidden_layers": 6}, {"num_attention_heads": 8}, {"num_key_value_heads": 4}, {"head_dim": 32},
           {"intermediate_size": 1024}, {"hidden_size": 128}, {"vocab_size": 600}, {"attention_bias": True},
           {"layer_types": ["full_attention"] * 4}, {"sliding_window": 32}]  # fmt: skip
record_more.EXTRA |= {
    "t5gemma": [
        *({"encoder": GEMMA | change} for change in CHANGES),
        *({"decoder": GEMMA | change} for change in CHANGES),
        *({"encoder": GEMMA | change, "decoder": GEMMA | change} for change in CHANGES),
    ],
    "longt5": [
        {"encoder_attention_type": "transient-global"},
        {"encoder_attention_type": "transient-global", "num_decoder_layers": 3, "feed_forward_proj": "gated-gelu"},
        {"encoder_attention_type": "transient-global", "architectures": ["LongT5EncoderModel"]},
        {"encoder_attention_type": "transient-global", "relative_attention_num_buckets": 16, "num_heads": 4},
    ],
    "squeezebert": [{"q_groups": 8, "k_groups": 8, "v_groups": 8}, {"intermediate_groups": 2, "output_groups": 2}],
    "mobilebert": [
        {"num_feedforward_networks": 1},
        {"intra_bottleneck_size": 64, "hidden_size": 256},
        {"embedding_size": 32},
        {"classifier_activation": False, "architectures": ["MobileBertForPreTraining"]},
        {"classifier_activation": False, "architectures": ["MobileBertModel"]},
    ],
    "nystromformer": [{"conv_kernel_size": None}, {"conv_kernel_size": 33, "hidden_size": 384}],
}
record_2026.WITH_MEMORY += ("squeezebert", "nystromformer")
record_2026.TRIED_WITH_MEMORY += ("q_groups and k_groups and v_groups", "intermediate_groups and output_groups",
                                  "conv_kernel_size and hidden_size", "hidden_size", "num_attention_heads", "intermediate_size")  # fmt: skip
usual = record_2026.counted


def counted(changed: str, config: dict) -> tuple:
    """Without FLOPs where its scores are not what a counter of products takes them for."""
    if (
        config["model_type"] == "longt5" and "num_hidden_layers" in config
    ):  # its class takes the decoder's depth before it reads this
        config["num_layers"] = config.pop("num_hidden_layers")
    model, line = usual(changed, config)
    landmarks = (config.get("num_landmarks", 64), config.get("segment_means_seq_len", 64))
    one_of_all = "CompassTextForSequence" in config["architectures"][0]  # the class scores every token, and takes one
    if (
        one_of_all
        or config["model_type"] in OTHERWISE_SCORED
        or (config["model_type"] == "nystromformer" and len(set(landmarks)) > 1)
    ):
        line["flops"] = None
    if config["model_type"] == "t5gemma" and changed != "nothing, saved":
        line["flops"] = flops_of_both(config)
    return model, line


def flops_of_both(config: dict) -> int | None:
    """Forward FLOPs of both stacks on as many tokens each, with memory behind them."""
    model = getattr(transformers, config["architectures"][0])(
        transformers.CONFIG_MAPPING["t5gemma"].from_dict(config)
    ).eval()
    tokens = torch.ones(1, LENGTH, dtype=torch.long)
    for part in (model.config, model.config.encoder, model.config.decoder):
        part._attn_implementation = "eager"
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(input_ids=tokens, decoder_input_ids=tokens, use_cache=False)
    except Exception as error:  # noqa: BLE001  # whatever it raises, there is nothing to compare with
        print(f"t5gemma: {error!r}"[:150], file=sys.stderr)
        return None
    return counter.get_total_flops()


if __name__ == "__main__":
    record_2026.counted = counted
    record_2026.FAMILIES[:] = FAMILIES
    record_2026.main()
