"""Falcon."""

from __future__ import annotations

from tscale.blocks import Norm
from tscale.importer.config_keys import Config


def kv_heads(config: Config) -> int | None:
    """The new architecture says how many; the old one has one with `multi_query`, otherwise all."""
    if config.flag("new_decoder_architecture"):
        return config.optional("num_kv_heads")
    if config.flag("multi_query"):
        return 1
    return config.agreed("num_kv_heads", config.size("num_attention_heads"), "multi_query")


def norm(config: Config) -> Norm:
    """Two norms a layer, but one where the sub-layers run side by side and do not have one each."""
    new, parallel = config.flag("new_decoder_architecture"), config.flag("parallel_attn")
    count = config.optional("num_ln_in_parallel_attn")
    if new and not parallel:
        raise config.wrong("new_decoder_architecture: true is not known with parallel_attn: false")
    if count not in (None, 1, 2) or (count == 2 and not new):
        raise config.wrong(f"num_ln_in_parallel_attn: {count} is not known for this architecture")
    two = not parallel or (new and count != 1)
    return Norm(kind="layernorm", place="pre" if two else "parallel")
