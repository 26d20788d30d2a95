"""peft's adapter_config.json as MODEL: the model that it names, with its adapters.

Source: https://github.com/huggingface/peft, src/peft/tuners/lora/config.py.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from tscale.blocks.fields import MOST_SIZE
from tscale.core.ledger import Matmul
from tscale.errors import SpecError, TscaleError, called, shown
from tscale.importer.config_file import MOST_BYTES
from tscale.importer.config_keys import is_size
from tscale.importer.families import FAMILIES
from tscale.importer.json_file import parse_object
from tscale.models.adapter_modules import Module, chosen, modules_of
from tscale.models.adapter_spec import Adapter, TargetRank
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec
from tscale.models.yaml_file import read_text

_TARGETS: Final = {
    "q_proj": "q", "k_proj": "k", "v_proj": "v", "o_proj": "o", "out_proj": "o", "up_proj": "up", "gate_proj": "gate",
    "down_proj": "down", "fc1": "up", "fc2": "down", "q": "q", "k": "k", "v": "v", "o": "o", "wi": "up", "wi_0": "gate",
    "wi_1": "up",
}  # fmt: skip
"""Modules of transformers that hold one matrix each, by the names of adapters' targets."""
_PLAIN: Final[Mapping[str, object]] = {
    "bias": "none", "lora_bias": False, "layers_to_transform": None, "layers_pattern": None, "rank_pattern": {},
    "exclude_modules": None, "trainable_token_indices": None, "target_parameters": None, "megatron_config": None,
    "layer_replication": None, "use_qalora": False, "alora_invocation_tokens": None,
    "use_bdlora": None, "arrow_config": None, "kasa_config": None, "monteclora_config": None, "velora_config": None,
}  # fmt: skip
"""Keys that add, move or take away parameters, and the values with which they do not; other values are not known yet."""


_ELSEWHERE: Final = (
    "Its adapters are counted by params, `tscale train` and `tscale memory --train`; every other answer is that of the model "
    "without them, into which they can be merged."
)


def adapted(text: str, path: Path, where: str) -> ModelSpec:
    """The spec of the model that an adapter_config.json names, with its adapters. Raises `TscaleError`."""
    if _ADAPTED.get():
        raise SpecError("holds adapters, not a model", where=where)
    config = parse_object(text, where, what="an adapter_config.json", infinite=True)
    base = _base(config, path, where)
    modules = _modules(base, config, path)
    adapter, notes = _adapter(config, modules, int(base.layers), where)
    if not modules:
        _refuse_other_names(base, adapter, _names(config), where)
    spec = replace(
        base,
        name=path.parent.resolve().name.lower().replace("_", "-").replace(" ", "-") or base.name,
        title=base.label,
        aliases=(),
        adapter=adapter,
        notes=(*base.notes, *notes, _ELSEWHERE),
    )
    if "head" in adapter.whole and base.head.kind != "language-model":
        raise SpecError(f"modules_to_save: {base.label} has no lm_head", where=where)
    if not modules:
        _refuse_shared_names(base, adapter, _names(config), where)
    for problem_path, message in adapter.problems(spec.d_model):
        raise SpecError(f"{'.'.join(map(str, problem_path))}: {message}", where=where)
    if not adapter.on(lower(base)).entries:
        raise SpecError(f"target_modules: {base.label} has no {' and no '.join(adapter.targets)} to adapt", where=where)
    return spec


def _modules(base: ModelSpec, config: Mapping[str, object], path: Path) -> tuple[Module, ...]:
    """The linear modules of a model of plain attention whose config.json is next to its adapters; nothing of others, which names tell."""
    plain = all(mixer.kind in _PLAIN_MIXERS for mixer in base.mixers)
    if isinstance(config.get("target_modules"), str) and any(mlp.kind != "dense" for mlp in base.feed_forwards):
        return ()  # peft makes of a pattern, and of all-linear, targets among the experts, which stand in no module of their own
    file = Path(_base_path(path, str(config.get("base_model_name_or_path")))) / "config.json"
    if not plain or base.towers or base.kind != "decoder" or not _is_there(file):
        return ()
    family = parse_object(read_text(str(file), MOST_BYTES), str(file), what="a config.json", infinite=True).get(
        "model_type"
    )
    found = modules_of(family) if isinstance(family, str) else ()
    row = FAMILIES.get(str(family))
    if row is None or row.experts is None:
        return found
    return tuple(one._replace(target=None) if one.target in _OF_FEED_FORWARDS else one for one in found)


_OF_FEED_FORWARDS: Final = frozenset({"up", "gate", "down", "gate_up"})
"""What peft takes for matrices of experts in a family that has some, in layers without any too."""
_PLAIN_MIXERS: Final = frozenset({"multi-head"})


