from typing import Annotated

import typer

from tscale.cli.options import Assume, Changes, HardwareChanges, Model, OutputFormat
from tscale.render import show

_Gpu = Annotated[str | None, typer.Option("--gpu", metavar="NAME", help="Show fit, speed, hours and dollars on it.")]


def summary(
    model: Model,
    gpu: _Gpu = None,
    changes: Changes = [],
    assume: Assume = None,
    gpu_changes: HardwareChanges = [],
    format: OutputFormat = "table",
) -> None:
    """Show what a model is and costs on one screen."""
    from tscale.answers.summary import summary_report
    from tscale.catalogue.hardware import find_hardware
    from tscale.cli.boundary import finish
    from tscale.models.resolve import find

    report = summary_report(find(model, changes, assume), None if gpu is None else find_hardware(gpu, gpu_changes))
    show(report, format)
    finish(report)
