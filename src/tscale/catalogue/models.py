"""The built-in models: their names, and their specs without reading or validating YAML again.

`models.json` beside this file holds every `configs/models/*.yaml` as it was validated, with a checksum of the text
it was made from; where the text has changed since, the text is read instead. `python -m tscale.catalogue.models` makes it
anew, and a test holds the two to one another.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, cast
from zlib import crc32

from tscale.errors import UnknownNameError, nearest
from tscale.models.spec import ModelSpec, Spec, UndisclosedSpec, build

_HERE: Final = Path(__file__).parent
_FILE: Final = _HERE / "models.json"


def configs() -> Path:
    """The folder of what is shipped: inside the package in a wheel, at the top of the tree in an editable install."""
    shipped = _HERE.parent / "configs"
    return shipped if shipped.is_dir() else _HERE.parents[2] / "configs"


class Listed(NamedTuple):
    """What a list of the built-in models shows of one."""

    name: str
    title: str
    year: int | None
    kind: str
    aliases: tuple[str, ...]


@cache
def _catalogue() -> dict[str, dict[str, Any]]:
    return cast("dict[str, dict[str, Any]]", json.loads(_FILE.read_bytes()))


def listed() -> list[Listed]:
    """Every built-in model, in the order of their years."""
    specs = [entry["spec"] for entry in _catalogue().values()]
    rows = [
        Listed(
            spec["name"],
            spec.get("title", spec["name"]),
            spec.get("year"),
            spec.get("kind", "decoder"),
            tuple(spec.get("aliases", ())),
        )
        for spec in specs
    ]
    return sorted(rows, key=lambda row: row.year or 0)


def names() -> list[str]:
    """The names of the built-in models, without their aliases."""
    return list(_catalogue())


def names_and_aliases() -> list[str]:
    """The names of the built-in models, then their aliases."""
    return [*names(), *(alias for entry in _catalogue().values() for alias in entry["spec"].get("aliases", ()))]


def normalised(name: str) -> str:
    """A name as the catalogue spells it: lower case, with dashes."""
    return name.strip().lower().replace("_", "-").replace(" ", "-")


def known_name(name: str) -> str | None:
    """The built-in model that a name or an alias means, or None."""
    wanted = normalised(name)
    if wanted in _catalogue():
        return wanted
    return next((key for key, entry in _catalogue().items() if wanted in entry["spec"].get("aliases", ())), None)


def no_such_model(name: str) -> UnknownNameError:
    """The error for a name that means no model, with the nearest that does."""
    hint = nearest(normalised(name), names_and_aliases())
    if not hint.startswith("did you mean"):
        hint = "`tscale list` names the built-in ones; a path to a YAML file works too"
    return UnknownNameError(f'no model "{name[:60]}": {hint}')


def text_of(name: str) -> str:
    """The YAML of a built-in model, comments and all."""
    return (configs() / "models" / f"{name}.yaml").read_text(encoding="utf-8")


def built_in(name: str) -> Spec:
    """The spec of a built-in model, by the name the catalogue knows it by."""
    entry = _catalogue()[name]
    text = text_of(name)
    if crc32(text.encode()) != entry["checksum"]:
        return _from_yaml(name, text)
    spec = entry["spec"]
    return cast("Spec", build(UndisclosedSpec if spec["kind"] == "undisclosed" else ModelSpec, spec))


def _from_yaml(name: str, text: str) -> Spec:
    from tscale.models.validation import validated
    from tscale.models.yaml_file import parse_document

    return validated(parse_document(text, f"{name}.yaml"))


def make() -> str:
    """The text of `models.json`, from the YAML files."""
    from tscale.models.writing import plain

    entries = {}
    for path in sorted((configs() / "models").glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        spec = _from_yaml(path.stem, text)
        assert spec.name == path.stem, f"{path.name} describes {spec.name}"
        entries[spec.name] = {"checksum": crc32(text.encode()), "spec": plain(spec)}
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    _FILE.write_text(make(), encoding="utf-8")
