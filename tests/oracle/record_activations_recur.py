"""Records what autograd keeps of RWKV, RecurrentGemma and xLSTM with the kernels that they are trained with.

`python tests/oracle/record_activations_recur.py > tests/oracle/activations_recur.jsonl` needs `transformers` 5.23.0, `torch`
2.13.0, `xlstm` 2.0.6 and `mlstm_kernels` 2.0.6. It knows nothing of tscale. A kernel that needs a GPU is replaced by one that
returns arrays of its shapes and formats, without their numbers; the library's own code decides what is kept.

- RWKV: the wkv kernel fills an array that its autograd function gives it, so that nothing stands in but a call without effect, and a
  check that asks for a GPU passes.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import inspect
import logging
import types
from typing import Any

import torch
import transformers
from record_activations import DTYPES, kept, line
from transformers import CONFIG_MAPPING
from transformers.models.rwkv import modeling_rwkv

SHAPES = ((1, 16), (2, 70))
"""Batches and lengths; no chunk divides the second."""

RWKV = {"model_type": "rwkv", "vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 2, "context_length": 128}
MODELS: dict[str, tuple[dict[str, Any], ...]] = {
    "RwkvForCausalLM": (
        RWKV, {**RWKV, "num_hidden_layers": 3}, {**RWKV, "hidden_size": 96, "intermediate_size": 160},
        {**RWKV, "attention_hidden_size": 32},
    ),
}  # fmt: skip
"""Whole models, by class."""


def nothing(*_arrays: torch.Tensor) -> None:
    """A kernel that leaves its arrays as they are."""


def with_wkv_kernel() -> None:
    """The autograd function around the wkv kernel runs on a CPU."""
    modeling_rwkv.rwkv_cuda_kernel = types.SimpleNamespace(max_seq_length=128, forward=nothing, forward_bf16=nothing)
    for part in (modeling_rwkv.RwkvLinearAttention, modeling_rwkv.rwkv_linear_attention):
        source = inspect.getsource(part).replace('.device.type != "cuda"', '.device.type != "cpu"')
        exec(source, modeling_rwkv.__dict__)  # noqa: S102


def record(name: str, config: dict[str, Any], batch: int, length: int, dtype: str) -> None:
    """One line for one run of one model, loss included."""
    torch.manual_seed(0)
    settings = CONFIG_MAPPING[config["model_type"]].from_dict(config)
    settings.use_cache = False
    model = getattr(transformers, name)(settings).to(DTYPES[dtype]).train()
    tokens = torch.randint(4, 128, (batch, length))
    what = {"config": {**config, "architectures": [name]}, "batch": batch, "length": length, "dtype": dtype}
    line(what, kept(lambda: model(input_ids=tokens, labels=tokens.clone()).loss, model))


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    with_wkv_kernel()
    for name, configs in MODELS.items():
        for config in configs:
            for batch, length in SHAPES:
                for dtype in DTYPES:
                    record(name, config, batch, length, dtype)
