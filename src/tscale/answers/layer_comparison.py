"""The part of `tscale attention --versus`: one layer of attention beside what stood in its place before."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from tscale.core.costs.layer_types import SOURCE, LayerType, layer_types
from tscale.core.metric import Column, Figure, Label, Table
from tscale.core.units import OPERATIONS, RATIO, STEPS, TOKENS, Unit
from tscale.core.view import Record, view
from tscale.estimates.explaining import source_text

VERSUS_NOTE: Final = (
    "A recurrent layer takes fewer operations than attention once a sequence is longer than the layer is wide, but its "
    "steps wait for one another; attention's do not, and any two positions are one layer apart (path). Ratios are to attention; O(...) is taken with a constant of 1."
)

_COLUMNS = (
    Column("layer", "layer", numeric=False),
    Column("context", "context"),
    Column("operations", "operations"),
    Column("ratio", "ratio"),
    Column("steps", "sequential_operations", drop=1),
    Column("path", "maximum_path_length", drop=2),
    Column("attention costs more if", "cheaper_than_attention_from", numeric=False, of="condition"),
)


def _figure(value: int, unit: Unit) -> Figure:
    return Figure(value, unit, "convention", SOURCE)


def versus_of(d_model: int, contexts: Sequence[int], kernel: int, neighbourhood: int) -> tuple[Table, list[Record]]:
    """Table 1 of Vaswani 2017 for a width, kind by kind, each at every context; and its records, context by context."""
    by_context = {context: layer_types(context, d_model, kernel, neighbourhood) for context in contexts}
    records = {
        (context, layer.layer): _record(layer, context) for context, found in by_context.items() for layer in found
    }
    rows: list[Record] = []
    for layers in zip(*by_context.values(), strict=True):
        for (context, found), layer in zip(by_context.items(), layers, strict=True):
            rows.append(
                {
                    **records[context, layer.layer],
                    "context": Figure(context, TOKENS),
                    "ratio": Figure(Fraction(layer.operations, found[0].operations), RATIO),
                    "condition": Label(layer.condition, "" if layer.cheaper_from is None else str(layer.cheaper_from)),
                }
            )
    title = (
        f"One attention layer of width {d_model:,} compared with its alternatives ({source_text(SOURCE)}; "
        f"a convolution of {kernel}, attention restricted to {neighbourhood:,} neighbours)"
    )
    return view(title, _COLUMNS, rows), list(records.values())


def _record(layer: LayerType, context: int) -> Record:
    return {
        "layer": layer.layer,
        "context": context,
        "operations": _figure(layer.operations, OPERATIONS),
        "sequential_operations": _figure(layer.sequential_operations, STEPS),
        "maximum_path_length": _figure(layer.maximum_path_length, STEPS),
        "cheaper_than_attention_from": layer.cheaper_from,
    }
