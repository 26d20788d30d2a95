"""Named rules: what several keys of a `config.json` decide together, with the names of the keys as parameters.

A row of `configs/families/` gives a column a value, or `{rule: NAME, PARAMETER: ...}`. Which rules a column may name stands
in `RULES`; each is a function of this folder that takes the keys of a file, and its parameters by name. A parameter that is
marked as `Key` holds the name of a key of the file: where a row does not list that key, it is refused when it is compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final


class _IsKey:
    """Marks a parameter of a rule that holds the name of a key of the file."""


IS_KEY: Final = _IsKey()
Key = Annotated[str, IS_KEY]
"""The name of a key that the row must list among those that its class reads."""

RULES: Final[Mapping[str, Mapping[str, str]]] = {
    "attention": {"latent": "attention"},
    "embedding": {"tables": "embeddings"},
    "encoder": {"stack": "stacks"},
    "feed_forward": {"nothing": "feed_forwards"},
    "gated": {"by_activation": "feed_forwards"},
    "head_dim": {"at_key": "heads", "fills_width": "heads", "shares_width": "heads"},
    "kv_heads": {"at_key": "heads", "as_heads": "heads", "one_or_all": "heads"},
    "layers": {"product": "stacks", "one_of": "stacks", "repeated": "stacks"},
    "norm": {"by_flag": "norms", "by_flags": "norms"},
    "notes": {"prediction_layers": "notes", "remark": "notes"},
    "positions": {"table": "positions", "stored": "positions", "by_flag": "positions", "bias": "positions"},
    "sparse": {"layers": "sparse"},
    "unique_layers": {"product": "stacks"},
    "window": {"windows": "windows"},
}
"""By column, the names of its rules and the file of each."""
