"""What would make a step fit that does not: more rollouts or tokens up to a limit, and single changes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from tscale.core.costs.largest import largest
from tscale.core.counts import MOST_CONTEXT
from tscale.core.methods import SLEEPERS
from tscale.core.parallelism import divisors
from tscale.core.precision import OPTIMIZERS
from tscale.errors import RequestError
from tscale.estimates.memory.changes import Change
from tscale.estimates.memory.room import Room
from tscale.estimates.post_training.models import Ask, Models, models_of
from tscale.estimates.post_training.phases import Held, fullest, peak
from tscale.models.spec import ModelSpec
from tscale.models.trainer import RANK

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


def changes_of(models: Models) -> list[Change]:
    """Each change that is enough alone; where none is, pairs of them that are; with what a device then holds at its peak."""
    spec = models.spec
    tried = [(one, _held(spec, one.ask)) for one in _candidates(spec, models.ask)]
    alone = [Change(one.option, total, one.costs) for one, (total, fits) in tried if fits]
    return alone or list(islice(_pairs(spec, [one for one, _ in tried]), _MOST_PAIRS))


def _held(spec: ModelSpec, ask: Ask) -> tuple[int, bool]:
    """Bytes at the peak of a step, and whether every phase of it fits; not where it cannot be."""
    try:
        phases = fullest(models_of(spec, ask))[1]
    except RequestError:
        return 0, False
    return peak(phases).total, fitting(phases)


class _Tried(NamedTuple):
    """A change: its option, the step with it, and what it costs."""

    option: str
    ask: Ask
    costs: str


def _pairs(spec: ModelSpec, tried: list[_Tried]) -> Iterator[Change]:
    """Two changes that are enough together, each two once, and one of each option."""
    seen: set[frozenset[str]] = set()
    for first in tried:
        for second in _candidates(spec, first.ask):
            names = frozenset(one.option.partition(" ")[0] for one in (first, second))
            if len(names) > 1 and names not in seen:
                total, fits = _held(spec, second.ask)
                if fits:
                    seen.add(names)
                    yield Change(f"{first.option} {second.option}", total, f"{first.costs}; {second.costs}")


_MOST_PAIRS: Final = 5


def _candidates(spec: ModelSpec, ask: Ask) -> Iterator[_Tried]:
    training = ask.how
    if (ask.online or ask.method == "dpo") and ask.asleep != frozenset(SLEEPERS):
        yield _Tried(
            "--sleep all", ask._replace(asleep=frozenset(SLEEPERS)), "models and states go to the host and back"
        )
    if ask.online:
        yield from _of_rollouts(ask)
    if training.micro_batch > 1:
        yield _Tried("--micro-batch 1", _trained(ask, micro_batch=1), "more micro-batches in a step")
    if training.recompute != "full":
        again = _trained(ask, recompute="full", again=None)
        yield _Tried("--recompute full", again, "a third more FLOPs of training")
    if training.loss != "fused-linear" and training.plan.tensor == 1:
        yield _Tried(
            "--loss fused-linear", _trained(ask, loss="fused-linear"), "another kernel: head and loss in chunks"
        )
    if training.plan.sharing > 1:
        for stage in range(training.plan.zero + 1, 4):
            spread = training.plan._replace(zero=stage)
            yield _Tried(f"--zero {stage}", _trained(ask, plan=spread), "more communication")
    if training.optimizer.name != "adam-8bit":
        eight = _trained(ask, optimizer=OPTIMIZERS["adam-8bit"])
        yield _Tried("--optimizer adam-8bit", eight, "another optimizer")
    if training.rank is None:
        shared = ask.reference is not None and ask.reference == spec
        lora = _trained(ask, rank=RANK)._replace(shares_reference=shared)
        yield _Tried(f"--lora-rank {RANK}", lora, "adapters are trained, and the reference is the policy without them")


def _of_rollouts(ask: Ask) -> Iterator[_Tried]:
    """Engines on more devices, or with fewer sequences at once."""
    for tensor in divisors(ask.generating):
        if tensor > ask.tensor:
            costs = f"{ask.generating // tensor:,} engines; all-reduces in every layer"
            yield _Tried(f"--rollout-tensor {tensor}", ask._replace(rollout_tensor=tensor), costs)
    once = ask.waiting[0] // 2
    while once:
        yield _Tried(f"--rollout-batch {once}", ask._replace(rollout_batch=once), "the others wait")
        once //= 2


def _trained(ask: Ask, **changes: Any) -> Ask:
    return ask._replace(training=ask.training.with_(**changes))
