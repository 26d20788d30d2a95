"""What is shipped beside the models, a folder of `configs/` a kind: the names in it, and what a name or a path means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tscale.catalogue.models import configs
from tscale.errors import UnknownNameError, nearest, shown
from tscale.models.yaml_file import Document, read_document


def shipped_names(folder: str) -> list[str]:
    """The names of a folder's files; no YAML is read."""
    return sorted(path.stem for path in (configs() / folder).glob("*.yaml"))


def shipped_text(folder: str, name: str) -> str:
    """The YAML of a file of a folder, by its name, comments and all."""
    return (configs() / folder / f"{name}.yaml").read_text(encoding="utf-8")


def shipped_or_file(
    name: str, folder: str, what: str, advice: str, aliases: Callable[[], Mapping[str, str]] = dict
) -> Document:
    """The document that a shipped name, the path of a YAML file or `-` means. Raises `TscaleError`.

    `what` it is called where there is none, `advice` for a file that cannot be found, and `aliases`: which shipped name
    to suggest for another, asked only where there is no such name.
    """
    path, known = Path(name), shipped_names(folder)
    if name in known:
        return read_document(str(configs() / folder / f"{name}.yaml"))._replace(name=f"{name}.yaml")
    if name == "-" or path.suffix.lower() in (".yaml", ".yml") or "/" in name or path.is_file():
        return read_document(name, advice)
    hint = nearest(name.lower(), known, aliases())
    other = "" if hint.startswith("did you mean") else "; a path to a YAML file works too"
    raise UnknownNameError(f"no {what} {shown(name)}: {hint}{other}")
