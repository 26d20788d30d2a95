"""How many heads of keys and values a family has, and how wide heads are."""

from __future__ import annotations

from tscale.importer.config_keys import Config
from tscale.importer.rules import Key


def kv_heads(config: Config) -> int | None:
    """As many as the file says; as many as query heads where it is silent."""
    return config.optional("num_key_value_heads") if config.reads("num_key_value_heads") else None


def head_dim(config: Config) -> int | None:
    """As wide as the file says; d_model / heads where it is silent."""
    return config.optional("head_dim") if config.reads("head_dim") else None


def at_key(config: Config, *, key: Key) -> int | None:
    """What a key says; null for what follows from other sizes."""
    return config.optional(key)


def as_heads(config: Config, *, repeated_by: Key = "num_key_value_heads") -> int:
    """As many as query heads: a key may repeat that, and nothing else."""
    return config.agreed(repeated_by, config.size(config.keys.heads), "the class")


def one_or_all(config: Config, *, one_if: Key, repeated_by: Key) -> int:
    """One where a flag says so, otherwise as many as query heads; a key may repeat that, and nothing else."""
    return config.agreed(repeated_by, 1 if config.flag(one_if) else config.size(config.keys.heads), one_if)


def fills_width(config: Config, *, key: Key = "head_dim", when: Key | None = None) -> int | None:
    """d_model / heads, for classes that have matrices of d_model whatever `key` says: it may say nothing else.

    `when`: a flag without which the key decides.
    """
    if when is not None and not config.flag(when):
        return config.optional(key)
    width, heads, d_model = config.optional(key), config.size(config.keys.heads), config.size(config.keys.d_model)
    if width is not None and width * heads != d_model:
        raise config.wrong(f"{key}: {width} times {heads} heads is not {config.keys.d_model} {d_model}, as it must be")
    return None


def shares_width(config: Config, *, repeated_by: Key | None = None) -> None:
    """d_model / heads, whatever else the file says; a key may repeat that."""
    heads, d_model = config.size(config.keys.heads), config.size(config.keys.d_model)
    if repeated_by is not None and d_model % heads == 0:
        config.agreed(repeated_by, d_model // heads, f"{config.keys.d_model} / {config.keys.heads}")
