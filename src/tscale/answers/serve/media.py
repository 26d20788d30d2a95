"""Of `tscale serve`: what images and sounds take of each prompt, and the time of towers before its prefill, at best."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from tscale.answers.media import media_notes
from tscale.catalogue.hardware import Hardware
from tscale.core.metric import Column, Figure, Report, Table
from tscale.core.units import FLOPS, SECONDS
from tscale.core.view import view
from tscale.estimates.media import Media, MediaCost, check_fits, media_costs, media_data, media_record
from tscale.estimates.serve.times import sixteen_bit_peak
from tscale.models.spec import ModelSpec

_BEFORE = (
    "The time of towers is part of the time to the first token: it comes before the prefill of a prompt that has images or sounds. "
    "At best it is that of their products on all devices at the 16-bit peak; as predicted they reach the share of it that the "
    "products of a prefill do, which was not measured of towers."
)


def with_media(report: Report, spec: ModelSpec, hardware: Hardware, media: Media, context: int, devices: int) -> Report:
    """The answer with what media take of a prompt of `context` tokens. Raises `RequestError` where they do not fit it."""
    costs = media_costs(spec, media)
    if not costs:
        return report
    check_fits(costs, context)
    peak = sixteen_bit_peak(hardware.device()) * devices
    assert isinstance(report.data, dict)
    data = {**report.data, "media": media_data(spec, costs, context), "tower_seconds": _seconds(costs, peak)}
    tables = (report.tables[0], prompt_media_table(costs, peak), *report.tables[1:])
    return report._replace(tables=tables, data=data, notes=(*report.notes, *prompt_media_notes(media, costs)))


def prompt_media_notes(media: Media, costs: tuple[MediaCost, ...]) -> Iterator[str]:
    """Where the time of towers counts, and how tokens were counted; nothing where there are no media."""
    if costs:
        yield _BEFORE
        yield from media_notes(media, costs)


def _seconds(costs: tuple[MediaCost, ...], peak: int) -> Figure:
    return Figure(float(Fraction(sum(cost.flops.total for cost in costs), peak)), SECONDS, "bound")


def prompt_media_table(costs: tuple[MediaCost, ...], peak: int) -> Table:
    """What media take of a prompt: tokens, FLOPs of towers, and their least time on devices of `peak` FLOP/s in all."""
    columns = (
        Column("in each prompt", "media", numeric=False),
        Column("tokens", "tokens"),
        Column("tower FLOPs", "tower_flops"),
        Column("towers at best, s", "tower_seconds"),
    )
    rows = (
        {
            **media_record(cost),
            "tower_flops": Figure(cost.flops.total, FLOPS),
            "tower_seconds": _seconds((cost,), peak),
        }
        for cost in costs
    )
    return view("", columns, rows, aside=True)
