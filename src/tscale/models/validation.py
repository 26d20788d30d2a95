"""From what a file says to a spec: pydantic judges the data, and its verdicts are put in our words and places."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, get_args

from tscale.blocks.fields import Problem, dotted, of_one_line
from tscale.errors import SpecError, SpecErrors, called, nearest, shown
from tscale.models.spec import (
    NESTED,
    Corrected,
    ModelSpec,
    NoteTopic,
    Published,
    PublishedName,
    Spec,
    spec_class,
)
from tscale.models.tower_spec import TowerSpec
from tscale.models.undisclosed import UndisclosedSpec
from tscale.models.yaml_file import Document, Path_

if TYPE_CHECKING:
    from pydantic import TypeAdapter


MOST_ERRORS: Final = 100  # of one file: nobody reads more
_LISTED: Final = ": `tscale validate` lists them"

T = TypeVar("T")


@cache
def adapter() -> TypeAdapter[Spec]:
    """Pydantic's validator of specs, built when the first file is read."""
    from pydantic import TypeAdapter

    return TypeAdapter(Annotated[Any, _SpecKind()])


def schema() -> dict[str, Any]:
    """The JSON Schema of a spec."""
    return adapter().json_schema()


class _SpecKind:
    """Tells the kinds of spec apart: an undisclosed model and a tower alone say that they are."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        def which(data: object) -> str:
            kind = data.get("kind") if isinstance(data, dict) else getattr(data, "kind", None)
            return {"undisclosed": "an undisclosed model", "tower": "a tower alone"}.get(str(kind), "a model")

        # The tags begin pydantic's locations: no key in a file is called so.
        specs = {"a model": ModelSpec, "a tower alone": TowerSpec, "an undisclosed model": UndisclosedSpec}
        choices = {tag: handler.generate_schema(spec) for tag, spec in specs.items()}
        return core_schema.tagged_union_schema(choices, discriminator=which)


def validated(document: Document) -> Spec:
    """The spec in a document. Raises `SpecErrors` with all that is wrong, each at its line and column."""
    try:
        spec = judged(adapter(), document, _legal_keys, _LISTED)
    except SpecErrors as error:
        raise SpecErrors([*error.errors, *_beside(error, document)], _LISTED) from None
    problems = _contradictions(spec)
    if problems:
        raise SpecErrors((SpecError(message, where=document.where(path)) for path, message in problems), _LISTED)
    return spec


def _contradictions(spec: Spec) -> list[Problem]:
    """What contradicts itself in a spec whose fields are each right, in words."""
    problems: list[Problem] = [
        (path, f"{path[0]} {message}") for path, message in of_one_line(name=spec.name, title=spec.title)
    ]
    if not isinstance(spec, UndisclosedSpec):
        found = problems_of(spec) if isinstance(spec, ModelSpec) else spec.problems()
        problems += [(path, f"{dotted(path)}: {message}") for path, message in found]
    return problems


def _beside(error: SpecErrors, document: Document) -> Iterator[SpecError]:
    """What contradicts itself beside fields that are wrong: in blocks that have none, or whose wrong keys are only misspelt.

    The wrong fields are taken out, and keys renamed to what they mean; nothing is said of a file that does not stand without them.
    """
    faults = error.faults if isinstance(error, _FaultyError) else ()
    data, touched = copy.deepcopy(document.data), set[Path_]()
    for path, meant in faults:
        touched |= set() if meant else {path[:-1]}
        if not path or not _take_out(data, path, meant):
            return
    try:
        spec = judged(adapter(), document._replace(data=data), _legal_keys)
    except (SpecError, SpecErrors):
        return
    for path, message in _contradictions(spec):
        if path[:-1] not in touched and path not in touched:
            yield SpecError(message, where=document.where(path))


def _take_out(data: Any, path: Path_, meant: str | None) -> bool:
    """Takes the key at a path out of its mapping, or gives it the name that was meant; False where it stands in none."""
    for part in path[:-1]:
        if isinstance(data, dict) and part not in data:  # below a key that was renamed or taken out
            return False
        data = data[part]
    if not isinstance(data, dict) or path[-1] not in data or meant in data:
        return False
    value = data.pop(path[-1])
    if meant is not None:
        data[meant] = value
    return True


class _FaultyError(SpecErrors):
    """Errors of single fields, with their paths; of a key that is not known, the one that was meant."""

    faults: tuple[tuple[Path_, str | None], ...] = ()


def problems_of(spec: ModelSpec) -> list[Problem]:
    """What contradicts itself in a spec whose fields are each right; what only its ledger tells, where nothing else does."""
    from tscale.models.release import unknown_parts

    return [*spec.problems(), *_unknown_family(spec)] or list(unknown_parts(spec))


def _unknown_family(spec: ModelSpec) -> Iterator[Problem]:
    """The assumed family, where it is none that is known."""
    if spec.assumed is not None:
        from tscale.importer.families import FAMILIES

        if spec.assumed.family not in FAMILIES:
            hint = nearest(spec.assumed.family, FAMILIES)
            yield ("assumed", "family"), f"{shown(spec.assumed.family)} is no known family: {hint}"


LegalKeys = Callable[[Path_, Document], list[str]]
"""The keys that may stand in the mapping at a path of a document."""


def judged(judge: TypeAdapter[T], document: Document, legal_keys: LegalKeys, hint: str = "") -> T:
    """What pydantic makes of a document. Raises `SpecErrors` with what it finds wrong, in the order of the file.

    `hint` says what lists them all where the first is told alone.
    """
    from pydantic import ValidationError

    if not isinstance(document.data, dict):
        raise SpecError(
            f"the file must be a mapping of keys to values, not {_kind_of(document.data)}", where=document.where(())
        )
    try:
        return judge.validate_json(json.dumps(document.data))
    except ValidationError as error:
        found = _found(error.errors(include_url=False), document)
    errors, meant, faults = [], set(), list[tuple[Path_, str | None]]()
    for path, verdicts in found[:MOST_ERRORS]:
        missing = verdicts[0]["type"] == "missing"
        if missing and (path, verdicts[0]["loc"][-1]) in meant:
            continue
        of_key = _of_key(verdicts[0])
        message = _message(verdicts, path, document, legal_keys)
        likely = (
            message.rpartition("did you mean ")[2].removesuffix("?") if of_key and "did you mean" in message else None
        )
        meant.add((path[:-1], likely))
        faults.append((path, likely))
        at = (*path, "kind") if verdicts[0]["type"] == "kind" else path  # or at the block itself, where it has no kind
        errors.append(SpecError(message, where=document.where(at, key=of_key)))
    if len(found) > MOST_ERRORS:
        errors.append(SpecError(f"and {len(found) - MOST_ERRORS} more like these", where=document.name))
    faulty = _FaultyError(errors, hint)
    faulty.faults = tuple(faults)
    raise faulty


Verdict = dict[str, Any]
"""One of pydantic's errors: its type, its location, the input, the message."""


