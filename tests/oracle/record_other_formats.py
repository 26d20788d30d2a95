"""Counts what other programs build from the files that they read: their own classes, on the meta device.

`python tests/oracle/record_other_formats.py SOURCES > tests/oracle/other_formats.jsonl` needs `torch` 2.13.0, `litgpt` 0.5.13,
`simple_parsing` and `einops`, and in the folder SOURCES the repositories meta-llama/llama-models (a9c89c4), mistralai/mistral-inference
(2557e12), deepseek-ai/DeepSeek-V3 (9b4e978), karpathy/nanoGPT (3adf61e) and state-spaces/mamba (e9594ce) under their names
with + for /. It knows nothing of tscale. What their modules import of kernels that run on a GPU is put in place by empty
modules; fairscale's layers, cut over devices, by the plain ones that they are on a single device.

Each line holds the `program`, what was `changed` in the file, the file, and the parameters of the class, tied ones once.
Parameters that hold scales of 8-bit weights are left out, and so is what is not trained.
"""

# mypy: ignore-errors
# torch and the programs are installed only where this is run
from __future__ import annotations

import importlib
import io
import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import torch
from torch import nn

SOURCES = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()


def main() -> None:
    """Prints a line a file."""
    for program, (build, base, changes) in PROGRAMS.items():
        model = build()
        for change in [{}, *changes]:
            config = {key: value for key, value in (base | change).items() if value is not ...}
            with torch.device("meta"), redirect_stdout(io.StringIO()):
                total = counted(model(json.loads(json.dumps(config))))
            changed = ", ".join(change) or "nothing"
            print(json.dumps({"program": program, "changed": changed, "config": config, "total": total}), flush=True)


def counted(model: nn.Module) -> int:
    """Parameters, tied ones once; buffers, and scales of weights, are none."""
    return sum(value.numel() for name, value in model.named_parameters() if not name.endswith(".scale"))


# ---- what stands in place of what only a GPU has ----


def stubbed(*names: str) -> None:
    """Empty modules under some names."""
    for name in names:
        sys.modules[name] = MagicMock(name=name, __spec__=None)


class _Linear(nn.Linear):
    def __init__(self, d_in: int, d_out: int, bias: bool = True, **_: object) -> None:
        super().__init__(d_in, d_out, bias=bias)


class _Embedding(nn.Embedding):
    def __init__(self, rows: int, width: int, **_: object) -> None:
        super().__init__(rows, width)


def fairscale() -> None:
    """Its layers on one device."""
    names = (
        "",
        ".nn",
        ".nn.model_parallel",
        ".nn.model_parallel.initialize",
        ".nn.model_parallel.layers",
        ".nn.model_parallel.mappings",
    )
    for name in names:
        sys.modules[f"fairscale{name}"] = ModuleType(f"fairscale{name}")
    initialize = sys.modules["fairscale.nn.model_parallel.initialize"]
    initialize.get_model_parallel_world_size = lambda: 1
    layers = sys.modules["fairscale.nn.model_parallel.layers"]
    layers.ColumnParallelLinear = layers.RowParallelLinear = _Linear
    layers.VocabParallelEmbedding = _Embedding
    sys.modules["fairscale.nn.model_parallel.mappings"].reduce_from_model_parallel_region = lambda x: x
    for name in names[1:]:
        outer, _, last = f"fairscale{name}".rpartition(".")
        setattr(sys.modules[outer], last, sys.modules[f"fairscale{name}"])


def source(repository: str, *inner: str) -> None:
    """Makes the modules of a repository importable."""
    sys.path.insert(0, str(SOURCES.joinpath(repository, *inner)))


# ---- the programs ----

Build = Callable[[dict], nn.Module]
"""From a file to the model that its program builds."""


def llama3() -> Build:
    """Llama 1 to 3."""
    fairscale()
    source("meta-llama+llama-models")
    args = importlib.import_module("models.llama3.args").ModelArgs
    model = importlib.import_module("models.llama3.model").Transformer
    return lambda config: model(args(**config))


