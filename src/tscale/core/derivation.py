"""How a number came about, as text: with names and with numbers, for people; as Python, for functions of other sizes.

Both are made of the operations that a `TracedInt` remembers, in a loop: a sum of a thousand terms is a derivation a thousand deep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from tscale.core.tracing import TracedInt, ceil_div, maximum, minimum, power_of_two

_RANK: Final = {"+": 1, "-": 1, "*": 2, "/": 2, "^2": 3}  # how tightly an operation binds; atoms bind tightest
_ATOM: Final = 4
_FUNCTIONS: Final = {"min": "minimum", "max": "maximum", "ceil": "ceil_div", "power_of_two": "power_of_two"}

CODE_NAMES: Final = {"minimum": minimum, "maximum": maximum, "ceil_div": ceil_div, "power_of_two": power_of_two}
"""What derivations as Python call."""


class Text(NamedTuple):
    """A derivation with names and with numbers, and how tightly its outermost operation binds."""

    names: str
    numbers: str
    rank: int


def text_of(number: int) -> Text:
    """The text of a derivation, in which a named number stands for itself.

    >>> layers, d_model = TracedInt(96, label="layers"), TracedInt(12288, label="d_model")
    >>> text_of(4 * layers * d_model**2)[:2]
    ('4·layers·d_model²', '4·96·12288²')
    """
    made: dict[int, Text] = {}
    waiting = [number]
    while waiting:
        one = waiting[-1]
        if not isinstance(one, TracedInt) or one.op == "name":
            made[id(one)] = _atom(one)
        elif missing := [argument for argument in one.args if id(argument) not in made]:
            waiting += missing
            continue
        else:
            made[id(one)] = _operation(one, [made[id(argument)] for argument in one.args])
        waiting.pop()
    return made[id(number)]


def _atom(number: int) -> Text:
    """The text of a size, of a named number, or of a number that remembers nothing."""
    numbers = str(int(number))
    return Text(number.label if isinstance(number, TracedInt) else numbers, numbers, _ATOM)


def _operation(number: TracedInt, parts: list[Text]) -> Text:
    """The text of an operation, of those of its arguments."""
    if number.op in ("min", "max", "power_of_two"):
        names, numbers = (", ".join(texts) for texts in list(zip(*parts, strict=True))[:2])
        return Text(f"{number.op}({names})", f"{number.op}({numbers})", _ATOM)
    if number.op in ("/", "ceil"):
        return _quotient(number, *parts)
    rank = _RANK[number.op]
    if number.op == "^2":
        names, numbers = _wrapped(parts[0], rank + 1)
        return Text(f"{names}²", f"{numbers}²", rank)
    # A product on the right of a product, or a sum on the right of a sum, needs no parentheses: they are associative.
    # A quotient there does, since a·b/c would be read (and, floored, computed) from the left.
    right_op = number.args[1].op if isinstance(number.args[1], TracedInt) else ""
    tight = number.op == "-" or (number.op == "*" and right_op in ("/", "ceil"))
    left, right = _wrapped(parts[0], rank), _wrapped(parts[1], rank + 1 if tight else rank)
    between = "·" if number.op == "*" else f" {number.op} "
    return Text(f"{left[0]}{between}{right[0]}", f"{left[1]}{between}{right[1]}", rank)


def _quotient(number: TracedInt, above: Text, below: Text) -> Text:
    """The text of a quotient, and whether it is rounded down or up."""
    left, right = _wrapped(above, _RANK["/"]), _wrapped(below, _RANK["/"] + 1)
    names, numbers = f"{left[0]}/{right[0]}", f"{left[1]}/{right[1]}"
    if int(number) * int(number.args[1]) == int(number.args[0]):
        return Text(names, numbers, _RANK["/"])
    if number.op == "ceil":
        return Text(f"⌈{names}⌉", f"⌈{numbers}⌉", _ATOM)
    return Text(f"⌊{names}⌋", f"⌊{numbers}⌋", _ATOM)


def _wrapped(part: Text, rank: int) -> tuple[str, str]:
    names, numbers, own_rank = part
    return (f"({names})", f"({numbers})") if own_rank < rank else (names, numbers)


def code_of(number: int, parts: Sequence[str]) -> str:
    """A derivation as Python, of the code of its arguments."""
    if not isinstance(number, TracedInt):
        return str(int(number))
    if number.op == "name":
        return parts[0] if parts else number.label
    if number.op in _FUNCTIONS:
        return f"{_FUNCTIONS[number.op]}({', '.join(parts)})"
    return (
        f"({parts[0]}**2)"
        if number.op == "^2"
        else f"({parts[0]} {'//' if number.op == '/' else number.op} {parts[1]})"
    )
