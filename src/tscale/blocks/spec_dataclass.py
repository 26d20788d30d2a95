"""How spec classes and requests are made: frozen dataclasses whose methods are written once, for all of them.

`dataclass` writes and compiles six methods for each class, which took a seventh of the time until an answer.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from collections.abc import Callable
    from inspect import Signature

Made = TypeVar("Made")
CONFIG: Final[dict[str, object]] = {"extra": "forbid", "strict": True, "use_attribute_docstrings": True}
"""How files are held to these classes: by their types as they are, with no key that is none of theirs."""


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def spec_dataclass(cls: type[Made]) -> type[Made]:
    """The class as a dataclass whose fields are given by keyword and never change; two are equal if all that compare are."""
    made: Any = dataclass(init=False, repr=False, eq=False, kw_only=True)(cls)
    every = fields(made)
    made.field_names = frozenset(one.name for one in every)
    made.field_values = _values_of([one.name for one in every if one.compare])
    made.field_defaults = {one.name: one.default for one in every if one.default is not MISSING}
    made.field_makers = {one.name: one.default_factory for one in every if one.default_factory is not MISSING}
    made.__pydantic_config__ = CONFIG
    for name in _SHARED:
        setattr(made, name, vars(_Methods)[name])
    return cls


def _values_of(names: list[str]) -> Callable[[object], object]:
    """What gives the values of some fields, of which there may be none."""
    return attrgetter(*names) if names else lambda _: ()


class _Signed:
    """The signature of a class, for `help`, made when it is asked for."""

    def __get__(self, instance: object, cls: Any) -> Signature:
        from inspect import Parameter, Signature

        parameters = []
        for one in fields(cls):
            default = cls.field_defaults.get(one.name, Parameter.empty)
            parameters.append(Parameter(one.name, Parameter.KEYWORD_ONLY, default=default, annotation=one.type))
        return Signature(parameters)


class _Methods:
    """What every spec class has."""

    field_names: ClassVar[frozenset[str]]
    field_values: ClassVar[Callable[[object], object]]
    field_defaults: ClassVar[dict[str, object]]
    field_makers: ClassVar[dict[str, Callable[[], object]]]

    __signature__ = _Signed()

    def __init__(self, **given: object) -> None:
        if given.keys() != self.field_names:  # a changed copy is given all of them
            given = {**self.field_defaults, **given}
            for name, make in self.field_makers.items():
                given.setdefault(name, make())
        if given.keys() != self.field_names:
            unknown, missing = given.keys() - self.field_names, self.field_names - given.keys()
            wrong = f"has no {', '.join(sorted(unknown))}" if unknown else f"needs {', '.join(sorted(missing))}"
            raise TypeError(f"{type(self).__name__} {wrong}")
        self.__dict__.update(given)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return bool(type(self).field_values(self) == type(self).field_values(other))

    def __hash__(self) -> int:
        return hash(type(self).field_values(self))

    def __repr__(self) -> str:
        said = (f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.repr)  # type: ignore[arg-type]
        return f"{type(self).__qualname__}({', '.join(said)})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")


_SHARED: Final = ("__init__", "__eq__", "__hash__", "__repr__", "__setattr__", "__delattr__", "__signature__")
