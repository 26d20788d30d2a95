"""`tscale compare`: models side by side, every figure with how many times the first model's it is."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from tscale.answers.common import steps_of
from tscale.answers.quantities import COMPARED, NOT_PUBLISHED, Named, Subject, subject_of
from tscale.core.quantity import Cell, Column, Compared, Data, Figure, Missing, Report, Table
from tscale.core.questions.forward import LEAVES_OUT
from tscale.core.units import RATIO, YEAR
from tscale.spec.model import ModelSpec, Spec


def compare_report(specs: Sequence[Spec], context: int | None) -> Report:
    """Models side by side, each at its own trained context unless `context` sets one for all."""
    subjects = [subject_of(spec, context) if isinstance(spec, ModelSpec) else None for spec in specs]
    labels = [spec.label for spec in specs]
    answers = [
        (quantity, [_answer(quantity, spec, subject) for spec, subject in zip(specs, subjects, strict=True)])
        for quantity in COMPARED
    ]
    columns = (
        Column("", "quantity", numeric=False),
        *(Column(label, spec.name) for label, spec in zip(labels, specs, strict=True)),
    )
    told = {quantity.key: values for quantity, values in answers}
    dense = told["active_params"] == told["params"]
    rows = tuple(
        (quantity.name, *_compared(values))
        for quantity, values in answers
        if not (dense and quantity.key == "active_params")
    )
    compared: list[Data] = [
        {"quantity": quantity.key, "values": list(values), "ratios": [_ratio(ratio) for ratio in _ratios(values)]}
        for quantity, values in answers
    ]
    data: Data = {
        "models": [spec.name for spec in specs],
        "rows": compared,
    }
    known = [subject for subject in subjects if subject is not None]
    derived = [
        (f"{spec.name} {quantity.key}", value)
        for quantity, values in answers
        for spec, value in zip(specs, values, strict=True)
        if isinstance(value, Figure)
    ]
    title = f"{labels[0]} beside {', '.join(labels[1:])}: in brackets, times the first"
    return Report(
        title, (Table(title, columns, rows, stack=True),), data, _notes(specs, known), tuple(steps_of(derived))
    )


def _answer(quantity: Named, spec: Spec, subject: Subject | None) -> Figure | Missing | str:
    if subject is not None:
        return quantity.answer(subject)
    if quantity.key == "year":
        return Missing("not said") if spec.year is None else Figure(spec.year, YEAR, "cited")
    return "undisclosed" if quantity.key == "kind" else NOT_PUBLISHED


def _ratios(values: Sequence[Figure | Missing | str]) -> list[Fraction | None]:
    first = values[0]
    base = Fraction(first.value) if isinstance(first, Figure) and first.unit is not YEAR else None
    return [
        Fraction(value.value) / base if base and isinstance(value, Figure) and place else None
        for place, value in enumerate(values)
    ]


def _ratio(ratio: Fraction | None) -> Figure | None:
    return None if ratio is None else Figure(ratio, RATIO)


def _compared(values: Sequence[Figure | Missing | str]) -> list[Cell]:
    return [
        Compared(value, ratio) if isinstance(value, Figure) else value
        for value, ratio in zip(values, _ratios(values), strict=True)
    ]


def _notes(specs: Sequence[Spec], subjects: Sequence[Subject]) -> tuple[str, ...]:
    notes: list[str] = []
    for subject in subjects:
        spec = subject.spec
        if subject.context.note:
            notes.append(subject.context.note)
        if spec.kind == "encoder-decoder":
            encoder_layers = int(spec.encoder_layers())
            notes.append(
                f"{spec.label}: {encoder_layers} layers in the encoder and {int(spec.layers)} in the decoder; "
                "FLOPs per token are over both streams, the cache is for a token of each."
            )
    noted = [spec.name for spec in specs if spec.notes]
    own = [f"More is noted of {', '.join(noted)}: `tscale show NAME`."] if noted else []
    lengths = "FLOPs per token and attention's share are at the trained context, in full attention; KV cache in bf16."
    return (*notes, *own, lengths, LEAVES_OUT)
