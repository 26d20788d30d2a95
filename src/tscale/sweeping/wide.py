"""Whole numbers from 0 to 2^127 as arrays of two 64-bit words, exact; Parquet's decimals hold the same two words."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

Words = Any
"""A uint64 array, or one number of it."""
_LOW: Final = np.uint64(0xFFFFFFFF)
_HALF: Final = np.uint64(32)
_NOTHING: Final = np.uint64(0)


class Wide(NamedTuple):
    """Numbers of two words: `high` times 2^64 and `low`."""

    high: Words
    low: Words

    def ints(self) -> Any:
        """As Python's ints, in an array."""
        return np.asarray(self.high).astype(object) * 2**64 + np.asarray(self.low).astype(object)


def as_wide(value: Any) -> Wide:
    """A number from 0 on, or an array of them, of two words."""
    if isinstance(value, Wide):
        return value
    if isinstance(value, int):
        return Wide(np.uint64(value >> 64), np.uint64(value & (2**64 - 1)))
    return Wide(np.uint64(0), value.view(np.uint64) if value.dtype == np.int64 else value.astype(np.uint64))


def wide_add(a: Any, b: Any) -> Wide:
    """The sum."""
    a, b = as_wide(a), as_wide(b)
    low = a.low + b.low
    return Wide(a.high + b.high + (low < b.low), low)


def wide_sub(a: Any, b: Any) -> Wide:
    """The difference, which is not below 0."""
    a, b = as_wide(a), as_wide(b)
    return Wide(a.high - b.high - (a.low < b.low), a.low - b.low)


def wide_mul(a: Any, b: Any) -> Wide:
    """The product; at most one of the two has a high word."""
    a, b = as_wide(a), as_wide(b)
    product = _of_words(a.low, b.low)
    more = _cross(a.high, b.low), _cross(b.high, a.low)
    high = product.high
    for one in more:
        high = high if one is None else high + one
    return Wide(high, product.low)


def _cross(high: Words, low: Words) -> Words | None:
    """What a high word adds to the high word of a product; None where there is none."""
    return None if np.ndim(high) == 0 and not high else high * low


def _of_words(a: Words, b: Words) -> Wide:
    """The product of two words, by halves as on paper; in place, since what takes time is the memory."""
    a1, a0, b1, b0 = a >> _HALF, a & _LOW, b >> _HALF, b & _LOW
    middle = np.asarray(a0 * b0)
    middle >>= _HALF
    middle += a1 * b0
    other = np.asarray(a0 * b1)
    other += middle & _LOW
    other >>= _HALF
    middle >>= _HALF
    middle += other
    middle += a1 * b1
    return Wide(middle, a * b)


def wide_div(a: Any, b: Any) -> Wide:
    """The quotient by a number below 2^31, rounded down: long division by half words."""
    a = as_wide(a)
    divisor = np.asarray(as_wide(b).low).astype(np.int64)
    inverse = 1.0 / divisor
    quotients: list[Any] = [_NOTHING] * 4
    left: Any = np.int64(0)
    halves = (a.high >> _HALF, a.high & _LOW, a.low >> _HALF, a.low & _LOW)
    for place in range(_leading_zeros(a.high), 4):
        part = (left << 32) + np.asarray(halves[place]).view(np.int64)
        quotient, left = _divided(part, divisor, inverse)
        quotients[place] = quotient.view(np.uint64)
    return Wide((quotients[0] << _HALF) | quotients[1], (quotients[2] << _HALF) | quotients[3])


def _divided(part: Any, divisor: Any, inverse: Any) -> tuple[Any, Any]:
    """Quotient and remainder of numbers below 2^63 whose quotients are below 2^32.

    Rounding in the product with the inverse can put the quotient off by one, which the remainder tells; processors divide
    doubles many at a time, and 64-bit words one by one.
    """
    quotient = np.asarray((part * inverse).astype(np.int64))
    left = np.asarray(part - quotient * divisor)
    low = left < 0
    quotient -= low
    left += low * divisor
    over = left >= divisor
    quotient += over
    left -= over * divisor
    return quotient, left


def _leading_zeros(high: Words) -> int:
    """How many of the two half words of a high word are 0 in all numbers, and need no division."""
    most = int(np.max(high))
    return 2 if not most else int(most < 2**32)


def wide_ceil_div(a: Any, b: Any) -> Wide:
    """The quotient by a number below 2^31, rounded up."""
    divisor = as_wide(b).low
    return wide_div(wide_add(a, Wide(np.uint64(0), divisor - np.uint64(1))), b)
