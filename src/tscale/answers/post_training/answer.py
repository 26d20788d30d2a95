"""A step of training after pre-training on its devices: which models stand there, and what each phase holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from tscale.answers.capacity import Capacity, Verdict, serving_capacity, training_capacity
from tscale.answers.memory.answer import Ask as Serving
from tscale.answers.memory.answer import server_of
from tscale.answers.memory.held import Server, held_at
from tscale.answers.memory_train.ask import Ask as TrainAsk
from tscale.answers.memory_train.held import Weighed, weighed
from tscale.answers.trainer import Trainer
from tscale.core.costs.post_training import ONLINE, Method, Phase, Resident, Sleeper, Stage, held_in, scoring_bytes
from tscale.core.costs.rollout import Lengths, fullest_tokens
from tscale.core.costs.states import frozen_states
from tscale.core.costs.training_memory import logits_of
from tscale.core.costs.training_setup import Training
from tscale.core.costs.workspace import activation_bytes
from tscale.core.dtypes import DTYPES, Dtype
from tscale.core.metric import Line
from tscale.core.parallelism import divisors, or_list
from tscale.core.serving_layout import ServingLayout
from tscale.core.tracing import ceil_div, minimum
from tscale.errors import RequestError, field
from tscale.models.lower import run_of
from tscale.models.spec import Head, ModelSpec

PAIR: Final = 2
"""Sequences of a pair: the chosen response and the rejected one."""


class Ask(NamedTuple):
    """A step: its method, how the policy is trained, the models beside it, its rollouts, and what leaves devices.

    `batch`: sequences, or pairs, of a step of the optimizer; None: all that a step generates. `prompts` and `group`: of the rollouts;
    0 prompts where there are none. `longest`: tokens of the longest sequence. `apart`: devices that only generate.
    """

    method: Method
    training: TrainAsk
    reference: ModelSpec | None = None
    shares_reference: bool = False
    """Whether the reference is the policy with its adapters off."""
    precomputed: bool = False
    reward: ModelSpec | None = None
    value: ModelSpec | None = None
    group: int = 1
    prompts: int = 0
    batch: int | None = None
    prompt: int = 0
    response: int = 0
    longest: int | None = None
    apart: int | None = None
    rollout_tensor: int | None = None
    rollout_batch: int | None = None
    rollout_dtype: Dtype | None = None
    asleep: frozenset[Sleeper] = frozenset({"rollout"})
    epochs: int = 1

    @property
    def how(self) -> Training:
        """How the policy is trained."""
        return self.training.how

    @property
    def online(self) -> bool:
        """Whether it trains on what it generates."""
        return self.method in ONLINE

    @property
    def rollouts(self) -> int:
        """Responses of a step."""
        return self.prompts * self.group

    @property
    def scores_reference(self) -> bool:
        """Whether log-probabilities of a reference are taken in each step."""
        return self.reference is not None and not self.precomputed

    @property
    def devices(self) -> int:
        """Devices that train, and those that only generate."""
        return self.how.plan.devices + (self.apart or 0)

    @property
    def generating(self) -> int:
        """Devices that generate."""
        return self.how.plan.devices if self.apart is None else self.apart

    @property
    def engines(self) -> int:
        """Copies of the policy that generate. Raises `RequestError` where their devices are not a multiple of theirs."""
        tensor = self.tensor
        if self.generating % tensor:
            name = "tensor" if self.rollout_tensor is None else "rollout_tensor"
            raise RequestError(
                f"{field(name, tensor)} does not divide the {self.generating:,} devices that generate: use {field('rollout_tensor')} "
                f"{or_list(divisors(self.generating))}"
            )
        return self.generating // tensor

    @property
    def tensor(self) -> int:
        """Devices that share each layer in rollouts."""
        return self.rollout_tensor or self.how.plan.tensor

    def cached(self, longest: int) -> int:
        """Tokens of a sequence in an engine's cache at the moment when it holds the most."""
        return fullest_tokens(Lengths(self.response, longest - self.prompt), self.prompt)

    @property
    def waiting(self) -> tuple[int, int]:
        """Sequences that an engine decodes at once, and those that wait for it meanwhile."""
        each = ceil_div(self.rollouts, self.engines)
        once = each if self.rollout_batch is None else minimum(each, self.rollout_batch)
        return once, each - once


class Models(NamedTuple):
    """What stands on the devices: the policy as it is trained and as it generates, and the models beside it."""

    ask: Ask
    policy: Weighed
    server: Server | None
    reference: Trainer | None
    reward: Trainer | None
    value: Weighed | None

    @property
    def spec(self) -> ModelSpec:
        """The policy."""
        return self.policy.model.spec

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return self.policy.model.context


def models_of(spec: ModelSpec, ask: Ask) -> Models:
    """The models of a step. Raises `RequestError` for what cannot be trained so, or cannot generate."""
    if ask.method != "sft" and spec.kind != "decoder":
        raise RequestError(
            f"{spec.label} is an {spec.kind}: {field('method', ask.method)} is of decoders, which write responses"
        )
    micro = ask.how.micro_batch * (PAIR if ask.method == "dpo" else 1)
    training = ask.training.with_(micro_batch=micro)._replace(context=ask.longest)
    policy = weighed(spec, training)
    beside = training.with_(rank=None, base=None)
    return Models(
        ask,
        policy,
        _server(spec, ask, int(policy.context.value)) if ask.online else None,
        None if ask.reference is None or ask.shares_reference or ask.precomputed else _frozen(ask.reference, beside),
        None if ask.reward is None else _frozen(scoring(ask.reward), beside),
        None if ask.value is None else weighed(scoring(ask.value), training.with_(loss=None)),
    )


def scoring(spec: ModelSpec) -> ModelSpec:
    """A model that scores: in place of the projection to the vocabulary one to a number for each position, without a bias.

    So transformers builds `num_labels=1` of a decoder (`LlamaForSequenceClassification`), which TRL takes as reward and value model.
    """
    return replace(spec, head=Head(kind="none", classes=1, classes_bias=False, per_token=True))


def _frozen(spec: ModelSpec, training: TrainAsk) -> Trainer:
    """A model that is only read, spread as the policy is."""
    if spec.kind != "decoder":
        raise RequestError(f"{spec.label} is an {spec.kind}: a model that scores reads responses as decoders do")
    return weighed(spec, training.with_(loss=training.how.loss if spec.head.kind != "none" else None)).model


def _server(spec: ModelSpec, ask: Ask, longest: int) -> Server:
    """The policy as it generates, each engine with the sequences that it decodes at once, when their cache is the largest."""
    tensor, engines = ask.tensor, ask.engines
    layout = ServingLayout(tensor=tensor, expert_tensor=tensor, replicas=engines)
    tokens = ask.cached(longest)
    asked = Serving(
        dtype=ask.rollout_dtype or DTYPES["bf16"], batch=ask.waiting[0] * engines, context=tokens, layout=layout
    )
    return server_of(spec, asked, tokens)


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
    """Bytes that an allocator has reserved for the loss of a training phase and does not use."""
    if phase not in ("training", "value training"):
        return 0
    trained = models.policy if phase == "training" or models.value is None else models.value
    return int(trained.model.needs(stage).total - trained.model.needs(stage, "live").total)


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
