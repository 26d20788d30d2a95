"""`tscale plan --train`: the best layout of a training step, what comes next, and why others are not among them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from time import perf_counter
from typing import Final

from tscale.answers.plan.tables import plan_tables
from tscale.answers.train.media import run_media_notes
from tscale.calibration.training_case import OF_PUBLISHERS
from tscale.core.axis import Axis
from tscale.core.metric import Detail, Report
from tscale.core.number_text import duration, durations, gigabytes, number_text, scaled_estimate, significant
from tscale.errors import RequestError, field
from tscale.estimates.explaining import notes_of
from tscale.estimates.plan.data import plan_data
from tscale.estimates.plan.inverse import fewest, most_tokens, total_tokens
from tscale.estimates.plan.planned import DAY, Planned, days_of, missing, search_of
from tscale.estimates.plan.search import (
    MOST_IN_ALL,
    MOST_SEARCHES,
    Ask,
    Sized,
    Subject,
    ranked,
    subject_of,
    total_rejected,
)
from tscale.estimates.plan.words import command_of, layout_data, layout_text, option_text
from tscale.estimates.rent import rent_of
from tscale.estimates.train.plan import WAITS
from tscale.estimates.utilisation import STEPS_ALONE
from tscale.models.spec import ModelSpec
from tscale.models.stages import even_rounds
from tscale.planning.layouts import MOST_LAYOUTS, Layout

_SHORT: Final = {
    "devices": "degrees with a product other than the number of devices",
    "schedule": "degrees and schedules that contradict each other",
    "divisibility": "heads, matrices or experts that do not divide",
    "layers": "layers that do not split into such stages",
    "sharding": "ZeRO without data parallelism",
    "batch": "a batch that is no multiple of copies by micro-batch",
    "precision": "no peak in the format",
    "memory": "too little memory",
}


def planned_layouts(spec: ModelSpec, ask: Ask) -> Planned:
    """Searches all layouts that are asked for. Raises `TscaleError` for what `train` or `memory` would refuse in all of them."""
    start = perf_counter()
    subject = subject_of(spec, ask.context, ask.media, ask.adapters)
    ask = ask._replace(any_tokens=total_tokens(subject, ask.tokens) is None)
    planned = _planned(subject, ask)
    return planned._replace(seconds=perf_counter() - start)


def plan_train_report(planned: Planned) -> Report:
    """The best layouts, why others are not among them, and what reproduces the first. Exit code 3 where none fits."""
    if not planned.best:
        return _nothing(planned)
    title = _headline(planned)
    notes = notes_of(planned.subject.spec, planned.subject.context.note, *_notes(planned))
    return Report(title, tuple(plan_tables(planned, title)), plan_data(planned), notes, lead=tuple(_lead(planned)))


def _planned(subject: Subject, ask: Ask) -> Planned:
    """Raises `RequestError` for too many searches, and dollars that nobody asks."""
    if len(ask.chips) * len(ask.sizes) > MOST_SEARCHES:
        raise RequestError(
            f"{len(ask.chips)} kinds of hardware by {len(ask.sizes)} numbers of devices are "
            f"{len(ask.chips) * len(ask.sizes)} searches: at most {MOST_SEARCHES}"
        )
    rents = {name: rent_of(hardware, ask.price) for name, hardware in ask.chips}
    for (name, hardware), rent in zip(ask.chips, rents.values(), strict=True):
        if rent is None and (ask.rank == "dollars" or ask.dollars is not None):
            raise RequestError(
                f"no price of {hardware.label} is known: {field('price')} USD gives that of a GPU-hour ({name})"
            )
    if ask.days is not None:
        searches = fewest(subject, ask, rents)
    else:
        most = min(MOST_LAYOUTS, MOST_IN_ALL // (len(ask.chips) * len(ask.sizes)))
        searches = [Sized(subject, ask, chip, gpus, rents[chip[0]], most) for chip in ask.chips for gpus in ask.sizes]
    best = ranked([one for search in searches for one in search.best(ask.top)], ask.rank)
    return Planned(subject, ask, tuple(searches), tuple(best[: ask.top]), 0.0)


def _headline(planned: Planned) -> str:
    first, label = planned.best[0], planned.subject.label
    how = {"time": "fastest", "dollars": "cheapest", "throughput": "most efficient"}[planned.ask.rank]
    where = f"{first.gpus:,} × {first.hardware.label}"
    step = f"{_seconds(first.seconds)} a step, MFU {first.mfu(planned.subject.flops * planned.ask.batch):.0%}"
    may = "" if first.verdict == "fits" else " (may fit)"
    if planned.ask.days is not None:
        days = days_of(planned, first)
        assert days is not None
        return f"{where} are the fewest that train {label} in {duration(planned.ask.days * DAY)}: {layout_text(first.layout)}{may}, {step}, {significant(days)} days"
    if planned.ask.dollars is not None:
        tokens = most_tokens(first, planned.ask.dollars, planned.tokens)
        return f"${number_text(planned.ask.dollars, 'estimate')} train {label} on {number_text(tokens, 'short')} tokens, on {where}: {layout_text(first.layout)}{may}, {step}"
    return f"The {how} layout of {label} on {where}: {layout_text(first.layout)}{may}, {step}"


def _seconds(seconds: float) -> str:
    return duration(Fraction(seconds))


def _lead(planned: Planned) -> Iterator[str]:
    """The command of the first and its interval, of how many it is the first, and what is assumed."""
    first = planned.best[0]
    low, _, high = first.prediction.seconds
    span = durations(Fraction(low), Fraction(high))
    yield f"`{command_of(planned.ask, first)}` shows the first in full; its step takes {span} (an 80% interval)."
    if planned.ask.days is not None or planned.ask.dollars is not None:
        yield f"{'Days' if planned.ask.dollars is None else 'Dollars'} count {STEPS_ALONE}"
    fitting = sum(one.found.size for one in planned.searches)
    yield f"{planned.evaluated:,} layouts tried, {fitting:,} fit or may fit."
    certain = next((best for best in planned.best if best.verdict == "fits"), None)
    if first.verdict != "fits" and certain is not None:
        yield f"The first that certainly fits: {layout_text(certain.layout)}, {_seconds(certain.seconds)} a step."
    if (
        first.rent is not None
        and (planned.ask.rank == "dollars" or planned.ask.dollars is not None)
        and first.rent.said()
    ):
        yield first.rent.said()


def _rejected(planned: Planned) -> Iterator[str]:
    """How many layouts were rejected, and why."""
    rejected = sorted(total_rejected(list(planned.searches)).items(), key=lambda item: -item[1])
    if rejected:
        yield "Rejected: " + "; ".join(f"{count:,} for {_SHORT[reason]}" for reason, count in rejected) + "."


def _notes(planned: Planned) -> Iterator[str]:
    if any(best.verdict == "may_fit" for best in planned.best):
        yield "Layouts that may fit are ranked too: what software and the framework take decides (`tscale memory --train`)."
    if not all(even_rounds(planned.subject.spec, best.layout.plan) for best in planned.best):
        yield WAITS
    if planned.subject.adapters is not None:
        yield "Options of training frameworks are not written for adapters."
    if planned.ask.any_tokens:
        yield "The training tokens are not known: commands name 10^12, which do not change a step."
    yield Detail("Of layouts that come to the same time and memory, the simplest is listed.")
    yield from map(Detail, (*_rejected(planned), *_nearest(planned)))
    yield from run_media_notes(planned.subject.spec, planned.ask.media, planned=True)
    for why in dict.fromkeys(name for best in planned.best for name in best.prediction.choice.outside):
        yield f"The calibration does not cover {why}: intervals are wider."
    if any(best.prediction.choice.another_source for best in planned.best):
        yield Detail(
            "Software and cluster may differ from those of the runs that predictions were fitted to: intervals are as wide as these were off "
            f"{OF_PUBLISHERS}."
        )
    yield Detail(
        "Each layout is predicted and weighed as `tscale train` and `tscale memory --train` do, by the same formulas. Axes that are "
        "not given vary by default: degrees, pieces, micro-batch, ZeRO and recomputation; tensor parallelism within a node, context "
        "parallelism of sequences of 32,768 tokens and more; stages as even as possible, and some that relieve the first and last one. "
        "Full recomputation of the first layers of each stage, as few as fit, is tried where none does not fit and full does. Precision, optimizer, loss, offload, shards and expert tensor "
        "parallelism vary where they are listed."
    )
    yield Detail(f"The search took {planned.seconds:.2g} s.")


def _nearest(planned: Planned) -> Iterator[str]:
    """The layout that does not fit by the least, and one change that makes it fit."""
    nearest = search_of(planned, planned.best[0]).found.nearest
    if nearest is None:
        return
    needs = f"{gigabytes(nearest.least)} of the {significant(nearest.room / 10**9, 4)} there are"
    change = "" if nearest.change is None else f"; with {_difference(nearest.layout, nearest.change[0])} it fits"
    yield f"Nearest to fit: {layout_text(nearest.layout)} needs {needs}{change}."


def _difference(one: Layout, other: Layout) -> str:
    """The options that make one layout another."""
    before, after = (layout_data(layout) for layout in (one, other))
    changed = {key: value for key, value in after.items() if value != before[key] and key != "data"}
    return " ".join(f"--{key.replace('_', '-')} {option_text(value).lower()}" for key, value in changed.items())


_REMEDIES: Final = (
    ("optimizer", "adam-8bit", "--optimizer adam-8bit"),
    ("offload", frozenset({"states"}), "--offload states"),
    ("context_parallel", 8, "--context-parallel 8"),
    ("offload", frozenset({"weights", "states", "activations"}), "--offload weights+states+activations"),
)


def _remedies(search: Sized) -> str:
    """What would make the model fit, one change each: tried, not guessed, on the layouts that need least."""
    ask, found = search.ask, list[str]()
    for name, value, option in _REMEDIES:
        changed = ask._replace(given={**ask.given, name: Axis(option, (value,))})
        if ask.given.get(name) is None and _fits(search, changed, search.gpus):
            found.append(option)
            break
    several = (search.gpus << doublings for doublings in range(1, _MOST_DOUBLINGS + 1))
    more = next((gpus for gpus in several if _fits(search, ask, gpus)), None)
    if more is not None:
        found.append(f"{more:,} devices")
    return f"; it fits with {' or '.join(found)}" if found else ""


def _fits(search: Sized, ask: Ask, gpus: int) -> bool:
    """Whether the model of a search fits so many devices; not where these have no network, or an axis no such value."""
    try:
        return Sized(search.subject, ask, (search.chip, search.hardware), gpus, None, _MOST_REMEDIAL).can_fit
    except RequestError:
        return False


_MOST_DOUBLINGS: Final = 8
_MOST_REMEDIAL: Final = 100_000
"""Layouts that are tried of each change: so many that need least are there where dozens of axes are given."""


def _nothing(planned: Planned) -> Report:
    """The answer where no layout fits: what comes nearest."""
    search = min(planned.searches, key=missing)
    nearest, spec = search.found.nearest, planned.subject.spec
    where = f"{search.gpus:,} × {search.hardware.label}"
    title = f"No layout of {planned.subject.label} on {where} works: none of {planned.evaluated:,} tried"
    lead = [*_rejected(planned)]
    if nearest is not None:
        lead.append(
            f"The nearest, {layout_text(nearest.layout)}, needs {scaled_estimate(nearest.least, 'B')} at the least, and a device has "
            f"{scaled_estimate(nearest.room, 'B')} for it{_remedies(search)}."
        )
    return Report(
        title, (), plan_data(planned), notes_of(spec, planned.subject.context.note), exit_code=3, lead=tuple(lead)
    )