def llama4() -> Build:
    """Llama 4's text model."""
    fairscale()
    source("meta-llama+llama-models")
    torch.Tensor.cuda = lambda self, *_: self
    args = importlib.import_module("models.llama4.args").ModelArgs
    model = importlib.import_module("models.llama4.model").Transformer
    return lambda config: model(args(**config))


def mistral() -> Build:
    """Mistral's dense models and Mixtral."""
    stubbed("xformers", "xformers.ops", "xformers.ops.fmha", "xformers.ops.fmha.attn_bias")
    source("mistralai+mistral-inference", "src")
    args = importlib.import_module("mistral_inference.args").TransformerArgs
    model = importlib.import_module("mistral_inference.transformer").Transformer
    return lambda config: model(args.from_dict(config, drop_extra_fields=True))


def mamba() -> Build:
    """Mamba 1 and 2."""
    stubbed(
        "triton", "triton.language", "causal_conv1d", "causal_conv1d_cuda", "causal_conv1d.causal_conv1d_varlen",
        "causal_conv1d.causal_conv1d_interface", "causal_conv1d.cpp_functions", "selective_scan_cuda",
        "mamba_ssm.ops.selective_scan_interface", "mamba_ssm.ops.triton.selective_state_update",
        "mamba_ssm.ops.triton.ssd_combined", "mamba_ssm.modules.mamba3", "mamba_ssm.ops.triton.softplus",
    )  # fmt: skip
    norm = sys.modules["mamba_ssm.ops.triton.layer_norm"] = ModuleType("mamba_ssm.ops.triton.layer_norm")
    gated = sys.modules["mamba_ssm.ops.triton.layernorm_gated"] = ModuleType("mamba_ssm.ops.triton.layernorm_gated")

    class RMSNorm(nn.RMSNorm):
        def __init__(self, width: int, eps: float = 1e-5, **_: object) -> None:
            super().__init__(width, eps=eps)

    norm.RMSNorm = gated.RMSNorm = RMSNorm
    norm.layer_norm_fn = norm.rms_norm_fn = lambda *_: None
    source("state-spaces+mamba")
    args = importlib.import_module("mamba_ssm.models.config_mamba").MambaConfig
    model = importlib.import_module("mamba_ssm.models.mixer_seq_simple").MambaLMHeadModel
    return lambda config: model(args(**config))


def deepseek() -> Build:
    """DeepSeek-V2 and V3; the bias by which experts are chosen is a parameter of its own there."""
    stubbed("kernel")
    source("deepseek-ai+DeepSeek-V3", "inference")
    module = importlib.import_module("model")

    def build(config: dict) -> nn.Module:
        found = module.Transformer(module.ModelArgs(**config))
        for name, _ in list(found.named_modules()):
            gate = found.get_submodule(name)
            if name.endswith(".gate") and getattr(gate, "bias", None) is not None:
                gate.bias = None
        return found

    return build


def nanogpt() -> Build:
    """GPT-2 as nanoGPT has it."""
    sys.modules.pop("model", None)
    sys.path = [path for path in sys.path if "DeepSeek" not in path]
    source("karpathy+nanoGPT")
    module = importlib.import_module("model")
    return lambda config: module.GPT(module.GPTConfig(**config))


def litgpt() -> Build:
    """One class for all of its architectures; what its package imports beside that is not needed."""
    home = str(Path(find_spec("litgpt").origin).parent)
    package = sys.modules["litgpt"] = ModuleType("litgpt")
    package.__path__ = [home]
    stubbed("litgpt.scripts", "litgpt.scripts.convert_hf_checkpoint")
    config_of, model = importlib.import_module("litgpt.config").Config, importlib.import_module("litgpt.model").GPT
    return lambda config: model(config_of(**config))


def each(base: dict, **values: tuple) -> list[dict]:
    """The changes of one key each, to each of some values."""
    return [{key: value} for key, several in values.items() for value in several]


