"""Records the bytes of what real optimizers keep of each parameter after one step.

`python tests/oracle/record_optimizers.py > tests/oracle/optimizers.jsonl` needs `torch` 2.13.0, `transformers` 5.24.0 and
`bitsandbytes` 0.50.2 on a CPU; it knows nothing of tscale. Each line holds an optimizer, the format of the parameters, and of
each parameter of a small model its shape and the tensors of its state, each with format, shape and bytes; a tensor that
several parameters share is told at the first of them.
"""

# mypy: ignore-errors
# the libraries are installed only where this is run
from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import bitsandbytes
import torch
import transformers
from torch import nn

CONFIG = {
    "model_type": "llama", "vocab_size": 300, "hidden_size": 96, "intermediate_size": 200, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": False, "attention_bias": True,
    "architectures": ["LlamaForCausalLM"],
}  # fmt: skip
AT_LIMIT = {
    "norms of 4,096": CONFIG | {"hidden_size": 4096, "head_dim": 16, "intermediate_size": 20, "attention_bias": False},
    "matrices below 4,096": CONFIG | {"hidden_size": 48, "intermediate_size": 80},
    "gains and biases of 2,048": {
        "model_type": "opt", "vocab_size": 300, "max_position_embeddings": 8, "hidden_size": 2048, "word_embed_proj_dim": 2048,
        "ffn_dim": 20, "num_hidden_layers": 1, "num_attention_heads": 4, "architectures": ["OPTForCausalLM"],
    },
}  # fmt: skip
"""Models whose tensors are at the size from which bitsandbytes keeps states in 8 bits."""


def hidden(model: nn.Module) -> list[nn.Parameter]:
    """The matrices of the layers."""
    return [p for name, p in model.named_parameters() if p.ndim == 2 and "layers" in name]


def others(model: nn.Module) -> list[nn.Parameter]:
    """Tables, head, gains and biases."""
    inner = {id(p) for p in hidden(model)}
    return [p for p in model.parameters() if id(p) not in inner]


OPTIMIZERS: dict[str, Callable[[nn.Module], list[torch.optim.Optimizer]]] = {
    "torch.optim.AdamW": lambda model: [torch.optim.AdamW(model.parameters())],
    "torch.optim.SGD": lambda model: [torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)],
    "torch.optim.Adafactor": lambda model: [torch.optim.Adafactor(model.parameters())],
    "transformers.Adafactor": lambda model: [transformers.Adafactor(model.parameters())],
    "torch.optim.Muon": lambda model: [torch.optim.Muon(hidden(model)), torch.optim.AdamW(others(model))],
    "bitsandbytes.optim.Lion": lambda model: [bitsandbytes.optim.Lion(model.parameters())],
    "bitsandbytes.optim.AdamW8bit": lambda model: [bitsandbytes.optim.AdamW8bit(model.parameters())],
}


def main() -> None:
    """Writes one line for each optimizer and format."""
    for name in OPTIMIZERS:
        for dtype in KINDS:
            one(name, dtype, CONFIG)
    for config in AT_LIMIT.values():
        one("bitsandbytes.optim.AdamW8bit", "bf16", config)


KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def one(name: str, dtype: str, config: dict[str, Any]) -> None:
    """Takes one step of a model of a configuration, and records it."""
    torch.manual_seed(0)
    settings = transformers.CONFIG_MAPPING[config["model_type"]].from_dict(config)
    model = transformers.AutoModelForCausalLM.from_config(settings).to(KINDS[dtype])
    tokens = torch.randint(0, 300, (1, 8))
    model(input_ids=tokens, labels=tokens).loss.backward()
    try:
        record(name, dtype, config, model, OPTIMIZERS[name](model))
    except Exception as error:  # noqa: BLE001  # whatever it raises, there is nothing to record
        print(f"{name} {dtype}: {error!r}"[:200], file=sys.stderr)


def record(
    name: str, dtype: str, config: dict[str, Any], model: nn.Module, optimizers: list[torch.optim.Optimizer]
) -> None:
    """Writes one line."""
    state: dict[nn.Parameter, dict[str, Any]] = {}
    for optimizer in optimizers:
        optimizer.step()
        state.update(optimizer.state)
    seen: set[int] = set()
    parameters = []
    for parameter_name, parameter in model.named_parameters():
        kept = {}
        for key, value in state[parameter].items():
            if isinstance(value, torch.Tensor) and value.data_ptr() not in seen:
                seen.add(value.data_ptr())
                kind = str(value.dtype).removeprefix("torch.")
                kept[key] = [kind, list(value.shape), value.numel() * value.element_size()]
        parameters.append({"name": parameter_name, "shape": list(parameter.shape), "state": kept})
    print(json.dumps({"optimizer": name, "dtype": dtype, "config": config, "parameters": parameters}))


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
