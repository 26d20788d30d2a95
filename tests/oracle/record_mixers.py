"""Counts the families of `tests/oracle/variations_mixers.jsonl` as `record.py` does the others, and their FLOPs with it.

`python tests/oracle/record_mixers.py > tests/oracle/variations_mixers.jsonl` needs `transformers` 5.23.0 and `torch`
2.13.0. Each line holds, beside what `record.py` writes, the forward FLOPs of 70 positions: not a multiple of any chunk.
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
from transformers import AutoModelForCausalLM

FAMILIES = [
    "mamba",
    "falcon_mamba",
    "mamba2",
    "bamba",
    "falcon_h1",
    "jamba",
    "qwen3_next",
    "lfm2",
    "recurrent_gemma",
    "rwkv",
    "xlstm",
    "granitemoehybrid",
]
LENGTH = 70

FULL, LINEAR = "full_attention", "linear_attention"
record.BASE |= {
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},  # so that four layers have one of attention
    "xlstm": {"num_blocks": 4, "num_hidden_layers": 4},
    "bamba": {"attn_layer_indices": [1]},
    "granitemoehybrid": {"num_hidden_layers": 4, "layer_types": [LINEAR, FULL, LINEAR, LINEAR]},
    "lfm2": {"full_attn_idxs": [1, 3]},
}
record.LISTS |= {
    "layer_types": ([FULL] * 4, [LINEAR] * 4, [LINEAR, FULL] * 2, ["conv", FULL, "conv", "conv"]),
    "attn_layer_indices": ([0, 3], []),
    "full_attn_idxs": ([0], []),
    "block_types": (["attention"], ["recurrent"], ["attention", "recurrent"]),
    "mlp_only_layers": ([0], [0, 1, 2, 3]),
}
FACTORS = {
    "qk_dim_factor": (1.0, 0.25),
    "v_dim_factor": (0.5, 2.0),
    "ffn_proj_factor": (2.0, 1.3),
    "block_ffn_dim_multiplier": (1.5, 0.7),
}


def main() -> None:
    """Writes one line for each change that the class accepts."""
    logging.disable(logging.WARNING)
    usual_values = record.values
    record.values = lambda key, value: (*usual_values(key, value), *FACTORS.get(key, ()))
    for family in sys.argv[1:] or FAMILIES:
        for changed, config in variations(family, AutoModelForCausalLM):
            try:
                write(changed, config)
            except Exception as error:  # noqa: BLE001  # whatever it raises, there is nothing to compare with
                print(f"{family} {changed}: {error!r}"[:150], file=sys.stderr)


def write(changed: str, config: dict) -> None:
    """One configuration, counted."""
    _, line = counted(changed, config)
    print(json.dumps(line), flush=True)


def counted(changed: str, config: dict) -> tuple[torch.nn.Module, dict]:
    """The model of a configuration, and its parameters and FLOPs."""
    config = json.loads(json.dumps(config, default=str).replace("Infinity", "1e9"))
    model = built(config).eval()
    parameters = list(model.parameters())
    return model, {
        "changed": changed,
        "config": config,
        "total": sum(p.numel() for p in parameters),
        "frozen": sum(p.numel() for p in parameters if not p.requires_grad),
        "flops": flops(model, config["model_type"]),
    }


def flops(model: torch.nn.Module, family: str) -> int | None:
    """Forward FLOPs of a sequence; None where the class cannot run without memory behind it."""
    model.config._experts_implementation = "batched_mm"
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad(), torch.device("meta"):
            model(input_ids=torch.zeros(1, LENGTH, dtype=torch.long), use_cache=family != "rwkv")
    except Exception as error:  # noqa: BLE001  # whatever it raises, there is nothing to compare with
        print(f"{family}: {error!r}"[:150], file=sys.stderr)
        return None
    return counter.get_total_flops()


if __name__ == "__main__":
    main()
