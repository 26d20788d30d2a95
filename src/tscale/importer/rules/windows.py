"""Which layers of a family see how far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import MOST_LAYERS, AttentionMask, a_layer_each, by_layer_types, layers_told_apart
from tscale.importer.rules import Key

Place = Literal["first", "last", "counted from the end"]


def windows(
    config: Config,
    *,
    length: Key = "sliding_window",
    when: Key | None = None,
    listed: Key | None = None,
    period: int | Key | None = None,
    global_at: Place | None = None,
    local_at: Place | None = None,
    from_layer: Key | None = None,
    to_layer: Key | None = None,
    local: bool = True,
    marks: Key | None = None,
    repeated_by: Key | None = None,
    chunked: bool = False,
    each_side: bool = False,
) -> AttentionMask:
    """Local layers see a window, or a chunk if `chunked`; others see every key. By default all layers are local.

    Args:
        config: The keys of the file.
        length: How far local layers see, in tokens; null where there is no window.
        when: A flag without which there is none.
        listed: A list of what each layer is, which goes before all that follows.
        period: Layers until the pattern comes again, or the key that says how many.
        global_at: The place in a period of its one global layer, the last where neither is said; counted from the end, periods
            begin behind the last layer, which is global.
        local_at: The place in a period of its one local layer, which goes before.
        from_layer: The first layer that may be local.
        to_layer: The first layer behind those that may be.
        local: Whether any layer is local where the file lists none.
        marks: A list with a number a layer, 0 for the one of each period, which goes before the period; an empty one is none.
        repeated_by: A key that may repeat the period, and say nothing else.
        chunked: Whether the window is a chunk, which there must be.
        each_side: Whether the length is how far a query sees to either side, itself not counted.
    """
    window = _length(config, length, when, needed=chunked)
    if each_side and window is not None:
        window = 2 * window + 1
    if listed is None and period is None and from_layer is None:
        return AttentionMask(window if local else None)
    missed = period is not None and when is None  # a window without which layers in turn cannot be
    in_turn = (
        None
        if period is None or _is_listed(config, listed)
        else _in_turn(config, period, local_at or global_at, marks, repeated_by)
    )
    there = range(0 if from_layer is None else config.whole(from_layer), _end(config, to_layer))
    some = local and (window is not None or missed)

    def is_local(layer: int) -> bool:
        return some and layer in there and (in_turn is None or in_turn(layer) == (local_at is not None))

    found = by_layer_types(config, window, is_local, "chunked_attention" if chunked else "sliding_attention", listed)
    return found._replace(chunked=chunked)


def _length(config: Config, key: str, when: str | None, *, needed: bool) -> int | None:
    window = config.optional(key) if when is None or config.flag(when) else None
    if needed and window is None:
        raise config.wrong(f"{key} must be a whole number from 1 to 10^12, not null")
    return window


def _is_listed(config: Config, key: str | None) -> bool:
    return key is not None and config.value(key) is not None


def _end(config: Config, key: str | None) -> int:
    return MOST_LAYERS if key is None else config.whole(key)


def _in_turn(
    config: Config, period: int | str, place: Place | None, marks: str | None, repeated_by: str | None
) -> Callable[[int], bool]:
    """Whether a layer is the one of its period that is unlike the others."""
    every = period if isinstance(period, int) else config.size(period)
    if repeated_by is not None:
        config.agreed(repeated_by, every, str(period))
    marked = None if marks is None or config.value(marks) == [] else a_layer_each(config, marks, int)
    if marked is not None:
        return lambda layer: not marked[layer]
    if place == "counted from the end":
        last = layers_told_apart(config) - 1
        return lambda layer: (last - layer) % every == 0
    return lambda layer: layer % every == (0 if place == "first" else every - 1)