def _found(verdicts: list[Any], document: Document) -> list[tuple[Path_, list[Verdict]]]:
    """What is wrong at each path, in the order of the file; what is missing last, since a slip is unknown and missing.

    Where a value may be of several types, pydantic tells why it is none of them: all verdicts on its type are kept, to
    be told as one, and dropped if something inside it is wrong, for then one of the types was right.
    """
    found: dict[Path_, list[Verdict]] = {}
    inside: set[Path_] = set()
    for one in verdicts:
        path = _path_in_file(one["loc"], document)
        place = (*path, str(one["loc"][-1])) if one["type"] == "missing" else path
        found.setdefault(place, []).append(one)
        inside.update(place[:length] for length in range(len(place)))
    kept = [
        (place[:-1] if them[0]["type"] == "missing" else place, them)
        for place, them in found.items()
        if not (place in inside and (them[0]["type"] in _WANTED or them[0]["type"] == "too_short"))
    ]
    return sorted(kept, key=lambda pair: (pair[1][0]["type"] == "missing", document.values_at.get(pair[0], (1, 1))))


def _of_key(verdict: Verdict) -> bool:
    """Whether it is a key that may not stand where it stands."""
    return bool(verdict["type"] == "unexpected_keyword_argument" or verdict["loc"][-1:] == ("[key]",))


_ONE_OR_SEVERAL: Final = frozenset({"one", "several"})


def _path_in_file(loc: tuple[str | int, ...], document: Document) -> Path_:
    """Pydantic's location without what is not in the file: the tags of unions, and a key that is missing."""
    path: Path_ = ()
    data: Any = document.data
    tags: frozenset[object] = frozenset()  # that may come next: the kind of the block that the path has led to
    for part in loc:
        if part in tags:
            tags = tags if part in _ONE_OR_SEVERAL else frozenset()
            continue
        if isinstance(part, str) and part in NESTED and len(NESTED[part]) > 1:
            tags = _ONE_OR_SEVERAL | NESTED[part].keys()
        if part in data if isinstance(data, dict) else isinstance(data, list) and part in range(len(data)):
            path, data = (*path, part), data[part]
    return path


