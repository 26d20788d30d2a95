"""PATH of `tscale verify`: safetensors in a file, in shards, in a folder or on the hub; or a GGUF file."""

from __future__ import annotations

from pathlib import Path

from tscale.checkpoint.tensors import Weights
from tscale.errors import SpecError, called


def read_weights(path: str) -> Weights:
    """The tensors of a checkpoint, from its headers. Raises `SpecError`."""
    from tscale import hub
    from tscale.checkpoint.safetensors import read_safetensors
    from tscale.models.model_files import is_folder

    if hub.is_repository(path):
        return hub.weights(path)
    file = Path(path)
    if file.name.lower().endswith(".gguf"):
        from tscale.checkpoint.gguf import read_gguf

        return read_gguf(file)
    if not is_folder(file) and not file.name.lower().endswith((".safetensors", ".index.json")):
        raise SpecError(
            "is not a checkpoint: name a .safetensors or .gguf file, an index, or a folder of them", where=called(path)
        )
    return read_safetensors(file)
