"""Files of draft models, which guess ahead for another model in speculative decoding: refused, whatever family they name.

They say the `model_type` of the layers that they borrow, and have parts that no class of such a family has (a matrix that brings
the other model's states together, a vocabulary of their own), or lack its table: EAGLE, Medusa, DFlash, speculators.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tscale.errors import SpecError, called, field

_TYPES: Final = frozenset({"eagle", "medusa", "mlp_speculator", "speculator_model", "speculators"})
_CLASS: Final = re.compile(r"Draft|Eagle\d*$|Medusa|Speculator|MTP|NextN")
_KEYS: Final = (
    "draft_vocab_size", "eagle_config", "dflash_config", "speculators_config", "speculators_model_type", "medusa_num_heads",
    "num_target_layers", "target_hidden_size",
)  # fmt: skip
"""Keys that say what is drafted for; no class of a release reads one."""


def refuse_draft(config: Mapping[str, object], where: str) -> None:
    """Raises `SpecError` for the file of a draft model."""
    named, kind = config.get("architectures"), config.get("model_type")
    cls = named[0] if isinstance(named, list) and named and isinstance(named[0], str) else ""
    keys = [key for key in _KEYS if config.get(key)]
    if _CLASS.search(cls):
        said = f"architectures: {called(cls, 80)}"
    elif isinstance(kind, str) and kind in _TYPES:
        said = f"model_type {called(kind, 80)}"
    elif keys:
        said = keys[0]
    else:
        return
    raise SpecError(
        f"{said} is of a draft head, which guesses tokens of another model in speculative decoding and is no model by itself: give the model "
        f"that it guesses for, and to `serve` its guesses as {field('draft_tokens')} and {field('acceptance')}",
        where=where,
    )
