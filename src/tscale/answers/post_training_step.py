"""The time of a step of training after pre-training: rollouts by `serve`'s prediction, forward passes and training by `train`'s."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from tscale.answers.deployment import Deployment
from tscale.answers.explaining import TracedModel, counted
from tscale.answers.peak import peak_of, products_of
from tscale.answers.post_training import PAIR, Ask, Models, fullest, headless, models_of
from tscale.answers.recomputed import Recomputed, recomputed
from tscale.answers.serve_prediction import case_of_ask
from tscale.answers.serve_times import Ask as Serving
from tscale.answers.train_plan import planned_step
from tscale.answers.train_prediction import predicted_step
from tscale.calibration.interval import Interval, interval
from tscale.calibration.post_training_calibration import Calibration
from tscale.calibration.serving_calibration import Prediction, predict_held
from tscale.calibration.serving_calibration import shipped as serving_calibration
from tscale.calibration.serving_cases import Pool, ServingCase, cache_room
from tscale.calibration.training_case import CURRENT
from tscale.catalogue.hardware import Hardware
from tscale.core.costs.largest import largest
from tscale.core.costs.post_training import Phase, StepConstants, joined
from tscale.core.costs.rollout import Lengths, Piece, pieces
from tscale.core.costs.step_time import Batch
from tscale.core.serving_layout import ServingLayout
from tscale.core.tracing import ceil_div
from tscale.errors import RequestError
from tscale.models.lower import run_of
from tscale.models.spec import ModelSpec

FORWARD: Final = Fraction(1, 3)
"""The share of a step's passes over its layers that is forward: backward, each product has two gradients (Kaplan 2020, section 2.1)."""


class How(NamedTuple):
    """What predicts: the training stack, the attention kernel, whether bounds alone are wanted, and how stale rollouts may be."""

    stack: str = CURRENT
    kernel: str | None = None
    bound_only: bool = False
    steps_off: int = 0


class Timed(NamedTuple):
    """A phase of a step: its least seconds, the prediction, which is None where there is none, and the tokens that it is of."""

    phase: Phase
    bound: float
    seconds: Interval | None
    tokens: int


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
        return max(constants.passes * alone + constants.moved(self.moved, colocated=self.colocated), self.bound)

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


class Generated(NamedTuple):
    """The rollouts of a step, and the sequences that an engine decodes at once."""

    timed: Timed
    at_once: int


class Passed(NamedTuple):
    """The forward passes and the training of a step, and why they are not predicted, if they are not."""

    phases: tuple[Timed, ...]
    why: str


def step_time(models: Models, how: How = How()) -> StepTime:
    """The time of a step. Raises `RequestError` for what cannot be timed: adapters, and a plan or a layout that cannot be."""
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
        ceil_div(ask.rollouts, ask.engines) if ask.online else 0,
        0 if models.server is None else int(models.server.weights().total),
        why,
    )


def generation(models: Models, how: How) -> Generated:
    """The rollouts of a step. Raises `RequestError` for an engine that cannot be."""
    hardware = models.ask.training.hardware
    assert hardware is not None
    case = _rollout_case(models, hardware)
    at_once = _at_once(models, case)
    return Generated(_rollout(models, case, at_once, how), at_once)


def trained(models: Models, how: How) -> Passed:
    """The phases on the devices that train. Raises `RequestError` for adapters, and a plan that cannot be."""
    hardware = models.ask.training.hardware
    assert hardware is not None
    if models.ask.training.rank is not None:
        raise RequestError(
            "no step of adapters is timed, for times are those of full training: drop --lora-rank or --qlora, or ask `tscale memory`"
        )
    one = _Trained(models, hardware, how)
    return Passed(tuple(one.phases()), one.why)


# ---------------------------------------------------------------------------------------------------------------------
# Rollouts
# ---------------------------------------------------------------------------------------------------------------------


def _rollout_case(models: Models, hardware: Hardware) -> ServingCase:
    """The engines of a step as a deployment that prefills and decodes in turn, one prompt at a time."""
    ask = models.ask
    layout = ServingLayout(ask.tensor, 1, 1, ask.tensor)
    asked = Serving(ask.rollout_dtype, None, ask.tensor, ask.waiting[0], ask.prompt, ask.response)
    case = case_of_ask(models.spec, hardware, asked, Deployment("vllm", layout=layout))
    pool = Pool(layout, ask.engines)
    return case._replace(prefill=pool, decode=pool, disaggregated=True, concurrency=ask.waiting[0] * ask.engines)


def _at_once(models: Models, case: ServingCase) -> int:
    """Sequences that an engine decodes at once: no more than its cache holds beside all else. Raises `RequestError` for none."""
    ask = models.ask
    room, each = cache_room(case._replace(output=float(ask.response)))
    if room < each:
        assert ask.training.hardware is not None
        raise RequestError(
            f"a rollout engine of {ask.tensor} × {ask.training.hardware.label} has no room for a sequence next to the weights of "
            f"{models.spec.label}: give more of --rollout-tensor"
        )
    most = max(1, min(ask.waiting[0], int(room / each)))
    return _fitting(models, most) or most


