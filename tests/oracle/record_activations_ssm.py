"""Records what autograd keeps of layers of state spaces, with the kernels that they are trained with.

`python tests/oracle/record_activations_ssm.py > tests/oracle/activations_ssm.jsonl` needs `transformers` 5.23.0, `torch` 2.13.0
and `triton`, and the sources of `mamba_ssm` 2.3.2 and `causal_conv1d` 1.7.0 on PYTHONPATH. It knows nothing of tscale. The
libraries' own Python code makes the arrays and decides what is kept; kernels that need a GPU are left out, so that the arrays are
never filled. transformers takes its fast paths where it finds those libraries.

- Of `selective_scan_cuda`, which makes arrays in C++, a stand-in makes the same (selective_scan.cpp, `selective_scan_fwd`): the output in
  the shape and format of the step sizes, two fp32 numbers for each of the state's once for 2,048 positions, and the gated output.
- `layer`: mamba_ssm's own layers, called on an array that needs a gradient.
"""

# mypy: ignore-errors
# transformers, torch and the kernels are installed only where this is run
from __future__ import annotations

import contextlib
import logging
import sys
import types
from collections.abc import Iterator
from typing import Any

import torch
import triton
from record_activations import DTYPES, kept, line
from transformers import CONFIG_MAPPING

SHAPES = ((1, 16), (2, 150))
"""Batches and lengths; the second is longer than two of the models' chunks, and no chunk divides it."""

