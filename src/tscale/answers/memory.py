"""`tscale memory`: what a device holds while it serves a model, whether that fits, and how much more would."""

from __future__ import annotations

from fractions import Fraction
from typing import Final, NamedTuple

from tscale.answers.common import context_of, line_figures, notes_of, share, steps_of, summed
from tscale.answers.memory_changes import Change, changes_table, single_changes
from tscale.answers.memory_held import Held, Server, held
from tscale.core.device import Device
from tscale.core.formats import FORMATS, Format
from tscale.core.ledger import Cache
from tscale.core.numbers import MOST_CONTEXT, Remembered, named
from tscale.core.plan import Plan
from tscale.core.quantity import Cell, Column, Data, Figure, Known, Missing, Report, Step, Table
from tscale.core.questions.cache import LEAVES_OUT as CACHE_LEAVES_OUT
from tscale.core.questions.cache import check_rows, growing
from tscale.core.questions.largest import largest
from tscale.core.questions.weights import LEAVES_OUT as WEIGHTS_LEAVE_OUT
from tscale.core.questions.weights import kept_in
from tscale.core.questions.workspace import LEAVES_OUT as WORKSPACE_LEAVES_OUT
from tscale.core.shard import division
from tscale.core.units import BYTES, COUNT, TOKENS, Unit
from tscale.spec.hardware import Hardware
from tscale.spec.lower import lower
from tscale.spec.model import ModelSpec, remembered

MOST_BATCH: Final = 10**9
MEMORY_SHARE: Final = Fraction(9, 10)
SHARE_SOURCE: Final = "vllm2023 gpu_memory_utilization"


class Ask(NamedTuple):
    """How a model is to be served, and on what, where that is given."""

    dtype: Format = FORMATS["bf16"]
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
    server = _server(spec, ask, int(context.value))
    check_rows(server.whole, server.cache_format)
    one = held(server)
    told = _remembered(server)
    device = None if ask.hardware is None else ask.hardware.device()
    usable = None if device is None else int(device.memory_bytes * (ask.memory_share or MEMORY_SHARE))
    known: Known = "assumed" if context.known == "assumed" else "convention"
    fits = None if usable is None else one.total <= usable
    room = _Room(0, 0) if usable is None else _room(server, usable)
    options = (
        () if usable is None or fits or ask.hardware is None else single_changes(server, ask.hardware, usable, *room)
    )
    title = _title(spec, server, ask, fits=fits)
    tables = [_table(title, spec.name, one, device, usable, known)]
    if usable is not None:
        tables.append(_room_table(server, room))
    if options:
        tables.append(changes_table(options))
    tables.append(_lines_table(server))
    data: Data = {
        "model": spec.name,
        "title": spec.label,
        "mode": "serve",
        "gpu": None if ask.hardware is None else ask.hardware.name,
        "devices": ask.gpus,
        "dtype": server.format.name,
        "cache_dtype": server.cache_format.name,
        "batch": ask.batch,
        "context": context,
        "page": ask.page,
        "per_device_bytes": {**_bytes_by_part(one, known), "total": Figure(one.total, BYTES, known)},
        "memory_bytes": None if device is None else Figure(device.memory_bytes, BYTES, "cited", _source(ask)),
        "usable_bytes": None if usable is None else Figure(usable, BYTES, "convention", SHARE_SOURCE),
        "missing_bytes": None if usable is None else Figure(max(one.total - usable, 0), BYTES, known),
        "fits": fits,
        "max_batch": None if usable is None else _limit(room.batch, COUNT),
        "max_context": None if usable is None else _limit(room.context, TOKENS),
        "changes": [change.data() for change in options],
        "lines": _lines_data(server),
    }
    notes = notes_of(spec, *_notes(server, ask, context.note, device, room, options))
    steps = _steps(told, spec.name)
    return Report(title, tuple(tables), data, notes, steps, exit_code=3 if fits is False else 0)


def _server(spec: ModelSpec, ask: Ask, context: int) -> Server:
    ledger = lower(spec)
    given = (ask.dtype, _cache_format(ask), ask.batch, context, ask.page, ask.chunk)
    return Server(spec, ledger, ledger, *given, gpus=1).on(ask.gpus)


def _cache_format(ask: Ask) -> Format:
    """What a cache is kept in where nothing is said: 16 bits of the kind that the engine computes in, or 32."""
    if ask.cache_dtype is not None:
        return ask.cache_dtype
    rest = FORMATS[ask.dtype.rest]
    if ask.dtype.scope == "matrices":
        return FORMATS["fp16"]
    return rest


def _source(ask: Ask) -> str:
    return "" if ask.hardware is None else ask.hardware.source


class _Room(NamedTuple):
    """The largest batch at the context that was asked about, and the longest context at the batch; None without an end."""

    batch: int | None
    context: int | None


