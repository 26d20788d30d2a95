"""What files say of each layer: lists with an entry a layer, and the shortest way to say which layers are alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, TypeVar

from tscale.errors import SpecError, shown
from tscale.importer.config_keys import Config

Reach = Literal["local", "global"]
T = TypeVar("T")

MOST_LAYERS: Final = 10_000


class AttentionMask(NamedTuple):
    """How far queries see: the window of local layers, which layers are local, and whether a window is a chunk."""

    window: int | None = None
    pattern: tuple[Reach, ...] | None = None
    chunked: bool = False


def layers_told_apart(config: Config) -> int:
    """The depth, where every layer is told apart: no model comes near the limit."""
    layers = config.size(config.keys.layers)
    if layers > MOST_LAYERS:
        raise config.wrong(f"{config.keys.layers}: {layers} is too deep for layers that differ: at most {MOST_LAYERS}")
    return layers


def a_layer_each(config: Config, key: str, kind: type[T]) -> list[T] | None:
    """A list that has an entry for every layer, or None where the key is absent."""
    listed, layers = config.listed(key, kind), config.size(config.keys.layers)
    if listed is not None and len(listed) != layers:
        raise config.wrong(f"{key} has {len(listed)} entries, and {config.keys.layers} is {layers}")
    return listed


def by_layer_types(
    config: Config,
    window: int | None,
    local: Callable[[int], bool],
    called: str = "sliding_attention",
    key: str | None = "layer_types",
) -> AttentionMask:
    """Which layers are local: as the list at `key` says, otherwise those that `local` says are."""
    legal: dict[str, Reach] = {"full_attention": "global", called: "local"}
    listed = None if key is None else a_layer_each(config, key, str)
    if key is None or listed is None:
        pattern = tuple[Reach, ...]("local" if local(layer) else "global" for layer in range(layers_told_apart(config)))
    else:
        refuse_unknown(config, key, listed, *legal)
        pattern = tuple(legal[name] for name in listed)
    if "local" in pattern and window is None:
        raise no_window(config)
    return mask_of(pattern, window)


def no_window(config: Config) -> SpecError:
    """That layers slide and nothing says how far they see."""
    return config.wrong("some layers slide, but there is no sliding_window: set it, or layer_types to full_attention")


def refuse_unknown(config: Config, key: str, listed: Sequence[str], *legal: str) -> None:
    """Raises `SpecError` where the list at `key` has a name that is not legal."""
    for name in listed:
        if name not in legal:
            raise config.wrong(f"{key}: {shown(name)} is not known yet: only {' and '.join(legal)} are")


def mask_of(pattern: Sequence[Reach], window: int | None) -> AttentionMask:
    """The shortest pattern that gives these layers when it is repeated; none where all are alike."""
    if "local" not in pattern:
        return AttentionMask()
    if "global" not in pattern:
        return AttentionMask(window)
    length = len(pattern)
    period = next(p for p in range(1, length + 1) if all(pattern[i] == pattern[i % p] for i in range(length)))
    return AttentionMask(window, tuple(pattern[:period]))