_LLAMA = {
    "dim": 512,
    "n_layers": 2,
    "n_heads": 8,
    "n_kv_heads": 4,
    "vocab_size": 1000,
    "multiple_of": 96,
    "norm_eps": 1e-5,
}
_LLAMA4 = _LLAMA | {
    "ffn_dim_multiplier": 1.2, "ffn_exp": 4.0, "n_layers": 4, "nope_layer_interval": 4, "attention_chunk_size": 64, "use_qk_norm": True,
    "moe_args": {"num_experts": 4, "capacity_factor": 1.0, "auto_scale_F": True, "top_k": 1, "interleave_moe_layer_step": 1},
}  # fmt: skip
_MISTRAL = {
    "dim": 512, "n_layers": 2, "head_dim": 48, "hidden_dim": 768, "n_heads": 8, "n_kv_heads": 4, "norm_eps": 1e-5,
    "vocab_size": 1000,
}  # fmt: skip
_MAMBA = {
    "d_model": 256, "n_layer": 2, "vocab_size": 1001, "ssm_cfg": {}, "rms_norm": True, "residual_in_fp32": True,
    "fused_add_norm": True, "pad_vocab_size_multiple": 8,
}  # fmt: skip
_DEEPSEEK = {
    "vocab_size": 1000, "dim": 512, "inter_dim": 768, "moe_inter_dim": 96, "n_layers": 4, "n_dense_layers": 1, "n_heads": 4,
    "n_routed_experts": 8, "n_shared_experts": 2, "n_activated_experts": 2, "route_scale": 1.0, "q_lora_rank": 0,
    "kv_lora_rank": 64, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 48, "mscale": 0.7,
}  # fmt: skip
_NANOGPT = {
    "n_layer": 3,
    "n_head": 4,
    "n_embd": 128,
    "block_size": 64,
    "bias": True,
    "vocab_size": 1000,
    "dropout": 0.1,
}
_LITGPT = {
    "name": "x", "hf_config": {}, "block_size": 128, "n_layer": 3, "n_embd": 128, "vocab_size": 1000, "padding_multiple": 512,
    "padded_vocab_size": 1024, "norm_class_name": "LayerNorm", "n_head": 4, "mlp_class_name": "GptNeoxMLP",
}  # fmt: skip
_LIT_LLAMA = {
    "mlp_class_name": "LLaMAMLP", "norm_class_name": "RMSNorm", "bias": False, "parallel_residual": False, "intermediate_size": 200,
    "n_query_groups": 2,
}  # fmt: skip
_LIT_MOE = _LIT_LLAMA | {
    "mlp_class_name": "LLaMAMoE",
    "n_expert": 4,
    "n_expert_per_token": 2,
    "moe_intermediate_size": 72,
}
_LATENT = {"q_lora_rank": 24, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 24}

