"""PATH of `tscale verify`: safetensors in a file, in shards or in a folder."""

from __future__ import annotations

from pathlib import Path

from tscale.errors import SpecError, called
from tscale.weights.tensors import Weights


def read_weights(path: str) -> Weights:
    """The tensors of a checkpoint, from its headers. Raises `SpecError`."""
    from tscale.weights.safetensors import read_safetensors

    file = Path(path)
    if not file.is_dir() and not file.name.lower().endswith((".safetensors", ".index.json")):
        raise SpecError(
            "is no checkpoint that is read: a .safetensors file, its index, or a folder", where=called(path)
        )
    return read_safetensors(file)
