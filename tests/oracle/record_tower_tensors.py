"""Writes the names and shapes of the tensors of whole models, as transformers would save them.

`python tests/oracle/record_tower_tensors.py > tests/oracle/tower_tensors.jsonl` needs what `record_towers.py` needs. Equal shapes
of one module in several layers stand once: `shapes` holds the name with `#` for numbers, the shape, and how often it comes.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import json
import logging
import re
from collections import Counter

import torch
import transformers
from record_towers import base
from transformers import CONFIG_MAPPING

from tscale.importer.families import NESTED
from tscale.importer.towers import FAMILIES

IN_FULL = {"florence2": {"depths": [1, 1, 2, 1]}}
"""Families whose stages have shapes in common, so that their numbers are kept; and what makes their towers shallow."""


def _called(name: str, family: str) -> str:
    return name if family in IN_FULL else re.sub(r"\d+", "#", name)


def main() -> None:
    for family in FAMILIES:
        if family not in NESTED:
            continue
        file = base(family)
        if family in IN_FULL:
            file["vision_config"] |= IN_FULL[family]
        config = CONFIG_MAPPING[family].from_dict(dict(file))
        with torch.device("meta"):
            model = getattr(transformers, file["architectures"][0])(config)
        tied = set(model.all_tied_weights_keys)
        saved = {name: p for name, p in model.named_parameters(remove_duplicate=False) if name not in tied}
        shapes = Counter((_called(name, family), tuple(p.shape)) for name, p in saved.items())
        rows = [[name, list(shape), count] for (name, shape), count in shapes.items()]
        print(json.dumps({"config": file, "shapes": rows}))


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    transformers.logging.set_verbosity_error()
    main()
