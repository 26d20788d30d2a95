"""Families whose code stands in their repositories: Baichuan and ChatGLM."""

from __future__ import annotations

from tscale.blocks import Computed, Norm, Positions
from tscale.importer.config_keys import Config


def baichuan_positions(config: Config) -> Positions:
    """The code for 7B rotates, and its files say how far; that for 13B has a penalty on distances."""
    return Computed(kind="rotary" if config.says("max_position_embeddings") is not None else "alibi")


def chatglm_heads(config: Config) -> int | None:
    """A number of groups where a flag says so, otherwise as many as query heads."""
    return config.size("multi_query_group_num") if config.flag("multi_query_attention") else None


def chatglm_norm(config: Config) -> Norm:
    """Of either kind, with a final one where a flag says so."""
    kind: Norm = Norm(kind="rmsnorm") if config.flag("rmsnorm") else Norm(kind="layernorm")
    return kind if config.flag("post_layer_norm") else Norm(kind=kind.kind, final=False)
