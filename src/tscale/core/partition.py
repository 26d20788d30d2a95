"""Stages and single layers of a model: groups of layers to groups with other counts.

A stage has stretches of the stack, and what stands before the first layer or behind the last is with the stage that has that
layer. Nothing here knows the spec: which layers a group stands in is all that is asked.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate
from itertools import count as counted_from
from typing import NamedTuple

from tscale.core.layers import layers_of
from tscale.core.ledger import Entry, Group, Ledger, Lookup, Matmul, Stack
from tscale.core.tracing import ceil_div, label, minimum


class Stretch(NamedTuple):
    """Layers of a stack one after the other: from `start`, `size` of them."""

    start: int
    size: int

    def count(self, group: Group) -> int:
        """How many of these layers a group stands in."""
        assert not isinstance(group.where, str)
        found = group.where.count(int(self.start) + int(self.size)) - group.where.count(int(self.start))
        return self.size if found == self.size else int(found)  # all of them: their name means as many


def stretches(layers: int, pieces: int, *, ends: bool = False, modules: int = 0) -> tuple[Stretch, ...]:
    """A stack cut into so many pieces: of equal size where that can be, else as even as possible.

    The embedding and the head then take the place of a layer each, in the first piece and in the last, as Llama 3 was cut
    (Dubey 2024, section 3.3.2), unless a piece would have no layer; the first pieces have a layer more. There are at least as
    many layers as pieces.

    `ends`: whether the first piece may have the embedding alone, and the last one the head, as Llama 3's had; there may then be two
    layers less. `modules`: of those that predict a further token, which are with the head; each takes the place of a layer, and its use
    of the head that of another where there is room, as Megatron-Bridge cuts DeepSeek-V3 ("Et*4|(t*4|)*14tmL", "Et|(tt|)*30mL").
    """
    if layers % pieces == 0:
        size = label("piece_layers", layers // pieces, "layers")
        return tuple(Stretch(int(size) * place, size) for place in range(pieces))
    for behind in sorted({1 + 2 * modules, 1 + modules}, reverse=True):
        places = int(layers) + 1 + behind
        sizes = [ceil_div(places - place, pieces) for place in range(pieces)]
        sizes[0], sizes[-1] = sizes[0] - 1, sizes[-1] - behind
        if min(sizes) >= (0 if modules or (ends and places % pieces == 0) else 1):
            return given_stretches(sizes)
    return given_stretches([ceil_div(int(layers) - place, pieces) for place in range(pieces)])


def given_stretches(sizes: Sequence[int]) -> tuple[Stretch, ...]:
    """A stack cut into pieces of given sizes, one after the other."""
    return tuple(map(Stretch, accumulate(sizes, initial=0), sizes))


def interleaved_sizes(stages: Sequence[int], interleave: int) -> list[int]:
    """The sizes of the pieces, in the order of the stack, of stages that have so many layers: each in as even pieces as can be."""
    return [ceil_div(layers - turn, interleave) for turn in range(interleave) for layers in stages]


def stage(ledger: Ledger, own: Sequence[Stretch], name: str, *, first: bool, last: bool) -> Ledger:
    """What a stage of some stretches has of a model; `first` and `last`: whether its tables and its head are there.

    A head that is tied to the table of the first stage is a copy of it, unless both are here.
    """
    return Ledger(name, tuple(_of_counts(ledger, layers_of_groups(ledger, own), first=first, last=last)))


def has_group(group: Group, own: Sequence[Stretch], *, first: bool, last: bool) -> bool:
    """Whether a stage of some stretches has anything of a group."""
    if isinstance(group.where, str):
        return {"start": first, "end": last, "stack": True}[group.where]
    return any(stretch.count(group) for stretch in own)


def layer_kinds(ledger: Ledger) -> int:
    """How many kinds of layers a model has: two are of one kind if they stand in the same groups of the same stack."""
    kinds: set[tuple[Stack, frozenset[int]]] = set()
    for stack in dict.fromkeys(group.stack for group in ledger.groups):
        selectors = [
            (group.where, int(group.layers))
            for group in ledger.groups
            if group.stack == stack and not isinstance(group.where, str)
        ]
        least = max((count for _, count in selectors), default=0)
        depth = next(n for n in counted_from(least) if all(where.count(n) >= count for where, count in selectors))
        own = [frozenset(layers_of(where, depth)) for where, _ in selectors]
        for layer in range(depth):
            kinds.add((stack, frozenset(place for place, layers in enumerate(own) if layer in layers)))
    return len(kinds)


def is_within(layer: int, own: Sequence[Stretch]) -> bool:
    """Whether a layer, by its number, is in one of some stretches."""
    return any(stretch.start <= layer < stretch.start + stretch.size for stretch in own)


def stage_of_counts(ledger: Ledger, counts: Sequence[int | None], *, first: bool, last: bool) -> Ledger:
    """What a stage has of a model that has so many layers of each of its groups, which may be arrays; None for none of them."""
    return Ledger(ledger.model, tuple(_of_counts(ledger, counts, first=first, last=last)))


def layers_of_groups(ledger: Ledger, own: Sequence[Stretch]) -> tuple[int | None, ...]:
    """How many layers some stretches have of each group of a model; None where they have none, and of what is in no layer."""
    return tuple(_layers(group, own) for group in ledger.groups)


def _layers(group: Group, own: Sequence[Stretch]) -> int | None:
    layers = 0
    for stretch in own if not isinstance(group.where, str) else ():
        layers += stretch.count(group)
    return layers or None


def _of_counts(ledger: Ledger, counts: Sequence[int | None], *, first: bool, last: bool) -> Iterator[Group]:
    for group, layers in zip(ledger.groups, counts, strict=True):
        match group.where:
            case "start":
                if first:
                    yield group
            case "stack":  # what all layers read is on each stage, and its gradients are summed over them
                yield group
            case "end":
                if last:
                    yield group if first else group._replace(entries=tuple(map(_with_head, group.entries)))
            case _:
                if layers is not None:
                    yield _of_layers(group, layers)


def _with_head(entry: Entry) -> Entry:
    """An entry behind the last layer; a head that is tied, and a table that modules read once more, are stored here too."""
    if isinstance(entry, (Matmul, Lookup)) and entry.role in ("head", "embedding"):
        return entry._replace(stored=1)
    return entry


def one_layer(ledger: Ledger, stack: Stack, layer: int) -> Ledger:
    """What one layer of a stack has of a model."""
    alone = Stretch(layer, 1)
    groups = (group for group in ledger.groups if group.stack == stack and not isinstance(group.where, str))
    return Ledger(ledger.model, tuple(_of_layers(group, 1) for group in groups if alone.count(group)))


def some_layers(ledger: Ledger, layers: Collection[int]) -> Ledger:
    """What some layers of a stack have of a model, without what stands before and behind them."""
    groups: list[Group] = []
    for group in ledger.groups:
        where = group.where
        own = 0 if isinstance(where, str) else sum(where.count(n + 1) - where.count(n) for n in layers)
        if own:
            groups.append(_of_layers(group, own))
    return Ledger(ledger.model, tuple(groups))


def _of_layers(group: Group, layers: int) -> Group:
    copies = None if group.copies is None else minimum(group.copies, layers)
    return group._replace(layers=layers, copies=copies)
