"""Counts the built-in models that are no case of the other files, as `record_mixers.py` counts variations.

`python tests/oracle/record_built_ins.py < configs.json > tests/oracle/cases_built_ins.jsonl` needs `transformers` 5.23.0
and `torch` 2.13.0; it reads `{"name": ..., "config": ...}`, one a line. The FLOPs are those of 70 positions in the
decoder, and as many in the encoder where there is one; null where the class cannot run without memory behind it.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import json
import logging
import sys

import torch
from record import built
from record_encoders import FAMILIES as ENCODERS
from record_encoders import flops as encoder_flops
from record_encoders import runnable
from record_mixers import LENGTH, flops
from torch.utils.flop_counter import FlopCounterMode


def main() -> None:
    """Writes one line for each line."""
    logging.disable(logging.WARNING)
    for text in sys.stdin:
        line = json.loads(text)
        model = built(line["config"]).eval()
        parameters = list(model.parameters())
        line["total"] = sum(p.numel() for p in parameters)
        line["frozen"] = sum(p.numel() for p in parameters if not p.requires_grad)
        family = model.config.model_type
        if family in " ".join(ENCODERS.values()).split():
            line["flops"] = encoder_flops(runnable(line["config"], model))
        else:
            line["flops"] = of_two_stacks(model) if model.config.is_encoder_decoder else flops(model, family)
        print(json.dumps(line), flush=True)


def of_two_stacks(model: torch.nn.Module) -> int:
    """Forward FLOPs of an encoder-decoder, both sequences of one length."""
    tokens = torch.zeros(1, LENGTH, dtype=torch.long, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=tokens, decoder_input_ids=tokens)
    return counter.get_total_flops()


if __name__ == "__main__":
    main()
