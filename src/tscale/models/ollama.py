"""Where a Modelfile or a manifest in Ollama's folder keeps its weights."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from tscale.errors import SpecError, called, shown

_MODEL: Final = "application/vnd.ollama.image.model"
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def weights_of(text: str, path: Path) -> Path | None:
    """The file of weights that a text names; None of one that is neither a Modelfile nor a manifest. Raises `SpecError`."""
    if path.name == "Modelfile":
        return _named_in_modelfile(text, path)
    return _named_in_manifest(text, path) if _MODEL in text else None


def _named_in_modelfile(text: str, path: Path) -> Path:
    named = re.search(r"^\s*FROM\s+(\S+)", text, re.MULTILINE | re.IGNORECASE)
    target = None if named is None else path.parent / named[1]
    if target is not None and target.is_file():
        return target
    what = "no FROM" if named is None else f"FROM {called(named[1], 80)}, which is no file here"
    raise SpecError(f"has {what}: name the GGUF file, or the manifest in Ollama's folder", where=called(str(path)))


def _named_in_manifest(text: str, path: Path) -> Path:
    where = called(str(path))
    try:
        layers = json.loads(text)["layers"]
        digest = next(layer["digest"] for layer in layers if layer["mediaType"] == _MODEL)
    except (ValueError, LookupError, TypeError, StopIteration, RecursionError):
        raise SpecError("is no manifest of Ollama's that can be read", where=where) from None
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise SpecError(f"names weights by {shown(digest)}, which is no digest", where=where)
    name = digest.replace(":", "-")
    found = next((blob for folder in path.absolute().parents if (blob := folder / "blobs" / name).is_file()), None)
    if found is None:
        raise SpecError(f"names weights that are not in Ollama's folder: blobs/{name}", where=where)
    return found
