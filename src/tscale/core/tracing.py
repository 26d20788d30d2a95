"""The numbers that formulas run on.

A formula is written once and runs on three kinds of number: plain ints, traced ints (`TracedInt`), and float64 arrays.
It therefore uses `+ - * // **2`, and `minimum`, `ceil_div` and the like below where a size decides; never `if` on a size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import reduce
from math import ceil
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from tscale.core.derivation import Text


class TracedInt(int):
    """An int that remembers how it was made.

    It is an int in every respect, so formulas need not know of it. `names` prints the derivation with names
    (`layers·d_model·d_ff`), `numbers` with numbers (`96·12288·49152`); both are made from the very operations that
    computed the value, and evaluating either gives the value back.
    """

    op: str
    args: tuple[int, ...]
    label: str
    unit: str = ""

    def __new__(cls, value: int, op: str = "name", args: tuple[int, ...] = (), label: str = "") -> TracedInt:
        self = super().__new__(cls, value)
        self.op, self.args, self.label = op, args, label
        return self

    def __add__(self, other: int) -> int:
        return _made("+", self, other, int.__add__(self, other)) if isinstance(other, int) else NotImplemented

    def __radd__(self, other: int) -> int:
        return _made("+", other, self, int.__add__(other, self)) if isinstance(other, int) else NotImplemented

    def __sub__(self, other: int) -> int:
        return _made("-", self, other, int.__sub__(self, other)) if isinstance(other, int) else NotImplemented

    def __rsub__(self, other: int) -> int:
        return _made("-", other, self, int.__sub__(other, self)) if isinstance(other, int) else NotImplemented

    def __mul__(self, other: int) -> int:
        return _made("*", self, other, int.__mul__(self, other)) if isinstance(other, int) else NotImplemented

    def __rmul__(self, other: int) -> int:
        return _made("*", other, self, int.__mul__(other, self)) if isinstance(other, int) else NotImplemented

    def __floordiv__(self, other: int) -> int:
        return _made("/", self, other, int.__floordiv__(self, other)) if isinstance(other, int) else NotImplemented

    def __rfloordiv__(self, other: int) -> int:
        return _made("/", other, self, int.__floordiv__(other, self)) if isinstance(other, int) else NotImplemented

    def __pow__(self, exponent: int, modulus: None = None) -> int:  # type: ignore[override]
        assert exponent == 2, "formulas square and do nothing higher"
        return _remembering(int(self) ** 2, "^2", (self,))

    @property
    def names(self) -> str:
        """The derivation with names, e.g. `layers·d_model·d_ff`."""
        return self.text.names

    @property
    def numbers(self) -> str:
        """The derivation with numbers, e.g. `96·12288·49152`."""
        return self.text.numbers

    @property
    def text(self) -> Text:
        """Both, made in one walk."""
        from tscale.core.derivation import text_of  # few answers print any

        return text_of(self)

    def definitions(self, seen: set[int] | None = None) -> Iterator[tuple[str, int, str]]:
        """Each derived name that the derivation uses, with what it stands for and its unit; what that uses in turn comes before.

        `seen`: `id`s of numbers, kept alive by whoever gives it, that are not gone through again; this one's are added.
        """
        for one in innermost_first(self, seen):
            if isinstance(one, TracedInt) and one.op == "name" and one.args:
                yield one.label, one.args[0], one.unit

    @property
    def terms(self) -> Iterator[str]:
        """The derived names that this number is a sum or a difference of: they have its unit."""
        waiting: list[int] = [self]
        seen: set[int] = set()
        while waiting:
            one = waiting.pop()
            if not isinstance(one, TracedInt) or id(one) in seen or one.op not in ("name", "+", "-"):
                continue
            seen.add(id(one))
            if one.op == "name" and one.args:
                yield one.label
            waiting += one.args


def trace(value: int, label: str) -> int:
    """A number that remembers, under a label; one that remembers or records already, as it is."""
    return value if isinstance(value, (TracedInt, Recordable)) else TracedInt(value, label=label)


def _remembering(value: int, op: str, args: tuple[int, ...], label: str = "") -> TracedInt:
    """A number that remembers what it was made of, and how: a sweep's also notes where it is compared."""
    for one in args:
        if type(one) is not TracedInt and isinstance(one, TracedInt):
            return type(one)(value, op, args, label)
    return TracedInt(value, op, args, label)


