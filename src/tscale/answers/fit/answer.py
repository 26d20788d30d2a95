"""`tscale fit`: the scaling law of one's own runs, how sure it is, and what it says to train."""

from __future__ import annotations

from pathlib import Path

from tscale.answers.fit.notes import fit_notes, fit_steps
from tscale.answers.fit.tables import (
    CONSTANTS,
    INTERVALS,
    MEANINGS,
    OPTIMA,
    PLAIN,
    cells_of,
    constant_rows,
    figure_of,
    held_rows,
    objective,
    optimum_of,
    quality,
    residuals,
)
from tscale.calibration.parametric import BEYOND, DELTA
from tscale.core.laws import Parametric
from tscale.core.metric import Data, Report, Table
from tscale.estimates.fitting import Fitting
from tscale.estimates.laws import LEVEL, law_data


def fit_report(answer: Fitting, written: Path | None = None) -> Report:
    """The constants with their intervals, the exponents, the optimum at and past the runs' budgets, and how well it fits."""
    rows = list(constant_rows(answer))
    optima = [optimum_of(answer, times) for times in BEYOND]
    title = f"L(N, D) = E + A/N^alpha + B/D^beta, fitted to the {len(answer.runs):,} runs of {answer.read.name}"
    tables = (
        Table(title, CONSTANTS, tuple((name, *figures, MEANINGS[name]) for name, *figures in rows)),
        Table("", OPTIMA, tuple(cells_of(one, OPTIMA) for one in optima), aside=True),
        Table("", INTERVALS, tuple(cells_of(one, INTERVALS) for one in optima), aside=True),
        quality(answer),
    )
    triples: dict[str, Data] = {name: {"value": value, "low": low, "high": high} for name, value, low, high in rows}
    data: dict[str, Data] = {
        "form": "chinchilla",
        "file": answer.read.name,
        "runs": len(answer.runs),
        "columns": list(answer.read.columns),
        "columns_left_out": list(answer.read.unread),
        "constants": {name: triples[name] for name in Parametric._fields},
        "exponents": {name: triples[name] for name in ("a", "b")},
        "level": LEVEL,
        "bootstraps": answer.bootstraps,
        "bootstraps_lost": answer.fit.lost,
        "seed": answer.seed,
        "huber_delta": figure_of(DELTA, PLAIN),
        "objective": objective(answer),
        "residuals": {name: cell for name, _, cell in residuals(answer)},
        "held_out": {name: cell for name, _, cell in held_rows(answer.held)} or None,
        "optima": [dict[str, Data](one.figures) | {"extrapolated": one.beyond} for one in optima],
        "law": {"name": answer.law.name, **law_data(answer.law)},
        "law_file": None if written is None else str(written),
    }
    return Report(
        "A fitted scaling law", tables, data, tuple(fit_notes(answer, written)), tuple(fit_steps(answer, optima[0]))
    )
