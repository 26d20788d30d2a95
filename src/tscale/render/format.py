"""How a figure reads: the one place where numbers are rounded and given separators, prefixes and marks."""

from __future__ import annotations

from typing import Final, assert_never

from tscale.core.metric import Cell, Compared, Figure, Known, Label, Missing
from tscale.core.number_text import estimate, number_text, scaled_estimate
from tscale.core.units import FLOPS_PER_SECOND

MARKS: Final[dict[Known, str]] = {
    "exact": "",
    "convention": "~",
    "cited": "*",
    "measured": "•",
    "bound": "‡",
    "predicted": "§",
    "assumed": "†",
}
LEGEND: Final[dict[Known, str]] = {
    "exact": "exact",
    "convention": "~ by a published convention",
    "cited": "* as published",
    "measured": "• as measured",
    "bound": "‡ a bound: no run is better",
    "predicted": "§ predicted, with constants fitted to measured runs",
    "assumed": "† rests on an assumption",
}
_LEAST_SHARE: Final = 0.00005
_ASCII: Final = str.maketrans(
    {"×": "x", "·": "*", "²": "^2", "⌈": "ceil(", "⌉": ")", "⌊": "floor(", "⌋": ")", "†": "+", "‡": "#", "•": "@", "§": "^", "−": "-", "–": "-", "—": "-",
     "…": "...", "’": "'", "“": '"', "”": '"', "≈": "~", "≥": ">=", "é": "e", "→": "->"}
)  # fmt: skip


def derived_text(figure: Figure) -> str:
    """What a derivation comes to: whole numbers in full, others as a cell shows them."""
    return f"{int(figure.value):,}" if figure.value == int(figure.value) else cell_text(figure)


def cell_text(cell: Cell) -> str:
    """A cell without its mark."""
    match cell:
        case Figure():
            return _figure_text(cell)
        case Compared(figure=figure):
            return f"{cell_text(figure)} {ratio_text(cell)}".rstrip()
        case Missing(why=why):
            return why
        case Label(text=text):
            return text
        case str():
            return cell
        case _:
            assert_never(cell)


def _figure_text(figure: Figure) -> str:
    """A figure's number; shares and speeds that are estimates have three significant digits, as all estimates do."""
    if figure.known in ("bound", "predicted", "assumed"):
        if figure.unit.reading == "percent" and abs(float(figure.value)) >= _LEAST_SHARE:
            return f"{estimate(100 * figure.value)}%".replace("-", "−")
        if figure.unit is FLOPS_PER_SECOND:
            return scaled_estimate(figure.value, figure.unit.symbol)
    return number_text(figure.value, figure.unit.reading, figure.unit.symbol)


def ratio_text(cell: Cell) -> str:
    """How many times the first model's figure a compared one is; three digits where that rests on an assumption."""
    if not isinstance(cell, Compared) or cell.ratio is None:
        return ""
    if cell.known in ("bound", "predicted", "assumed"):
        return f"(×{estimate(cell.ratio)})"
    return f"({number_text(cell.ratio, 'ratio')})"


def mark(cell: Cell) -> str:
    """The mark that says how a cell's figure is known; an exact one has none."""
    figure = cell.figure if isinstance(cell, Compared) else cell
    return MARKS[figure.known] if isinstance(figure, Figure) else ""


def in_encoding(text: str, encoding: str) -> str:
    """Text as an encoding can hold it: glyphs that it lacks become their ASCII forms, and only where it lacks them."""
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")
    return text
