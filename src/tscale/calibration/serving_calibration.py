"""A serving prediction with the shipped constants: what is read of a calibration, and what comes of a case with it.

Beside constants of the formula, a calibration has deviations of groups of runs: how far builds that were measured are from what
their work says, drawn to nothing by how few runs there are. A deployment that is in no group has none of them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from math import ceil
from typing import Any, Final, NamedTuple

from tscale.calibration.interval import Interval, interval
from tscale.calibration.serving_case import ServingCase
from tscale.calibration.serving_cases import passes_of
from tscale.calibration.serving_deployed import OverCapacityError, cache_room, worker_of
from tscale.calibration.serving_groups import deviation_level, family_of, group_of, keys_of, terms_of, way_of
from tscale.calibration.serving_meanings import LEVELS, MEANINGS, TERMS, Group
from tscale.calibration.serving_one_run import FIRST, RunLoad, share_taken
from tscale.calibration.serving_physics import Physics, chip_of, physics, step_seconds_of, with_guesses
from tscale.catalogue.models import configs
from tscale.catalogue.shipped import plain_data
from tscale.core.adding import in_order
from tscale.core.costs.largest import largest
from tscale.core.costs.serving_prediction import ServingConstants, prompt_seconds
from tscale.core.costs.serving_share import Structure
from tscale.core.elementwise import exp_of, larger, smaller

NAME: Final = "serving"
_MOST: Final = 1.0
"""The most that groups' deviations come to, in logarithms."""
_MOST_ASKED: Final = 10**6
"""Requests at once up to which the most that pools of their own hold is looked for."""
_ENOUGH: Final = 30
"""Runs of a kind below which its interval is that of all kinds."""


class Constant(NamedTuple):
    """A value of all runs, and of groups of them."""

    value: float
    group: Group
    values: Mapping[str, float]


class Spread(NamedTuple):
    """What was measured over what was predicted of runs of a kind: ends of 80% of them, how many, and their median error."""

    low: float
    high: float
    runs: int
    median: float


class Others(NamedTuple):
    """How far predictions are off runs of other sources than those that the constants were fitted to.

    `median`: of request latency or of the throughput that comes of it, |predicted/measured - 1|. `ends`: by figure, what 80% of the
    runs of a source taken at random are within, measured over predicted.
    """

    sources: tuple[str, ...]
    runs: int
    median: float
    ends: Mapping[str, tuple[float, float]]


class Calibration(NamedTuple):
    """Constants, groups' deviations by level and key, and what was measured over what was predicted by kind."""

    name: str
    runs: int
    constants: Mapping[str, Constant]
    deviations: Mapping[tuple[str, str], tuple[tuple[float, ...], tuple[float, ...]]]
    """By level and key: the terms of times per output token, and of those to first token."""
    spreads: Mapping[str, Mapping[str, Spread]]
    families: frozenset[str]
    """Kinds of models that were measured."""
    chips: frozenset[str]
    """Chips that were, by their names in configs/hardware."""
    errors: Mapping[str, Mapping[str, Mapping[str, float]]]
    """By how runs were kept from the fit, and figure: median, p90, mean."""
    others: Others
    another_source: bool = False
    """Whether what is predicted is run by others than those who ran what the constants were fitted to."""
    own: frozenset[str] = frozenset()
    """Groups of the first of `LEVELS` of which one's own runs are known."""


class OfFittedSource(NamedTuple):
    """Seconds as whoever ran what the constants were fitted to measured them."""

    tpot: Interval
    ttft: Interval
    latency: Interval


class Prediction(NamedTuple):
    """Seconds of a deployment in steady state, each with its bound; what is known of runs like it, and which runs those are."""

    tpot: Interval
    ttft: Interval
    latency: Interval
    tpot_bound: float
    ttft_bound: float
    latency_bound: float
    known: str
    kind: str
    fitted_source: OfFittedSource | None
    """Where the intervals are as wide as other sources' runs say: those of the source that constants were fitted to."""
    prompts_per_second: float
    """What all devices that prefill take in: more requests than that wait."""
    prefill: Interval
    """Seconds that an attention rank takes for each prompt where all have prompts one after the other."""
    prefill_bound: float
    decoding: float
    """The share of the requests that decode at once; the others wait for their first token."""


