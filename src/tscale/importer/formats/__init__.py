"""Files of other programs that say a model's shape: one entry each, and which of them a file is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tscale.importer.config_keys import Config
from tscale.importer.formats.deepseek import DEEPSEEK
from tscale.importer.formats.format import Format
from tscale.importer.formats.litgpt import LITGPT
from tscale.importer.formats.mamba import MAMBA
from tscale.importer.formats.meta import META
from tscale.importer.formats.mistral import MISTRAL, MISTRAL_MAMBA
from tscale.importer.formats.nanogpt import NANOGPT
from tscale.importer.formats.tensorrt_llm import TENSORRT_LLM

FORMATS: Final = (MISTRAL_MAMBA, MISTRAL, DEEPSEEK, META, MAMBA, LITGPT, NANOGPT, TENSORRT_LLM)
"""A file is of the first whose keys it has."""


def format_of(config: Mapping[str, object]) -> Format | None:
    """The format of a file that says no model_type of transformers; None where it is none that is known."""
    said = config.get("model_type")
    named = None if said is None else said if isinstance(said, str) else ""
    return next((one for one in FORMATS if named in one.model_types and one.told_by <= config.keys()), None)


def translated(config: Mapping[str, object], found: Format, where: str) -> dict[str, object]:
    """The `config.json` that says what a file of another format says. Raises `SpecError` for a key that is not known."""
    assert found.translated is not None, "the format has a row of its own"
    read = Config(config, found.title, found.row, where)
    read.passed_over()
    return found.translated(read)
