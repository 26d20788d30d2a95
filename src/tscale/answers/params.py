"""`tscale params`: every part of a model with its parameters, and what was published beside what is counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tscale.answers.assumed import as_assumed
from tscale.answers.explaining import (
    TracedModel,
    counted,
    difference,
    line_figures,
    notes_of,
    published_data,
    published_figure,
    share,
    source_text,
    steps_of,
    summed,
)
from tscale.answers.release import release_note
from tscale.core.costs.params import (
    LEAVES_OUT,
    active_params,
    buffers,
    embedding_params,
    params,
    size,
)
from tscale.core.ledger import Buffer, Cache, Entry, Scan, Scores
from tscale.core.metric import Cell, Column, Data, Figure, Label, Report, Table
from tscale.core.tracing import named
from tscale.core.units import COUNT, PARAMETERS, SHARE
from tscale.models.spec import ModelSpec, PublishedName, Spec

if TYPE_CHECKING:
    from tscale.models.undisclosed import UndisclosedSpec

_ACTIVE = "active."
"""What begins the names of what a token meets of the lines, where that is not all of them."""

_COLUMNS = (
    Column("part", "name", numeric=False),
    Column("copies", "stored", drop=2),
    Column("parameters", "params"),
    Column("share", "share"),
    Column("formula", "formula", drop=1, numeric=False),
)
_PUBLISHED_COLUMNS = (
    Column("published", "quantity", numeric=False),
    Column("figure", "published"),
    Column("counted", "counted"),
    Column("difference", "difference"),
    Column("source", "source", numeric=False, wraps=20, below=True),
)


def params_report(specs: Sequence[Spec]) -> Report:
    """Parameters of one model or several, as their makers' silence allows: exit code 3 where any is undisclosed."""
    reports = [
        as_assumed(_disclosed(counted(spec)) if isinstance(spec, ModelSpec) else undisclosed(spec), spec)
        for spec in specs
    ]
    if len(reports) == 1:
        return reports[0]
    return Report(
        title="Parameters",
        parts=tuple(reports),
        tables=tuple(table for report in reports for table in report.tables),
        data=[report.data for report in reports],
        notes=tuple(dict.fromkeys(note for report in reports for note in report.notes)),
        steps=tuple(step for report in reports for step in report.steps),
        exit_code=max(report.exit_code for report in reports),
        lead=tuple(line for report in reports for line in report.lead),
    )


def _disclosed(model: TracedModel) -> Report:
    spec, ledger = model
    owners = [entry for entry in ledger.entries if not isinstance(entry, (Buffer, Scores, Scan, Cache))]
    lines = params(ledger).lines
    total = summed(lines)
    embedding = summed(embedding_params(ledger).lines)
    active = active_params(ledger)
    summary = {
        "total": Figure(total, PARAMETERS),
        "embedding": Figure(embedding, PARAMETERS),
        "non_embedding": Figure(named("total", total) - named("embedding", embedding), PARAMETERS),
        "active": Figure(summed(active.lines, _ACTIVE), PARAMETERS)
        if active.total != total
        else Figure(total, PARAMETERS),
    }
    kept = summed(buffers(ledger).lines)
    if kept:
        summary["buffers"] = Figure(kept, PARAMETERS)
    figures = [(line.name, Figure(line.value, PARAMETERS, source=model.shape_source)) for line in lines]
    rows = [_row(entry, figure, total) for entry, (_, figure) in zip(owners, figures, strict=True)]
    sums = _sums(summary, spec)
    wanted: list[tuple[PublishedName, int]] = [
        ("params", total),
        ("active_params", int(summary["active"].value)),
        ("non_embedding_params", int(summary["non_embedding"].value)),
        ("embedding_params", embedding),
    ]
    shape = f" ({source_text(model.shape_source)})" if model.shape_source else ""
    used = f", {int(active.total):,} of them active per token" if active.total != total else ""
    tables = [
        Table(
            f"{spec.label} has {int(total):,} parameters{used}, counted from its shape{shape}",
            _COLUMNS,
            (*rows, *sums),
            subject=spec.name,
            totals=frozenset(range(len(rows), len(rows) + len(sums))),
        ),
        *_published_tables(spec, wanted),
    ]
    data: Data = {
        "model": spec.name,
        "title": spec.label,
        "params": summary,
        "lines": [_line_data(entry, figure) for entry, (_, figure) in zip(owners, figures, strict=True)],
        "published": published_data(spec, [(name, PARAMETERS, value) for name, value in wanted]),
    }
    in_part = line_figures(active.lines, PARAMETERS, model.shape_source, _ACTIVE) if active.total != total else ()
    steps = tuple(steps_of([*figures, *in_part, *summary.items()], spec.name))
    return Report(
        f"{spec.label}: parameters",
        tuple(tables),
        data,
        notes_of(spec, release_note(model.spec), LEAVES_OUT, about=()),
        steps,
    )


