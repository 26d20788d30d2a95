"""`tscale design`: a model of a budget's size by the proportions of a published one, as a spec."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Final, NamedTuple

from tscale.answers.experts import JOINT, inside, mixture_of, run_of
from tscale.answers.explaining import counted, line_figures, steps_of, summed
from tscale.answers.laws import Bound, counts_note, extrapolated, law_notes, predicted, refuse_others
from tscale.answers.optimal.answer import Budget, answered
from tscale.catalogue.laws import read_law
from tscale.catalogue.models import normalised
from tscale.core.costs.params import params
from tscale.core.costs.shapes import WITHIN, Found, Grid, Shape, search
from tscale.core.costs.shapes import steps as multiples
from tscale.core.laws import Point
from tscale.core.laws.experts import Joint
from tscale.core.metric import Cell, Column, Data, Figure, Label, Missing, Report, Table
from tscale.core.units import COUNT, FLOPS, PARAMETERS, PREDICTED_TOKENS, RATIO, SHARE
from tscale.errors import RequestError, field
from tscale.models.designing import counting, padded, pattern, proportions, shape_of, shaped
from tscale.models.spec import ModelSpec, Training
from tscale.models.writing import plain, to_yaml

DENSE_LAW: Final = "hoffmann2022-3"
_MOST: Final = 10**13
_LEAST: Final = 1000
_ALTERNATIVES = (
    Column("distance", "distance"),
    Column("layers", "layers"),
    Column("d_model", "d_model"),
    Column("heads", "heads", drop=1),
    Column("kv_heads", "kv_heads", drop=2),
    Column("d_ff", "d_ff"),
    Column("parameters", "params"),
    Column("deviation", "deviation"),
)


class Wish(NamedTuple):
    """What is designed for: parameters, or the optimum of training FLOPs by a law, and like what."""

    params: int | None
    flops: int | None
    law: str | None
    """The law of the budget; None for that which is asked of such a model."""
    like: str
    grid: Grid
    changes: Sequence[str] = ()


class Design(NamedTuple):
    """What was found: specs and shapes, the best first, or the one nearest to a budget that none hits within 1%."""

    wish: Wish
    budget: int
    counts: str
    like: ModelSpec
    unpadded: int
    found: tuple[Found, ...]
    spec: ModelSpec
    optimum: tuple[Bound, Point] | None

    @property
    def hits(self) -> bool:
        """Whether it is within 1% of the budget."""
        return abs(self.found[0].deviation) <= WITHIN

    @property
    def yaml(self) -> str:
        """The spec as a file."""
        return to_yaml(self.spec)


def designed(wish: Wish, name: str) -> Design:
    """The design that a wish comes to. Raises `TscaleError` for a wish that makes no sense."""
    optimum = None
    counts: str = "all"
    if wish.flops is not None:
        optimum = _optimum(wish, wish.flops)
        counts, budget = optimum[0].law.counts, round(optimum[1].params)
    else:
        assert wish.params is not None
        budget = wish.params
    if not _LEAST <= budget <= _MOST:
        raise RequestError(f"a design of {budget:,} parameters is out of range: ask for {_LEAST:,} to {_MOST:,}")
    count = counting(counts)
    like = pattern(wish.like, budget, count, wish.changes)
    base = padded(like, wish.grid)
    wanted = proportions(base)
    step = multiples(wanted, wish.grid)[1]
    found = search(budget, wanted, wish.grid, _counter(base, counts, step))
    made = shaped(base, found[0].shape, step)
    total = counting("all")(made)
    training = None
    if optimum is not None:
        bound, point = optimum
        source = f"optimal by {bound.law.name} for {wish.flops:.4g} training FLOPs".replace("e+", "e")
        training = Training(tokens=round(point.tokens), source=source, evidence="derived")
    spec = replace(
        made,
        name=normalised(name),
        title=f"{_short(total)} like {like.label}",
        training=training,
        notes=(f"A design by the proportions of {like.label}: its shape is not published, and it was not trained.",),
    )
    return Design(wish, budget, counts, like, like.vocabulary, tuple(found), spec, optimum)


_COUNTERS: Final[deque[tuple[tuple[ModelSpec, str, int], Callable[[Shape], int]]]] = deque(maxlen=8)


def _counter(base: ModelSpec, counts: str, step: int) -> Callable[[Shape], int]:
    """What a pattern counts in a shape, each shape once: searches for other budgets look at most of them again."""
    key = base, counts, step
    found = next((counter for known, counter in _COUNTERS if known == key), None)
    if found is None:
        count = counting(counts)
        found = cache(lambda shape: count(shaped(base, shape, step)))
        _COUNTERS.append((key, found))
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


def design_report(design: Design, written: str = "", *, explain: bool = False) -> Report:
    """The shape that was found beside its pattern, how far from the budget it is, and others nearly as good."""
    like = design.like
    total = counting("all")(design.spec)
    wished = "" if total == design.budget else f", for {design.budget:,} {_what(design)}"
    met = "" if mixture_of(design.spec) is None else f", {int(counting('active')(design.spec)):,} of them active,"
    title = f"A decoder of {int(total):,} parameters{met} in {design.spec.layers} layers, like {like.label}{wished}"
    tables = [Table(title, _columns(like), tuple(_rows(design, total)), stack=True)]
    if len(design.found) > 1:
        tables.append(Table("", _ALTERNATIVES, tuple(map(_near, design.found)), aside=True))
    data = _document(design, total)
    notes = tuple(_notes(design, written, explain=explain))
    lines = params(counted(design.spec).ledger).lines
    figures = [*line_figures(lines, PARAMETERS), ("total", Figure(summed(lines), PARAMETERS))]
    steps = tuple(steps_of(figures, design.spec.name))
    return Report(
        title, tuple(tables), {**data, "spec": plain(design.spec)}, notes, steps, exit_code=0 if design.hits else 3
    )


def design_figures(design: Design) -> Data:
    """The figures of the same answer by their keys, without tables and derivations: what a row of a sweep holds."""
    return _document(design, counting("all")(design.spec))


def _document(design: Design, total: int) -> dict[str, Data]:
    """The answer for JSON, without the spec."""
    best = design.found[0]
    return {
        "budget": {
            "params": Figure(design.budget, PARAMETERS),
            "counts": design.counts,
            "flops": None if design.wish.flops is None else Figure(design.wish.flops, FLOPS),
            "law": None if design.optimum is None else design.optimum[0].law.name,
            "tokens": None
            if design.optimum is None
            else predicted(design.optimum[1].tokens, PREDICTED_TOKENS, design.optimum[0].law),
        },
        "like": design.like.name,
        "within_1_percent": design.hits,
        "params": Figure(total, PARAMETERS),
        "active_params": Figure(counting("active")(design.spec), PARAMETERS),
        "deviation": Figure(best.deviation, SHARE),
        "shape": _shape_data(best, design),
        "alternatives": [_shape_data(found, design) for found in design.found[1:]],
    }


def _past(design: Design, bound: Bound, point: Point) -> bool:
    """Whether the optimum lies outside of the runs that its law was fitted on."""
    model = counted(design.spec)
    mixture = mixture_of(model.spec)
    return (
        extrapolated(bound, point)
        if mixture is None
        else not inside(bound.law, run_of(model, mixture, round(point.tokens)))
    )


def _short(value: int) -> str:
    """A count as people name models by it: 6.74B."""
    letter, scale = next((one for one in _SCALES if value >= one[1]), _SCALES[-1])
    return f"{float(f'{value / scale:.3g}'):g}{letter}"


_SCALES: Final = (("T", 10**12), ("B", 10**9), ("M", 10**6), ("k", 10**3))


def _what(design: Design) -> str:
    return _WHAT[design.counts]


_WHAT: Final = {
    "all": "parameters",
    "non_embedding": "parameters without embeddings",
    "active": "active parameters",
    "active_non_embedding": "active parameters without embeddings",
}


def _columns(like: ModelSpec) -> tuple[Column, ...]:
    return (Column("", "size", numeric=False), Column("design", "design"), Column(like.name, "pattern"))


def _rows(design: Design, total: int) -> Iterator[tuple[Cell, ...]]:
    best, like = design.found[0], design.like
    own, other = best.shape, shape_of(like)
    wanted = proportions(like)
    for name in Shape._fields:
        yield name, Figure(getattr(own, name), COUNT), Figure(getattr(other, name), COUNT)
    yield "head_dim", *([Figure(wanted.head_dim, COUNT)] * 2)
    yield "vocabulary", Figure(design.spec.vocabulary, COUNT), Figure(design.unpadded, COUNT)
    for text, ratio in _RATIOS.items():
        yield Label(text, text.replace(" / ", "_per_")), *(_quotient(ratio(shape)) for shape in (own, other))
    yield Label("parameters", "params"), Figure(total, PARAMETERS), Figure(counting("all")(like), PARAMETERS)
    mixture = mixture_of(like)
    if mixture is not None:
        active = counting("active")
        yield "experts", *([Figure(mixture.experts, COUNT)] * 2)
        yield Label("experts per token", "active_experts"), *([Figure(mixture.active, COUNT)] * 2)
        yield (
            Label("active parameters", "active_params"),
            Figure(active(design.spec), PARAMETERS),
            Figure(active(like), PARAMETERS),
        )
    if design.counts == "non_embedding":
        bare = counting(design.counts)
        yield (
            Label("without embeddings", "non_embedding_params"),
            Figure(best.params, PARAMETERS),
            Figure(bare(like), PARAMETERS),
        )
    yield Label("deviation from budget", "deviation"), Figure(best.deviation, SHARE), Missing("", settled=True)


_RATIOS: Final[dict[str, Callable[[Shape], Fraction]]] = {
    "d_model / layers": lambda shape: Fraction(shape.d_model, shape.layers),
    "d_ff / d_model": lambda shape: Fraction(shape.d_ff, shape.d_model),
    "heads / kv_heads": lambda shape: Fraction(shape.heads, shape.kv_heads),
}


def _quotient(value: Fraction) -> Figure:
    return Figure(value, RATIO._replace(name="quotient", reading="full"))


def _near(found: Found) -> tuple[Cell, ...]:
    sizes = [Figure(size, COUNT) for size in found.shape]
    return (
        Figure(round(found.distance, 6), RATIO._replace(name="distance", reading="plain")),
        *sizes,
        Figure(found.params, PARAMETERS),
        Figure(found.deviation, SHARE),
    )


def _shape_data(found: Found, design: Design) -> Data:
    return {
        **{name: Figure(size, COUNT) for name, size in found.shape._asdict().items()},
        "head_dim": Figure(proportions(design.like).head_dim, COUNT),
        "vocabulary": Figure(design.spec.vocabulary, COUNT),
        "params": Figure(found.params, PARAMETERS),
        "deviation": Figure(found.deviation, SHARE),
    }


def _notes(design: Design, written: str, *, explain: bool) -> Iterator[str]:
    best, grid, spec = design.found[0], design.wish.grid, design.spec
    step, step_ff = multiples(proportions(design.like), grid)
    if not design.hits:
        yield (
            f"No shape on this grid is within 1% of the budget: this one misses it by {float(100 * best.deviation):+.2f}%. "
            "A smaller --multiple, a smaller vocabulary (--set vocabulary=32000) or another --like may help."
        )
    if design.optimum is not None:
        bound, point = design.optimum
        yield (
            f"By {bound.law.name} ({bound.law.label}), {_short(round(point.tokens))} tokens are optimal with it"
            f"{', extrapolated' if _past(design, bound, point) else ''}: the spec has them as its training tokens."
        )
        yield counts_note([bound.law])
        yield from law_notes([bound.law], explain=explain)
    heads = f", the number of heads of {grid.tensor:,}" if grid.tensor > 1 else ""
    yield (
        f"d_model is a multiple of {step:,}, d_ff of {step_ff:,}{heads}. Of all such shapes within 1% of the budget and with "
        "proportions of half to twice those of the pattern, this one has the least distance: the sum of the squared "
        "logarithms of the ratios of its proportions to the pattern's, and of its parameters to the budget."
    )
    if spec.vocabulary != design.unpadded:
        yield f"The vocabulary is padded from {design.unpadded:,} rows, so that it divides as the widths do."
    if design.hits:
        yield written or "-o FILE writes it as a spec that every command reads; -o - prints only the spec."
