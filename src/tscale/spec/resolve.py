"""MODEL, everywhere the same, and `--set KEY=VALUE` on top of it.

A built-in name, a YAML file, a `config.json`, a folder that holds one, `-` for standard input, or a repository of the
Hugging Face hub as `organisation/name`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from tscale.errors import NotPublishedError, RequestError, SpecError, SpecErrors, nearest
from tscale.spec.catalogue import built_in, known_name, no_such_model
from tscale.spec.model import ModelSpec, Spec

_SUFFIXES: Final = (".yaml", ".yml", ".json")


def find(model: str, changes: Iterable[str] = ()) -> Spec:
    """The spec that MODEL means, with `--set` applied, disclosed or not. Raises `TscaleError`."""
    changes = tuple(changes)
    name = known_name(model)
    spec = built_in(name) if name is not None else _from_file(model)
    return _changed(spec, changes) if changes else spec


def resolve(model: str, changes: Iterable[str] = ()) -> ModelSpec:
    """The spec that MODEL means, where there is one to count with. Raises `NotPublishedError` where there is not."""
    spec = find(model, changes)
    if isinstance(spec, ModelSpec):
        return spec
    raise NotPublishedError(
        f"{spec.label}: its shape was never published, so there is nothing to count: `tscale params {spec.name}`"
    )


def _from_file(model: str) -> Spec:
    from tscale import hub

    path = Path(model)
    if hub.is_repository(model):
        return read_config(model)
    if model == "-" or path.suffix.lower() in _SUFFIXES or "/" in model or "\\" in model or _exists(path):
        return read_spec(model)
    raise no_such_model(model)


def read_spec(file: str) -> Spec:
    """The spec in a YAML file, a `config.json`, a folder that holds one, or on standard input. Raises `TscaleError`."""
    from tscale.spec.validation import validated
    from tscale.spec.yaml_file import parse_document

    text, path, where = _read(file)
    from tscale.spec.config_file import config_spec, looks_like_config

    if looks_like_config(text, path):
        return config_spec(text, path, where)
    return validated(parse_document(text, where))


def read_config(file: str) -> ModelSpec:
    """The spec that a `config.json` describes: in a folder, on standard input or on the hub. Raises `TscaleError`."""
    from tscale import hub
    from tscale.spec.config_file import config_spec, looks_like_config

    if hub.is_repository(file):
        return config_spec(hub.config_text(file), Path(file, "config.json"), f"{file}/config.json")
    text, path, where = _read(file)
    if not looks_like_config(text, path) and text.lstrip()[:1] != "{":
        raise SpecError("is no config.json: import reads those, and a YAML spec is one already", where=where)
    return config_spec(text, path, where)


def _read(file: str) -> tuple[str, Path, str]:
    """The text of a file, of the config.json in a folder, or of standard input, with its path and how it is called."""
    from tscale.spec.yaml_file import read_text

    path = Path(file)
    if file != "-" and _exists(path) and path.is_dir():
        path = path / "config.json"
        if not _exists(path):
            raise SpecError("the folder holds no config.json: name the file in it that describes the model", where=file)
        file = str(path)
    return read_text(file), path, "standard input" if file == "-" else file


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long for the file system, or with a NUL in it
        return False


def _changed(spec: Spec, changes: tuple[str, ...]) -> Spec:
    """A spec with fields changed from the command line, validated again as a whole."""
    from tscale.spec.validation import validated
    from tscale.spec.writing import plain
    from tscale.spec.yaml_file import Document

    data: dict[str, Any] = copy.deepcopy(plain(spec))
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or not key:
            raise RequestError(f'--set takes KEY=VALUE, such as layers=24 or attention.kv_heads=8, not "{change[:60]}"')
        _set(data, key.strip(), _value(text, change))
    try:
        return validated(Document(data, "--set", {}, {}))
    except (SpecErrors, SpecError) as error:
        first = error.errors[0] if isinstance(error, SpecErrors) else error
        raise RequestError(str(first).removeprefix("--set:1:1: "), where="--set " + ", ".join(changes)) from None


def _value(text: str, change: str) -> object:
    from tscale.spec.yaml_file import parse_document

    try:
        return parse_document(text, "--set").data if text.strip() else None
    except SpecError as error:
        raise RequestError(str(error).split(": ", 1)[-1], where=f"--set {change[:60]}") from None


def _set(data: dict[str, Any], key: str, value: object) -> None:
    """Sets the field at a dotted path. A bare name that stands in one block only, such as `heads`, is found there."""
    path = key.split(".")
    if len(path) == 1 and key not in ModelSpec.__dataclass_fields__:
        path = _path_of(data, key)
    for part in path[:-1]:
        inner = data.setdefault(part, {})
        if not isinstance(inner, dict):
            raise RequestError(f"--set {key}: {part} holds no keys")
        data = inner
    if value is None:
        data.pop(path[-1], None)
    else:
        data[path[-1]] = value


def _path_of(data: dict[str, Any], key: str) -> list[str]:
    from dataclasses import fields

    from tscale.spec.model import NESTED, spec_class

    legal = {block: {field.name for field in fields(spec_class(block, data.get(block)))} for block in _BLOCKS}
    found = [block for block, keys in legal.items() if key in keys]
    if len(found) == 1:
        return [found[0], key]
    if found:
        raise RequestError(f"--set {key}: which one? " + " or ".join(f"{block}.{key}" for block in found))
    known = [
        *ModelSpec.__dataclass_fields__,
        *(f"{block}.{name}" for block in NESTED if block in legal for name in legal[block]),
    ]
    bare = [*known, *(name for keys in legal.values() for name in keys)]
    raise RequestError(f'--set: unknown key "{key[:40]}": {nearest(key, bare)}')


_BLOCKS: Final = ("attention", "feed_forward", "positions", "norm", "embedding", "head", "training")
