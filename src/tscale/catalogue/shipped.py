"""What is shipped beside the models, a folder of `configs/` a kind: the names in it, and what a name or a path means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from tscale.catalogue.index import Kind, compiled, configs
from tscale.errors import UnknownNameError, nearest, shown

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from tscale.models.yaml_file import Document, Path_

T = TypeVar("T")


def shipped_names(folder: str) -> list[str]:
    """The names of a folder's files; no YAML is read."""
    return sorted(path.stem for path in (configs() / folder).glob("*.yaml"))


def shipped_text(folder: str, name: str) -> str:
    """The YAML of a file of a folder, by its name, comments and all."""
    return (configs() / folder / f"{name}.yaml").read_text(encoding="utf-8")


PLAIN: Final = ("serving", "post-training")
"""Files of configs/calibrations that the compiled index has as their YAML says: scripts write them, and whoever asks for them reads them."""


def plain_data(name: str) -> dict[str, Any]:
    """What the YAML of one of `PLAIN` says."""
    found = compiled("calibrations", name)
    return plain_from_yaml(name) if found is None else found


def shipped_document(folder: str, name: str) -> Document:
    """What a file of a folder says, not yet validated."""
    from tscale.models.yaml_file import read_document

    return read_document(str(configs() / folder / f"{name}.yaml"))


def shipped_as(cls: type[T], kind: Kind, name: str, inner: Mapping[str, type]) -> T:
    """What a shipped file says: of the index where that is current, otherwise read and validated."""
    data = compiled(kind, name)
    return read_as(cls, shipped_document(kind, name), inner) if data is None else built(cls, data, inner)


def plain_from_yaml(name: str) -> dict[str, Any]:
    """The same, of the YAML."""
    from tscale.models.yaml_file import parse_document

    data: Any = parse_document(shipped_text("calibrations", name), f"{name}.yaml").data
    assert isinstance(data, dict)
    return data


def shipped_or_file(
    name: str, folder: str, what: str, advice: str, aliases: Callable[[], Mapping[str, str]] = dict
) -> Document:
    """The document that a shipped name, the path of a YAML file or `-` means. Raises `TscaleError`.

    `what` it is called where there is none, `advice` for a file that cannot be found, and `aliases`: which shipped name
    to suggest for another, asked only where there is no such name.
    """
    from tscale.models.model_files import is_file
    from tscale.models.yaml_file import read_document

    path, known = Path(name), shipped_names(folder)
    if name in known:
        return shipped_document(folder, name)._replace(name=f"{name}.yaml")
    if name == "-" or path.suffix.lower() in (".yaml", ".yml") or "/" in name or is_file(path):
        return read_document(name, advice)
    hint = nearest(name.lower(), known, aliases())
    other = "" if hint.startswith("did you mean") else "; a path to a YAML file works too"
    raise UnknownNameError(f"no {what} {shown(name)}: {hint}{other}")


_NOTHING: Mapping[str, type] = MappingProxyType({})


def built(cls: type[T], data: dict[str, Any], inner: Mapping[str, type] = _NOTHING) -> T:
    """A dataclass from data that is known to be valid, such as the index holds. Nothing is checked here.

    `inner`: by key the class of the mapping that it holds, or of each in its list; with `*` behind the key, of each value in it.
    """
    return cls(**{key: _value(key, value, inner) for key, value in data.items()})


@cache
def adapter_of(cls: Any) -> TypeAdapter[Any]:
    """Pydantic's validator of a class."""
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def read_as(cls: type[T], document: Document, inner: Mapping[str, type]) -> T:
    """The same from a document, whose fields are validated. Raises `SpecErrors` with what is wrong, each at its line and column."""
    from tscale.models.validation import judged

    def legal_keys(path: Path_, _: Document) -> list[str]:
        at = (inner.get(str(key)) or inner.get(f"{key}*") for key in reversed(path))
        return [field.name for field in fields(next(filter(None, at), cls))]

    found: T = judged(adapter_of(cast("Any", cls)), document, legal_keys)
    return found


def _value(key: str, value: Any, inner: Mapping[str, type]) -> Any:
    if isinstance(value, list):
        return tuple(_value(key, item, inner) for item in value)
    if isinstance(value, dict):
        if key in inner:
            return built(inner[key], value, inner)
        if f"{key}*" in inner:
            return {name: built(inner[f"{key}*"], item, inner) for name, item in value.items()}
    return value
