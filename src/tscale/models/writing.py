"""From a spec back to plain data, to YAML and to a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tscale.errors import SpecError, called, system_said
from tscale.models.spec import Spec

if TYPE_CHECKING:
    from tscale.catalogue.claims import Claims
    from tscale.catalogue.hardware import Hardware
    from tscale.catalogue.laws import Law
    from tscale.catalogue.measured import Measured

_INSTEAD: Final = "choose another name"


def plain(spec: Spec | Hardware | Law | Claims | Measured) -> dict[str, Any]:
    """A spec as a file would say it: what is at its default is left out, but for the kind of each block."""
    data: dict[str, Any] = _plain(spec)
    return data


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in fields(value)
            if field.name == "kind" or field.default is MISSING or getattr(value, field.name) != field.default
        }
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def to_yaml(spec: Spec) -> str:
    """A spec as YAML, which reads back as the same spec."""
    return yaml_of(plain(spec))


def yaml_of(data: dict[str, Any]) -> str:
    """Plain data as YAML: text that our reader would take for a number is quoted."""
    import yaml

    from tscale.models.yaml_file import reads_as_text

    class Dumper(yaml.SafeDumper):
        """PyYAML's, whose rules for what is a number are older than our reader's."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = None if reads_as_text(value) else "'"
        if "\u2028" in value or "\u2029" in value:
            style = '"'  # separators of lines and paragraphs: in any other style YAML folds them
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)


def law_to_yaml(law: Law) -> str:
    """A scaling law as YAML, which reads back as the same law; of its bootstrap samples, one a line."""
    text = yaml_of(plain(replace(law, draws=())))
    lines = [f"  - [{', '.join(map(repr, draw))}]\n" for draw in law.draws]
    return text + ("draws:\n" + "".join(lines) if lines else "")


def write_new(path: Path, content: str | bytes) -> None:
    """Writes a file that was not there, whole or not at all, and never over another. Raises `SpecError`.

    It is written under a name of its own and linked to the one that is meant, so that even a killed process leaves none half.
    """
    try:
        data = content.encode() if isinstance(content, str) else content
        if os.path.lexists(path):
            raise _exists(path)
        with _beside(path, data) as written:
            written.chmod(0o666 & ~_umask())
            os.link(written, path)
    except FileExistsError:
        raise _exists(path) from None
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error


@contextmanager
def _beside(path: Path, data: bytes) -> Iterator[Path]:
    """A file with `data`, on the disk, in the folder that a path is in; it is gone afterwards unless it was moved."""
    from tempfile import NamedTemporaryFile  # which imports random, and that a dozen more: few answers write files

    with NamedTemporaryFile("wb", dir=path.resolve().parent, prefix=".", delete=False) as file:
        written = Path(file.name)
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            yield written
        finally:
            written.unlink(missing_ok=True)


def refuse_to_overwrite(path: Path, instead: str = _INSTEAD) -> None:
    """Raises `SpecError` where a file is there already, or no folder for it: before work that would be lost."""
    if os.path.lexists(path):
        raise _exists(path, instead)
    try:
        os.stat(os.path.join(path.parent, ""))  # noqa: PTH116, PTH118 (the separator at the end asks for a folder)
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error


def _exists(path: Path, instead: str = _INSTEAD) -> SpecError:
    return SpecError(f"exists already, and is left as it is: {instead}", where=called(str(path)))


def _unwritable(path: Path, error: Exception) -> SpecError:
    return SpecError(f"cannot be written: {system_said(error)}", where=called(str(path)))


def write_over(path: Path, content: str | bytes) -> None:
    """Writes a file, in the place of another if there is one, whole or not at all. Raises `SpecError`.

    What is no file, such as a device or a pipe, is written to and never replaced.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            return
        with _beside(path, content.encode() if isinstance(content, str) else content) as written:
            written.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
            written.replace(path.resolve())
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error


def _umask() -> int:
    """The permissions that new files do not get; there is no way to ask but to set it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
