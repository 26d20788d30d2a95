"""`tscale fit`: the scaling law of one's own runs, how sure it is, and what it says to train."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tscale.answers.fit.notes import fit_notes, fit_steps
from tscale.answers.fit.tables import (
    INTERVALS,
    MEANINGS,
    OPTIMA,
    POWER,
    constants_of,
    constants_table,
    distances_table,
    exponents_of,
    fit_data,
    held_data,
    optimum_of,
    residuals_of,
)
from tscale.calibration.parametric import BEYOND
from tscale.core.metric import Report
from tscale.core.number_text import estimate
from tscale.core.units import NATS
from tscale.core.view import view
from tscale.estimates.fit import Fitting

_UNITS: Final = {"E": NATS, "alpha": POWER, "beta": POWER}


def fit_report(answer: Fitting, written: Path | None = None) -> Report:
    """The constants with their intervals, the exponents, the optimum at and past the runs' budgets, and how well it fits."""
    law = answer.law
    assert law.exponent is not None
    constants, exponents = constants_of(law, _UNITS), exponents_of(law)
    optima = [optimum_of(answer, times) for times in BEYOND]
    records = [one.record for one in optima]
    off, held = residuals_of(answer.fit.residuals, answer.runs), held_data(answer.held)
    title = f"L(N, D) = E + A/N^alpha + B/D^beta, fitted to the {len(answer.runs):,} runs of {answer.read.name}: "
    title += f"compute-optimal parameters grow as C^{estimate(law.exponent.value)}"
    tables = (
        constants_table(title, constants | exponents, MEANINGS),
        view("", OPTIMA, records, aside=True),
        view("", INTERVALS, records, aside=True),
        distances_table(off | held),
    )
    data = fit_data(answer, "chinchilla", constants, (off, held), records, written, exponents)
    return Report(
        "A fitted scaling law", tables, data, tuple(fit_notes(answer, written)), tuple(fit_steps(answer, optima[0]))
    )
