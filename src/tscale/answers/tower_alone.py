"""Answers about a tower without a text model: its parameters, and FLOPs of the images or sounds that run through it."""

from __future__ import annotations

from tscale.answers.params.lines import COLUMNS, line_data, line_row, sum_row
from tscale.blocks.tower_inputs import Sound
from tscale.blocks.tower_pieces import TowerLayers
from tscale.core.costs.params import params
from tscale.core.costs.weights import weight_bytes
from tscale.core.dtypes import DTYPES
from tscale.core.ledger import Buffer, Cache, Scan, Scores
from tscale.core.metric import Column, Data, Derivations, Figure, Label, Report, Table
from tscale.core.number_text import number_text
from tscale.core.units import BYTES, COUNT, FLOPS, PARAMETERS
from tscale.core.view import Record, view
from tscale.errors import RequestError, field
from tscale.estimates.explaining import source_text, steps_of, summed
from tscale.estimates.media import ASSUMED_SIDE, Media, MediaCost, media_costs
from tscale.models.tower_spec import TowerSpec

_COSTS = (
    Column("in one pass", "media", numeric=False),
    Column("outputs", "outputs"),
    Column("forward FLOPs", "forward_flops"),
    Column("training FLOPs", "training_flops"),
)


def params_of_tower(spec: TowerSpec) -> Report:
    """Parameters of a tower, line by line."""
    ledger, source = spec.traced().ledger(), spec.sources[0] if spec.sources else ""
    found = params(ledger).lines
    total = summed(found)
    figures = [(line.name, Figure(line.value, PARAMETERS, source=source)) for line in found]
    owners = [entry for entry in ledger.entries if not isinstance(entry, (Buffer, Scores, Scan, Cache))]
    lines = [(entry, figure) for entry, (_, figure) in zip(owners, figures, strict=True)]
    whole = Figure(total, PARAMETERS)
    sums = {
        "total": whole,
        spec.towers[0].part: whole,
        "embedding": Figure(0, PARAMETERS),
        "non_embedding": whole,
        "active": whole,
    }
    rows = [line_row(entry, figure, int(total)) for entry, figure in lines]
    shape = f" ({source_text(source)})" if source else ""
    title = f"{spec.label} has {int(total):,} parameters, counted from its shape{shape}"
    data: Data = {
        "model": spec.name,
        "title": spec.label,
        "params": sums,
        "lines": [line_data(entry, figure) for entry, figure in lines],
        "published": {},
    }
    last = sum_row(Label("total", "total"), whole, int(total))
    table = view(title, COLUMNS, (*rows, last), subject=spec.name, totals=frozenset({len(rows)}))
    steps = Derivations(lambda: steps_of([*figures, ("total", whole)], spec.name))
    return Report(f"{spec.label}: parameters", (table,), data, _notes(spec), steps)


def flops_of_tower(spec: TowerSpec, media: Media, about_text: dict[str, object]) -> Report:
    """Forward and training FLOPs of images or sounds; of one image where neither is asked for.

    Raises `RequestError` for options about text, and for a sound without a length.
    """
    _check_text(spec, about_text)
    asked, costs = media_of_tower(spec, media)
    total = sum(cost.flops.total for cost in costs)
    what = " and ".join(cost.name for cost in costs)
    title = f"{spec.label} takes {number_text(total, 'power')} FLOPs forward for {what}"
    records = [_data(cost) for cost in costs]
    rows = ({**record, "media": cost.name} for record, cost in zip(records, costs, strict=True))
    table = view(title, _COSTS, rows, subject=spec.name)
    data: Data = {
        "model": spec.name,
        "title": spec.label,
        "params": Figure(params(spec.ledger()).total, PARAMETERS),
        "media": records,
        "forward_flops": Figure(total, FLOPS),
        "training_flops": Figure(3 * total, FLOPS),
    }
    return Report(title, (table,), data, (*_notes(spec), *_how(spec, asked), _LEFT_OUT))


