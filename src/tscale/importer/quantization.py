"""What a `config.json` says of the formats of its weights: `quantization_config` and its kin.

What is not read is said, and counted as unconverted: never fewer bytes than there are, and never without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tscale.errors import SpecError, shown
from tscale.importer.converted import rules_of
from tscale.importer.quantization_methods import READERS, Said, cache_of
from tscale.models.spec import ModelSpec, Release

KEYS: Final = ("quantization_config", "compression_config", "quantization", "quant_config")
"""Where it stands: in the file or in its `text_config`; the first that is there."""


def release_of(config: Mapping[str, object], spec: ModelSpec, family: str, where: str) -> Release | None:
    """The formats that a file says that its weights are in; None where it says none. Raises `SpecError`.

    `family`: that of the model that is counted, whose words for modules the file has.
    """
    text = config.get("text_config")
    for place in (config, text if isinstance(text, Mapping) else {}):
        for key in KEYS:
            data = place.get(key)
            if data:
                if not isinstance(data, Mapping):
                    raise SpecError(f"{key} must be an object, not {shown(data)}", where=where)
                return _release(Said(key, data, where), config, spec, family)
    return None


def _release(said: Said, config: Mapping[str, object], spec: ModelSpec, family: str) -> Release:
    method = _method(said)
    reader = READERS.get(method)
    if reader is None:
        return Release(method=method or None, unread=(_unread_method(said, method),), rest=_rest(config))
    found = reader(said)
    rest = _rest(config)
    format, rules, unmatched = rules_of(spec, found, family, rest)
    unread = found.unread + tuple(f"{said.key}: {text}" for text in unmatched)
    return Release(
        method=method, format=format, rules=rules, rest=rest, cache=found.cache or cache_of(said), unread=unread
    )


def _unread_method(said: Said, method: str) -> str:
    return f"{said.key}: the method {shown(method)} is not read here" if method else f"{said.key}: it names no method"


def _method(said: Said) -> str:
    """The method's name in lower case; by its own keys where it is not named."""
    named = said.text("quant_method").lower()
    own = (
        ("modelopt", ("quant_algo",)),
        ("compressed-tensors", ("config_groups",)),
        ("awq", ("w_bit",)),
        ("gptq", ("desc_act",)),
        ("bitsandbytes", ("load_in_4bit",)),
        ("bitsandbytes", ("load_in_8bit",)),
        ("awq", ("zero_point",)),
        ("mlx", ("group_size", "bits")),
    )
    found = next((name for name, keys in own if all(key in said.data for key in keys)), "")
    named = {"modelopt_fp4": "modelopt", "modelopt_mixed": "modelopt", "compressed_tensors": "compressed-tensors"}.get(
        named, named
    )
    return named or found


def _rest(config: Mapping[str, object]) -> Any:
    """The format of 16 bits that a file names, bf16 where it names none."""
    text = config.get("text_config")
    for place in (config, text if isinstance(text, Mapping) else {}):
        for key in ("torch_dtype", "dtype"):
            if place.get(key) is not None:
                return "fp16" if place[key] in ("float16", "torch.float16", "half") else "bf16"
    return "bf16"
