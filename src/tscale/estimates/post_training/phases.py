"""What a device holds in each phase of a step of training after pre-training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from tscale.core.costs.post_training import Phase, Resident, Stage, held_in
from tscale.core.costs.states import frozen_states
from tscale.core.costs.training_memory import logits_of
from tscale.core.costs.workspace import activation_bytes
from tscale.core.dtypes import DTYPES
from tscale.core.loss_kernels import scoring_bytes
from tscale.core.metric import Line
from tscale.core.tracing import ceil_div
from tscale.estimates.capacity import Capacity, Verdict, serving_capacity, training_capacity
from tscale.estimates.memory.held import held_at
from tscale.estimates.post_training.models import Models
from tscale.models.lower import run_of
from tscale.models.trainer import Trainer


class Held(NamedTuple):
    """What a device holds in a phase, line by line; `generates`: whether it is a device that only does so.

    `spare`: bytes that an allocator may give back where it runs out of memory, as `memory --train` counts them.
    """

    phase: Phase
    lines: tuple[Line, ...]
    capacity: Capacity | None
    generates: bool = False
    spare: int = 0

    @property
    def total(self) -> int:
        return sum(line.value for line in self.lines)

    @property
    def least(self) -> int:
        """The total at the least."""
        return self.total - self.spare

    @property
    def verdict(self) -> Verdict | None:
        """Whether it fits; None without a device."""
        return None if self.capacity is None else self.capacity.verdict(self.total, self.least)


def fullest(models: Models) -> tuple[int, tuple[Held, ...]]:
    """The pipeline stage whose devices hold most in one of their phases, the first of several, and what they hold in each."""
    each = {stage: held(models, stage) for stage in range(models.ask.how.plan.pipeline)}
    stage = max(each, key=lambda place: peak(each[place]).total)
    return stage, each[stage]


def peak(phases: tuple[Held, ...]) -> Held:
    """The phase that holds most; the first of several."""
    return max(phases, key=lambda one: one.total)


def held(models: Models, stage: int) -> tuple[Held, ...]:
    """What a device of a pipeline stage holds in each phase, and one that only generates."""
    ask = models.ask
    training = _capacity(models, generates=False)
    generating = _capacity(models, generates=True)
    residents = tuple(_residents(models, stage))
    found: list[Held] = []
    for one in _phases(models, stage):
        rollout = one.phase == "rollout"
        alone = rollout and ask.apart is not None
        others = tuple(each for each in residents if (each.owner == "rollout") == alone or ask.apart is None)
        lines = tuple(line for line in held_in(one, others, ask.asleep) if int(line.value))
        spare = _spare(models, one.phase, stage)
        found.append(Held(one.phase, lines, generating if rollout else training, alone, spare))
    return tuple(found)


def _spare(models: Models, phase: Phase, stage: int) -> int:
    """Bytes of a training phase that are there beyond the least."""
    if phase not in ("training", "value training"):
        return 0
    trained = models.policy if phase == "training" or models.value is None else models.value
    return int(trained.model.needs(stage).total - trained.model.least(stage))


def _capacity(models: Models, *, generates: bool) -> Capacity | None:
    hardware, share = models.ask.training.hardware, models.ask.training.memory_share
    if hardware is None:
        return None
    if not generates:
        return training_capacity(hardware.device(), models.ask.how.plan, share)
    assert models.server is not None or not models.ask.online
    groups = 0 if models.server is None else models.server.layout.groups
    return serving_capacity(hardware.device(), models.ask.generating, share, groups)


_POLICY: Final[frozenset[Phase]] = frozenset({"old log-probs", "training"})


def _residents(models: Models, stage: int) -> Iterator[Resident]:
    """What stands on a device of a stage from step to step; of a rollout engine its weights and its cache."""
    ask, needs = models.ask, models.policy.model.needs(stage)
    shared: frozenset[Phase] = frozenset(("reference",) if ask.shares_reference or ask.method == "dpo" else ())
    uses = _POLICY | shared
    yield Resident("policy weights", needs.weights.total, uses, "weights")
    trains: frozenset[Phase] = frozenset({"training", *(("reference",) if ask.method == "dpo" else ())})
    yield Resident("policy master weights", needs.master.total, trains, "optimizer")
    yield Resident("policy optimizer states", needs.optimizer.total, trains, "optimizer")
    if models.reference is not None:
        yield Resident(
            "reference weights", _frozen_bytes(models.reference, stage), frozenset({"reference"}), "reference"
        )
    if models.reward is not None:
        yield Resident("reward weights", _frozen_bytes(models.reward, stage), frozenset({"reward"}), "reward")
    if models.value is not None:
        own = models.value.model.needs(stage)
        value: frozenset[Phase] = frozenset({"value", "value training"})
        yield Resident("value weights", own.weights.total, value, "value")
        states = own.master.total + own.optimizer.total
        yield Resident("value optimizer states", states, frozenset({"value training"}), "value")
    if models.server is not None:
        served = held_at(models.server, 0)
        yield Resident("rollout weights", served.weights, frozenset({"rollout"}), "rollout")
        yield Resident("KV cache", served.kv_cache, frozenset({"rollout"}), "rollout")


def _frozen_bytes(model: Trainer, stage: int) -> int:
    """Bytes of a model that is only read: in the narrowest format that the policy is multiplied in, sharded as the policy is."""
    precision = model.training.precision
    name = precision.name if precision.name in ("fp16", "fp32") else "bf16"
    return frozen_states(model.shares[stage], DTYPES[name], model.training.plan).weights.total


def _phases(models: Models, stage: int) -> Iterator[Stage]:
    """The phases of a step in their order, each with what it needs for itself."""
    ask, policy = models.ask, models.policy.model
    if models.server is not None:
        served = held_at(models.server, 0)
        yield Stage("rollout", (Line("activations", served.activations), Line("logits", served.logits)))
    if ask.scores_old:
        yield Stage("old log-probs", tuple(_scoring(policy, stage)))
    if ask.scores_reference:
        model = policy if models.reference is None else models.reference
        beside = tuple(_forward_kept(policy, stage)) if ask.method == "dpo" else ()
        yield Stage("reference", (*beside, *_scoring(model, stage)))
    if models.reward is not None:
        yield Stage("reward", tuple(_scoring(models.reward, stage)))
    if models.value is not None:
        yield Stage("value", tuple(_scoring(models.value.model, stage)))
    yield Stage("training", tuple(_training(policy, stage)))
    if models.value is not None:
        yield Stage("value training", tuple(_training(models.value.model, stage)))


def _training(model: Trainer, stage: int) -> Iterator[Line]:
    """What the backward passes of a model need beside its states."""
    needs = model.needs(stage)
    yield Line("gradients", needs.gradients.total)
    yield Line("activations", needs.activations.total)
    yield Line("logits", needs.logits.total)
    yield Line("largest temporary", needs.temporary.total)


def _forward_kept(model: Trainer, stage: int) -> Iterator[Line]:
    """What the policy's forward pass keeps while the reference reads the same pairs: TRL's order."""
    needs, loss = model.needs(stage), model.loss(stage)
    yield Line("gradients", needs.gradients.total)
    yield Line("activations", needs.activations.total)
    yield Line("logits", 0 if loss is None else loss.kept)


def _scoring(model: Trainer, stage: int) -> Iterator[Line]:
    """What a forward pass without gradients needs: a layer's arrays, the logits, and weights that ZeRO gathers."""
    training, spec = model.training, model.spec
    tokens = ceil_div(model.context, training.plan.context)
    run, micro = run_of(spec, tokens), training.micro_batch
    share, bits = model.shares[stage], 8 * training.precision.activations
    yield Line("forward activations", activation_bytes(share, run, micro, micro * tokens, spec.d_model, bits))
    logits = logits_of(share, model.kept[stage], training)
    yield Line("forward logits", 0 if logits is None else scoring_bytes(training.loss_kernel, logits))
    gathered = [line.value for line in model.needs(stage).temporary.lines if line.name == "gathered_weights"]
    yield Line("gathered weights", sum(gathered))


def decisive(phases: tuple[Held, ...]) -> Held:
    """The phase that the verdict is of: the one with least room; without a device the peak."""

    def missing(one: Held) -> int:
        return one.total - (0 if one.capacity is None else one.capacity.usable)

    return max(phases, key=missing)
