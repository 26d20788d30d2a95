"""Counts further encoders and encoder-decoders with Hugging Face transformers on the meta device, as `record.py` does.

`python tests/oracle/record_encoders.py [FAMILY ...] > tests/oracle/variations_encoders.jsonl` needs `transformers` 5.23.0 and
`torch` 2.13.0. Each line holds, beside what `record.py` writes, `flops`: those of a forward pass of 70 positions, null where
the class does not run. DeBERTa and XLNet run with memory behind them, since they look at what they compute.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import json
import logging
import sys

import record
import torch
from record import built, variations
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForMaskedLM, AutoModelForSeq2SeqLM, AutoModelForSpeechSeq2Seq

LENGTH = 70
FAMILIES = {
    "albert": AutoModelForMaskedLM,
    "camembert": AutoModelForMaskedLM,
    "data2vec-text": AutoModelForMaskedLM,
    "roberta-prelayernorm": AutoModelForMaskedLM,
    "deberta": AutoModelForMaskedLM,
    "deberta-v2": AutoModelForMaskedLM,
    "xlnet": AutoModelForMaskedLM,
    "whisper": AutoModelForSpeechSeq2Seq,
    "fsmt": AutoModelForSeq2SeqLM,
}
LOOKING = ("deberta", "deberta-v2", "xlnet")
_RELATIVE = {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["c2p", "p2c"]}
record.BASE |= {
    "albert": {"hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 2048},
    "deberta": _RELATIVE,
    "deberta-v2": _RELATIVE | {"hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 2048},
    "fsmt": {"tie_word_embeddings": True},
}
record.LISTS |= {"pos_att_type": (["c2p"], ["p2c"], [], "p2c|c2p")}
record.WORDS |= {"norm_rel_ebd": ("layer_norm", "none")}
ADDED = {"deberta-v2": {"position_buckets": (16, 256), "share_att_key": (True,), "norm_rel_ebd": ("layer_norm",),
                        "conv_kernel_size": (3, 5), "conv_groups": (2,), "max_relative_positions": (32, 100)},
         "deberta": {"max_relative_positions": (32, 100), "talking_head": (True,)},
         "albert": {"num_hidden_groups": (2, 4), "inner_group_num": (2, 3)}}  # fmt: skip
"""Fields that the classes read and that their configurations do not hold, or whose other values must fit a depth of 4."""


def main() -> None:
    """Writes one line for each change that the class accepts."""
    logging.disable(logging.WARNING)
    for family in sys.argv[1:] or FAMILIES:
        lines = list(variations(family, FAMILIES[family]))
        base = next(config for changed, config in lines if changed not in ("nothing", "nothing, saved"))
        usual = lines[0][1]["architectures"]
        for key, values in ADDED.get(family, {}).items():
            lines += [(key, {**base, "architectures": usual, key: value}) for value in values]
        for changed, config in lines:
            try:
                write(changed, json.loads(json.dumps(config, default=str)))
            except Exception as error:  # noqa: BLE001  # whatever it raises, there is nothing to compare with
                print(f"{family} {changed}: {error!r}"[:150], file=sys.stderr)


def write(changed: str, config: dict) -> None:
    """One configuration, counted."""
    model = built(config).eval()
    parameters = list(model.parameters())
    line = {
        "changed": changed,
        "config": config,
        "total": sum(p.numel() for p in parameters),
        "frozen": sum(p.numel() for p in parameters if not p.requires_grad),
        "flops": flops(model, config["model_type"]),
    }
    print(json.dumps(line), flush=True)


def flops(model: torch.nn.Module, family: str) -> int | None:
    """FLOPs of a forward pass of LENGTH positions in each stack."""
    device = "cpu" if family in LOOKING else "meta"
    if device == "cpu":
        model = model.to_empty(device="cpu")
    tokens = torch.zeros(1, LENGTH, dtype=torch.long, device=device)
    inputs = {"input_ids": tokens}
    if family == "whisper":
        sound = torch.zeros(1, model.config.num_mel_bins, 2 * model.config.max_source_positions, device="meta")
        inputs = {"input_features": sound, "decoder_input_ids": tokens}
    if family == "fsmt":
        return None
    try:
        with torch.set_grad_enabled(device == "cpu"), FlopCounterMode(display=False) as counter:
            model(**inputs)
    except Exception as error:  # noqa: BLE001
        print(f"{family}: {error!r}"[:150], file=sys.stderr)
        return None
    return counter.get_total_flops()


if __name__ == "__main__":
    main()
