"""Records what autograd keeps of the options of blocks: heads in pairs, narrow values, borrowed keys, latent experts and more.

`python tests/oracle/record_activations_rest.py FOLDER > tests/oracle/activations_rest.jsonl` needs `transformers` 5.23.0 and
`torch` 2.13.0; it knows nothing of tscale. FOLDER holds the differential transformer's two layers as its authors publish
them (microsoft/unilm, Diff-Transformer: multihead_flashdiff_1.py at 088fab1, multihead_diffattn.py at 3aca927). What of
these needs a GPU has a stand-in here that keeps what the library keeps: flash_attn 2's function its queries, keys, values,
output and logarithms of sums; apex's FusedRMSNorm its input, gain and deviation; the rotary kernel nothing but tables.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import importlib
import logging
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from record_activations import DTYPES, SHAPES, kept, line, record_model
from torch import nn

GROUPED = {
    "vocab_size": 128, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2,
    "intermediate_size": 96, "tie_word_embeddings": False, "attention_dropout": 0.0,
}  # fmt: skip
ROUTED = {"moe_intermediate_size": 32, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "norm_topk_prob": True}
LATENT = {
    "n_routed_experts": 8, "n_shared_experts": 1, "first_k_dense_replace": 1, "q_lora_rank": 24, "kv_lora_rank": 16,
    "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16, "num_key_value_heads": 4,
}  # fmt: skip
GEMMA = {
    **GROUPED, "model_type": "gemma4_text", "head_dim": 16, "global_head_dim": 32, "sliding_window": 8,
    "hidden_size_per_layer_input": 12, "vocab_size_per_layer_input": 128, "tie_word_embeddings": True,
    "num_hidden_layers": 3, "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
    "final_logit_softcapping": None,
}  # fmt: skip
SHARED = {
    "num_hidden_layers": 4, "num_kv_shared_layers": 2,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
}  # fmt: skip

MODELS: tuple[tuple[str, dict[str, Any], tuple[dict[str, Any], ...]], ...] = (
    (
        "MiMoV2FlashForCausalLM",
        {**GROUPED, **ROUTED, "model_type": "mimo_v2_flash", "num_attention_heads": 8, "n_routed_experts": 8,
         "head_dim": 24, "v_head_dim": 16, "layer_types": ["full_attention", "sliding_attention"], "sliding_window": 9,
         "mlp_layer_types": ["dense", "sparse"]},
        ({}, {"v_head_dim": 8, "attention_value_scale": 0.7}),
    ),
    (
        "LagunaForCausalLM",
        {**GROUPED, **ROUTED, "model_type": "laguna", "head_dim": 16, "num_experts": 8, "sliding_window": 8,
         "shared_expert_intermediate_size": 40, "num_attention_heads_per_layer": [4, 6],
         "layer_types": ["full_attention", "sliding_attention"], "mlp_layer_types": ["dense", "sparse"]},
        ({}, {"gating": "per-element"}),
    ),
    (
        "DiffLlamaForCausalLM",
        {**GROUPED, "model_type": "diffllama"},
        ({}, {"num_attention_heads": 8, "num_key_value_heads": 8}),
    ),
    ("ApertusForCausalLM", {**GROUPED, "model_type": "apertus"}, ({}, {"intermediate_size": 160})),
    ("AXK1ForCausalLM", {**GROUPED, **ROUTED, **LATENT, "model_type": "axk1"}, ({},)),
    (
        "NemotronHForCausalLM",
        {**GROUPED, **ROUTED, "model_type": "nemotron_h", "layers_block_type": ["attention", "moe", "attention", "moe"],
         "head_dim": 16, "n_routed_experts": 8, "n_shared_experts": 1, "moe_shared_expert_intermediate_size": 48,
         "moe_latent_size": 24, "num_hidden_layers": 4},
        ({}, {"moe_latent_size": 40}),
    ),
    (
        "Gemma4ForCausalLM",
        GEMMA,
        (
            {}, SHARED, {**SHARED, "use_double_wide_mlp": True},
            {"attention_k_eq_v": True, "num_global_key_value_heads": 1, "hidden_size_per_layer_input": 0},
            {"hidden_size_per_layer_input": 0, "enable_moe_block": True, "num_experts": 8, "top_k_experts": 2,
             "moe_intermediate_size": 32},
        ),
    ),
)  # fmt: skip
"""Whole models: their class, what they are, and what is changed of it, one after the other."""

UNFUSED = ("MiMoV2FlashForCausalLM", "AXK1ForCausalLM")
"""Models whose attention the fused kernel of a CPU cannot compute: with sinks, or values of another width than keys."""


class Flash(torch.autograd.Function):
    """What flash_attn_func keeps of [batch, positions, heads, width]."""

    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """An output of the right shape, of no meaning."""
        out = q.new_zeros(*q.shape[:3], v.shape[3])
        ctx.save_for_backward(q, k, v, out, torch.zeros(q.shape[0], q.shape[2], q.shape[1]))
        return out


class Normed(torch.autograd.Function):
    """What apex's fused RMSNorm keeps."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        """An output of the right shape, of no meaning."""
        ctx.save_for_backward(x, gain, torch.zeros(x.shape[:-1]))
        return torch.zeros_like(x)


