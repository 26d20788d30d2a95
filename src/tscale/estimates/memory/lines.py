"""What a serving device holds, line by line: each thing's format, how it is shared, and its bytes."""

from collections.abc import Iterator
from typing import NamedTuple

from tscale.core.costs.weights import kept_in, tower_format
from tscale.core.ledger import Cache, Entry
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import division, is_routed
from tscale.estimates.memory.held import Server


class HeldLine(NamedTuple):
    """One thing that a device holds; the workspace is in no format of its own, and is not cut."""

    name: str
    format: str
    division: str
    size: int


def held_lines(server: Server, place: int) -> list[HeldLine]:
    """Weights, the caches of all sequences, and the workspace, which add up to what a device of a stage holds."""
    draft = server.drafting()
    own = list(_lines(server, place))
    if draft is None:
        return own
    return own + [line._replace(name=f"draft.{line.name}") for line in _lines(draft, 0)]


def _lines(server: Server, place: int) -> Iterator[HeldLine]:
    at = server.stages[place]
    divided = {entry.name: _division(server, entry) for entry in at.whole.entries}
    for kept in kept_in(server.stored(place), server.stage_format(place), at.whole):
        if kept.entry.stored:
            yield HeldLine(kept.name, kept.format.name, divided[kept.entry.name], kept.bytes)
    for name, size in server.towers(place).lines:
        yield HeldLine(name, tower_format(server.format).name, "whole", size)
    caches = [entry for entry in at.share.entries if isinstance(entry, Cache)]
    for entry, (name, size) in zip(caches, server.caches(place), strict=True):
        format = server.keeping.format(entry, server.cache_format)
        yield HeldLine(name, format.name, divided[name], size)
    for name, size in server.workspace(place).lines:
        if size:
            yield HeldLine(name, "", "", size)


def _division(server: Server, entry: Entry) -> str:
    """How an entry stands on one device, in a few words."""
    layout = server.layout
    if isinstance(entry, Cache) and server.keeping.by_sequences and layout.tensor > 1 and entry.stream != "once":
        return "by sequences"
    tensor = layout.expert_tensor if is_routed(entry) else layout.tensor
    return division(entry, Parallelism(tensor=tensor, expert=layout.expert))