SMALL = {"vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 3, "tie_word_embeddings": False}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96, "pad_token_id": 0}
STATE = {"state_size": 8, "conv_kernel": 4, "expand": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
MAMBA2 = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 24, "mamba_n_groups": 2, "mamba_chunk_size": 64}
JAMBA = {
    "mamba_d_state": 8, "mamba_dt_rank": 6, "attn_layer_period": 3, "attn_layer_offset": 1, "expert_layer_period": 2,
    "expert_layer_offset": 1, "num_experts": 4, "num_experts_per_tok": 2,
}  # fmt: skip
NEMOTRON = {
    **HEADS, "mamba_num_heads": 8, "mamba_head_dim": 16, "ssm_state_size": 24, "n_groups": 2, "chunk_size": 64, "head_dim": 16,
}  # fmt: skip
HYBRID = {"layers_block_type": ["mamba", "hybrid", "hybrid"]}
ZAMBA = {
    **HEADS, **HYBRID, "mamba_d_state": 8, "mamba_dt_rank": 4, "n_mamba_heads": 2, "num_key_value_heads": 4,
    "attention_head_dim": 32, "attention_hidden_size": 128, "tie_word_embeddings": True,
}  # fmt: skip
ZAMBA2 = {
    **HEADS, **HYBRID, "mamba_d_state": 24, "n_mamba_heads": 8, "mamba_headdim": 16, "mamba_ngroups": 2, "chunk_size": 64,
    "num_key_value_heads": 4, "attention_head_dim": 32, "attention_hidden_size": 128, "adapter_rank": 6, "num_mem_blocks": 2,
    "tie_word_embeddings": True,
}  # fmt: skip

MODELS: dict[str, tuple[dict[str, Any], ...]] = {
    "MambaForCausalLM": tuple(
        {"model_type": "mamba", **SMALL, **STATE, **change} for change in ({}, {"hidden_size": 80, "expand": 3, "state_size": 4})
    ),
    "FalconMambaForCausalLM": ({"model_type": "falcon_mamba", **SMALL, **STATE},),
    "JambaForCausalLM": ({"model_type": "jamba", **SMALL, **HEADS, **JAMBA},),
    "ZambaForCausalLM": ({"model_type": "zamba", **SMALL, **ZAMBA},),
    "Mamba2ForCausalLM": tuple(
        {"model_type": "mamba2", **SMALL, **STATE, "num_heads": 8, "head_dim": 16, "chunk_size": 64, **change}
        for change in ({"n_groups": 2}, {"n_groups": 1, "head_dim": 8, "num_heads": 16})
    ),
    "BambaForCausalLM": ({"model_type": "bamba", **SMALL, **HEADS, **MAMBA2, "attn_layer_indices": [1]},),
    "FalconH1ForCausalLM": tuple(
        {"model_type": "falcon_h1", **SMALL, **HEADS, **MAMBA2, "mamba_d_ssm": 128, "head_dim": 16, "mamba_rms_norm": norm}
        for norm in (False, True)
    ),
    "NemotronHForCausalLM": (
        {"model_type": "nemotron_h", **SMALL, **NEMOTRON, "layers_block_type": ["linear_attention", "mlp", "full_attention"]},
    ),
    "GraniteMoeHybridForCausalLM": (
        {"model_type": "granitemoehybrid", **SMALL, **HEADS, **MAMBA2, "layer_types": ["linear_attention", "full_attention", "linear_attention"],
         "shared_intermediate_size": 80, "num_local_experts": 4, "num_experts_per_tok": 2, "output_router_logits": False},
    ),
    "Zamba2ForCausalLM": tuple(
        {"model_type": "zamba2", **SMALL, **ZAMBA2, **change}
        for change in ({}, {"use_shared_attention_adapter": True, "use_mem_rope": True})
    ),
}  # fmt: skip
"""Whole models, by class."""

LAYERS: dict[str, tuple[dict[str, Any], ...]] = {
    "Mamba": ({"d_model": 16}, {"d_model": 48, "d_state": 4, "expand": 3, "dt_rank": 5}),
    "Mamba2": (
        {"d_model": 32, "d_state": 24, "headdim": 16, "ngroups": 2, "chunk_size": 64},
        {"d_model": 32, "d_state": 8, "headdim": 8, "rmsnorm": False, "chunk_size": 32},
    ),
}
"""mamba_ssm's own layers, by class."""


def scanned(*arrays: Any) -> list[torch.Tensor]:
    """What `selective_scan_cuda.fwd` makes, not filled: the output, the states, and the gated output where there is a gate."""
    _, delta, a, _, _, _, z, *_ = arrays
    batch, channels, length = delta.shape
    states = torch.empty(batch, channels, -(-length // 2048), 2 * a.shape[1], dtype=torch.float32)
    return [torch.empty_like(delta), states, *([] if z is None else [torch.empty_like(z)])]


def without_kernels() -> None:
    """A kernel leaves its arrays as they are."""
    triton.runtime.jit.KernelInterface.__getitem__ = lambda _kernel, _grid: lambda *_args, **_more: None
    sys.modules["causal_conv1d_cuda"] = types.SimpleNamespace(causal_conv1d_fwd=lambda *_arrays: None)
    sys.modules["selective_scan_cuda"] = types.SimpleNamespace(fwd=scanned)
    torch.cuda.device = lambda _index: contextlib.nullcontext()


def record_model(name: str, config: dict[str, Any], batch: int, length: int, dtype: str) -> None:
    """One line for one run of one model, loss included."""
    import transformers

    torch.manual_seed(0)
    settings = CONFIG_MAPPING[config["model_type"]].from_dict(config)
    settings._attn_implementation = "sdpa" if "num_attention_heads" in config else "eager"
    settings.use_cache = False
    model = getattr(transformers, name)(settings).to(DTYPES[dtype]).train()
    tokens = torch.randint(4, 128, (batch, length))
    what = {"config": {**config, "architectures": [name]}, "batch": batch, "length": length, "dtype": dtype}
    line(what, kept(lambda: model(input_ids=tokens, labels=tokens.clone()).loss, model))


def record_layer(name: str, shape: dict[str, Any], batch: int, length: int, dtype: str) -> None:
    """One line for one run of one layer of mamba_ssm."""
    from mamba_ssm import modules
    from mamba_ssm.modules import mamba2, mamba_simple  # noqa: F401

    torch.manual_seed(0)
    module = modules.mamba_simple if name == "Mamba" else modules.mamba2
    layer = getattr(module, name)(**shape).to(DTYPES[dtype]).train()
    x = torch.randn(batch, length, shape["d_model"], dtype=DTYPES[dtype], requires_grad=True)
    what = {"layer": name, "shape": shape, "batch": batch, "length": length, "dtype": dtype}
    line(what, kept(lambda: layer(x), layer))


def runs(*more: tuple[int, int]) -> Iterator[tuple[int, int, str]]:
    """Batches, lengths and formats."""
    for batch, length in (*SHAPES, *more):
        for dtype in DTYPES:
            yield batch, length, dtype


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    without_kernels()
    for name, configs in MODELS.items():
        for config in configs:
            for run in runs():
                record_model(name, config, *run)
    for name, shapes in LAYERS.items():
        for shape in shapes:
            for run in runs((2, 2100)):
                record_layer(name, shape, *run)
