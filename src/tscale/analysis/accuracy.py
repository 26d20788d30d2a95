"""`accuracy`: predictions held to a table of measured runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from tscale.analysis.request import Option, asked
from tscale.analysis.written import Written, output
from tscale.blocks.spec_dataclass import spec_dataclass

if TYPE_CHECKING:
    from tscale.core.metric import Report
    from tscale.core.plot import Plot
    from tscale.estimates.accuracy import Accuracy


@spec_dataclass
class Ask(Written):
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
    output: str | None = asked(output("Write the rows with their predictions to this CSV file."))

    def check(self) -> None:
        """No file is lost."""
        self.check_file()

    @cached_property
    def judged(self) -> Accuracy:
        """The table, judged row by row."""
        from tscale.estimates.accuracy import accuracy_of

        return accuracy_of(self.runs)


def analyze(ask: Ask) -> Report:
    """The errors by group; the rows are written where a file is named for them."""
    from tscale.answers.accuracy import accuracy_report
    from tscale.estimates.accuracy import with_predictions

    if ask.file is not None:
        ask.write(with_predictions(ask.judged))
    return accuracy_report(ask.judged)


def plots(ask: Ask) -> Sequence[Plot]:
    """What was measured against what is predicted."""
    from tscale.answers.plots.accuracy import accuracy_plots

    return list(accuracy_plots(ask.judged))
