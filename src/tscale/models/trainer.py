"""A trainer: a model, how it is trained and spread, and what a device of each pipeline stage needs for it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tscale.core.costs.recompute import saved_under
from tscale.core.costs.states import States
from tscale.core.costs.training_memory import loss_of, needs, states_of, totals
from tscale.core.costs.training_setup import Layer, Needs, Peak, Training
from tscale.core.kept import keep
from tscale.core.ledger import Ledger, Saved
from tscale.core.loss_kernels import LossBytes
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import check_plan, shares_of
from tscale.core.workload import TowerPass
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec
from tscale.models.stages import kinds_of_layers, recomputed_stages, stages

RANK: Final = 64
"""The rank of adapters where none is given: that of Dettmers 2023, appendix B."""


class Trainer(NamedTuple):
    """A model that is trained: of each of its stages the ledger, one device's share of it, what it keeps and its kinds of layer.

    `fullest`: the stages of which one needs most, in order.
    """

    spec: ModelSpec
    training: Training
    context: int
    stages: tuple[Ledger, ...]
    shares: tuple[Ledger, ...]
    kept: tuple[tuple[Saved, ...], ...]
    layers: tuple[tuple[Layer, ...], ...]
    fullest: tuple[int, ...]

    def needs(self, stage: int, peak: Peak = "reserved") -> Needs:
        """What a device of a stage needs, as an allocator reserves memory or as it is live."""
        return needs(*self._given(stage), peak)

    def _given(self, stage: int) -> tuple[Ledger, tuple[Saved, ...], States, tuple[Layer, ...], int, Training]:
        share, training = self.shares[stage], self.training
        return share, self.kept[stage], states_of(share, training), self.layers[stage], stage, training

    def loss(self, stage: int) -> LossBytes | None:
        """What the loss of a stage takes; None where it has none over a vocabulary."""
        return loss_of(self.shares[stage], self.kept[stage], self.training)

    @property
    def has_loss(self) -> bool:
        """Whether the model has a loss over a vocabulary."""
        return self.loss(len(self.shares) - 1) is not None

    def worst(self) -> tuple[int, Needs]:
        """The stage whose devices need most, the first of several, and what they need."""
        each = {stage: self.needs(stage) for stage in self.fullest}
        stage = max(each, key=lambda place: each[place].total)
        return stage, each[stage]

    def least_total(self) -> int:
        """Bytes that a device of the fullest stage needs at the least, whatever a framework does besides."""
        return self.totals()[1]

    def least(self, stage: int) -> int:
        """Bytes that a device of a stage needs at the least."""
        return totals(*self._given(stage))[1]

    def totals(self) -> tuple[int, int]:
        """Bytes of the fullest stage as an allocator reserves them, and at the least: what `worst` and `least_total` come to."""
        each = [totals(*self._given(stage)) for stage in self.fullest]
        return max(reserved for reserved, _ in each), max(fewest for _, fewest in each)

    def with_(self, **changes: Any) -> Trainer:
        """The same trained in another way: anew from the spec, unless that changes nothing of the parameters."""
        training = self.training._replace(**changes)
        of_the_pass = {
            "micro_batch",
            "attention",
            "recompute",
            "again",
            "dropout",
            *(["loss"] if training.base is None else []),
        }
        if changes.keys() <= of_the_pass and not (self.training.is_laid_out or training.is_laid_out):
            return self._replace(training=training)
        return trainer(self.spec, training, self.context)

    def of_length(self, context: int) -> Trainer:
        """The same on sequences of another length."""
        run = run_of(self.spec, context)._replace(media=self.training.run.media)
        return self._replace(context=context, training=self.training._replace(run=run))


def trainer(spec: ModelSpec, training: Training, context: int) -> Trainer:
    """A model ready to be asked about. Raises `RequestError` for a plan that cannot be, or a block that is not known."""
    run = run_of(spec, context)._replace(media=training.run.media)
    training = training._replace(plan=training.plan.trained, run=run)
    check_plan(lower(spec), training.plan)
    own = _pieces_of(spec, training.plan, run.media)
    made = Trainer(spec, training, context, own.stages, own.shares, own.kept, own.layers, own.fullest)
    return _laid_out_too(made, own) if training.is_laid_out else made


class _Pieces(NamedTuple):
    """What a plan makes of a model, stage by stage; `fullest`: as in `Trainer`, where layers are not told apart by number."""

    stages: tuple[Ledger, ...]
    shares: tuple[Ledger, ...]
    kept: tuple[tuple[Saved, ...], ...]
    layers: tuple[tuple[Layer, ...], ...]
    kinds: tuple[tuple[Ledger, ...], ...]
    """The layers before they are shared."""
    fullest: tuple[int, ...]


def _pieces_of(spec: ModelSpec, plan: Parallelism, media: tuple[TowerPass, ...]) -> _Pieces:
    """The pieces of a model, kept with its spec for all plans that cut the same ledgers; others have their own."""
    cuts = plan.cuts
    if cuts is None or media:
        return _made_pieces(spec, plan, media)
    return keep(spec.made, cuts, lambda: _made_pieces(spec, plan, media))


def _made_pieces(spec: ModelSpec, plan: Parallelism, media: tuple[TowerPass, ...]) -> _Pieces:
    whole = lower(spec, saves=True, media=media).whole
    each = stages(spec, plan, whole)
    shares = shares_of(each, plan)
    kinds = tuple(tuple(of_stage) for of_stage in kinds_of_layers(spec, whole, plan))
    apart = {kind.contents: kind for of_stage in kinds for kind in of_stage}
    layer_of = dict(zip(apart, map(_layer, shares_of(apart.values(), plan)), strict=True))
    layers = tuple(tuple(layer_of[kind.contents] for kind in of_stage) for of_stage in kinds)
    return _Pieces(each, shares, tuple(share.saved for share in shares), layers, kinds, _fullest(each, kinds))


def _fullest(each: tuple[Ledger, ...], kinds: tuple[tuple[Ledger, ...], ...]) -> tuple[int, ...]:
    """The stages that have something which none before them has: of as many layers, and of the same kinds.

    Of those that such a stage has all of, no line is larger: no schedule keeps more micro-batches in flight behind it, and what is
    needed for a moment is the most that any of its layers, tables or head needs.
    """
    found: dict[int, tuple[set[object], set[object]]] = {}
    for place, (stage, layers) in enumerate(zip(each, kinds, strict=True)):
        groups, alone = set[object](stage.contents), set[object](layer.contents for layer in layers)
        if not any(groups <= others and alone <= of_others for others, of_others in found.values()):
            found[place] = groups, alone
    return tuple(found)


def _layer(share: Ledger) -> Layer:
    return Layer(share, share.saved)


def _laid_out_too(made: Trainer, own: _Pieces) -> Trainer:
    """A trainer under a policy that is said layer by layer or product by product."""
    layers = tuple(
        tuple(
            Layer(layer.share, layer.kept, _laid_out(kind, made.training))
            for layer, kind in zip(of_stage, kinds, strict=True)
        )
        for of_stage, kinds in zip(own.layers, own.kinds, strict=True)
    )
    whole = lower(made.spec, saves=True, media=made.training.run.media).whole
    made = made._replace(layers=layers, kept=_kept(made.spec, made.training, whole, own.stages))
    again = made.training.again
    if again is None or not again.of_some:
        return made
    return made._replace(fullest=tuple(range(len(made.kept))))  # what stages keep differs, though they hold the same


def _laid_out(part: Ledger, training: Training) -> tuple[Saved, ...]:
    """What a part of a model saves under a policy that is said layer by layer or product by product; nothing under another."""
    if not training.is_laid_out:
        return ()
    compiled = training.kernels == "fused"
    return tuple(saved_under(part, training.recompute, training.attention, compiled=compiled))


def _kept(
    spec: ModelSpec, training: Training, whole: Ledger, each: tuple[Ledger, ...]
) -> tuple[tuple[Saved, ...], ...]:
    """What each stage saves."""
    if not training.is_laid_out:
        return tuple(stage.saved for stage in each)
    if training.again is None or not training.again.of_some:
        return tuple(_laid_out(stage, training) for stage in each)
    parts = recomputed_stages(spec, training.plan, training.again, whole)
    plain = training._replace(recompute="none")
    return tuple((*_laid_out(again, training), *_laid_out(rest, plain)) for again, rest in parts)
