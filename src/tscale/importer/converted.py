"""From the modules that a method converts to rules over the entries of a model's ledger."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from tscale.core.costs.weights import is_converted
from tscale.core.ledger import Ledger, Lookup, Matmul
from tscale.errors import shown
from tscale.importer.module_patterns import Pattern, about, is_elsewhere
from tscale.models.lower import lower
from tscale.models.release import MOST_LAYERS, standing_of
from tscale.models.spec import ModelSpec, WeightRule

_MOST_SHOWN: Final = 3


class Converted(NamedTuple):
    """What a method makes of a model's linear layers: `main` where nothing else is said, None for unconverted.

    `kept`: modules that are in another format, the first that is about a matrix decides. `head`: what the head is in.
    `experts_only`: routed experts alone are converted; `tables`: embeddings and routers too.
    """

    main: str | None
    kept: tuple[tuple[Pattern, str | None], ...] = ()
    head: str | None = None
    experts_only: bool = False
    tables: bool = False
    cache: str | None = None
    unread: tuple[str, ...] = ()


_Placed = dict[tuple[str, tuple[int, ...] | None], list[str]]
"""Names of entries by the format that they are in, and in which of their layers; None for all of them."""


def rules_of(
    spec: ModelSpec, found: Converted, family: str, rest: str
) -> tuple[str | None, tuple[WeightRule, ...], tuple[str, ...]]:
    """The format of all linear layers, the rules for what is in another, and the modules that are none of the model's.

    `family`: whose names of modules the file has; `rest`: the format of what is unconverted.
    """
    ledger = lower(spec)
    if spec.layers > MOST_LAYERS and any(pattern.by_layer for pattern, _ in found.kept):
        return None, (), (f"formats by layer are known up to {MOST_LAYERS:,} layers",)
    several = any(pattern.by_layer for pattern, _ in found.kept)
    standing = standing_of(spec, ledger) if several else {}
    met = set[int]()
    placed: _Placed = {}
    main = None if found.experts_only else found.main
    for place, entry in enumerate(ledger.entries):
        if isinstance(entry, (Matmul, Lookup)) and entry.stored:
            usual = main if is_converted(entry) else None
            for format, layers in _formats(entry, found, family, standing.get(place), met):
                if format != usual:
                    placed.setdefault((format or "", layers), []).append(entry.name)
    rules = tuple(
        WeightRule(format=format or rest, parts=_shortened(names, ledger), layers=layers)
        for (format, layers), names in placed.items()
    )
    return main, rules, tuple(_unmatched(spec, found, met))


def _formats(
    entry: Matmul | Lookup, found: Converted, family: str, layers: tuple[int, ...] | None, met: set[int]
) -> Iterator[tuple[str | None, tuple[int, ...] | None]]:
    """The formats of an entry, each with the layers that it is so in; None for all of them."""
    outside = entry.name in ("head", "embedding.tokens")
    place = None if outside else 0
    usual = _usual(entry, found)
    anywhere = [number for number, (pattern, _) in enumerate(found.kept) if not pattern.by_layer]
    always = {number for number in anywhere if about(found.kept[number][0], entry.name, place, family)}
    by_layer = [] if outside else [number for number, (pattern, _) in enumerate(found.kept) if pattern.by_layer]
    met |= always
    if layers is None or not by_layer:
        first = min(always, default=None)
        yield (usual if first is None else found.kept[first][1]), None
        return
    of_layer: dict[int | None, list[int]] = {}
    for number in by_layer:
        of_layer.setdefault(found.kept[number][0].layer, []).append(number)
    spread = of_layer.get(None, [])
    by_format: dict[str | None, list[int]] = {}
    for layer in layers:
        here = {n for n in (*of_layer.get(layer, ()), *spread) if about(found.kept[n][0], entry.name, layer, family)}
        met |= here
        first = min(here | always, default=None)
        by_format.setdefault(usual if first is None else found.kept[first][1], []).append(layer)
    for format, those in by_format.items():
        yield format, None if len(by_format) == 1 else tuple(those)


def _usual(entry: Matmul | Lookup, found: Converted) -> str | None:
    """What an entry is in where no pattern is about it."""
    if entry.name == "head":
        return found.head
    if found.tables:
        inside = isinstance(entry, Lookup) and entry.name != "embedding.tokens"
        return None if inside else found.main
    if found.experts_only:
        return found.main if isinstance(entry, Matmul) and entry.experts > 1 else None
    return found.main if is_converted(entry) else None


def _shortened(names: list[str], ledger: Ledger) -> tuple[str, ...]:
    """Names of entries, written as the block that they are of where they are all of its matrices."""
    every = [entry.name for entry in ledger.entries if isinstance(entry, (Matmul, Lookup))]
    short: dict[str, None] = {}
    for name in names:
        steps = name.split(".")
        outer = (".".join(steps[:count]) for count in range(1, len(steps)))
        whole = (block for block in outer if all(other in names for other in every if other.startswith(f"{block}.")))
        short[next(whole, name)] = None
    return tuple(short)


def _unmatched(spec: ModelSpec, found: Converted, met: set[int]) -> Iterator[str]:
    """What is said of modules that are none of the model's, but for those of which it is known that they are elsewhere."""
    texts = [
        pattern.text
        for number, (pattern, _) in enumerate(found.kept)
        if number not in met and not is_elsewhere(pattern, int(spec.layers))
    ]
    if texts:
        some = ", ".join(shown(text) for text in texts[:_MOST_SHOWN])
        more = f" and {len(texts) - _MOST_SHOWN:,} more" if len(texts) > _MOST_SHOWN else ""
        yield f"no matrix is known here by the name of {some}{more}, so that this exception is not counted"
