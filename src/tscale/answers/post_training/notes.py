"""What is said of a step of training after pre-training, and how its time is made."""

from __future__ import annotations

from collections.abc import Iterator

from tscale.answers.assumptions import rent_notes
from tscale.answers.post_training.memory import METHOD_NAMES, method_notes
from tscale.answers.train.notes import unpacking_note
from tscale.core.costs.post_training import key_of
from tscale.core.costs.rollout import SOURCE as LENGTHS
from tscale.core.metric import Detail, Figure, Step
from tscale.core.sources import cited
from tscale.core.units import SECONDS, TOKENS
from tscale.estimates.post_training.answered import Answered
from tscale.estimates.post_training.rollout import Timed


def not_covered(one: Answered) -> list[str]:
    """What the calibration's runs do not cover."""
    ask, found = one.asked.step, one.calibration
    hardware = ask.training.hardware
    assert hardware is not None
    return [
        *([] if ask.method == "grpo" else [METHOD_NAMES[ask.method]]),
        *([] if hardware.name in found.chips else [hardware.label]),
    ]


def step_notes(one: Answered) -> Iterator[str]:
    """What the prediction rests on, what stands next to the policy, and what is assumed of rollouts."""
    ask, time, found = one.asked.step, one.time, one.calibration
    if one.seconds is None:
        yield f"No step is predicted: {time.why or 'bounds alone are asked for'}."
    elif time.moved:
        yield (
            f"Rollouts are predicted as `tscale serve` does, forward passes and training as `tscale train` does; a step then takes "
            f"{1e9 * found.constants.moved(1.0, colocated=time.colocated):.2g} s more for each GB of "
            f"weights that reaches a device of an engine, sleep and wake included (calibration {found.name}: {found.title}, {found.runs} runs; within "
            f"{found.median_error:.0%} (median) of models that it was not fitted to)."
        )
        outside = not_covered(one)
        if outside:
            yield f"That calibration does not cover {', '.join(outside)}."
    else:
        yield "Forward passes and training are predicted as `tscale train` does."
    if ask.how.base is not None:
        yield unpacking_note(ask.how.base)
    yield from method_notes(one.models)
    if ask.online:
        yield from _rollout_notes(one)
    yield Detail(
        "A forward pass takes a third of the passes of a training step without recomputation, and no optimizer."
    )
    if ask.method != "sft":
        yield Detail(
            "Sequences are packed: a micro-batch has as many tokens as --micro-batch sequences of the longest."
        )
    if one.rent is not None:
        yield from rent_notes(one.rent)


def _rollout_notes(one: Answered) -> Iterator[str]:
    ask, time = one.asked.step, one.time
    longest = one.models.longest - ask.prompt
    if ask.response < longest:
        yield (
            f"Responses of {ask.response:,} tokens on average and {longest:,} at most are taken to be spread as widely as these allow (the largest "
            f"entropy, {cited(LENGTHS)}): the batch shrinks as they end, and the longest ends the rollout."
        )
    if time.at_once < time.each:
        why = "as --rollout-batch says" if ask.rollout_batch == time.at_once else "which its cache holds"
        yield f"An engine decodes {time.at_once:,} of its {time.each:,} sequences concurrently, {why}; the others wait."
    yield Detail("Each prompt is prefilled once for its group (prefix caching). Rewards by rule take no time here.")


def step_derivations(one: Answered) -> Iterator[Step]:
    """How the time of a step is made."""
    ask, subject = one.asked.step, f"{one.models.spec.name}, a step"
    tokens, response, prompt = one.tokens, f"{ask.response:,}", f"{ask.prompt:,}"
    if ask.online:
        names = "prompts·group·response_tokens"
        yield Step(
            "tokens generated",
            names,
            f"{ask.prompts:,}·{ask.group:,}·{response}",
            Figure(tokens.generated, TOKENS),
            subject,
        )
        numbers = f"{ask.prompts:,}·{ask.group:,}·({prompt} + {response})"
        yield Step(
            "tokens scored",
            "prompts·group·(prompt_tokens + response_tokens)",
            numbers,
            Figure(tokens.scored, TOKENS),
            subject,
        )
    if one.seconds is None or one.time.alone is None:
        return
    parts = [timed for timed in one.time.phases if timed.seconds is not None]
    if one.time.moved:
        each = one.calibration.constants.moved(1.0, colocated=one.time.colocated)
        yield Step(
            "moving_weights",
            "seconds_per_byte·weights",
            f"{each:.3g}·{one.time.moved:,}",
            Figure(one.moving, SECONDS, one.known),
            subject,
        )
    yield from _whole(one, parts, subject)


def _whole(one: Answered, parts: list[Timed], subject: str) -> Iterator[Step]:
    """The sum of a step, or the longer of its two sides."""

    def added(found: list[Timed]) -> tuple[str, str]:
        names = " + ".join(key_of(timed.phase) for timed in found)
        numbers = " + ".join(f"{timed.seconds.middle:.4g}" for timed in found if timed.seconds is not None)
        return names, numbers

    moving = (" + moving_weights", f" + {one.moving:.4g}") if one.time.moved else ("", "")
    rollout = [timed for timed in parts if timed.phase == "rollout"]
    others = [timed for timed in parts if timed.phase != "rollout"]
    if one.time.overlapped:
        (first, a), (second, b) = added(rollout), added(others)
        names, numbers = f"max({first}, {second})", f"max({a}, {b})"
    else:
        names, numbers = added(parts)
    yield Step("step_seconds", names + moving[0], numbers + moving[1], Figure(one.middle, SECONDS, one.known), subject)
