from typing import TYPE_CHECKING, Annotated

import typer

from tscale.cli import options
from tscale.cli.options import Explain, Gpus, HardwareChanges, Laws, Mfu, OutputFormat, PlotTo, Price, Served, Unique
from tscale.core.tracing import MOST_FLOPS, MOST_TOKENS, parse_count
from tscale.errors import RequestError
from tscale.render import show_with_plot

if TYPE_CHECKING:
    from tscale.answers.optimal import Budget

_Flops = Annotated[str | None, typer.Option("--flops", metavar="C", help="Training FLOPs, such as 5.76e23.")]
_Params = Annotated[str | None, typer.Option("--params", metavar="N", help="Parameters, such as 7B.")]
_Gpu = Annotated[
    str | None,
    typer.Option("--gpu", metavar="NAME", help="The hardware of a budget in GPUs and days, or in dollars."),
]
_Days = Annotated[str | None, typer.Option("--days", metavar="N", help="How long the GPUs train.")]
_Dollars = Annotated[str | None, typer.Option("--dollars", metavar="USD", help="US dollars for GPU-hours: 1e6.")]


def optimal(
    flops: _Flops = None,
    params: _Params = None,
    tokens: options.Tokens = None,
    gpu: _Gpu = None,
    gpus: Gpus = None,
    days: _Days = None,
    dollars: _Dollars = None,
    price: Price = None,
    mfu: Mfu = None,
    unique_tokens: Unique = None,
    inference_tokens: Served = None,
    law: Laws = [],
    gpu_changes: HardwareChanges = [],
    plot: PlotTo = None,
    format: OutputFormat = "table",
    explain: Explain = False,
) -> None:
    """Show the compute-optimal parameters and tokens.

    Each scaling law has its own optimum for a budget of FLOPs, GPUs and days, or dollars.
    """
    from tscale.answers.budget import amount_given
    from tscale.answers.optimal import optimal_report
    from tscale.answers.plots.optimal import optimal_plots

    choices = (("--flops", flops), ("--params", params), ("--tokens", tokens), ("--gpu", gpu))
    given = [option for option, text in choices if text]
    of_gpu = (("--gpus", gpus), ("--days", days), ("--dollars", dollars), ("--price", price), ("--mfu", mfu))
    alone = [option for option, text in (*of_gpu, ("--gpu-set", gpu_changes)) if text]
    if not given and alone:
        raise RequestError(f"{alone[0]} is read with --gpu only: add it, such as --gpu h100")
    if len(given) != 1:
        raise RequestError(
            "optimal takes one of --flops, --params, --tokens or --gpu, "
            + (f"not {' and '.join(given)}" if given else "such as --flops 5.76e23")
        )
    if gpu:
        budget = _on_machines(gpu, gpu_changes, gpus, days, dollars, price, mfu)
    elif alone:
        raise RequestError(f"{alone[0]} is read with --gpu only: --gpu h100 in place of {given[0]}, or drop it")
    elif flops:
        budget = amount_given("flops", parse_count(flops, what="--flops", most=MOST_FLOPS))
    elif params:
        budget = amount_given("params", parse_count(params, what="--params", most=options.MOST_PARAMETERS))
    else:
        budget = amount_given("tokens", parse_count(tokens or "", what="--tokens", most=MOST_TOKENS))
    unique = options.optional_count(unique_tokens, "--unique-tokens")
    served = options.optional_count(inference_tokens, "--inference-tokens")
    show_with_plot(
        lambda: optimal_report(budget, law, unique, served, explain=explain),
        lambda: optimal_plots(budget, law, unique, served),
        plot,
        format,
        explain=explain,
    )


def _on_machines(
    gpu: str,
    changes: list[str],
    gpus: str | None,
    days: str | None,
    dollars: str | None,
    price: str | None,
    mfu: str | None,
) -> "Budget":
    """The FLOPs of GPUs and days, or of dollars."""
    from tscale.answers.budget import Machines, on_machines
    from tscale.catalogue.hardware import find_hardware

    machines = Machines(
        options.devices(gpus),
        options.number(days, "--days", 10**6, "30"),
        options.number(dollars, "--dollars", 10**15, "1e6"),
        options.number(price, "--price", 10**6, "2.50"),
        options.share(mfu, "--mfu"),
    )
    return on_machines(find_hardware(gpu, changes), machines)
