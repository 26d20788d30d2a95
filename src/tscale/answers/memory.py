"""`tscale memory`: what a device holds while it serves a model, whether that fits, and how much more would."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final, NamedTuple

from tscale.answers.capacity import (
    Capacity,
    capacity_data,
    capacity_notes,
    exit_code,
    left_out,
    reserve_table,
    serving_capacity,
    verdict_text,
)
from tscale.answers.explaining import context_of, line_figures, notes_of, steps_of, streams_note, summed
from tscale.answers.memory_changes import Change, changes_table, no_change_note, single_changes
from tscale.answers.memory_held import Held, Server, held
from tscale.answers.memory_lines import held_lines, lines_data, lines_table
from tscale.answers.memory_tables import Growth, OfOne, Room, growth, parts_table
from tscale.answers.release import Asked, cache_format_of, format_of
from tscale.catalogue.hardware import Hardware
from tscale.core.costs.cache import LEAVES_OUT as CACHE_LEAVES_OUT
from tscale.core.costs.cache import check_rows, growing
from tscale.core.costs.largest import largest
from tscale.core.costs.weights import LEAVES_OUT as WEIGHTS_LEAVE_OUT
from tscale.core.costs.weights import Mixture, kept_in
from tscale.core.costs.workspace import LEAVES_OUT as WORKSPACE_LEAVES_OUT
from tscale.core.dtypes import FORMATS, Format, computed_in
from tscale.core.ledger import Cache
from tscale.core.metric import Data, Figure, Known, Report, Step
from tscale.core.tracing import MOST_CONTEXT, TracedInt, named
from tscale.core.units import BYTES
from tscale.errors import RequestError
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec, remembered

MOST_BATCH: Final = 10**9


class Ask(NamedTuple):
    """How a model is to be served, and on what, where that is given; `dtype` None: as it is released, or in bf16."""

    dtype: Format | None = None
    cache_dtype: Format | None = None
    batch: int = 1
    context: int | None = None
    page: int | None = None
    chunk: int = 2048
    gpus: int = 1
    memory_share: Fraction | None = None
    hardware: Hardware | None = None


def memory_report(spec: ModelSpec, ask: Ask) -> Report:
    """Weights, cache and workspace of one device, whether they fit, and what else would. Exit code 3 where they do not."""
    context = context_of(spec, ask.context)
    server = server_of(spec, ask, int(context.value))
    one = held(server)
    capacity = _capacity(ask)
    asked = Asked(spec, ask.dtype, ask.cache_dtype)
    known: Known = "assumed" if context.known == "assumed" or asked.known == "assumed" else "convention"
    room = None if capacity is None else _room(server, capacity.usable)
    options: tuple[Change, ...] = ()
    if ask.hardware is not None and capacity is not None and room is not None and not capacity.fits(one.total):
        options = single_changes(server, ask.hardware, capacity, *room)
    title = _title(spec, server, ask, None if capacity is None else verdict_text(capacity, one.total))
    total = Figure(one.total, BYTES, known)
    tables = [parts_table(title, spec.name, _parts(server, one, known, asked.known), total, capacity)]
    if capacity is not None and room is not None:
        of_batch, of_context = f"at {server.context:,} tokens", f"at a batch of {server.batch:,}"
        one_each = _of_one(server, capacity)
        tables.append(
            room.table(f"the largest batch {of_batch}", f"the longest context {of_context}", capacity, one_each)
        )
        if options:
            tables.append(changes_table(options, capacity.verdict(one.total)))
    lines = held_lines(server)
    tables.append(lines_table(lines, cut=server.gpus > 1))
    if capacity is not None and capacity.share is None:
        tables.append(reserve_table(capacity.reserve))
    data: Data = {
        "model": spec.name,
        "title": spec.label,
        "mode": "serve",
        "gpu": None if ask.hardware is None else ask.hardware.name,
        "devices": ask.gpus,
        "dtype": server.format.name,
        **asked.data(),
        "cache_dtype": server.cache_format.name,
        "batch": ask.batch,
        "context": context,
        "page": ask.page,
        "per_device_bytes": {**_bytes_by_part(one, known, asked.known), "total": total},
        **capacity_data(capacity, ask.hardware, one.total, known),
        **(Room(None, None) if room is None else room).data(),
        "changes": [change.data() for change in options],
        "lines": lines_data(lines),
    }
    notes = notes_of(spec, *_notes(server, ask, context.note, capacity, room, options))
    steps = _steps(_remembered(server), spec.name)
    code = exit_code(capacity, one.total)
    return Report(title, tuple(tables), data, notes, steps, exit_code=code, lead=asked.lead())


def server_of(spec: ModelSpec, ask: Ask, context: int) -> Server:
    """Raises `RequestError` for devices that cannot share the model, and for a cache that its format cannot hold."""
    ledger = lower(spec)
    weights = format_of(spec, ask.dtype)
    given = (weights, cache_format_of(spec, ask.cache_dtype, weights), ask.batch, context, ask.page, ask.chunk)
    alone = Server(spec, ledger, ledger, *given, gpus=1)
    option = "--cache-dtype"
    try:
        check_rows(ledger, alone.cache_format)
        option = "--gpus"
        return alone.on(ask.gpus)
    except RequestError as error:
        raise RequestError(f"{option}: {error}") from None


def _capacity(ask: Ask) -> Capacity | None:
    return None if ask.hardware is None else serving_capacity(ask.hardware.device(), ask.gpus, ask.memory_share)


def _room(server: Server, usable: int) -> Room:
    return Room(
        largest(lambda batch: held(server._replace(batch=batch)).total <= usable, MOST_BATCH),
        largest(lambda context: held(server._replace(context=context)).total <= usable, MOST_CONTEXT),
    )


def _of_one(server: Server, capacity: Capacity) -> OfOne:
    return OfOne(
        lambda: capacity.verdict(held(server._replace(batch=1)).total),
        lambda: capacity.verdict(held(server._replace(context=1)).total),
    )


def _title(spec: ModelSpec, server: Server, ask: Ask, verdict: str | None) -> str:
    sequences = "one sequence" if server.batch == 1 else f"{server.batch:,} sequences"
    what = f"{spec.label} in {server.format.name}, {sequences} of {server.context:,} tokens"
    if ask.hardware is None:
        return f"{what}: what {'it takes' if ask.gpus == 1 else f'each of {ask.gpus:,} devices takes'}"
    where = ask.hardware.label if ask.gpus == 1 else f"{ask.gpus:,} × {ask.hardware.label}"
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


def _remembered(server: Server) -> Server:
    """The same server on numbers that remember how they were made."""
    told = server._replace(
        batch=TracedInt(server.batch, label="batch"),
        context=TracedInt(server.context, label="context"),
        page=None if server.page is None else TracedInt(server.page, label="page"),
        chunk=TracedInt(server.chunk, label="chunk"),
        gpus=TracedInt(server.gpus, label="gpus") if server.gpus > 1 else 1,
    )
    return told.of(remembered(server.spec))


def _steps(server: Server, subject: str) -> tuple[Step, ...]:
    """How each part of the total was made; a line of the weights has the source of the format that it is kept in."""
    weights, cache, workspace = server.weights(), server.cache(), server.workspace()
    kept = {
        kept.entry.name: kept.format for kept in kept_in(server.share, server.format, server.whole)
    }  # of several, one
    activations, logits = (line.value for line in workspace.lines)
    parts = {
        "weights": (summed(weights.lines, "weights."), ""),
        "kv_cache": (server.batch * named("cache_of_a_sequence", summed(cache.lines)), cache.source),
        "activations": (activations, ""),
        "logits": (logits, ""),
    }
    figures = [
        *((f"weights.{name}", Figure(value, BYTES, source=kept[name].source)) for name, value in weights.lines),
        *line_figures(cache.lines, BYTES, cache.source),
        *((name, Figure(value, BYTES, source=source)) for name, (value, source) in parts.items()),
        ("total", Figure(sum(named(name, value) for name, (value, _) in parts.items()), BYTES)),
    ]
    return tuple(steps_of(figures, f"{subject}, a device"))


def _notes(
    server: Server, ask: Ask, assumed: str, capacity: Capacity | None, room: Room | None, options: tuple[Change, ...]
) -> list[str]:
    format, total = server.format, held(server).total
    said = [assumed]
    if ask.hardware is not None and capacity is not None:
        said += capacity_notes(capacity, ask.hardware, total)
    said += [_kept_note(format), *_format_notes(server)]
    if ask.hardware is not None and capacity is not None:
        peaks = capacity.device.flops_per_second
        names = [format.name] if isinstance(format, Format) else [each.name for each in format.formats()]
        wanted = [own for own in dict.fromkeys(map(computed_in, names)) if own and own not in peaks]
        said += [
            f"{ask.hardware.label} does not compute in {own}: it stores weights so, and dequantises them to 16 bits."
            for own in wanted
        ]
        joined = ask.hardware.devices_per_node
        if joined is not None and ask.gpus > joined:
            said.append(f"{ask.gpus:,} devices are more than the {joined:,} that a node of {ask.hardware.label} joins.")
        elif joined is None and ask.gpus > 1:
            said.append(f"How many devices of {ask.hardware.label} a node has is not known here.")
        if not capacity.fits(total) and not options:
            said.append(no_change_note(capacity.verdict(total)))
    if server.gpus > 1:
        said.append(
            f"Each layer is divided over {server.gpus:,} devices (Shoeybi 2019): key-value heads that are fewer are replicated, a "
            "vocabulary that does not divide is padded, norms and routers are replicated."
        )
    trained = server.spec.context
    longest = server.context if room is None else room.context
    if trained is not None and server.context <= trained and (longest is None or longest > trained):
        said.append(
            f"{server.spec.label} was trained on {int(trained):,} tokens: longer contexts are what memory allows."
        )
    if server.spec.kind == "encoder-decoder":
        said.append(streams_note(server.spec))
    said.append(
        f"Activations: in a step of a token of each sequence and {server.chunk:,} of a prompt (--chunk), the widest block of a "
        "layer, all of its products at once; no scores are stored. Logits: a row for each sequence in fp32."
    )
    said.append(WEIGHTS_LEAVE_OUT)
    if server.page is None and any(isinstance(entry, Cache) for entry in growing(server.whole).entries):
        said.append(f"{CACHE_LEAVES_OUT} --page adds it.")
    said.append(left_out(capacity, WORKSPACE_LEAVES_OUT))
    return said


def _kept_note(format: Format | Mixture) -> str:
    """What a format is not used for; of a release, that stands above the figures."""
    if isinstance(format, Mixture):
        return ""
    match format.scope:
        case "all":
            return ""
        case "linear":
            return f"In {format.name} are the matrices of layers; embeddings, head, routers, norms and biases stay in bf16."
        case "experts":
            return f"In {format.name} are routed experts, or in a model without them its layers' matrices; the rest stays in bf16."
        case "matrices":
            return (
                f"All matrices are in {format.name}, as llama.cpp's --pure does; positions, routers, norms and biases stay in "
                "fp32. Its presets mix several formats."
            )


def _format_notes(server: Server) -> list[str]:
    """What the bits of each format are made of, and what stands in for it."""
    format = server.format
    if isinstance(format, Mixture):
        return [_bits_note(each) for each in format.formats() if each.scope != "all"]
    return [] if format.scope == "all" else [_bits_note(format) + _instead_note(server, format)]


def _bits_note(format: Format) -> str:
    inside = f" ({format.note})" if format.note else ""
    return f"A weight in {format.name} takes {float(format.bits_with_scales):.6g} bits{inside}."


def _instead_note(server: Server, format: Format) -> str:
    """What rows are kept in that the blocks of a format do not divide, where there are any."""
    instead = {
        kept.format.name
        for kept in kept_in(server.share, format, server.whole)
        if kept.format not in (format, FORMATS[format.rest]) or (kept.format.name == format.fallback != format.rest)
    }
    if not instead:
        return ""
    return f" Rows that are no multiple of {format.multiple} are kept in {' and '.join(sorted(instead))}."


def serving_growth(spec: ModelSpec, ask: Ask) -> Growth:
    """The parts of `memory_report` at many contexts."""
    context = context_of(spec, ask.context)
    server = server_of(spec, ask, int(context.value))
    capacity = _capacity(ask)
    usable = None if capacity is None else capacity.usable

    def parts(length: int) -> Mapping[str, Figure]:
        longer = server._replace(context=length)
        return _parts(longer, held(longer), "convention", "convention")

    longest = None if usable is None else _room(server, usable).context
    return growth(server.context, usable, longest, parts)
