"""What a model's weights are kept in as they are released: the words of its spec beside the entries of its ledger."""

from __future__ import annotations

from typing import Final

from tscale.core.costs.weights import Mixture, Rule, mixture
from tscale.core.dtypes import Format, find_format, scaled
from tscale.core.layers import layers_of
from tscale.core.ledger import Ledger, Lookup, Matmul
from tscale.errors import RequestError, nearest, shown
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec, WeightRule

MOST_LAYERS: Final = 1024
"""Layers of a model whose layers are told apart by number: no model has come near."""


def released(spec: ModelSpec) -> Mixture | None:
    """The formats of a release, matrix by matrix; None where the spec says none, so that weights are in 16 bits.

    Raises `RequestError` for a rule about what the model does not have.
    """
    said = spec.weights
    if said is None:
        return None
    ledger = lower(spec)
    rules = [Rule(_format(rule.format), _entries(rule, ledger), _layers(rule.layers)) for rule in said.rules]
    by_layer = any(rule.layers is not None for rule in rules)
    standing = standing_of(spec, ledger) if by_layer else {}
    return mixture(ledger, None if said.format is None else _format(said.format), rules, said.rest, standing)


def _format(name: str) -> Format:
    """A format that is spelled out is taken as it is: a release was made, whatever its blocks divide."""
    return scaled(name) or find_format(name, what="weights")


def _layers(layers: tuple[int, ...] | None) -> frozenset[int] | None:
    return None if layers is None else frozenset(layers)


def _entries(rule: WeightRule, ledger: Ledger) -> frozenset[int]:
    """The entries that a rule's parts name, whole or up to a dot: `attention` is all of its matrices."""
    names = {place: entry.name for place, entry in enumerate(ledger.entries) if isinstance(entry, (Matmul, Lookup))}
    found: set[int] = set()
    for part in rule.parts:
        meant = {place for place, name in names.items() if name == part or name.startswith(f"{part}.")}
        found |= meant
        if not meant:
            outer = dict.fromkeys(name.rpartition(".")[0] for name in names.values() if "." in name)
            raise RequestError(
                f"weights.rules: no matrix or table of {ledger.model} is called {shown(part)}: "
                f"{nearest(part, [*names.values(), *outer])}"
            )
    return frozenset(found)


def standing_of(spec: ModelSpec, ledger: Ledger) -> dict[int, tuple[int, ...]]:
    """In which layers each matrix of a single stack stands, by its place in the ledger; of others, nothing.

    Raises `RequestError` for a stack of more layers than can be told apart.
    """
    if spec.kind == "encoder-decoder" or spec.unique_layers is not None:
        return {}
    if spec.layers > MOST_LAYERS:
        raise RequestError(
            f"formats by layer are known up to {MOST_LAYERS:,} layers, and {spec.label} has {spec.layers:,}"
        )
    found: dict[int, tuple[int, ...]] = {}
    place = 0
    for group in ledger.groups:
        alone = not isinstance(group.where, str) and group.copies is None  # what layers share is no layer's own
        layers = layers_of(group.where, int(spec.layers)) if alone and not isinstance(group.where, str) else ()
        for entry in group.entries:
            if alone and isinstance(entry, Matmul) and entry.stored:
                found[place] = layers
            place += 1
    return found
