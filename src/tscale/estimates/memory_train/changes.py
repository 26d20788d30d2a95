"""Changes that make training fit, one or two at a time, each with what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, Literal, NamedTuple

from tscale.catalogue.hardware import Hardware
from tscale.core.costs.wall_time import hardware_flops_ratio
from tscale.core.dtypes import DTYPES
from tscale.core.loss_kernels import KERNELS
from tscale.core.parallelism import Parallelism, divisors
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.core.sharding import tensor_degrees
from tscale.errors import RequestError
from tscale.estimates.capacity import Capacity, groups_of
from tscale.estimates.memory.changes import Change, larger_hardware, larger_share
from tscale.models.lower import lower
from tscale.models.trainer import RANK, Trainer

_MOST_DEVICES: Final = 2**14
_MOST_PAIRS: Final = 5


class _Tried(NamedTuple):
    """A change on the same devices: its option, the model with it, and what it costs."""

    option: str
    model: Trainer
    costs: str

    def change(self, before: _Tried | None = None) -> Change:
        """What a device then holds; `before`: the change that was made first."""
        option, costs = self.option, self.costs
        if before is not None:
            option, costs = f"{before.option} {option}", f"{before.costs}; {costs}"
        return Change(option, self.model.worst()[1].total, costs, groups_of(self.model.training.plan))


def enough_changes(
    model: Trainer, hardware: Hardware, capacity: Capacity, micro_batch: int | None, context: int | None
) -> tuple[Change, ...]:
    """Each change that is enough alone, the least of its kind; where none on the same devices is, pairs of them that are.

    `micro_batch` and `context` are the largest that fit.
    """
    shorter = _of_the_context(model, context)
    alone = [one.change() for one in (*_of_the_same(model, micro_batch), *shorter)]
    enough = [change for change in alone if change.fits(capacity)]
    enough = enough or list(islice(_pairs(model, capacity), _MOST_PAIRS))
    for more in (_tensor, _pipeline, _expert, _data):
        enough += _first(more(model), capacity)
    total, devices = model.worst()[1].total, model.training.plan.devices
    enough += larger_hardware(lambda _: total, devices, hardware, capacity)
    enough += larger_share(total, capacity)
    return tuple(enough)


def _first(changes: Iterator[Change], capacity: Capacity) -> list[Change]:
    """The first that is enough, as a list of one or none."""
    for change in changes:
        if change.fits(capacity):
            return [change]
    return []


def _pairs(model: Trainer, capacity: Capacity) -> Iterator[Change]:
    """Two changes that are enough together, the least of each two options."""
    seen: set[frozenset[str]] = set()
    for first in _of_the_same(model, 1):
        for second in _of_the_same(first.model, 1):
            names = frozenset(one.option.partition(" ")[0] for one in (first, second))
            if len(names) > 1 and names not in seen:
                change = second.change(first)
                if change.fits(capacity):
                    seen.add(names)
                    yield change


def _of_the_same(model: Trainer, micro_batch: int | None) -> Iterator[_Tried]:
    """Changes that need no other devices and leave the sequences as they are."""
    yield from _of_the_pass(model)
    yield from _of_the_loss(model)
    yield from _of_the_batch(model, micro_batch)
    yield from _of_zero(model)
    yield from _of_the_formats(model)


def _tried(model: Trainer, option: str, costs: str, **changes: Any) -> _Tried:
    return _Tried(option, model.with_(**changes), costs)


def _of_the_pass(model: Trainer) -> Iterator[_Tried]:
    """A fused attention, and computing again."""
    training = model.training
    if training.attention == "naive":
        yield _tried(model, "--attention flash", "a fused kernel, with the same results", attention="flash")
    for again in ("selective", "full"):
        useful = training.recompute == "none" or (again == "full" and training.recompute != "full")
        if useful and (again == "full" or training.attention == "naive"):
            before = hardware_flops_ratio(lower(model.spec), training.run, training.recompute)
            after = hardware_flops_ratio(lower(model.spec), training.run, again)
            more = f"{float(after / before - 1):.1%} more FLOPs"
            yield _tried(model, f"--recompute {again}", more, recompute=again, again=None)


def _of_the_loss(model: Trainer) -> Iterator[_Tried]:
    """Head and loss in one kernel, a piece at a time, where a device has the whole vocabulary."""
    training = model.training
    if model.has_loss and training.plan.tensor == 1 and training.loss_kernel != "fused-linear":
        yield _tried(
            model, "--loss fused-linear", f"another kernel: {KERNELS['fused-linear'].does}", loss="fused-linear"
        )


def _of_the_batch(model: Trainer, micro_batch: int | None) -> Iterator[_Tried]:
    now = model.training.micro_batch
    if micro_batch and micro_batch < now:
        costs = f"micro-batches of {micro_batch:,}, not {now:,}: more of them in a step"
        yield _tried(model, f"--micro-batch {micro_batch}", costs, micro_batch=micro_batch)


def _of_the_context(model: Trainer, context: int | None) -> Iterator[_Tried]:
    if context and context < model.context:
        costs = f"{100 * context / model.context:.3g}% of the context"
        yield _Tried(f"--context {context}", model.of_length(context), costs)


def _of_zero(model: Trainer) -> Iterator[_Tried]:
    plan = model.training.plan
    if plan.tensor > 1 and not plan.sequence:
        costs = "the same communication volume (Korthikanti 2022)"
        yield _tried(model, "--sequence", costs, plan=plan._replace(sequence=True))
    if plan.sharing > 1:
        for stage in range(plan.zero + 1, 4):
            costs = {
                1: "no more communication",
                2: "no more communication, but for each micro-batch",
                3: "up to half as much communication again, for each micro-batch",
            }[stage]
            yield _tried(model, f"--zero {stage}", f"{costs} (Rajbhandari 2019)", plan=plan._replace(zero=stage))


def _of_the_formats(model: Trainer) -> Iterator[_Tried]:
    training = model.training
    for name in ("adam-8bit", "adafactor"):
        if name != training.optimizer.name:
            optimizer = OPTIMIZERS[name]
            yield _tried(model, f"--optimizer {name}", f"another optimizer: {optimizer.note}", optimizer=optimizer)
    if training.precision.master:
        precision = PRECISIONS["pure-bf16"]
        costs = "no master weights: updates below bf16's 8 bits are lost"
        yield _tried(model, f"--precision {precision.name}", costs, precision=precision)
    if training.base is None and not training.precision.products:  # matrices in 4 bits are multiplied in 16
        costs = f"only adapters of rank {training.rank or RANK} are trained, on a model in 4 bits"
        yield _tried(model, "--qlora", costs, rank=training.rank or RANK, base=DTYPES["nf4"])


def _spread(model: Trainer, option: str, plan: Parallelism, costs: str) -> Iterator[Change]:
    """The change to another plan; none where the model cannot be spread so."""
    now = model.training.plan.devices
    if plan.devices > max(_MOST_DEVICES, now):
        return
    more = f"--data {plan.data}" + (f" --gpus {plan.devices}" if plan.devices > now else "")
    devices = f"{plan.devices:,} devices, not {now:,}" if plan.devices > now else "fewer copies of the model"
    try:
        yield _tried(model, f"{option} {more}".strip(), f"{devices}{costs}", plan=plan).change()
    except RequestError:
        return


def _plans(model: Trainer, way: Literal["tensor", "pipeline"], degrees: list[int]) -> Iterator[tuple[int, Parallelism]]:
    """Each higher degree of a way: first on as many devices, with fewer copies of the model, then on more of them."""
    plan = model.training.plan
    now = plan.tensor if way == "tensor" else plan.pipeline

    def spread(degree: int, data: int) -> tuple[int, Parallelism]:
        if way == "tensor":
            return degree, plan._replace(tensor=degree, data=data)
        return degree, plan._replace(pipeline=degree, data=data)

    factors = [degree // now for degree in degrees if degree > now and degree % now == 0]
    for factor in factors:
        if plan.data % factor == 0:
            yield spread(now * factor, plan.data // factor)
    for factor in factors:
        yield spread(now * factor, plan.data)


def _tensor(model: Trainer) -> Iterator[Change]:
    for degree, plan in _plans(model, "tensor", tensor_degrees(lower(model.spec), experts=False)):
        yield from _spread(model, f"--tensor {degree}", plan, "; all-reduces in every layer")


def _pipeline(model: Trainer) -> Iterator[Change]:
    for degree, plan in _plans(model, "pipeline", divisors(int(model.spec.layers))):
        yield from _spread(model, f"--pipeline {degree}", plan, "; a pipeline bubble in each step")


def _expert(model: Trainer) -> Iterator[Change]:
    """Routed experts divided over the devices that there are."""
    plan = model.training.plan
    for degree in divisors(plan.expert * plan.expert_copies):
        if degree > plan.expert:
            try:
                costs = "each token is sent to its experts and back (all-to-all)"
                yield _tried(model, f"--expert {degree}", costs, plan=plan._replace(expert=degree)).change()
            except RequestError:
                continue


def _data(model: Trainer) -> Iterator[Change]:
    """More copies, of which ZeRO makes use."""
    plan = model.training.plan
    if plan.zero and plan.shards is None:
        copies = 2 * plan.data
        while copies * plan.devices <= _MOST_DEVICES * plan.data:
            yield from _spread(model, "", plan._replace(data=copies), "; larger batches")
            copies *= 2
