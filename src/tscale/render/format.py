"""How a figure reads: the one place where numbers are rounded and given separators, prefixes and marks."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Final, assert_never

from tscale.core.metric import Cell, Compared, Figure, Known, Label, Missing
from tscale.core.units import FLOPS_PER_SECOND, Reading

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
Number = int | float | Fraction
_LEAST_SHARE: Final = 0.00005
_PREFIXES: Final = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")
_ASCII: Final = str.maketrans(
    {"×": "x", "·": "*", "²": "^2", "⌈": "ceil(", "⌉": ")", "⌊": "floor(", "⌋": ")", "†": "+", "‡": "#", "•": "@", "§": "^", "−": "-", "–": "-", "—": "-",
     "…": "...", "’": "'", "“": '"', "”": '"', "≈": "~", "≥": ">=", "é": "e", "→": "->"}
)  # fmt: skip


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
            return f"{_estimate(100 * figure.value)}%".replace("-", "−")
        if figure.unit is FLOPS_PER_SECOND:
            return _scaled_estimate(figure.value, figure.unit.symbol)
    return number_text(figure.value, figure.unit.reading, figure.unit.symbol)


def ratio_text(cell: Cell) -> str:
    """How many times the first model's figure a compared one is; three digits where that rests on an assumption."""
    if not isinstance(cell, Compared) or cell.ratio is None:
        return ""
    if cell.known in ("bound", "predicted", "assumed"):
        return f"(×{_estimate(cell.ratio)})"
    return f"({number_text(cell.ratio, 'ratio')})"


def mark(cell: Cell) -> str:
    """The mark that says how a cell's figure is known; an exact one has none."""
    figure = cell.figure if isinstance(cell, Compared) else cell
    return MARKS[figure.known] if isinstance(figure, Figure) else ""


def number_text(value: Number, reading: Reading, symbol: str = "") -> str:
    """A number as people read it; whole numbers in full keep every digit."""
    match reading:
        case "full":
            return f"{int(value):,}" if _whole(value) else _rounded(value)
        case "plain":
            return str(value)
        case "power":
            return _power(value)
        case "decimal":
            return _scaled(value, symbol)
        case "short":
            return _short(value)
        case "estimate":
            return _estimate(value)
        case "given":
            return f"{float(value):,.15g}" if not _whole(value) else f"{int(value):,}"
        case "ratio":
            return f"×{_ratio(value)}"
        case "percent":
            return _percent(value)
        case "utilisation":
            return f"{float(100 * value):#.3g}".rstrip(".") + "%"
        case _:
            assert_never(reading)


def _whole(value: Number) -> bool:
    return value == int(value)


def _rounded(value: Number, digits: int = 4) -> str:
    """A number that is not whole, to so many significant digits and never in scientific notation."""
    number = float(value)
    if abs(number) >= 10 ** (digits - 1):
        return f"{number:,.1f}"
    places = digits - 1 - Decimal(repr(number)).adjusted() if number else 0
    return f"{number:,.{min(max(places, 0), 12)}f}"


def _power(value: Number) -> str:
    """3.14e23; in full below a million."""
    if -(10**6) < value < 10**6:
        return f"{int(value):,}" if _whole(value) else _rounded(value)
    mantissa, exponent = f"{Decimal(int(value)):.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _scaled(value: Number, symbol: str) -> str:
    """4.83 GB: four significant digits and a power of 1000."""
    step = 0
    while value >= 1000 and step < len(_PREFIXES) - 1:
        value, step = Fraction(value) / 1000, step + 1
    if step == 0:
        return f"{int(value) if _whole(value) else float(value):,} {symbol}"
    return f"{float(value):.{2 if value < 100 else 1}f} {_PREFIXES[step]}{symbol}"


def _estimate(value: Number) -> str:
    """16,900, 11.8 or 0.0123: three significant digits, never in scientific notation; a whole number below 1,000 as it is."""
    if _whole(value) and abs(int(value)) < 1000:
        return f"{int(value)}"
    rounded = _three_digits(value)
    return f"{rounded:,.{max(2 - rounded.adjusted(), 0)}f}"


def _scaled_estimate(value: Number, symbol: str) -> str:
    """403 TFLOP/s: three significant digits and a power of 1000."""
    rounded = _three_digits(value)
    step = min(max(rounded.adjusted() // 3, 0), len(_PREFIXES) - 1)
    return f"{_estimate(Fraction(rounded.scaleb(-3 * step)))} {_PREFIXES[step]}{symbol}"


def _three_digits(value: Number) -> Decimal:
    return Decimal(f"{Decimal(float(value)):.2e}")


def _short(value: Number) -> str:
    """40.4B, 1.42T: three significant digits, with the suffixes in which counts are read."""
    mantissa, exponent = f"{Decimal(round(value)):.2e}".split("e")
    step = min(max(int(exponent) // 3, 0), len(_SUFFIXES) - 1)
    above = int(exponent) - 3 * step
    return f"{Decimal(mantissa).scaleb(above):,.{max(2 - above, 0) if step else 0}f}{_SUFFIXES[step]}"


_SUFFIXES: Final = ("", "k", "M", "B", "T")


def _ratio(value: Number) -> str:
    """How many times: to three significant digits, and closer around 1, where the difference is the news."""
    if value >= 1000:
        return f"{round(value):,}"
    if _whole(value):
        return f"{int(value)}"
    if value >= 10:
        return f"{float(value):.1f}"
    return f"{float(value):.3f}" if value >= Fraction(1, 10) else f"{float(value):.2g}"


def _percent(value: Number) -> str:
    """12.34%; a share too small for that is said to be so, for it is not nothing."""
    percent = 100 * float(value)
    if percent and abs(percent) < 0.005:
        return "<0.01%" if percent > 0 else "−<0.01%"
    return f"{percent:.2f}%".replace("-", "−")


def in_encoding(text: str, encoding: str) -> str:
    """Text as an encoding can hold it: glyphs that it lacks become their ASCII forms, and only where it lacks them."""
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")
    return text
