"""Records what autograd keeps of RWKV, RecurrentGemma and xLSTM with the kernels that they are trained with.

`python tests/oracle/record_activations_recur.py > tests/oracle/activations_recur.jsonl` needs `transformers` 5.23.0, `torch`
2.13.0, `xlstm` 2.0.6, `mlstm_kernels` 2.0.6 and `recurrentgemma` 1.0.1. It knows nothing of tscale. A kernel that needs a GPU is replaced by one that
returns arrays of its shapes and formats, without their numbers; the library's own code decides what is kept.

- RWKV: the wkv kernel fills an array that its autograd function gives it, so that nothing stands in but a call without effect, and a
  check that asks for a GPU passes.
- RecurrentGemma: the scan is an autograd function that keeps what the authors' kernel for TPUs keeps for its own backward pass, its
  decays and its output (`_lru_fwd` in `recurrentgemma/jax/pallas.py` 1.0.1). Where `scan` is "steps", it is transformers' loop. The
  authors' own layer for PyTorch (`RGLRU` of recurrentgemma 1.0.1) is recorded with the same function in place of its loop.
- xLSTM: mlstm_kernels makes the arrays that its Triton kernels fill; these alone are left out.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import importlib.util
import inspect
import logging
import sys
import types
from typing import Any

import torch
import transformers
from record_activations import DTYPES, kept, line
from transformers import CONFIG_MAPPING
from transformers.models.recurrent_gemma import modeling_recurrent_gemma
from transformers.models.rwkv import modeling_rwkv

SHAPES = {"rwkv": ((1, 16), (2, 70)), "recurrent_gemma": ((1, 16), (2, 70)), "xlstm": ((1, 64), (2, 192))}
"""Batches and lengths; xLSTM is trained on whole chunks."""

RWKV = {"model_type": "rwkv", "vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 2, "context_length": 128}
GRIFFIN = {
    "model_type": "recurrent_gemma", "vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 1, "intermediate_size": 192, "lru_width": 64, "attention_window_size": 2048,
}  # fmt: skip
XLSTM = {
    "model_type": "xlstm", "vocab_size": 128, "hidden_size": 128, "num_hidden_layers": 2, "num_heads": 2, "chunk_size": 64,
    "chunkwise_kernel": "chunkwise--triton_xl_chunk", "mode": "train",
}  # fmt: skip
MODELS: dict[str, tuple[dict[str, Any], ...]] = {
    "RwkvForCausalLM": (
        RWKV, {**RWKV, "num_hidden_layers": 3}, {**RWKV, "hidden_size": 96, "intermediate_size": 160},
        {**RWKV, "attention_hidden_size": 32},
    ),
    "RecurrentGemmaForCausalLM": (
        GRIFFIN, {**GRIFFIN, "num_hidden_layers": 6}, {**GRIFFIN, "lru_width": 96}, {**GRIFFIN, "hidden_size": 96},
        {**GRIFFIN, "intermediate_size": 256, "conv1d_width": 3},
    ),
    "xLSTMForCausalLM": (
        XLSTM, {**XLSTM, "num_hidden_layers": 3}, {**XLSTM, "num_heads": 4, "qk_dim_factor": 1.0},
        {**XLSTM, "hidden_size": 256, "ffn_proj_factor": 1.5}, {**XLSTM, "chunk_size": 16},
        {**XLSTM, "chunkwise_kernel": "chunkwise--triton_limit_chunk"},
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


class FusedScan(torch.autograd.Function):
    """The recurrence of each channel by itself, as a kernel for it keeps it."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, decay: torch.Tensor) -> torch.Tensor:
        """The outputs, kept with the decays."""
        state, out = torch.zeros(x[:, 0].shape), torch.empty_like(x)
        for t in range(x.shape[1]):
            state = decay[:, t].float() * state + x[:, t].float()
            out[:, t] = state.to(x.dtype)
        ctx.save_for_backward(decay, out)
        return out


def fused(_layer: Any, hidden_states: torch.Tensor, recurrent_gate: torch.Tensor, reset: torch.Tensor, **_: Any) -> Any:
    """In place of transformers' loop, with the same reset at the start of a document."""
    return FusedScan.apply(hidden_states, recurrent_gate * ~reset), None


def authors_layers() -> Any:
    """Their layers for PyTorch, without what stands beside them for JAX."""
    (root,) = importlib.util.find_spec("recurrentgemma").submodule_search_locations
    for name, place in (("recurrentgemma", root), ("recurrentgemma.torch", f"{root}/torch")):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [place]
    return importlib.import_module("recurrentgemma.torch.layers")


def record_authors_layer() -> None:
    """One line for each run of the authors' layer behind the convolution, by width and blocks."""
    layers = authors_layers()
    layers.rnn_scan = lambda x, a, reset, h0: (FusedScan.apply(x, a * ~reset[..., None]), h0)
    for width, blocks in ((64, 4), (96, 3)):
        for batch, length in SHAPES["recurrent_gemma"]:
            for dtype, kind in DTYPES.items():
                layer = layers.RGLRU(width, blocks).to(kind)
                x = torch.randn(batch, length, width, dtype=kind, requires_grad=True)
                places = torch.arange(length).expand(batch, length)
                what = {"layer": {"width": width, "blocks": blocks}, "batch": batch, "length": length, "dtype": dtype}
                line(what, kept(lambda layer=layer, x=x, places=places: layer(x, places, return_cache=False), layer))


class Kernel:
    """In place of a Triton kernel: started on any grid, it leaves its arrays as they are."""

    def __getitem__(self, grid: Any) -> Any:
        """What is called with the arrays."""
        return lambda **_arrays: None


def without_triton_kernels() -> None:
    """mlstm_kernels makes its arrays and starts nothing."""
    for family, parallel in (("xl_chunk", "parallel_fw_Hintra"), ("limit_chunk", "parallel_fw_H")):
        for module, kernel in (("fw_recurrent", "recurrent_fw_C"), ("fw_parallel", parallel)):
            place = importlib.import_module(f"mlstm_kernels.torch.chunkwise.triton_{family}.{module}")
            assert hasattr(place, f"mlstm_chunkwise__{kernel}_kernel")
            setattr(place, f"mlstm_chunkwise__{kernel}_kernel", Kernel())


def record(name: str, config: dict[str, Any], batch: int, length: int, dtype: str, **how: str) -> None:
    """One line for one run of one model, loss included."""
    torch.manual_seed(0)
    settings = CONFIG_MAPPING[config["model_type"]].from_dict(config)
    settings.use_cache = False
    model = getattr(transformers, name)(settings).to(DTYPES[dtype]).train()
    tokens = torch.randint(4, 128, (batch, length))
    what = {"config": {**config, "architectures": [name]}, "batch": batch, "length": length, "dtype": dtype, **how}
    line(what, kept(lambda: model(input_ids=tokens, labels=tokens.clone()).loss, model))


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    with_wkv_kernel()
    without_triton_kernels()
    in_steps = modeling_recurrent_gemma.RecurrentGemmaRglru._rnn_scan
    for name, configs in MODELS.items():
        for config in configs:
            for batch, length in SHAPES[config["model_type"]]:
                for dtype in DTYPES:
                    if config is GRIFFIN:
                        modeling_recurrent_gemma.RecurrentGemmaRglru._rnn_scan = in_steps
                        record(name, config, batch, length, dtype, scan="steps")
                        modeling_recurrent_gemma.RecurrentGemmaRglru._rnn_scan = fused
                    record(name, config, batch, length, dtype)
    record_authors_layer()
