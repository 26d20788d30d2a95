"""Names the modules that peft can adapt in each family's language model, and counts what it trains on all of them, on the meta device.

`python tests/oracle/record_modules.py MODULES.json > tests/oracle/adapter_modules.jsonl` needs `transformers` 5.24.0, `torch` and `peft` 0.21.2;
it knows nothing of tscale. MODULES.json is `src/tscale/importer/modules.json`: by family the names of its linear modules but for the head,
with {} for the number of a layer, where all layers have the same. Each line holds a small configuration and, by target_modules, the
parameters that adapters of rank 4 train.
"""

# mypy: ignore-errors
# transformers, torch and peft are installed only where this is run
from __future__ import annotations

import json
import re
import sys
import warnings
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, get_peft_model
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.pytorch_utils import Conv1D

SMALL = {
    "vocab_size": 512, "hidden_size": 256, "d_model": 256, "n_embd": 256, "num_hidden_layers": 3, "n_layer": 3, "n_layers": 3, "num_layers": 3,
    "num_attention_heads": 8, "n_head": 8, "n_heads": 8, "num_heads": 8, "num_key_value_heads": 2, "head_dim": 48, "intermediate_size": 448,
    "ffn_dim": 448, "n_inner": 448, "word_embed_proj_dim": 256, "pad_token_id": 0, "num_experts": 4, "num_local_experts": 4,
    "n_routed_experts": 4, "moe_intermediate_size": 96, "num_experts_per_tok": 2,
}  # fmt: skip
"""Sizes that differ where they can, in the names that families have for them."""


def main(path: str) -> None:
    """Writes the names, and prints a line a family."""
    warnings.simplefilter("ignore")
    named = {}
    for family in sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
        try:
            model = small(family)
            modules = modules_of(model)
            if not modules:
                continue
            named[family] = modules
            config = json.loads(model.config.to_json_string())
            ends = sorted({name.rpartition(".")[2] for name in modules})
            tried = ["all-linear", ends[0], ends[-1], *([] if len(ends) < 3 else [ends[1]])]
            trained = {each: count(family, each if each == "all-linear" else [each]) for each in dict.fromkeys(tried)}
            half = rf".*\.[02]\..*\.({'|'.join(ends[:2])})"
            trained[half] = count(family, half)
        except Exception as error:  # noqa: BLE001 - a family that cannot be built small is left out
            print(family, type(error).__name__, str(error)[:90], file=sys.stderr)
            continue
        print(json.dumps({"config": config, "trained": trained}), flush=True)
    Path(path).write_text(json.dumps(named, indent=0) + "\n")


def small(family: str) -> torch.nn.Module:
    """A small language model of a family."""
    own = transformers.CONFIG_MAPPING[family]()
    values = {key: value for key, value in SMALL.items() if hasattr(own, key)}
    for change in (values, {key: value for key, value in values.items() if key != "head_dim"}):
        try:
            config = transformers.CONFIG_MAPPING[family](**change)
            with torch.device("meta"):
                return transformers.AutoModelForCausalLM.from_config(config)
        except Exception as error:  # noqa: BLE001 - tried again without a width of heads
            last = error
    raise last


def modules_of(model: torch.nn.Module) -> list[str]:
    """The names of linear modules but for the head; nothing where layers differ in them."""
    head = model.get_output_embeddings()
    found: dict[str, set[str]] = {}
    for name, module in model.named_modules():
        if isinstance(module, (torch.nn.Linear, Conv1D)) and module is not head:
            found.setdefault(re.sub(r"\.\d+\.", ".{}.", name, count=1), set()).update(
                re.findall(r"\.(\d+)\.", name)[:1]
            )
    numbers = {frozenset(each) for each in found.values()}
    return list(found) if len(numbers) == 1 and all("{}" in name for name in found) else []


def count(family: str, targets: str | list[str]) -> int | None:
    """What adapters of rank 4 train; None where peft finds nothing to adapt."""
    try:
        model = get_peft_model(small(family), LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM"))
    except ValueError:
        return None
    return sum(value.numel() for value in model.parameters() if value.requires_grad)


if __name__ == "__main__":
    main(sys.argv[1])
