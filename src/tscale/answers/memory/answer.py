"""`tscale memory`: what a device holds while it serves a model, whether that fits, and how much more would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Final, Literal, NamedTuple

from tscale.answers.capacity import Capacity, capacity_data, exit_code, reserve_table, serving_capacity, verdict_text
from tscale.answers.explaining import context_of, notes_of
from tscale.answers.media import Media, check_fits, media_costs
from tscale.answers.memory.changes import Change, changes_table, single_changes
from tscale.answers.memory.held import Held, Keeping, Server, fullest, held, held_at, most_held
from tscale.answers.memory.layout import accepted, in_words, layout_data, spelled
from tscale.answers.memory.lines import held_lines, lines_data, lines_table
from tscale.answers.memory.media import media_held
from tscale.answers.memory.notes import serving_notes
from tscale.answers.memory.steps import serving_steps
from tscale.answers.memory.tables import (
    AtContext,
    Growth,
    OfOne,
    Room,
    contexts_table,
    contexts_up_to,
    growth,
    parts_table,
)
from tscale.answers.release import Asked, cache_format_of, format_of, state_formats
from tscale.catalogue.hardware import Hardware
from tscale.core.costs.cache import check_rows
from tscale.core.costs.kernel_padding import PADDED, Kernel, has_padded_experts
from tscale.core.costs.largest import largest
from tscale.core.counts import MOST_CONTEXT
from tscale.core.dtypes import Dtype
from tscale.core.ledger import Cache
from tscale.core.metric import Data, Figure, Known, Report, Table
from tscale.core.number_text import number_text
from tscale.core.serving_layout import ServingLayout
from tscale.core.sharding import is_routed
from tscale.core.tracing import TracedInt, as_plain
from tscale.core.units import BYTES
from tscale.errors import RequestError, field
from tscale.models.lower import lower
from tscale.models.spec import MOST_ASSUMED, ModelSpec

MOST_BATCH: Final = 10**9


class Ask(NamedTuple):
    """How a model is to be served, and on what, where that is given; `dtype` None: as it is released, or in bf16."""

    dtype: Dtype | None = None
    cache_dtype: Dtype | None = None
    batch: int = 1
    context: int | None = None
    page: int | None = None
    chunk: int = 2048
    gpus: int = 1
    memory_share: Fraction | None = None
    hardware: Hardware | None = None
    layout: ServingLayout | None = None
    """How devices share the model; None: all `gpus` share each layer."""
    state_dtype: Dtype | None = None
    cache_form: Literal["latent", "full"] = "latent"
    window_cache: Literal["cut", "whole"] = "cut"
    by_sequences: bool = False
    prefix: int = 0
    draft: ModelSpec | None = None
    draft_tokens: int = 0
    padding: Kernel = "none"
    media: Media = Media()

    @property
    def spread(self) -> ServingLayout:
        """The layout, where none is given that of so many devices."""
        return ServingLayout(tensor=self.gpus, expert_tensor=self.gpus) if self.layout is None else self.layout

    @property
    def devices(self) -> int:
        """Devices in all."""
        return self.spread.devices


def memory_report(spec: ModelSpec, ask: Ask) -> Report:
    """Weights, cache and workspace of one device, whether they fit, and what else would. Exit code 3 where they do not."""
    found = _answered(spec, ask)
    server, place, one, capacity, room = found.server, found.place, found.one, found.capacity, found.room
    options = _options(server, ask, capacity, room, one.total)
    title = _title(spec, server, ask, one.total, None if capacity is None else verdict_text(capacity, one.total))
    contexts = tuple(at_contexts(server, capacity, found.known)) if ask.context is None else ()
    lines = held_lines(server, place)
    media = media_held(server, place, ask.media)
    tables = [
        parts_table(title, spec.name, _parts(server, one, found.known, found.asked.known), found.total, capacity),
        *_room_tables(server, capacity, room, options, one.total),
        *([contexts_table(contexts)] if contexts else []),
        *media.tables,
        lines_table(lines, cut=ask.devices > 1),
        *([reserve_table(capacity.reserve)] if capacity is not None and capacity.share is None else []),
    ]
    data: Data = {
        "model": spec.name,
        "title": spec.label,
        **_figures(found),
        "contexts": [at.data() for at in contexts],
        "changes": [change.data() for change in options],
        **media.data,
        "lines": lines_data(lines),
    }
    notes = notes_of(
        spec, *serving_notes(server, ask.hardware, found.context.note, capacity, room, options), *media.notes
    )
    steps = serving_steps(server, place)
    code = exit_code(capacity, one.total)
    return Report(title, tuple(tables), data, notes, steps, exit_code=code, lead=found.asked.lead())


class _Answered(NamedTuple):
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


def _answered(spec: ModelSpec, ask: Ask) -> _Answered:
    context = serving_context(spec, ask.context)
    server = server_of(spec, ask, as_plain(context.value))
    place = fullest(server)
    capacity = _capacity(ask)
    room = None if capacity is None else _room(server, capacity.usable)
    asked = Asked(spec, ask.dtype, ask.cache_dtype)
    return _Answered(ask, context, server, place, held_at(server, place), capacity, asked, room)


def memory_figures(spec: ModelSpec, ask: Ask) -> Data:
    """The figures of `memory_report` by their keys, without its lists: what a row of a sweep holds."""
    found = _answered(spec, ask)
    check_fits(media_costs(spec, ask.media), found.server.context)
    return _figures(found)


def _figures(found: _Answered) -> dict[str, Data]:
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
        **_keeping_data(ask),
        "per_device_bytes": {**_bytes_by_part(one, found.known, found.asked.known), "total": found.total},
        **capacity_data(found.capacity, ask.hardware, one.total, found.known),
        **(Room(None, None) if found.room is None else found.room).data(),
    }


def _options(server: Server, ask: Ask, capacity: Capacity | None, room: Room | None, total: int) -> tuple[Change, ...]:
    """What would make it fit, where it does not for certain."""
    if ask.hardware is None or capacity is None or room is None or capacity.fits(total):
        return ()
    return single_changes(server, ask.hardware, capacity, *room, spelled_out=ask.layout is not None)


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


def _room_tables(
    server: Server, capacity: Capacity | None, room: Room | None, options: tuple[Change, ...], total: int
) -> Iterator[Table]:
    """How much more would fit, and what would make it fit."""
    if capacity is None or room is None:
        return
    of_batch, of_context = f"at {server.context:,} tokens", f"at a batch of {server.batch:,}"
    one_each = _of_one(server, capacity)
    yield room.table(f"the largest batch {of_batch}", f"the longest context {of_context}", capacity, one_each)
    if options:
        yield changes_table(options, capacity.verdict(total))


def serving_context(spec: ModelSpec, asked: int | None) -> Figure:
    """The tokens of a sequence that is served: asked for, or what the model reads, of more than 8,192 those."""
    context = context_of(spec, asked)
    if asked is not None or int(context.value) <= MOST_ASSUMED or spec.audio_frames is not None:
        return context
    note = (
        f"{spec.label} reads up to {int(context.value):,} tokens: sequences of {MOST_ASSUMED:,} are counted; --context sets "
        "another length."
    )
    return context._replace(value=TracedInt(MOST_ASSUMED, label="context"), note=note)


def server_of(spec: ModelSpec, ask: Ask, context: int) -> Server:
    """Raises `RequestError` for devices that cannot share the model, and for a cache that its format cannot hold."""
    alone = _alone(spec, ask, context)
    try:
        check_rows(alone.whole, alone.cache_format)
    except RequestError as error:
        raise RequestError(f"{field('cache_dtype')}: {error.text}") from None
    try:
        return alone.on(ask.spread)
    except RequestError as error:
        said = f"{field('gpus')}: {error.text}" if ask.layout is None else _advised(error.text, alone, ask.layout)
        raise RequestError(said) from None


def _alone(spec: ModelSpec, ask: Ask, context: int) -> Server:
    """The server before it is spread over devices, with its draft."""
    _check(spec, ask, context)
    weights = format_of(spec, ask.dtype)
    states = state_formats(spec, ask.state_dtype, weights)
    keeping = Keeping(*states, ask.cache_form, ask.window_cache, ask.by_sequences)
    draft = None
    if ask.draft is not None:
        draft = _alone(ask.draft, ask._replace(draft=None, draft_tokens=0, padding="none"), context)
    return Server(
        spec,
        keeping.kept(lower(spec)),
        weights,
        cache_format_of(ask.cache_dtype, weights),
        ask.batch,
        context,
        ask.page,
        ask.chunk,
        keeping,
        ask.padding,
        prefix=ask.prefix,
        verified=ask.draft_tokens + 1,
        draft=draft,
    )


def _advised(problem: str, server: Server, layout: ServingLayout) -> str:
    """What is wrong with a layout, with the nearest one that is accepted."""
    nearest = next(accepted(server, layout), None) if ": use " in problem else None
    return problem if nearest is None else f"{problem.rpartition(': use ')[0]}: use {spelled(nearest)}"


def _check(spec: ModelSpec, ask: Ask, context: int) -> None:
    """Raises `RequestError` for what cannot be served so."""
    if spec.kind != "decoder" and (ask.prefix or ask.draft is not None or ask.draft_tokens or ask.by_sequences):
        raise RequestError(
            f"{spec.label} is an {spec.kind}: {field('prefix')}, {field('draft')}, {field('draft_tokens')} and {field('split_cache')} are known of decoders alone"
        )
    if ask.prefix >= context:
        raise RequestError(
            f"a prefix of {ask.prefix:,} leaves nothing of sequences of {context:,} tokens: set {field('prefix')} to less"
        )
    if ask.draft is not None and ask.draft.kind != "decoder":
        raise RequestError(f"{field('draft')}: {ask.draft.label} is an {ask.draft.kind}, and only a decoder can guess")
    if ask.draft is not None and ask.spread.pipeline > 1:
        raise RequestError(
            f"a draft is known beside a model in one stage: drop {field('draft')}, or use {field('pipeline', 1)}"
        )
    if ask.padding != "none" and not has_padded_experts(lower(spec), format_of(spec, ask.dtype)):
        raise RequestError(
            f"{field('padding', ask.padding)} is of routed experts in {PADDED}, which {spec.label} has not: drop it, or use {field('dtype', PADDED)}"
            if any(map(is_routed, lower(spec).entries))
            else f"{field('padding', ask.padding)} is of routed experts, which {spec.label} has not: drop it"
        )


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


def _capacity(ask: Ask) -> Capacity | None:
    if ask.hardware is None:
        return None
    return serving_capacity(ask.hardware.device(), ask.devices, ask.memory_share, ask.spread.groups)


def _room(server: Server, usable: int) -> Room:
    return Room(
        largest(lambda batch: most_held(server._replace(batch=batch)) <= usable, MOST_BATCH),
        largest(lambda context: most_held(server._replace(context=context)) <= usable, MOST_CONTEXT),
    )


def _of_one(server: Server, capacity: Capacity) -> OfOne:
    return OfOne(
        lambda: capacity.verdict(held(server._replace(batch=1)).total),
        lambda: capacity.verdict(held(server._replace(context=1)).total),
    )


def _title(spec: ModelSpec, server: Server, ask: Ask, total: int, verdict: str | None) -> str:
    sequences = "one sequence" if server.batch == 1 else f"{server.batch:,} sequences"
    takes = f"takes {number_text(total, 'decimal', 'B')}"
    what = f"{spec.label} in {server.format.name}, {sequences} of {server.context:,} tokens, {takes}"
    layout = ask.spread
    ways = "" if layout.is_tensor_alone or layout.devices == 1 else f" ({in_words(layout)})"
    which = "each" if layout.pipeline == 1 else "the fullest"
    if ask.hardware is None:
        return what if ask.devices == 1 else f"{what} on {which} of {ask.devices:,} devices{ways}"
    where = ask.hardware.label if ask.devices == 1 else f"{which} of {ask.devices:,} × {ask.hardware.label}{ways}"
    return f"{what} on {where}: {verdict}"


def _part(one: Held, part: str, known: Known, weights: Known) -> Figure:
    """What a device holds of a part; `known`: how the sum of all is, by a convention or resting on an assumed context."""
    if part == "weights":
        return Figure(one.weights, BYTES, weights)
    counted = part == "kv_cache" and known != "assumed"
    return Figure(getattr(one, part), BYTES, "exact" if counted else known)


def _parts(server: Server, one: Held, known: Known, weights: Known) -> dict[str, Figure]:
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
    capacity = _capacity(ask)
    usable = None if capacity is None else capacity.usable

    def parts(length: int) -> Mapping[str, Figure]:
        longer = server._replace(context=length)
        return _parts(longer, held(longer), "convention", "convention")

    longest = None if usable is None else _room(server, usable).context
    return growth(server.context, usable, longest, parts)
