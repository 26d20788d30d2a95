"""Which file describes a model, and how it is read: of a folder, the one that its program looks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tscale.errors import RequestError, SpecError, called, field
from tscale.importer.config_file import MOST_BYTES, config_spec, looks_like_config, spec_of_keys
from tscale.importer.json_file import parse_object
from tscale.importer.other_files import what_recipe_it_is
from tscale.models.yaml_file import MOST_BYTES as MOST_OF_A_SPEC
from tscale.models.yaml_file import Document, parse_document, read_text

if TYPE_CHECKING:
    from tscale.models.spec import ModelSpec
    from tscale.models.tower_spec import TowerSpec

_NAMES: Final = (
    "config.json", "params.json", "model_config.yaml", "Modelfile", "adapter_config.json", "model_index.json",
)  # fmt: skip
"""What describes the model in a folder, the first that is there."""
_YAML: Final = (".yaml", ".yml")


def described(file: str, assume: str | None, *, strict: bool) -> ModelSpec | TowerSpec | Document:
    """The spec that a file of another program describes, or the document of one that is a spec itself. Raises `SpecError`.

    `file`: a file, a folder, or `-` for standard input. `assume`, `strict`: as in `tscale.importer.reader.imported`.
    """
    if file == "-":
        return _of_text(read_text("-", MOST_BYTES, _USUAL), Path("-"), "standard input", assume, strict=strict)
    path = Path(file)
    if is_folder(path):
        path = _in_folder(path, called(file))
        file = str(path)
    where = called(file)
    weights = _weights(path)
    if weights is not None:
        return _of_weights(weights, assume, strict=strict)
    return _of_text(_text(file, path), path, where, assume, strict=strict)


_USUAL: Final = "a config.json takes two or three"


def _of_text(
    text: str, path: Path, where: str, assume: str | None, *, strict: bool
) -> ModelSpec | TowerSpec | Document:
    if path.suffix.lower() not in _YAML and looks_like_config(text, path):
        return described_text(text, path, where, assume, strict=strict)
    if len(text) > MOST_OF_A_SPEC:
        raise SpecError(f"is larger than {MOST_OF_A_SPEC // 1024} KiB: a spec takes two or three", where=where)
    document = parse_document(text, where)
    if isinstance(document.data, dict) and _is_foreign(document.data):
        return spec_of_keys(dict(document.data), path, where, assume, strict=strict)
    if recipe := what_recipe_it_is(document.data):
        raise SpecError(recipe, where=where)
    return document


def described_text(
    text: str, path: Path, where: str, assume: str | None = None, *, strict: bool = False
) -> ModelSpec | TowerSpec:
    """The spec that a JSON file describes, by its name: of a model, of adapters on one; a pipeline is several. Raises `TscaleError`."""
    if path.name == "model_index.json":
        raise _of_parts(text, path, where)
    if path.name == "adapter_config.json":
        from tscale.models.adapter_file import adapted

        return adapted(text, path, where)
    return config_spec(text, path, where, assume, strict=strict)


def _text(file: str, path: Path) -> str:
    """The text of a file. Raises `SpecError` for one that is larger than any of its kind."""
    if path.suffix.lower() in _YAML:
        return read_text(file)
    return read_text(file, MOST_BYTES, _USUAL)


def _is_foreign(data: Mapping[str, object]) -> bool:
    """Whether the keys of a YAML file are those of another program."""
    if "attention" in data:
        return False
    from tscale.importer.formats import format_of

    return format_of(data) is not None


# ---- folders ----


def _in_folder(folder: Path, where: str) -> Path:
    """The file in a folder that describes the model. Raises `SpecError`."""
    for name in _NAMES:
        if exists(folder / name):
            return folder / name
    found = sorted([*folder.glob("*.gguf"), *folder.glob("manifests/*/*/*/*")])
    if len(found) == 1:
        return found[0]
    what = (
        "no config.json"
        if not found
        else f"{len(found)} models, such as {called(str(found[0].relative_to(folder)), 80)}"
    )
    raise SpecError(f"the folder holds {what}: name the file in it that describes the model", where=where)


def is_folder(path: Path) -> bool:
    """Whether a path is that of a folder that is there."""
    return exists(path) and path.is_dir()


def is_file(path: Path) -> bool:
    """Whether a path is that of a file that is there."""
    return exists(path) and path.is_file()


def exists(path: Path) -> bool:
    """Whether a path is there; one that no file system takes is not."""
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long for the file system, or with a NUL in it
        return False


def _of_parts(text: str, path: Path, where: str) -> SpecError:
    """That a pipeline is several models: which of its parts may be named, and of which the shape is missing."""
    models = _models_of(parse_object(text, where, what="a model_index.json"))
    here = exists(path)  # of the hub, its parts are not there to be named
    hint = _parts_here(models, path) if here else f"{_listed(models)}: download one, and name its folder"
    return SpecError(f"is a pipeline of several models: {hint}", where=where)


def _models_of(said: Mapping[str, object]) -> dict[str, str]:
    """The parts of a pipeline that have weights, with their classes."""
    pairs = {name: pair for name, pair in said.items() if isinstance(pair, list) and len(pair) == _PAIR}
    classes = {name: str(pair[1]) for name, pair in pairs.items() if pair[1]}
    return {name: cls for name, cls in classes.items() if not cls.endswith(_NO_MODELS)}


def _listed(models: Mapping[str, str]) -> str:
    return ", ".join(f"{called(name, 60)} ({called(cls, 60)})" for name, cls in models.items()) or "none"


def _parts_here(models: Mapping[str, str], path: Path) -> str:
    """What may be named of a pipeline in a folder."""
    found = {name: cls for name, cls in models.items() if exists(path.parent / name / "config.json")}
    if not found:
        return "none of them has a config.json here"
    texts = ", ".join(f"{called(str(path.parent / name), 120)} ({called(cls, 60)})" for name, cls in found.items())
    bare = ", ".join(called(name, 60) for name in models if name not in found)
    missing = f"; no config.json of {bare}: download it, because it gives the shape" if bare else ""
    return f"name the folder of one that reads text: {texts}{missing}"


_PAIR: Final = 2
_NO_MODELS: Final = ("Tokenizer", "TokenizerFast", "Scheduler", "Processor", "ProcessorFast", "Extractor")
"""What the names of classes of parts end with that have no weights."""


# ---- weights ----


def _weights(path: Path) -> Path | None:
    """The file of weights that a path is, or leads to; None where it is a text that describes a model."""
    if path.suffix.lower() in (".gguf", ".safetensors") or path.name.endswith(".safetensors.index.json"):
        return path
    if path.suffix or not is_file(path):
        return None
    try:
        with path.open("rb") as file:
            beginning = file.read(_BEGINNING)
    except OSError:  # whoever reads it as a text says why it cannot be read
        return None
    if beginning.startswith(b"GGUF"):  # Ollama's blobs have no suffix
        return path
    from tscale.models.ollama import weights_of

    return weights_of(beginning.decode("utf-8", "replace"), path)


_BEGINNING: Final = 64 * 1024


def _of_weights(path: Path, assume: str | None, *, strict: bool) -> ModelSpec | TowerSpec | Document:
    """The spec of the model in a file of weights: by its header, or by the config.json next to it."""
    from tscale.models.header_spec import gguf_spec, shapes_told

    if path.suffix != ".gguf" and ".safetensors" in path.name:
        beside = path.parent / "config.json"
        if exists(beside):
            return described(str(beside), assume, strict=strict)
        raise shapes_told(path)
    if assume is not None:
        raise RequestError(
            f"{field('assume')} is about a config.json, and {called(str(path))} is a file of weights: drop it"
        )
    return gguf_spec(path)
