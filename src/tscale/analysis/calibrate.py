"""`calibrate`: a calibration of one's own measured runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tscale.analysis.request import Option, Request, asked
from tscale.errors import RequestError

if TYPE_CHECKING:
    from tscale.answers.calibrate import Calibrated
    from tscale.core.metric import Report


@dataclass(frozen=True, kw_only=True)
class Ask(Request):
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
    output: str | None = asked(
        Option("Write the calibration to this file, which serve --calibration reads.", "FILE", spelling="--output,-o")
    )
    force: bool = asked(Option("Overwrite the file if it exists.", kind="flag"), default=False)

    def check(self) -> None:
        """What fits is installed, and no file is lost."""
        from tscale.calibration import require
        from tscale.models.writing import refuse_to_overwrite

        if self.force and self.file is None:
            raise RequestError("--force needs --output FILE: add it, or drop --force")
        require("calibrate")
        if self.file is not None and not self.force:
            refuse_to_overwrite(self.file, "choose another name, or --force")

    @property
    def file(self) -> Path | None:
        """Where the calibration is written."""
        return None if self.output is None else Path(self.output)

    @cached_property
    def calibrated(self) -> Calibrated:
        """The calibration of the runs."""
        from tscale.answers.calibrate import calibrated

        return calibrated(self.runs)


def analyze(ask: Ask) -> Report:
    """Errors before and after; the calibration is written where a file is named for it."""
    from tscale.answers.calibrate import calibrate_report
    from tscale.models.writing import write_new, write_over

    if ask.file is not None:
        (write_over if ask.force else write_new)(ask.file, ask.calibrated.own.text)
    return calibrate_report(ask.calibrated, ask.file)
