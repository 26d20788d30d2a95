"""Records what autograd keeps of a forward pass, for plain blocks and for whole small models of transformers.

`python tests/oracle/record_activations.py > tests/oracle/activations.jsonl` needs `transformers` 5.23.0 and `torch` 2.13.0;
it knows nothing of tscale. Each line holds a configuration, a batch, a length, a number format and a kind of attention, the
bytes of the distinct storages that `torch.autograd.graph.saved_tensors_hooks` was given, parameters left out, and those
storages, one shape and format a key.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
import transformers
from torch import nn
from torch.nn import functional
from transformers import CONFIG_MAPPING

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SHAPES = ((1, 16), (2, 48))
"""Batches and lengths."""

NO_DROPOUT = {"attention_dropout": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0}
BERT_NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
SMALL = {"vocab_size": 128, "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2}
GROUPED = {**SMALL, "num_key_value_heads": 2, "intermediate_size": 96, "tie_word_embeddings": False}
EXPERTS = {"moe_intermediate_size": 32, "num_experts": 8, "num_experts_per_tok": 2, "output_router_logits": False}

MODELS: dict[str, dict[str, Any]] = {
    "GPT2LMHeadModel": {
        "model_type": "gpt2", "vocab_size": 128, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64, **NO_DROPOUT,
    },
    "LlamaForCausalLM": {"model_type": "llama", **GROUPED},
    "Qwen3ForCausalLM": {"model_type": "qwen3", **GROUPED, "head_dim": 24},
    "MixtralForCausalLM": {"model_type": "mixtral", **GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2},
    "Qwen3MoeForCausalLM": {"model_type": "qwen3_moe", **GROUPED, **EXPERTS, "head_dim": 16, "norm_topk_prob": True},
    "Qwen2MoeForCausalLM": {"model_type": "qwen2_moe", **GROUPED, **EXPERTS, "shared_expert_intermediate_size": 80},
    "DeepseekV3ForCausalLM": {
        "model_type": "deepseek_v3", **SMALL, "intermediate_size": 96, "moe_intermediate_size": 32, "n_routed_experts": 8,
        "n_shared_experts": 1, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1,
        "q_lora_rank": 24, "kv_lora_rank": 16, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16,
        "num_key_value_heads": 4, "tie_word_embeddings": False,
    },
    "CohereForCausalLM": {"model_type": "cohere", **GROUPED, "tie_word_embeddings": True},
    "Olmo2ForCausalLM": {"model_type": "olmo2", **GROUPED},
    "GptOssForCausalLM": {
        "model_type": "gpt_oss", **GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 16,
        "attention_dropout": 0.0, "layer_types": ["sliding_attention", "full_attention"], "sliding_window": 8,
        "output_router_logits": False,
    },
    "GPTNeoXForCausalLM": {
        "model_type": "gpt_neox", **SMALL, "intermediate_size": 256, "hidden_dropout": 0.0, "attention_dropout": 0.0,
        "hidden_act": "gelu", "tie_word_embeddings": False,
    },
    "PhiForCausalLM": {
        "model_type": "phi", **SMALL, "intermediate_size": 256, "hidden_act": "gelu", "tie_word_embeddings": False,
        "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attention_dropout": 0.0,
    },
    "Gemma2ForCausalLM": {
        "model_type": "gemma2", **GROUPED, "head_dim": 16, "tie_word_embeddings": True, "sliding_window": 8,
        "hidden_activation": "gelu_pytorch_tanh",
    },
    "T5ForConditionalGeneration": {
        "model_type": "t5", "vocab_size": 128, "d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_heads": 4,
        "num_decoder_layers": 3, "dropout_rate": 0.0, "feed_forward_proj": "relu", "tie_word_embeddings": True,
        "decoder_start_token_id": 0, "pad_token_id": 0,
    },
    "BertForPreTraining": {
        "model_type": "bert", **SMALL, "intermediate_size": 256, **BERT_NO_DROPOUT, "hidden_act": "gelu",
    },
    "BertForMaskedLM": {"model_type": "bert", **SMALL, "intermediate_size": 256, **BERT_NO_DROPOUT, "hidden_act": "gelu"},
}  # fmt: skip
"""Whole models, by class."""

CHANGES: dict[str, tuple[dict[str, Any], ...]] = {
    "GPT2LMHeadModel": (
        {}, {"n_layer": 3}, {"n_embd": 96}, {"activation_function": "gelu"}, {"activation_function": "relu"},
        {"attn_pdrop": 0.1, "resid_pdrop": 0.1, "embd_pdrop": 0.1, "activation_function": "gelu"},
    ),
    "LlamaForCausalLM": (
        {}, {"num_hidden_layers": 3}, {"hidden_size": 96}, {"intermediate_size": 160}, {"num_key_value_heads": 4},
        {"hidden_act": "gelu"},
    ),
    "DeepseekV3ForCausalLM": ({}, {"num_hidden_layers": 3}, {"q_lora_rank": None}),
}  # fmt: skip
"""What is changed of them, one at a time; nothing where absent."""


UNFUSED = ("GptOssForCausalLM", "Gemma2ForCausalLM", "T5ForConditionalGeneration")
"""Models whose attention the fused kernel of a CPU cannot compute: with sinks, clipped logits, or a bias."""


class Block(nn.Module):
    """One pre-norm layer of plain torch: every operation one that its own library fuses, as a training framework would."""

    def __init__(self, shape: dict[str, Any]) -> None:
        super().__init__()
        self.shape = shape
        d, heads, kv_heads, d_ff = (shape[key] for key in ("d_model", "heads", "kv_heads", "d_ff"))
        width = d // heads
        self.norms = nn.ModuleList(nn.LayerNorm(d) if shape["norm"] == "layernorm" else nn.RMSNorm(d) for _ in "12")
        self.q, self.o = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.k, self.v = (nn.Linear(d, kv_heads * width, bias=False) for _ in "kv")
        self.up, self.down = nn.Linear(d, d_ff, bias=False), nn.Linear(d_ff, d, bias=False)
        self.gate = nn.Linear(d, d_ff, bias=False) if shape["gated"] else None
        self.out_gate = nn.Linear(d, d, bias=False) if shape["out_gate"] else None
        self.out_norm = nn.RMSNorm(d) if shape["out_norm"] else None
        self.inner_norm = nn.RMSNorm(d_ff) if shape["inner_norm"] else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attention, then the feed-forward, each on its norm and added to the stream."""
        x = x + self.mixed(self.norms[0](x))
        normed = self.norms[1](x)
        act = {"gelu": functional.gelu, "silu": functional.silu}[self.shape["activation"]]
        inner = act(self.up(normed)) if self.gate is None else act(self.gate(normed)) * self.up(normed)
        inner = inner if self.inner_norm is None else self.inner_norm(inner)
        return x + self.dropped(self.down(inner))

    def dropped(self, x: torch.Tensor) -> torch.Tensor:
        """Dropout where there is any."""
        return functional.dropout(x, self.shape["dropout"]) if self.shape["dropout"] else x

    def mixed(self, x: torch.Tensor) -> torch.Tensor:
        """Softmax attention, by torch's own flash kernel or step by step."""
        batch, length, d = x.shape
        q, k, v = (
            part(x).view(batch, length, -1, d // self.shape["heads"]).transpose(1, 2)
            for part in (self.q, self.k, self.v)
        )
        groups = self.shape["heads"] // self.shape["kv_heads"]
        if self.shape["attention"] == "flash":
            out = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=groups > 1)
        else:
            k, v = (t if groups == 1 else t.repeat_interleave(groups, dim=1) for t in (k, v))
            scores = q @ k.transpose(2, 3)
            hidden = torch.full((length, length), float("-inf"), dtype=x.dtype).triu(1)
            out = self.dropped(torch.softmax(scores + hidden, dim=-1)) @ v
        out = out.transpose(1, 2).reshape(batch, length, d)
        out = out if self.out_norm is None else self.out_norm(out)
        return self.dropped(self.o(out if self.out_gate is None else out * torch.sigmoid(self.out_gate(x))))


