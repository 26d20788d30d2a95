"""Which layers of a family have experts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscale.errors import shown
from tscale.importer.layer_lists import a_layer_each, layers_told_apart
from tscale.importer.rules import Key

if TYPE_CHECKING:
    from tscale.importer.config_keys import Config


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
    """For each layer whether it has experts: as listed, or by the other parameters; all layers if nothing is said.

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
    end = depth - 1 if last is None or config.value(last) == -1 else config.whole(last)
    dense = [] if but is None else config.listed(but, int) or []
    named = None if at is None else config.listed(at, int)
    if unless_none is not None and (config.value(unless_none) is None or not config.whole(unless_none)):
        return [False] * depth
    if named is not None:
        return [layer in named for layer in range(depth)]
    return [begin <= layer <= end and (layer + 1) % step == 0 and layer not in dense for layer in range(depth)]


def _is_sparse(config: Config, key: str, kind: str) -> bool:
    if kind not in ("dense", "sparse"):
        raise config.wrong(f"{key}: {shown(kind)} is not known: only dense and sparse are")
    return kind == "sparse"
