"""Derivations of what a run or a deployment comes to: figures that are products and sums of others, which no int remembers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction

from tscale.core.metric import Figure, Step

Numbers = Mapping[str, float | int | Fraction]


def derived(name: str, formula: str, numbers: Numbers, figure: Figure | None, subject: str) -> Iterator[Step]:
    """The derivation of a figure by a formula of names, each of which stands for a number; of no figure, none.

    >>> from tscale.core.units import GPU_HOURS
    >>> hours = Figure(200.0, GPU_HOURS)
    >>> [one.numbers for one in derived("gpu_hours", "gpus·seconds/3600", {"gpus": 8, "seconds": 90_000}, hours, "")]
    ['8·90000/3600']
    """
    if figure is not None:
        yield Step(name, formula, "".join(_substituted(formula, numbers)), figure, subject)


def summed(name: str, parts: Numbers, figure: Figure | None, subject: str) -> Iterator[Step]:
    """The derivation of a sum of named parts."""
    if figure is not None:
        yield Step(name, " + ".join(parts), " + ".join(map(_written, parts.values())), figure, subject)


def _substituted(formula: str, numbers: Numbers) -> Iterator[str]:
    """The formula with the number of each name; literals stand for themselves."""
    word = ""
    for letter in [*formula, ""]:
        if letter and (letter.isalnum() or letter in "_."):
            word += letter
            continue
        if word:
            yield _written(numbers[word]) if word in numbers else word
        word = ""
        yield letter


def _written(value: float | Fraction) -> str:
    """A number as it is computed with, to the last digit and without a power of ten, so that it can be pasted."""
    if isinstance(value, int) or (isinstance(value, Fraction) and value.denominator == 1):
        return str(int(value))
    return format(Decimal(repr(float(value))), "f").removesuffix(".0")
