"""Searches for a number, recorded: what a condition, or a function, of the number that is tried comes to is a graph like any other.

A search is done again for all rows at once (`tscale.sweeping.searching`), trying the very numbers that a row alone tries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

from tscale.core.costs import largest as of_whole
from tscale.core.laws import halving
from tscale.sweeping.operations import OPERATIONS, Number
from tscale.sweeping.recorded import LostError, Recorded, open_record, plain_of, record_of
from tscale.sweeping.shapes import nearest

Kind = Literal["largest", "halved", "lowest"]
NO_LIMIT: Final = -1
"""What a search for the largest comes to where the most fits too."""


class Search(NamedTuple):
    """A number that is looked for: the largest for which `asked` holds, the first for which it does, or where it is least.

    `asked`: made from `tried`. `ends`: between which numbers; of the largest, the most.
    """

    kind: Kind
    tried: Recorded
    asked: Recorded
    ends: tuple[Number, ...]


def largest(fits: Callable[[Number], Number], most: int) -> Number | None:
    """What `tscale.core.costs.largest.largest` finds, recorded. Raises `LostError` where what fits branches on what is tried."""
    result = _searched("largest", fits, Recorded(2, "tried"), (most,))
    if record_of("==", result, NO_LIMIT):
        return None
    return result


def halved(above: Callable[[Number], Number], low: Number, *high: Number) -> Number:
    """What `tscale.core.laws.halving.where` finds, recorded. Raises `LostError` as `largest` does."""
    return _searched("halved", above, Recorded(2.0 * plain_of(low), "tried"), (low, *high))


def lowest(function: Callable[[Number], Number], low: Number, high: Number) -> Number:
    """What `tscale.core.laws.halving.least` finds, recorded. Raises `LostError` as `largest` does."""
    return _searched("lowest", function, Recorded(2.0 * plain_of(low), "tried"), (low, high))


SEARCHES: Final[Mapping[str, Callable[..., Any]]] = {
    "largest": largest, "halved": halved, "lowest": lowest, "shape": nearest,
}  # fmt: skip
"""Each search by its kind."""


def _searched(kind: Kind, ask: Callable[[Number], Number], tried: Recorded, ends: tuple[Number, ...]) -> Recorded:
    record = open_record()
    before = set(record.guards)
    asked = ask(tried)
    if not isinstance(asked, Recorded):
        raise LostError("a search whose condition does not ask for what is tried")
    branching = [guard.condition for key, guard in record.guards.items() if key not in before]
    if any(any(one is tried for one in reached(condition)) for condition in branching):
        raise LostError("what fits branches on the number that is tried")
    search = Search(kind, tried, asked, ends)
    needed = {id(one): one for one in (*_frontier(asked, tried), *ends) if isinstance(one, Recorded)}
    return Recorded(_plainly(search, {}), "search", tuple(needed.values()), how=search)


def _plainly(search: Search, known: Mapping[int, Any]) -> Any:
    """What a search finds in the row that is recorded; `known`: numbers that are others there, as where a search tries them."""
    inside = depending(search.asked, search.tried)
    ends = [known.get(id(end), plain_of(end)) for end in search.ends]

    def at(number: Any) -> Any:
        values = {**known, id(search.tried): number}
        for one in inside:
            args = [values.get(id(arg), plain_of(arg)) for arg in one.args]
            values[id(one)] = _again(one, args, values)
        return values.get(id(search.asked), search.asked.value)

    if search.kind == "largest":
        found = of_whole.largest(at, ends[0])
        return NO_LIMIT if found is None else found
    return halving.where(at, *ends) if search.kind == "halved" else halving.least(at, *ends)


def _again(one: Recorded, args: list[Any], values: Mapping[int, Any]) -> Any:
    if isinstance(one.how, Search):
        return _plainly(one.how, values)
    return OPERATIONS[one.op](*args) if one.how is None else one.how(*args)


def reached(number: Recorded) -> list[Recorded]:
    """A number and all that it was made from, each once and behind its own arguments."""
    found: dict[int, Recorded] = {}
    waiting = [number]
    while waiting:
        one = waiting[-1]
        inside = [arg for arg in one.args if isinstance(arg, Recorded) and id(arg) not in found]
        if inside and id(one) not in found:
            waiting += inside
            continue
        waiting.pop()
        found.setdefault(id(one), one)
    return list(found.values())


def depending(number: Recorded, tried: Recorded) -> list[Recorded]:
    """Of what a number was made from, that which what is tried has a part in, in an order in which it can be computed."""
    ids = {id(tried)}
    found = []
    for one in reached(number):
        if any(isinstance(arg, Recorded) and id(arg) in ids for arg in one.args):
            ids.add(id(one))
            found.append(one)
    return found


def _frontier(asked: Recorded, tried: Recorded) -> tuple[Recorded, ...]:
    """What a condition needs that does not depend on what is tried."""
    inside = depending(asked, tried)
    ids = {id(one) for one in (*inside, tried)}
    needed = {id(arg): arg for one in inside for arg in one.args if isinstance(arg, Recorded) and id(arg) not in ids}
    if id(asked) not in ids:
        needed[id(asked)] = asked
    return tuple(needed.values())
