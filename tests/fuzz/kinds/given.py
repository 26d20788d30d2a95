"""What several kinds are given: a file for as long as it is read, and configurations of every family."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

ORACLE: Final = Path(__file__).parents[2] / "oracle"


@contextmanager
def file_of(name: str, raw: bytes) -> Iterator[str]:
    """A file of a name, for as long as it is read; the current folder is otherwise as it was."""
    path = Path(name)
    path.write_bytes(raw)
    try:
        yield name
    finally:
        assert path.read_bytes() == raw, f"{name} was written over"
        path.unlink()


def _configs() -> list[dict[str, Any]]:
    """Four configurations of each family that any is recorded of."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(ORACLE.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            data = json.loads(line)
            config = data.get("config") if isinstance(data, dict) else None
            if isinstance(config, dict):
                of_kind = found.setdefault(str(config.get("model_type")), [])
                of_kind += [config] if len(of_kind) < 4 else []
    return [config for several in found.values() for config in several]


CONFIGS: Final = _configs()
