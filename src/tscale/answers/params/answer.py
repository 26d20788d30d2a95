"""`tscale params`: every part of a model with its parameters, and what was published beside what is counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, cast

from tscale.answers.assumed import as_assumed
from tscale.answers.params.lines import COLUMNS, line_data, line_row, sum_row
from tscale.answers.params.towers import PARTS, total_of, tower_rows, tower_sums, tower_table
from tscale.core.costs.params import LEAVES_OUT, active_params, buffers, embedding_params, params
from tscale.core.ledger import Buffer, Cache, Ledger, Scan, Scores
from tscale.core.metric import Column, Data, Derivations, Figure, Label, Line, Report, Table
from tscale.core.tracing import label
from tscale.core.units import PARAMETERS, SHARE
from tscale.core.view import Record, view
from tscale.estimates.explaining import (
    TracedModel,
    counted,
    difference,
    line_figures,
    notes_of,
    published_data,
    published_row,
    source_text,
    steps_of,
    summed,
)
from tscale.estimates.release_words import release_note
from tscale.models.ends import words_of
from tscale.models.spec import ModelSpec, PublishedName, Spec

if TYPE_CHECKING:
    from tscale.models.undisclosed import UndisclosedSpec

_ACTIVE = "active."
"""What begins the names of what a token meets of the lines, where that is not all of them."""

_PUBLISHED_COLUMNS = (
    Column("published", "quantity", numeric=False),
    Column("figure", "published"),
    Column("counted", "counted"),
    Column("difference", "difference"),
    Column("source", "source", numeric=False, wraps=20, below=True),
)


def params_report(specs: Sequence[Spec]) -> Report:
    """Parameters of one model or several, as their makers' silence allows: exit code 3 where any is undisclosed."""
    reports = [as_assumed(_of_one(spec), spec) for spec in specs]
    if len(reports) == 1:
        return reports[0]
    return Report(
        title="Parameters",
        parts=tuple(reports),
        tables=tuple(table for report in reports for table in report.tables),
        data=[report.data for report in reports],
        notes=tuple(dict.fromkeys(note for report in reports for note in report.notes)),
        steps=Derivations(lambda: (step for report in reports for step in report.steps)),
        exit_code=max(report.exit_code for report in reports),
        lead=tuple(line for report in reports for line in report.lead),
    )


def _of_one(spec: Spec) -> Report:
    if isinstance(spec, ModelSpec):
        return _disclosed(counted(spec))
    if spec.kind == "undisclosed":
        return undisclosed(spec)
    from tscale.answers.tower_alone import params_of_tower

    return params_of_tower(spec)


def _disclosed(model: TracedModel) -> Report:
    spec, ledger = model
    own = params(ledger).lines
    lines = params(ledger.whole).lines if ledger.towers else own
    in_part = _in_part(ledger, own)
    summary = _summary(model, own, in_part)
    total = int(summary["total"].value)
    figures = [(line.name, Figure(line.value, PARAMETERS, source=model.shape_source)) for line in lines]
    owners = [entry for entry in ledger.whole.entries if not isinstance(entry, (Buffer, Scores, Scan, Cache))]
    rows = [line_row(entry, figure, total) for entry, (_, figure) in zip(owners, figures, strict=True)]
    data: Data = {
        "model": spec.name,
        "title": spec.label,
        "params": summary,
        "lines": [line_data(entry, figure) for entry, (_, figure) in zip(owners, figures, strict=True)],
        "published": published_data(spec, [(name, PARAMETERS, value) for name, value in _wanted(summary)]),
    }
    active = line_figures(in_part, PARAMETERS, model.shape_source, _ACTIVE)
    steps = Derivations(lambda: steps_of([*figures, *active, *summary.items()], spec.name))
    return Report(
        f"{spec.label}: parameters",
        (
            _lines_table(model, summary, rows[: len(own)], partial=bool(in_part)),
            *tower_table(rows[len(own) :], spec.label, spec.name),
            *_published_tables(spec, _wanted(summary)),
        ),
        data,
        notes_of(spec, release_note(model.spec), LEAVES_OUT, about=()),
        steps,
    )


