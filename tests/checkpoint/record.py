"""Writes the tiny checkpoints that the tests of `tscale verify` read, with the real library.

`python tests/checkpoint/record.py` needs `transformers` 5.23.0 and `torch` 2.13.0; it knows nothing of tscale and is not
part of a test run. Each model is saved by `save_pretrained` with all of its weights at zero: what is compared is headers.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
import transformers

HERE = Path(__file__).parent
SMALL = {"hidden_size": 8, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 24}
GROUPED = {**SMALL, "num_key_value_heads": 2, "max_position_embeddings": 16}
TIED, UNTIED = {"tie_word_embeddings": True}, {"tie_word_embeddings": False}

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama-tied": ("LlamaForCausalLM", {**GROUPED, **TIED}),
    "llama-untied": ("LlamaForCausalLM", {**GROUPED, **UNTIED}),
    "llama-sharded": ("LlamaForCausalLM", {**GROUPED, **UNTIED}),
    "qwen2": ("Qwen2ForCausalLM", {**GROUPED, **UNTIED}),
    "mistral": ("MistralForCausalLM", {**GROUPED, **UNTIED}),
    "gemma": ("GemmaForCausalLM", {**GROUPED, "head_dim": 4}),
    "phi3": ("Phi3ForCausalLM", {**GROUPED, "pad_token_id": 0, **UNTIED}),
    "gpt2": ("GPT2LMHeadModel", {"n_embd": 8, "n_layer": 2, "n_head": 4, "vocab_size": 24, "n_positions": 16}),
    "gpt-neox": ("GPTNeoXForCausalLM", {**SMALL, "max_position_embeddings": 16, **UNTIED}),
    "bert": ("BertForMaskedLM", {**SMALL, "max_position_embeddings": 16}),
    "t5": ("T5ForConditionalGeneration", {"d_model": 8, "d_kv": 2, "d_ff": 20, "num_layers": 2, "num_heads": 4, "vocab_size": 24}),
    "bart": (
        "BartForConditionalGeneration",
        {"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
         "encoder_ffn_dim": 20, "decoder_ffn_dim": 20, "vocab_size": 24, "max_position_embeddings": 16},
    ),
    "mamba": ("MambaForCausalLM", {"hidden_size": 8, "num_hidden_layers": 2, "state_size": 4, "vocab_size": 24}),
    "mixtral": ("MixtralForCausalLM", {**GROUPED, "num_local_experts": 4, **UNTIED}),
    "gpt-oss": ("GptOssForCausalLM", {**GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 4, **UNTIED}),
}  # fmt: skip


def main() -> None:
    """Writes a folder for each model: its config.json, its weights and their index."""
    for name, (cls, sizes) in MODELS.items():
        model_class = getattr(transformers, cls)
        model = model_class(model_class.config_class(**sizes)).to(torch.bfloat16)
        for parameter in model.parameters():
            parameter.data.zero_()
        folder = HERE / "checkpoints" / name
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder, **({"max_shard_size": "2KB"} if name.endswith("sharded") else {}))
        for file in folder.glob("generation_config.json"):
            file.unlink()


if __name__ == "__main__":
    main()
