"""Positions of which keys of the file decide something."""

from __future__ import annotations

from typing import Annotated, Literal

from tscale.blocks import POSITIONS, Computed, Learned, Positions, RelativeBias
from tscale.blocks.fields import Tagged
from tscale.importer.config_keys import Config
from tscale.importer.rules import Key

Chosen = Annotated[Positions, Tagged(POSITIONS)]


def table(config: Config, *, rows: Key = "max_position_embeddings", more: int = 0) -> Positions:
    """A table with a row for each position, all of them counted, read or not, and `more` that no token reads."""
    return Learned(rows=config.size(rows) + more)


def stored(
    config: Config, *, kind: Literal["sinusoidal", "rotary"], rows: Key = "max_position_embeddings", more: int = 0
) -> Positions:
    """Sinusoids that are stored, a row for each position and `more`: added, or rotated by."""
    return Computed(kind=kind, rows=config.size(rows) + more)


def by_flag(config: Config, *, key: Key, yes: Chosen, no: Chosen) -> Positions:
    """One of two, as a flag says."""
    return yes if config.flag(key) else no


def bias(config: Config, *, buckets: Key, per_layer: bool = False, rows: Key | None = None) -> Positions:
    """A table of biases by distance, one a stack or one a layer; `rows`: of a table of positions next to it."""
    many = None if rows is None else config.size(rows)
    return RelativeBias(buckets=config.size(buckets), per_layer=per_layer, rows=many)
