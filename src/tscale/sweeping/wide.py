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
    """The product of two words, by halves as on paper."""
    a1, a0, b1, b0 = a >> _HALF, a & _LOW, b >> _HALF, b & _LOW
    low = a0 * b0
    middle = a1 * b0 + (low >> _HALF)
    other = a0 * b1 + (middle & _LOW)
    return Wide(a1 * b1 + (middle >> _HALF) + (other >> _HALF), a * b)


def wide_div(a: Any, b: Any) -> Wide:
    """The quotient by a number below 2^31, rounded down: long division by half words."""
    a = as_wide(a)
    divisor = as_wide(b).low
    quotients, left = [_NOTHING] * 4, _NOTHING
    halves = (a.high >> _HALF, a.high & _LOW, a.low >> _HALF, a.low & _LOW)
    for place in range(_leading_zeros(a.high), 4):
        part = (left << _HALF) | halves[place]
        quotients[place] = part // divisor
        left = part - quotients[place] * divisor
    return Wide((quotients[0] << _HALF) | quotients[1], (quotients[2] << _HALF) | quotients[3])


def _leading_zeros(high: Words) -> int:
    """How many of the two half words of a high word are 0 in all numbers, and need no division."""
    most = int(np.max(high))
    return 2 if not most else int(most < 2**32)


def wide_ceil_div(a: Any, b: Any) -> Wide:
    """The quotient by a number below 2^31, rounded up."""
    divisor = as_wide(b).low
    return wide_div(wide_add(a, Wide(np.uint64(0), divisor - np.uint64(1))), b)
