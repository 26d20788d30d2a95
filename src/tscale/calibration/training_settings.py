"""How a published layout was run where its page does not say: as its row says, or as the recipe of its release has it."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from functools import cache
from typing import Final

from tscale.catalogue.models import configs

COLUMNS: Final = ("recompute", "queued", "passes", "dispatcher", "mtp", "head")
"""The columns of a table that say it."""


def with_settings(row: Mapping[str, str], model: str, gpu: str) -> dict[str, str]:
    """A row with what the recipe of its source's release set where it says nothing, of a model on a chip."""
    source = row.get("source", "")
    release = re.search(r"\(([^()]*)\)$", source)
    of_source = (release[1] if release else "", model, gpu, row["gpus"])
    said = {name: text for name in COLUMNS if (text := (row.get(name) or "").strip())}
    for fits in _published():
        own = (fits["release"], fits["model"], fits["gpu"], fits["gpus"] or row["gpus"])
        if fits["framework"] in source and own == of_source:
            said = {**{name: fits[name] for name in COLUMNS if fits[name]}, **said}
    return {**row, **said}


@cache
def _published() -> tuple[Mapping[str, str], ...]:
    """The rows of configs/measured/training_settings.csv."""
    text = (configs() / "measured" / "training_settings.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
