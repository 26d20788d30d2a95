"""Feed-forwards of which keys of the file decide something."""

from __future__ import annotations

from tscale.errors import shown
from tscale.importer.config_keys import Config
from tscale.importer.rules import Key


def nothing(config: Config) -> None:
    """No feed-forward."""


def by_activation(config: Config, *, key: Key, repeated_by: Key) -> bool:
    """Whether there is a gate: `gated-gelu` is gated, `relu` is not; a flag may repeat that."""
    text = config.text(key)
    first, dash, rest = text.partition("-")
    if not text or (dash and (first != "gated" or not rest or "-" in rest)):
        raise config.wrong(f"{key}: {shown(text)} is not known: an activation's name, or gated- and a name")
    if config.value(repeated_by) not in (None, bool(dash)):
        raise config.wrong(f"{repeated_by}: {shown(config.value(repeated_by))} contradicts {shown(text)}")
    return bool(dash)
