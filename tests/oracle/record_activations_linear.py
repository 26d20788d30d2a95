"""Records what autograd keeps of layers that mix tokens without scores, with the kernels that they are trained with.

`python tests/oracle/record_activations_linear.py > tests/oracle/activations_linear.jsonl` needs `transformers` 5.23.0, `torch`
2.13.0, `flash-linear-attention` 0.6.0 and `lightning_attn` 0.0.5, and the sources of `causal_conv1d` 1.7.0 on PYTHONPATH. It
knows nothing of tscale. The libraries' own code makes every array and decides what is kept; only the kernels that need a GPU are
left out, so that the arrays are never filled. transformers takes its fast paths where it finds those libraries.

- A gated norm is flash-linear-attention's, which transformers fetches as a kernel of its own.
- MiniMax's class has no fast path: its loop over blocks is replaced by a call of the authors' kernel.
- `layer`: flash-linear-attention's own layers, called on an array that needs a gradient.
- `kernel`: its delta rules alone, in chunks of each length that they take, with decays and betas made outside of them.
"""

# mypy: ignore-errors
# transformers, torch and the kernels are installed only where this is run
from __future__ import annotations

import inspect
import logging
import sys
import textwrap
import types
from collections.abc import Iterator
from typing import Any

import torch
import triton
from record_activations import DTYPES, kept, line
from transformers import CONFIG_MAPPING

SHAPES = ((1, 16), (2, 150))
"""Batches and lengths; the second is longer than two chunks, and no chunk divides it."""

SMALL = {
    "vocab_size": 128, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96,
    "num_hidden_layers": 3, "tie_word_embeddings": False,
}  # fmt: skip
DELTA = {
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 24,
    "linear_conv_kernel_dim": 4, "layer_types": ["linear_attention", "linear_attention", "full_attention"],
}  # fmt: skip
EXPERTS = {"moe_intermediate_size": 32, "num_experts": 8, "num_experts_per_tok": 2}
CONVS = {"layer_types": ["conv", "full_attention", "conv"]}
LIGHTNING = {
    "block_size": 16, "layer_types": ["linear_attention", "full_attention", "linear_attention"], "num_local_experts": 4,
    "num_experts_per_tok": 2,
}  # fmt: skip
KIMI = {
    **EXPERTS, "num_shared_experts": 1, "first_k_dense_replace": 1, "kv_lora_rank": 16, "q_lora_rank": None,
    "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16, "linear_head_dim": 16, "linear_num_heads": 4,
    "linear_conv_kernel_dim": 4, "layer_types": ["linear_attention", "linear_attention", "full_attention"],
    "n_group": 1, "topk_group": 1, "num_key_value_heads": 4, "pad_token_id": 0,
}  # fmt: skip

MODELS: dict[str, tuple[dict[str, Any], ...]] = {
    "Qwen3NextForCausalLM": tuple(
        {"model_type": "qwen3_next", **SMALL, **DELTA, **EXPERTS, "shared_expert_intermediate_size": 80, "head_dim": 16,
         "output_router_logits": False, **change}
        for change in (
            {}, {"linear_num_key_heads": 4, "linear_key_head_dim": 24}, {"linear_value_head_dim": 8, "hidden_size": 96},
        )
    ),
    "Qwen3_5MoeForCausalLM": (
        {"model_type": "qwen3_5_moe_text", **{key: value for key, value in SMALL.items() if key != "intermediate_size"},
         **DELTA, **EXPERTS, "shared_expert_intermediate_size": 48, "head_dim": 16},
    ),
    "Qwen3_5ForCausalLM": ({"model_type": "qwen3_5_text", **SMALL, **DELTA, "head_dim": 16},),
    "OlmoHybridForCausalLM": tuple(
        {"model_type": "olmo_hybrid", **SMALL, **DELTA, "pad_token_id": 0, "linear_allow_neg_eigval": twice} for twice in (True, False)
    ),
    "Lfm2ForCausalLM": tuple(
        {"model_type": "lfm2", **SMALL, **CONVS, **change} for change in ({}, {"conv_bias": True, "hidden_size": 96})
    ),
    "Lfm2MoeForCausalLM": ({"model_type": "lfm2_moe", **SMALL, **CONVS, **EXPERTS, "num_dense_layers": 1},),
    "MiniMaxForCausalLM": tuple(
        {"model_type": "minimax", **SMALL, **LIGHTNING, **change} for change in ({"head_dim": 32}, {"head_dim": 64, "block_size": 64})
    ),
    "KimiLinearForCausalLM": ({"model_type": "kimi_linear", **SMALL, **KIMI},),
}  # fmt: skip
"""Whole models, by class."""

LAYERS: dict[str, tuple[dict[str, Any], ...]] = {
    "GatedDeltaNet": (
        {"hidden_size": 64, "num_heads": 2, "num_v_heads": 4, "head_dim": 16, "expand_v": 2, "conv_size": 4},
        {"hidden_size": 96, "num_heads": 4, "num_v_heads": 4, "head_dim": 24, "expand_v": 1, "conv_size": 4},
    ),
    "KimiDeltaAttention": (
        {"hidden_size": 64, "num_heads": 4, "head_dim": 16, "conv_size": 4},
        {"hidden_size": 96, "num_heads": 2, "head_dim": 32, "conv_size": 4},
    ),
}
"""flash-linear-attention's own layers, by class."""

