"""The kinds of value that a spec's fields hold, and where in a model a block stands.

The markers in `Annotated` tell pydantic how to validate without importing it: a built-in model is validated when the
catalogue is made, and answers without paying for the validator again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from math import lcm
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, get_args, get_origin, get_type_hints

from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.counts import parse_count
from tscale.core.ledger import Stream
from tscale.core.tracing import ceil_div, minimum
from tscale.errors import RequestError, field, shown

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

_LONGEST_PERIOD: Final = 4096  # no pattern is so long before it comes again
MOST_SIZE = 10**12  # no width, depth or vocabulary comes near: past it is a slip of the keyboard


class Whole:
    """Marks an int field: a whole number from `least` to `most`, never a bool or a float.

    `kilo`: what k stands for where a number may be written with a suffix, as on the command line: 1024 in lengths (128k),
    1000 in tokens (1.5T). None where it may not: people mean one or the other by a vocabulary of 32k.
    """

    def __init__(self, least: int, most: int, *, kilo: int | None = None) -> None:
        self.least, self.most, self.kilo = least, most, kilo

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        number: CoreSchema = core_schema.int_schema(strict=True, ge=self.least, le=self.most)
        if self.kilo is not None:
            number = core_schema.no_info_before_validator_function(self._spelled, number)
        return core_schema.custom_error_schema(
            number,
            custom_error_type="whole",
            custom_error_message=f"must be a whole number from {self.least} to {power(self.most)}",
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        number: dict[str, Any] = handler(schema)
        return (
            number if self.kilo is None else {"anyOf": [number, {"type": "string", "pattern": r"^[\d_.]+ ?[kKMGBT]$"}]}
        )

    def _spelled(self, value: object) -> object:
        """The number that a text with a suffix spells; anything else as it is, for the next in line to judge."""
        if not isinstance(value, str) or value[-1:] not in tuple("kKMGBT"):
            return value
        try:
            return parse_count(value, what="", most=self.most, kilo=self.kilo or 1)
        except RequestError:
            return value


class Number:
    """Marks a field that holds a number above 0, or a `signed` one any number, whole or not; a whole one stays an int."""

    def __init__(self, *, signed: bool = False) -> None:
        self.above = None if signed else 0

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        whole = core_schema.int_schema(strict=True, gt=self.above)
        real = core_schema.float_schema(strict=True, gt=self.above)
        return core_schema.custom_error_schema(
            core_schema.union_schema([whole, real]),
            custom_error_type="number",
            custom_error_message="must be a number" if self.above is None else "must be a number above 0",
        )


class Tagged:
    """Marks a union of spec classes told apart by their `kind`; `default` is the kind of a mapping that names none."""

    def __init__(self, kinds: Mapping[str, type], default: str = "", *, many: bool = False) -> None:
        self.kinds, self.default, self.many = kinds, default, many

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        def one() -> CoreSchema:
            return core_schema.tagged_union_schema(
                {name: handler.generate_schema(spec_class) for name, spec_class in self.kinds.items()},
                discriminator=lambda data: data.get("kind", self.default) if isinstance(data, Mapping) else None,
                custom_error_type="kind",
                custom_error_message=f"must be a mapping with kind: {', '.join(self.kinds)}",
            )

        if not self.many:
            return one()
        several = core_schema.tuple_schema([one()], variadic_item_index=0, min_length=1)
        if get_origin(source) is tuple:  # a list alone, where others may be one block as well
            return several
        return core_schema.tagged_union_schema(
            {"one": one(), "several": several},
            discriminator=lambda data: "several" if isinstance(data, (list, tuple)) else "one",
        )


class Elsewhere:
    """Marks a field that holds a spec class of another file or nothing, imported where a file or the schema is read."""

    def __init__(self, home: str) -> None:
        self.home = home

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        from tscale.blocks.kinds import class_at

        return core_schema.nullable_schema(handler.generate_schema(class_at(self.home)))


class SeveralElsewhere:
    """Marks a field that holds a list of a spec class of another file or nothing, imported where a file or the schema is read."""

    def __init__(self, home: str) -> None:
        self.home = home

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        from tscale.blocks.kinds import class_at

        each = handler.generate_schema(class_at(self.home))
        return core_schema.nullable_schema(core_schema.tuple_schema([each], variadic_item_index=0, min_length=1))


def power(number: int) -> str:
    """A limit as messages write it: 64, 10^12."""
    return f"10^{len(str(number)) - 1}" if str(number).strip("0") == "1" and number > 10**6 else str(number)


Size = Annotated[int, Whole(1, MOST_SIZE)]
"""A width, a depth, a number of heads."""

Positive = Annotated[int | float, Number()]
"""A number above 0, whole or not."""

Length = Annotated[int, Whole(1, MOST_SIZE, kilo=1024)]
"""A number of tokens that a context or a window holds: 4096, or 4k."""


Problem = tuple[tuple[str | int, ...], str]
"""The field at fault (as a path, of a list by place) and what is wrong with it: a contradiction that no single field shows."""


def within(path: tuple[str | int, ...], problems: Iterable[Problem]) -> Iterator[Problem]:
    """What is wrong with what stands at a path, as it is wrong with the whole."""
    return (((*path, *inner), message) for inner, message in problems)


def nothing_wrong(*_: object) -> Iterator[Problem]:
    """The problems of a block that cannot contradict itself."""
    return iter(())


_BOTH: Final = "both stand in the same layers: say which outside of the two"


def inner_problems(field: str, block: Any, d_model: int, placed: str = _BOTH) -> Iterator[Problem]:
    """What contradicts itself in a block within another, whose layers are those of the other, as `placed` says."""
    yield from within((field,), block.problems(d_model))
    if block.on is not None:
        yield (field, "on"), placed


def dotted(path: tuple[str | int, ...]) -> str:
    """A path as messages write it: weights.rules.0.parts."""
    return ".".join(map(str, path))


def out_of_range(block: Any) -> Iterator[Problem]:
    """The whole numbers of a spec class's instance, and of the blocks inside it, that are not those its fields may hold.

    What validation finds in a file, of what was never in one.
    """
    for name, whole in wholes_of(type(block)):
        value = getattr(block, name)
        for item in value if isinstance(value, tuple) else (value,):
            if is_dataclass(item):
                yield from within((name,), out_of_range(item))
            elif whole is not None and type(item) is int and not whole.least <= item <= whole.most:
                yield (name,), f"comes out as {item}, and must be from {whole.least} to {power(whole.most)}"


def wholes_of(cls: Any) -> tuple[tuple[str, Whole | None], ...]:
    """The fields of a spec class, each with the marker of the whole numbers that it may hold; found once for each class."""
    if cls not in _WHOLES:
        hints = get_type_hints(cls, include_extras=True)
        _WHOLES[cls] = tuple((one.name, _whole_in(hints[one.name])) for one in fields(cls))
    return _WHOLES[cls]


_WHOLES: Final[dict[type, tuple[tuple[str, Whole | None], ...]]] = {}


def _whole_in(hint: Any) -> Whole | None:
    """The marker of whole numbers in a field's type, where it has one."""
    if isinstance(hint, Whole):
        return hint
    inside = (*get_args(hint), *getattr(hint, "__metadata__", ()))
    return next((found for found in map(_whole_in, inside) if found is not None), None)


