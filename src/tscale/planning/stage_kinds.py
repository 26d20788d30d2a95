"""The stages of pipelines by kind: what has the same tables and the same groups of layers is of one structure.

Of a kind the numbers of layers are arrays. Of stages of one pipeline that have as many layers of each group, the first needs most,
for no schedule keeps more micro-batches in flight behind it; all of them take as long.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Final, NamedTuple

from tscale.core.layers import layers_of
from tscale.core.ledger import Ledger, Stack
from tscale.core.parallelism import Parallelism
from tscale.core.partition import Stretch, layers_of_groups, one_layer
from tscale.errors import RequestError
from tscale.models.spec import ModelSpec
from tscale.models.stages import pieces_of
from tscale.models.two_stacks import counts_of, parts_of

MOST_LAYERS: Final = 10_000
"""Layers of a model whose pipelines are searched."""


class Kind(NamedTuple):
    """What stages of one structure have: tables, head, groups of layers by place in the ledger, and one layer of each kind."""

    first: bool
    last: bool
    groups: tuple[int, ...]
    layers: tuple[int, ...]
    """Places of the kinds of layer in `Model.layers`."""
    stack: Stack | None = None
    """Which of two stacks its layers are of; `first` is about that stack, `last` about the head."""
    closes: bool = False
    """Whether it has the last layer of that stack."""


class Stages(NamedTuple):
    """Stages of a pipeline that are alike: how many layers each has of the kind's groups, the place of the first, how many."""

    kind: Kind
    counts: tuple[int, ...]
    place: int
    many: int
    order: tuple[frozenset[int], ...] = ()
    """The places of the groups that each of its layers is in, in their order; nothing where that is not asked for."""


class Model(NamedTuple):
    """A model as a search sees it: its ledger with what it saves, one layer of each kind, and of which kind each layer is."""

    spec: ModelSpec
    whole: Ledger
    layers: tuple[Ledger, ...]
    of_layer: tuple[int, ...]
    groups_of: tuple[frozenset[int], ...] = ()
    """The places of the groups that each layer is in; of two stacks, nothing."""
    timed: Ledger | None = None
    """What a step runs through: the first of its groups, with adapters where these alone are trained; None where that is `whole`."""

    @property
    def of_a_step(self) -> Ledger:
        """The ledger that a step's time is counted of."""
        return self.whole if self.timed is None else self.timed

    def stages(self, plan: Parallelism, *, ordered: bool = False) -> tuple[Stages, ...]:
        """The stages of a plan that has such; each distinct one once, in their order.

        `ordered`: whether stages are told apart by the order of their layers too.
        """
        if plan.pipeline == 1:
            return (self._alone()._replace(order=self.groups_of if ordered else ()),)
        if self.spec.kind == "encoder-decoder":
            return tuple(self._parts(plan))
        found: dict[object, Stages] = {}
        last, both = plan.pipeline - 1, plan.order == "dualpipe"
        for place, pieces in enumerate(pieces_of(self.spec, plan)):
            ends = (place == 0 or (both and place == last), place == last or (both and place == 0))
            one = self._stage(pieces, place, *ends)
            one = one._replace(order=self._order(pieces)) if ordered else one
            key = one.kind, one.counts, one.order
            found[key] = found[key]._replace(many=found[key].many + 1) if key in found else one
        return tuple(found.values())

    def _order(self, pieces: tuple[Stretch, ...]) -> tuple[frozenset[int], ...]:
        return tuple(
            own for piece in pieces for own in self.groups_of[int(piece.start) : int(piece.start) + int(piece.size)]
        )

    def firsts(self, stages: Stages) -> list[list[int]]:
        """Of each group of a stage, how many layers are among its first 0, 1, 2 and so on."""
        return [list(accumulate((place in own for own in stages.order), initial=0)) for place in stages.kind.groups]

    def _stage(self, pieces: tuple[Stretch, ...], place: int, first: bool, last: bool) -> Stages:
        counts = layers_of_groups(self.whole, pieces)
        own = {number: int(count) for number, count in enumerate(counts) if count is not None}
        layers = dict.fromkeys(
            kind for piece in pieces for kind in self.of_layer[int(piece.start) : int(piece.start) + int(piece.size)]
        )
        return Stages(Kind(first, last, tuple(own), tuple(layers)), tuple(own.values()), place, 1)

    def _parts(self, plan: Parallelism) -> Iterator[Stages]:
        """The stages of two stacks, each by itself."""
        for place, part in enumerate(parts_of(self.spec, plan)):
            own = {number: count for number, count in enumerate(counts_of(self.whole, part)) if count is not None}
            begin = int(part.own.start) + (int(self.spec.encoder_layers()) if part.stack == "decoder" else 0)
            layers = tuple(dict.fromkeys(self.of_layer[begin : begin + int(part.own.size)]))
            kind = Kind(part.first, place == plan.pipeline - 1, tuple(own), layers, part.stack, part.last)
            yield Stages(kind, tuple(map(int, own.values())), place, 1)

    def _alone(self) -> Stages:
        own = {
            number: int(group.layers)
            for number, group in enumerate(self.whole.groups)
            if not isinstance(group.where, str)
        }
        return Stages(Kind(True, True, tuple(own), tuple(range(len(self.layers)))), tuple(own.values()), 0, 1)


def model_of(spec: ModelSpec, whole: Ledger, timed: Ledger | None = None) -> Model:
    """A model with its kinds of layer; `timed`: without towers that nothing runs through. Raises `RequestError` for one of more layers than are searched."""
    if int(spec.layers) > MOST_LAYERS:
        raise RequestError(f"{spec.name} has {int(spec.layers):,} layers: plan takes models of up to {MOST_LAYERS:,}")
    kinds: dict[tuple[int, ...], int] = {}
    layers: list[Ledger] = []
    of_layer: list[int] = []
    for alone in _single_layers(spec, whole):
        key = tuple(id(group.entries) for group in alone.groups)
        if key not in kinds:
            kinds[key] = len(layers)
            layers.append(alone)
        of_layer.append(kinds[key])
    return Model(spec, whole, tuple(layers), tuple(of_layer), _groups_of(spec, whole), timed)


def _groups_of(spec: ModelSpec, whole: Ledger) -> tuple[frozenset[int], ...]:
    """The places of the groups that each layer of a single stack is in."""
    if spec.kind == "encoder-decoder":
        return ()
    depth = int(spec.layers)
    own = [() if isinstance(group.where, str) else tuple(layers_of(group.where, depth)) for group in whole.groups]
    found: list[set[int]] = [set() for _ in range(depth)]
    for place, layers in enumerate(own):
        for layer in layers:
            found[layer].add(place)
    return tuple(map(frozenset, found))


def _single_layers(spec: ModelSpec, whole: Ledger) -> Iterator[Ledger]:
    """Each layer by itself, those of an encoder first."""
    encoder = 0 if spec.kind == "decoder" else int(spec.encoder_layers())
    for layer in range(encoder):
        yield one_layer(whole, "encoder", layer)
    for layer in range(0 if spec.kind == "encoder" else int(spec.layers)):
        yield one_layer(whole, "decoder", layer)