def _room(server: Server, usable: int) -> _Room:
    return _Room(
        largest(lambda batch: held(server._replace(batch=batch)).total <= usable, MOST_BATCH),
        largest(lambda context: held(server._replace(context=context)).total <= usable, MOST_CONTEXT),
    )


def _limit(value: int | None, unit: Unit) -> Data:
    return None if value is None else Figure(value, unit)


def _title(spec: ModelSpec, server: Server, ask: Ask, *, fits: bool | None) -> str:
    sequences = "one sequence" if server.batch == 1 else f"{server.batch:,} sequences"
    what = f"{spec.label} in {server.format.name}, {sequences} of {server.context:,} tokens"
    if ask.hardware is None:
        return f"{what}: what {'it takes' if ask.gpus == 1 else f'each of {ask.gpus:,} devices takes'}"
    where = ask.hardware.label if ask.gpus == 1 else f"{ask.gpus:,} × {ask.hardware.label}"
    return f"{what} on {where}: {'fits' if fits else 'does not fit'}"


_PARTS: Final = {
    "weights": "weights",
    "kv_cache": "KV cache",
    "activations": "activations",
    "logits": "logits",
}
"""What a serving device holds, and how it is called."""


def _part(one: Held, part: str, known: Known) -> Figure:
    """What a device holds of a part; `known`: how the sum of all is, by a convention or resting on an assumed context."""
    counted = part == "weights" or (part == "kv_cache" and known != "assumed")
    return Figure(getattr(one, part), BYTES, "exact" if counted else known)


def _bytes_by_part(one: Held, known: Known) -> dict[str, Data]:
    """By the keys of every answer about memory: what serving does not have is zero."""
    nothing = Figure(0, BYTES)
    parts = ("weights", "gradients", "optimizer", "activations", "logits", "kv_cache")
    return {part: nothing if part in ("gradients", "optimizer") else _part(one, part, known) for part in parts}


def _table(title: str, subject: str, one: Held, device: Device | None, usable: int | None, known: Known) -> Table:
    """What a device holds, each beside the memory that there is, or beside the sum of all."""
    whole = one.total if device is None else device.memory_bytes
    columns = (
        Column("a device holds" if device is None else "of a device's memory", "part", numeric=False),
        Column("bytes", "bytes"),
        Column("share", "share"),
        Column("", "bar", drop=1, numeric=False, bar=True),
    )

    def row(name: str, figure: Figure) -> tuple[Cell, ...]:
        part = share(int(figure.value), whole)
        return (name, figure, part, part)

    rows = [row(name, _part(one, key, known)) for key, name in _PARTS.items() if getattr(one, key)]
    parts = len(rows)
    rows.append(row("total", Figure(one.total, BYTES, known)))
    if usable is not None:
        rows.append(row("usable", Figure(usable, BYTES, "convention", SHARE_SOURCE)))
        left = usable - one.total
        rows.append(row("free" if left >= 0 else "missing", Figure(abs(left), BYTES, known)))
    return Table(title, columns, tuple(rows), subject=subject, totals=frozenset(range(parts, len(rows))))


def _room_table(server: Server, room: _Room) -> Table:
    none: Cell = Missing("none: not even one sequence fits", settled=True)
    no_end: Cell = Missing("no limit: what it keeps does not grow", settled=True)

    def cell(value: int | None, unit: Figure, nothing: Cell) -> Cell:
        return no_end if value is None else (unit._replace(value=value) if value else nothing)

    rows: tuple[tuple[Cell, ...], ...] = (
        (f"the largest batch at {server.context:,} tokens", cell(room.batch, Figure(0, COUNT), none)),
        (
            f"the longest context at a batch of {server.batch:,}",
            cell(room.context, Figure(0, TOKENS), Missing("none: not even one token fits", settled=True)),
        ),
    )
    return Table("", (Column("what fits", "limit", numeric=False), Column("", "value")), rows, aside=True)


def _lines(server: Server) -> list[tuple[str, str, str, int]]:
    """Each thing that a device holds: its name, its format, how it is shared, and its bytes."""
    plan = Plan(tensor=server.gpus)
    entries = {entry.name: entry for entry in server.whole.entries}
    sizes = {line.name: line.value for line in server.weights().lines}
    lines = [
        (kept.entry.name, kept.format.name, division(entries[kept.entry.name], plan), sizes[kept.entry.name])
        for kept in kept_in(server.share, server.format, server.whole)
        if sizes[kept.entry.name]
    ]
    for line in server.cache().lines:
        name = server.cache_format.name
        lines.append((line.name, name, division(entries[line.name], plan), server.batch * line.value))
    lines += [(line.name, "", "", line.value) for line in server.workspace().lines]
    return lines


