"""The time of a step of training after pre-training: rollouts by `serve`'s prediction, forward passes and training by `train`'s."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from tscale.calibration.interval import Interval, interval
from tscale.calibration.post_training_calibration import Calibration
from tscale.catalogue.hardware import Hardware
from tscale.core.costs.post_training import Phase, StepConstants, joined
from tscale.core.costs.step_time import Batch
from tscale.core.tracing import ceil_div
from tscale.errors import RequestError, field
from tscale.estimates.explaining import TracedModel, adapting, of_plain
from tscale.estimates.memory.peak import peak_of, products_of
from tscale.estimates.post_training.models import PAIR, Models, scoring
from tscale.estimates.post_training.rollout import Generated, How, Timed, generation
from tscale.estimates.recomputed import Recomputed, recomputed
from tscale.estimates.train.plan import planned_step
from tscale.estimates.train.prediction import predicted_step
from tscale.models.lower import run_of
from tscale.models.spec import ModelSpec

FORWARD: Final = Fraction(1, 3)
"""The share of a step's passes over its layers that is forward: backward, each product has two gradients (Kaplan 2020, section 2.1)."""
_DISPATCHER: Final = "alltoall"
"""How tokens go to their experts: NeMo-RL's default (`moe_token_dispatcher_type` of examples/configs/grpo_math_1B.yaml at v0.6.0). No CUDA graph
holds its layers either: the host queues each kernel of experts."""


class StepTime(NamedTuple):
    """The phases of a step as they are predicted alone, and how they come to its time.

    `overlapped`: whether devices that only generate do so while others train. `at_once`: sequences that an engine decodes at once, of
    `each` that fall on it. `moved`: bytes of weights that each device of an engine is given. `why`: why there is no prediction.
    """

    phases: tuple[Timed, ...]
    overlapped: bool
    colocated: bool
    at_once: int
    each: int
    moved: int
    why: str = ""

    @property
    def bound(self) -> float:
        """The least seconds of a step."""
        return self._joined([one.bound for one in self.phases])

    @property
    def alone(self) -> float | None:
        """Seconds of the passes as each is predicted alone; None where one has no prediction."""
        found = [None if one.seconds is None else one.seconds.middle for one in self.phases]
        return None if None in found else self._joined([time for time in found if time is not None])

    def middle(self, constants: StepConstants) -> float | None:
        """The predicted seconds of a step with what it takes beside its passes."""
        alone = self.alone
        if alone is None:
            return None
        return max(alone + constants.moved(self.moved, colocated=self.colocated), self.bound)

    def seconds(self, calibration: Calibration) -> Interval | None:
        """The same as an 80% interval. Of methods that generate nothing it is that of training."""
        if not self.moved:
            return self._passes()
        middle = self.middle(calibration.constants)
        return None if middle is None else interval(middle, calibration.low, calibration.high, self.bound)

    def _passes(self) -> Interval | None:
        """The sum of the phases' intervals."""
        found = [one.seconds for one in self.phases if one.seconds is not None]
        if len(found) < len(self.phases):
            return None
        low, middle, high = (sum(end) for end in zip(*found, strict=True))
        return Interval(low, middle, high)

    def _joined(self, seconds: list[float]) -> float:
        rollout = sum(time for one, time in zip(self.phases, seconds, strict=True) if one.phase == "rollout")
        return joined(rollout, sum(seconds) - rollout, overlapped=self.overlapped)


class Passed(NamedTuple):
    """The forward passes and the training of a step, and why they are not predicted, if they are not."""

    phases: tuple[Timed, ...]
    why: str


def step_time(models: Models, how: How = How()) -> StepTime:
    """The time of a step. Raises `RequestError` for what cannot be timed: forward passes in few bits, and a plan or a layout that cannot be."""
    generated = generation(models, how) if models.ask.online else None
    return together(models, how, generated, trained(models, how))


def together(models: Models, how: How, generated: Generated | None, passed: Passed) -> StepTime:
    """The time of a step of its rollouts and its other phases."""
    ask = models.ask
    why = "bounds alone are asked for" if how.bound_only else passed.why
    return StepTime(
        (*(() if generated is None else (generated.timed,)), *passed.phases),
        ask.apart is not None and how.steps_off > 0,
        ask.apart is None,
        0 if generated is None else generated.at_once,
        0 if generated is None else generated.each,
        0 if models.server is None else int(models.server.weights().total),
        why,
    )


def trained(models: Models, how: How) -> Passed:
    """The phases on the devices that train. Raises `RequestError` for passes over few bits that are not timed, and a plan that cannot be."""
    ask, hardware = models.ask, models.ask.training.hardware
    assert hardware is not None
    if ask.how.base is not None and (ask.online or ask.scores_reference):
        raise RequestError(
            f"no step of {ask.method} on a model in few bits is timed: drop {field('qlora')}, or ask `tscale memory`"
        )
    one = _Trained(models, hardware, how)
    return Passed(tuple(one.phases()), one.why)


class _Passed(NamedTuple):
    """One pass over sequences: its least seconds, and the predicted ones."""

    bound: float
    seconds: Interval | None


