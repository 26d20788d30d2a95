"""`tscale compare` of towers that are models by themselves: parameters, layers, and what an image or a sound takes, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final

from tscale.answers.compare import compared, ratios_of
from tscale.answers.tower_alone import quantities_of_tower
from tscale.core.metric import Column, Data, Figure, Label, Missing, Report, Table
from tscale.core.number_text import number_text
from tscale.core.units import RATIO
from tscale.models.tower_spec import TowerSpec

_NOT_KNOWN = Missing("n/a")


def compare_towers_report(specs: Sequence[TowerSpec]) -> Report:
    """Towers side by side, with ratios to the first; a quantity that only some have is n/a of the others."""
    each = [quantities_of_tower(spec) for spec in specs]
    names = _names(each)
    alike = {key: each_name.pop() for key, each_name in names.items() if len(each_name) == 1}
    figures = {key: [answers[key][1] if key in answers else None for answers in each] for key in alike}
    columns = (Column("", "quantity", numeric=False), *(Column(spec.label, spec.name) for spec in specs))
    rows = tuple(
        (Label(name, key), *compared([value or _NOT_KNOWN for value in figures[key]])) for key, name in alike.items()
    )
    title = _title(specs, figures["params"])
    data: Data = {
        "models": [spec.name for spec in specs],
        "rows": [_record(key, values) for key, values in figures.items()],
    }
    notes = ("What reads images is not compared with what reads sounds but by parameters and layers.",)
    return Report(title, (Table(title, columns, rows, stack=True),), data, notes if len(alike) < len(names) else ())


_QUANTITIES: Final = ("params", "layers", "outputs", "forward_flops")


def _names(each: Sequence[Mapping[str, tuple[str, Figure]]]) -> dict[str, set[str]]:
    """What each quantity is called by the towers that have it: by several names where it is not one quantity."""
    called = {key: {answers[key][0] for answers in each if key in answers} for key in _QUANTITIES}
    return {key: names for key, names in called.items() if names}


def _title(specs: Sequence[TowerSpec], params: Sequence[Figure | None]) -> str:
    sizes = [Fraction(figure.value) for figure in params if figure is not None]
    low, high = (number_text(size, "short") for size in (min(sizes), max(sizes)))
    names = ", ".join(spec.label for spec in specs)
    return f"{names} have {low} to {high} parameters; ratio to the first in parentheses"


def _record(key: str, values: Sequence[Figure | None]) -> Data:
    ratios = [None if ratio is None else Figure(ratio, RATIO) for ratio in ratios_of(values)]
    return {"quantity": key, "values": list(values), "ratios": ratios}