def _message(verdicts: list[Verdict], path: Path_, document: Document, legal_keys: LegalKeys) -> str:
    error, name = verdicts[0], called(path_text(path), 80)
    kind, value = error["type"], error["input"]
    if kind in {"missing", "too_long"}:
        return _message_of_missing(error, name)
    if _of_key(error):
        return f"unknown key {shown(path[-1])}: {nearest(str(path[-1]), legal_keys(path[:-1], document))}"
    if kind == "kind" and isinstance(value, dict):
        return _message_of_kind(error, name)
    if kind in ("whole", "number", "quoted", "kind"):
        return f"{name} {error['msg']}, not {shown(value)}" + (
            "" if kind in ("quoted", "kind") else _how_numbers_are_written(value)
        )
    if kind == "literal_error":
        expected = str(error["ctx"]["expected"]).replace("'", "")
        return f"{name} must be {expected}, not {shown(value)}" + _meant(
            value, expected.replace(" or ", ", ").split(", ")
        )
    wanted = list(dict.fromkeys(_WANTED[one["type"]] for one in verdicts if one["type"] in _WANTED))
    if wanted:
        return f"{name} must be {' or '.join(wanted)}, not {shown(value)}".replace("true or false or", "true, false or")
    return f"{name} must not be empty" if kind == "too_short" else f"{name}: {error['msg']}"


def _message_of_missing(error: Verdict, name: str) -> str:
    """The message about a key, or a value of a list, that is missing, and about values that are too many."""
    if error["type"] == "too_long":
        return f"{name} takes {error['ctx']['max_length']} values, not {error['ctx']['actual_length']}"
    missing = error["loc"][-1]
    if isinstance(missing, int):
        return f"{name} takes {missing + 1} values"
    return f'missing key "{missing}"' + (f" in {name}" if name else "")


def _message_of_kind(error: Verdict, name: str) -> str:
    """The message about a block whose kind is missing, or none that its field may hold."""
    legal = error["msg"].split(": ")[1].split(", ")
    if "kind" not in error["input"]:
        return f'missing key "kind" in {name}: one of {", ".join(legal)}'
    said = error["input"]["kind"]
    return f"{name}.kind must be one of {', '.join(legal)}, not {shown(said)}" + _meant(said, legal)


def path_text(path: Path_) -> str:
    """A path in a file as people say it, counted from 1: norm.kind, claim 1: claimed, training, stage 2: tokens."""
    text, numbered = "", False
    for at, part in enumerate(path):
        following = path[at + 1] if at + 1 < len(path) else None
        if isinstance(part, int):
            text += f" {part + 1}" if not numbered else f", value {part + 1}"
        else:
            counted = isinstance(following, int)
            between = "" if not text else ": " if numbered else ", " if counted else "."
            text += between + (_ONE_OF.get(part, part) if counted else part)
        numbered = isinstance(part, int)
    return text


_ONE_OF: Final = {
    "aliases": "alias",
    "claims": "claim",
    "draws": "draw",
    "estimates": "estimate",
    "families": "family",
    "notes": "note",
    "parts": "part",
    "rules": "rule",
    "sources": "source",
    "stages": "stage",
}
"""What one of a list is called, where that is not as the list."""

_WANTED: Final = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
}


def _meant(value: object, legal: list[str]) -> str:
    hint = nearest(value, legal) if isinstance(value, str) else ""
    return f": {hint}" if hint.startswith("did you mean") else ""


def _how_numbers_are_written(value: object) -> str:
    if not isinstance(value, str) or not value[:1].isdigit():
        return ""
    number = re.fullmatch(r"[\d_]+(\.\d*)?([eE]\+?\d+)?", value, re.ASCII)
    return " (text: drop the quotes)" if number else " (write 2048, 4_096 or 300e9)"


def _legal_keys(path: Path_, document: Document) -> list[str]:
    """The keys that may stand in the mapping at `path`."""
    data: Any = document.data
    legal = _fields({"undisclosed": UndisclosedSpec, "tower": TowerSpec}.get(str(data.get("kind")), ModelSpec))
    block = ""  # the field that holds it, or a list that it is one of
    for part in path:
        data = data[part]
        if part == "notes_on":
            return list(get_args(NoteTopic))
        if part == "published":
            inside = {"published": list(get_args(PublishedName)), "corrected": _fields(Corrected)}
            return inside.get(str(path[-1]), _fields(Published))
        if part in NESTED:
            block = str(part)
        if block and not isinstance(data, list):
            legal = keys_of(block, data)
    return legal


def keys_of(block: str, data: Any) -> list[str]:
    """The keys that may stand in a block, by the kind that its data says, be it right or wrong."""
    known = isinstance(data, dict) and isinstance(data.get("kind"), str)
    return _fields(spec_class(block, data if known else None))


def _fields(cls: type) -> list[str]:
    return [field.name for field in fields(cls)]


def _kind_of(data: object) -> str:
    return "a list" if isinstance(data, list) else f"{shown(data)} alone"
