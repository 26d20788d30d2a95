"""A model of a budget's size by the proportions of a published one."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Final, NamedTuple

from tscale.catalogue.laws import read_law
from tscale.catalogue.models import normalised
from tscale.core.costs.shapes import MOST, WITHIN, Found, Grid, Lines, lines_of, nearest
from tscale.core.costs.shapes import steps as multiples
from tscale.core.laws import Point
from tscale.core.laws.experts import Joint
from tscale.core.metric import Figure
from tscale.core.units import FLOPS
from tscale.errors import RequestError, field
from tscale.estimates.budget import Budget
from tscale.estimates.experts import JOINT, mixture_of
from tscale.estimates.laws import Bound, refuse_others
from tscale.estimates.optimal import answered
from tscale.models.designing import counting, padded, pattern, proportions, shaped
from tscale.models.spec import ModelSpec, Training
from tscale.models.writing import to_yaml

DENSE_LAW: Final = "hoffmann2022-3"
_LEAST: Final = 1000


class Wish(NamedTuple):
    """What is designed for: parameters, or the optimum of training FLOPs by a law, and like what."""

    params: int | None
    flops: int | None
    law: str | None
    """The law of the budget; None for that which is asked of such a model."""
    like: str
    grid: Grid
    changes: Sequence[str] = ()


@dataclass(frozen=True)
class Design:
    """What was found: shapes, the best first, or the one nearest to a budget that none hits within 1%."""

    wish: Wish
    name: str
    budget: int
    counts: str
    like: ModelSpec
    base: ModelSpec
    """The pattern with rows of its vocabulary that divide as its widths do."""
    found: Sequence[Found]
    params: int
    active: int
    """Of them those that a token meets."""
    optimum: tuple[Bound, Point] | None

    @property
    def hits(self) -> bool:
        """Whether it is within 1% of the budget."""
        return abs(self.found[0].deviation) <= WITHIN

    @cached_property
    def spec(self) -> ModelSpec:
        """The best as a spec."""
        training = None
        if self.optimum is not None:
            bound, point = self.optimum
            source = f"optimal by {bound.law.name} for {self.wish.flops:.4g} training FLOPs".replace("e+", "e")
            training = Training(tokens=round(point.tokens), source=source, evidence="derived")
        return replace(
            shaped(self.base, self.found[0].shape, multiples(proportions(self.base), self.wish.grid)[1]),
            name=normalised(self.name),
            title=f"{short_size(self.params)} like {self.like.label}",
            training=training,
            notes=(
                f"A design by the proportions of {self.like.label}: its shape is not published, and it was not trained.",
            ),
        )

    @property
    def yaml(self) -> str:
        """The spec as a file."""
        return to_yaml(self.spec)


def designed(wish: Wish, name: str, many: int = 1) -> Design:
    """The design that a wish comes to, with others up to so many. Raises `TscaleError` for a wish that makes no sense."""
    optimum = None
    counts: str = "all"
    if wish.flops is not None:
        optimum = _optimum(wish, wish.flops)
        counts, budget = optimum[0].law.counts, round(optimum[1].params)
    else:
        assert wish.params is not None
        budget = wish.params
    if not _LEAST <= budget <= MOST:
        raise RequestError(f"a design of {budget:,} parameters is out of range: ask for {_LEAST:,} to {MOST:,}")
    count = counting(counts)
    like = pattern(wish.like, budget, count, wish.changes)
    size = int(counting("all")(like))
    if size > MOST:
        raise RequestError(
            f"{like.label}, the pattern, has {size:,} parameters, and a pattern has at most {MOST:,}: set smaller sizes, or choose another {field('like')}"
        )
    base = padded(like, wish.grid)
    lines, of_all, active = (_lines(base, wish.grid, one) for one in (counts, "all", "active"))
    found, (total, met) = nearest(budget, lines, (of_all, active), many)
    return Design(wish, name, budget, counts, like, base, found, total, met, optimum)


_KNOWN: Final[deque[tuple[tuple[ModelSpec, Grid, str], Lines]]] = deque(maxlen=24)


def _lines(base: ModelSpec, grid: Grid, counts: str) -> Lines:
    """What a pattern counts in all shapes, each shape once: searches for other budgets look at most of them again."""
    key = base, grid, counts
    found = next((lines for known, lines in _KNOWN if known == key), None)
    if found is None:
        wanted, count = proportions(base), counting(counts)
        step = multiples(wanted, grid)[1]
        found = lines_of(wanted, grid, cache(lambda shape: count(shaped(base, shape, step))))
        _KNOWN.append((key, found))
    return found


def _optimum(wish: Wish, flops: int) -> tuple[Bound, Point]:
    """The law of a budget of FLOPs, and its optimum: of a mixture of experts by a law of such, for as many of them."""
    mixture = mixture_of(pattern(wish.like, flops, counting("all"), wish.changes))
    law = read_law(wish.law or (DENSE_LAW if mixture is None else JOINT))
    formula = law.experts
    if mixture is None:
        refuse_others(law)
        bound = Bound(law, law.formula())
    elif isinstance(formula, Joint):
        bound = Bound(law, formula.of(mixture.expansion))
    else:
        raise RequestError(
            f"{law.name} names no optimum of such mixtures of experts as {wish.like} is: choose {field('law', JOINT)}, or leave it out"
        )
    return bound, answered(bound, Budget("flops", flops, Figure(flops, FLOPS))).point


def short_size(value: int) -> str:
    """A count as people name models by it: 6.74B."""
    letter, scale = next((one for one in _SCALES if value >= one[1]), _SCALES[-1])
    return f"{float(f'{value / scale:.3g}'):g}{letter}"


_SCALES: Final = (("T", 10**12), ("B", 10**9), ("M", 10**6), ("k", 10**3))
