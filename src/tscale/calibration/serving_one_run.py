"""How much of the error of one measured run is taken over to other loads of its deployment and lengths.

Of times per output token, errors are taken for three random effects in logarithms: one that all loads have, one of prompts that
interfere, by their share of the time, and one that loads have in common the closer they are. What is taken over is what the best
linear prediction makes of the run (Robinson 1991): all of it at its own load, less of it at others. What else varies from run to run
is left out: it was found to be next to nothing beside the third.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tscale.core.elementwise import exp_of, larger, log2_of


class Effects(NamedTuple):
    """Variances of the effects, that of close loads being 1, and over how many doublings of load that falls to 1/e."""

    common: float
    prompts: float
    doublings: float


EFFECTS: Final = Effects(common=0.5, prompts=25.0, doublings=2.0)
"""Estimated from runs that were left out of a fit (`fit_serving`), with and without each build: any numbers near these do as well."""

FIRST: Final = 0.8
"""How much is taken over of times to first token, in logarithms, at any load."""


class RunLoad(NamedTuple):
    """Requests at once, and the share of a time per output token that others' prompts are; may be arrays."""

    concurrency: float
    prompts: float


def share_taken(there: RunLoad, here: RunLoad) -> float:
    """The share of a run's error of a time per output token, in logarithms, that another load is taken to have.

    >>> round(share_taken(RunLoad(64, 0.3), RunLoad(64, 0.3)), 2), round(share_taken(RunLoad(64, 0.3), RunLoad(8, 0.05)), 2)
    (1.0, 0.29)
    """
    apart = log2_of(there.concurrency / here.concurrency)
    close = exp_of(-larger(apart, -apart) / EFFECTS.doublings)
    both = EFFECTS.common + EFFECTS.prompts * there.prompts * here.prompts + close
    return both / (EFFECTS.common + EFFECTS.prompts * there.prompts**2 + 1)
