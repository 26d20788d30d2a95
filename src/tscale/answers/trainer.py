"""A trainer: a model, how it is trained and spread, and what a device of each pipeline stage needs for it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tscale.core.costs.states import States
from tscale.core.costs.training_memory import Layer, Needs, Peak, Training, loss_of, needs, states_of
from tscale.core.ledger import Ledger, Saved
from tscale.core.loss_kernels import LossBytes
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import shard
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec
from tscale.models.stages import kinds_of_layers, stages

RANK: Final = 64
"""The rank of adapters where none is given: that of Dettmers 2023, appendix B."""


class Trainer(NamedTuple):
    """A model that is trained: of each of its stages the ledger, one device's share of it, what it keeps and its states."""

    spec: ModelSpec
    training: Training
    context: int
    stages: tuple[Ledger, ...]
    shares: tuple[Ledger, ...]
    kept: tuple[tuple[Saved, ...], ...]
    states: tuple[States, ...]
    layers: tuple[tuple[Layer, ...], ...]

    def needs(self, stage: int, peak: Peak = "reserved") -> Needs:
        """What a device of a stage needs, the loss as an allocator reserves it or as it is live at the least."""
        given = (self.shares[stage], self.kept[stage], self.states[stage], self.layers[stage])
        return needs(*given, stage, self.training, peak)

    def loss(self, stage: int) -> LossBytes | None:
        """What the loss of a stage takes; None where it has none over a vocabulary."""
        return loss_of(self.shares[stage], self.kept[stage], self.training)

    @property
    def has_loss(self) -> bool:
        """Whether the model has a loss over a vocabulary."""
        return self.loss(len(self.shares) - 1) is not None

    def worst(self) -> tuple[int, Needs]:
        """The stage whose devices need most, the first of several, and what they need."""
        each = [self.needs(stage) for stage in range(len(self.shares))]
        stage = max(range(len(each)), key=lambda place: each[place].total)
        return stage, each[stage]

    def least_total(self) -> int:
        """Bytes that a device of the fullest stage needs at the least: with what is live at the loss's peak."""
        return max(self.needs(stage, "live").total for stage in range(len(self.shares)))

    def with_(self, **changes: Any) -> Trainer:
        """The same trained in another way: anew from the spec, unless that changes nothing of the parameters."""
        training = self.training._replace(**changes)
        of_the_pass = {"micro_batch", "attention", "recompute", "dropout", *(["loss"] if training.base is None else [])}
        if changes.keys() <= of_the_pass:
            return self._replace(training=training)
        return trainer(self.spec, training, self.context)

    def of_length(self, context: int) -> Trainer:
        """The same on sequences of another length."""
        return self._replace(context=context, training=self.training._replace(run=run_of(self.spec, context)))


def trainer(spec: ModelSpec, training: Training, context: int) -> Trainer:
    """A model ready to be asked about. Raises `RequestError` for a plan that cannot be, or a block that is not known."""
    training.plan.check()
    training = training._replace(run=run_of(spec, context))
    own = _pieces_of(spec, training.plan)
    of_kinds = {first: states_of(own.shares[first], training) for first in set(own.alike)}
    states = tuple(of_kinds[first] for first in own.alike)
    return Trainer(spec, training, context, own.stages, own.shares, own.kept, states, own.layers)


class _Pieces(NamedTuple):
    """What a plan makes of a model, stage by stage; `alike`: the first stage whose share is the same as that of each."""

    stages: tuple[Ledger, ...]
    shares: tuple[Ledger, ...]
    kept: tuple[tuple[Saved, ...], ...]
    layers: tuple[tuple[Layer, ...], ...]
    alike: tuple[int, ...]


_MOST_KEPT: Final = 64
"""Plans of one model whose pieces are kept: a search of layouts has about as many that differ in more than their copies."""


def _pieces_of(spec: ModelSpec, plan: Parallelism) -> _Pieces:
    """The pieces of a model, kept with its spec for all plans that cut the same ledgers.

    What copies, ZeRO and a cut sequence change is no ledger, unless experts are spread over them. A plan of numbers that
    remember, or of arrays, has its own pieces.
    """
    if any(type(degree) not in _PLAIN for degree in plan):
        return _made_pieces(spec, plan)
    cuts = plan if plan.expert > 1 else plan._replace(sequence=False, data=1, zero=0, shards=None, context=1)
    found: _Pieces | None = spec.made.get(cuts)
    if found is None:
        if len(spec.made) >= _MOST_KEPT:
            spec.made.clear()
        found = spec.made[cuts] = _made_pieces(spec, plan)
    return found


_PLAIN: Final = (int, bool, str, type(None))


def _made_pieces(spec: ModelSpec, plan: Parallelism) -> _Pieces:
    whole = lower(spec, saves=True)
    each = stages(spec, plan, whole)
    shares = tuple(shard(ledger, plan) for ledger in each)
    layers = tuple(
        tuple(Layer(shard(kind, plan), kind.saved) for kind in kinds) for kinds in kinds_of_layers(spec, whole, plan)
    )
    entries = [share.entries for share in shares]
    return _Pieces(each, shares, tuple(stage.saved for stage in each), layers, tuple(map(entries.index, entries)))
