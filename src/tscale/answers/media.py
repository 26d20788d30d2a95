"""Images, videos and sounds of a sequence as a table, as data and in words."""

from __future__ import annotations

from tscale.core.costs.forward import forward_flops
from tscale.core.metric import Column, Data, Figure, Label, Table
from tscale.core.tracing import ceil_div
from tscale.core.units import COUNT, FLOPS, TOKENS
from tscale.core.view import Record, view
from tscale.estimates.media import ASSUMED_SIDE, Media, MediaCost
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec


def media_record(cost: MediaCost) -> dict[str, Data]:
    """One kind of them: how many there are, and their tokens in a sequence."""
    return {
        "media": Label(cost.name, cost.key),
        "count": Figure(cost.many, COUNT),
        "tokens": Figure(cost.tokens, TOKENS),
    }


def media_data(spec: ModelSpec, costs: tuple[MediaCost, ...], context: int) -> list[Record]:
    """Tokens and FLOPs of each kind, the language model's for its tokens included."""
    return [
        {
            **media_record(cost),
            "flops": {
                "vision_tower": Figure(cost.flops.vision_tower, FLOPS),
                "audio_tower": Figure(cost.flops.audio_tower, FLOPS),
                "projector": Figure(cost.flops.projector, FLOPS),
                "language_model": Figure(_language_flops(spec, cost.tokens, context), FLOPS),
            },
        }
        for cost in costs
    ]


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
        total = cost.flops.total + _language_flops(spec, cost.tokens, context)
        rows.append({**record, "tower_flops": Figure(towers, FLOPS), "total": Figure(total, FLOPS)})
    return view("", columns, rows, aside=True)


def _language_flops(spec: ModelSpec, tokens: int, context: int) -> int:
    """FLOPs of the language model for some of a sequence's tokens, at the average of its tokens."""
    run = run_of(spec, context)
    return ceil_div(tokens * int(forward_flops(lower(spec), run).total), int(run.tokens))


def media_notes(media: Media, costs: tuple[MediaCost, ...]) -> tuple[str, ...]:
    """How the tokens were counted, and what size is assumed."""
    if not costs:
        return ()
    seen = bool(media.images or media.frames)
    rule = "Tokens are counted as the family's processor does by default; its own file may set other sizes (towers.0.input)."
    sized = f" Images of {ASSUMED_SIDE:,}x{ASSUMED_SIDE:,} pixels are assumed: --image-size sets others."
    return (rule + (sized if seen and not media.sized else ""),)
