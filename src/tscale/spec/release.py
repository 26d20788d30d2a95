"""What a model's weights are kept in as they are released: the words of its spec beside the entries of its ledger."""

from __future__ import annotations

from typing import Final

from tscale.core.formats import Format, find_format, scaled
from tscale.core.ledger import Ledger, Lookup, Matmul
from tscale.core.questions.weights import Mixture, Rule, mixture
from tscale.errors import RequestError, nearest, shown
from tscale.spec.kinds import stands_in
from tscale.spec.lower import lower
from tscale.spec.model import ModelSpec, labelled

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
    rules = [Rule(_format(rule.format), rule.parts, _layers(rule.layers)) for rule in said.rules]
    for rule in rules:
        _check_parts(rule, ledger)
    by_layer = any(rule.layers is not None for rule in rules)
    standing = standing_of(spec, ledger) if by_layer else {}
    return mixture(ledger, None if said.format is None else _format(said.format), rules, said.rest, standing)


def _format(name: str) -> Format:
    """A format that is spelled out is taken as it is: a release was made, whatever its blocks divide."""
    return scaled(name) or find_format(name, what="weights")


def _layers(layers: tuple[int, ...] | None) -> frozenset[int] | None:
    return None if layers is None else frozenset(layers)


def _check_parts(rule: Rule, ledger: Ledger) -> None:
    names = [entry.name for entry in ledger.entries if isinstance(entry, (Matmul, Lookup))]
    for part in rule.parts:
        if not any(rule._replace(parts=(part,)).holds(name) for name in names):
            outer = dict.fromkeys(name.rpartition(".")[0] for name in names if "." in name)
            raise RequestError(
                f"weights.rules: no matrix or table of {ledger.model} is called {shown(part)}: "
                f"{nearest(part, [*names, *outer])}"
            )


def standing_of(spec: ModelSpec, ledger: Ledger) -> dict[str, tuple[int, ...]]:
    """In which layers each matrix of a single stack stands, by the name of its entry; of others, nothing.

    Raises `RequestError` for a stack of more layers than can be told apart.
    """
    if spec.kind == "encoder-decoder" or spec.unique_layers is not None:
        return {}
    if spec.layers > MOST_LAYERS:
        raise RequestError(
            f"formats by layer are known up to {MOST_LAYERS:,} layers, and {spec.label} has {spec.layers:,}"
        )
    blocks = [*_standing(spec, "mixers"), *_standing(spec, "feed_forwards")]
    found: dict[str, tuple[int, ...]] = {}
    for entry in ledger.entries:
        if isinstance(entry, Matmul):
            for label, layers in blocks:
                # a block that several layers share has fewer copies than layers, and none of a layer's own
                if entry.name.startswith(f"{label}.") and layers and entry.stored % len(layers) == 0 < entry.stored:
                    found[entry.name] = layers
    return found


def _standing(spec: ModelSpec, field: str) -> list[tuple[str, tuple[int, ...]]]:
    """The blocks of a field by the names that their entries begin with, and the layers that each stands in."""
    blocks = getattr(spec, field)
    places = [stands_in(blocks, layer) for layer in range(spec.layers)]
    return [
        (label, tuple(layer for layer, here in enumerate(places) if here[place]))
        for place, (label, _) in enumerate(labelled(blocks))
    ]