def _in_part(ledger: Ledger, own: Iterable[Line]) -> tuple[Line, ...]:
    """What a token meets of the language model's `own` lines; none where it meets all of it."""
    active = active_params(ledger)
    return active.lines if active.total != sum(line.value for line in own) else ()


def _summary(model: TracedModel, own: Sequence[Line], in_part: Sequence[Line]) -> dict[str, Figure]:
    """The sums: the whole, each part of it, and what a token of text meets of the language model."""
    ledger = model.ledger
    embedding = summed(embedding_params(ledger).lines)
    parts = tower_sums(ledger, own)
    total = total_of(parts, own)
    language, name = (parts["language_model"].value, "language_model") if parts else (total, "total")
    active = summed(in_part, _ACTIVE) if in_part else language
    summary = {
        "total": Figure(total, PARAMETERS),
        **parts,
        "embedding": Figure(embedding, PARAMETERS),
        "non_embedding": Figure(label(name, cast("int", language)) - label("embedding", embedding), PARAMETERS),
        "active": Figure(active, PARAMETERS),
    }
    kept = summed(buffers(ledger).lines)
    if kept:
        summary["buffers"] = Figure(kept, PARAMETERS)
    adapter = model.spec.adapter
    if adapter is not None:
        trained = summed((*params(adapter.on(ledger)).lines, *_trained_whole(model.spec)))
        summary["adapters"] = Figure(trained, PARAMETERS)
    return summary


def _trained_whole(spec: ModelSpec) -> Iterator[Line]:
    """Parameters of the modules of which adapters train a copy: as wide as the token embedding, a row a word."""
    width, _ = spec.embedding_widths()
    for module in () if spec.adapter is None else spec.adapter.whole:
        rows = spec.vocabulary + (spec.embedding.more_rows or 0) if module == "embedding" else words_of(spec)
        yield Line(f"{module}.trained", rows * width)


def _trained(spec: ModelSpec, summary: dict[str, Figure]) -> str:
    """What is said of adapters, whose parameters stand beside those of the model; nothing of a model without."""
    if spec.adapter is None:
        return ""
    rank, targets = int(spec.adapter.rank), ", ".join(spec.adapter.targets)
    lengths = " with magnitudes (DoRA)" if spec.adapter.magnitudes else ""
    whole = "".join(f" and a copy of the {module}" for module in spec.adapter.whole)
    trained = f"{int(summary['adapters'].value):,}"
    ranks = "".join(f", {int(one.rank)} on {one.target}" for one in spec.adapter.ranks)
    if spec.adapter.places:
        each = (f"rank {int(one.rank)} on {one.target} in {_of_layers(one.layers)}" for one in spec.adapter.places)
        return f", and trains {trained} in adapters of {', '.join(each)}{lengths}{whole}"
    return f", and trains {trained} in adapters of rank {rank} on {targets}{ranks}{lengths}{whole}"


def _of_layers(layers: Sequence[int]) -> str:
    """Layers by number: a range, or the first of them and how many more there are."""
    first, *others = numbers = sorted(map(int, layers))
    if not others:
        return f"layer {first}"
    if numbers == list(range(first, others[-1] + 1)):
        return f"layers {first} to {others[-1]}"
    more = f" and {len(numbers) - _MOST_LISTED:,} more" if len(numbers) > _MOST_LISTED else ""
    return f"layers {', '.join(map(str, numbers[:_MOST_LISTED]))}{more}"


_MOST_LISTED: Final = 8


def _wanted(summary: dict[str, Figure]) -> list[tuple[PublishedName, int]]:
    """What published figures are compared with."""
    names: tuple[tuple[PublishedName, str], ...] = (
        ("params", "total"), ("active_params", "active"), ("non_embedding_params", "non_embedding"),
        ("embedding_params", "embedding"),
    )  # fmt: skip
    return [(name, int(summary[key].value)) for name, key in names]


