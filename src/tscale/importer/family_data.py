"""Rows of families made from plain data that is known to be valid, such as the compiled index holds. Nothing is checked here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, Final

from tscale.importer.family import Family, Keys, Routed
from tscale.importer.nested import Nested
from tscale.importer.rules import RULES
from tscale.models.spec import Head, build, spec_class

_HOOKS: Final = "tscale.importer.hooks"
_RULES: Final = "tscale.importer.rules"
_PLAIN: Final = ("reads", "fixed", "aliases", "biases")
"""Columns whose mappings are what they are."""


def row_of(data: Mapping[str, Any]) -> Family | Nested:
    """The row that data describes."""
    if "text" in data:
        plain = ("named", "defaults", "mirrors")
        return Nested(**{key: value if key in plain else _listed(value) for key, value in data.items()})
    return Family(**{key: _column(key, value) for key, value in data.items()})


def _column(key: str, value: Any) -> Any:
    if key in _PLAIN:
        return value
    if key == "classes":
        return {name: build(Head, head) for name, head in value.items()}
    if key == "keys":
        return Keys(**value)
    if key == "experts" and "hook" not in value:
        return Routed(**{name: _value(name, item) for name, item in value.items()})
    return _value(key, value)


def _value(column: str, value: Any) -> Any:
    """What stands in a column: a rule, a hook, a block, or a value as it is."""
    if not isinstance(value, Mapping):
        return _listed(value)
    if "hook" in value:
        return hook(value["hook"])
    if "rule" in value:
        given = {name: _value(column, item) for name, item in value.items() if name != "rule"}
        return partial(rule(column, value["rule"]), **given) if given else rule(column, value["rule"])
    return build(spec_class(column, value), dict(value))


def rule(column: str, name: str) -> Callable[..., Any]:
    """The function of a rule that a column may name."""
    found: Callable[..., Any] = getattr(import_module(f"{_RULES}.{RULES[column][name]}"), name)
    return found


def hook(name: str) -> Callable[..., Any]:
    """The function that `FILE.NAME` means."""
    file, _, function = name.partition(".")
    found: Callable[..., Any] = getattr(import_module(f"{_HOOKS}.{file}"), function)
    return found


def _listed(value: Any) -> Any:
    return tuple(map(_listed, value)) if isinstance(value, list) else value