def _row(entry: Entry, figure: Figure, total: int) -> tuple[Cell, ...]:
    assert not isinstance(entry, (Buffer, Scores, Scan, Cache))
    if not entry.stored:
        return (entry.name, Figure(0, COUNT), figure, share(0, 1), "tied to embedding.tokens")
    return (entry.name, Figure(entry.stored, COUNT), figure, share(int(figure.value), total), figure.formula)


def _sums(summary: dict[str, Figure], spec: ModelSpec) -> list[tuple[Cell, ...]]:
    """The rows below the lines: total, its split, and the active part where that is not everything."""
    total = int(summary["total"].value)
    untied = spec.tied is False
    rows: list[tuple[str, str, str]] = [
        ("total", "total", ""),
        ("non-embedding", "non_embedding", "total - embedding"),
        ("embedding", "embedding", "token and position tables" + (", untied head" if untied else "")),
    ]
    if summary["active"].value != summary["total"].value:
        rows.append(("active per token", "active", "routed experts counted by those that a token uses"))
    if "buffers" in summary:
        rows.append(("buffers, not in the total", "buffers", "stored with the weights, not trained by gradients"))
    return [
        (Label(name, key), "", summary[key], share(int(summary[key].value), total), text) for name, key, text in rows
    ]


def _published_tables(spec: ModelSpec, wanted: Iterable[tuple[PublishedName, int]]) -> list[Table]:
    rows: list[tuple[Cell, ...]] = []
    for name, computed in wanted:
        for published in spec.figures(name):
            figure = published_figure(published, PARAMETERS)
            source = source_text(figure.source) + (f" ({figure.note})" if figure.note else "")
            gap = Figure(difference(computed, published), SHARE)
            rows.append(
                (
                    name.replace("_", " ").replace("params", "parameters"),
                    figure,
                    Figure(computed, PARAMETERS),
                    gap,
                    source,
                )
            )
    return [Table("", _PUBLISHED_COLUMNS, tuple(rows), subject=spec.name, aside=True)] if rows else []


def _line_data(entry: Entry, figure: Figure) -> Data:
    assert not isinstance(entry, (Buffer, Scores, Scan, Cache))
    used = getattr(entry, "used", 0)  # tables are read and vectors applied elementwise: no copy is used in a product
    return {
        "name": entry.name,
        "part": entry.part,
        "stored": int(entry.stored),
        "used": int(used),
        "params": figure,
        "params_per_copy": int(size(entry)),
        "formula": figure.formula,
    }


def undisclosed(spec: UndisclosedSpec) -> Report:
    """What is known of a model whose shape was not published; nothing in it was computed."""
    columns = (
        Column("estimate", "claim", numeric=False),
        Column("by", "by", numeric=False),
        Column("evidence", "evidence", numeric=False),
    )
    rows = tuple((estimate.claim, estimate.by, estimate.evidence) for estimate in spec.estimates)
    title = f"{spec.label}: undisclosed. Third-party estimates, none of them tscale's"
    data: Data = {
        "model": spec.name,
        "title": spec.label,
        "params": None,
        "lines": [],
        "published": {"text": spec.disclosed, "source": source_text(spec.source), "evidence": spec.evidence},
        "estimates": [{"claim": e.claim, "by": e.by, "evidence": e.evidence} for e in spec.estimates],
    }
    notes = (
        f"Published ({source_text(spec.source)}): {spec.disclosed.strip()}",
        *(note.strip() for note in spec.notes),
        f"{spec.label}: nothing is counted, because its shape was never published.",
    )
    tables = (Table(title, columns, rows, subject=spec.name),) if rows else ()
    return Report(f"{spec.label}: undisclosed", tables, data, notes, exit_code=3)
