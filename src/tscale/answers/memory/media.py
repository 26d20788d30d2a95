"""Of `tscale memory`: what images and sounds take of the cache, and what towers take of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tscale.answers.media import media_notes
from tscale.core.costs.weights import tower_format
from tscale.core.metric import Column, Data, Table
from tscale.core.number_text import number_text
from tscale.core.view import view
from tscale.estimates.media import Media, check_fits, media_costs
from tscale.estimates.memory.held import Server
from tscale.estimates.memory.media import Cached, media_cached


class MediaHeld(NamedTuple):
    """What an answer about memory says of images and sounds, and of towers."""

    tables: tuple[Table, ...]
    data: dict[str, Data]
    notes: tuple[str, ...]


def media_held(server: Server, place: int, media: Media) -> MediaHeld:
    """Of a device of a stage. Raises `RequestError` for media that the model does not read, or its sequences do not hold."""
    costs = media_costs(server.spec, media)
    check_fits(costs, server.context)
    seen = tuple(media_cached(server, place, costs))
    notes = (*tower_notes(server, place), *media_notes(media, costs))
    if not seen:
        return MediaHeld((), {}, notes)
    return MediaHeld((media_cache_table(seen),), {"media": [one.data() for one in seen]}, notes)


def media_cache_table(cached: Sequence[Cached]) -> Table:
    """Tokens of images and sounds, and their part of the cache."""
    columns = (
        Column("in each sequence", "media", numeric=False),
        Column("tokens", "tokens"),
        Column("KV cache, all sequences", "kv_cache_bytes"),
    )
    return view("", columns, (one.data() for one in cached), aside=True)


def tower_notes(server: Server, place: int) -> Iterator[str]:
    """How much of the weights is of towers and projectors, and how these are kept."""
    size = server.towers(place).total
    if size:
        yield (
            f"Of the weights {number_text(int(size), 'decimal', 'B')} are towers and projectors, in "
            f"{tower_format(server.format).name} and whole on each device; what they keep while they run is not counted."
        )
