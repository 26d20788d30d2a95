"""The rollouts of a step: engines that decode ever fewer responses, by `serve`'s prediction."""

from __future__ import annotations

from typing import NamedTuple

from tscale.calibration.interval import Interval
from tscale.calibration.serving_calibration import Prediction, predict_held
from tscale.calibration.serving_calibration import shipped as serving_calibration
from tscale.calibration.serving_case import Pool, ServingCase
from tscale.calibration.serving_deployed import cache_room
from tscale.calibration.training_case import CURRENT
from tscale.catalogue.hardware import Hardware
from tscale.core.costs.largest import largest
from tscale.core.costs.post_training import Phase
from tscale.core.costs.rollout import Lengths, Piece, pieces
from tscale.core.serving_layout import ServingLayout
from tscale.core.tracing import ceil_div
from tscale.errors import RequestError, field
from tscale.estimates.deployment import Deployment
from tscale.estimates.post_training.models import Ask, Models, models_of
from tscale.estimates.post_training.phases import fullest
from tscale.estimates.serve.prediction import case_of_ask
from tscale.estimates.serve.times import Ask as Serving


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

    def of_one(self, steps: int) -> Timed:
        """The same of one of so many steps."""
        seconds = None if self.seconds is None else Interval(*(end / steps for end in self.seconds))
        return Timed(self.phase, self.bound / steps, seconds, self.tokens // steps)


class Generated(NamedTuple):
    """The rollouts of a step, the sequences that an engine decodes at once, and those that fall on it."""

    timed: Timed
    at_once: int
    each: int


def generation(models: Models, how: How) -> Generated:
    """The rollouts of a step. Raises `RequestError` for an engine that cannot be."""
    hardware, steps = models.ask.training.hardware, _ahead(models.ask, how)
    assert hardware is not None
    models = in_flight(models, how)
    case = _rollout_case(models, hardware)
    at_once = _at_once(models, case)
    each = ceil_div(models.ask.rollouts, models.ask.engines)
    return Generated(_rollout(models, case, at_once, how).of_one(steps), at_once, each)


def _ahead(ask: Ask, how: How) -> int:
    """The steps whose rollouts are generated at once."""
    return 1 if ask.apart is None else max(how.steps_off, 1)


def in_flight(models: Models, how: How) -> Models:
    """The models with all rollouts that are generated at once: those of k steps by devices apart that are k steps ahead.

    Source: NeMo-RL at v0.6.0, nemo_rl/algorithms/async_utils.py, `max_inflight`.
    """
    ask, steps = models.ask, _ahead(models.ask, how)
    return models if steps == 1 else models_of(models.spec, ask._replace(prompts=ask.prompts * steps))


def _rollout_case(models: Models, hardware: Hardware) -> ServingCase:
    """The engines of a step as a deployment that prefills and decodes in turn, one prompt at a time."""
    ask = models.ask
    layout = ServingLayout(ask.tensor, 1, 1, ask.tensor)
    asked = Serving(ask.rollout_dtype, None, ask.tensor, ask.waiting[0], ask.prompt, ask.response)
    case = case_of_ask(models.spec, hardware, asked, Deployment("vllm", layout=layout))
    pool = Pool(layout, ask.engines)
    requests = ask.waiting[0] * ask.engines
    return case._replace(prefill=pool, decode=pool, disaggregated=True, decoding=1.0, concurrency=requests)


def _at_once(models: Models, case: ServingCase) -> int:
    """Sequences that an engine decodes at once: no more than its cache holds beside all else. Raises `RequestError` for none."""
    ask = models.ask
    room, each = cache_room(case._replace(output=float(ask.response)))
    if room < each:
        assert ask.training.hardware is not None
        raise RequestError(
            f"a rollout engine of {ask.tensor} × {ask.training.hardware.label} has no room for a sequence next to the weights of "
            f"{models.spec.label}: give more of {field('rollout_tensor')}"
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
