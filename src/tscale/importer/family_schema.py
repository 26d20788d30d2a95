"""What a file of families may say, held to when the shipped ones are compiled and when a user's is read.

A file holds one row, or several under `families`. Its columns have types, which pydantic holds it to; and a row must list
every key that its rules and hooks read (`tscale.importer.family_problems`).
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_type_hints

from tscale.blocks.fields import Problem
from tscale.blocks.spec_dataclass import CONFIG
from tscale.catalogue import index
from tscale.errors import RequestError, SpecError, SpecErrors, nearest, shown
from tscale.importer.family import Family, Keys, Routed
from tscale.importer.family_data import rule
from tscale.importer.family_problems import problems, unknown_rules
from tscale.importer.nested import Nested
from tscale.importer.rules import RULES
from tscale.models.spec import NESTED as BLOCKS
from tscale.models.spec import spec_class

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, TypeAdapter
    from pydantic_core import CoreSchema

    from tscale.models.yaml_file import Document, Path_

Row = dict[str, Any]
"""A row as plain data, whole and valid."""


@dataclass(frozen=True, kw_only=True)
class HookName:
    """A function for a twist of one lineage."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    hook: str
    """FILE.NAME, of `tscale.importer.hooks`."""


class _RowKind:
    """Tells the kinds of row apart: one of a family that reads more than text says which text models it may hold."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        from pydantic_core import core_schema

        choices = {"a family of text": Family, "a family that reads more": Nested}
        return core_schema.tagged_union_schema(
            {tag: handler.generate_schema(cls) for tag, cls in choices.items()},
            discriminator=lambda data: list(choices)[isinstance(data, Mapping) and "text" in data],
        )


@dataclass(frozen=True, kw_only=True)
class Several:
    """Rows of several families."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    families: tuple[Annotated[Any, _RowKind()], ...]


@cache
def _adapters() -> tuple[TypeAdapter[Any], TypeAdapter[Any]]:
    """Pydantic's validators of one row, and of a file of several."""
    from pydantic import TypeAdapter

    return TypeAdapter(Annotated[Any, _RowKind()]), TypeAdapter(Several)


def schema() -> dict[str, Any]:
    """The JSON Schema of a file of families. A row that is like another one needs a name alone."""
    from pydantic import TypeAdapter

    found = TypeAdapter(Several | Annotated[Any, _RowKind()]).json_schema()
    family = found["$defs"]["Family"]
    family["anyOf"] = [{"required": ["like"]}, {"required": [key for key in family["required"] if key != "name"]}]
    family["required"] = ["name"]
    for kind in ("Family", "Nested"):
        found["$defs"][kind]["properties"]["like"] = {"type": "string", "description": _LIKE}
    return found


_LIKE = "Another family: what this row does not say is said by its row; keys of reads, fixed and aliases are added, null takes away."


