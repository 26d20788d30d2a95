"""MODEL, everywhere the same, and `--set KEY=VALUE` on top of it.

A built-in name, a YAML file, a `config.json` or another program's file (`tscale.models.model_files`), a folder that holds one,
`-` for standard input, or a repository of the Hugging Face hub as `organisation/name`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tscale.catalogue.models import built_in, known_name, no_such_model
from tscale.errors import NotPublishedError, RequestError, SpecError, SpecErrors, called, field, nearest, shown
from tscale.models.spec import ModelSpec, Spec

if TYPE_CHECKING:
    from tscale.models.tower_spec import TowerSpec

_SUFFIXES: Final = (".yaml", ".yml", ".json", ".gguf", ".safetensors")


def find(model: str, changes: Iterable[str] = (), assume: str | None = None, *, strict: bool = False) -> Spec:
    """The spec that MODEL means, with `--set` applied, disclosed or not. Raises `TscaleError`.

    `assume`: the family that a config.json of an unknown one counts like; `strict`: whether one is refused for a key that
    its family does not read.
    """
    changes = tuple(changes)
    name = known_name(model)
    if assume is not None and name is not None:
        raise RequestError(f"{field('assume')} is about a config.json, and {model} is a built-in model: drop it")
    spec = built_in(name) if name is not None else _from_file(model, assume, strict)
    return changed(spec, changes)


def changed(spec: Spec, changes: tuple[str, ...]) -> Spec:
    """A spec with `--set` applied. Raises `RequestError` for what cannot be set."""
    return _changed(spec, changes) if changes else spec


def find_all(
    models: Iterable[str], changes: Iterable[str] = (), assume: str | None = None, *, strict: bool = False
) -> list[Spec]:
    """The specs that several MODELs mean; `assume` is about those that are no built-in ones, if there are any."""
    models, changes = tuple(models), tuple(changes)
    files = [model for model in models if known_name(model) is None]
    if not files:
        return [find(model, changes, assume, strict=strict) for model in models]
    from tscale.hub import deadline

    with deadline():
        return [find(model, changes, assume if model in files else None, strict=strict) for model in models]


def resolve(model: str, changes: Iterable[str] = (), assume: str | None = None, *, strict: bool = False) -> ModelSpec:
    """The spec that MODEL means, where there is one to count with. Raises `NotPublishedError` where there is not."""
    return disclosed(find(model, changes, assume, strict=strict))


def disclosed(spec: Spec) -> ModelSpec:
    """A spec to ask about text.

    Raises `NotPublishedError` for that of a model whose shape was never published, `RequestError` for that of a tower alone.
    """
    if isinstance(spec, ModelSpec):
        return spec
    if spec.kind == "tower":
        raise RequestError(
            f"{spec.label} has no text model: only params, memory, summary, flops, compare (with others of its kind), verify, show and import answer about what reads {spec.reads} alone"
        )
    raise NotPublishedError(
        f"{spec.label}: its shape was never published, so it cannot be counted: `tscale params {spec.name}` shows what is known"
    )


def _from_file(model: str, assume: str | None, strict: bool) -> Spec:
    from tscale import hub

    path = Path(model)
    if not model.strip():
        raise no_such_model(model)
    if hub.is_repository(model):
        return read_config(model, assume, strict=strict)
    if "://" in model:
        raise RequestError(
            f"{model} is an address: write organisation/name for a repository of the hub, or name a file"
        )
    from tscale.models.model_files import exists

    if model == "-" or path.suffix.lower() in _SUFFIXES or "/" in model or "\\" in model or exists(path):
        return read_spec(model, assume, strict=strict)
    raise no_such_model(model)


def read_spec(file: str, assume: str | None = None, *, strict: bool = False) -> Spec:
    """The spec in a YAML file, or the one that a file of another program describes. Raises `TscaleError`.

    `file` may be a folder that holds one, or `-` for standard input.
    """
    from tscale.models.model_files import described
    from tscale.models.validation import validated
    from tscale.models.yaml_file import Document

    found = described(file, assume, strict=strict)
    if not isinstance(found, Document):
        return found
    if assume is not None:
        raise RequestError(
            f"{field('assume')} is about a config.json, and {found.name} is a spec of tscale's own: drop it"
        )
    return validated(found)


def read_config(file: str, assume: str | None = None, *, strict: bool = False) -> ModelSpec | TowerSpec:
    """The spec that a file of another program describes: in a folder, on standard input or on the hub. Raises `TscaleError`."""
    from tscale import hub
    from tscale.models.model_files import described, described_text
    from tscale.models.yaml_file import Document

    if hub.is_repository(file):
        name, text = hub.description(file)
        return described_text(text, Path(file, name), f"{file}/{name}", assume, strict=strict)
    found = described(file, assume, strict=strict)
    if isinstance(found, Document):
        raise SpecError(
            "is not a config.json: import reads config.json files, and a YAML spec needs no import", where=found.name
        )
    return found


def with_changes(spec: Spec, changes: tuple[str, ...]) -> dict[str, Any]:
    """The data of a spec with fields changed from the command line, not yet validated. Raises `RequestError`."""
    from tscale.models.writing import plain

    data: dict[str, Any] = copy.deepcopy(plain(spec))
    seen: set[tuple[str, ...]] = set()
    for change in changes:
        key, equals, text = change.partition("=")
        path = key.strip().split(".")
        if not equals or not all(path):
            raise RequestError(
                f"{field('set')}: write KEY=VALUE, such as layers=24 or attention.kv_heads=8, not {shown(change)}"
            )
        path, value = _full(path, spec, data), _value(text, change)
        if tuple(path) in seen:
            raise RequestError(
                f"{field('set')} {called(change, 80)}: {called(key.strip(), 80)} is given twice: drop one"
            )
        seen.add(tuple(path))
        if value is None:
            _check_key(path, data, change)
        _set(data, path, value)
    return data


def _changed(spec: Spec, changes: tuple[str, ...]) -> Spec:
    """A spec with fields changed from the command line, validated again as a whole."""
    from tscale.models.validation import validated
    from tscale.models.writing import plain
    from tscale.models.yaml_file import Document

    data = with_changes(spec, changes)
    if data == plain(spec):
        return spec
    # What was published and noted is about the model as it was: the changed one has a title of its own and no sources.
    if "title" not in _keys(changes):
        data["title"] = f"{spec.label} with {', '.join(changes)}"
    for key in ("aliases", "releases", "published", "sources", "evidence", "notes", "notes_on"):
        if key not in _keys(changes):
            data.pop(key, None)
    if "context" in _keys(changes) and "training" not in _keys(changes):
        _cut_stages(data)
    try:
        return validated(Document(data, "set", {}, {}))
    except (SpecErrors, SpecError) as error:
        first = error.errors[0] if isinstance(error, SpecErrors) else error
        raise RequestError(
            first.text.removeprefix("set:1:1: "), where=f"{field('set')} {called(', '.join(changes), 80)}"
        ) from None


def check_key(key: str, spec: Spec) -> None:
    """Raises `RequestError` for a key that `--set` knows no field of."""
    from tscale.models.writing import plain

    path = key.split(".")
    _full(path, spec, data := plain(spec))
    if len(path) > 1:
        _check_key(path, data, f"{key}=...")


def full_path(key: str, spec: Spec) -> str:
    """The field that a key of `--set` means, in full: `attention.heads` for `heads`. Raises `RequestError`."""
    from tscale.models.writing import plain

    return ".".join(_full(key.split("."), spec, plain(spec)))


def _check_key(path: list[str], data: dict[str, Any], change: str) -> None:
    """Raises `RequestError` where a key that is to be taken out of a block is none that the block has."""
    from tscale.models.validation import keys_of

    if len(path) > 1 and path[0] in _BLOCKS:
        keys = keys_of(path[0], data.get(path[0]))
        if path[1] not in keys:
            hint = nearest(path[1], keys)
            raise RequestError(f"{field('set')} {called(change, 80)}: unknown key {shown(path[1])}: {hint}")


def _cut_stages(data: dict[str, Any]) -> None:
    """Cuts the lengths of training to a context that was set: nobody trains a model on sequences that it cannot read."""
    context, training = data.get("context"), data.get("training")
    stages = training.get("stages") if isinstance(training, dict) else None
    for stage in stages if isinstance(stages, list) and isinstance(context, int) else ():
        length = stage.get("context")
        if length is not None and length > context:
            stage |= {
                "context": context,
                "source": f"{stage['source']}, cut from {length:,} tokens",
                "evidence": "derived",
            }


def _keys(changes: tuple[str, ...]) -> set[str]:
    """The fields of the spec, by their first name, that some changes touch."""
    return {change.partition("=")[0].strip().partition(".")[0] for change in changes}


def _value(text: str, change: str) -> object:
    from tscale.models.yaml_file import parse_document

    try:
        return parse_document(text, "set").data if text.strip() else None
    except SpecError as error:
        raise RequestError(error.text.split(": ", 1)[-1], where=f"{field('set')} {called(change, 80)}") from None


def _set(data: dict[str, Any], path: list[str], value: object) -> None:
    """Sets the field at a path; a value of null takes it away. Of a list, a part of the path is a place, counted from 0."""
    holder: Any = data
    for place, part in enumerate(path[:-1]):
        inner = _item(holder, part, path) if isinstance(holder, list) else holder.setdefault(part, {})
        if isinstance(inner, list) and not path[place + 1].isdecimal():
            text = f"{part} is a list: `tscale show NAME > my.yaml` begins a file to change it in"
            raise RequestError(f"{field('set')} {called('.'.join(path), 80)}: {text}")
        if not isinstance(inner, dict | list):
            raise RequestError(f"{field('set')} {called('.'.join(path), 80)}: {part} holds no keys")
        holder = inner
    if isinstance(holder, list):
        _item(holder, path[-1], path)
        holder[int(path[-1])] = value
    elif value is None:
        holder.pop(path[-1], None)
    else:
        holder[path[-1]] = value


def _item(listed: list[Any], part: str, path: list[str]) -> Any:
    """What stands at a place of a list. Raises `RequestError` where the list has no such place."""
    if int(part) >= len(listed):
        many = f"there are {len(listed):,}, counted from 0" if listed else "the list is empty"
        raise RequestError(f"{field('set')} {called('.'.join(path), 80)}: no item {part}: {many}")
    return listed[int(part)]


def _full(path: list[str], spec: Spec, data: dict[str, Any]) -> list[str]:
    """The path of a field in full: a bare name that stands in one block only, such as `heads`, is found there.

    Raises `RequestError` for one that no field has, and for one that several have.
    """
    from dataclasses import fields

    from tscale.models.validation import keys_of

    own, key = [one.name for one in fields(spec)], ".".join(path)
    if path[0] in own and len(path) <= _DEEPEST:
        return path
    blocks = {block: keys_of(block, data.get(block)) for block in _BLOCKS if block in own}
    found = [block for block, keys in blocks.items() if key in keys]
    if len(found) == 1:
        return [found[0], key]
    if found:
        raise RequestError(f"{field('set')} {key}: which one? " + " or ".join(f"{block}.{key}" for block in found))
    known = [*own, *(f"{block}.{name}" for block, keys in blocks.items() for name in keys)]
    bare = [*known, *(name for keys in blocks.values() for name in keys)]
    raise RequestError(f"{field('set')}: unknown key {shown(key)}: {nearest(key, bare)}")


_DEEPEST: Final = 7  # towers.0.pieces.2.attention.heads has six parts
_BLOCKS: Final = ("attention", "feed_forward", "positions", "norm", "embedding", "head", "training")
