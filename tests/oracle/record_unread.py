"""Counts each family's usual class with every key set that only other families read, on the meta device.

`python tests/oracle/record_unread.py > tests/oracle/unread.jsonl` needs `transformers` 5.24.0 and `torch` 2.13.0. Each line holds the configuration
without those keys, and the parameters of the class that was built with them: a key which `keys.json` lacks and which the
class reads after all would show as a difference from the count without it, and as an error in most cases.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import transformers

HERE = Path(__file__).parent
NUMBER = 3
"""What each key is set to."""


def main() -> None:
    """Prints a line a family."""
    transformers.logging.set_verbosity_error()
    table = json.loads((HERE.parents[1] / "src" / "tscale" / "importer" / "keys.json").read_text(encoding="utf-8"))
    table.pop("transformers")
    keys = {name: set(words.split()) for name, words in table.items()}
    every = keys.pop("every family")
    seen = set()
    for file in sorted(HERE.glob("variations*.jsonl")):
        for line in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            family = line["config"].get("model_type")
            if line["changed"] != "nothing" or family in seen or family not in keys:
                continue
            seen.add(family)
            unread = set().union(*keys.values()) - keys[family] - every - set(vars(transformers.GenerationConfig()))
            try:
                total = counted(line["config"], dict.fromkeys(sorted(unread), NUMBER))
            except Exception as error:  # noqa: BLE001 (it is looked at by whoever runs this)
                print(family, type(error).__name__, str(error)[:200], file=sys.stderr)
                continue
            if total != line["total"]:
                print(family, total, line["total"], file=sys.stderr)
            print(json.dumps({"config": line["config"], "total": total}), flush=True)


def counted(config: dict, unread: dict) -> int:
    """Parameters of the class that a configuration names, tied ones once."""
    cls = getattr(transformers, config["architectures"][0])
    values = {key: value for key, value in config.items() if key not in ("model_type", "architectures")}
    with torch.device("meta"):
        model = cls(transformers.CONFIG_MAPPING[config["model_type"]](**(unread | values)))
    return sum(parameter.numel() for parameter in model.parameters())


if __name__ == "__main__":
    main()
