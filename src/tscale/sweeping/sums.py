"""The sums of `params` of specs that are made in Python one after another, from formulas that are compiled once.

A spec is taken apart into its sizes and its structure, which is all else. The question and the validation of a spec run once on
numbers that note what is compared (`tscale.sweeping.guarded`); what comes of it is a function of the sizes, for every spec of the
structure whose sizes are in range and compare alike. Any other is answered as it always was, and so is the first of a structure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from operator import attrgetter
from typing import Any, Final, cast

from tscale.blocks.fields import Whole, is_one_line, wholes_of
from tscale.core.derivation import CODE_NAMES, code_of
from tscale.core.metric import Figure
from tscale.core.tracing import TracedInt, innermost_first
from tscale.errors import TscaleError
from tscale.models.made import checked
from tscale.models.spec import ModelSpec
from tscale.sweeping.guarded import Guarded, Trail, following

Sums = Mapping[str, int]
Way = Callable[[list[Any]], Sums | None]
"""The sums of sizes, or None of sizes that compare otherwise."""

_TEXTS: Final = ("name", "title")
"""What may be another in each spec and is in no sum."""
_OWN: Final = ("layers", "d_model", "vocabulary", "context", "unique_layers")
_BLOCKS: Final = ("attention", "feed_forward", "positions", "embedding", "layer_input", "streams", "encoder")
"""The fields whose whole numbers are sizes: those that formulas know by name (`tscale.models.spec.traced`), but for towers."""
_REST: Final = tuple(sorted(ModelSpec.field_names.difference(_TEXTS, _OWN, _BLOCKS)))  # type: ignore[attr-defined]
_own, _blocks, _rest = attrgetter(*_OWN), attrgetter(*_BLOCKS), attrgetter(*_REST)
_PLAIN: Final = frozenset({int, bool, str, float, type(None)})

_MOST_KEPT: Final = 4096
_MOST_WAYS: Final = 8
"""Ways of one structure, beyond which its specs are answered as they always were."""

_parts: Final[dict[int, tuple[Any, int, tuple[int, ...]]]] = {}
"""The blocks that were taken apart, by their identity: itself, the number of its structure, and its sizes."""
_rests: Final[dict[tuple[int, ...], tuple[tuple[Any, ...], int]]] = {}
"""The same of all that has no sizes, by the identity of each: changed copies of a spec mostly share it."""
_numbers: Final[dict[Any, int]] = {}
_new_number: Final = count()
_ways: Final[dict[tuple[Any, ...], list[Way]]] = {}


class _OddError(Exception):
    """A value that no valid spec holds as it is."""


def sums_of(spec: object) -> Sums | None:
    """The sums of a spec under their keys in JSON; None where they are not known so, of an invalid one, and of anything else."""
    if type(spec) is not ModelSpec:
        return None
    name, title, rest = spec.name, spec.title, _rest(spec)
    sizes = [*_own(spec)]
    key: list[Any] = [*map(type, sizes), type(name), type(title)]
    try:
        known = _rests.get(tuple(map(id, rest)))
        key.append(_rest_taken(rest) if known is None else known[1])
        for value in _blocks(spec):
            part = _parts.get(id(value)) or _part_taken(value)
            key.append(part[1])
            sizes += part[2]
    except (_OddError, TypeError, RecursionError):
        return None
    found = tuple(key)
    ways = _ways.get(found)
    if ways is None:  # the first of its structure, and mostly the last
        _ways[found] = []
        return None
    for way in ways:
        sums = way(sizes)
        if sums is not None:
            return sums if is_one_line(name) and (title is None or is_one_line(title)) else None
    if len(ways) < _MOST_WAYS and _is_valid(spec):
        ways.append(_way(spec, sizes) or _unknown)
    return None


def _unknown(sizes: list[Any]) -> None:
    """What is known of a spec whose sums are known of no other."""
    del sizes


def _is_valid(spec: ModelSpec) -> bool:
    try:
        return checked(spec) is spec
    except TscaleError:
        return False  # as it is told when it is answered


def _part_taken(value: Any) -> tuple[Any, int, tuple[int, ...]]:
    """A block with the number of its structure and its sizes, which are kept."""
    sizes: list[int] = []
    number = _number_of(_structure(value, sizes, sized=True))
    found = _parts[id(value)] = value, number, tuple(sizes)
    return found


def _rest_taken(values: tuple[Any, ...]) -> int:
    """The number of the structure of all that has no sizes, which is kept."""
    number = _number_of(tuple(_structure(value, [], sized=False) for value in values))
    _rests[tuple(map(id, values))] = values, number
    return number


def _number_of(structure: object) -> int:
    # a number is given once: what is left of one when others were dropped finds no other's ways
    for kept in (_parts, _rests, _numbers, _ways):
        if len(kept) > _MOST_KEPT:
            kept.clear()
    return _numbers.setdefault(structure, next(_new_number))


def _structure(value: Any, sizes: list[int], *, sized: bool) -> Any:
    """What a value is but for its sizes: equal of two values where they differ in sizes alone. Raises `_OddError`."""
    kind = type(value)
    if kind in _PLAIN:
        return kind, value
    if kind is tuple:
        return kind, *(_structure(one, sizes, sized=sized) for one in value)
    if kind is dict:
        return kind, *(
            (_structure(key, sizes, sized=False), _structure(one, sizes, sized=False)) for key, one in value.items()
        )
    if not hasattr(kind, "__dataclass_fields__"):
        raise _OddError
    found: list[Any] = [kind]
    for name in kind.__dataclass_fields__:
        one = getattr(value, name)
        if sized and type(one) is int:
            sizes.append(one)
            found.append(int)
        else:
            found.append(_structure(one, sizes, sized=sized and name != "on"))
    return tuple(found)


def _way(spec: ModelSpec, sizes: list[Any]) -> Way | None:
    """The sums of a valid spec as a function of its sizes; None where one is not known of others."""
    from tscale.answers.params.answer import params_report
    from tscale.models.validation import problems_of

    pinned = _told_by_number(spec)
    if pinned and spec.encoder is not None:
        return None
    numbers = [
        size if size is None or (place < len(_OWN) and _OWN[place] in pinned) else Guarded(size, label=f"s{place}")
        for place, size in enumerate(sizes)
    ]
    ranges: list[Whole | None] = []
    guarded = _with_sizes(spec, numbers, ranges)
    trail = Trail()
    with following(trail):
        if problems_of(guarded):
            return None
        data: Any = params_report([guarded]).data
    if None in ranges:
        return None
    return _compiled(sizes, numbers, ranges, trail, data["params"])


def _told_by_number(spec: ModelSpec) -> tuple[str, ...]:
    """The sizes that are counted through one by one, where something stands in some layers alone: others have other ways."""
    some = any(block.on is not None for block in (*spec.mixers, *spec.feed_forwards))
    some |= any(one is not None for one in (spec.weights, spec.releases, spec.assumed, spec.adapter))
    return ("layers", "unique_layers") if some else ()


def _with_sizes(spec: ModelSpec, numbers: list[Any], ranges: list[Whole | None]) -> ModelSpec:
    """A spec with other sizes, in the order in which it is taken apart; and the ranges of each."""
    wholes = dict(wholes_of(ModelSpec))
    own = dict(zip(_OWN, numbers, strict=False))
    ranges += [wholes[name] for name in _OWN]
    left = iter(numbers[len(_OWN) :])
    blocks = {name: _changed(getattr(spec, name), left, ranges) for name in _BLOCKS}
    return replace(spec, **own, **blocks)


def _changed(value: Any, numbers: Iterator[Any], ranges: list[Whole | None]) -> Any:
    """A value with other sizes, as `_structure` comes by them."""
    if type(value) is tuple:
        return tuple(_changed(one, numbers, ranges) for one in value)
    if not hasattr(type(value), "__dataclass_fields__"):
        return value
    changes: dict[str, Any] = {}
    for name, whole in wholes_of(type(value)):
        one = getattr(value, name)
        if type(one) is int:
            changes[name] = next(numbers)
            ranges.append(whole)
        elif name != "on":
            changes[name] = _changed(one, numbers, ranges)
    return replace(value, **changes)


def _compiled(
    sizes: list[Any], numbers: list[Any], ranges: list[Whole | None], trail: Trail, figures: Mapping[str, Figure]
) -> Way:
    """The text of a function that compares as the trail says and then counts, made a function."""
    lines, known, named = [], dict[int, str](), dict[str, str]()
    for place, (number, whole) in enumerate(zip(numbers, ranges, strict=True)):
        if isinstance(number, TracedInt):
            assert whole is not None
            lines.append(f"if not {whole.least} <= s{place} <= {whole.most}: return None")
        elif number is not None:
            lines.append(f"if s{place} != {number}: return None")

    def text(number: int) -> str:
        """A name of this number; what is computed alike is computed once."""
        for one in innermost_first(number):
            if id(one) in known:
                continue
            parts = [known[id(part)] for part in (one.args if isinstance(one, TracedInt) else ())]
            code = code_of(one, parts) if parts or isinstance(one, Guarded) else str(int(one))  # of no size: a constant
            if isinstance(one, TracedInt) and one.op in ("min", "max") and len({*parts}) == 1:
                code = parts[0]
            if not (code.isidentifier() or code.isdigit() or code in named):
                named[code] = f"t{len(named)}"
                lines.append(f"{named[code]} = {code}")
            known[id(one)] = named.get(code, code)
        return known[id(number)]

    for one in trail.conditions:
        left, right = text(one.left), text(one.right)
        line = f"if {'not ' if one.outcome else ''}{left} {one.op} {right}: return None"
        if left != right and line not in lines:  # as one number compares with itself, it does in every row
            lines.append(line)
    sums = ", ".join(f"{name!r}: {text(cast('int', figure.value))}" for name, figure in figures.items())
    names = "".join(f"s{place}, " for place in range(len(sizes)))
    body = "\n    ".join([f"({names}) = sizes", *lines, f"return {{{sums}}}"])
    made: dict[str, Any] = dict(CODE_NAMES)
    exec(f"def way(sizes):\n    {body}\n", made)  # noqa: S102 (our own text)
    way: Way = made["way"]
    return way
