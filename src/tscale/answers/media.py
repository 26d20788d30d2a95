"""Images, videos and sounds of a sequence as a table, as data and in words."""

from __future__ import annotations

from tscale.core.metric import Column, Figure, Table
from tscale.core.units import FLOPS
from tscale.core.view import Record, view
from tscale.estimates.media import ASSUMED_SIDE, Media, MediaCost, language_flops, media_data
from tscale.models.spec import ModelSpec


def media_table(spec: ModelSpec, costs: tuple[MediaCost, ...], context: int) -> Table:
    """The same for people, towers and all of it summed."""
    columns = (
        Column("in a sequence", "media", numeric=False),
        Column("tokens", "tokens"),
        Column("towers", "tower_flops"),
        Column("projector", "projector_flops", of="flops.projector"),
        Column("language model", "language_model_flops", of="flops.language_model"),
        Column("FLOPs", "flops", of="total"),
    )
    rows: list[Record] = []
    for cost, record in zip(costs, media_data(spec, costs, context), strict=True):
        towers = cost.flops.vision_tower + cost.flops.audio_tower
        total = cost.flops.total + language_flops(spec, cost, context)
        rows.append({**record, "tower_flops": Figure(towers, FLOPS), "total": Figure(total, FLOPS)})
    return view("", columns, rows, aside=True)


def media_notes(media: Media, costs: tuple[MediaCost, ...]) -> tuple[str, ...]:
    """How the tokens were counted, and what size is assumed."""
    if not costs:
        return ()
    seen = bool(media.images or media.frames)
    rule = "Tokens are counted as the family's processor does by default; its own file may set other sizes (towers.0.input)."
    sized = f" Images of {ASSUMED_SIDE:,}x{ASSUMED_SIDE:,} pixels are assumed: --image-size sets others."
    return (rule + (sized if seen and not media.sized else ""),)
