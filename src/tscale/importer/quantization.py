"""What a `config.json` says of the formats of its weights: `quantization_config` and its kin.

What is not read is said, and counted as unconverted: never fewer bytes than there are, and never without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from tscale.errors import SpecError, called, shown
from tscale.importer.converted import rules_of
from tscale.importer.quantization_methods import READERS, Said, cache_of
from tscale.models.spec import ModelSpec
from tscale.models.weights_spec import Release

KEYS: Final = ("quantization_config", "compression_config", "quantization", "quant_config")
"""Where it stands: in the file or in its `text_config`; the first that is there."""


def release_of(config: Mapping[str, object], spec: ModelSpec, family: str, where: str) -> Release | None:
    """The formats that a file says that its weights are in; None where it says none. Raises `SpecError`.

    `family`: that of the model that is counted, whose words for modules the file has.
    """
    text = config.get("text_config")
    places = (config, text if isinstance(text, Mapping) else {})
    found = [(key, place[key]) for place in places for key in KEYS if place.get(key) is not None]
    if not found:
        return None
    key, data = next((pair for pair in found if pair[1]), found[0])
    if not isinstance(data, Mapping):
        raise SpecError(f"{key} must be an object, not {shown(data)}", where=where)
    release = _release(Said(key, data, where), config, spec, family)
    return replace(release, unread=tuple(called(text) for text in release.unread))  # names of the file's are in them


def _release(said: Said, config: Mapping[str, object], spec: ModelSpec, family: str) -> Release:
    method, rest = _method(said), _rest(config)
    reader = READERS.get(method)
    if reader is None:
        of_method = (_unread_method(said, method),)
        return Release(method=called(method, 80).strip() or None, unread=of_method, rest=rest)
    found = reader(said)
    format, rules, unmatched = rules_of(spec, found, family, rest)
    unread = found.unread + tuple(f"{said.key}: {text}" for text in unmatched)
    cache = found.cache
    if method != "modelopt":
        cache, of_cache = cache_of(said)
        unread += of_cache
    return Release(method=method, format=format, rules=rules, rest=rest, cache=cache, unread=unread)


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
