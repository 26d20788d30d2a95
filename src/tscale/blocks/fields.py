"""The kinds of value that a spec's fields hold, and where in a model a block stands.

The markers in `Annotated` tell pydantic how to validate without importing it: a built-in model is validated when the
catalogue is made, and answers without paying for the validator again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from tscale.core.ledger import Stream

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

MOST_SIZE = 10**12  # no width, depth or vocabulary comes near: past it is a slip of the keyboard

CONFIG: dict[str, object] = {"extra": "forbid", "strict": True, "use_attribute_docstrings": True}
"""The pydantic configuration of every spec class."""


class Whole:
    """Marks an int field: a whole number from `least` to `most`, never a bool, a float or text."""

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.custom_error_schema(
            core_schema.int_schema(strict=True, ge=self.least, le=self.most),
            custom_error_type="whole",
            custom_error_message=f"must be a whole number from {self.least} to {_power(self.most)}",
        )


class Number:
    """Marks a field that holds a number above 0, whole or not; a whole one stays an int."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        whole, real = core_schema.int_schema(strict=True, gt=0), core_schema.float_schema(strict=True, gt=0)
        return core_schema.custom_error_schema(
            core_schema.union_schema([whole, real]),
            custom_error_type="number",
            custom_error_message="must be a number above 0",
        )


class Tagged:
    """Marks a union of spec classes told apart by their `kind`; `default` is the kind of a mapping that names none."""

    def __init__(self, kinds: Mapping[str, type], default: str = "") -> None:
        self.kinds, self.default = kinds, default

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        def kind(data: object) -> object:
            return data.get("kind", self.default) if isinstance(data, Mapping) else None

        return core_schema.tagged_union_schema(
            {name: handler.generate_schema(spec_class) for name, spec_class in self.kinds.items()},
            discriminator=kind,
            custom_error_type="kind",
            custom_error_message=f"must be a mapping with kind: {', '.join(self.kinds)}",
        )


def _power(number: int) -> str:
    return f"10^{len(str(number)) - 1}" if str(number).strip("0") == "1" and number > 10**6 else str(number)


Size = Annotated[int, Whole(1, MOST_SIZE)]
"""A width, a depth, a number of heads."""


class Site(NamedTuple):
    """Where in a model a block stands.

    `name` begins its entries' names; `layers` have it; its queries come from `stream` and its keys from `keys`.
    """

    name: str
    d_model: int
    layers: int
    stream: Stream
    keys: Stream
    causal: bool


Problem = tuple[tuple[str, ...], str]
"""The field at fault (as a path) and what is wrong with it: a contradiction that no single field shows."""
