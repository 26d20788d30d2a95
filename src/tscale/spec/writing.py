"""From a spec back to plain data, to YAML and to a file."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscale.errors import SpecError, called
from tscale.spec.model import Spec

if TYPE_CHECKING:
    from tscale.spec.hardware import Hardware


def plain(spec: Spec | Hardware) -> dict[str, Any]:
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

    from tscale.spec.yaml_file import reads_as_text

    class Dumper(yaml.SafeDumper):
        """PyYAML's, whose rules for what is a number are older than our reader's."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if reads_as_text(value) else "'")

    Dumper.add_representer(str, text)
    return yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)


def write_new(path: Path, text: str) -> None:
    """Writes a file that was not there, whole or not at all, and never over another. Raises `SpecError`."""
    name = called(str(path))
    try:
        with path.open("x", encoding="utf-8") as file:
            try:
                file.write(text)
                file.flush()
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except FileExistsError:
        raise SpecError("exists already, and is left as it is: choose another name", where=name) from None
    except (OSError, ValueError) as error:
        raise SpecError(f"cannot be written: {getattr(error, 'strerror', None) or error}", where=name) from error
