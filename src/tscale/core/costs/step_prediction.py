"""How long a training step takes, as a prediction: the sum of its parts, each at a calibrated share of the best.

Where everything may overlap, the longest part bounds a step (`tscale.core.costs.step_time`); what is run overlaps little of
it, so that the sum predicts. A micro-batch takes a stage

    device = products + elementwise traffic/e_traffic + max(attention/e_kernel, keys sent) + exposed communication
    slot   = (device^4 + host^4)^(1/4)

for the host queues a layer's kernels while the device runs those before. A product takes the longer of its FLOPs at e_products of the peak
and its traffic, at the memory's bandwidth; the many small ones of routed experts, at e_traffic of it. A step of m micro-batches in the order of 1F1B, of
p stages of v pieces, takes m·max(slot) + (sum of slots - max)/v, then what of gradients and of weights gathered is not behind backward
and forward passes (`step_sent.hidden_slots`), and the optimizer; other orders idle less (`schedules.predicted_fill`), and DualPipe sends tokens to their experts behind the computing, for which it sets
multiprocessors aside.

All is made of `StepWork` and `TrainingConstants` by products, sums and maxima, so that arrays of runs of one structure
are predicted at once by the same lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from tscale.core.adding import in_order
from tscale.core.costs.step_products import Product
from tscale.core.costs.step_sent import Sent
from tscale.core.costs.step_work import StageWork, StepWork
from tscale.core.elementwise import larger
from tscale.core.tracing import where

SOURCE: Final = "narayanan2021 section 2.2"

POWER: Final = 4
"""Of the smooth maximum of device and host: where both take as long, a slot takes 2^(1/4), 1.19, of either."""


@dataclass(frozen=True, kw_only=True)
class TrainingConstants:
    """What scales the best of a device: shares of a peak, multiples of a part, seconds of a host. The defaults change nothing."""

    products: float = 1.0
    """Share of the 16-bit peak that products of matrices reach, waves apart."""
    products_8bit: float = 1.0
    """Share of the 8-bit peak that they reach in fp8, their conversions included."""
    traffic: float = 1.0
    """Share of the memory's bandwidth."""
    attention: float = 0.5
    """Share of the 16-bit peak that the named fused kernel reaches, forward and backward."""
    whole_head: float = 1.0
    """How many times as long the head takes where tensor parallelism does not cut its vocabulary."""
    recomputed: float = 1.0
    """Share of what is computed again that is seen in the time."""
    sums: float = 1.0
    """How many times as long tensor-parallel sums take within a step as alone."""
    nics: float = 0.8
    """Share of the NICs' bandwidth."""
    dispatches: float = 1.0
    """Share of sending tokens to their experts and back that is not hidden behind computing."""
    hidden: float = 0.0
    """Share of gathered weights and scattered gradients of sharded data parallelism that is hidden behind computing."""
    host_layer: float = 0.0
    """Seconds that the host takes for a layer of a micro-batch."""
    host_tensor: float = 0.0
    """More, where tensor parallelism sums."""
    host_wide: float = 0.0
    """More again, where it does so over eight devices and more."""
    host_softmax: float = 0.0
    """More, where softmax is taken in steps."""
    host_routed: float = 0.0
    """More for one with routed experts, where it queues each kernel of them."""
    host_expert: float = 0.0
    """More again for each of these experts that the device has."""
    host_head: float = 0.0
    """Seconds for the head and the loss of a micro-batch."""
    step: float = 0.0
    """Seconds that each step takes whatever its size."""
    optimizer_bytes: float = 28.0
    """Bytes that the optimizer reads and writes for each parameter."""
    loss_bytes: float = 12.0
    """Bytes that the loss reads and writes for each logit, forward and backward."""


SENDING: Final = 20 / 132
"""Of the multiprocessors of an H800, those that send tokens to their experts while the others compute (DeepSeek-AI 2024c, section
3.2.2), as DeepEP's do by default. Kernels of all-to-alls have some too, and are taken to have as many: without them gpt-oss-120b on
GB200, in turns and by all-to-alls, would take 1.17 times as long as predicted, with them 1.09."""


class StepSeconds(NamedTuple):
    """Seconds of a step by its parts, on the slowest stage; they add up to `seconds`."""

    computing: float
    traffic: float
    attention: float
    keys: float
    sums: float
    dispatches: float
    handed: float
    host: float
    pipeline: float
    gradients: float
    gathers: float
    optimizer: float
    step: float

    @property
    def seconds(self) -> float:
        """The time of the step."""
        total = self[0]
        for part in self[1:]:
            total = total + part
        return total


def predict(work: StepWork, constants: TrainingConstants) -> StepSeconds:
    """The parts of a step's time in seconds, of what it gives its devices to do."""
    slots = [slot_of(stage, work, constants) for stage in work.stages]
    return of_slots(slots, [stage.stages for stage in work.stages], work, constants)