PROGRAMS = {
    "llama3": (llama3, _LLAMA, each(
        _LLAMA, dim=(768,), n_layers=(3,), n_heads=(16,), n_kv_heads=(8, None, ...), vocab_size=(2000,), multiple_of=(256, 1000),
        ffn_dim_multiplier=(1.3, 1.5, 0.7, None), use_scaled_rope=(True,), rope_theta=(500000.0,),
    )),
    "llama4": (llama4, _LLAMA4, each(
        _LLAMA4, dim=(768,), n_layers=(8,), n_heads=(16,), n_kv_heads=(8,), vocab_size=(2000,), multiple_of=(256,),
        ffn_dim_multiplier=(1.3, 0.7), ffn_exp=(2.5,), nope_layer_interval=(None, 2), attention_chunk_size=(None, 32),
        use_qk_norm=(False,), moe_args=(
            _LLAMA4["moe_args"] | {"num_experts": 16}, _LLAMA4["moe_args"] | {"interleave_moe_layer_step": 2},
            _LLAMA4["moe_args"] | {"auto_scale_F": False}, _LLAMA4["moe_args"] | {"capacity_factor": 2.0},
            _LLAMA4["moe_args"] | {"top_k": 2}, {"num_experts": 8},
        ),
    )),
    "mistral": (mistral, _MISTRAL, each(
        _MISTRAL, dim=(768,), n_layers=(3,), head_dim=(64,), hidden_dim=(1000,), n_heads=(16,), n_kv_heads=(2,), vocab_size=(2000,),
        sliding_window=(4096, [64, None]), rope_theta=(1e6,), moe=({"num_experts": 4, "num_experts_per_tok": 2},),
        model_type=("transformer",),
    )),
    "mamba": (mamba, _MAMBA, each(
        _MAMBA, d_model=(384,), n_layer=(3,), vocab_size=(1000, 2003), pad_vocab_size_multiple=(16, 1), tie_embeddings=(True, False),
        ssm_cfg=(
            {"layer": "Mamba1"}, {"layer": "Mamba2"}, {"layer": "Mamba2", "ngroups": 2}, {"layer": "Mamba2", "headdim": 32},
            {"layer": "Mamba2", "d_state": 64, "chunk_size": 128}, {"layer": "Mamba2", "expand": 4}, {"d_state": 8}, {"expand": 3},
            {"d_conv": 3}, {"dt_rank": 7}, {"conv_bias": False}, {"bias": True}, {"layer": "Mamba2", "bias": True},
        ),
    )),
    "deepseek": (deepseek, _DEEPSEEK, [{"dim": 7168, "score_func": "sigmoid"}, *each(
        _DEEPSEEK, vocab_size=(2000,), dim=(256,), inter_dim=(1000,), moe_inter_dim=(100,), n_layers=(5,), n_dense_layers=(0, 3),
        n_heads=(8,), n_routed_experts=(16,), n_shared_experts=(1, 3), n_activated_experts=(4,), q_lora_rank=(96,),
        kv_lora_rank=(80,), qk_nope_head_dim=(48,), qk_rope_head_dim=(32,), v_head_dim=(40,), score_func=("sigmoid",),
        n_expert_groups=(4,), dtype=("bf16",),
    )]),
    "nanogpt": (nanogpt, _NANOGPT, each(
        _NANOGPT, n_layer=(5,), n_head=(8,), n_embd=(256,), block_size=(128,), bias=(False,), vocab_size=(2000,), dropout=(0.0,),
    )),
    "litgpt": (litgpt, _LITGPT, each(
        _LITGPT, block_size=(64,), n_layer=(4,), n_embd=(256,), padded_vocab_size=(1536,), n_head=(8,), head_size=(48,),
        n_query_groups=(2, 1), attn_bias=(True,), bias=(False,), lm_head_bias=(True,), norm_class_name=("RMSNorm",), name=("OLMo-1B",),
        parallel_residual=(False,), shared_attention_norm=(True,), mlp_class_name=("GemmaMLP",), intermediate_size=(300,),
        norm_qk=(True,), rotary_percentage=(0.5,), rope_base=(5000,),
    ) + [{"bias": False, "attn_bias": True}, {"norm_qk": True, "norm_qk_type": "olmo2"}, _LIT_LLAMA]
      + [_LIT_LLAMA | more for more in (
          {"norm_qk": True}, {"norm_qk": True, "norm_qk_type": "olmo2"}, {"bias": True}, {"attn_bias": True}, {"head_size": 64},
          {"post_attention_norm": True, "post_mlp_norm": True},
          {"norm_1": False, "norm_2": False, "post_attention_norm": True, "post_mlp_norm": True},
          {"sliding_window_size": 16}, {"sliding_window_size": 16, "sliding_window_indices": [1, 0, 1]},
          {"shared_attention_norm": True, "parallel_residual": True}, {"latent_attention": _LATENT, "n_query_groups": 4},
      )]
      + [_LIT_MOE | more for more in (
          {}, {"n_expert": 8}, {"n_shared_expert": 2}, {"first_k_dense_replace": 1}, {"moe_intermediate_size": None}, {"bias": True},
          {"n_expert_groups": 2, "n_topk_groups": 1, "n_topk_scores_per_group": 1},
      )]),
}  # fmt: skip
"""How each is imported, a file of it, and the changes of one key that are tried (`...`: the key is dropped)."""


if __name__ == "__main__":
    main()