def kept(forward: Callable[[], Any], module: nn.Module) -> Counter[str]:
    """Distinct storages that a forward pass keeps, by format and shape of storage; parameters and buffers left out."""
    owned = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers())}
    seen: dict[int, tuple[torch.Tensor, str]] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in owned and storage.data_ptr() not in seen:
            name = f"{str(tensor.dtype).removeprefix('torch.')} {storage.nbytes()} {list(tensor.shape)}"
            seen[storage.data_ptr()] = (tensor, name)  # held, so that no address comes twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()
    del result
    return Counter(name for _, name in seen.values())


def line(what: dict[str, Any], storages: Counter[str]) -> None:
    """Writes one record."""
    total = sum(int(name.split()[1]) * count for name, count in storages.items())
    print(json.dumps({**what, "bytes": total, "storages": dict(sorted(storages.items()))}))


def blocks() -> Iterator[dict[str, Any]]:
    """The shapes of the plain blocks."""
    base = {"d_model": 64, "heads": 4, "kv_heads": 4, "d_ff": 256, "gated": False, "activation": "gelu", "dropout": 0.0}
    base |= {"out_gate": False, "out_norm": False, "inner_norm": False}
    for change in (
        {"norm": "layernorm"},
        {"norm": "layernorm", "d_model": 128, "heads": 8, "kv_heads": 8, "d_ff": 512},
        {"norm": "rmsnorm", "kv_heads": 2, "gated": True, "activation": "silu", "d_ff": 160},
        {"norm": "rmsnorm", "kv_heads": 1, "d_ff": 96},
        {"norm": "layernorm", "out_gate": True, "kv_heads": 2},
        {"norm": "rmsnorm", "out_norm": True, "inner_norm": True, "d_ff": 96},
    ):
        for attention in ("naive", "flash"):
            yield {**base, **change, "attention": attention}
    yield {**base, "norm": "layernorm", "attention": "naive", "dropout": 0.1}


