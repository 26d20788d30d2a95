"""A step of training after pre-training: what is asked, and which models stand on its devices."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

from tscale.core.costs.rollout import Lengths, fullest_tokens
from tscale.core.costs.training_setup import Training
from tscale.core.dtypes import DTYPES, Dtype
from tscale.core.methods import ONLINE, Method, Sleeper
from tscale.core.parallelism import divisors, or_list
from tscale.core.serving_layout import ServingLayout
from tscale.core.tracing import ceil_div, minimum
from tscale.errors import RequestError, field
from tscale.estimates.memory.held import Server
from tscale.estimates.memory.serving import Ask as Serving
from tscale.estimates.memory.serving import server_of
from tscale.estimates.memory_train.ask import Ask as TrainAsk
from tscale.estimates.memory_train.held import Weighed, weighed
from tscale.models.spec import Head, ModelSpec
from tscale.models.trainer import Trainer

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
    skips_old: bool = False
    """Whether the ratio of new to old log-probabilities is taken as 1, so that none are computed before training."""

    @property
    def how(self) -> Training:
        """How the policy is trained."""
        return self.training.how

    @property
    def online(self) -> bool:
        """Whether it trains on what it generates."""
        return self.method in ONLINE

    @property
    def scores_old(self) -> bool:
        """Whether log-probabilities of the policy that generated are taken before it is trained."""
        return self.online and not self.skips_old

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
