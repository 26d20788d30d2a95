from pathlib import Path
from typing import Annotated

import typer

from tscale.cli.options import Force, OutputFormat, PlotTo
from tscale.errors import RequestError
from tscale.render import show_with_plot

_Runs = Annotated[
    str,
    typer.Argument(
        metavar="RUNS.csv",
        help="Give a CSV of measured training steps, serving or memory; - is standard input.",
    ),
]
_Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the rows with their predictions to this CSV file."),
]


def accuracy(
    runs: _Runs,
    output: _Output = None,
    force: Force = False,
    plot: PlotTo = None,
    format: OutputFormat = "table",
) -> None:
    """Measure how far predictions are from measured runs.

    The answer has the error by group, the coverage of the intervals, and bounds that were broken.
    """
    from tscale.models.writing import refuse_to_overwrite, write_new, write_over

    if force and output is None:
        raise RequestError("--force needs --output FILE: add it, or drop --force")
    if plot is not None:
        from tscale.render.plot import check_target

        check_target(plot, format)
    if output is not None and not force:
        refuse_to_overwrite(output, "choose another name, or --force")
    from tscale.answers.accuracy import accuracy_of, accuracy_report, with_predictions
    from tscale.answers.plots.accuracy import accuracy_plots
    from tscale.cli.boundary import finish

    found = accuracy_of(runs)
    if output is not None:
        (write_over if force else write_new)(output, with_predictions(found))
    report = accuracy_report(found)
    show_with_plot(lambda: report, lambda: list(accuracy_plots(found)), plot, format)
    finish(report)
