"""Counts random configurations of the most used families, several fields changed at once, as `record.py` counts single ones.

`python tests/oracle/record_random.py [FAMILY ...] > tests/oracle/random.jsonl` needs `transformers` 5.23.0 and `torch` 2.13.0. The
values are those that `record.py` gives each field alone; a configuration that the class refuses is left out. Each line
holds `changed` (the fields), `config`, `total` and `flops` of 70 positions, null where the class cannot run without memory.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import json
import logging
import random
import sys

import record
from record import built, variations
from record_built_ins import of_two_stacks
from record_mixers import flops

FAMILIES = {
    record.AutoModelForCausalLM: "llama mistral qwen2 qwen3 gemma gemma2 gemma3_text phi phi3 gpt2 gpt_neox gpt_oss opt bloom "
    "falcon mixtral qwen2_moe qwen3_moe deepseek_v2 deepseek_v3 olmo2 granite cohere stablelm",
    record.AutoModelForMaskedLM: "bert roberta",
    record.AutoModelForSeq2SeqLM: "t5 bart",
}
EACH = 24
"""Configurations of a family."""
MOST = 5
"""Fields that one changes."""
LARGEST = 60_000_000_000
"""Parameters past which a configuration is left out: several fields doubled at once grow fast."""


def main() -> None:
    """Writes the lines of each family, the same ones every time."""
    logging.disable(logging.WARNING)
    for usual, families in FAMILIES.items():
        for family in families.split():
            if not sys.argv[1:] or family in sys.argv[1:]:
                record_family(family, usual)


def record_family(family: str, usual: type) -> None:
    """Writes EACH configurations of one family, if the class accepts as many of the first several hundred."""
    rng = random.Random(family)  # noqa: S311  # the same lines every time
    written, base = 0, None
    values: dict[str, list] = {}
    for changed, config in variations(family, usual):
        if changed in ("nothing", "nothing, saved", "architectures"):
            continue
        base = base or {key: value for key, value in config.items() if key != changed}
        values.setdefault(changed, []).append(config[changed])
    for _ in range(600):
        keys = rng.sample(sorted(values), rng.randint(2, MOST))
        config = {**base, **{key: rng.choice(values[key]) for key in keys}}
        try:
            line = counted(config, keys)
        except Exception:  # noqa: BLE001, S112  # whatever it raises, there is nothing to compare with
            continue
        if line["total"] < LARGEST:
            print(json.dumps(line), flush=True)
            written += 1
        if written == EACH:
            return


def counted(config: dict, keys: list[str]) -> dict:
    """One configuration, counted."""
    model = built(config).eval()
    total = sum(p.numel() for p in model.parameters())
    two = model.config.is_encoder_decoder
    return {
        "changed": sorted(keys),
        "config": config,
        "total": total,
        "flops": of_two_stacks(model) if two else flops(model, model.config.model_type),
    }


if __name__ == "__main__":
    main()
