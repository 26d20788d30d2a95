"""Which file describes a model, and how it is read: of a folder, the one that its program looks for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from tscale.errors import SpecError, called
from tscale.importer.config_file import MOST_BYTES, config_spec, looks_like_config, spec_of_keys
from tscale.models.yaml_file import MOST_BYTES as MOST_OF_A_SPEC
from tscale.models.yaml_file import Document, parse_document, read_text

if TYPE_CHECKING:
    from tscale.models.spec import ModelSpec

_NAMES: Final = ("config.json", "params.json", "model_config.yaml")
"""What describes the model in a folder, the first that is there."""
_YAML: Final = (".yaml", ".yml")


def described(file: str, assume: str | None, *, strict: bool) -> ModelSpec | Document:
    """The spec that a file of another program describes, or the document of one that is a spec itself. Raises `SpecError`.

    `file`: a file, a folder, or `-` for standard input. `assume`, `strict`: as in `tscale.importer.reader.imported`.
    """
    path = Path(file)
    if file != "-" and is_folder(path):
        path = _in_folder(path)
        file = str(path)
    where = "standard input" if file == "-" else called(file)
    text = _text(file, path, where)
    if path.suffix.lower() not in _YAML and looks_like_config(text, path):
        return config_spec(text, path, where, assume, strict=strict)
    document = parse_document(text, where)
    if isinstance(document.data, dict) and _is_foreign(document.data):
        return spec_of_keys(document.data, path, where, assume, strict=strict)
    return document


def _text(file: str, path: Path, where: str) -> str:
    """The text of a file. Raises `SpecError` for one that is larger than any of its kind."""
    if path.suffix.lower() in _YAML:
        return read_text(file)
    text = read_text(file, MOST_BYTES, "a config.json takes two or three")
    if len(text) > MOST_OF_A_SPEC and not looks_like_config(text, path):
        raise SpecError(f"is larger than {MOST_OF_A_SPEC // 1024} KiB: a spec takes two or three", where=where)
    return text


def _is_foreign(data: dict[str, object]) -> bool:
    """Whether the keys of a YAML file are those of another program."""
    if "attention" in data:
        return False
    from tscale.importer.formats import format_of

    return format_of(data) is not None


def _in_folder(folder: Path) -> Path:
    """The file in a folder that describes the model. Raises `SpecError`."""
    for name in _NAMES:
        if exists(folder / name):
            return folder / name
    raise SpecError(
        "the folder holds no config.json: name the file in it that describes the model", where=called(str(folder))
    )


def is_folder(path: Path) -> bool:
    """Whether a path is that of a folder that is there."""
    return exists(path) and path.is_dir()


def exists(path: Path) -> bool:
    """Whether a path is there; one that no file system takes is not."""
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long for the file system, or with a NUL in it
        return False
