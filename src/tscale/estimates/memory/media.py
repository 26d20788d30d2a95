"""What images and sounds take of the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tscale.core.ledger import Cache
from tscale.core.metric import Figure
from tscale.core.tracing import ceil_div
from tscale.core.units import BYTES
from tscale.core.view import Record
from tscale.estimates.media import MediaCost, media_record
from tscale.estimates.memory.held import Server


class Cached(NamedTuple):
    """The tokens of one kind of media in a sequence, and what a device keeps of them for all of its sequences."""

    cost: MediaCost
    size: int

    def data(self) -> Record:
        """For JSON."""
        return {**media_record(self.cost), "kv_cache_bytes": Figure(self.size, BYTES)}


def media_cached(server: Server, place: int, costs: Sequence[MediaCost]) -> Iterator[Cached]:
    """What each kind adds to the cache of a device of a stage: that of the sequence, less that of one without its tokens.

    Where layers attend to images, also the keys and values of these, by each kind's part of the positions.
    """
    lines, positions = tuple(server.caches(place)), server.spec.image_positions
    whole = sum(line.value for line in lines)
    of_images = {
        entry.name
        for entry in server.stages[place].share.entries
        if isinstance(entry, Cache) and entry.stream == "images"
    }
    attended = sum(line.value for line in lines if line.name in of_images)
    for cost in costs:
        shorter = server._replace(context=max(server.context - cost.tokens, 1))
        own = whole - sum(line.value for line in shorter.caches(place))
        yield Cached(cost, own + (ceil_div(attended * cost.outputs, positions) if positions else 0))
