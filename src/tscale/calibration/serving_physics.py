"""Times of a deployment by the formula alone, with the constants of its groups, and their bounds.

How far groups of runs are from it is `tscale.calibration.serving_calibration`.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from tscale.calibration.serving_case import ServingCase, cluster_of
from tscale.calibration.serving_cases import at_once, least_passes, least_step, passes_of, step_curve_of
from tscale.calibration.serving_deployed import worker_of
from tscale.core.costs.serving_loop import share_decoding
from tscale.core.costs.serving_prediction import (
    Chip,
    Load,
    ServingConstants,
    StepCurve,
    host_seconds,
    launch_seconds,
    least_seconds,
    pool_seconds,
    prefill_seconds,
    prompt_seconds,
    step_seconds,
    tpot_seconds,
    ttft_seconds,
)
from tscale.core.costs.serving_share import Structure
from tscale.core.costs.serving_work import PassWork
from tscale.core.elementwise import larger, log2_of, smaller


class Physics(NamedTuple):
    """Seconds by the formula alone, and of its bounds."""

    tpot: float
    ttft: float
    tpot_bound: float
    ttft_bound: float
    answer_bound: float
    """Of an output token where as many decode as are asked for: a bound of whole requests, for fewer at once end no more of them."""
    prefill: float
    """Of a prompt on the devices that prefill, with nothing before it, where all copies of attention have one."""
    prefill_bound: float
    prompts_share: float
    """The share of an output token's time that others' prompts are."""
    decoding: float
    """The share of the requests that decode at once, or are taken to."""


def load_of(case: ServingCase) -> Load:
    """The load of a case. Where requests wait, each step is full of prompts, the next one's among them."""
    return Load(
        smaller(case.requests, case.most_decoding + 1),
        case.queue,
        case.output,
        log2_of(case.decode.layout.ranks),
        0.0 if case.disaggregated else 1.0,
        case.waited,
        0.0 if case.is_mixing else case.chunks - 1.0,
        case.scheduling.places,
        1.0 * case.is_cold,
        1.0 * case.is_eager,
        1.0 * case.is_mixing,
        case.begun,
    )


def chip_of(case: ServingCase) -> Chip:
    """The rates of a case's chip; one without a link talks to nobody."""
    cluster = cluster_of(case.hardware)
    memory = cluster.device.memory_bytes_per_second
    link = cluster.device.link_bytes_per_second or memory
    network = cluster.network_bytes_per_second or link
    return Chip(memory, link, network, case.host or inf, 1.0 * case.hardware.network_is_bus)


def physics(case: ServingCase, structure: Structure, constants: ServingConstants) -> Physics:
    """The times of a case by the formula, and its bounds. Raises `RequestError` where a layout does not divide the model.

    A pipeline of p stages decodes p parts of the batch in turn: a token passes all stages with one of them, and a prompt keeps each
    stage for a part of its time. Chunks of a prompt beyond the first take a step of decoding each, or a pass of launches. Guessed
    tokens that are right come with the step that verifies them.
    """
    chip, load = chip_of(case), load_of(case)
    least_case = case._replace(decoding=0.0) if case.decoding is None else case  # how many decode changes no prompt
    passes = passes_of(least_case)
    yielded, launches = case.yielded, load.launches * launch_seconds(structure, load, constants)
    step, host = step_seconds_of(case, passes.decode, structure, constants), host_seconds(structure, load, constants)
    each = prefill_seconds(passes.full, chip, constants) / case.prefill.layout.pipeline + launches
    first = ttft_seconds(passes.prefill, larger(step, host), structure, chip, load, constants)
    if case.disaggregated and case.decoding is None:
        curve = step_curve_of(case, chip, load, constants)
        case = case._replace(decoding=_decoding(case, curve, first, case.queue * each))
        step = curve.at(at_once(case, case.batch))
    prompt = prompt_seconds(passes.prompt, chip, constants) / case.decode.layout.pipeline + launches
    tpot = larger(tpot_seconds(step, prompt, structure, load, constants, yielded), host / yielded)
    first = larger(first, pool_seconds(each, tpot, load))
    least = least_passes(least_case, passes)
    together = least.decode if not case.disaggregated else least_step(case._replace(decoding=1.0))
    return Physics(
        tpot,
        first + case.crowd * case.output * tpot,
        least_seconds(least.decode, chip) / yielded,
        least_seconds(least.prefill, chip) / case.prefill.layout.pipeline,
        least_seconds(together, chip) / yielded,
        each,
        least_seconds(passes.full, chip) / case.prefill.layout.pipeline,
        1 - larger(step, host) / yielded / tpot,
        case.batch / case.requests,
    )


def _decoding(case: ServingCase, curve: StepCurve, first: float, full: float) -> float:
    """The share of the requests that decode, as a closed loop leaves them; `first` and `full` are seconds, as `share_decoding` has them."""
    requests = case.requests

    def answer_seconds(share: float) -> float:
        return case.output / case.yielded * curve.at(at_once(case, larger(1.0, requests * share)))

    return share_decoding(answer_seconds, first, full)


def with_guesses(found: Physics, case: ServingCase, draft: ServingCase, constants: ServingConstants) -> Physics:
    """The times with those of a model that guesses one token after the other before each step, and takes in each prompt too."""
    draft = draft._replace(concurrency=case.concurrency, chunk=case.chunk, decoding=found.decoding)
    structure = worker_of(draft, draft.decode).structure
    own = physics(draft, structure, constants)
    least = own
    if case.disaggregated and case.decoding is None:
        draft = draft._replace(decoding=0.0)
        least = physics(draft, structure, constants)
    rounds, first = case.guesses / case.yielded, own.prefill
    return found._replace(
        tpot=found.tpot + rounds * own.tpot,
        ttft=found.ttft + first,
        tpot_bound=found.tpot_bound + rounds * least.tpot_bound,
        answer_bound=found.answer_bound + rounds * own.answer_bound,
        prefill=found.prefill + first,
        prefill_bound=found.prefill_bound + own.prefill_bound,
    )


def step_seconds_of(case: ServingCase, work: PassWork, structure: Structure, constants: ServingConstants) -> float:
    """Seconds of a step of decoding, over all stages."""
    stages, new = case.decode.layout.pipeline, 1 + case.guesses
    return step_seconds(work, structure, chip_of(case), load_of(case), constants, stages, new)
