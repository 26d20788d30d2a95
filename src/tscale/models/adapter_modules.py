"""Which matrices peft's target_modules name: by the modules that a family's own code has, as recorded in `modules.json`.

peft adapts every linear module whose path is a target, or ends with one behind a dot; of "all-linear" all of them but the head; of
several patterns of ranks the first that a path ends with counts (src/peft/tuners/tuners_utils.py, src/peft/utils/other.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from tscale.errors import SpecError, nearest, shown
from tscale.importer.layer_lists import MOST_LAYERS
from tscale.importer.pattern_machine import Budget, Machine, Overspent, whole_machine
from tscale.models.adapter_spec import TargetLayers

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
    """A linear module of each layer: its path with {} for the number of the layer, and what it is to an adapter, where that is known."""

    path: str
    target: str | None


@cache
def modules_of(family: str) -> tuple[Module, ...]:
    """The linear modules of a family's layers; nothing of one of which none is known, or that stand elsewhere too."""
    names = json.loads((files("tscale.importer") / "modules.json").read_text(encoding="utf-8")).get(family, ())
    found = tuple(Module(name, _target_of(name)) for name in names)
    in_layers = all(_IN_A_LAYER.fullmatch(name) for name in names)
    return found if in_layers and any(one.target for one in found) else ()


def _target_of(path: str) -> str | None:
    inside = _IN_A_LAYER.fullmatch(path)
    ends = () if inside is None else _ENDS
    return next((target for end, target in ends if inside and re.fullmatch(end, inside[1])), None)


class Chosen(NamedTuple):
    """What target_modules and the keys beside it choose: matrices with the rank of their adapters and the layers that have them."""

    places: tuple[TargetLayers, ...]
    notes: tuple[str, ...]


class _Names:
    """Which paths of modules a value of target_modules or exclude_modules means, as peft's check_target_module_exists has it."""

    def __init__(self, key: str, said: object, where: str) -> None:
        self._names: frozenset[str] = frozenset()
        self._machine: Machine | None = None
        if isinstance(said, str):
            self._machine = _machine(key, said, where)
        elif isinstance(said, list) and said and all(isinstance(name, str) for name in said):
            self._names = frozenset(said)
        else:
            raise SpecError(f"{key} must be a list of names, such as q_proj, not {shown(said)}", where=where)
        self._budget = Budget(_MOST_STEPS)

    def mean(self, path: str) -> bool:
        """Whether a path is one of the names, ends with one behind a dot, or is of the pattern."""
        if self._machine is not None:
            return self._machine.matches(path, self._budget)
        steps = path.split(".")
        return any(".".join(steps[first:]) in self._names for first in range(len(steps)))


def chosen(modules: Iterable[Module], config: Mapping[str, object], rank: int, layers: int, where: str) -> Chosen:
    """The matrices that an adapter_config.json chooses, in a model of so many layers. Raises `SpecError` where it chooses none."""
    every = tuple(modules)
    if layers > MOST_LAYERS:
        raise SpecError(
            f"adapters are chosen in models of up to {MOST_LAYERS:,} layers: this one has {layers:,}", where=where
        )
    chooses, ranks = _choice(config, where), _ranks(config.get("rank_pattern"), where)
    budget = Budget(_MOST_STEPS_OF_RANKS)
    found: dict[tuple[str, int], list[int]] = {}
    met: set[str] = set()
    try:
        for module in every:
            for layer in range(layers):
                path = module.path.replace("{}", str(layer))
                if chooses(path):
                    found.setdefault(
                        (_known(module, every, where), _rank_at(path, ranks, rank, met, budget)), []
                    ).append(layer)
    except Overspent:
        raise SpecError(
            "the patterns of these adapters take too many steps to match: name modules instead", where=where
        ) from None
    if not found:
        raise SpecError(_nothing(every, config), where=where)
    places = tuple(TargetLayers(target=target, rank=of, layers=tuple(on)) for (target, of), on in found.items())
    unread = ", ".join(shown(name) for name in ranks if name not in met)
    note = f"rank_pattern: no module that has an adapter is called {unread}: peft passes it over."
    return Chosen(places, (note,) if unread else ())


def _choice(config: Mapping[str, object], where: str) -> Callable[[str], bool]:
    """Whether the module of a path has an adapter, as the keys that choose among modules say."""
    said, left_out = config.get("target_modules"), config.get("exclude_modules")
    wanted = None if said == "all-linear" else _Names("target_modules", said, where)
    without = _Names("exclude_modules", left_out, where) if left_out else None
    numbers = _numbers(config, said, where)

    def chooses(path: str) -> bool:
        named = wanted is None or wanted.mean(path)
        return named and not (without is not None and without.mean(path)) and numbers(path)

    return chooses


