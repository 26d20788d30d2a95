"""Of `tscale train`: images and sounds in each sequence, their tokens and their towers' FLOPs."""

from __future__ import annotations

from collections.abc import Iterator

from tscale.answers.media import media_notes
from tscale.core.metric import Column, Table
from tscale.core.view import view
from tscale.estimates.media import Media, media_costs
from tscale.estimates.train.media import run_media_records
from tscale.models.spec import ModelSpec


def run_media_table(spec: ModelSpec, media: Media) -> Iterator[Table]:
    """Tokens of each kind in a sequence, and FLOPs of its towers; nothing where there are none."""
    records = run_media_records(spec, media)
    if not records:
        return
    columns = (
        Column("in each sequence", "media", numeric=False),
        Column("tokens", "tokens"),
        Column("tower FLOPs, forward", "tower_flops"),
    )
    yield view("", columns, records, aside=True)


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