def _lines_table(server: Server) -> Table:
    columns = (
        Column("line by line", "name", numeric=False),
        Column("kept in", "format", numeric=False),
        Column("on a device", "division", numeric=False),
        Column("bytes", "bytes"),
    )
    shown = columns if server.gpus > 1 else (*columns[:2], columns[3])
    rows: list[tuple[Cell, ...]] = []
    for name, kept, divided, size in _lines(server):
        figure = Figure(size, BYTES)
        rows.append((name, kept, divided, figure) if server.gpus > 1 else (name, kept, figure))
    return Table("", shown, tuple(rows), aside=True)


def _lines_data(server: Server) -> Data:
    return [
        {"name": name, "format": kept or None, "division": divided or None, "bytes": Figure(size, BYTES)}
        for name, kept, divided, size in _lines(server)
    ]


def _remembered(server: Server) -> Server:
    """The same server on numbers that remember how they were made."""
    told = server._replace(
        batch=Remembered(server.batch, label="batch"),
        context=Remembered(server.context, label="context"),
        page=None if server.page is None else Remembered(server.page, label="page"),
        chunk=Remembered(server.chunk, label="chunk"),
        gpus=Remembered(server.gpus, label="gpus") if server.gpus > 1 else 1,
    )
    return told.of(remembered(server.spec))


def _steps(server: Server, subject: str) -> tuple[Step, ...]:
    """How each part of the total was made; a line of the weights has the source of the format that it is kept in."""
    weights, cache, workspace = server.weights(), server.cache(), server.workspace()
    kept = {kept.entry.name: kept.format for kept in kept_in(server.share, server.format, server.whole)}
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


_COMPUTES: Final = {"fp8": "fp8", "int8": "int8", "mxfp8": "fp8", "mxfp4": "fp4", "nvfp4": "fp4"}
"""What a device must compute in to multiply weights as they are stored."""


def _notes(
    server: Server, ask: Ask, assumed: str, device: Device | None, room: _Room, options: tuple[Change, ...]
) -> list[str]:
    format = server.format
    said = [assumed, _kept_note(format), _format_note(server)]
    if ask.hardware is not None and device is not None:
        portion = ask.memory_share or MEMORY_SHARE
        whose = "" if ask.memory_share else "as vLLM does where nothing else is set (0.92 in its later releases); "
        said.append(
            f"Usable is {float(portion):.4g} of the {device.memory_bytes / 10**9:,g} GB that the vendor states, {whose}"
            f"--memory-share {'changes that' if ask.memory_share else 'sets it'}."
        )
        wanted = _COMPUTES.get(format.name)
        if wanted is not None and wanted not in device.flops_per_second:
            said.append(
                f"{ask.hardware.label} does not compute in {wanted}: it can store weights so, and unpacks them to 16 bits."
            )
        joined = ask.hardware.devices_per_node or 1
        if ask.gpus > joined:
            said.append(f"{ask.gpus:,} devices are more than a node of {ask.hardware.label} joins ({joined:,}).")
        if held(server).total > int(device.memory_bytes * portion) and not options:
            said.append("No single change that is known here makes it fit.")
    if server.gpus > 1:
        said.append(
            f"Each layer is cut over {server.gpus:,} devices (Shoeybi 2019): key-value heads that are fewer are repeated, a "
            "vocabulary that does not divide is padded, norms and routers are whole on each."
        )
    trained = server.spec.context
    if trained is not None and (server.context > trained or room.context is None or room.context > trained):
        said.append(
            f"{server.spec.label} was trained on {int(trained):,} tokens: longer contexts are what memory allows."
        )
    if server.spec.kind == "encoder-decoder":
        said.append("Source and target are both of the context's length.")
    said.append(
        f"Activations: in a step of a token of each sequence and {server.chunk:,} of a prompt (--chunk), the widest block of a "
        "layer, all of its products at once; no scores are stored. Logits: a row for each sequence in fp32."
    )
    said.append(WEIGHTS_LEAVE_OUT)
    if server.page is None and any(isinstance(entry, Cache) for entry in growing(server.whole).entries):
        said.append(f"{CACHE_LEAVES_OUT} --page adds it.")
    said.append(WORKSPACE_LEAVES_OUT)
    return said


def _kept_note(format: Format) -> str:
    """What a format is not used for."""
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


def _format_note(server: Server) -> str:
    """What the bits of a format are made of, and what stands in for it."""
    format = server.format
    if format.scope == "all":
        return ""
    inside = f" ({format.note})" if format.note else ""
    text = f"A weight in {format.name} takes {float(format.bits):.6g} bits{inside}."
    instead = {
        kept.format.name
        for kept in kept_in(server.share, format, server.whole)
        if kept.format not in (format, FORMATS[format.rest]) or (kept.format.name == format.fallback != format.rest)
    }
    if instead:
        text += f" Rows that are no multiple of {format.multiple} are kept in {' and '.join(sorted(instead))}."
    return text
