"""How a number reads: rounded, with separators, prefixes and suffixes. What sentences and tables say of one number is the same."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Final, assert_never

from tscale.core.units import Reading

Number = int | float | Fraction
_PREFIXES: Final = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")
_UNREADABLE: Final = 10**30
"""Whole numbers from here on are counts of nothing, and read as a power of ten."""


def number_text(value: Number, reading: Reading, symbol: str = "") -> str:
    """A number as people read it; whole numbers in full keep every digit, below 10^30."""
    if reading in ("full", "given") and not -_UNREADABLE < value < _UNREADABLE:
        return _power(value)
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
            return estimate(value)
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
    """A number that is not whole, to so many significant digits, one decimal at the least, and never in scientific notation."""
    number = float(value)
    places = digits - 1 - Decimal(repr(number)).adjusted()
    return f"{number:,.{min(max(places, 1), 12)}f}"


def _power(value: Number) -> str:
    """3.14e23 and 8.36e-5; in full from 1 to a million."""
    if -1 < value < 1 and value != 0:
        mantissa, exponent = f"{float(value):.2e}".split("e")
        return f"{mantissa}e{int(exponent)}"
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


def estimate(value: Number) -> str:
    """16,900, 11.8 or 0.0123: three significant digits, never in scientific notation; a whole number below 1,000 as it is."""
    if _whole(value) and abs(int(value)) < 1000:
        return f"{int(value)}"
    rounded = _three_digits(value)
    return f"{rounded:,.{max(2 - rounded.adjusted(), 0)}f}"


def significant(value: Number, digits: int = 3) -> str:
    """21,840, 80 or 0.0123: at most so many significant digits, without zeros behind them, never in scientific notation."""
    return f"{Decimal(f'{float(value):.{digits}g}'):,f}"


def gigabytes(size: Number, digits: int = 4) -> str:
    """21,840 GB: bytes in 10^9, to so many significant digits."""
    return f"{significant(Fraction(size) / 10**9, digits)} GB"


def scaled_estimate(value: Number, symbol: str) -> str:
    """403 TFLOP/s: three significant digits and a power of 1000."""
    rounded = _three_digits(value)
    step = min(max(rounded.adjusted() // 3, 0), len(_PREFIXES) - 1)
    return f"{estimate(Fraction(rounded.scaleb(-3 * step)))} {_PREFIXES[step]}{symbol}"


def _three_digits(value: Number) -> Decimal:
    return Decimal(f"{Decimal(float(value)):.2e}")


def _short(value: Number) -> str:
    """40.4B, 1.42T: three significant digits, with the suffixes in which counts are read."""
    mantissa, exponent = f"{Decimal(round(value)):.2e}".split("e")
    step = min(max(int(exponent) // 3, 0), len(_SUFFIXES) - 1)
    above = int(exponent) - 3 * step
    return f"{Decimal(mantissa).scaleb(above):,.{max(2 - above, 0) if step else 0}f}{_SUFFIXES[step]}"


def count_text(value: int) -> str:
    """15T or 1.4B: a count from a million on whose first three digits are all of it; any other in full."""
    full = f"{value:,}"  # of a number that a sweep records too, which is not looked into
    digits = full.replace(",", "")
    if not digits.isdecimal() or len(digits) <= 6 or len(digits.rstrip("0")) > 3:
        return full
    step = min((len(digits) - 1) // 3, len(_SUFFIXES) - 1)
    return f"{significant(Fraction(int(digits), 1000**step))}{_SUFFIXES[step]}"


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
    return f"{percent:,.2f}%".replace("-", "−")


def duration(seconds: Number) -> str:
    """118 s, 12.3 ms, 9.00 days: three significant digits in the unit that people would say."""
    value = Fraction(seconds)
    if value < Fraction(9995, 10**8):  # from which it rounds to a tenth of a millisecond
        return f"{estimate(value * 10**6)} µs"
    if value < Fraction(9995, 10_000):  # from which it rounds to a second
        return f"{estimate(value * 1000)} ms"
    for least, size, name in ((2 * 86_400, 86_400, "days"), (2 * 3600, 3600, "hours"), (120, 60, "minutes")):
        if value >= least:
            return f"{estimate(value / size)} {name}"
    return f"{estimate(value)} s"


def durations(low: Number, high: Number) -> str:
    """7.80 to 12.0 days: a range, with its unit once where both ends have the same."""
    first, last = duration(low), duration(high)
    amount, _, unit = first.partition(" ")
    return f"{amount} to {last}" if last.endswith(f" {unit}") else f"{first} to {last}"
