"""MPT."""

from __future__ import annotations

from tscale.blocks import Computed, Positions
from tscale.errors import shown
from tscale.importer.config_keys import Config


def positions(config: Config) -> Positions:
    """A penalty on distances; the inner mapping `attn_config` may say nothing else that matters."""
    inner = config.value("attn_config")
    known = {"alibi": True, "attn_type": "multihead_attention", "qk_ln": False, "prefix_lm": False}
    if not isinstance(inner, dict | None):
        raise config.wrong(f"attn_config must be a mapping, not {shown(inner)}")
    for key, expected in known.items():
        value = (inner or {}).get(key)
        if value is not None and value != expected:
            raise config.wrong(f"attn_config.{key}: {shown(value)} is not known yet: only {shown(expected)} is")
    return Computed(kind="alibi")
