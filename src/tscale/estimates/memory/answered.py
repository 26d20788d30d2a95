"""What a device of the fullest stage holds of what it was asked, as figures, and how much more would fit."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tscale.core.costs.largest import largest
from tscale.core.counts import MOST_CONTEXT
from tscale.core.ledger import Cache
from tscale.core.metric import Data, Figure, Known
from tscale.core.tracing import as_plain
from tscale.core.units import BYTES
from tscale.estimates.capacity import Capacity, capacity_data, serving_capacity
from tscale.estimates.media import check_fits, media_costs
from tscale.estimates.memory.held import Held, Server, fullest, held, held_at, most_held
from tscale.estimates.memory.layout import layout_data
from tscale.estimates.memory.room import AtContext, Growth, Room, contexts_up_to, growth
from tscale.estimates.memory.serving import MOST_BATCH, Ask, server_of, serving_context
from tscale.estimates.release import Asked
from tscale.models.spec import ModelSpec


class Answered(NamedTuple):
    """What a device of the fullest stage holds, of what it was asked, and what else would fit."""

    ask: Ask
    context: Figure
    server: Server
    place: int
    one: Held
    capacity: Capacity | None
    asked: Asked
    room: Room | None

    @property
    def known(self) -> Known:
        """How the total is known."""
        return "assumed" if "assumed" in (self.context.known, self.asked.known) else "convention"

    @property
    def total(self) -> Figure:
        """All that it holds."""
        return Figure(self.one.total, BYTES, self.known)


def answered(spec: ModelSpec, ask: Ask) -> Answered:
    """What a device holds and how much more would fit. Raises `RequestError` for what cannot be served so."""
    context = serving_context(spec, ask.context)
    server = server_of(spec, ask, as_plain(context.value))
    place = fullest(server)
    capacity = capacity_of(ask)
    room = None if capacity is None else room_of(server, capacity.usable)
    asked = Asked(spec, ask.dtype, ask.cache_dtype)
    return Answered(ask, context, server, place, held_at(server, place), capacity, asked, room)


def memory_figures(spec: ModelSpec, ask: Ask) -> Data:
    """The figures of `memory_report` by their keys, without its lists: what a row of a sweep holds."""
    found = answered(spec, ask)
    check_fits(media_costs(spec, ask.media), found.server.context)
    return figures_of(found)


def figures_of(found: Answered) -> dict[str, Data]:
    """All that is no list."""
    ask, server, one = found.ask, found.server, found.one
    return {
        "mode": "serve",
        "gpu": None if ask.hardware is None else ask.hardware.name,
        "devices": ask.devices,
        "layout": layout_data(server.layout, found.place),
        "dtype": server.format.name,
        **found.asked.data(),
        "cache_dtype": server.cache_format.name,
        "batch": ask.batch,
        "context": found.context,
        "page": ask.page,
        "chunk": server.chunk,
        **_keeping_data(ask),
        "per_device_bytes": {**_bytes_by_part(one, found.known, found.asked.known), "total": found.total},
        **capacity_data(found.capacity, ask.hardware, one.total, found.known),
        **(Room(None, None) if found.room is None else found.room).data(),
    }


def _keeping_data(ask: Ask) -> dict[str, Data]:
    """How caches and experts are kept and what guesses, for JSON."""
    return {
        "prefix": ask.prefix,
        "draft": None if ask.draft is None else ask.draft.name,
        "draft_tokens": ask.draft_tokens,
        "state_dtype": None if ask.state_dtype is None else ask.state_dtype.name,
        "cache_form": ask.cache_form,
        "window_cache": ask.window_cache,
        "split_cache": "sequences" if ask.by_sequences else "heads",
        "padding": ask.padding,
    }


def at_contexts(server: Server, capacity: Capacity | None, known: Known) -> Iterator[AtContext]:
    """What a device holds by context, up to the longest that the model reads; nothing where that is no more than one length."""
    longest = server.spec.context
    if longest is None or server.spec.audio_frames is not None:
        return
    contexts = tuple(contexts_up_to(int(longest)))
    for context in contexts if len(contexts) > 1 else ():
        total = held(server._replace(context=context)).total
        verdict = None if capacity is None else capacity.verdict(total)
        yield AtContext(context, Figure(total, BYTES, known), verdict)


def capacity_of(ask: Ask) -> Capacity | None:
    """What a device has for it; None without hardware."""
    if ask.hardware is None:
        return None
    return serving_capacity(ask.hardware.device(), ask.devices, ask.memory_share, ask.spread.groups)


def room_of(server: Server, usable: int) -> Room:
    """The largest batch and the longest context that fit in so many bytes."""
    return Room(
        largest(lambda batch: most_held(server._replace(batch=batch)) <= usable, MOST_BATCH),
        largest(lambda context: most_held(server._replace(context=context)) <= usable, MOST_CONTEXT),
    )


def _part(one: Held, part: str, known: Known, weights: Known) -> Figure:
    """What a device holds of a part; `known`: how the sum of all is, by a convention or resting on an assumed context."""
    if part == "weights":
        return Figure(one.weights, BYTES, weights)
    counted = part == "kv_cache" and known != "assumed"
    return Figure(getattr(one, part), BYTES, "exact" if counted else known)


def parts_of(server: Server, one: Held, known: Known, weights: Known) -> dict[str, Figure]:
    """What a device holds, as people call it; what it has nothing of is left out."""
    caches = [entry for entry in server.whole.entries if isinstance(entry, Cache)]
    states = [entry for entry in caches if entry.stream == "once"]
    cache = "KV cache" if not states else "states" if len(states) == len(caches) else "KV cache and states"
    names = {"weights": "weights", "kv_cache": cache, "activations": "activations", "logits": "logits"}
    return {name: _part(one, part, known, weights) for part, name in names.items() if getattr(one, part)}


def _bytes_by_part(one: Held, known: Known, weights: Known) -> dict[str, Data]:
    """By the keys of every answer about memory: what serving does not have is zero."""
    nothing = Figure(0, BYTES)
    parts = ("weights", "gradients", "optimizer", "activations", "logits", "kv_cache")
    return {part: nothing if part in ("gradients", "optimizer") else _part(one, part, known, weights) for part in parts}


def serving_growth(spec: ModelSpec, ask: Ask) -> Growth:
    """The parts of `memory_report` at many contexts."""
    context = serving_context(spec, ask.context)
    server = server_of(spec, ask, int(context.value))
    capacity = capacity_of(ask)
    usable = None if capacity is None else capacity.usable

    def parts(length: int) -> Mapping[str, Figure]:
        longer = server._replace(context=length)
        return parts_of(longer, held(longer), "convention", "convention")

    longest = None if usable is None else room_of(server, usable).context
    return growth(server.context, usable, longest, parts)