@cache
def shipped(name: str = NAME) -> Calibration:
    """The shipped calibration, of runs of the source that it was fitted to."""
    return calibration_from(name, plain_data(name))


def calibration_from(name: str, data: Mapping[str, Any]) -> Calibration:
    """A calibration as its file says it, with the table of deviations beside it."""
    constants = {
        key: Constant(float(said["value"]), said.get("by", ""), said.get("values", {}))
        for key, said in data["constants"].items()
    }
    spreads = {
        figure: {kind: Spread(**spread) for kind, spread in kinds.items()}
        for figure, kinds in data["residuals"].items()
    }
    return Calibration(
        name,
        data["fitted_to"]["runs"],
        constants,
        _deviations(name),
        spreads,
        frozenset(data["families"]),
        frozenset(data["chips"]),
        data["cross_validation"],
        _others(data["other_sources"]) if "other_sources" in data else _NO_OTHERS,
    )


def _others(data: Mapping[str, Any]) -> Others:
    ends = {figure: (found["low"], found["high"]) for figure, found in data["ends"].items()}
    return Others(tuple(data["sources"]), data["runs"], data["median"], ends)


_NO_OTHERS: Final = Others((), 0, 0.0, dict.fromkeys(("tpot", "ttft", "latency"), (1.0, 1.0)))
"""Where no run of another source is known: intervals are as they are."""


def _deviations(name: str) -> dict[tuple[str, str], tuple[tuple[float, ...], tuple[float, ...]]]:
    """Groups' deviations, from the table beside the constants."""
    text = (configs() / "calibrations" / f"{name}-groups.csv").read_text(encoding="utf-8")
    found = {}
    for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#")):
        terms = tuple(tuple(float(row[f"{figure}_{term}"]) for term in TERMS) for figure in ("tpot", "ttft"))
        found[row["level"], row["group"]] = (terms[0], terms[1])
    return found


def constants_for(calibration: Calibration, case: ServingCase) -> ServingConstants:
    """The constants of a case: those of its groups, or of all runs where its group was not measured."""
    groups = {by: group_of(case, by) for by in {constant.group for constant in calibration.constants.values()}}
    found = {
        name: constant.values.get(groups[constant.group], constant.value)
        for name, constant in calibration.constants.items()
    }
    return ServingConstants(**{name: found[name] for name in MEANINGS})


class Deviation(NamedTuple):
    """By how much a case's groups deviate, as factors of its times, what of it was measured, and whether another source runs it."""

    tpot: float
    ttft: float
    known: str
    another_source: bool


def deviation_of(calibration: Calibration, case: ServingCase, structure: Structure) -> Deviation:
    """The deviations of a case's groups that were measured, and the closest of them.

    Of a chip that was not measured they are those of the nearest, and nothing is known of how near it is.
    """
    terms, keys, sums = terms_of(case), keys_of(case), [0.0, 0.0]
    family = "family" if is_covered(calibration, case, structure) else "elsewhere"
    level = deviation_level(calibration.deviations, keys) if case.hardware.name in calibration.chips else ""
    known = level or family
    for item in keys.items():
        for place, found in enumerate(calibration.deviations.get(item, ())):
            sums[place] += in_order(a * b for a, b in zip(found, terms, strict=True))
    tpot, ttft = (exp_of(smaller(larger(total, -_MOST), _MOST)) for total in sums)
    another = calibration.another_source and not is_own(calibration, keys)
    return Deviation(tpot, ttft, known, another)


def is_own(calibration: Calibration, keys: Mapping[str, str]) -> bool:
    """Whether one's own runs of a case's model, engine and generation of chips are in the calibration."""
    return keys[LEVELS[0]] in calibration.own


