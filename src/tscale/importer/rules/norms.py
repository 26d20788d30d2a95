"""Norms of which keys of the file decide something."""

from __future__ import annotations

from dataclasses import replace

from tscale.blocks import Norm
from tscale.importer.config_keys import Config
from tscale.importer.rules import Key


def by_flag(config: Config, *, key: Key, yes: Norm, no: Norm) -> Norm:
    """One of two, as a flag says."""
    return yes if config.flag(key) else no


def by_flags(config: Config, *, norm: Norm, bias: Key | None = None, embedding: Key | None = None) -> Norm:
    """A norm of which flags say whether it has a bias, and whether one follows the embedding; null is no."""
    return replace(
        norm,
        bias=norm.bias if bias is None else _said(config, bias),
        embedding=norm.embedding if embedding is None else _said(config, embedding),
    )


def _said(config: Config, key: str) -> bool:
    return config.value(key) is not None and config.flag(key)
