"""Which keys of a `config.json` the function of a rule or of a hook reads, told from its source when a row is compiled.

A key is found where a literal reaches a method of `Config` that reads one: at once, by way of a parameter of a function, or as
an item of a literal list, or a value of a table of its module, that is walked. What is worked out while the function runs is not found.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import FunctionType
from typing import Any, Final, NamedTuple

from tscale.importer.config_keys import Config

_READERS: Final = frozenset(
    name
    for name, method in inspect.getmembers(Config, inspect.isfunction)
    if name[0] != "_" and name not in ("reads", "says") and list(inspect.signature(method).parameters)[1:2] == ["key"]
)
"""Methods that read the key which they are given; `reads` asks whether there is one, `says` reads the file alone."""
_OURS: Final = "tscale.importer."


class Reads(NamedTuple):
    """What a function reads: keys by name, sizes by their field of `Keys`, and its parameters that hold keys."""

    keys: frozenset[str] = frozenset()
    sizes: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()

    def __or__(self, other: Reads) -> Reads:
        return Reads(self.keys | other.keys, self.sizes | other.sizes, self.parameters | other.parameters)


@cache
def reads_of(function: FunctionType) -> Reads:
    """All that a function reads, with whatever it calls in this package; a key that it asks about first may be absent."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    names = _Names(function, frozenset(inspect.signature(function).parameters), _walked(tree, function.__globals__))
    found, asked = Reads(), set[str]()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Attribute(attr="keys", value=holder), attr=size) if _is_config(holder):
                found |= Reads(sizes=frozenset({size}))
            case ast.Call(func=ast.Attribute(attr=method, value=holder), args=[key, *_]) if _is_config(holder):
                found |= names.meant(key) if method in _READERS else Reads()
                asked |= names.meant(key).keys if method == "reads" else set()
            case ast.Call(func=ast.Name(id=name)) if (called := names.function(name)) is not None:
                found |= names.through(called, node)
            case ast.Name(id=name) if (handed := names.function(name)) is not None:
                found |= reads_of(handed)._replace(parameters=frozenset())
    return found._replace(keys=found.keys - asked)


def _walked(tree: ast.AST, module: Mapping[str, object]) -> dict[str, frozenset[str] | str]:
    """What variables of loops take, by their names: the texts of a literal list or of the module's own table, or what is walked."""
    found: dict[str, frozenset[str] | str] = {}
    for node in ast.walk(tree):
        match node:
            case (
                ast.For(target=ast.Name(id=name), iter=listed)
                | ast.comprehension(target=ast.Name(id=name), iter=listed)
            ) if isinstance(listed, ast.Tuple | ast.List):
                items = (item.value for item in listed.elts if isinstance(item, ast.Constant))
                found[name] = frozenset(item for item in items if isinstance(item, str))
            case ast.comprehension(target=ast.Name(id=name), iter=ast.Name(id=listed)):
                found[name] = listed
            case (
                ast.For(target=ast.Tuple(elts=[_, ast.Name(id=name)]), iter=listed)
                | ast.comprehension(target=ast.Tuple(elts=[_, ast.Name(id=name)]), iter=listed)
            ) if (table := _table(listed, module)) is not None:
                found[name] = frozenset(value for value in table.values() if isinstance(value, str))
    return found


def _table(walked: ast.expr, module: Mapping[str, object]) -> Mapping[Any, object] | None:
    """The table of a module whose items are walked; None where it is another thing."""
    match walked:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="items")):
            table = module.get(name)
            return table if isinstance(table, Mapping) else None
    return None


class _Names(NamedTuple):
    """What names mean inside of a function."""

    here: FunctionType
    parameters: frozenset[str]
    walked: Mapping[str, frozenset[str] | str]

    def function(self, name: str) -> FunctionType | None:
        """The function of this package that a name means; None for another thing, and for the function itself."""
        here: Any = self.here
        own = name in here.__code__.co_varnames  # a variable of this name hides it
        found = None if own else here.__globals__.get(name)
        if isinstance(found, FunctionType) and found.__module__.startswith(_OURS) and found is not here:
            return found
        return None

    def meant(self, argument: ast.expr) -> Reads:
        """The keys that an argument may hold, as far as they are told."""
        match argument:
            case ast.Constant(value=str(key)):
                return Reads(keys=frozenset({key}))
            case ast.Name(id=name) | ast.Subscript(value=ast.Name(id=name)):
                taken = self.walked.get(name, name)
                if not isinstance(taken, str):
                    return Reads(keys=taken)
                return Reads(parameters=frozenset({taken} & self.parameters))
        return Reads()

    def through(self, called: FunctionType, call: ast.Call) -> Reads:
        """What a function reads that is called with these arguments."""
        theirs, parameters = reads_of(called), inspect.signature(called).parameters
        given = dict(zip(parameters, call.args, strict=False))
        given |= {word.arg: word.value for word in call.keywords if word.arg is not None}
        found = theirs._replace(parameters=frozenset())
        for name in theirs.parameters:
            default = parameters[name].default
            if name in given:
                found |= self.meant(given[name])
            elif isinstance(default, str):
                found |= Reads(keys=frozenset({default}))
        return found


def _is_config(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "config"


def keys_of_call(function: Callable[..., Any], given: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The keys and the sizes (fields of `Keys`) that a function reads when it is given these parameters.

    Each with what names it: the parameter, or the function.
    """
    assert isinstance(function, FunctionType), "rules and hooks are functions"
    found, parameters = reads_of(function), inspect.signature(function).parameters
    yield from ((key, function.__name__) for key in sorted(found.keys))
    yield from ((f".{size}", function.__name__) for size in sorted(found.sizes))
    for name in sorted(found.parameters):
        value = given.get(name, parameters[name].default)
        for key in value if isinstance(value, list | tuple) else [value]:
            if isinstance(key, str):
                yield key, name