class FusedRMSNorm(nn.Module):
    """apex.normalization.FusedRMSNorm."""

    def __init__(self, width: int, **_: Any) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the right shape."""
        return Normed.apply(x.contiguous(), self.gain)


def stand_ins(folder: str) -> tuple[type[nn.Module], type[nn.Module]]:
    """The authors' two layers, with what needs a GPU replaced."""
    package = ModuleType("diff")
    package.__path__ = [folder]
    modules = {
        "diff": package,
        "diff.kernel": ModuleType("diff.kernel"),
        "diff.kernel.rotary": SimpleNamespace(apply_rotary_emb=lambda x, *_, **__: x * 1.0),
        "flash_attn": SimpleNamespace(flash_attn_func=lambda q, k, v, **_: Flash.apply(q, k, v)),
        "apex": ModuleType("apex"),
        "apex.normalization": SimpleNamespace(FusedRMSNorm=FusedRMSNorm),
    }
    modules["kernel"], modules["kernel.rotary"] = modules["diff.kernel"], modules["diff.kernel.rotary"]
    sys.modules.update(modules)
    flash = importlib.import_module("diff.multihead_flashdiff_1").MultiheadFlashDiff1
    return flash, importlib.import_module("diff.multihead_diffattn").MultiheadDiffAttn


def record_pairs(folder: str) -> None:
    """One line for each shape of the authors' layers of heads in pairs, which they count in pairs."""
    flash, naive = stand_ins(folder)
    for d, pairs, kv_pairs in ((64, 4, 4), (128, 8, 2), (96, 3, 1)):
        for batch, length in SHAPES:
            for dtype, kind in DTYPES.items():
                args = SimpleNamespace(model_parallel_size=1, decoder_kv_attention_heads=kv_pairs)
                for attention in ("naive", "flash"):
                    layer = flash(args, d, 0, pairs) if attention == "flash" else naive(d, 0, pairs, kv_pairs)
                    layer.to(kind)
                    x = torch.randn(batch, length, d, dtype=kind, requires_grad=True)
                    shape = {"d_model": d, "heads": 2 * pairs, "kv_heads": 2 * kv_pairs, "attention": attention}
                    what = {"pairs": shape, "batch": batch, "length": length, "dtype": dtype}
                    line(what, kept(lambda layer=layer, x=x: layer(x, (None, None)), layer))


def record_models() -> None:
    """One line for each whole model, batch, length, format and kind of attention, loss included."""
    for name, base, changes in MODELS:
        for change in changes:
            config = {**base, **change, "architectures": [name]}
            for attention in ("eager",) if name in UNFUSED else ("eager", "sdpa"):
                for batch, length in SHAPES:
                    for dtype, kind in DTYPES.items():
                        record_model(name, config, attention, batch, length, dtype, kind)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    record_models()
    record_pairs(sys.argv[1])  # last: what stands in for packages would be found by those who look for them
