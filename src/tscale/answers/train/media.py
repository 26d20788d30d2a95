"""Of `tscale train`: images and sounds in each sequence, and what of a run's FLOPs are those of towers."""

from __future__ import annotations

from collections.abc import Iterator

from tscale.answers.explaining import TracedModel
from tscale.answers.media import Media, check_fits, media_costs, media_notes, tower_passes
from tscale.answers.trained import Trained
from tscale.core.metric import Column, Data, Figure, Table
from tscale.core.units import COUNT, FLOPS, TOKENS
from tscale.models.spec import ModelSpec


def with_towers(model: TracedModel, media: Media) -> TracedModel:
    """The model with its towers in one ledger, where something runs through them."""
    return model._replace(ledger=model.ledger.whole) if media.any else model


def trained_on_media(run: Trained, spec: ModelSpec, media: Media) -> Trained:
    """The run with images and sounds in each of its sequences. Raises `RequestError` where these do not hold them."""
    if not media.any:
        return run
    costs = media_costs(spec, media)
    for stage in run.stages:
        check_fits(costs, int(stage.run.tokens))
    return run.with_media(tower_passes(spec, media))


def run_media_table(spec: ModelSpec, media: Media) -> Iterator[Table]:
    """Tokens of each kind in a sequence, and FLOPs of its towers; nothing where there are none."""
    costs = media_costs(spec, media)
    if not costs:
        return
    columns = (
        Column("in each sequence", "media", numeric=False),
        Column("tokens", "tokens"),
        Column("tower FLOPs, forward", "tower_flops"),
    )
    rows = ((cost.name, Figure(cost.tokens, TOKENS), Figure(cost.flops.total, FLOPS)) for cost in costs)
    yield Table("", columns, tuple(rows), aside=True)


def run_media_data(spec: ModelSpec, media: Media) -> dict[str, Data]:
    """The same for JSON."""
    costs = media_costs(spec, media)
    if not costs:
        return {}
    return {
        "media": [
            {
                "media": cost.key,
                "count": Figure(cost.many, COUNT),
                "tokens": Figure(cost.tokens, TOKENS),
                "tower_flops": Figure(cost.flops.total, FLOPS),
            }
            for cost in costs
        ]
    }


def run_media_notes(spec: ModelSpec, media: Media, *, planned: bool) -> Iterator[str]:
    """How towers are trained and timed."""
    if not media.any:
        return
    yield (
        "Each sequence has these images and sounds among its tokens; towers and projectors train with the rest, and FLOPs and MFU "
        "count theirs three times too, with the pairs that they score."
    )
    if planned:
        yield (
            "Towers run on the first stage, whole on each device of tensor or context parallelism; a bound lets these share them. "
            "A prediction takes them to reach what the language model reaches, which was not measured."
        )
    yield from media_notes(media, media_costs(spec, media))
