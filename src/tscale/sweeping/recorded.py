"""Numbers that record what is done with them: whole ones, fractions and floats, so that a question's row is computed again as arrays.

A row is answered once on such numbers. What came of it is a graph of operations, each the very one that the answer took, in its
order, so that doing them again on other sizes gives the same digits; each comparison that the answer branched on is noted, and
rows that compare alike take the same way. Whatever would lose the record (a conversion, a hash of a value, a loop so many times)
raises `LostError`, and the rows are answered one by one instead: nothing is ever taken for a constant that is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from tscale.core.tracing import Recordable
from tscale.sweeping.marks import mark_of
from tscale.sweeping.operations import OPERATIONS, Number


class LostError(Exception):
    """The record of a number would be lost; the message says where."""


class Guard(NamedTuple):
    """A condition that an answer branched on, and how it came out."""

    condition: Recorded
    outcome: bool


@dataclass
class Record:
    """What was done on the way of one row; equal operations on the same numbers are one.

    `texts`: numbers that were written into texts, and how; each leaves a mark there, so that a text can be filled for other rows.
    """

    guards: dict[int, Guard] = field(default_factory=dict)
    known: dict[Any, Recorded] = field(default_factory=dict)
    texts: list[tuple[Recorded, str]] = field(default_factory=list)


_RECORD: ContextVar[Record | None] = ContextVar("record", default=None)
_NOT_ASKED: Final = 2
"""The sign of a number of which `sign_of` was not asked yet."""


@contextmanager
def recording(record: Record) -> Iterator[Record]:
    """Notes in a record whatever is done meanwhile."""
    token = _RECORD.set(record)
    try:
        yield record
    finally:
        _RECORD.reset(token)


def record_of(op: str, *args: Number) -> Number:
    """The result of an operation, recorded where one of its arguments is."""
    values = [plain_of(arg) for arg in args]
    value = OPERATIONS[op](*values)
    if not any(isinstance(arg, Recorded) for arg in args):
        return value
    record = _RECORD.get()
    if record is None:
        raise LostError("a recorded number outside of its record")
    kept = tuple(arg if isinstance(arg, Recorded) else plain for arg, plain in zip(args, values, strict=True))
    key = (op, *((id(arg),) if isinstance(arg, Recorded) else (type(arg), arg) for arg in kept))
    if key not in record.known:
        record.known[key] = Recorded(value, op, kept)
    return record.known[key]


def plain_of(number: Number) -> Any:
    """The plain number of a row."""
    if isinstance(number, Recorded):
        return number.value
    return int(number) if isinstance(number, int) and type(number) not in (int, bool) else number


Operator = Callable[[Any, Any], Any]


def _of_two(op: str) -> tuple[Operator, Operator]:
    """An operation of a recorded number on the left, and of one on the right."""
    return lambda one, other: _result(op, one, other), lambda one, other: _result(op, other, one)


def _comparison(op: str) -> Operator:
    return lambda one, other: _compared(op, one, other)


@runtime_checkable
class OfRows(Protocol):
    """A function that a recorded number is made by, with its results for many rows at once."""

    def __call__(self, *numbers: Any) -> Any:
        """Its result for one row."""

    def rows(self, *values: Any) -> Any:
        """Its results, a value of `tscale.sweeping.whole_arrays`."""


class Recorded(Recordable):
    """A number, or a condition, that is recorded: `value` is that of the row, `op` and `args` how it was made.

    An axis has its name as its `label`. `how`: of what is no operation, the search (`tscale.sweeping.searches`), or
    the function that is called for each number.
    """

    __slots__ = ("args", "how", "label", "op", "sign", "value")

    def __init__(
        self,
        value: Any,
        op: str = "axis",
        args: tuple[Number, ...] = (),
        label: str = "",
        how: Any = None,
    ) -> None:
        self.value, self.op, self.args, self.label, self.how = value, op, args, label, how
        self.sign: int | None = _NOT_ASKED  # `sign_of` keeps it here: numbers share what they are made of

    def __array_namespace__(self) -> type[Library]:
        return Library

    def __bool__(self) -> bool:
        condition = self if isinstance(self.value, bool) else record_of("!=", self, 0)
        if is_settled(condition):
            return bool(self.value)
        record = open_record()
        record.guards.setdefault(id(condition), Guard(condition, bool(self.value)))
        return bool(self.value)

    def __eq__(self, other: object) -> Any:
        return True if self is other else _compared("==", self, other)

    def __ne__(self, other: object) -> Any:
        return False if self is other else _compared("!=", self, other)

    __lt__, __le__, __gt__, __ge__ = map(_comparison, ("<", "<=", ">", ">="))

    def __hash__(self) -> int:
        return 0  # so that a dictionary compares recorded numbers with one another, which is noted

    __add__, __radd__ = _of_two("+")
    __sub__, __rsub__ = _of_two("-")
    __mul__, __rmul__ = _of_two("*")
    __truediv__, __rtruediv__ = _of_two("true")
    __floordiv__, __rfloordiv__ = _of_two("/")
    __mod__, __rmod__ = _of_two("%")
    __pow__, __rpow__ = _of_two("pow")

    def __neg__(self) -> Number:
        return record_of("neg", self)

    def __pos__(self) -> Number:
        return self

    def __abs__(self) -> Number:
        return record_of("abs", self)

    def __and__(self, other: Number) -> bool:
        return bool(self) and bool(other)

    __rand__ = __and__

    def __or__(self, other: Number) -> bool:
        return bool(self) or bool(other)

    __ror__ = __or__

    def __round__(self, digits: int | None = None) -> Number:
        return record_of("round", self) if digits is None else record_of("round", self, digits)

    def __ceil__(self) -> Number:
        return record_of("ceil", self)

    def __floor__(self) -> Number:
        return record_of("floor", self)

    @property
    def numerator(self) -> Number:
        """Of a fraction, in lowest terms."""
        return self if isinstance(self.value, int) else record_of("numerator", self)

    @property
    def denominator(self) -> Number:
        """Of a fraction, in lowest terms."""
        return 1 if isinstance(self.value, int) else record_of("denominator", self)

    def as_float(self) -> Number:
        """As a float."""
        return self if isinstance(self.value, float) else record_of("float", self)

    def as_fraction(self) -> Number:
        """As a fraction."""
        return self if isinstance(self.value, Fraction) else record_of("fraction", self)

    def as_int(self) -> Number:
        """As a whole number, cut towards 0."""
        return self if isinstance(self.value, int) else record_of("int", self)

    def power_of_two(self) -> Number:
        """The smallest power of two that is not below."""
        return record_of("power_of_two", self)

    def searched(self, kind: str, ask: Callable[[Number], Number], *ends: Number) -> Number | None:
        """What a search finds, where this is what it asks of one number (`tscale.sweeping.searches`)."""
        from tscale.sweeping.searches import SEARCHES

        return SEARCHES[kind](ask, *ends)

    def called(self, name: str, function: Callable[..., Any], *others: Number) -> Number:
        """What a function of this number and others that cannot be recorded gives, called for each row; `name`: which of its results."""
        args = (self, *others)
        return Recorded(function(*map(plain_of, args)), "call", args, label=name, how=function)

    def __int__(self) -> int:
        raise LostError("int() of a recorded number")

    def __float__(self) -> float:
        raise LostError("float() of a recorded number")

    def __index__(self) -> int:
        raise LostError("a recorded number counts or indexes something")

    def __format__(self, spec: str) -> str:
        record = _RECORD.get()
        if record is None:
            return format(self.value, spec)
        record.texts.append((self, spec))
        return mark_of(record.texts)

    def __str__(self) -> str:
        return format(self, "")

    __repr__ = __str__


def is_settled(condition: Recorded) -> bool:
    """Whether a comparison with 0 comes out the same for all rows, by the sign of what is compared."""
    if condition.op not in ("==", "!=", "<", "<=", ">", ">="):
        return False
    signs = [sign_of(side) for side in condition.args]
    return None not in signs and 0 in signs and signs != [0, 0]


def sign_of(number: Number) -> int | None:
    """1 or -1 for numbers above or below 0 in all rows, 0 for 0 itself; None where that is not known. Axes and what is tried are above 0."""
    if not isinstance(number, Recorded):
        return None if isinstance(number, bool) else (number > 0) - (number < 0)
    if number.sign == _NOT_ASKED:
        number.sign = _sign_of(number)
    return number.sign


def _sign_of(number: Recorded) -> int | None:
    if number.op in ("axis", "tried"):
        return 1 if number.value > 0 else None
    rule = _SIGNS.get(number.op)
    signs = [sign_of(arg) for arg in number.args] if rule is not None else []
    return None if rule is None or None in signs else rule(*signs)


def _sum_sign(a: int, b: int) -> int | None:
    return a or b if a * b >= 0 else None


_SIGNS: Final[dict[str, Callable[..., int | None]]] = {
    "+": _sum_sign,
    "-": lambda a, b: _sum_sign(a, -b),
    "*": lambda a, b: a * b,
    "true": lambda a, b: a * b or None,
    "/": lambda a, b: -1 if a * b < 0 else None,  # a quotient of numbers above 0 may be rounded down to 0
    "neg": lambda a: -a,
    "min": min,
    "max": max,
    "float": lambda a: a,
    "fraction": lambda a: a,
    "expm1": lambda a: a,
    "sinh": lambda a: a,
    "asinh": lambda a: a,
    "exp": lambda _: 1,
    "ceil": lambda a: a if a > 0 else None,
}
"""The sign of a result by those of its arguments."""
_NUMBERS = (int, float, Fraction, Recorded)


def open_record() -> Record:
    """The record of what is done now. Raises `LostError` where none is open."""
    record = _RECORD.get()
    if record is None:
        raise LostError("a recorded number outside of its record")
    return record


def _result(op: str, left: Number, right: Number) -> Number:
    if not isinstance(left, _NUMBERS) or not isinstance(right, _NUMBERS):
        return NotImplemented
    return record_of(op, left, right)


def _compared(op: str, left: Number, right: object) -> Any:
    if not isinstance(right, _NUMBERS):
        return op == "!=" if op in ("==", "!=") else NotImplemented
    return record_of(op, left, right)


def _recorded(op: str) -> Callable[..., Number]:
    return staticmethod(lambda *args: record_of(op, *args))


class Library:
    """What formulas ask the library of an array for, of recorded numbers (`tscale.core.tracing`, `tscale.core.elementwise`)."""

    minimum, maximum, where, rint = map(_recorded, ("min", "max", "where", "round"))
    log, log2, log10, exp, expm1, sinh, asinh = map(
        _recorded, ("log", "log2", "log10", "exp", "expm1", "sinh", "asinh")
    )
