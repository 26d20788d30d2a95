"""`calibrate`: a calibration of one's own measured runs."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from tscale.analysis.request import Option, asked
from tscale.analysis.written import Written, output
from tscale.blocks.spec_dataclass import spec_dataclass

if TYPE_CHECKING:
    from tscale.core.metric import Report
    from tscale.estimates.calibrate import Calibrated


@spec_dataclass
class Ask(Written):
    """Calibrate predictions of serving to your own runs.

    The answer has the error of each run before, and after with the run itself left out.
    """

    command = "calibrate"

    runs: str = asked(
        Option(
            "Give a CSV of your measured runs, with the columns that accuracy reads of serving; - is standard input.",
            "RUNS.csv",
            kind="argument",
        ),
        required=True,
    )
    output: str | None = asked(output("Write the calibration to this file, which serve --calibration reads."))

    def check(self) -> None:
        """What fits is installed, and no file is lost."""
        from tscale.calibration import require

        require("calibrate")
        self.check_file()

    @cached_property
    def calibrated(self) -> Calibrated:
        """The calibration of the runs."""
        from tscale.estimates.calibrate import calibrated

        return calibrated(self.runs)


def analyze(ask: Ask) -> Report:
    """Errors before and after; the calibration is written where a file is named for it."""
    from tscale.answers.calibrate import calibrate_report

    if ask.file is not None:
        ask.write(ask.calibrated.own.text)
    return calibrate_report(ask.calibrated, ask.file)
