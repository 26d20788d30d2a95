"""Counts a family that transformers has given up, each size changed alone, on the meta device.

`PYTHONPATH=TF449 python tests/oracle/record_retired.py >> tests/oracle/variations_further.jsonl` needs `torch` 2.13.0 and
`transformers` 4.49.0 in the folder TF449. XLM-ProphetNet went with the deprecated models; its classes are those of ProphetNet, but that
both stacks have one table of words whatever `tie_word_embeddings` says.
"""

# mypy: ignore-errors
# torch and transformers are installed only where this is run
from __future__ import annotations

import json

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.deprecated.xlm_prophetnet import modeling_xlm_prophetnet as models
from transformers.models.deprecated.xlm_prophetnet.configuration_xlm_prophetnet import XLMProphetNetConfig

LENGTH, SHORT, LONG = 70, 63, 127
SIZES = {
    "vocab_size": 1000,
    "hidden_size": 192,
    "num_encoder_layers": 3,
    "num_decoder_layers": 2,
    "num_encoder_attention_heads": 4,
    "num_decoder_attention_heads": 6,
    "encoder_ffn_dim": 256,
    "decoder_ffn_dim": 320,
}
FURTHER = (
    "max_position_embeddings",
    "ngram",
    "num_buckets",
    "relative_max_distance",
    "disable_ngram_loss",
    "use_cache",
)
HEADS = ("ForConditionalGeneration", "Model", "ForCausalLM", "Encoder", "Decoder")


def main() -> None:
    """Writes one line for each change, and for each class."""
    defaults = XLMProphetNetConfig().to_dict()
    write("nothing", {})
    write("nothing, saved", XLMProphetNetConfig(**SIZES).to_dict())
    for key in (*SIZES, *FURTHER):
        value = SIZES.get(key, defaults[key])
        for other in (not value,) if isinstance(value, bool) else (value * 2, value // 2):
            write(key, {key: other})
    for head in HEADS:
        write("architectures", {}, head)
        write("ngram and num_buckets", {"ngram": 5, "num_buckets": 7}, head)
        write("tie_word_embeddings", {"tie_word_embeddings": False, "ngram": 3}, head)


def write(changed: str, changes: dict, head: str = HEADS[0]) -> None:
    """One configuration, counted."""
    said = SIZES | {key: value for key, value in changes.items() if key != "model_type"}
    with torch.device("meta"):
        model = getattr(models, f"XLMProphetNet{head}")(XLMProphetNetConfig(**said)).eval()
    line = {
        "changed": changed,
        "config": {"model_type": "xlm-prophetnet", **said, "architectures": [f"XLMProphetNet{head}"]},
        "total": sum(p.numel() for p in model.parameters()),
        "frozen": 0,
        "flops": flops(model, head),
        "active": None,
        "cache": {"short": kept(model, SHORT), "long": kept(model, LONG)} if head == "ForCausalLM" else None,
    }
    print(json.dumps(line))


def words(length: int) -> torch.Tensor:
    """A sequence of one word over and over."""
    return torch.full((1, length), 5, device="meta")


def flops(model: torch.nn.Module, head: str) -> int:
    """Forward FLOPs; both stacks read as many words."""
    more = {} if head == "Encoder" else {"use_cache": False}
    if head in ("ForConditionalGeneration", "Model"):
        more["decoder_input_ids"] = words(LENGTH)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=words(LENGTH), **more)
    return counter.get_total_flops()


def kept(model: torch.nn.Module, length: int) -> int:
    """Numbers in the cache of so many words."""
    with torch.no_grad():
        cache = model(input_ids=words(length), use_cache=True).past_key_values
    return sum(tensor.numel() for layer in cache for tensor in layer if tensor is not None)


if __name__ == "__main__":
    main()