def is_covered(calibration: Calibration, case: ServingCase, structure: Structure) -> bool:
    """Whether models of this kind were measured, in this format, and on this chip."""
    formats = calibration.constants["read_experts"].values
    return (
        family_of(structure) in calibration.families
        and group_of(case, "experts generation") in formats
        and case.hardware.name in calibration.chips
    )


def prompt_share(case: ServingCase, calibration: Calibration) -> float:
    """The share of what devices do that is done for prompts, the rest being for answers: what their costs are divided by.

    Of pools apart, their devices; where they share devices, the time of a prompt beside a request's share of its steps.
    """
    if case.disaggregated:
        return case.prefill.layout.devices * case.prefill.workers / case.devices
    structure, constants = worker_of(case, case.decode).structure, constants_for(calibration, case)
    passes = passes_of(case)
    prompt = prompt_seconds(passes.prompt, chip_of(case), constants) / case.decode.layout.pipeline
    steps = case.output / case.yielded * step_seconds_of(case, passes.decode, structure, constants) / case.batch
    return prompt / (prompt + steps)


class _Middle(NamedTuple):
    """Seconds with the deviations of groups, what is known of them, and the formula's own with its bounds."""

    tpot: float
    ttft: float
    known: str
    another_source: bool
    physics: Physics


def _middle(case: ServingCase, calibration: Calibration) -> _Middle:
    structure = worker_of(case, case.decode).structure
    found = physics(case, structure, constants_for(calibration, case))
    if case.draft is not None:
        found = with_guesses(found, case, case.draft, constants_for(calibration, case.draft))
    deviation = deviation_of(calibration, case, structure)
    known, another = deviation.known, deviation.another_source
    return _Middle(found.tpot * deviation.tpot, found.ttft * deviation.ttft, known, another, found)


class Measured(NamedTuple):
    """What was measured of a deployment at one load: seconds of an output token, and to the first token; None where not."""

    concurrency: int
    tpot: float | None
    ttft: float | None


def predict(case: ServingCase, calibration: Calibration | None = None, measured: Measured | None = None) -> Prediction:
    """The times of a case, as 80% intervals about a middle, beside their bounds.

    `measured`: a run of the same deployment and lengths, whose error is taken over. Raises `RequestError` as `physics` does, and
    `OverCapacityError` where the cache does not hold the requests.
    """
    calibration = shipped() if calibration is None else calibration
    check_capacity(case, calibration)
    return predict_held(case, calibration, measured)


def check_capacity(case: ServingCase, calibration: Calibration) -> None:
    """Raises `OverCapacityError` where weights and the caches of the requests that hold one do not fit, with how many requests would.

    Those that wait for their prompts hold none: of a pool for prompts that is full, or of steps that take in no more of them, all but
    as many as decode by Little's law, however many are asked for.
    """
    room, each = cache_room(case)
    if case.requests * each <= room:
        return
    held = _held(case, calibration)
    if held * each <= room:
        return
    ranks = case.decode.layout.attention_data * case.decode.workers
    most = holds = int(room / each) * ranks
    asked = f"{case.concurrency:,} are asked for"
    if held < case.requests:
        if case.disaggregated:
            found = largest(
                lambda some: _held(case._replace(concurrency=some), calibration) * each <= room, _MOST_ASKED
            )
            most = _MOST_ASKED if found is None else found
        asked = f"{ceil(held * ranks):,} of the {case.concurrency:,} that are asked for would hold one: ask for at most {most:,}"
    raise OverCapacityError(
        f"over capacity: the cache holds {holds:,} requests of {round(case.prompt + case.output):,} tokens, and {asked}; the rest "
        "would queue, which is not predicted",
        most,
    )


def _held(case: ServingCase, calibration: Calibration) -> float:
    """Requests of an attention rank that hold a cache on the devices that decode."""
    if case.disaggregated and case.decoding is None:
        case = case._replace(decoding=_middle(case, calibration).physics.decoding)
    return case.held


