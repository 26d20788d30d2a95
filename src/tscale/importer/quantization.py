"""What a `config.json` says of the formats of its weights: `quantization_config` and its kin.

What is not read is said, and counted as unconverted: never fewer bytes than there are, and never without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from tscale.errors import SpecError, called, shown
from tscale.importer.converted import rules_of
from tscale.importer.quantization_methods.modules import cache_of
from tscale.importer.quantization_methods.readers import READERS
from tscale.importer.quantization_methods.said import Said
from tscale.models.naming import labelled
from tscale.models.spec import ModelSpec
from tscale.models.weights_spec import Release, WeightRule

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


_STATES: Final = ("mamba_ssm_dtype", "mamba_ssm_cache_dtype")
_FORMATS: Final = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


def states_of(config: Mapping[str, object], where: str) -> Any:
    """The format that a file says that recurrent states are kept in, by its name in a spec; None where it says none. Raises `SpecError`."""
    text = config.get("text_config")
    for place in (config, text if isinstance(text, Mapping) else {}):
        for key in _STATES:
            said = place.get(key)
            if not isinstance(said, str) or said == "auto":  # no class reads it, and what an engine reads is a name
                continue
            if said.removeprefix("torch.") not in _FORMATS:
                raise SpecError(f"{key} must be one of {', '.join(_FORMATS)}, not {shown(said)}", where=where)
            return _FORMATS[said.removeprefix("torch.")]
    return None


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
    if family == "deepseek_v4" and method == "fp8":
        rules = (*_of_deepseek_v4(config, said, spec), *rules)
    return Release(method=method, format=format, rules=rules, rest=rest, cache=cache, unread=unread)


def _of_deepseek_v4(config: Mapping[str, object], said: Said, spec: ModelSpec) -> tuple[WeightRule, ...]:
    """What DeepSeek-V4's files keep otherwise than in 8 bits: experts in 4 where they say so, what makes compressed keys in 16.

    Four bits have a scale for 32 numbers: of V4-Pro's files, that alone gives the 862e9 numbers which the hub counts in them, two
    experts' numbers packed in one. transformers 5.24.0 lists what is kept in 16 and in 32 bits (`_keep_in_fp32_modules`).
    """
    experts = tuple(
        f"{label}.{matrix}" for label, _ in labelled(spec.feed_forwards) for matrix in ("up", "gate", "down")
    )
    far = [label for label, mixer in labelled(spec.mixers) if getattr(mixer, "ratio", None) is not None]
    picked = [label for label, mixer in labelled(spec.mixers) if getattr(mixer, "index_heads", None) is not None]
    kept = [f"{label}.compressed" for label in far]
    kept += [f"{label}.index.{matrix}" for label in picked for matrix in ("kv", "weights", "heads")]
    found = [WeightRule(format="bf16", parts=tuple(kept))] if kept else []
    found.append(WeightRule(format="fp32", parts=("streams",)))
    four = "fp4" in (config.get("expert_dtype"), said.data.get("expert_dtype"))
    if four and said.data.get("quantized_layers") is None:
        found.append(WeightRule(format="mxfp4", parts=experts))
    return tuple(found)


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