def _lines_table(model: TracedModel, summary: dict[str, Figure], own: list[Record], *, partial: bool) -> Table:
    """The language model line by line, each tower in one row, and the sums."""
    spec, total = model.spec, int(summary["total"].value)
    shape = f" ({source_text(model.shape_source)})" if model.shape_source else ""
    active = int(summary["active"].value)
    used = f", {active:,} of them active per token" if partial else ""
    parts = {key: summary[key] for key in ("language_model", *PARTS) if key in summary}
    if parts:
        used += f", {int(parts['language_model'].value):,} of them in the language model"
    used += _trained(spec, summary)
    rows = [*own, *tower_rows(parts, total)]
    sums = _sums(summary, spec, partial=partial)
    return view(
        f"{spec.label} has {total:,} parameters{used}, counted from its shape{shape}",
        COLUMNS,
        (*rows, *sums),
        subject=spec.name,
        totals=frozenset(range(len(rows), len(rows) + len(sums))),
    )


def _sums(summary: dict[str, Figure], spec: ModelSpec, *, partial: bool) -> list[Record]:
    """The rows below the lines: total, its split, and the active part where that is not everything."""
    total = int(summary["total"].value)
    untied, towers = spec.tied is False, "language_model" in summary
    rows: list[tuple[str, str, str]] = [
        ("total", "total", "language model, towers and projectors" if towers else ""),
        *([("language model", "language_model", "what a token of text runs through")] if towers else []),
        ("non-embedding", "non_embedding", f"{'language model' if towers else 'total'} - embedding"),
        ("embedding", "embedding", "token and position tables" + (", untied head" if untied else "")),
    ]
    if partial:
        rows.append(("active per token", "active", "routed experts counted by those that a token uses"))
    if "buffers" in summary:
        rows.append(("buffers, not in the total", "buffers", "stored with the weights, not trained by gradients"))
    if "adapters" in summary:
        rows.append(("adapters, not in the total", "adapters", "a matrix down to the rank and one up again each"))
    return [sum_row(Label(name, key), summary[key], total, text) for name, key, text in rows]


def _published_tables(spec: ModelSpec, wanted: Iterable[tuple[PublishedName, int]]) -> list[Table]:
    rows = [
        {
            "quantity": name.replace("_", " ").replace("params", "parameters"),
            "counted": Figure(computed, PARAMETERS),
            "difference": Figure(difference(computed, published), SHARE),
            **published_row(published, PARAMETERS),
        }
        for name, computed in wanted
        for published in spec.figures(name)
    ]
    return [view("", _PUBLISHED_COLUMNS, rows, subject=spec.name, aside=True)] if rows else []


def undisclosed(spec: UndisclosedSpec) -> Report:
    """What is known of a model whose shape was not published; nothing in it was computed."""
    columns = (
        Column("estimate", "claim", numeric=False),
        Column("by", "by", numeric=False),
        Column("evidence", "evidence", numeric=False),
    )
    estimates: list[Record] = [{"claim": e.claim, "by": e.by, "evidence": e.evidence} for e in spec.estimates]
    title = f"{spec.label}: undisclosed. Third-party estimates, none of them tscale's"
    data: Data = {
        "model": spec.name,
        "title": spec.label,
        "params": None,
        "lines": [],
        "published": {"text": spec.disclosed, "source": source_text(spec.source), "evidence": spec.evidence},
        "estimates": estimates,
    }
    notes = (
        f"Published ({source_text(spec.source)}): {spec.disclosed.strip()}",
        *(note.strip() for note in spec.notes),
        f"{spec.label}: nothing is counted, because its shape was never published.",
    )
    tables = (view(title, columns, estimates, subject=spec.name),) if estimates else ()
    return Report(f"{spec.label}: undisclosed", tables, data, notes, exit_code=3)
