"""Which layers of a family have experts."""

from __future__ import annotations

from tscale.errors import shown
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import a_layer_each, layers_told_apart
from tscale.importer.rules import Key


def layers(
    config: Config,
    *,
    listed: Key | None = None,
    first: int | Key = 0,
    last: Key | None = None,
    every: Key | None = None,
    but: Key | None = None,
    at: Key | None = None,
    unless_none: Key | None = None,
) -> list[bool]:
    """For each layer whether it has experts: as listed, or by the other parameters; by default all layers.

    Args:
        config: The keys of the file.
        listed: A list of what each layer is, dense or sparse, which goes before all that follows.
        first: The first layer with experts, or the key that says which.
        last: The last one, -1 for that of the stack.
        every: Of so many layers the last has experts.
        but: A list of layers that have none.
        at: A list of those that have them, which goes before `every`.
        unless_none: How many experts there are: without any, no layer has them.
    """
    begin = first if isinstance(first, int) else config.whole(first)
    kinds = None if listed is None else a_layer_each(config, listed, str)
    if listed is not None and kinds is not None:
        return [_is_sparse(config, listed, kind) for kind in kinds]
    depth = layers_told_apart(config)
    step = 1 if every is None else config.size(every)
    dense, named = _numbers(config, but) or [], _numbers(config, at)
    if unless_none is not None and _is_none(config, unless_none):
        return [False] * depth
    end = _last(config, last, depth)
    usual = range(step - 1, depth, step) if named is None else named
    return [layer in usual and layer not in dense and begin <= layer <= end for layer in range(depth)]


def _last(config: Config, key: str | None, depth: int) -> int:
    return depth - 1 if key is None or config.value(key) == -1 else config.whole(key)


def _is_none(config: Config, key: str) -> bool:
    return config.value(key) is None or config.whole(key) == 0


def _numbers(config: Config, key: str | None) -> list[int] | None:
    return None if key is None else config.listed(key, int)


def _is_sparse(config: Config, key: str, kind: str) -> bool:
    if kind not in ("dense", "sparse"):
        raise config.wrong(f"{key}: {shown(kind)} is not known: only dense and sparse are")
    return kind == "sparse"
