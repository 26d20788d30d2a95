"""`tscale compare`: models side by side, every figure with how many times the first model's it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Final

from tscale.core.costs.forward import LEAVES_OUT, forward_flops
from tscale.core.costs.params import params
from tscale.core.metric import (
    Cell,
    Column,
    Compared,
    Data,
    Derivations,
    Figure,
    Known,
    Label,
    Missing,
    Report,
    Step,
    Table,
    weakest,
)
from tscale.core.number_text import number_text
from tscale.core.units import FLOPS, PARAMETERS, RATIO, YEAR
from tscale.estimates.assumed import answer_of, lead_of
from tscale.estimates.explaining import difference, line_figures, misprint_text, plain_number, steps_of
from tscale.estimates.metrics import COMPARED, FLOPS_OF, NOT_PUBLISHED, Named, Subject, shown_figure, subject_of
from tscale.estimates.trained import published_stages, published_total, trained, training_length, training_lengths
from tscale.models.resolve import disclosed
from tscale.models.spec import ModelSpec, PublishedName, Spec


def compare_report(specs: Sequence[Spec], context: int | None) -> Report:
    """Models side by side, each at its own trained context unless `context` sets one for all."""
    subjects = _subjects(specs, context)
    labels = [spec.label for spec in specs]
    answers = _answers(specs, subjects)
    columns = (
        Column("", "quantity", numeric=False),
        *(Column(label, spec.name) for label, spec in zip(labels, specs, strict=True)),
    )
    told = {quantity.key: values for quantity, values in answers}
    data: Data = {
        "models": [spec.name for spec in specs],
        "context": context,
        "stages": [published_stages(spec) if isinstance(spec, ModelSpec) else [] for spec in specs],
        "rows": [_row_data(quantity, values) for quantity, values in answers],
    }
    known = [subject for subject in subjects if subject is not None]
    steps = Derivations(lambda: _steps(answers, subjects))
    at = "" if context is None else f"at {context:,} tokens, "
    lengths = _assumed_lengths(told["training_context"])
    title = f"{_headline(labels, told['params'])}; {at}ratio to the first in parentheses{lengths}"
    notes = _notes(specs, known, context)
    lead = (*(line for spec in specs for line in lead_of(spec)), *_bounds(known))
    table = Table(title, columns, tuple(_rows(specs, answers, told)), stack=True)
    return Report(title, (table,), data, notes, steps, lead=lead)


def _headline(labels: Sequence[str], answers: Sequence[Figure | Missing | str]) -> str:
    """How the models differ in parameters, where those of all are known."""
    sizes = [Fraction(figure.value) for figure in answers if isinstance(figure, Figure)]
    if len(sizes) < len(labels) or len(labels) == 1:
        return " next to ".join(filter(None, (labels[0], ", ".join(labels[1:]))))
    if len(sizes) > 2:
        low, high = (number_text(size, "short") for size in (min(sizes), max(sizes)))
        return f"{', '.join(labels[:-1])} and {labels[-1]} have {low} to {high} parameters"
    if sizes[0] == sizes[1]:
        return f"{labels[1]} has as many parameters as {labels[0]}"
    times = number_text(sizes[1] / sizes[0], "ratio").removeprefix("×")
    return f"{labels[1]} has {times} times the parameters of {labels[0]}"


Values = list[Figure | Missing | str]
"""What each model answers to one question."""


def _rows(
    specs: Sequence[Spec], answers: list[tuple[Named, Values]], told: dict[str, Values]
) -> Iterator[tuple[Cell, ...]]:
    """A quantity a row; the active parameters of dense models are all of them, and not said again."""
    dense = told["active_params"] == told["params"]
    for quantity, values in answers:
        if dense and quantity.key == "active_params":
            continue
        cells = _lengths(specs) if quantity.key == "training_context" else compared(values)
        yield Label(quantity.name, quantity.key), *cells


def _row_data(quantity: Named, values: Values) -> Data:
    ratios = zip(ratios_of(values), values, strict=True)
    return {
        "quantity": quantity.key,
        "values": list(values),
        "ratios": [
            None if ratio is None else Figure(ratio, RATIO, _known_of(values[0], value)) for ratio, value in ratios
        ],
    }


def _assumed_lengths(lengths: Values) -> str:
    """What the title says where a length of training is assumed."""
    assumed = any(isinstance(value, Figure) and value.known == "assumed" for value in lengths)
    return "; lengths marked † are assumed" if assumed else ""


def answers_of(specs: Sequence[Spec], context: int | None) -> dict[str, list[Figure | Missing | str]]:
    """What each model answers, by the key of the quantity: the cells of the table without their ratios."""
    return {quantity.key: values for quantity, values in _answers(specs, _subjects(specs, context))}


def _subjects(specs: Sequence[Spec], context: int | None) -> list[Subject | None]:
    return [None if spec.kind == "undisclosed" else subject_of(disclosed(spec), context) for spec in specs]


def _answers(
    specs: Sequence[Spec], subjects: Sequence[Subject | None]
) -> list[tuple[Named, list[Figure | Missing | str]]]:
    return [
        (quantity, [_answer(quantity, spec, subject) for spec, subject in zip(specs, subjects, strict=True)])
        for quantity in COMPARED
    ]


def _steps(
    answers: Sequence[tuple[Named, Sequence[Figure | Missing | str]]], subjects: Sequence[Subject | None]
) -> Iterator[Step]:
    """How the figures of each model that is not undisclosed were made."""
    for place, subject in enumerate(subjects):
        if subject is not None:
            yield from _derived(answers, place, subject)


def _derived(
    answers: Sequence[tuple[Named, Sequence[Figure | Missing | str]]], place: int, subject: Subject
) -> Iterator[Step]:
    """How the figures of one model were made."""
    flops = forward_flops(subject.model.ledger, subject.run).lines
    figures = [(quantity.key, values[place]) for quantity, values in answers]
    return steps_of(
        [
            *line_figures(params(subject.model.ledger.whole).lines, PARAMETERS),
            *line_figures(flops, FLOPS, "kaplan2020 Table 1", FLOPS_OF),
            *_later_stages(subject),
            *((key, figure) for key, figure in figures if isinstance(figure, Figure)),
        ],
        subject.spec.name,
    )


def _later_stages(subject: Subject) -> Iterator[tuple[str, Figure]]:
    """What training FLOPs are made of beyond the first stage."""
    if subject.spec.training is None or subject.spec.training.total_tokens is None:
        return
    for stage in trained(subject.spec, None, subject.asked).stages[1:]:
        yield from stage.derived(subject.model)


def _answer(quantity: Named, spec: Spec, subject: Subject | None) -> Figure | Missing | str:
    if subject is not None:
        return answer_of(quantity.answer(subject), subject.spec)
    if quantity.key == "year":
        return Missing("n/a") if spec.year is None else Figure(spec.year, YEAR, "cited")
    return "undisclosed" if quantity.key == "kind" else NOT_PUBLISHED


def _bounds(subjects: Sequence[Subject]) -> Iterator[str]:
    """Whose training FLOPs are an upper bound, at the lengths that they are counted at."""
    for subject in subjects:
        if isinstance(published_total(subject.spec), Figure):
            yield from trained(subject.spec, None, subject.asked).lead


def _lengths(specs: Sequence[Spec]) -> list[Cell]:
    """The lengths that each model was trained at, whatever length is asked for: a figure, or of several all of them."""
    cells: list[Figure | Missing | str] = []
    for spec in specs:
        if not isinstance(spec, ModelSpec):
            cells.append(NOT_PUBLISHED)
            continue
        length, text = training_length(spec, None), training_lengths(spec)
        cells.append(length if text.removesuffix(" (assumed)") == f"{int(length.value):,}" else text)
    figures = all(isinstance(cell, Figure) for cell in cells)
    return compared(cells) if figures else [*cells]


def ratios_of(values: Sequence[Figure | Missing | str | None]) -> list[Fraction | None]:
    """How many times the first model's figure each is; None of the first itself, and where either is not known."""
    first = values[0]
    base = Fraction(first.value) if isinstance(first, Figure) and first.unit is not YEAR else None
    return [
        Fraction(value.value) / base if base and isinstance(value, Figure) and place else None
        for place, value in enumerate(values)
    ]


