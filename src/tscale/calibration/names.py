"""What the names in a table of measured runs mean: built-in models and shipped accelerators, never the network."""

from __future__ import annotations

from functools import cache
from typing import Final

from tscale.catalogue.hardware import Hardware, find_hardware, known_hardware
from tscale.catalogue.models import built_in, known_name, names_and_aliases, normalised
from tscale.errors import UnknownNameError, nearest, shown
from tscale.models.spec import ModelSpec

_TUNED: Final = ("-instruct", "-base", "-chat", "-it", "-hf")
_CONVERTED: Final = ("-v2", "-fp8", "-nvfp4", "-fp4", "-mxfp4", "-int4", "-awq", "-gptq", "-bf16")
_SAME_SHAPE: Final = {
    "deepseek-r1": "deepseek-v3",
    "deepseek-r1-0528": "deepseek-v3",
    "deepseek-v3-0324": "deepseek-v3",
    "deepseek-v3.1": "deepseek-v3",
    "deepseek-v3.1-terminus": "deepseek-v3",
    "kimi-k2.6": "kimi-k2.5",
    "kimi-k2-thinking": "kimi-k2.5",
    "kimi-k2-0905": "kimi-k2",
    "minimax-m2.7": "minimax-m2.5",
    "glm-5.1": "glm-5",
    "llama-3.3-70b": "llama-3.1-70b",
    "meta-llama-3.1-8b": "llama-3.1-8b",
    "meta-llama-3.1-70b": "llama-3.1-70b",
    "meta-llama-3.1-405b": "llama-3.1-405b",
    "qwen3-235b-a22b-2507": "qwen3-235b-a22b",
    "qwen3-235b-a22b-instruct-2507": "qwen3-235b-a22b",
    "qwen3-235b-a22b-thinking-2507": "qwen3-235b-a22b",
}
"""Releases that are trained further from a built-in model, of the same shape."""


@cache
def model_of(name: str) -> ModelSpec:
    """The built-in model of a repository's name, `org/Name-Instruct-FP8`. Raises `UnknownNameError`."""
    wanted = _shape_name(name)
    known = known_name(wanted)
    spec = None if known is None else built_in(known)
    if not isinstance(spec, ModelSpec):
        hint = nearest(wanted, names_and_aliases())
        raise UnknownNameError(f"model {shown(name)} is no built-in one: {hint}")
    return spec


def _shape_name(name: str) -> str:
    """A name without its organisation, and without how it was tuned or converted."""
    wanted = normalised(name.rpartition("/")[2])
    found = known_name(wanted) or _SAME_SHAPE.get(wanted)
    while found is None:
        shorter = next((wanted.removesuffix(end) for end in (*_CONVERTED, *_TUNED) if wanted.endswith(end)), wanted)
        if shorter == wanted:
            return wanted
        wanted = shorter
        found = known_name(wanted) or _SAME_SHAPE.get(wanted)
    return found


@cache
def hardware_of(name: str) -> Hardware:
    """The shipped accelerator of a name such as `b200_sxm`. Raises `UnknownNameError`."""
    known = known_hardware(name)
    if known is None:
        raise UnknownNameError(
            f"gpu {shown(name)} is no shipped accelerator: `tscale list hardware` names those that are"
        )
    return find_hardware(known)
