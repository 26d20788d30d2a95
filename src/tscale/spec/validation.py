"""From what a file says to a spec: pydantic judges the data, and its verdicts are put in our words and places."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

from tscale.errors import SpecError, SpecErrors, TscaleError, nearest, shown
from tscale.spec.model import NESTED, ModelSpec, Published, PublishedName, Spec, UndisclosedSpec, spec_class
from tscale.spec.yaml_file import Document, Path_

if TYPE_CHECKING:
    from pydantic import TypeAdapter


T = TypeVar("T")


@cache
def adapter() -> TypeAdapter[Spec]:
    """Pydantic's validator of specs, built when the first file is read."""
    from pydantic import TypeAdapter

    return TypeAdapter(Annotated[Spec, _SpecKind()])


def schema() -> dict[str, Any]:
    """The JSON Schema of a spec."""
    return adapter().json_schema()


class _SpecKind:
    """Tells the two kinds of spec apart: an undisclosed model says that it is."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        def which(data: object) -> str:
            kind = data.get("kind") if isinstance(data, dict) else getattr(data, "kind", None)
            return "undisclosed" if kind == "undisclosed" else "model"

        choices = {"model": handler.generate_schema(ModelSpec), "undisclosed": handler.generate_schema(UndisclosedSpec)}
        return core_schema.tagged_union_schema(choices, discriminator=which)


def validated(document: Document) -> Spec:
    """The spec in a document. Raises `SpecErrors` with all that is wrong, each at its line and column."""
    spec = judged(adapter(), document, _legal_keys)
    if isinstance(spec, ModelSpec):
        problems = [
            SpecError(f"{'.'.join(path)}: {message}", where=document.where(path)) for path, message in spec.problems()
        ]
        if problems:
            raise SpecErrors(problems)
    return spec


LegalKeys = Callable[[Path_, Document], list[str]]
"""The keys that may stand in the mapping at a path of a document."""


def judged(judge: TypeAdapter[T], document: Document, legal_keys: LegalKeys) -> T:
    """What pydantic makes of a document. Raises `SpecErrors` with all that it finds wrong, in the order of the file."""
    from pydantic import ValidationError

    if not isinstance(document.data, dict):
        raise SpecError(
            f"a mapping of keys to values is wanted, not {_kind_of(document.data)}", where=document.where(())
        )
    try:
        return judge.validate_json(json.dumps(document.data))
    except ValidationError as error:
        found: dict[Path_, SpecError] = {}
        for one in error.errors(include_url=False):
            path = _path_in_file(one["loc"], document)
            place = (*path, str(one["loc"][-1])) if one["type"] == "missing" else path
            where = document.where(path, key=one["type"] == "unexpected_keyword_argument")
            found.setdefault(place, SpecError(_message(one, path, document, legal_keys), where=where))
        raise SpecErrors(sorted(found.values(), key=_order)) from None


def _order(error: TscaleError) -> tuple[bool, list[int]]:
    """By place in the file; what is missing comes last, since a misspelt key is both unknown and missing."""
    return "missing key" in str(error), [int(number) for number in error.where.rsplit(":", 2)[1:]]


def _path_in_file(loc: tuple[str | int, ...], document: Document) -> Path_:
    """Pydantic's location without what is not in the file: the tags of unions, and a key that is missing."""
    path: Path_ = ()
    data: Any = document.data
    for part in loc:
        items = dict(enumerate(data)) if isinstance(data, list) else data if isinstance(data, dict) else {}
        if part in items:
            path, data = (*path, part), items[part]
    return path


def _message(error: Any, path: Path_, document: Document, legal_keys: LegalKeys) -> str:
    name = ".".join(str(part) for part in path)
    kind, value = error["type"], error["input"]
    if kind == "missing":
        return f'missing key "{error["loc"][-1]}"' + (f" in {name}" if name else "")
    if kind == "unexpected_keyword_argument":
        return f'unknown key "{path[-1]}": {nearest(str(path[-1]), legal_keys(path[:-1], document))}'
    if kind == "kind" and isinstance(value, dict):
        legal = [word.strip(",") for word in error["msg"].split(": ")[1].split()]
        return f"{name}.kind must be one of {', '.join(legal)}, not {shown(value.get('kind'))}" + _meant(
            value.get("kind"), legal
        )
    if kind in ("whole", "number", "kind"):
        return f"{name} {error['msg']}, not {_quoted(value)}"
    if kind == "literal_error":
        legal = [word.strip("'") for word in str(error["ctx"]["expected"]).replace(" or ", ", ").split(", ")]
        return f"{name} must be {error['ctx']['expected']}, not {_quoted(value)}" + _meant(value, legal)
    wanted = {
        "int_type": "a whole number",
        "float_type": "a number",
        "bool_type": "true or false",
        "string_type": "text",
        "tuple_type": "a list",
        "dict_type": "a mapping",
        "dataclass_type": "a mapping",
    }.get(kind)
    return f"{name} must be {wanted}, not {_quoted(value)}" if wanted else f"{name}: {error['msg']}"


def _meant(value: object, legal: list[str]) -> str:
    hint = nearest(value, legal) if isinstance(value, str) else ""
    return f": {hint}" if hint.startswith("did you mean") else ""


def _quoted(value: object) -> str:
    return f"{shown(value)} (text: drop the quotes)" if isinstance(value, str) and value[:1].isdigit() else shown(value)


def _legal_keys(path: Path_, document: Document) -> list[str]:
    """The keys that may stand in the mapping at `path`."""
    data: Any = document.data
    cls: type = UndisclosedSpec if data.get("kind") == "undisclosed" else ModelSpec
    for part in path:
        data = data[part]
        if part == "published":
            return list(get_args(PublishedName)) if path[-1] == part else _fields(Published)
        if part in NESTED:
            cls = spec_class(str(part), data)
    return _fields(cls)


def _fields(cls: type) -> list[str]:
    return [field.name for field in fields(cls)]


def _kind_of(data: object) -> str:
    return "a list" if isinstance(data, list) else f"{shown(data)} alone"
