"""What a model's weights are kept in as they are released: the words of its spec beside the entries of its ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tscale.blocks.fields import Problem
from tscale.core.costs.weights import Mixture, Rule, mixture
from tscale.core.dtypes import Dtype, find_format, scaled
from tscale.core.layers import layers_of
from tscale.core.ledger import Entry, Ledger, Lookup, Matmul
from tscale.errors import RequestError, nearest, shown
from tscale.models.lower import every_entry, lower
from tscale.models.spec import MOST_LAYERS, ModelSpec

if TYPE_CHECKING:
    from tscale.models.weights_spec import NamedRelease, Release, WeightRule


def release_in(spec: ModelSpec, format: Dtype) -> NamedRelease | None:
    """The release of a model that a format means by its name; None where no such release is known."""
    return next((release for release in spec.releases or () if release.dtype == format.name), None)


def released(spec: ModelSpec, said: Release | None = None) -> Mixture | None:
    """The formats of a release, matrix by matrix; None where the spec says none, so that weights are in 16 bits.

    `said`: which release; that of `weights` where it is left out.
    """
    said = spec.weights if said is None else said
    if said is None:
        return None
    ledger = lower(spec)
    rules = [
        Rule(_format(rule.format), _entries(rule, ledger), None if rule.layers is None else frozenset(rule.layers))
        for rule in said.rules
    ]
    by_layer = any(rule.layers is not None for rule in rules)
    standing = standing_of(spec, ledger) if by_layer else {}
    made = mixture(ledger, None if said.format is None else _format(said.format), rules, said.rest, standing)
    return made._replace(cache=said.cache)


def _format(name: str) -> Dtype:
    """A format that is spelled out is taken as it is: a release was made, whatever its blocks divide."""
    return scaled(name) or find_format(name, what="weights")


def unknown_parts(spec: ModelSpec) -> Iterator[Problem]:
    """The parts in a release's rules that are about nothing that the model has."""
    said: list[tuple[tuple[str | int, ...], Release]] = [] if spec.weights is None else [(("weights",), spec.weights)]
    said += [(("releases", place, "weights"), release.weights) for place, release in enumerate(spec.releases or ())]
    names = _names(every_entry(spec)).values() if any(release.rules for _, release in said) else ()
    for path, release in said:
        for place, rule in enumerate(release.rules):
            for number, part in enumerate(rule.parts):
                if not any(_is_about(part, name) for name in names):
                    outer = dict.fromkeys(name.rpartition(".")[0] for name in names if "." in name)
                    hint = nearest(part, [*names, *outer])
                    message = f"no matrix or table of the model is called {shown(part)}: {hint}"
                    yield (*path, "rules", place, "parts", number), message


def _names(entries: Iterable[Entry]) -> dict[int, str]:
    """The matrices and tables of a ledger, by place."""
    return {place: entry.name for place, entry in enumerate(entries) if isinstance(entry, (Matmul, Lookup))}


def _is_about(part: str, name: str) -> bool:
    """Whether a rule's part names an entry, whole or up to a dot: `attention` is all of its matrices."""
    return name == part or name.startswith(f"{part}.")


def _entries(rule: WeightRule, ledger: Ledger) -> frozenset[int]:
    """The entries that a rule's parts name."""
    names = _names(ledger.entries)
    return frozenset(place for place, name in names.items() if any(_is_about(part, name) for part in rule.parts))


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
