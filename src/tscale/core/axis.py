"""Values along an axis as people write them: one, a list, a range, or several of these.

`8` is one, `1,2,4` a list; `1..8` is every whole number from 1 to 8, `16..96+8` every eighth, and `8..1024*2` each twice the one
before: both ends are among them. Nothing is listed before it is asked for, so that a range may be as long as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any, Final, NamedTuple

from tscale.errors import RequestError

MOST_PARTS: Final = 1000
"""Values and ranges that one axis lists."""
_DOTS: Final = ".."
_MOST_DIGITS: Final = 40
_LEAST_FACTOR: Final = Fraction(101, 100)
"""With any number that is read, ranges then have some thousand values at the most."""


@dataclass(frozen=True)
class Span:
    """Numbers from `low` to `high`, both among them: each `step` more than the one before, or `factor` times it.

    `stepped`: whether the step was written. Without one, of degrees of parallelism those are meant that are legal.
    """

    low: int | Fraction
    high: int | Fraction
    step: int | Fraction = 1
    factor: int | Fraction | None = None
    stepped: bool = True

    @property
    def count(self) -> int:
        """How many numbers there are, which may be more than a length of Python's can say."""
        if self.factor is None:
            return int((self.high - self.low) / Fraction(self.step)) + 1
        return _powers(self)

    def __iter__(self) -> Iterator[Any]:
        value: int | Fraction = self.low
        while value <= self.high:
            yield value
            value = value + self.step if self.factor is None else value * self.factor

    def holds(self, value: int) -> bool:
        """Whether a value lies between the ends, these included."""
        return self.low <= value <= self.high


class Axis(NamedTuple):
    """What one axis is varied over: values, and ranges of them. `text`: as it was written."""

    text: str
    parts: tuple[Any, ...]

    @property
    def size(self) -> int:
        """How many values there are, each as often as it is written."""
        return sum(part.count if isinstance(part, Span) else 1 for part in self.parts)

    @property
    def stepped_size(self) -> int:
        """The same, but for ranges without a step, of which what is legal is meant."""
        return sum((part.count if part.stepped else 0) if isinstance(part, Span) else 1 for part in self.parts)

    @property
    def values(self) -> tuple[Any, ...]:
        """All values in the order in which they were written, each once; whoever asks knows that there are not too many."""
        return tuple(dict.fromkeys(_each(self.parts)))

    @property
    def only(self) -> Any:
        """The value of an axis that is fixed; None where there are several."""
        first = tuple(islice(_each(self.parts), 2))
        return first[0] if len(set(first)) == 1 and self.size == 1 else None

    def among(self, legal: Iterable[int]) -> tuple[Any, ...]:
        """The values, where a range without a step means those in it that are legal; a value that was written stays."""
        numbers = tuple(legal)
        found: list[Any] = []
        for part in self.parts:
            if isinstance(part, Span):
                found += part if part.stepped else (number for number in numbers if part.holds(number))
            else:
                found.append(part)
        return tuple(dict.fromkeys(found))


def _each(parts: tuple[Any, ...]) -> Iterator[Any]:
    for part in parts:
        if isinstance(part, Span):
            yield from part
        else:
            yield part


def axis(read: Callable[[str, str], Any]) -> Callable[[str, str], Axis]:
    """What reads the values of an axis, each of them as `read` does."""
    return lambda text, what: read_axis(text, what, read)


def read_axis(text: str, what: str, read: Callable[[str, str], Any]) -> Axis:
    """The axis that a text spells. Raises `RequestError` for an empty one, for a range that is none, and for what `read` refuses."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > MOST_PARTS:
        raise RequestError(f"{what} lists {len(parts):,} values: at most {MOST_PARTS:,}; a range is LOW..HIGH")
    if not all(parts):
        raise RequestError(f"{what} has a value that is empty: give one, such as 8, a list 1,2,4 or a range 1..8")
    for part in parts:
        low, dash, high = part.partition("-")
        if dash and low.isdecimal() and high.isdecimal():
            raise RequestError(f"{what} {_shown(part)}: a range is {_shown(low)}..{_shown(high)}")
    return Axis(text.strip(), tuple(_span(part, what, read) if _DOTS in part else read(part, what) for part in parts))


def _span(text: str, what: str, read: Callable[[str, str], Any]) -> Span:
    """The range of a text: LOW..HIGH, and behind it +STEP or *FACTOR."""
    low_text, _, rest = text.partition(_DOTS)
    sign = next((sign for sign in "*+" if sign in rest), "")
    high_text, _, by = rest.partition(sign) if sign else (rest, "", "")
    low, high = (_end(end, text, what, read) for end in (low_text, high_text))
    if low > high:
        raise RequestError(f"{what} {_shown(text)} is empty: {low_text.strip()} is more than {high_text.strip()}")
    if not sign:
        return Span(low, high, stepped=False)
    step = _number(by, text, what, read if sign == "+" else None)
    if sign == "*" and not low:
        raise RequestError(f"{what} {_shown(text)}: a range that is multiplied begins above 0")
    if sign == "*" and step < _LEAST_FACTOR:
        raise RequestError(f"{what} {_shown(text)}: the factor behind * is {float(_LEAST_FACTOR)} or more, such as *2")
    span = Span(low, high, step) if sign == "+" else Span(low, high, 0, step)
    _refuse_end(span, text, what)
    return span


def _refuse_end(span: Span, text: str, what: str) -> None:
    """Raises `RequestError` for a range whose steps pass over its end, which would be among them."""
    if span.factor is None:
        last: Any = span.low + (span.count - 1) * span.step
        after = last + span.step
    else:
        last = span.low * span.factor ** (span.count - 1)
        after = last * span.factor
    if last != span.high:
        raise RequestError(
            f"{what} {_shown(text)} passes over its end: it comes to {float(last):g}, then {float(after):g}; end it at one of them"
        )


def _powers(span: Span) -> int:
    """How many values a range has that grows by a factor."""
    assert span.factor is not None
    count, value = 0, span.low
    while value <= span.high:
        count, value = count + 1, value * span.factor
    return count


def _end(text: str, whole: str, what: str, read: Callable[[str, str], Any]) -> int | Fraction:
    """One end of a range, which is a number."""
    value = read(text.strip(), what) if text.strip() else None
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, Fraction))):
        raise RequestError(f"{what} takes no range: list its values, in place of {_shown(whole)}")
    if value is None:
        raise RequestError(
            f"{what} {_shown(whole)} is no range: both ends are numbers, such as 1..8, 8..1024*2 or 16..96+8"
        )
    return value


def _number(text: str, whole: str, what: str, read: Callable[[str, str], Any] | None = None) -> int | Fraction:
    """A factor above 0, or a step, which may be written as the ends are: 1..9e9+1e9, 1k..8k+1k."""
    value = _plain(text)
    if value is None and read is not None:
        with suppress(RequestError):
            value = read(text.strip(), what)
    if isinstance(value, bool) or not isinstance(value, (int, Fraction)) or value <= 0:
        raise RequestError(
            f"{what} {_shown(whole)}: behind + or * stands a number above 0, such as 1..9+2 or 8..1024*2"
        )
    return value.numerator if value.denominator == 1 else value


def _plain(text: str) -> Fraction | None:
    """A number in digits alone; None for any other text."""
    if len(text) > _MOST_DIGITS or "e" in text.lower():
        return None
    try:
        return Fraction(text.strip())
    except (ValueError, ZeroDivisionError):
        return None


def _shown(text: str) -> str:
    return text[:_MOST_DIGITS]