def predict_held(case: ServingCase, calibration: Calibration, measured: Measured | None = None) -> Prediction:
    """The same of a case whose requests are known to be held; where its `concurrency` is an array, so are all times.

    Raises `RequestError` where a layout does not divide the model.
    """
    middle = _middle(case, calibration)
    tpot, ttft, known = middle.tpot, middle.ttft, middle.known
    if measured is not None:
        there = _middle(case._replace(concurrency=measured.concurrency), calibration)
        known = "measured"
        taken = share_taken(
            RunLoad(measured.concurrency, there.physics.prompts_share),
            RunLoad(case.concurrency, middle.physics.prompts_share),
        )
        tpot *= 1.0 if measured.tpot is None else (measured.tpot / there.tpot) ** taken
        ttft *= 1.0 if measured.ttft is None else (measured.ttft / there.ttft) ** FIRST
    found = middle.physics
    way = way_of(case)
    shortest = case.output * case.shortest
    least = larger(  # by itself, as many at once as decode, and as prompts are taken in for (Little's law)
        larger(found.ttft_bound + shortest * found.tpot_bound, shortest * found.answer_bound),
        case.queue * found.prefill_bound,
    )

    def within(figure: str, middle: float, bound: float) -> Interval:
        spread = spread_of(calibration, figure, known, way)
        return interval(middle, spread.low, spread.high, bound)

    first, whole = within("ttft", ttft, found.ttft_bound), within("latency", ttft + case.output * tpot, least)
    times = Prediction(
        within("tpot", tpot, found.tpot_bound),
        first._replace(high=smaller(first.high, whole.high)),  # no first token comes after the last
        whole,
        found.tpot_bound,
        found.ttft_bound,
        least,
        known,
        f"{known}, {way}",
        None,
        case.prefill.workers * case.prefill.layout.attention_data / found.prefill,
        within("ttft", found.prefill, found.prefill_bound),
        found.prefill_bound,
        found.decoding,
    )
    return of_another_source(times, calibration) if middle.another_source and measured is None else times


def decoding_seconds(case: ServingCase, calibration: Calibration) -> float:
    """Seconds of an output token of a case whose requests are known to be held, with no prompt beside it."""
    found = _middle(case, calibration)
    return found.tpot * (1 - found.physics.prompts_share)


def of_another_source(times: Prediction, calibration: Calibration) -> Prediction:
    """The same with intervals that are no shorter than runs of other sources say."""

    def wide(figure: str, of: Interval, bound: float) -> Interval:
        other = interval(of.middle, *calibration.others.ends[figure], bound)
        return Interval(smaller(of.low, other.low), of.middle, larger(of.high, other.high))

    latency = wide("latency", times.latency, times.latency_bound)
    first = wide("ttft", times.ttft, times.ttft_bound)
    return times._replace(
        tpot=wide("tpot", times.tpot, times.tpot_bound),
        ttft=first._replace(high=smaller(first.high, latency.high)),
        latency=latency,
        prefill=wide("ttft", times.prefill, times.prefill_bound),
        fitted_source=OfFittedSource(times.tpot, times.ttft, times.latency),
    )


def for_another_source(calibration: Calibration) -> Calibration:
    """The calibration of what others run than those who ran what it was fitted to: what is asked about, not judged."""
    return calibration._replace(another_source=True)


def spread_of(calibration: Calibration, figure: str, known: str, way: str) -> Spread:
    """How far runs laid out in a `way` that were left out are from what is predicted; of few, those laid out in any that as much is known of.

    Of a model that was not measured, models left out one by one: that others of its family were makes it no nearer.
    """
    kinds = calibration.spreads[figure]
    level = "elsewhere" if known == "family" else known
    own = kinds.get(f"{level}, {way}")
    return own if own is not None and own.runs >= _ENOUGH else kinds[level]
