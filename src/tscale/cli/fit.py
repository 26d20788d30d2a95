import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from tscale.cli.options import Explain, Force, OutputFormat, PlotTo
from tscale.core.tracing import parse_count
from tscale.errors import RequestError, shown
from tscale.render import show_with_plot

_Runs = Annotated[
    str,
    typer.Argument(
        metavar="RUNS.csv",
        help="Give a CSV with the columns params, tokens and loss, or flops for one of the first two; - is standard input.",
    ),
]
_Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the law to this YAML file, which --law reads."),
]
_Bootstraps = Annotated[
    str, typer.Option("--bootstraps", metavar="N", help="Set the number of bootstrap samples for the intervals.")
]
_Seed = Annotated[str, typer.Option("--seed", metavar="N", help="Set the seed of the random samples.")]
_Counts = Annotated[
    Literal["all", "non_embedding"], typer.Option("--counts", help="Say which parameters the column params counts.")
]
MOST_BOOTSTRAPS = 10_000
LEAST_BOOTSTRAPS = 100


def fit(
    runs: _Runs,
    output: _Output = None,
    force: Force = False,
    bootstraps: _Bootstraps = "1000",
    seed: _Seed = "0",
    counts: _Counts = "all",
    plot: PlotTo = None,
    format: OutputFormat = "table",
    explain: Explain = False,
) -> None:
    """Fit a scaling law to your own training runs.

    The answer has bootstrap intervals, and the compute-optimal runs that the law implies.
    """
    from tscale.calibration import require

    count = parse_count(bootstraps, what="--bootstraps", most=MOST_BOOTSTRAPS)
    if count < LEAST_BOOTSTRAPS:
        raise RequestError(
            f"--bootstraps must be at least {LEAST_BOOTSTRAPS}, not {count}: an interval to the 2.5th percentile needs as many"
        )
    if not re.fullmatch("[0-9]{1,18}", seed):
        raise RequestError(f"--seed must be a whole number of up to 18 digits, such as 0, not {shown(seed)}")
    if output is not None and (output.suffix.lower() not in (".yaml", ".yml") or not str(output).isprintable()):
        raise RequestError(f"--output names a YAML file, such as law.yaml, not {shown(str(output))}")
    if force and output is None:
        raise RequestError("--force needs --output FILE: add it, or drop --force")
    require()
    if plot is not None:
        from tscale.render.plot import check_target

        check_target(plot, format)
    from tscale.answers.fit import fit_report, fitted
    from tscale.answers.plots.fit import fit_plot
    from tscale.calibration.runs import read_runs
    from tscale.models.writing import law_to_yaml, refuse_to_overwrite, write_new, write_over
    from tscale.render.progress import progress

    if output is not None and not force:
        refuse_to_overwrite(output, "choose another name, or --force")
    read = read_runs(runs)
    with progress("bootstrap", count) as advance:
        answer = fitted(read, count, int(seed), counts, "fit" if output is None else output.stem, advance)
    if output is not None:
        (write_over if force else write_new)(output, law_to_yaml(answer.law))
    show_with_plot(lambda: fit_report(answer, output), lambda: [fit_plot(answer)], plot, format, explain=explain)
