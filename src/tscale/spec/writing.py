"""From a spec back to plain data and to YAML."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from tscale.spec.model import Spec


def plain(spec: Spec) -> dict[str, Any]:
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
    """A spec as YAML, which reads back as the same spec: text that our reader would take for a number is quoted."""
    import yaml

    from tscale.spec.yaml_file import reads_as_text

    class Dumper(yaml.SafeDumper):
        """PyYAML's, whose rules for what is a number are older than our reader's."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if reads_as_text(value) else "'")

    Dumper.add_representer(str, text)
    return yaml.dump(plain(spec), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