def schema_of_column(column: str, plain: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    """Pydantic's schema of a column that holds one of its rules, a hook, or a value of the type `plain`."""
    from pydantic_core import core_schema

    rules = {f"the rule {name}": _class_of(column, name) for name in RULES.get(column, {})}
    choices = {tag: handler.generate_schema(cls) for tag, cls in (rules | {"a hook": HookName}).items()}
    if plain is not None:
        choices["a value"] = handler.generate_schema(plain)

    def which(data: object) -> str | None:
        if not isinstance(data, Mapping) or not data.keys() & {"rule", "hook"}:
            return None if plain is None else "a value"
        return f"the rule {data['rule']}" if "rule" in data else "a hook"

    return core_schema.tagged_union_schema(
        choices,
        discriminator=which,
        custom_error_type="column",
        custom_error_message=f"must be a mapping with {' or '.join([*(['rule'] if rules else []), 'hook'])}",
    )


@cache
def _class_of(column: str, name: str) -> type:
    """What a mapping that names a rule may say: its parameters, as the function declares them."""
    function = rule(column, name)
    hints = get_type_hints(function, localns={"Config": object}, include_extras=True)
    said: list[Any] = [("rule", Literal[name])]
    for one in inspect.signature(function).parameters.values():
        if one.kind is one.KEYWORD_ONLY:
            default = MISSING if one.default is one.empty else one.default
            said.append((one.name, hints[one.name], field(default=default)))
    made = make_dataclass(
        f"{column}_{name}", said, frozen=True, kw_only=True, namespace={"__pydantic_config__": CONFIG}
    )
    made.__doc__ = inspect.getdoc(function)
    return made


def family_from_yaml(name: str) -> Row:
    """The row of a shipped family as its YAML says it, read and validated. Raises `SpecErrors`."""
    from tscale.models.yaml_file import parse_document

    (found,) = rows_in(parse_document(index.text_of("families", name), f"{name}.yaml"))
    return found


def rows_of(given: object) -> list[Row]:
    """The rows in a user's file, by its path, or in a mapping like such a file. Raises `TscaleError`."""
    from tscale.models.yaml_file import Document, read_document

    if isinstance(given, str):
        if not given.strip():
            raise RequestError("--families needs the name of a file")
        document = read_document(given, "`tscale schema families` says what it may hold")
    elif isinstance(given, Mapping):
        document = Document(copy.deepcopy(dict(given)), "families", {}, {})
    else:
        raise RequestError(f"families must be a path or a mapping, not {shown(given)}")
    rows = rows_in(document)
    several = isinstance(document.data, dict) and "families" in document.data
    _hold(
        document,
        [(("families", place) if several else (), _texts_of_none(row, rows)) for place, row in enumerate(rows)],
    )
    for row in rows:
        if "also" in row:
            why = f"also: only shipped families have other names: add a row that is like {shown(row['name'])}"
            raise SpecError(why, where=document.where(("also",), key=True))
    return rows


def _texts_of_none(row: Row, rows: Sequence[Row]) -> Iterator[Problem]:
    """Text models of a row that are of no family of text, neither of its file nor shipped."""
    from tscale.importer.families import FAMILIES

    of_text = {one["name"]: "text" not in one for one in rows}
    for place, name in enumerate(row.get("text", ())):
        if not of_text.get(name, name in FAMILIES):
            known = [*(one for one in of_text if of_text[one]), *FAMILIES]
            yield ("text", place), f"text: no family of text {shown(name)}: {nearest(name, known)}"


def rows_in(document: Document) -> list[Row]:
    """The rows in a file of families, each whole and valid. Raises `SpecErrors` with all that is wrong."""
    from tscale.models.validation import judged

    data, (one, many) = document.data, _adapters()
    if not isinstance(data, dict) or "families" not in data:
        whole = _whole(data, {}, document, ())
        _hold(document, [((), unknown_rules(whole))])
        judged(one, document._replace(data=whole), _legal_keys)
        _hold(document, [((), problems(whole))])
        return [whole]
    listed, known = data["families"], dict[str, Row]()
    if not isinstance(listed, list) or not listed:
        raise SpecError("families must be a list of at least one row", where=document.where(("families",)))
    rows = [_whole(row, known, document, ("families", place)) for place, row in enumerate(listed)]
    places: list[Path_] = [("families", place) for place in range(len(rows))]
    _hold(document, zip(places, map(unknown_rules, rows), strict=True))
    judged(many, document._replace(data={**data, "families": rows}), _legal_keys)
    _hold(document, [(("families",), _twice(rows)), *zip(places, map(problems, rows), strict=True)])
    return rows


def _twice(rows: list[Row]) -> Iterator[Problem]:
    names = [row["name"] for row in rows]
    yield from (
        ((place, "name"), f"name: {shown(name)} is given twice")
        for place, name in enumerate(names)
        if name in names[:place]
    )


def _hold(document: Document, found: Iterable[tuple[Path_, Iterable[Problem]]]) -> None:
    """Raises `SpecErrors` where anything is wrong with the rows at some paths."""
    errors = [SpecError(message, where=document.where((*at, *path))) for at, them in found for path, message in them]
    if errors:
        raise SpecErrors(errors)


def _whole(row: Any, known: dict[str, Row], document: Document, at: Path_) -> Any:
    """A row with what it leaves to the one that it is like; rows before it in its file are known by their names."""
    if not isinstance(row, dict):
        return row
    if "like" in row:
        base = _base(row["like"], known, document.where((*at, "like")))
        row = _over(base, {key: value for key, value in row.items() if key != "like"})
    if isinstance(row.get("name"), str):
        known[row["name"]] = row
    return row


def _base(name: object, known: Mapping[str, Row], where: str) -> Row:
    if isinstance(name, str) and name in known:
        return known[name]
    if not isinstance(name, str) or not index.is_compiled("families", name):
        hint = nearest(str(name), [*known, *index.names("families")])
        raise SpecError(f"like: no family {shown(name)}: {hint}", where=where)
    found = index.compiled("families", name) or family_from_yaml(name)
    return {key: value for key, value in found.items() if key != "also"}


def _over(base: Row, row: Row) -> Row:
    """One row on top of another: keys are added to those of the base, other columns take the place of its own; null takes away."""
    merged = dict(base)
    for column, value in row.items():
        if value is None:
            merged.pop(column, None)
        elif column in ("reads", "fixed", "aliases") and isinstance(value, dict):
            merged[column] = {**merged.get(column, {}), **value}
        else:
            merged[column] = value
    return merged


def _legal_keys(path: Path_, document: Document) -> list[str]:
    """The keys that may stand in the mapping at a path."""
    data: Any = document.data
    if path[:1] == ("families",):
        data, path = data["families"][path[1]], path[2:] if len(path) > 1 else ()
    column = str(path[0]) if path else ""
    for part in path:
        column, data = (str(part) if isinstance(part, str) else column), data[part]
    if not path:
        return [*_fields(Nested if "text" in data else Family), "like", "families"]
    found = _class_at(column if column in _OURS or column in BLOCKS else str(path[0]), data)
    return [] if found is None else _fields(found)


_OURS = {"keys": Keys, "experts": Routed, "classes": spec_class("head", None)}


def _class_at(column: str, data: Any) -> type | None:
    """What a mapping in a column is one of."""
    if isinstance(data, Mapping) and "rule" in data:
        name = str(data["rule"])
        return _class_of(column, name) if name in RULES.get(column, {}) else None
    if isinstance(data, Mapping) and "hook" in data:
        return HookName
    return _OURS.get(column) or (spec_class(column, data) if column in BLOCKS else None)


def _fields(cls: type) -> list[str]:
    return [one.name for one in fields(cls)]
