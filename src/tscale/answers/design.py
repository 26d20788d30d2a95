"""`tscale design`: a model of a budget's size by the proportions of a published one, as a spec."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Final

from tscale.core.costs.params import params
from tscale.core.costs.shapes import Found, Shape
from tscale.core.costs.shapes import steps as multiples
from tscale.core.laws import Point
from tscale.core.metric import Cell, Column, Data, Derivations, Figure, Label, Missing, Report, Table
from tscale.core.units import COUNT, FLOPS, PARAMETERS, PREDICTED_TOKENS, RATIO, SHARE
from tscale.core.view import Record, view
from tscale.estimates.design import Design, short_size
from tscale.estimates.experts import inside, mixture_of, run_of
from tscale.estimates.explaining import counted, line_figures, steps_of, summed
from tscale.estimates.laws import Bound, counts_note, extrapolated, law_notes, predicted
from tscale.models.designing import counting, proportions, shape_of
from tscale.models.writing import plain

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


def design_report(design: Design, written: str = "", *, explain: bool = False) -> Report:
    """The shape that was found beside its pattern, how far from the budget it is, and others nearly as good."""
    like = design.like
    total = design.params
    wished = "" if total == design.budget else f", for {design.budget:,} {_WHAT[design.counts]}"
    met = "" if mixture_of(design.spec) is None else f", {design.active:,} of them active,"
    depth = f"{design.spec.layers:,} layer{'' if design.spec.layers == 1 else 's'}"
    title = f"A decoder of {total:,} parameters{met} in {depth}, like {like.label}{wished}"
    if not design.hits:
        title = f"No decoder like {like.label} is within 1% of {design.budget:,} {_WHAT[design.counts]}: the nearest has {total:,} in {depth}"
    columns = (Column("", "size", numeric=False), Column("design", "design"), Column(like.name, "pattern"))
    tables = [Table(title, columns, tuple(_rows(design)), stack=True)]
    if len(design.found) > 1:
        tables.append(view("", _ALTERNATIVES, (_near(found, design) for found in design.found), aside=True))
    data = design_figures(design)
    notes = tuple(_notes(design, written, explain=explain))
    lines = params(counted(design.spec).ledger).lines
    figures = [*line_figures(lines, PARAMETERS), ("total", Figure(summed(lines), PARAMETERS))]
    steps = Derivations(lambda: steps_of(figures, design.spec.name))
    return Report(
        title, tuple(tables), {**data, "spec": plain(design.spec)}, notes, steps, exit_code=0 if design.hits else 3
    )


def design_figures(design: Design) -> dict[str, Data]:
    """The answer for JSON, without the spec: what a row of a sweep holds."""
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
        "params": Figure(design.params, PARAMETERS),
        "active_params": Figure(design.active, PARAMETERS),
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


_WHAT: Final = {
    "all": "parameters",
    "non_embedding": "parameters without embeddings",
    "active": "active parameters",
    "active_non_embedding": "active parameters without embeddings",
}


def _rows(design: Design) -> Iterator[tuple[Cell, ...]]:
    best, like = design.found[0], design.like
    own, other = best.shape, shape_of(like)
    wanted = proportions(like)
    for name in Shape._fields:
        yield name, Figure(getattr(own, name), COUNT), Figure(getattr(other, name), COUNT)
    yield "head_dim", *([Figure(wanted.head_dim, COUNT)] * 2)
    yield "vocabulary", Figure(design.base.vocabulary, COUNT), Figure(design.like.vocabulary, COUNT)
    for text, ratio in _RATIOS.items():
        yield Label(text, text.replace(" / ", "_per_")), *(Figure(ratio(shape), _QUOTIENT) for shape in (own, other))
    yield Label("parameters", "params"), Figure(design.params, PARAMETERS), Figure(counting("all")(like), PARAMETERS)
    mixture = mixture_of(like)
    if mixture is not None:
        yield "experts", *([Figure(mixture.experts, COUNT)] * 2)
        yield Label("experts per token", "active_experts"), *([Figure(mixture.active, COUNT)] * 2)
        yield (
            Label("active parameters", "active_params"),
            Figure(design.active, PARAMETERS),
            Figure(counting("active")(like), PARAMETERS),
        )
    if design.counts == "non_embedding":
        bare = counting(design.counts)
        yield (
            Label("without embeddings", "non_embedding_params"),
            Figure(best.params, PARAMETERS),
            Figure(bare(like), PARAMETERS),
        )
    yield Label("deviation from budget", "deviation"), Figure(best.deviation, SHARE), Missing("", settled=True)


_QUOTIENT: Final = RATIO._replace(name="quotient", reading="full")
_RATIOS: Final[dict[str, Callable[[Shape], Fraction]]] = {
    "d_model / layers": lambda shape: Fraction(shape.d_model, shape.layers),
    "d_ff / d_model": lambda shape: Fraction(shape.d_ff, shape.d_model),
    "heads / kv_heads": lambda shape: Fraction(shape.heads, shape.kv_heads),
}


def _near(found: Found, design: Design) -> Record:
    """A shape with its distance from the proportions of the pattern."""
    distance = Figure(round(found.distance, 6), RATIO._replace(name="distance", reading="estimate"))
    return {**_shape_data(found, design), "distance": distance}


def _shape_data(found: Found, design: Design) -> Record:
    return {
        **{name: Figure(size, COUNT) for name, size in found.shape._asdict().items()},
        "head_dim": Figure(proportions(design.like).head_dim, COUNT),
        "vocabulary": Figure(design.base.vocabulary, COUNT),
        "params": Figure(found.params, PARAMETERS),
        "deviation": Figure(found.deviation, SHARE),
    }


_CHOSEN: Final = (
    " and within 1% of the budget, this one has the least distance: the sum of the squared logarithms of the ratios of its "
    "proportions to the pattern's, and of its parameters to the budget."
)


def _notes(design: Design, written: str, *, explain: bool) -> Iterator[str]:
    best, grid, spec = design.found[0], design.wish.grid, design.spec
    step, step_ff = multiples(proportions(design.like), grid)
    if not design.hits:
        yield (
            f"No shape on this grid is within 1% of the budget: this one misses it by {float(100 * best.deviation):+,.2f}%. "
            "A smaller --multiple, a smaller vocabulary (--set vocabulary=32000) or another --like may help."
        )
    if design.optimum is not None:
        bound, point = design.optimum
        yield (
            f"By {bound.law.name} ({bound.law.label}), {short_size(round(point.tokens))} tokens are optimal with it"
            f"{', extrapolated' if _past(design, bound, point) else ''}: the spec has them as its training tokens."
        )
        yield counts_note([bound.law])
        yield from law_notes([bound.law], explain=explain)
    heads = f", the number of heads of {grid.tensor:,}" if grid.tensor > 1 else ""
    yield (
        f"d_model is a multiple of {step:,}, d_ff of {step_ff:,}{heads}. Of all such shapes with proportions of half to twice those "
        f"of the pattern{_CHOSEN if design.hits else ', this one misses the budget by the least.'}"
    )
    if spec.vocabulary != design.like.vocabulary:
        yield f"The vocabulary is padded from {design.like.vocabulary:,} rows, so that it divides as the widths do."
    if design.hits:
        yield written or "-o FILE writes it as a spec that every command reads; -o - prints only the spec."