def _adapter(
    config: Mapping[str, object], modules: tuple[Module, ...], layers: int, where: str
) -> tuple[Adapter, tuple[str, ...]]:
    _refuse_unknown(config, _CHOOSE if modules else (), where)
    rank, base = config.get("r", 8), config.get("base_model_name_or_path")
    if not is_size(rank) or not isinstance(rank, int) or rank > MOST_SIZE:
        raise SpecError(f"r must be a whole number from 1 to 10^12, not {shown(rank)}", where=where)
    dora = config.get("use_dora") or False
    if not isinstance(dora, bool):
        raise SpecError(f"use_dora must be true or false, not {shown(dora)}", where=where)
    plain = Adapter(
        rank=rank,
        targets=(),
        magnitudes=dora,
        whole=_whole(config.get("modules_to_save"), where),
        base=base if isinstance(base, str) else None,
    )
    if not modules:
        return replace(plain, targets=_targets(config.get("target_modules"), where)), ()
    places, notes = chosen(modules, config, rank, layers, where)
    targets = tuple(dict.fromkeys(one.target for one in places))
    if any(len(one.layers) < layers for one in places):
        return replace(plain, targets=targets, places=places), notes
    ranks = tuple(TargetRank(target=one.target, rank=one.rank) for one in places if one.rank != rank)
    return replace(plain, targets=targets, ranks=ranks), notes


_CHOOSE: Final = ("rank_pattern", "layers_to_transform", "layers_pattern", "exclude_modules")
"""Keys that choose among modules, which are known where the modules of a model are."""


def _refuse_unknown(config: Mapping[str, object], known: Container[str], where: str) -> None:
    """Raises `SpecError` for another method than LoRA, and for what is not known of it, but for keys that are `known`."""
    method = config.get("peft_type")
    if method != "LORA":
        raise SpecError(f"peft_type {shown(method)} is not known yet: only LORA is", where=where)
    for key, plain in _PLAIN.items():
        value = config.get(key)
        if key not in known and not _is_empty(value) and value != plain:
            only = "an empty one" if plain == {} else shown(plain)
            raise SpecError(f"{key}: {shown(value)} is not known yet: only {only} is", where=where)


def _refuse_other_names(base: ModelSpec, adapter: Adapter, names: frozenset[str], where: str) -> None:
    """Raises `SpecError` for targets that a model has no module of: where one matrix holds several, and of feed-forwards of another form."""
    mixture = any(mlp.kind != "dense" for mlp in base.feed_forwards) or any(m.kind == "latent" for m in base.mixers)
    if mixture and {"up", "gate", "down"} & set(adapter.targets):
        raise SpecError(
            f"target_modules: which matrices of experts are modules of these names depends on the release of {base.label}'s code: "
            "adapters on such models are known of attention alone",
            where=where,
        )
    fused = any(getattr(mixer, "fused", False) for mixer in base.mixers)
    gated = any(getattr(mlp, "gated", False) for mlp in base.feed_forwards)
    if fused and {"q", "k", "v"} & set(adapter.targets):
        raise SpecError(
            f"{base.label} holds queries, keys and values in one matrix, which q, k and v are not", where=where
        )
    if fused and gated and {"up", "gate"} & set(adapter.targets):
        raise SpecError(f"{base.label} holds up and gate in one matrix, which up and gate are not", where=where)
    if gated and (plain := sorted({"fc1", "fc2"} & names)):
        raise SpecError(
            f"target_modules: {shown(plain[0])} is not known of gated feed-forwards, as {base.label} has: name "
            "up_proj, gate_proj or down_proj",
            where=where,
        )


def _refuse_shared_names(base: ModelSpec, adapter: Adapter, names: frozenset[str], where: str) -> None:
    """Raises `SpecError` where modules that are not counted may have the names of the targets: peft adapts all that are called so."""
    inside = (entry for group in lower(base).towers for entry in group.entries)
    if any(isinstance(entry, Matmul) and entry.role in adapter.roles for entry in inside):
        raise SpecError(
            f"target_modules: modules in the towers of {base.label} may be called so too, which peft adapts as well: "
            "adapters are known yet only of models of text",
            where=where,
        )
    gated = any(getattr(mixer, "gated", False) for mixer in base.mixers)
    for mixer in base.mixers:
        theirs = _OF_OTHER_MIXERS.get(mixer.kind, frozenset())
        if mixer.kind == "gated-delta-net" and not gated:  # as in OLMo; Qwen's come with attention of gated heads
            theirs |= _OF_QUERIES
        if shared := sorted(theirs & names):
            raise SpecError(
                f"target_modules: {shown(shared[0])} is also a module of the layers of {base.label} that are no attention, which is "
                "not known yet of adapters",
                where=where,
            )


