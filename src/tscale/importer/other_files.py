"""Files next to a model's own that describe no model's shape: what they are, and how some of them say that weights are quantised."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tscale.errors import SpecError, shown

_NAMED: Final = "name the config.json of the model"


def what_it_is(config: Mapping[str, object]) -> str:
    """What a JSON file without a family is, by its keys, and what to name instead; nothing where that cannot be told."""
    cls, metadata = config.get("_class_name"), config.get("metadata")
    if "_diffusers_version" in config and isinstance(cls, str):
        if cls.endswith("Scheduler"):
            return f"says how a {shown(cls)} takes its steps, and no shape: {_NAMED}"
        return f"is a {shown(cls)} of diffusers, whose shape is not known: of a pipeline only what is transformers' own is, such as its text encoders"
    if isinstance(metadata, Mapping) and "GGUF.version" in metadata:
        return "is a listing of a GGUF file: name the .gguf file itself"
    if {"bits", "group_size"} <= config.keys() or {"w_bit", "q_group_size"} <= config.keys():
        return f"says how weights are quantised, and no shape: {_NAMED} next to it"
    if {"image_mean", "image_processor_type", "feature_extractor_type", "processor_class"} & config.keys():
        return f"says how images or sounds are prepared, and no shape: {_NAMED}"
    if "transformers_version" in config and {"eos_token_id", "temperature", "max_length"} & config.keys():
        return f"says how text is generated, and no shape: {_NAMED} next to it"
    return ""


def what_recipe_it_is(data: object) -> str:
    """What a YAML file that is no spec is; nothing where that cannot be told."""
    model = data.get("model") if isinstance(data, Mapping) else None
    if isinstance(model, Mapping) and "trainer" in data and {"num_layers", "hidden_size"} & model.keys():  # type: ignore[operator]
        return (
            "is a training recipe of NeMo, whose vocabulary is that of a tokenizer it does not hold: write its sizes into a spec, as "
            "`tscale show gpt3` prints one"
        )
    return ""


_GPTQ: Final = ("bits", "group_size", "desc_act", "sym", "lm_head", "checkpoint_format", "dynamic")
_AWQ: Final = {"bits": "w_bit", "group_size": "q_group_size", "zero_point": "zero_point", "version": "version"}


def quantized_beside(config: Mapping[str, Any], path: Path) -> tuple[Path, dict[str, Any]] | None:
    """The file of its own that a model's tool wrote its quantization_config into, and that; None where there is none.

    AutoGPTQ wrote quantize_config.json, and AutoAWQ quant_config.json, next to a config.json without one, and engines still read them.
    Raises `SpecError` for such a file that is no JSON.
    """
    from tscale.importer.json_file import parse_object
    from tscale.models.yaml_file import read_text

    if path.name != "config.json" or {"quantization_config", "compression_config"} & config.keys():
        return None
    for name in ("quantize_config.json", "quant_config.json"):
        file = path.with_name(name)
        if file.is_file():
            said = parse_object(read_text(str(file)), str(file), what=f"a {name}", infinite=True)
            if {"bits", "group_size"} <= said.keys():
                return file, {"quant_method": "gptq", **{key: said[key] for key in _GPTQ if key in said}}
            if {"w_bit", "q_group_size"} <= said.keys():
                return file, {"quant_method": "awq", **{new: said[old] for new, old in _AWQ.items() if old in said}}
    return None


def said_beside(error: SpecError, where: str, file: Path) -> SpecError:
    """An error about the quantization_config of the configuration `where`, where it stands in a `file` of its own, by its keys there."""
    key, name = "quantization_config.", error.text.removeprefix(f"{where}: ")
    if not name.startswith(key):
        return error
    name = name.removeprefix(key)
    own = _AWQ if file.name == "quant_config.json" else {}
    first, rest = re.split(r"\b", name, maxsplit=2)[1:]
    return SpecError(own.get(first, first) + rest, where=str(file))
