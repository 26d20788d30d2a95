"""From the modules that a method converts to rules over the entries of a model's ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from tscale.core.costs.weights import is_converted
from tscale.core.ledger import Ledger, Lookup, Matmul
from tscale.errors import shown
from tscale.importer.module_patterns import Matching, Pattern, is_elsewhere
from tscale.importer.pattern_machine import Overspent
from tscale.models.lower import lower
from tscale.models.release import standing_of
from tscale.models.spec import MOST_LAYERS, ModelSpec
from tscale.models.weights_spec import WeightRule

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
    meant = _meant(found, ledger, standing, Matching(family))
    main = None if found.experts_only else found.main
    placed = _placed(found, ledger, meant, standing, main)
    rules = tuple(
        WeightRule(format=format or rest, parts=_shortened(names, ledger), layers=layers)
        for (format, layers), names in placed.items()
    )
    return main, rules, tuple(_unmatched(spec, found, meant))


def _placed(
    found: Converted, ledger: Ledger, meant: _Meant, standing: Mapping[int, tuple[int, ...]], main: str | None
) -> _Placed:
    """The entries that are in another format than the linear layers."""
    placed: _Placed = {}
    for place, entry in enumerate(ledger.entries):
        if not isinstance(entry, (Matmul, Lookup)) or not entry.stored:
            continue
        usual = main if is_converted(entry) else None
        for format, layers in _formats(entry, found, meant.of_entry(place), standing.get(place)):
            if format != usual:
                placed.setdefault((format or "", layers), []).append(entry.name)
    return placed


class _Meant(NamedTuple):
    """What each pattern of a file is about: by its place among them, the entries, each with its layers; None for all.

    `too_long`: the patterns that take longer to match than there is time for, and that are about nothing here.
    """

    entries: list[dict[int, tuple[int, ...] | None]]
    too_long: frozenset[int]

    def of_entry(self, place: int) -> list[tuple[int, tuple[int, ...] | None]]:
        """The patterns that are about an entry, the first one first, with the layers."""
        return [(number, about[place]) for number, about in enumerate(self.entries) if place in about]


def _meant(found: Converted, ledger: Ledger, standing: Mapping[int, tuple[int, ...]], matching: Matching) -> _Meant:
    stored = {
        place: entry
        for place, entry in enumerate(ledger.entries)
        if isinstance(entry, (Matmul, Lookup)) and entry.stored
    }
    entries: list[dict[int, tuple[int, ...] | None]] = []
    too_long: set[int] = set()
    for number, (pattern, _) in enumerate(found.kept):
        about: dict[int, tuple[int, ...] | None] = {}
        try:
            for place, entry in stored.items():
                layers = _layers_of(pattern, entry, standing.get(place), matching)
                if layers != ():
                    about[place] = layers
        except Overspent:
            about = {}
            too_long.add(number)
        entries.append(about)
    return _Meant(entries, frozenset(too_long))


def _layers_of(
    pattern: Pattern, entry: Matmul | Lookup, standing: tuple[int, ...] | None, matching: Matching
) -> tuple[int, ...] | None:
    """The layers in which a pattern is about an entry, by its name; None for all of them."""
    name = entry.name
    if entry.role in ("head", "embedding"):
        return None if matching.about(pattern, name, None) else ()
    if not pattern.by_layer:
        return None if matching.about(pattern, name, 0) else ()
    if standing is None:
        return None if matching.in_any_layer(pattern, name) else ()
    there = standing if pattern.layer is None else (pattern.layer,) if pattern.layer in standing else ()
    return tuple(layer for layer in there if matching.about(pattern, name, layer))


def _formats(
    entry: Matmul | Lookup,
    found: Converted,
    patterns: list[tuple[int, tuple[int, ...] | None]],
    standing: tuple[int, ...] | None,
) -> Iterator[tuple[str | None, tuple[int, ...] | None]]:
    """The formats of an entry, each with the layers that it is so in; None for all of them. The first pattern decides."""
    usual = _usual(entry, found)
    of_layer: dict[int, str | None] = {}
    elsewhere = usual
    for number, layers in patterns:
        if layers is None:
            elsewhere = found.kept[number][1]
            break
        for layer in layers:
            of_layer.setdefault(layer, found.kept[number][1])
    if not of_layer or standing is None:
        yield elsewhere, None
        return
    by_format: dict[str | None, list[int]] = {}
    for layer in standing:
        by_format.setdefault(of_layer.get(layer, elsewhere), []).append(layer)
    for format, those in by_format.items():
        yield format, None if len(by_format) == 1 else tuple(those)


def _usual(entry: Matmul | Lookup, found: Converted) -> str | None:
    """What an entry is in where no pattern is about it."""
    if entry.role == "head":
        return found.head
    if found.tables:
        inside = isinstance(entry, Lookup) and entry.role != "embedding"
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


def _unmatched(spec: ModelSpec, found: Converted, meant: _Meant) -> Iterator[str]:
    """What is said of modules that are none of the model's, but for those of which it is known that they are elsewhere."""
    texts = [
        pattern.text
        for number, (pattern, _) in enumerate(found.kept)
        if not meant.entries[number] and number not in meant.too_long and not is_elsewhere(pattern, int(spec.layers))
    ]
    if texts:
        yield f"no matrix is known here by the name of {some_of(texts)}, so that this exception is not counted"
    if meant.too_long:
        texts = [found.kept[number][0].text for number in sorted(meant.too_long)]
        yield f"it takes too long to match {some_of(texts)}, so that this exception is not counted"


def some_of(texts: Sequence[str]) -> str:
    """The first few of some texts, and how many more there are."""
    some = ", ".join(shown(text) for text in texts[:_MOST_SHOWN])
    return some + (f" and {len(texts) - _MOST_SHOWN:,} more" if len(texts) > _MOST_SHOWN else "")