def record_blocks() -> None:
    """One line for each plain block, batch, length and format."""
    for shape in blocks():
        for batch, length in SHAPES:
            for dtype, kind in DTYPES.items():
                torch.manual_seed(0)
                block = Block(shape).to(kind)
                x = torch.randn(batch, length, shape["d_model"], dtype=kind, requires_grad=True)
                what = {"block": shape, "batch": batch, "length": length, "dtype": dtype}
                line(what, kept(lambda block=block, x=x: block(x), block))


def record_models() -> None:
    """One line for each whole model, batch, length, format and kind of attention, loss included."""
    for name, base in MODELS.items():
        for change in CHANGES.get(name, ({},)):
            config = {**base, **change, "architectures": [name]}
            dropout = any(isinstance(value, float) and value > 0 and "drop" in key for key, value in config.items())
            # with dropout, or with values of another width than keys, sdpa is no fused kernel on a CPU; gpt-oss has none
            unfused = dropout or "v_head_dim" in config or name in UNFUSED
            for attention in ("eager",) if unfused else ("eager", "sdpa"):
                for batch, length in SHAPES:
                    for dtype, kind in DTYPES.items():
                        record_model(name, config, attention, batch, length, dtype, kind)


def record_model(
    name: str, config: dict[str, Any], attention: str, batch: int, length: int, dtype: str, kind: torch.dtype
) -> None:
    """One line for one run of one model."""
    torch.manual_seed(0)
    settings = CONFIG_MAPPING[config["model_type"]].from_dict(config)
    settings._attn_implementation = attention
    settings.use_cache = False
    model = getattr(transformers, name)(settings).to(kind).train()
    tokens = torch.randint(4, 128, (batch, length))
    what = {"config": config, "attention": attention, "batch": batch, "length": length, "dtype": dtype}
    more = {"next_sentence_label": torch.zeros(batch, dtype=torch.long)} if name == "BertForPreTraining" else {}
    line(what, kept(lambda: model(input_ids=tokens, labels=tokens.clone(), **more).loss, model))


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    if sys.argv[1:] != ["models"]:
        record_blocks()
    if sys.argv[1:] != ["blocks"]:
        record_models()
