"""A run with images and sounds in each sequence: what of it runs through towers."""

from __future__ import annotations

from tscale.core.metric import Figure
from tscale.core.units import FLOPS
from tscale.core.view import Record
from tscale.estimates.explaining import TracedModel
from tscale.estimates.media import Media, check_fits, media_costs, media_record, tower_passes
from tscale.estimates.trained import Trained
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


def run_media_records(spec: ModelSpec, media: Media) -> list[Record]:
    """Tokens of each kind in a sequence, and FLOPs of its towers."""
    return [{**media_record(cost), "tower_flops": Figure(cost.flops.total, FLOPS)} for cost in media_costs(spec, media)]