def _known_of(*values: Figure | Missing | str) -> Known:
    """How a ratio of some figures is known."""
    return weakest(*(value.known for value in values if isinstance(value, Figure)))


def compared(values: Sequence[Figure | Missing | str]) -> list[Cell]:
    """The cells of a row: figures with their ratios to the first."""
    return [
        Compared(value, ratio, _known_of(values[0], value)) if isinstance(value, Figure) else value
        for value, ratio in zip(values, ratios_of(values), strict=True)
    ]


def _published_note(subject: Subject) -> Iterator[str]:
    """What the published training FLOPs are of, and how far the count is from them, where that was noted."""
    shown = shown_figure(subject.spec, "training_flops")
    total = published_total(subject.spec)
    if shown is None or shown.note is None or shown.corrected is not None or total is None:
        return
    counted = int(trained(subject.spec, None, None).flops(subject.model))
    gap = 100 * float(difference(counted, shown))
    yield (
        f"{subject.spec.label}: its published training FLOPs are {shown.note.rstrip('.')}; the count is "
        f"{plain_number(counted)} ({gap:+.1f}%)."
    )


_SHOWN: Final[dict[PublishedName, str]] = {"params": "parameters", "training_flops": "training FLOPs"}


def _notes_of(subject: Subject, context: int | None) -> Iterator[str]:
    """What must be said of one of the models."""
    spec = subject.spec
    if subject.context.note:
        yield subject.context.note
    if spec.kind == "encoder-decoder":
        encoder_layers = int(spec.encoder_layers())
        yield (
            f"{spec.label}: {encoder_layers} layers in the encoder and {int(spec.layers)} in the decoder; "
            "FLOPs per token are over both streams, the cache is that of both over the target's length."
        )
    for name, what in _SHOWN.items():
        shown = shown_figure(spec, name)
        if shown is not None and shown.corrected is not None:
            yield f"{spec.label}: its published {what} are {misprint_text(shown)}."
    if context is None:
        yield from _published_note(subject)


def _notes(specs: Sequence[Spec], subjects: Sequence[Subject], context: int | None) -> tuple[str, ...]:
    notes = [note for subject in subjects for note in _notes_of(subject, context)]
    noted = [spec.name for spec in specs if spec.notes or (isinstance(spec, ModelSpec) and spec.notes_on)]
    own = [f"`tscale show NAME` has more notes on {', '.join(noted)}."] if noted else []
    where = "in sequences as long as in training" if context is None else f"at {context:,} tokens"
    lengths = (
        f"FLOPs per token, attention's share and training FLOPs are {where}, in full attention. KV cache per token: what a "
        "sequence of that length keeps in bf16, states included, over its length."
    )
    beyond = [one.spec.label for one in subjects if one.spec.context is not None and (context or 0) > one.spec.context]
    if beyond:
        notes.append(f"{context:,} tokens are beyond the trained context of {', '.join(beyond)}.")
    return (*notes, *own, lengths, LEAVES_OUT)
