"""`accuracy`: predictions held to a table of measured runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tscale.analysis.request import Option, Request, asked
from tscale.errors import RequestError

if TYPE_CHECKING:
    from tscale.answers.accuracy import Accuracy
    from tscale.core.metric import Report
    from tscale.core.plot import Plot


@dataclass(frozen=True, kw_only=True)
class Ask(Request):
    """Measure how far predictions are from measured runs.

    The answer has the error by group, the coverage of the intervals, and bounds that were broken.
    """

    command = "accuracy"

    runs: str = asked(
        Option(
            "Give a CSV of measured training steps, serving or memory; - is standard input.",
            "RUNS.csv",
            kind="argument",
        ),
        required=True,
    )
    output: str | None = asked(
        Option("Write the rows with their predictions to this CSV file.", "FILE", spelling="--output,-o")
    )
    force: bool = asked(Option("Overwrite the file if it exists.", kind="flag"), False)

    def check(self) -> None:
        """What is written has a name that it may have."""
        from tscale.models.writing import refuse_to_overwrite

        if self.force and self.file is None:
            raise RequestError("--force needs --output FILE: add it, or drop --force")
        if self.file is not None and not self.force:
            refuse_to_overwrite(self.file, "choose another name, or --force")

    @property
    def file(self) -> Path | None:
        """Where the rows with their predictions are written."""
        return None if self.output is None else Path(self.output)

    @cached_property
    def judged(self) -> Accuracy:
        """The table, judged row by row."""
        from tscale.answers.accuracy import accuracy_of

        return accuracy_of(self.runs)


def analyze(ask: Ask) -> Report:
    """The errors by group; the rows are written where a file is named for them."""
    from tscale.answers.accuracy import accuracy_report, with_predictions
    from tscale.models.writing import write_new, write_over

    if ask.file is not None:
        (write_over if ask.force else write_new)(ask.file, with_predictions(ask.judged))
    return accuracy_report(ask.judged)


def plots(ask: Ask) -> Sequence[Plot]:
    """What was measured against what is predicted."""
    from tscale.answers.plots.accuracy import accuracy_plots

    return list(accuracy_plots(ask.judged))