def label(name: str, value: int, unit: str = "") -> int:
    """`value` under a name of its own, so that derivations read `head_dim` and not how it came about, with its unit in words.

    A number that does not remember passes through: names cost nothing where nobody asks for them.
    """
    if not isinstance(value, TracedInt):
        return value
    made = _remembering(int(value), "name", (value,), name)
    made.unit = unit
    return made


def label_beside(name: str, value: int, sibling: int, field: str, unit: str = "") -> int:
    """`value` under `name`, behind what stands before `field` in the name of another number of the same block.

    So a second block's `attention_2_heads` has an `attention_2_head_dim`, and every name means one number.
    """
    known = sibling.label if isinstance(sibling, TracedInt) else ""
    return label(known.removesuffix(field) + name if known.endswith(field) else name, value, unit)


def minimum(a: int, b: int) -> int:
    """The smaller of two numbers of any of the three kinds."""
    if type(a) is int and type(b) is int:  # most of them, in a third of the time
        return min(a, b)
    if isinstance(a, int) and isinstance(b, int):
        return _chosen("min", a, b, min(int(a), int(b)))
    return cast("int", _arrays(a, b).minimum(a, b))


def maximum(a: int, b: int) -> int:
    """The larger of two numbers of any of the three kinds."""
    if type(a) is int and type(b) is int:
        return max(a, b)
    if isinstance(a, int) and isinstance(b, int):
        return _chosen("max", a, b, max(int(a), int(b)))
    return cast("int", _arrays(a, b).maximum(a, b))


def most_of(values: Iterable[int]) -> int:
    """The largest of several numbers of any of the three kinds, 0 of none."""
    first, *others = [*values] or [0]
    return reduce(maximum, others, first)


class Recordable:
    """A plain number of a sweep that records what is done with it (`tscale.sweeping.recorded`); it brings its own library."""

    __slots__ = ()

    def as_float(self) -> Any:
        """The same as a float."""
        raise NotImplementedError

    def as_fraction(self) -> Any:
        """The same as a fraction."""
        raise NotImplementedError

    def as_int(self) -> Any:
        """The same as a whole number, cut towards 0."""
        raise NotImplementedError

    def power_of_two(self) -> Any:
        """The smallest power of two that is not below."""
        raise NotImplementedError

    def searched(self, kind: str, ask: Callable[[Any], Any], *ends: Any) -> Any:
        """What a search finds, where this is what it asks of one number (`tscale.core.costs.largest`, `tscale.core.laws.halving`)."""
        raise NotImplementedError

    def called(self, name: str, function: Callable[..., Any], *others: Any) -> Any:
        """What a function of this number and others that cannot be recorded gives, called for each row; `name`: which of its results."""
        raise NotImplementedError


def is_array(number: object) -> bool:
    """Whether this is an array of numbers."""
    found = _ARRAYS.get(type(number))
    return _is_of_arrays(type(number)) if found is None else found


_ARRAYS: Final[dict[type, bool]] = {}
"""Types of numbers, each looked at once, with whether they are arrays."""


def _is_of_arrays(kind: type) -> bool:
    found = _ARRAYS[kind] = hasattr(kind, "__array_namespace__") and not issubclass(kind, Recordable)
    return found


def _has_library(number: object) -> bool:
    return is_array(number) or isinstance(number, Recordable)


def is_one(number: int | None) -> bool:
    """Whether this is 1, of a plain number.

    In an array that stands for a degree all are above 1: whoever makes arrays of plans keeps those that are 1 apart, for they are of
    another structure.
    """
    return number == 1 if type(number) is int else not is_array(number) and number == 1


def is_nothing(number: float) -> bool:
    """Whether this is 0, of a plain number; an array is something, whatever it holds, and so is a number that is recorded."""
    return not is_array(number) and not isinstance(number, Recordable) and number == 0


def is_never(condition: Any) -> bool:
    """Whether a condition does not hold, of a plain one; one of arrays is taken to hold somewhere."""
    return not condition if type(condition) is bool else not is_array(condition) and not condition


def where(condition: Any, yes: Any, no: Any) -> Any:
    """One of two numbers, by a condition; of arrays, one for each of them."""
    if type(condition) is not bool and _has_library(condition):
        return condition.__array_namespace__().where(condition, yes, no)
    return yes if condition else no


