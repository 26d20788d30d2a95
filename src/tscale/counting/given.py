"""Numbers that the public functions are given: of one of the three kinds, or refused in a line that names what was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import isfinite
from typing import Any, Final, cast, get_args

from tscale.blocks.fields import power
from tscale.core.costs import cache
from tscale.core.costs.forward import AttentionMask
from tscale.core.counts import MOST_CONTEXT
from tscale.core.dtypes import find_format
from tscale.core.ledger import Ledger
from tscale.errors import RequestError, nearest
from tscale.models.made import a_kind_of, an_array, as_floats, as_int, fit_together, is_array

_MOST_BITS: Final = 64
_EXACT: Final = 2**53  # below it, a float that is whole is the number that was written


def _arrays_of(ledger: Ledger) -> Iterator[Any]:
    """The arrays among the numbers of a ledger."""
    for group in ledger.groups:
        yield from (value for value in (group.layers, group.copies) if is_array(value))
        for entry in group.entries:
            yield from (value for value in entry if is_array(value))


def refuse_unlike(ledger: Ledger | None, **numbers: Any) -> None:
    """Raises `RequestError` for arrays whose shapes do not fit together, under their names, or those of a model's sizes."""
    arrays = {name: number for name, number in numbers.items() if is_array(number)}
    sizes = [] if ledger is None or not arrays else list(_arrays_of(ledger))
    if fit_together([*arrays.values(), *sizes]):
        return
    if sizes:
        arrays["sizes"] = max(sizes, key=lambda array: array.size)
    shapes = " and ".join(f"{name} of shape {tuple(array.shape)}" for name, array in arrays.items())
    raise RequestError(f"arrays of one shape are wanted, not {shapes}")


def is_any(condition: Any) -> bool:
    """Whether it is so, of one number or of any in an array."""
    return bool(condition.__array_namespace__().any(condition)) if is_array(condition) else bool(condition)


def _are_whole(floats: Any) -> bool:
    """Whether all of an array's numbers are whole."""
    space = floats.__array_namespace__()
    return bool(space.all(floats == space.floor(floats)))


def length_of(value: object, what: str) -> int:
    """Tokens of a stream: a whole number, which may be none. Raises `RequestError` for anything else."""
    return count_of(value, what, least=0)


def count_of(value: Any, what: str, most: int = MOST_CONTEXT, least: int = 1) -> int:
    """A whole number of one of the three kinds. Raises `RequestError` for anything else, naming `what` was asked for."""
    number = _number(value)
    if number is None or is_any(number < least) or is_any(number > most):
        raise RequestError(f"{what} must be a whole number from {least} to {power(most)}, not {_said(value)}")
    return cast("int", number)


def _number(value: Any) -> Any:
    """A whole number as one of the three kinds; None where it is none."""
    if isinstance(value, bool):
        return None
    if is_array(value):
        floats = as_floats(value)
        return floats if floats is not None and _are_whole(floats) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _EXACT else None
    return as_int(value)


def _said(value: Any) -> str:
    if not is_array(value):
        return a_kind_of(value)
    return an_array(value) if as_floats(value) is None else "an array that holds others"


def bits_of(bits: object, ledger: Ledger) -> int | Fraction:
    """Bits of a number: given, or those of the format that a name means, if its blocks divide what a cache keeps."""
    if isinstance(bits, str):
        format = find_format(bits, what="bits", cache=True)
        cache.check_rows(ledger, format)
        return format.bits
    number = Fraction(repr(float(bits))) if isinstance(bits, float) and isfinite(bits) else bits
    number = number if isinstance(number, Fraction) or is_array(number) else _number(number)
    if isinstance(number, int | Fraction) and 0 < number <= _MOST_BITS:
        return number
    raise RequestError(
        f"bits must be a number above 0 of at most {_MOST_BITS}, or a format such as bf16, not {a_kind_of(bits)}"
    )


def sight_of(sight: Any) -> AttentionMask:
    """What a query sees. Raises `RequestError` for a word that is none of it."""
    legal = get_args(AttentionMask)
    if isinstance(sight, str) and sight in legal:
        return sight  # type: ignore[return-value]
    hint = nearest(sight, legal) if isinstance(sight, str) else ""
    meant = f": {hint}" if hint.startswith("did you mean") else ""
    raise RequestError(f"sight must be {' or '.join(legal)}, not {a_kind_of(sight)}{meant}")
