"""The questions that a search answers the other way round: the fewest devices for a time, the most tokens for a sum of money."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

from tscale.catalogue.hardware import Hardware
from tscale.core.number_text import significant
from tscale.errors import RequestError, field
from tscale.estimates.plan.search import Ask, Best, Sized, Subject
from tscale.estimates.rent import Rent
from tscale.estimates.trained import published_total

_DAY: Final = 86_400
MOST_DEVICES: Final = 2**17
"""Devices that are looked through where no numbers of them are given: more than any run has had."""


def total_tokens(subject: Subject, asked: int | None) -> int | None:
    """The tokens of a run: asked for, or published of one of the whole model; None where neither is."""
    if asked is not None or subject.adapters is not None:
        return asked
    own = published_total(subject.spec)
    return None if own is None else int(own.value)


def most_tokens(best: Best, dollars: Fraction, tokens: int) -> int:
    """The tokens that so many US dollars of GPU-hours train, in steps of so many tokens."""
    assert best.usd is not None, "a price was asked for"
    return int(float(dollars) / best.usd * tokens)


def fewest(subject: Subject, ask: Ask, rents: Mapping[str, Rent | None]) -> list[Sized]:
    """For each kind of device the search with the fewest that train in time; more devices are taken to take no longer.

    Raises:
        RequestError: where the tokens of the run are not known, and where no number of devices that was looked at does.
    """
    tokens = total_tokens(subject, ask.tokens)
    if tokens is None:
        raise RequestError(
            f"the training tokens of {subject.label} are not known: {field('tokens')} gives them, for {field('days')}"
        )
    assert ask.days is not None
    limit = float(ask.days) * _DAY * ask.batch * subject.run.tokens / tokens
    found = [_fewest_of(subject, ask, chip, rents[chip[0]], limit) for chip in ask.chips]
    searches = [one for one in found if one is not None]
    if not searches:
        sizes = ask.sizes or _numbers(ask.chips[0][1], ask.batch)
        raise RequestError(
            f"no number of devices from {sizes[0]:,} to {sizes[-1]:,} trains {subject.spec.label} in {significant(ask.days, 6)} days with a "
            f"batch of {ask.batch:,}: give more {field('days')}, a larger {field('batch')}, or other {field('gpus')}"
        )
    return searches


def _fewest_of(subject: Subject, ask: Ask, chip: tuple[str, Hardware], rent: Rent | None, limit: float) -> Sized | None:
    """Looks halfway through the numbers that are left, each time."""
    sizes = sorted(ask.sizes) or _numbers(chip[1], ask.batch)
    low, high, best = 0, len(sizes), None
    while low < high:
        middle = (low + high) // 2
        search = Sized(subject, ask, chip, sizes[middle], rent)
        if any(one.seconds <= limit for one in search.best(1)):
            high, best = middle, search
        else:
            low = middle + 1
    return best


def _numbers(hardware: Hardware, batch: int) -> list[int]:
    """Devices of whole nodes: powers of two, and half as many again; no more than the sequences of a step by those of a model."""
    node = hardware.cluster().devices_per_node
    found = sorted({node * 2**power * times // 2 for power in range(18) for times in (2, 3)})
    most = min(MOST_DEVICES, batch * 1024)
    return [number for number in found if number % node == 0 and number <= most]