KERNELS = {"chunk_gated_delta_rule": (16, 32, 64), "chunk_kda": (32, 64)}
"""Delta rules, and the lengths of their chunks."""


def without_kernels() -> None:
    """A kernel leaves its arrays as they are."""
    triton.runtime.jit.KernelInterface.__getitem__ = lambda _kernel, _grid: lambda *_args, **_more: None
    sys.modules["causal_conv1d_cuda"] = types.SimpleNamespace(causal_conv1d_fwd=lambda *_arrays: None)


def with_gated_norm(model: torch.nn.Module) -> torch.nn.Module:
    """The model with flash-linear-attention's gated norms."""
    from fla.modules import FusedRMSNormGated

    for module in list(model.modules()):
        for name, norm in list(module.named_children()):
            if type(norm).__name__.endswith("RMSNormGated"):
                fused = FusedRMSNormGated(norm.weight.numel(), eps=norm.variance_epsilon, activation=norm.activation)
                setattr(module, name, fused.to(norm.weight.dtype))
    return model


def with_lightning_kernel() -> None:
    """MiniMax's layer with the authors' kernel in place of its loop over blocks."""
    from lightning_attn.ops import lightning_attn_func
    from transformers.models.minimax import modeling_minimax

    modeling_minimax.lightning_attn_func = lightning_attn_func
    layer = modeling_minimax.MiniMaxLightningAttention
    before, rest = textwrap.dedent(inspect.getsource(layer.forward)).split(
        "    # calculated (K.T @ V) and saved as cache\n"
    )
    after = rest.split("    # final output projection\n")[1]
    call = "    attn_weights_inter = None\n"
    call += "    attn_output = lightning_attn_func(query_states, key_states, value_states, self.slope_rate)\n"
    exec(before + call + after, modeling_minimax.__dict__)  # noqa: S102
    layer.forward = modeling_minimax.__dict__.pop("forward")


def record_model(name: str, config: dict[str, Any], batch: int, length: int, dtype: str) -> None:
    """One line for one run of one model, loss included."""
    import transformers

    torch.manual_seed(0)
    settings = CONFIG_MAPPING[config["model_type"]].from_dict(config)
    settings._attn_implementation = "eager" if "kv_lora_rank" in config else "sdpa"
    settings.use_cache = False
    model = with_gated_norm(getattr(transformers, name)(settings)).to(DTYPES[dtype]).train()
    tokens = torch.randint(4, 128, (batch, length))
    what = {"config": {**config, "architectures": [name]}, "batch": batch, "length": length, "dtype": dtype}
    line(what, kept(lambda: model(input_ids=tokens, labels=tokens.clone()).loss, model))


def record_layer(name: str, shape: dict[str, Any], batch: int, length: int, dtype: str) -> None:
    """One line for one run of one layer of flash-linear-attention."""
    from fla import layers

    torch.manual_seed(0)
    layer = getattr(layers, name)(**shape, layer_idx=0).to(DTYPES[dtype]).train()
    x = torch.randn(batch, length, shape["hidden_size"], dtype=DTYPES[dtype], requires_grad=True)
    what = {"layer": name, "shape": shape, "batch": batch, "length": length, "dtype": dtype}
    line(what, kept(lambda: layer(x), layer))


def record_kernel(name: str, chunk: int, batch: int, length: int, dtype: str) -> None:
    """One line for one run of one delta rule: 2 heads of 16 for keys and 4 of 24 for values, or 4 of 16 for both."""
    from fla import ops

    def array(*shape: int) -> torch.Tensor:
        return torch.randn(batch, length, *shape, dtype=DTYPES[dtype], requires_grad=True)

    if name == "chunk_kda":
        q, k, v, g = (array(4, 16) for _ in "qkvg")
    else:
        q, k, v, g = array(2, 16), array(2, 16), array(4, 24), array(4)
    arrays = {"q": q, "k": k, "v": v, "g": g.float(), "beta": array(4)}
    what = {"kernel": name, "chunk": chunk, "batch": batch, "length": length, "dtype": dtype}
    delta_rule = getattr(ops, name)
    line(what, kept(lambda: delta_rule(**arrays, use_qk_l2norm_in_kernel=True, chunk_size=chunk), torch.nn.Module()))


def runs() -> Iterator[tuple[int, int, str]]:
    """Batches, lengths and formats."""
    for batch, length in SHAPES:
        for dtype in DTYPES:
            yield batch, length, dtype


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    without_kernels()
    with_lightning_kernel()
    for recorded, record in ((MODELS, record_model), (LAYERS, record_layer), (KERNELS, record_kernel)):
        for name, configs in recorded.items():
            for config in configs:
                for run in runs():
                    record(name, config, *run)