def of_slots(
    each: Sequence[tuple[float, ...]], alike: Sequence[float], work: StepWork, constants: TrainingConstants
) -> StepSeconds:
    """The same of the slots of distinct stages, and of how many stages each is; of the work, what comes once a step."""
    slots = [in_order(parts[1:], parts[0]) for parts in each]
    longest = slots[0]
    for slot in slots[1:]:
        longest = larger(longest, slot)
    filled = in_order((many * slot for many, slot in zip(alike, slots, strict=True)), -longest)
    in_slots = (work.micro_batches * part for part in _of_slowest(each, slots, longest))
    once = (
        filled * work.fill,
        _exposed(work, longest, constants),
        (1 - constants.hidden) * seconds_of(work.gathers, constants.nics),
        constants.optimizer_bytes * work.states,
        constants.step,
    )
    return StepSeconds._make((*in_slots, *once))


def seconds_of(sent: Sent, nics: float) -> float:
    """Seconds of what is sent: its start, then the longer of link and NICs, at a share of the latter's bandwidth."""
    return sent.start + larger(sent.link, sent.network / nics)


def _exposed(work: StepWork, longest: float, constants: TrainingConstants) -> float:
    """What is left of gradients behind slots' backward passes and of weights behind their forward passes, and what is waited for."""
    backward, forward = work.hidden * longest * 2 / 3, work.hidden * longest / 3
    gradients, weights, waited = (
        seconds_of(one, constants.nics) for one in (work.gradients, work.weights, work.waited)
    )
    return larger(gradients, backward) - backward + larger(weights, forward) - forward + waited


def _of_slowest(each: Sequence[tuple[float, ...]], slots: Sequence[float], longest: float) -> list[float]:
    """The parts of the slowest stage; of stages as slow, of the last."""
    parts = list(each[0])
    for other, slot in zip(each[1:], slots[1:], strict=True):
        slowest = slot >= longest
        parts = [part + (new - part) * slowest for part, new in zip(parts, other, strict=True)]
    return parts


def slot_of(stage: StageWork, work: StepWork, constants: TrainingConstants) -> tuple[float, ...]:
    """Seconds of a slot: products, traffic, attention, waiting for keys, sums, dispatches, hand-over, waiting for the host."""
    in_layers = constants.products_8bit if work.eight_bit else constants.products
    again = constants.recomputed
    factor = 1 + (constants.whole_head - 1) * (1 - work.cut)

    def products(of: Sequence[Product], share: float = in_layers, bandwidth: float = 1.0) -> float:
        return _products(of, share, bandwidth)

    computing = products(stage.products) + again * products(stage.again)
    if stage.experts:
        once, repeated = (products(of, in_layers, constants.traffic) for of in (stage.experts, stage.experts_again))
        computing = computing + once + again * repeated
    sixteen = constants.products
    computing = computing + products(stage.scores, sixteen) + again * products(stage.scores_again, sixteen)
    computing = computing + factor * products(stage.head, sixteen)
    traffic = stage.traffic + again * stage.traffic_again + factor * constants.loss_bytes * stage.logits
    free = 1 - SENDING * where(work.hides > 0, 1.0, 0.0)
    attention = (stage.attention + again * stage.attention_again) / constants.attention / free
    summed = seconds_of(stage.sums, constants.nics) + again * seconds_of(stage.sums_again, constants.nics)
    device: tuple[float, ...] = (
        computing / free,
        traffic / constants.traffic,
        attention,
        larger(seconds_of(stage.keys, constants.nics), attention) - attention,
        constants.sums * summed,
    )
    dispatched = constants.dispatches * seconds_of(stage.dispatches, constants.nics)
    computed = in_order(device[1:], device[0])
    hidden = dispatched + computed - larger(dispatched, computed)  # the shorter of the two
    device = (*device, dispatched - work.hides * hidden)
    taken = in_order(device[1:], device[0])
    waiting = (taken**POWER + _host(stage, work, constants) ** POWER) ** (1 / POWER) - taken
    return (*device, seconds_of(stage.handed, constants.nics), waiting)


def _products(products: Sequence[Product], share: float, bandwidth: float) -> float:
    """Products one after the other, each bound by computing or by its traffic."""
    total = 0.0
    for one in products:
        total = total + larger(one.computing / share, one.traffic / bandwidth)
    return total


def _host(stage: StageWork, work: StepWork, constants: TrainingConstants) -> float:
    """Seconds in which the host queues the kernels of a micro-batch."""
    layer = constants.host_layer + work.cut * constants.host_tensor + work.wide * constants.host_wide
    routed = stage.routed * constants.host_routed + stage.held * constants.host_expert
    every = stage.layers * (layer + stage.in_steps * constants.host_softmax) + stage.has_head * constants.host_head
    return every + work.queued * routed
