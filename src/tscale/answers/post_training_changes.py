"""What would make a step fit that does not: more rollouts or tokens up to a limit, and single changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tscale.answers.memory_changes import Change
from tscale.answers.memory_tables import Room
from tscale.answers.post_training import Ask, Held, Models, fullest, models_of, peak
from tscale.core.costs.largest import largest
from tscale.core.costs.post_training import SLEEPERS
from tscale.core.parallelism import divisors
from tscale.core.precision import OPTIMIZERS
from tscale.core.tracing import MOST_CONTEXT
from tscale.errors import RequestError

_MOST: Final = 10**6


def fitting(phases: tuple[Held, ...]) -> bool:
    """Whether every phase fits whatever software takes."""
    return all(one.capacity is None or one.capacity.fits(one.total) for one in phases)


def room_of(models: Models) -> Room:
    """The most sequences that an engine may decode at once, and the longest sequence, with which every phase fits."""
    ask = models.ask
    batch = None
    if ask.online:
        everyone = ask._replace(group=1, rollout_batch=None)
        batch = largest(lambda one: _fits(models, everyone._replace(prompts=one * ask.engines)), _MOST)
    return Room(batch, largest(lambda tokens: _fits(models, ask._replace(longest=tokens)), MOST_CONTEXT))


def _fits(models: Models, ask: Ask) -> bool:
    return fitting(fullest(models_of(models.spec, ask))[1])


def single_changes(models: Models) -> Iterator[Change]:
    """Each change that is enough alone, with what a device then holds at its peak."""
    for option, ask, costs in _candidates(models):
        try:
            phases = fullest(models_of(models.spec, ask))[1]
        except RequestError:
            continue
        if fitting(phases):
            yield Change(option, peak(phases).total, costs)


def _candidates(models: Models) -> Iterator[tuple[str, Ask, str]]:
    ask, training = models.ask, models.ask.training
    if (ask.online or ask.method == "dpo") and ask.asleep != frozenset(SLEEPERS):
        yield "--sleep all", ask._replace(asleep=frozenset(SLEEPERS)), "models and states go to the host and back"
    if ask.online:
        yield from _of_rollouts(ask)
    if training.micro_batch > 1:
        yield "--micro-batch 1", _trained(ask, micro_batch=1), "more micro-batches in a step"
    if training.recompute != "full":
        yield "--recompute full", _trained(ask, recompute="full", again=None), "a third more FLOPs of training"
    if training.loss != "fused-linear" and training.plan.tensor == 1:
        yield "--loss fused-linear", _trained(ask, loss="fused-linear"), "another kernel: head and loss in pieces"
    if training.plan.sharing > 1:
        for stage in range(training.plan.zero + 1, 4):
            yield f"--zero {stage}", _trained(ask, plan=training.plan._replace(zero=stage)), "more communication"
    if training.optimizer.name != "adam-8bit":
        yield "--optimizer adam-8bit", _trained(ask, optimizer=OPTIMIZERS["adam-8bit"]), "another optimizer"
    if training.rank is None:
        shared = ask.reference is not None and ask.reference == models.spec
        lora = _trained(ask, rank=32)._replace(shares_reference=shared)
        yield "--lora-rank 32", lora, "adapters are trained, which the reference does without"


def _of_rollouts(ask: Ask) -> Iterator[tuple[str, Ask, str]]:
    """Engines on more devices, or with fewer sequences at once."""
    for tensor in divisors(ask.generating):
        if tensor > ask.tensor:
            costs = f"{ask.generating // tensor:,} engines; all-reduces in every layer"
            yield f"--rollout-tensor {tensor}", ask._replace(rollout_tensor=tensor), costs
    once = ask.waiting[0] // 2
    while once:
        yield f"--rollout-batch {once}", ask._replace(rollout_batch=once), "the others wait"
        once //= 2


def _trained(ask: Ask, **changes: object) -> Ask:
    return ask._replace(training=ask.training._replace(**changes))  # type: ignore[arg-type]