def is_one_line(text: str) -> bool:
    """Whether a table can show it."""
    return bool(text.strip()) and text.isprintable()


def of_one_line(**texts: str | None) -> Iterator[Problem]:
    """Those of the named texts that no table could show."""
    for key, text in texts.items():
        if text is not None and not is_one_line(text):
            yield (key,), f"must be one line of printable text, not {shown(text)}"


class LayerContext(NamedTuple):
    """Where in a model a block stands.

    `name` begins its entries' names; `layers` of its stack have it, whose entries it tells of one; its queries come from
    `stream` and its keys from `keys`.
    """

    name: str
    d_model: int
    layers: int
    stream: Stream
    keys: Stream
    causal: bool


@spec_dataclass
class LayerSelector:
    """Which layers of a stack a block stands in, counted from 0: one of these ways."""

    first: Size | None = None
    """The first so many layers."""
    after: Size | None = None
    """All layers but the first so many."""
    every: Size | None = None
    """Every n-th layer, beginning with layer `at`."""
    at: Annotated[int, Whole(0, MOST_SIZE)] = 0
    """With `every`: the first layer of those."""
    layers: tuple[Annotated[int, Whole(0, MOST_SIZE)], ...] | None = None
    """The layers by number."""

    def count(self, layers: int) -> int:
        """How many of a stack's layers these are."""
        if self.first is not None:
            return minimum(self.first, layers)
        if self.after is not None:
            return layers - minimum(self.after, layers)
        if self.every is not None:
            return ceil_div(layers - self.at, self.every)
        return sum(layer < layers for layer in self.layers or ())  # none at all is a problem of its own

    def holds(self, layer: int) -> bool:
        """Whether a layer is one of these."""
        if self.first is not None:
            return layer < self.first
        if self.after is not None:
            return layer >= self.after
        if self.every is not None:
            return layer % self.every == self.at
        return layer in (self.layers or ())

    def problems(self, layers: int) -> Iterator[Problem]:
        """More ways than one, or layers that the stack does not have."""
        ways = [name for name in ("first", "after", "every", "layers") if getattr(self, name) is not None]
        if len(ways) != 1:
            yield ("on",), f"one of first, after, every or layers says which layers, not {len(ways)} of them"
        if self.at and (self.every is None or self.at >= self.every):
            yield ("on", "at"), f"the first of every n-th layers is below n, not {self.at}"
        if self.layers is not None and (
            len(set(self.layers)) < len(self.layers) or max(self.layers, default=0) >= layers
        ):
            yield ("on", "layers"), f"layers are each listed once, from 0 to {layers - 1}"


def telling_layers(ons: list[LayerSelector], start: int, end: int) -> Iterator[int]:
    """Layers from `start` on among which every kind is met that there is before `end`."""
    period = min(lcm(*(int(on.every) for on in ons if on.every is not None)), _LONGEST_PERIOD)
    begin = {start}
    for on in ons:
        begin |= {int(edge) for edge in (on.first, on.after, on.at) if edge is not None}
        begin |= {int(layer) + after for layer in on.layers or () for after in (0, 1)}
    for first in sorted(begin):
        yield from range(max(first, start), min(first + period, end))


def unrecorded(what: str) -> RequestError:
    """The refusal to guess at the activations of something of which nobody has recorded what autograd keeps."""
    return RequestError(f"tscale does not know what {what} keeps for the backward pass: leave out {field('train')}")
