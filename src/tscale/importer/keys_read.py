"""Which keys of a `config.json` the function of a rule or of a hook reads, told from its source when a row is compiled.

A key is found where a literal reaches a method of `Config` that reads one: at once, by way of a parameter of a function, or as
an item of a literal list that is walked. What is worked out while the function runs is not found.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import FunctionType
from typing import Any, Final, NamedTuple

_READERS: Final = frozenset({"value", "size", "whole", "optional", "flag", "text", "listed", "agreed", "inner"})
_OURS: Final = "tscale.importer."


class Reads(NamedTuple):
    """What a function reads: keys by name, sizes by their field of `Keys`, and its parameters that hold keys."""

    keys: frozenset[str] = frozenset()
    sizes: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()

    def __or__(self, other: Reads) -> Reads:  # type: ignore[override]
        return Reads(self.keys | other.keys, self.sizes | other.sizes, self.parameters | other.parameters)


@cache
def reads_of(function: FunctionType) -> Reads:
    """All that a function reads, with whatever it calls in this package; a key that it asks about first may be absent."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    finder = _Finder(function, set(inspect.signature(function).parameters))
    finder.visit(tree)
    return finder.found._replace(keys=finder.found.keys - finder.asked)


class _Finder(ast.NodeVisitor):
    """Walks the source of one function."""

    def __init__(self, function: FunctionType, parameters: set[str]) -> None:
        self.function, self.parameters = function, parameters
        self.found, self.asked = Reads(), set[str]()
        self.walked: dict[str, list[str]] = {}

    def visit_For(self, node: ast.For) -> None:
        """Notes what a loop walks."""
        self._walks(node.target, node.iter)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """As loops."""
        self._walks(node.target, node.iter)
        self.generic_visit(node)

    def _walked_first(self, node: Any) -> None:
        for generator in node.generators:  # what they bind is used before them
            self.visit(generator)
        self.generic_visit(node)

    visit_GeneratorExp = visit_ListComp = visit_SetComp = visit_DictComp = _walked_first

    def _walks(self, target: ast.expr, walked: ast.expr) -> None:
        if isinstance(target, ast.Name) and isinstance(walked, ast.Tuple | ast.List):
            items = [item.value for item in walked.elts if isinstance(item, ast.Constant)]
            self.walked[target.id] = [item for item in items if isinstance(item, str)]

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Finds `config.keys.heads`."""
        if isinstance(node.value, ast.Attribute) and node.value.attr == "keys" and _is_config(node.value.value):
            self.found |= Reads(sizes=frozenset({node.attr}))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Finds `config.size("heads")`, and calls of functions that read."""
        if isinstance(node.func, ast.Attribute) and _is_config(node.func.value) and node.args:
            if node.func.attr in _READERS:
                self.found |= self._named(node.args[0])
            elif node.func.attr == "reads":
                self.asked |= self._named(node.args[0]).keys
        elif isinstance(node.func, ast.Name) and (called := self._ours(node.func.id)) is not None:
            self.found |= self._through(called, node)
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        """Finds functions that are handed on."""
        handed = self._ours(node.id)
        if handed is not None:
            found = reads_of(handed)
            self.found |= Reads(found.keys, found.sizes)

    def _ours(self, name: str) -> FunctionType | None:
        """The function of this package that a name means; None for another thing, and for the function itself."""
        own = name in self.function.__code__.co_varnames  # a variable of this name hides it
        found = None if own else self.function.__globals__.get(name)
        ours = isinstance(found, FunctionType) and found.__module__.startswith(_OURS) and found is not self.function
        return found if ours else None

    def _named(self, argument: ast.expr) -> Reads:
        """The key that an argument holds, as far as it is told."""
        match argument:
            case ast.Constant(value=str(key)):
                return Reads(keys=frozenset({key}))
            case ast.Name(id=name) if name in self.walked:
                return Reads(keys=frozenset(self.walked[name]))
            case ast.Name(id=name) if name in self.parameters:
                return Reads(parameters=frozenset({name}))
        return Reads()

    def _through(self, called: FunctionType, node: ast.Call) -> Reads:
        """What a function reads that is called with these arguments."""
        theirs = reads_of(called)
        found = Reads(theirs.keys, theirs.sizes)
        names = list(inspect.signature(called).parameters.values())
        given = dict(zip((one.name for one in names), node.args, strict=False))
        given |= {word.arg: word.value for word in node.keywords if word.arg is not None}
        for one in names:
            if one.name in theirs.parameters and one.name in given:
                found |= self._named(given[one.name])
            elif one.name in theirs.parameters and isinstance(one.default, str):
                found |= Reads(keys=frozenset({one.default}))
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