def ratio(a: int, b: int) -> Fraction:
    """The quotient of two whole numbers: an exact fraction, or an array of floats."""
    if is_array(a) or is_array(b):
        return cast("Fraction", a / b)
    if isinstance(a, Recordable) or isinstance(b, Recordable):
        return as_fraction(a) / as_fraction(b)
    return Fraction(int(a), int(b))


def as_fraction(number: Any) -> Fraction:
    """A plain number as a fraction."""
    return cast("Fraction", number.as_fraction()) if isinstance(number, Recordable) else Fraction(number)


def whole(number: Any) -> Any:
    """The whole number that is nearest, and of two the even one; of arrays, as floats."""
    return number.__array_namespace__().round(number) if is_array(number) else round(number)


def rounded_up(number: Any) -> Any:
    """The least whole number that is no less; of arrays, as floats."""
    return number.__array_namespace__().ceil(number) if is_array(number) else ceil(number)


def as_float(number: Any) -> Any:
    """A number as a float, an array as an array of them."""
    if isinstance(number, Recordable):
        return number.as_float()
    return number * 1.0 if is_array(number) else float(number)


def forgetting(number: int) -> int:
    """A whole number without how it was made; one that a sweep records, or an array, as it is."""
    return int(number) if type(number) is TracedInt else number


def as_plain(number: Any) -> Any:
    """A whole number that remembers nothing; an array as it is."""
    if isinstance(number, Recordable):
        return number.as_int()
    return number if is_array(number) else int(number)


def _chosen(op: str, a: int, b: int, value: int) -> int:
    return _remembering(value, op, (a, b)) if isinstance(a, TracedInt) or isinstance(b, TracedInt) else value


def _arrays(a: object, b: object) -> Any:
    """The library of the one of two that is an array."""
    array: Any = a if _has_library(a) else b
    return array.__array_namespace__()


def ceil_div(a: int, b: int) -> int:
    """The quotient a / b rounded up, exactly, for any of the three kinds of number."""
    if type(a) is int and type(b) is int:  # most of them, in a third of the time
        return -(-a // b)
    if not is_array(b) and _is_literal(b, 1):
        return a
    value = -(-a // b)
    if isinstance(value, int) and (isinstance(a, TracedInt) or isinstance(b, TracedInt)):
        return _remembering(int(value), "ceil", (a, b))
    return value


def power_of_two(number: int) -> int:
    """The smallest power of two that is not below a number from 1 on, for any of the three kinds of number."""
    if isinstance(number, int):
        value = 1 << (int(number) - 1).bit_length()
        return _remembering(value, "power_of_two", (number,)) if isinstance(number, TracedInt) else value
    if isinstance(number, Recordable):
        return cast("int", number.power_of_two())
    library = _arrays(number, number)
    return cast("int", 2.0 ** library.ceil(library.log2(number)))


def innermost_first(number: int, seen: set[int] | None = None) -> Iterator[int]:
    """A number and all that it was made from, each once and behind its own arguments, but for what was `seen`.

    In a loop, since a sum of a thousand terms is a derivation a thousand deep.
    """
    seen, waiting = set[int]() if seen is None else seen, [number]
    while waiting:
        one = waiting[-1]
        if id(one) not in seen:
            inside = [argument for argument in _arguments(one) if id(argument) not in seen]
            if inside:
                waiting += reversed(inside)
                continue
            seen.add(id(one))
            yield one
        waiting.pop()


def _arguments(number: int) -> tuple[int, ...]:
    """What a number was made from."""
    return number.args if isinstance(number, TracedInt) else ()


def _made(op: str, left: int, right: int, value: int) -> int:
    """The result of an operation; neutral literals (a sum's 0, a single copy's 1, no copies) leave no trace."""
    if (
        type(left) is TracedInt and type(right) is TracedInt
    ):  # no literal is among them: most of them, in half of the time
        return TracedInt(value, op, (left, right))
    if op in "+-" and _is_literal(right, 0):
        return left
    if op == "+" and _is_literal(left, 0):
        return right
    if op == "*" and (_is_literal(left, 0) or _is_literal(right, 0)):
        return 0
    if op in "*/" and _is_literal(right, 1):
        return left
    if op == "*" and _is_literal(left, 1):
        return right
    return _remembering(value, op, (left, right))


def _is_literal(number: int, value: int) -> bool:
    return not isinstance(number, (TracedInt, Recordable)) and number == value
