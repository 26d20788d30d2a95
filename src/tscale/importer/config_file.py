"""Reads a `config.json`: strict JSON, nothing given twice."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tscale.errors import SpecError
from tscale.importer.json_file import is_bounded, parse_object
from tscale.importer.other_files import quantized_beside, said_beside
from tscale.importer.reader import imported
from tscale.models.spec import ModelSpec

if TYPE_CHECKING:
    from tscale.models.tower_spec import TowerSpec


def looks_like_config(text: str, path: Path) -> bool:
    """Whether a file holds a model's configuration rather than a spec: JSON that is named so, or says its family.

    Standard input has no name: what is JSON there is one, unless it has the keys of a spec.
    """
    if path.suffix.lower() == ".json":
        return True
    if text.lstrip()[:1] != "{":
        return False
    return '"model_type"' in text or (str(path) == "-" and _is_config(text))


MOST_BYTES: Final = 16 * 2**20  # some name each of their thousands of quantised modules
_SPEC_KEYS: Final = frozenset({"name", "d_model", "attention"})


def _is_config(text: str) -> bool:
    """Whether a text without a name is JSON that is no spec; YAML may begin like it."""
    if not is_bounded(text):
        return True  # what reads it says that it is too much
    try:
        return not _SPEC_KEYS.issubset(json.loads(text))
    except (ValueError, RecursionError):
        return False


def config_spec(
    text: str, path: Path, where: str, assume: str | None = None, *, strict: bool = False
) -> ModelSpec | TowerSpec:
    """The spec that a `config.json` describes, under its folder's name. Raises `SpecError`.

    `assume`: the family that it counts like where its own is not known. `strict`: as in `imported`.
    """
    try:
        return _config_spec(text, path, where, assume, strict)
    except SpecError as error:
        raise _located(error, text, where) from None


def _located(error: SpecError, text: str, where: str) -> SpecError:
    """An error with the line of the key that it is about, where it names one that stands in the file once."""
    message = error.text.removeprefix(f"{where}: ")
    named = re.match(r'(?:key )?"?([A-Za-z_][\w.]*)', message)
    start = None if named is None or error.where != where else _place_of(named[1].rstrip(".").split("."), text)
    if start is None:
        return error
    return SpecError(
        message, where=f"{where}:{text.count(chr(10), 0, start) + 1}:{start - text.rfind(chr(10), 0, start)}"
    )


def _place_of(path: list[str], text: str) -> int | None:
    """Where the key at the end of a path stands, or one on the way to it: the first that is in the text once.

    A module's name is one key, with dots. Paths of many steps stand in no file.
    """
    path = path[:_MOST_STEPS]
    for end in range(len(path), 0, -1):
        for start in range(end - 1, -1, -1):
            key = re.escape(".".join(path[start:end]))
            found = [*islice(re.finditer(rf'"{key}"\s*:', text), 2)]
            if len(found) == 1:
                return found[0].start()
    return None


_MOST_STEPS: Final = 6


def _config_spec(text: str, path: Path, where: str, assume: str | None, strict: bool) -> ModelSpec | TowerSpec:
    config = parse_object(text, where, what="a config.json", infinite=True)
    beside = quantized_beside(config, path)
    if beside is None:
        return spec_of_keys(config, path, where, assume, strict=strict)
    file, config["quantization_config"] = beside
    try:
        return spec_of_keys(config, path, where, assume, strict=strict)
    except SpecError as error:
        raise said_beside(error, where, file) from None


_UNTELLING: Final = frozenset({"config", "params", "model_config", "-", ""})
"""Names of files that say nothing of the model in them: their folder does."""


def spec_of_keys(
    config: dict[str, object], path: Path, where: str, assume: str | None = None, *, strict: bool = False
) -> ModelSpec | TowerSpec:
    """The spec that the keys of a file describe, under the file's name or its folder's. Raises `SpecError`."""
    stem = path.stem if path.stem not in _UNTELLING else path.parent.resolve().name
    name = stem.lower().replace("_", "-").replace(" ", "-") or "config"
    name = str(config.get("model_type", name)) if where == "standard input" else name
    if assume is None and _is_tower(config):
        from tscale.importer.towers.alone import tower_spec

        return tower_spec(config, name=name, where=where, strict=strict)
    return imported(config, name=name, where=where, assume=assume, strict=strict)


def _is_tower(config: Mapping[str, object]) -> bool:
    """Whether a file is of a tower alone; of Whisper, the class that has its encoder alone says so."""
    kind = str(config.get("model_type"))
    return kind in TOWERS_ALONE and (kind != "whisper" or config.get("architectures") == [_ENCODER_OF_WHISPER])


_ENCODER_OF_WHISPER: Final = "WhisperForAudioClassification"
TOWERS_ALONE: Final = frozenset({
    "vit", "vit_msn", "deit", "ijepa", "dinov2", "dinov2_with_registers", "dinov3_vit", "clip_vision_model",
    "siglip_vision_model", "wav2vec2", "hubert", "whisper",
})  # fmt: skip
"""The rows of `importer.towers.alone`, which is imported where a file is of one of them."""