def _known(module: Module, every: tuple[Module, ...], where: str) -> str:
    if module.target is None:
        known = ", ".join(dict.fromkeys(one.path.rpartition(".")[2] for one in every if one.target is not None))
        raise SpecError(
            f"target_modules: {module.path} is a module that is not known yet of adapters on this model: only {known} are",
            where=where,
        )
    return module.target


def _nothing(every: tuple[Module, ...], config: Mapping[str, object]) -> str:
    """What is said where no module is chosen: what the model has, and the nearest of it to a name that was given."""
    said = config.get("target_modules")
    have = list(dict.fromkeys(one.path.rpartition(".")[2] for one in every))
    if isinstance(said, str):
        an_example = every[0].path.replace("{}", "0")
        return f"target_modules {shown(said)} matches no module of this model, such as {an_example}: it has {', '.join(have)}"
    names = [str(name).rpartition(".")[2] for name in said] if isinstance(said, list) else []
    if any(name in have for name in names):
        keys = [
            key for key in ("layers_to_transform", "layers_pattern", "exclude_modules") if config.get(key) is not None
        ]
        beside = f" that {' and '.join(keys)} leave{'s' if len(keys) == 1 else ''}" if keys else " of such a path"
        return f"target_modules names no modules of this model{beside}: {every[0].path} is one, {{}} the number of its layer"
    hints = [hint for name in names if (hint := nearest(name, have)).startswith("did")]
    return f"target_modules names no modules of this model: it has {', '.join(have)}{': ' + hints[0] if hints else ''}"


def _numbers(config: Mapping[str, object], said: object, where: str) -> Callable[[str], bool]:
    """Whether layers_to_transform and layers_pattern have the layer of a path."""
    only, pattern = config.get("layers_to_transform"), config.get("layers_pattern")
    if only is None or only == []:
        if pattern:
            raise SpecError(
                "layers_pattern says nothing without layers_to_transform: set that too, or drop it", where=where
            )
        return lambda _: True
    if isinstance(said, str):
        raise SpecError(
            "layers_to_transform is read next to a list of names alone: write the layers into the pattern of target_modules, or list names",
            where=where,
        )
    listed = only if isinstance(only, list) else [only]
    if not all(type(number) is int and number >= 0 for number in listed):
        raise SpecError(f"layers_to_transform must be numbers of layers from 0, not {shown(only)}", where=where)
    at = _layer_in(pattern, where)
    numbers = frozenset(listed)

    def has(path: str) -> bool:
        found = at.match(path)
        return found is not None and int(found["number"]) in numbers

    return has


def _layer_in(pattern: object, where: str) -> re.Pattern[str]:
    """What finds the number of a path's layer: behind one of the names of layers_pattern, or behind the first step that has one."""
    names = [pattern] if isinstance(pattern, str) else pattern or []
    if not isinstance(names, list) or not all(isinstance(name, str) and re.fullmatch(r"\w+", name) for name in names):
        raise SpecError(
            f"layers_pattern must be the name of a list of layers, such as layers, not {shown(pattern)}", where=where
        )
    before = "|".join(map(str, names)) or r"[^.]*"
    return re.compile(rf"(?:^|.*?\.)(?:{before})\.(?P<number>\d+)\.")


def _ranks(said: object, where: str) -> dict[str, tuple[Machine, int]]:
    """The patterns of rank_pattern with the rank of each: one is of the end of a path, or with ^ of all of it."""
    if said in (None, {}):
        return {}
    if not isinstance(said, Mapping):
        raise SpecError(f"rank_pattern must be a mapping of names to ranks, not {shown(said)}", where=where)
    found = {}
    for pattern, rank in said.items():
        whole = pattern if pattern.startswith("^") else rf"(.*\.)?({pattern.removesuffix('$')})"
        machine = _machine("rank_pattern", whole, where, pattern)
        if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
            raise SpecError(f"rank_pattern: a rank is a whole number from 1, not {shown(rank)}", where=where)
        found[pattern] = (machine, rank)
    return found


def _rank_at(path: str, ranks: Mapping[str, tuple[Machine, int]], usual: int, met: set[str], budget: Budget) -> int:
    for pattern, (machine, rank) in ranks.items():
        if machine.matches(path, budget):
            met.add(pattern)
            return rank
    return usual


def _machine(key: str, text: str, where: str, called: str | None = None) -> Machine:
    found = whole_machine(text)
    if found is None:
        raise SpecError(
            f"{key}: the pattern {shown(text if called is None else called)} is not read: it may have up to 300 characters, classes of "
            "them, groups, alternatives, * + ? and what looks ahead, such as .*\\.[0-3]\\..*(q|v)_proj",
            where=where,
        )
    return found


_MOST_STEPS: Final = 4_000_000
"""Steps that matching one pattern to all modules may take, so that none holds a command up."""
_MOST_STEPS_OF_RANKS: Final = 6 * _MOST_STEPS
"""The same of all patterns with a rank: a file may have one for each module of each layer."""