_OUT: Final = frozenset({"out_proj"})
_OF_QUERIES: Final = frozenset({"q_proj", "k_proj", "v_proj", "o_proj", "out_proj"})
_OF_OTHER_MIXERS: Final[Mapping[str, frozenset[str]]] = {
    "mamba": _OUT, "mamba2": _OUT, "side-by-side": _OUT, "short-conv": _OUT, "gated-delta-net": _OUT, "lightning": _OUT,
    "kimi-delta": _OF_QUERIES, "mlstm": _OF_QUERIES,
}  # fmt: skip
"""Modules of layers that mix tokens otherwise, of the names that those of attention have."""


def _names(config: Mapping[str, object]) -> frozenset[str]:
    """The targets of a file that was read, as it calls them."""
    said = config.get("target_modules")
    return frozenset(map(str, said)) if isinstance(said, list) else frozenset()


def _is_empty(value: object) -> bool:
    """Whether a key says nothing; 0 says something: of layers_to_transform, the first layer."""
    return value is None or value is False or value in ("", [], {})


_MODULES: Final[Mapping[str, Literal["head", "embedding"]]] = {"lm_head": "head", "embed_tokens": "embedding"}


def _whole(said: object, where: str) -> tuple[Literal["head", "embedding"], ...]:
    """The modules that are trained whole, each in a copy of its own, tied or not."""
    if said is None or said == []:
        return ()
    if not isinstance(said, list) or not all(isinstance(name, str) for name in said):
        raise SpecError(f"modules_to_save must be a list of names, such as lm_head, not {shown(said)}", where=where)
    for name in said:
        if name not in _MODULES:
            raise SpecError(
                f"modules_to_save: {shown(name)} is not known yet: only {' and '.join(_MODULES)} are", where=where
            )
    return tuple(dict.fromkeys(_MODULES[name] for name in said))


_PATTERNS: Final = "a pattern is read on a dense decoder whose folder, with its config.json, is base_model_name_or_path"


def _targets(said: object, where: str) -> tuple[str, ...]:
    """The matrices that have an adapter, by the names of modules."""
    if said == []:
        raise SpecError(
            "target_modules names no modules: a list of names, such as q_proj, as peft saves them", where=where
        )
    if not isinstance(said, list) or not all(isinstance(name, str) for name in said):
        raise SpecError(
            f"target_modules must be a list of names, such as q_proj, not {shown(said)}: {_PATTERNS if isinstance(said, str) else 'as peft saves them'}",
            where=where,
        )
    for name in said:
        if name.rpartition(".")[2] not in _TARGETS or "." in name:
            raise SpecError(
                f"target_modules: {shown(name)} is not known yet: only modules of one matrix are, such as {', '.join(list(_TARGETS)[:7])}",
                where=where,
            )
    found = {_TARGETS[name] for name in said}
    return tuple(target for target in dict.fromkeys(_TARGETS.values()) if target in found)


def _base(config: Mapping[str, object], path: Path, where: str) -> ModelSpec:
    """The model that the adapters are for: a folder or file next to them, a repository of the hub, or a built-in name."""
    from tscale.models.resolve import resolve

    named = config.get("base_model_name_or_path")
    if not isinstance(named, str) or not named.strip():
        raise SpecError("no base_model_name_or_path: it names the model that the adapters are for", where=where)
    beside = path.parent / named
    if _is_adapter(beside):
        raise SpecError(f"base_model_name_or_path {shown(named)} is a folder of adapters, not of a model", where=where)
    if not _is_there(path) and (named == "-" or _is_there(Path(named))):
        raise SpecError(
            f"base_model_name_or_path {shown(named)} is a file here, and these adapters are of the hub", where=where
        )
    within = _ADAPTED.set(True)
    try:
        return resolve(_base_path(path, named))
    except TscaleError as error:
        raise SpecError(f"base_model_name_or_path {shown(named)}: {called(str(error), 400)}", where=where) from None
    finally:
        _ADAPTED.reset(within)


def _base_path(path: Path, named: str) -> str:
    """What the name of a base means as MODEL: what is next to the adapters, else what it is from here."""
    beside = path.parent / named
    return str(beside) if _is_there(path) and _is_there(beside) else named


_ADAPTED: ContextVar[bool] = ContextVar("_ADAPTED", default=False)
"""Whether the model of some adapters is being read: one of adapters again would go around in a circle."""


def _is_adapter(path: Path) -> bool:
    """Whether a path leads to adapters again, and so perhaps to the same ones."""
    own = path if path.name == _FILE else path / _FILE
    return _is_there(own) and not _is_there(path / "config.json")


_FILE: Final = "adapter_config.json"


def _is_there(path: Path) -> bool:
    from tscale.models.model_files import exists

    return exists(path)
