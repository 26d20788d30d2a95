"""Counts the classes of transformers that classify sequences or tokens, on the meta device.

`python tests/oracle/record_heads.py > tests/oracle/heads.jsonl` needs `transformers` 5.24.0 and `torch` 2.13.0; it knows nothing of tscale. Each
line holds a family's configuration, the class that it names, three labels, and the parameters of that class.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import transformers
from transformers.models.auto import modeling_auto

HERE = Path(__file__).parent
LABELS = {str(number): f"LABEL_{number}" for number in range(3)}
TABLES = ("MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES", "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES")


def main() -> None:
    """Prints a line a family and class."""
    transformers.logging.set_verbosity_error()
    seen = set()
    for file in sorted(HERE.glob("variations*.jsonl")):
        for line in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            family = line["config"].get("model_type")
            if line["changed"] != "nothing" or family in seen:
                continue
            seen.add(family)
            for table in TABLES:
                cls = getattr(modeling_auto, table).get(family)
                if cls is None:
                    continue
                config = line["config"] | {"architectures": [cls], "id2label": LABELS}
                try:
                    print(json.dumps({"config": config, "total": counted(config)}), flush=True)
                except Exception as error:  # noqa: BLE001 (it is looked at by whoever runs this)
                    print(family, cls, type(error).__name__, str(error)[:200], file=sys.stderr)


def counted(config: dict) -> int:
    """Parameters of the class that a configuration names, tied ones once."""
    cls = getattr(transformers, config["architectures"][0])
    values = {key: value for key, value in config.items() if key not in ("model_type", "architectures")}
    values["id2label"] = {int(number): label for number, label in LABELS.items()}
    with torch.device("meta"):
        model = cls(transformers.CONFIG_MAPPING[config["model_type"]](**values))
    return sum(parameter.numel() for parameter in model.parameters())


if __name__ == "__main__":
    main()
