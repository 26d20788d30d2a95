"""Searches of training layouts and the best of them, in one order: how far each is behind, its days, and the best of each size."""

from __future__ import annotations

from typing import Final, NamedTuple

from tscale.core.metric import Known, weakest
from tscale.estimates.plan.inverse import total_tokens
from tscale.estimates.plan.search import Ask, Best, Sized, Subject

DAY: Final = 86_400


class Planned(NamedTuple):
    """Searches and the best of them; `seconds`: that they took."""

    subject: Subject
    ask: Ask
    searches: tuple[Sized, ...]
    best: tuple[Best, ...]
    seconds: float

    @property
    def known(self) -> Known:
        """How predictions are known."""
        return weakest("predicted", self.subject.context.known)

    @property
    def evaluated(self) -> int:
        """Layouts that were tried."""
        return sum(one.found.evaluated for one in self.searches)

    @property
    def several(self) -> bool:
        """Whether kinds of device, or numbers of them, differ."""
        return len(self.searches) > 1

    @property
    def tokens(self) -> int:
        """Of a step."""
        return self.ask.batch * self.subject.run.tokens


def days_of(planned: Planned, one: Best) -> float | None:
    """Days of the whole run; None where its tokens are not known."""
    tokens = total_tokens(planned.subject, planned.ask.tokens)
    return None if tokens is None else tokens / planned.tokens * one.seconds / DAY


def behind(planned: Planned, best: Best) -> float:
    """By how much a layout is behind the first, in what they are ranked by."""
    first = planned.best[0]
    if planned.ask.rank == "dollars" and first.usd and best.usd:
        return best.usd / first.usd - 1
    if planned.ask.rank == "throughput":
        return best.gpus * best.seconds / (first.gpus * first.seconds) - 1
    return best.seconds / first.seconds - 1


def search_of(planned: Planned, best: Best) -> Sized:
    """The search that one of the best is of."""
    return next(one for one in planned.searches if (one.chip, one.gpus) == (best.chip, best.gpus))


def missing(search: Sized) -> float:
    """Bytes that a device has too few of, for the layout that comes nearest."""
    nearest = search.found.nearest
    return float("inf") if nearest is None else nearest.least - nearest.room


class Size(NamedTuple):
    """The best of a number of devices; None where nothing fits."""

    best: Best | None
    efficiency: float | None


def sizes_of(planned: Planned) -> list[tuple[Sized, Size]]:
    """The best of each search, and its throughput per device over that of the first size of its kind of device."""
    found: list[tuple[Sized, Size]] = []
    fewest_of: dict[str, float] = {}
    for search in planned.searches:
        best = next(iter(search.best(1)), None)
        efficiency = None
        if best is not None:
            device_seconds = best.gpus * best.seconds
            efficiency = fewest_of.setdefault(search.chip, device_seconds) / device_seconds
        found.append((search, Size(best, efficiency)))
    return found


def flags_of_best(planned: Planned, best: Best) -> dict[str, str | None]:
    """The options of frameworks for one of the best; None where a framework has none for it."""
    return search_of(planned, best).flags(best.layout)


FRAMEWORKS: Final = {"megatron_lm": "Megatron-LM", "torchtitan": "torchtitan", "nemo": "Megatron-Bridge"}


def of_frameworks(planned: Planned) -> dict[str, Best | None]:
    """For each framework the best layout that it has options for, on the devices of the first."""
    first = planned.best[0]
    flags, search = flags_of_best(planned, first), search_of(planned, first)
    others = {} if all(flags.values()) else search.best_of_frameworks
    return {name: first if flags[name] is not None else others.get(name) for name in FRAMEWORKS}
