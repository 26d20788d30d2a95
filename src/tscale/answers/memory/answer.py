"""`tscale memory`: what a device holds while it serves a model, whether that fits, and how much more would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tscale.answers.capacity import reserve_tables
from tscale.answers.memory.notes import serving_notes
from tscale.answers.memory.tables import (
    changes_table,
    contexts_table,
    lines_data,
    lines_table,
    parts_table,
    room_table,
)
from tscale.catalogue.judged import judged
from tscale.core.metric import Data, Derivations, Report, Table
from tscale.core.number_text import number_text
from tscale.estimates.capacity import Capacity, exit_code, on_devices, verdict_text
from tscale.estimates.explaining import OF_SERVING, notes_of
from tscale.estimates.judged import errors_data
from tscale.estimates.memory.answered import answered, at_contexts, figures_of, parts_of
from tscale.estimates.memory.changes import Change, single_changes
from tscale.estimates.memory.held import Server, held
from tscale.estimates.memory.layout import in_words
from tscale.estimates.memory.lines import held_lines
from tscale.estimates.memory.room import Room
from tscale.estimates.memory.serving import Ask
from tscale.estimates.memory.steps import serving_steps
from tscale.models.spec import ModelSpec

if TYPE_CHECKING:
    from tscale.answers.memory.media import MediaHeld
    from tscale.estimates.media import Media


def memory_report(spec: ModelSpec, ask: Ask) -> Report:
    """Weights, cache and workspace of one device, whether they fit, and what else would. Exit code 3 where they do not."""
    found = answered(spec, ask)
    server, place, one, capacity, room = found.server, found.place, found.one, found.capacity, found.room
    options = _options(server, ask, capacity, room, one.total)
    title = _title(spec, server, ask, one.total, None if capacity is None else verdict_text(capacity, one.total))
    contexts = tuple(at_contexts(server, capacity, found.known)) if ask.context is None else ()
    lines = held_lines(server, place)
    media = _media(server, place, ask.media)
    tables = [
        parts_table(title, spec.name, parts_of(server, one, found.known, found.asked.known), found.total, capacity),
        *_room_tables(server, capacity, room, options, one.total),
        *([contexts_table(contexts)] if contexts else []),
        *([] if media is None else media.tables),
        lines_table(lines, cut=ask.devices > 1),
        *reserve_tables(capacity),
    ]
    data: Data = {
        "model": spec.name,
        "title": spec.label,
        **figures_of(found),
        "errors": errors_data([("per_device_bytes", judged("memory", "serving"))]),
        "contexts": [at.data() for at in contexts],
        "changes": [change.data() for change in options],
        **({} if media is None else media.data),
        "lines": lines_data(lines),
    }
    notes = notes_of(
        spec,
        *serving_notes(server, ask.hardware, found.context.note, capacity, room, options),
        *(() if media is None else media.notes),
        about=OF_SERVING,
    )
    steps = Derivations(lambda: serving_steps(server, place))
    code = exit_code(capacity, one.total)
    return Report(title, tuple(tables), data, notes, steps, exit_code=code, lead=found.asked.lead())


def _media(server: Server, place: int, media: Media) -> MediaHeld | None:
    """What is said of images and sounds, and of towers; None of a text alone."""
    if not (media.any or server.spec.towers):
        return None
    from tscale.answers.memory.media import media_held

    return media_held(server, place, media)


def _options(server: Server, ask: Ask, capacity: Capacity | None, room: Room | None, total: int) -> tuple[Change, ...]:
    """What would make it fit, where it does not for certain."""
    if ask.hardware is None or capacity is None or room is None or capacity.fits(total):
        return ()
    return single_changes(server, ask, capacity, *room)


def _room_tables(
    server: Server, capacity: Capacity | None, room: Room | None, options: tuple[Change, ...], total: int
) -> Iterator[Table]:
    """How much more would fit, and what would make it fit."""
    if capacity is None or room is None:
        return
    of_batch, of_context = f"at {server.context:,} tokens", f"at a batch of {server.batch:,}"

    def sizes(one: Server) -> Callable[[], tuple[int, int]]:
        return lambda: (held(one).total,) * 2

    titles = f"the largest batch {of_batch}", f"the longest context {of_context}"
    ones = sizes(server._replace(batch=1)), sizes(server._replace(context=1))
    yield room_table(room, *titles, capacity, *ones)
    if options:
        yield changes_table(options, capacity.verdict(total))


def _title(spec: ModelSpec, server: Server, ask: Ask, total: int, verdict: str | None) -> str:
    sequences = "one sequence" if server.batch == 1 else f"{server.batch:,} sequences"
    takes = f"takes {number_text(total, 'decimal', 'B')}"
    what = f"{spec.label} in {server.format.name}, {sequences} of {server.context:,} tokens, {takes}"
    layout = ask.spread
    ways = "" if layout.is_tensor_alone or layout.devices == 1 else f" ({in_words(layout)})"
    which = "each" if layout.pipeline == 1 else "the fullest"
    said = on_devices(what, ask.hardware, ask.devices, which, ways)
    return said if verdict is None else f"{said}: {verdict}"