class _Trained:
    """The phases on the devices that train; sequences are packed, so that a micro-batch has as many tokens as one of the longest."""

    def __init__(self, models: Models, hardware: Hardware, how: How) -> None:
        self.models, self.hardware, self.how = models, hardware, how
        self.why = ""
        self._forwards: dict[int, _Passed] = {}

    def phases(self) -> Iterator[Timed]:
        """The forward passes over all sequences of a step, and the steps of the optimizer."""
        models, ask = self.models, self.models.ask
        spec, everyone, mean = models.spec, self._sequences, self._mean
        tokens = everyone * mean
        if ask.scores_old:
            yield self._forward("old log-probs", spec, everyone, tokens)
        if ask.scores_reference and ask.reference is not None:
            yield self._forward("reference", ask.reference, everyone, tokens)
        if ask.reward is not None:
            yield self._forward("reward", scoring(ask.reward), everyone, tokens)
        if ask.value is not None:
            yield self._forward("value", scoring(ask.value), everyone, tokens)
        yield self._updates("training", spec, tokens)
        if ask.value is not None:
            yield self._updates("value training", scoring(ask.value), tokens)

    @property
    def _mean(self) -> int:
        """The mean tokens of a sequence."""
        ask = self.models.ask
        return self.models.longest if ask.method == "sft" else ask.prompt + ask.response

    @property
    def _sequences(self) -> int:
        """Sequences of a step, both of each pair."""
        ask = self.models.ask
        if ask.online:
            return ask.rollouts
        batch = ask.batch
        assert batch is not None
        return batch * (PAIR if ask.method == "dpo" else 1)

    @property
    def _of_update(self) -> int:
        """Sequences of a step of the optimizer."""
        ask = self.models.ask
        return ask.batch if ask.online and ask.batch is not None else self._sequences

    def _forward(self, phase: Phase, spec: ModelSpec, sequences: int, tokens: int) -> Timed:
        one = self._forwards.get(id(spec)) or self._passed(spec, sequences, forward=True)
        self._forwards[id(spec)] = one
        return Timed(phase, one.bound, one.seconds, tokens)

    def _updates(self, phase: Phase, spec: ModelSpec, tokens: int) -> Timed:
        """All steps of the optimizer, the last of which may be of fewer sequences."""
        ask = self.models.ask
        updates = Fraction(self._sequences, self._of_update) * ask.epochs
        one = self._passed(spec, self._of_update, forward=False)
        seconds = None if one.seconds is None else Interval(*(float(updates) * end for end in one.seconds))
        return Timed(phase, float(updates) * one.bound, seconds, tokens * ask.epochs)

    def _passed(self, spec: ModelSpec, sequences: int, *, forward: bool) -> _Passed:
        """A step of so many sequences, or its forward passes alone."""
        training = self.models.ask.how
        model, plan = of_plain(spec), training.plan
        if not forward:
            model = adapting(model, training.rank, training.lora_targets, training.base)
        batch, share = packed(sequences, plan.data, training.micro_batch, self._mean, self.models.longest)
        redone = Recomputed() if forward else self._redone(model)
        dtype, peak = peak_of(self.hardware.device(), self.hardware, products_of(training.precision.name))
        cluster = self.hardware.cluster()
        least = planned_step(model, run_of(spec, self._mean), plan, batch, cluster, peak, dtype, redone)
        kernel, stack, base = self.how.kernel, self.how.stack, None if forward else training.base
        found = predicted_step(
            model, run_of(spec, self._filled(batch)), plan, batch, cluster, dtype, redone, least.step.seconds, known="predicted",
            stack=stack, kernel=kernel, base=base, gradient_bytes=training.precision.gradients, dispatcher=_DISPATCHER,
        )  # fmt: skip
        bound = least.step.seconds * share
        if forward:
            bound = least.step.seconds_by["computing"] * share * FORWARD
        if found.found is None or self.how.bound_only:
            self.why = self.why or found.why
            return _Passed(float(bound), None)
        seconds, parts = found.found.seconds, found.found.parts
        middle = seconds.middle * float(share)
        if forward:
            once = parts.gradients + parts.optimizer + parts.step
            middle = max((parts.seconds - once) * float(share * FORWARD), float(bound))
        ends = (middle * seconds.low / seconds.middle, middle, middle * seconds.high / seconds.middle)
        return _Passed(float(bound), Interval(max(ends[0], float(bound)), *ends[1:]))

    def _filled(self, batch: Batch) -> int:
        """Tokens of a sequence with its part of the padding that fills a micro-batch up: stages of a pipeline send one another as many each time.

        Source: NeMo-RL at v0.6.0, nemo_rl/models/megatron/data.py, `_get_pack_sequence_parameters_for_megatron`.
        """
        if self.models.ask.how.plan.pipeline == 1:
            return self._mean
        return max(self._mean, self.models.ask.how.micro_batch * self.models.longest // batch.micro)

    def _redone(self, model: TracedModel) -> Recomputed:
        training = self.models.ask.how
        return recomputed(model.spec, model.ledger, training.recompute, training.again, training.plan)


def packed(sequences: int, copies: int, micro: int, mean: int, longest: int) -> tuple[Batch, Fraction]:
    """The batch of so many sequences packed in micro-batches, and the share of its sequences that there are.

    A micro-batch has room for `micro` sequences of the longest; sequences are spread evenly over as many as are needed.

    Example:
        >>> packed(512, copies=8, micro=1, mean=1000, longest=4000)
        (Batch(sequences=512, micro=4), Fraction(1, 1))
    """
    room = max(1, micro * longest // mean)
    many = ceil_div(sequences, copies * room)
    each = ceil_div(sequences, copies * many)
    everyone = copies * many * each
    return Batch(everyone, each), Fraction(sequences, everyone)
