"""Records what PyTorch's autograd keeps of a small Llama of transformers in 16 bits, whole and with peft's adapters beside frozen weights.

Run with torch 2.13.0, transformers 5.24.0 and peft: python tests/oracle/record_activations_adapters.py > tests/oracle/activations_adapters.jsonl
"""
# mypy: ignore-errors

from __future__ import annotations

import json

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

SHAPE = {"hidden_size": 128, "intermediate_size": 320, "num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 512}  # fmt: skip
TARGETS = {
    "": [], "q,v": ["q_proj", "v_proj"], "all": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
}  # fmt: skip


def kept(targets: list[str], batch: int, length: int) -> int:
    """Bytes of distinct storages that a forward pass saves, parameters, buffers and tables of sines left out."""
    model = LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=False, attn_implementation="sdpa"))
    model = model.to(torch.bfloat16)
    if targets:
        how = LoraConfig(r=8, target_modules=targets, lora_dropout=0.0)
        model = get_peft_model(model, how, autocast_adapter_dtype=False)
    model.train()
    own = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    held, found = [], {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own and tuple(tensor.shape) != (1, 1, length, SHAPE["head_dim"]):
            held.append(tensor)
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    table = model.get_input_embeddings()
    tokens = torch.randint(0, SHAPE["vocab_size"], (batch, length))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        vectors = table(tokens)
        model(inputs_embeds=vectors.detach().requires_grad_() if targets else vectors)  # as gradient checkpointing asks
    return sum(found.values())


if __name__ == "__main__":
    for name, targets in TARGETS.items():
        for batch, length in ((2, 64), (1, 96)):
            print(
                json.dumps({"targets": name, "batch": batch, "length": length, "bytes": kept(targets, batch, length)})
            )
