"""A step of training after pre-training with all that its answer is made of: models, phases, time, tokens, and the price of its hours."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from tscale.calibration.interval import Interval
from tscale.calibration.post_training_calibration import Calibration, shipped
from tscale.core.costs.post_training import Passes, passes
from tscale.core.metric import Known, weakest
from tscale.errors import RequestError, field
from tscale.estimates.post_training.models import Ask, Models, models_of
from tscale.estimates.post_training.rollout import How, in_flight
from tscale.estimates.post_training.step import StepTime, step_time
from tscale.estimates.rent import Rent, rent_of
from tscale.models.spec import ModelSpec


class Asked(NamedTuple):
    """A step, how it is predicted, what an hour of a device costs, and how many steps there are."""

    step: Ask
    how: How = How()
    price: Fraction | None = None
    steps: int | None = None


class Answered(NamedTuple):
    """A step: its models, its phases, its time, and what its hours cost."""

    asked: Asked
    models: Models
    time: StepTime
    seconds: Interval | None
    calibration: Calibration
    tokens: Passes
    rent: Rent | None

    @property
    def known(self) -> Known:
        return weakest("predicted", "assumed" if self.models.policy.context.known == "assumed" else "predicted")

    @property
    def moving(self) -> float:
        """Seconds in which weights move."""
        return self.calibration.constants.moved(self.time.moved, colocated=self.time.colocated)

    @property
    def middle(self) -> float:
        """The seconds that all else follows from: the prediction's, or the bound where there is none."""
        return self.time.bound if self.seconds is None else self.seconds.middle

    @property
    def sequences(self) -> int:
        """Responses, pairs or sequences of a step."""
        ask = self.asked.step
        return ask.rollouts or ask.batch or 0


def models_held(one: Answered) -> Models:
    """The models with as many sequences in an engine's cache as it decodes at once."""
    models, at_once = in_flight(one.models, one.asked.how), one.time.at_once
    ask = models.ask
    if not at_once or at_once == ask.waiting[0]:
        return models
    return models_of(one.models.spec, ask._replace(rollout_batch=at_once))


def answered(spec: ModelSpec, asked: Asked) -> Answered:
    """A step with its time. Raises `RequestError` where it cannot be timed."""
    ask = asked.step
    if ask.training.hardware is None:
        raise RequestError(f"a step is timed on hardware: add {field('gpu')}")
    models = models_of(spec, ask)
    time = step_time(models, asked.how)
    sequences = ask.rollouts or ask.batch or 0
    prompt, response = (models.longest, 0) if ask.method == "sft" else (ask.prompt, ask.response)
    tokens = passes(ask.method, sequences, prompt, response, ask.group, ask.epochs)
    calibration = shipped()
    return Answered(
        asked,
        models,
        time,
        None if asked.how.bound_only else time.seconds(calibration),
        calibration,
        tokens,
        rent_of(ask.training.hardware, asked.price),
    )