def quantities_of_tower(spec: TowerSpec) -> dict[str, tuple[str, Figure]]:
    """Parameters of a tower, its layers, and outputs and FLOPs of an image, or of the shortest sound that it reads, with their names."""
    ledger = spec.ledger()
    read = spec.towers[0].input
    piece = (isinstance(read, Sound) and read.piece_seconds) or 1
    once = Media(seconds=piece) if spec.reads == "sounds" else Media(images=1)
    cost = media_costs(spec, once)[0] if read is not None else None
    layers = sum(piece.layers for tower in spec.towers for piece in tower.pieces if isinstance(piece, TowerLayers))
    answers: dict[str, tuple[str, Figure]] = {
        "params": ("parameters", Figure(params(ledger).total, PARAMETERS)),
        "layers": ("layers", Figure(layers, COUNT)),
    }
    if cost is not None:
        sound = "a second of sound" if piece == 1 else f"{piece} seconds of sound, read whole"
        what = sound if once.seconds else "an image"
        answers["outputs"] = (f"outputs of {what}", Figure(cost.tokens, COUNT))
        answers["forward_flops"] = (f"forward FLOPs of {what}", Figure(cost.flops.total, FLOPS))
    return answers


def summary_of_tower(spec: TowerSpec) -> Report:
    """The same as a table, and the bytes of its weights in 16 and in 32 bits."""
    ledger, answers = spec.ledger(), quantities_of_tower(spec)
    weights = {name: Figure(weight_bytes(ledger, DTYPES[name]).total, BYTES) for name in ("bf16", "fp32")}
    total = number_text(int(params(ledger).total), "decimal")
    title = f"{spec.label} reads {spec.reads} alone and has {total} parameters"
    columns = (Column("quantity", "quantity", numeric=False), Column("value", "value"))
    rows = (*answers.values(), *((f"weights, {name}", figure) for name, figure in weights.items()))
    data: Data = {
        "model": spec.name,
        "title": spec.label,
        **{key: figure for key, (_, figure) in answers.items()},
        "weight_bytes": weights,
    }
    return Report(title, (Table(title, columns, rows, subject=spec.name),), data, _notes(spec))


def media_of_tower(spec: TowerSpec, media: Media) -> tuple[Media, tuple[MediaCost, ...]]:
    """What runs through a tower, one image where nothing is asked for, and what it costs.

    Raises `RequestError` for a sound without a length, and for the size of images that are all brought to one.
    """
    if not media.any and spec.reads == "sounds":
        raise RequestError(f"{spec.label} reads sounds: {field('audio_seconds')} says how long one is, such as 10")
    if media.sized and _is_fixed(spec):
        raise RequestError(
            f"{field('image_size')}: every image that {spec.label} reads is brought to one size: drop it"
        )
    asked = media if media.any else media._replace(images=1)
    costs = media_costs(spec, asked)
    if _is_fixed(spec):  # the size in its name is none that it was asked for
        costs = tuple(cost._replace(name=cost.name.partition(" of ")[0]) for cost in costs)
    return asked, costs


def _check_text(spec: TowerSpec, about_text: dict[str, object]) -> None:
    """Raises `RequestError` for what is of text."""
    named = [option for option, value in about_text.items() if value is not None]
    if named:
        raise RequestError(f"{named[0]} is about text, and {spec.label} reads {spec.reads} alone: drop it")


def _is_fixed(spec: TowerSpec) -> bool:
    reading = spec.towers[0].input
    return reading is not None and reading.kind == "fixed"


_LEFT_OUT = "Training takes the forward pass three times. Not counted: softmax, norms, activations, biases and other elementwise work."


def _data(cost: MediaCost) -> Record:
    return {
        "media": cost.key,
        "count": Figure(cost.many, COUNT),
        "outputs": Figure(cost.tokens, COUNT),
        "forward_flops": Figure(cost.flops.total, FLOPS),
        "training_flops": Figure(3 * cost.flops.total, FLOPS),
    }


def _how(spec: TowerSpec, media: Media) -> tuple[str, ...]:
    """How media become positions."""
    reading = spec.towers[0].input
    if reading is None:
        return ()
    if reading.kind == "sound":
        second = reading.positions_per_second
        return (
            f"A second of sound is counted as {second} positions; the class, which pads nothing, makes one fewer of a sound.",
        )
    if reading.kind == "fixed":
        return ("Every image is brought to the size that the tower was made for.",)
    return (
        ()
        if media.sized
        else (f"Images of {ASSUMED_SIDE:,}x{ASSUMED_SIDE:,} pixels are assumed: --image-size sets others.",)
    )


def _notes(spec: TowerSpec) -> tuple[str, ...]:
    return tuple(f"{spec.label}: {note}" for note in spec.notes)
