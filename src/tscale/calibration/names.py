"""What the names in a table of measured runs mean: built-in models and shipped accelerators, never the network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from tscale.catalogue.hardware import Hardware, find_hardware, known_hardware
from tscale.catalogue.models import built_in, known_name, names_and_aliases, normalised
from tscale.errors import UnknownNameError, nearest, shown
from tscale.models.spec import ModelSpec

_TUNED: Final = ("-instruct", "-base", "-chat", "-it", "-hf", "-thinking", "-2507")
_CONVERTED: Final = (
    "-v2", "-fp8", "-fp8-dynamic", "-nvfp4", "-fp4", "-mxfp4", "-int4", "-int8", "-awq", "-gptq", "-bf16", "-bnb-4bit",
    "-w4a16", "-w8a8", "-w8a16", "-4bit", "-8bit", "-gguf", "-mlx",
)  # fmt: skip
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
    "llama-4-maverick-17b-128e": "llama-4-maverick",
    "llama-4-scout-17b-16e": "llama-4-scout",
    "mistral-7b-instruct-v0.1": "mistral-7b",
    "mixtral-8x7b-instruct-v0.1": "mixtral-8x7b",
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
    """The shipped accelerator of a name such as `b200_sxm`, or as its driver prints it. Raises `UnknownNameError`."""
    known = next((known for spelt in _spellings(name) if (known := known_hardware(spelt)) is not None), None)
    if known is None:
        raise UnknownNameError(
            f"gpu {shown(name)} is no shipped accelerator: `tscale list hardware` names those that are"
        )
    return find_hardware(known)


_MAKERS: Final = ("nvidia", "amd", "instinct", "geforce", "tesla", "hbm2", "hbm2e", "hbm3", "hbm3e")
_MEMORY: Final = re.compile(r"(\d+)gb")


def _spellings(name: str) -> Iterator[str]:
    """A name as it is, and what `NVIDIA A100-SXM4-40GB` may stand for.

    That is it without its maker and the kind of its memory; without the bytes of its memory, if an accelerator of what is left has
    as many; and without `sxm`, which says nothing of what is made in one form alone.
    """
    yield name
    words = [re.sub(r"^sxm\d$", "sxm", word) for word in normalised(name).split("-") if word not in _MAKERS]
    yield "-".join(words)
    plain = [word for word in words if not _MEMORY.fullmatch(word)]
    said = [int(word[:-2]) for word in words if _MEMORY.fullmatch(word)]
    for shorter in ("-".join(plain), "-".join(word for word in plain if word != "sxm")):
        known = known_hardware(shorter)
        if known is not None and all(_has(known, gigabytes) for gigabytes in said):
            yield shorter


def _has(name: str, gigabytes: int) -> bool:
    """Whether a shipped accelerator has so much memory, as its vendor writes it."""
    return int(find_hardware(name).memory_gb) == gigabytes