def _fitting(models: Models, most: int) -> int:
    """The most sequences of an engine with which what a device holds in rollouts fits for certain; 0 where none does."""

    def fits(batch: int) -> bool:
        same = batch == models.ask.waiting[0]
        found = fullest(models if same else models_of(models.spec, models.ask._replace(rollout_batch=batch)))[1]
        return all(one.capacity is None or one.capacity.fits(one.total) for one in found if one.phase == "rollout")

    return most if fits(most) else min(largest(fits, most) or 0, most)


def _predicted(case: ServingCase) -> Prediction:
    return predict_held(case, serving_calibration())


def _rollout(models: Models, case: ServingCase, at_once: int, how: How) -> Timed:
    """Prompts once for each group, then steps of ever fewer sequences up to the longest response."""
    ask = models.ask
    lengths = Lengths(ask.response, models.longest - ask.prompt)
    each = ceil_div(ask.rollouts, ask.engines)
    prompts = ceil_div(ask.prompts, ask.engines)
    first = _predicted(case._replace(concurrency=ask.engines))
    scaled = 1 / (first.prompts_per_second / ask.engines)
    spread = first.ttft
    prefill = Interval(*(prompts * scaled * end / spread.middle for end in (spread.low, spread.middle, spread.high)))
    total, bound = list(prefill), prompts * first.ttft_bound
    for piece in pieces(lengths, at_once, max(each - at_once, 0), ask.rollouts):
        step = _decoded(case, piece, ask)
        total = [time + piece.steps * end for time, end in zip(total, step.tpot, strict=True)]
    bound += _least_decoding(case, lengths, each, ask)
    tokens = ask.rollouts * ask.response
    return Timed("rollout", bound, None if how.bound_only else Interval(*total), tokens)


def _decoded(case: ServingCase, piece: Piece, ask: Ask) -> Prediction:
    """A step of so many sequences, whose cache holds the prompt and what was decoded before."""
    keys = ask.prompt + piece.tokens
    now = case._replace(prompt=keys, output=1.0, concurrency=round(piece.sequences) * ask.engines)
    return _predicted(now)


def _least_decoding(case: ServingCase, lengths: Lengths, each: int, ask: Ask) -> float:
    """The least seconds: all tokens at the full batch, or the mean response of a single sequence, whichever is longer.

    No step of more sequences takes less than one of fewer, and a step of all of them is the best that a token can share.
    """
    alone = _predicted(case._replace(concurrency=ask.engines, output=1.0)).tpot_bound
    together = _predicted(case._replace(concurrency=each * ask.engines, output=1.0)).tpot_bound
    return max(lengths.mean * together, lengths.most * alone if lengths.fixed else lengths.mean * alone)


# ---------------------------------------------------------------------------------------------------------------------
# Forward passes and training
# ---------------------------------------------------------------------------------------------------------------------


class _Passed(NamedTuple):
    """One pass over sequences: its least seconds, and the predicted ones."""

    bound: float
    seconds: Interval | None
    why: str


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
        if ask.online:
            yield self._forward("old log-probs", spec, everyone, tokens)
        if ask.scores_reference and ask.reference is not None:
            yield self._forward("reference", ask.reference, everyone, tokens)
        if ask.reward is not None:
            yield self._forward("reward", headless(ask.reward), everyone, tokens)
        if ask.value is not None:
            yield self._forward("value", headless(ask.value), everyone, tokens)
        yield self._updates("training", spec, tokens)
        if ask.value is not None:
            yield self._updates("value training", headless(ask.value), tokens)

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
        training = self.models.ask.training
        model, plan = counted(spec), training.plan
        batch, share = packed(sequences, plan.data, training.micro_batch, self._mean, self.models.longest)
        redone = Recomputed() if forward else self._redone(model)
        dtype, peak = peak_of(self.hardware.device(), self.hardware, products_of(training.recipe.name))
        given = (model, run_of(spec, self._mean), plan, batch, self.hardware.cluster())
        least = planned_step(*given, peak, dtype, redone)
        kernel, stack = self.how.kernel, self.how.stack
        found = predicted_step(*given, dtype, redone, least.step.seconds, known="predicted", stack=stack, kernel=kernel)
        bound = least.step.seconds * share
        if forward:
            bound = least.step.seconds_by["computing"] * share * FORWARD
        if found.found is None or self.how.bound_only:
            self.why = self.why or found.why
            return _Passed(float(bound), None, found.why)
        seconds, parts = found.found.seconds, found.found.parts
        middle = seconds.middle * float(share)
        if forward:
            once = parts.gradients + parts.optimizer + parts.step
            middle = max((parts.seconds - once) * float(share * FORWARD), float(bound))
        ends = (middle * seconds.low / seconds.middle, middle, middle * seconds.high / seconds.middle)
        return _Passed(float(bound), Interval(max(ends[0], float(bound)), *ends[1:]), "")

    def _redone(self, model: TracedModel) -> Recomputed:
        training = self.models.ask.training
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
