"""Which matrices peft's target_modules name: by the modules that a family's own code has, as recorded in `modules.json`.

peft adapts every linear module whose path is a target, or ends with one behind a dot; of "all-linear" all of them but the head; of
several patterns of ranks the first that a path ends with counts (src/peft/tuners/tuners_utils.py, src/peft/utils/other.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from tscale.errors import SpecError, shown

_ATTENTION: Final = r"self_attn|attn|attention|self_attention"
_MLP: Final = r"mlp|ffn|feed_forward"
_ENDS: Final[tuple[tuple[str, str], ...]] = (
    *((rf"({_ATTENTION})\.{name}_proj", name) for name in "qkv"),
    (rf"({_ATTENTION})\.(qkv_proj|query_key_value|c_attn|Wqkv)", "qkv"),
    (rf"({_ATTENTION})\.(o_proj|out_proj|dense|c_proj)", "o"),
    (rf"(({_MLP})\.)?(up_proj|fc1|c_fc|dense_h_to_4h|fc_in)", "up"),
    (rf"({_MLP})\.gate_proj", "gate"),
    (rf"({_MLP})\.gate_up_proj", "gate_up"),
    (rf"(({_MLP})\.)?(down_proj|fc2|c_proj|dense_4h_to_h|fc_out)", "down"),
)
"""Modules of a layer, and the target of an adapter (`tscale.models.adapter_spec`) that each is."""
_IN_A_LAYER: Final = re.compile(r".*?\{\}\.(.+)")


class Module(NamedTuple):
    """A linear module of each layer: its path with {} for the number of the layer, and what it is to an adapter."""

    path: str
    target: str


@cache
def modules_of(family: str) -> tuple[Module, ...]:
    """The linear modules of a family's layers; nothing of one that has others too, or whose layers differ."""
    names = json.loads((files("tscale.importer") / "modules.json").read_text(encoding="utf-8")).get(family, ())
    found = [Module(name, target) for name in names if (target := _target_of(name)) is not None]
    return tuple(found) if len(found) == len(names) else ()


def _target_of(path: str) -> str | None:
    inside = _IN_A_LAYER.fullmatch(path)
    ends = () if inside is None else _ENDS
    return next((target for end, target in ends if inside and re.fullmatch(end, inside[1])), None)


def chosen(modules: Iterable[Module], said: object, where: str) -> tuple[Module, ...]:
    """The modules that target_modules names. Raises `SpecError` where it names none, or layers by number."""
    every = tuple(modules)
    if isinstance(said, str):
        if said != "all-linear":
            raise SpecError(
                f"target_modules {shown(said)} is a pattern, which is not known yet: a list of names, such as q_proj, or all-linear",
                where=where,
            )
        return every
    names = said if isinstance(said, list) and all(isinstance(name, str) for name in said) else None
    if names is None:
        raise SpecError(f"target_modules must be a list of names, such as q_proj, not {shown(said)}", where=where)
    for name in names:
        if re.search(r"(^|\.)\d+(\.|$)", name):
            raise SpecError(f"target_modules: {shown(name)} is of one layer, which is not known yet", where=where)
    found = tuple(one for one in every if any(one.path == name or one.path.endswith(f".{name}") for name in names))
    if not found:
        have = ", ".join(dict.fromkeys(one.path.rpartition(".")[2] for one in every))
        raise SpecError(f"target_modules names no modules of this model: it has {have}", where=where)
    return found


_PATTERN: Final = re.compile(r"\^?[A-Za-z_][A-Za-z0-9_]*((\\)?\.[A-Za-z_][A-Za-z0-9_]*)*")


def ranks_of(modules: Iterable[Module], said: object, where: str) -> dict[str, int]:
    """The ranks of rank_pattern, by target. Raises `SpecError` for patterns that are more than the end of a path."""
    if said in (None, {}):
        return {}
    if not isinstance(said, Mapping):
        raise SpecError(f"rank_pattern must be a mapping of names to ranks, not {shown(said)}", where=where)
    found: dict[str, int] = {}
    for pattern, rank in said.items():
        if not _PATTERN.fullmatch(pattern):
            raise SpecError(
                f"rank_pattern: {shown(pattern)} is not known yet: only ends of a module's path are, such as q_proj",
                where=where,
            )
        if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
            raise SpecError(f"rank_pattern: a rank is a whole number from 1, not {shown(rank)}", where=where)
        for one in modules:
            if re.fullmatch(rf"(.*\.)?({pattern})", one.path):
                found.setdefault(one.target, rank)
    return found
