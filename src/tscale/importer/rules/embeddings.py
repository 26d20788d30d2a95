"""Embeddings of which keys of the file decide something."""

from __future__ import annotations

from typing import Literal

from tscale.importer.config_keys import Config
from tscale.importer.rules import Key
from tscale.models.spec import Embedding


def tables(
    config: Config,
    *,
    segments: Key | None = None,
    may_lack_segments: bool = False,
    width: Key | None = None,
    projects: Literal["tokens", "sum"] = "tokens",
    always: bool = False,
) -> Embedding:
    """The table of tokens, with one of segments where `segments` says how many rows it has.

    Args:
        config: The keys of the file.
        segments: Rows of the table of segments.
        may_lack_segments: Whether there may be none.
        width: Width of the tokens' vectors, null for d_model.
        projects: What is brought to d_model where that is another width.
        always: Whether it is projected where it is as wide, too.
    """
    rows = None if segments is None else _rows(config, segments, may_lack=may_lack_segments)
    wide = None if width is None else config.optional(width)
    if wide is None or (wide == config.size(config.keys.d_model) and not always):
        return Embedding(segments=rows)
    return Embedding(segments=rows, width=wide, projects=projects)


def _rows(config: Config, key: str, *, may_lack: bool) -> int | None:
    return (config.whole(key) or None) if may_lack else config.size(key)
