"""How much of the error of one measured run is taken over to other loads of its deployment and lengths.

Of times per output token, errors are taken for two random effects in logarithms: one of prompts that interfere, by their share of
the time, and one that loads have in common the closer they are. What is taken over is what the best linear prediction makes of the
run (Robinson 1991): all of it at its own load, less of it at others. What all loads have in common, and what else varies from run to
run, is left out: both were found to be next to nothing beside the second.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tscale.core.elementwise import exp_of, larger, log2_of, smaller


class Effects(NamedTuple):
    """The variance of the effect of prompts, that of close loads being 1, and over how many doublings of load that falls to 1/e."""

    prompts: float
    doublings: float


EFFECTS: Final = Effects(prompts=30.0, doublings=4.0)
"""Estimated from all pairs of loads of deployments that were left out of a fit (`fit_serving`), weighed by build. Without a tenth of the
builds it is 20 to 40 and 3.4 to 4.3; with these numbers, those builds are 3.6% off in median and 11.5% in the 90th percentile."""

FIRST: Final = 0.8
"""How much is taken over of times to first token, in logarithms, at any load."""


class RunLoad(NamedTuple):
    """Requests at once, and the share of a time per output token that others' prompts are; may be arrays."""

    concurrency: float
    prompts: float


def share_taken(there: RunLoad, here: RunLoad) -> float:
    """The share of a run's error of a time per output token, in logarithms, that another load is taken to have: at most all of it.

    Where prompts take far more of the time than in the run, the best linear prediction is a multiple of its error, up to 3.3 times it.
    Errors are not: of pairs of loads of deployments that were left out of the fit, they are 1.00 times the run's where it is more than
    one (521 pairs, by least squares), and 0.89 times where it is more than 1.2 (230 pairs).

    >>> round(share_taken(RunLoad(64, 0.3), RunLoad(64, 0.3)), 2), round(share_taken(RunLoad(64, 0.3), RunLoad(8, 0.05)), 2)
    (1.0, 0.25)
    >>> share_taken(RunLoad(8, 0.1), RunLoad(16, 0.9))  # 2.7 times it by the linear prediction
    1.0
    """
    apart = log2_of(there.concurrency / here.concurrency)
    close = exp_of(-larger(apart, -apart) / EFFECTS.doublings)
    both = EFFECTS.prompts * there.prompts * here.prompts + close
    return smaller(both / (EFFECTS.prompts * there.prompts**2 + 1), 1.0)
