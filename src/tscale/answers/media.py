"""Images, videos and sounds of a sequence as a table, as data and in words."""

from __future__ import annotations

from tscale.core.metric import Cell, Column, Data, Figure, Table
from tscale.core.tracing import ceil_div
from tscale.core.units import COUNT, FLOPS, TOKENS
from tscale.estimates.media import ASSUMED_SIDE, Media, MediaCost
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec


def media_table(spec: ModelSpec, costs: tuple[MediaCost, ...], context: int) -> Table:
    """Tokens and FLOPs of each kind, the language model's for its tokens included."""
    columns = (
        Column("in a sequence", "media", numeric=False),
        Column("tokens", "tokens"),
        Column("towers", "tower_flops"),
        Column("projector", "projector_flops"),
        Column("language model", "language_model_flops"),
        Column("FLOPs", "flops"),
    )
    rows: list[tuple[Cell, ...]] = []
    for cost in costs:
        own = language_flops(spec, cost.tokens, context)
        towers = cost.flops.vision_tower + cost.flops.audio_tower
        figures = (towers, cost.flops.projector, own, cost.flops.total + own)
        rows.append((cost.name, Figure(cost.tokens, TOKENS), *(Figure(value, FLOPS) for value in figures)))
    return Table("", columns, tuple(rows), aside=True)


def language_flops(spec: ModelSpec, tokens: int, context: int) -> int:
    """FLOPs of the language model for some of a sequence's tokens, at the average of its tokens."""
    from tscale.core.costs.forward import forward_flops

    run = run_of(spec, context)
    return ceil_div(tokens * int(forward_flops(lower(spec), run).total), int(run.tokens))


def media_data(spec: ModelSpec, costs: tuple[MediaCost, ...], context: int) -> Data:
    """For JSON."""
    return [
        {
            "media": cost.key,
            "count": Figure(cost.many, COUNT),
            "tokens": Figure(cost.tokens, TOKENS),
            "flops": {
                "vision_tower": Figure(cost.flops.vision_tower, FLOPS),
                "audio_tower": Figure(cost.flops.audio_tower, FLOPS),
                "projector": Figure(cost.flops.projector, FLOPS),
                "language_model": Figure(language_flops(spec, cost.tokens, context), FLOPS),
            },
        }
        for cost in costs
    ]


def media_notes(media: Media, costs: tuple[MediaCost, ...]) -> tuple[str, ...]:
    """How the tokens were counted, and what size is assumed."""
    if not costs:
        return ()
    seen = bool(media.images or media.frames)
    rule = "Tokens are counted as the family's processor does by default; its own file may set other sizes (towers.0.input)."
    sized = f" Images of {ASSUMED_SIDE:,}x{ASSUMED_SIDE:,} pixels are assumed: --image-size sets others."
    return (rule + (sized if seen and not media.sized else ""),)
