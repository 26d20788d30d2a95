from typing import Annotated

import typer

from tscale.cli import options
from tscale.cli.options import Explain, Laws, OutputFormat, PlotTo
from tscale.core.numbers import MOST_FLOPS, MOST_TOKENS, parse_count
from tscale.errors import RequestError
from tscale.render import show_with_plot

_Flops = Annotated[str | None, typer.Option("--flops", metavar="C", help="Training FLOPs, such as 5.76e23.")]
_Params = Annotated[str | None, typer.Option("--params", metavar="N", help="Parameters, such as 7B.")]
_Unique = Annotated[
    str | None, typer.Option("--unique-tokens", metavar="N", help="Tokens that there are: more are repeats.")
]
_Served = Annotated[
    str | None, typer.Option("--inference-tokens", metavar="N", help="Tokens to be served: counts them in.")
]


def optimal(
    flops: _Flops = None,
    params: _Params = None,
    tokens: options.Tokens = None,
    unique_tokens: _Unique = None,
    inference_tokens: _Served = None,
    law: Laws = [],
    plot: PlotTo = None,
    format: OutputFormat = "table",
    explain: Explain = False,
) -> None:
    """Show the compute-optimal model and tokens for a budget, by each scaling law."""
    from tscale.answers.budget import amount_given
    from tscale.answers.optimal import optimal_report
    from tscale.answers.plots.optimal import optimal_plots

    given = [option for option, text in (("--flops", flops), ("--params", params), ("--tokens", tokens)) if text]
    if len(given) != 1:
        raise RequestError(
            "optimal takes one of --flops, --params or --tokens, "
            + (f"not {' and '.join(given)}" if given else "such as --flops 5.76e23")
        )
    if flops:
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
