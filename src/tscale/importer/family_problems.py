"""What is wrong with a row of a family whose columns each have the right type."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Final, get_args, get_origin, get_type_hints

from tscale.blocks.fields import Problem
from tscale.errors import nearest, shown
from tscale.importer import hooks
from tscale.importer.family import Family, Keys, Routed
from tscale.importer.family_data import hook, rule
from tscale.importer.keys_read import keys_of_call
from tscale.importer.rules import RULES

Row = Mapping[str, Any]

_SAID: Final = ("head_bias", "qk_norm_if", "d_ff_bias")
"""Columns that hold a key, or a truth value."""
_OF_ROUTED: Final = ("experts", "top_k", "d_ff", "shared", "shared_d_ff", "dense_d_ff")


def problems(row: Row) -> Iterator[Problem]:
    """What contradicts itself: each names a column and says what is wrong and what to do."""
    if not row["classes"]:
        yield ("classes",), "classes must name at least one"
    if "text" in row:
        if not row["text"]:
            yield ("text",), "text must name at least one family"
        return
    wrong_hooks = list(_wrong_hooks(row))
    yield from wrong_hooks
    if wrong_hooks:
        return
    for letters in row.get("biases", {}):
        if not letters or not set(letters) <= set("qkvo"):
            yield ("biases",), f"biases: {shown(letters)} must be letters of q, k, v and o"
    listed = dict.fromkeys((*row["reads"], *row.get("fixed", {})))
    for path, key, what in _named(row):
        if key not in listed:
            yield path, f"{what} {shown(key)}, which is not among the keys of reads: {nearest(key, listed)}"
    for other, key in row.get("aliases", {}).items():
        if key not in listed:
            yield ("aliases", other), f"aliases: {shown(key)} is not among the keys of reads: {nearest(key, listed)}"


def unknown_rules(row: object) -> Iterator[Problem]:
    """Rules that there are not, whatever else is wrong with a row."""
    for path, value in _columns(row if isinstance(row, Mapping) else {}):
        if isinstance(value, Mapping) and "rule" in value:
            legal = RULES.get(path[-1], {})
            hint = nearest(str(value["rule"]), legal) if legal else "there are hooks alone"
            if str(value["rule"]) not in legal:
                yield (*path, "rule"), f"{'.'.join(path)}: there is no rule {shown(value['rule'])}: {hint}"


_BY_KEYS: Final = frozenset({"reads", "fixed", "aliases"})
"""Columns by keys of a file, which may be called hook or rule as well."""


def _columns(row: Row) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The columns of a row that may hold a rule or a hook, and what stands in them."""
    yield from (((column,), value) for column, value in row.items() if column not in _BY_KEYS)
    if isinstance(row.get("experts"), Mapping):
        yield ("experts", "sparse"), row["experts"].get("sparse")


def _hooks_of(row: Row) -> Iterator[tuple[tuple[str, ...], str]]:
    for path, value in _columns(row):
        if isinstance(value, Mapping) and isinstance(value.get("hook"), str):
            yield path, value["hook"]


def _wrong_hooks(row: Row) -> Iterator[Problem]:
    """Hooks that there are not, or that stand in a column of another kind."""
    for path, name in _hooks_of(row):
        if name not in known_hooks():
            yield path, f"{'.'.join(path)}: there is no hook {shown(name)}: {nearest(name, known_hooks())}"
        elif not _fits(hook(name), path[-1]):
            yield path, f"{'.'.join(path)}: the hook {name} is for another column"


def _fits(function: Callable[..., Any], column: str) -> bool:
    """Whether a hook takes what its column hands over, and makes nothing that may not stand there."""
    hints = get_type_hints(Routed if column == "sparse" else Family)
    called = next((one for one in get_args(hints[column]) if get_origin(one) is Callable), None)
    if called is None:
        return False
    taken, made = get_args(called)
    own = get_type_hints(function, localns={"Config": object})
    return len(inspect.signature(function).parameters) == len(taken) and _kinds(own["return"]) <= _kinds(made)


def _kinds(hint: Any) -> set[Any]:
    """The classes that a type is made of, alone or in tuples and lists."""
    args = get_args(hint)
    return set().union(*(_kinds(one) for one in args if one is not ...)) if args else {hint}


@cache
def known_hooks() -> list[str]:
    """The names of all hooks, as rows write them."""
    found = []
    for module in iter_modules(hooks.__path__):
        functions = inspect.getmembers(import_module(f"{hooks.__name__}.{module.name}"), inspect.isfunction)
        own = (name for name, one in functions if one.__module__.endswith(f".{module.name}") and name[0] != "_")
        found += [f"{module.name}.{name}" for name in own if _takes_config(hook(f"{module.name}.{name}"))]
    return found


def _takes_config(function: Any) -> bool:
    return next(iter(inspect.signature(function).parameters), None) == "config"


def _named(row: Row) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """The keys that a row's columns name or read: where, the key, and what reads it."""
    sizes = {one: row.get("keys", {}).get(one, getattr(Keys(), one)) for one in Keys.__dataclass_fields__}
    for size in _sizes_read(row):
        if sizes[size] is not None:
            yield ("keys",), sizes[size], f"keys.{size} is"
    for column in _SAID:
        if isinstance(row.get(column), str):
            yield (column,), row[column], f"{column} is"
    for letters, said in row.get("biases", {}).items():
        if isinstance(said, str):
            yield ("biases", letters), said, f"biases.{letters} is"
    for key in row.get("nullable", ()):
        yield ("nullable",), key, "nullable has"
    for path, key, what in (*_of_experts(row), *_of_rules(row)):
        name = sizes.get(key[1:], key) if key[:1] == "." else key
        if name is not None:
            yield path, name, what


def _sizes_read(row: Row) -> Iterator[str]:
    """The sizes that are read of every file of a family, as fields of `Keys`."""
    yield from ("vocabulary", "d_model", "context")
    if "layers" not in row:
        yield "layers"
    if "attention" not in row:
        yield "heads"
    if "feed_forward" not in row:
        yield "d_ff"


def _of_experts(row: Row) -> Iterator[tuple[tuple[str, ...], str, str]]:
    experts = row.get("experts")
    if not isinstance(experts, Mapping) or "hook" in experts:
        return
    for column in _OF_ROUTED:
        key = experts.get(column, Routed.__dataclass_fields__[column].default)
        if key is not None:
            yield ("experts", column), key, f"experts.{column} is"


def _of_rules(row: Row) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """What the functions of rules and hooks read."""
    for path, value in _columns(row):
        if not isinstance(value, Mapping):
            continue
        if "hook" in value:
            function, given = hook(value["hook"]), {}
        elif value.get("rule") in RULES.get(path[-1], {}):
            function, given = rule(path[-1], value["rule"]), dict(value)
        else:
            continue
        for key, by in keys_of_call(function, given):
            at = (*path, by) if by in given else path
            default = "" if by in given else " by default"
            what = f" ({by}) reads" if by == function.__name__ else f".{by} is{default}"
            yield at, key, ".".join(path) + what
