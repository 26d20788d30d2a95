"""Reads a `config.json`: strict JSON, nothing given twice."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final, NoReturn

from tscale.errors import SpecError, shown
from tscale.importer.reader import imported
from tscale.models.spec import ModelSpec


def looks_like_config(text: str, path: Path) -> bool:
    """Whether a file holds a model's configuration rather than a spec: JSON that is named so, or says its family.

    Standard input has no name: what is JSON there is one, unless it has the keys of a spec.
    """
    if path.suffix.lower() == ".json":
        return True
    if text.lstrip()[:1] != "{":
        return False
    return '"model_type"' in text or (str(path) == "-" and _is_json(text) and not _SPEC_KEYS.issubset(json.loads(text)))


_SPEC_KEYS: Final = frozenset({"name", "d_model", "attention"})


def _is_json(text: str) -> bool:
    """Whether a text is JSON, and no YAML that begins like it."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def config_spec(text: str, path: Path, where: str, assume: str | None = None) -> ModelSpec:
    """The spec that a `config.json` describes, under its folder's name. Raises `SpecError`.

    `assume`: the family that it counts like where its own is not known.
    """
    try:
        return _config_spec(text, path, where, assume)
    except SpecError as error:
        raise _located(error, text, where) from None


def _located(error: SpecError, text: str, where: str) -> SpecError:
    """An error with the line of the key that it is about, where it names one that stands in the file once."""
    message = str(error).removeprefix(f"{where}: ")
    named = re.match(r'(?:key )?"?([A-Za-z_][\w.]*)', message)
    start = None if named is None or error.where != where else _place_of(named[1].rstrip(".").split("."), text)
    if start is None:
        return error
    return SpecError(
        message, where=f"{where}:{text.count(chr(10), 0, start) + 1}:{start - text.rfind(chr(10), 0, start)}"
    )


def _place_of(path: list[str], text: str) -> int | None:
    """Where the key at the end of a path stands, or one on the way to it: the first that is in the text once.

    A module's name is one key, with dots.
    """
    for end in range(len(path), 0, -1):
        for start in range(end - 1, -1, -1):
            found = [*re.finditer(rf'"{re.escape(".".join(path[start:end]))}"\s*:', text)]
            if len(found) == 1:
                return found[0].start()
    return None


def _config_spec(text: str, path: Path, where: str, assume: str | None) -> ModelSpec:
    config = parse_config(text, where)
    stem = path.stem if path.stem not in ("config", "-", "") else path.absolute().parent.name
    name = stem.lower().replace("_", "-").replace(" ", "-") or "config"
    name = str(config.get("model_type", name)) if where == "standard input" else name
    return imported(config, name=name, where=where, assume=assume)


def parse_config(text: str, where: str) -> dict[str, Any]:
    """The object in a JSON text. Raises `SpecError` for anything else, and for a key that is given twice."""
    return parse_object(text, where, what="a config.json")


def parse_object(text: str, where: str, *, what: str) -> dict[str, Any]:
    """The object in a JSON text, which messages call `what`. Raises `SpecError`, as for a key that is given twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise SpecError(f"key {shown(key)} is given twice", where=where)
            found[key] = value
        return found

    def refuse(constant: str) -> NoReturn:
        raise SpecError(f"{constant} is not a number that a model can have", where=where)

    try:
        config = json.loads(text, object_pairs_hook=once, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise SpecError(f"not JSON: {error.msg}", where=f"{where}:{error.lineno}:{error.colno}") from None
    except (ValueError, RecursionError):
        raise SpecError(f"not JSON that {what} is made of: nested too deep, or a number of thousands of digits",
                        where=where) from None  # fmt: skip
    if not isinstance(config, dict):
        raise SpecError(f"{what} is an object, not {shown(config)}", where=where)
    return config
