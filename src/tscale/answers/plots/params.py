"""The picture of `tscale params`: parameters up to each layer, part on part; of several models, the totals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tscale.core.costs.params import size
from tscale.core.ledger import Conv, Ledger, Lookup, Matmul, Part, Vector
from tscale.core.partition import Stretch, stage
from tscale.core.plot import Axis, Plot, Point, Series, stacked
from tscale.core.units import PARAMETERS, Unit
from tscale.errors import NotPublishedError, field
from tscale.models.lower import lower
from tscale.models.resolve import disclosed
from tscale.models.spec import ModelSpec, Spec

_PARTS: Final = {"embedding": "embedding and head", "attention": "attention", "feed_forward": "feed-forward"}
_OTHER: Final = "norms and all else"
_OF_TABLES: Final[dict[Part, str]] = {"head": "embedding", "positions": "embedding"}
_LAYERS: Final = Unit("layers", "", "full")
_MOST_POINTS: Final = 512
"""Of a deeper stack not every layer is a point: a plot takes as long as one of so many layers."""


def params_plot(specs: Sequence[Spec]) -> Plot:
    """What is stored up to each layer, the embedding before the first and the head behind the last.

    Raises `NotPublishedError` where the shape of no model is known.
    """
    known = [disclosed(spec) for spec in specs if spec.kind != "undisclosed"]
    left = [spec.label for spec in specs if spec.kind == "undisclosed"]
    if not known:
        raise NotPublishedError(f"{field('plot')}: the shape of no model here was published")
    series = tuple(stacked(dict(_grown(known[0])))) if len(known) == 1 else tuple(_line(spec) for spec in known)
    return Plot(
        f"{known[0].label}: parameters up to each layer" if len(known) == 1 else "Parameters up to each layer",
        Axis("layers", _LAYERS, log=False),
        Axis("parameters", PARAMETERS, log=False),
        series,
        notes=(f"Not drawn, for its shape was never published: {', '.join(left)}.",) if left else (),
    )


def depth_of(spec: ModelSpec) -> int:
    """Layers of the deeper stack."""
    encoder = spec.encoder.layers if spec.encoder is not None else None
    return max(int(spec.layers), int(encoder or 0))


def _by_part(ledger: Ledger, layers: int, depth: int) -> dict[str, int]:
    """Parameters of the first so many layers, with the embedding, and with the head where these are all of them."""
    within = stage(ledger, [Stretch(0, layers)], "within", first=True, last=layers == depth)
    sums = dict.fromkeys((*_PARTS.values(), _OTHER), 0)
    for entry in within.entries:
        if isinstance(entry, Matmul | Lookup | Vector | Conv):
            part = _OF_TABLES.get(entry.part, entry.part)
            sums[_PARTS.get(part, _OTHER)] += int(entry.stored) * int(size(entry))
    return sums


def _grown(spec: ModelSpec) -> Iterator[tuple[int, dict[str, int]]]:
    ledger, depth = lower(spec), depth_of(spec)
    for layers in (*range(0, depth, -(-depth // _MOST_POINTS)), depth):
        yield layers, _by_part(ledger, layers, depth)


def _line(spec: ModelSpec) -> Series:
    return Series(spec.label, tuple(Point(layers, sum(parts.values())) for layers, parts in _grown(spec)))
