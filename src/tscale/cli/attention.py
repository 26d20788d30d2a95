from typing import Annotated

import typer

from tscale.cli import options
from tscale.cli.options import Assume, Changes, Explain, Model, OutputFormat, PlotTo
from tscale.errors import RequestError
from tscale.render import show_with_plot

_Contexts = Annotated[
    str | None,
    typer.Option("--context", metavar="N,N,...", help="Set the context lengths, such as 512,2k,8k; k is 1,024."),
]
_Dtype = Annotated[options.Dtype, typer.Option("--dtype", help="Set the number format of cache, scores and weights.")]
_Causal = Annotated[
    bool, typer.Option("--causal/--full", help="Count the keys that a query may see, or all of them as frameworks do.")
]
_Versus = Annotated[bool, typer.Option("--versus", help="Compare with recurrent, convolutional and restricted layers.")]
_Kernel = Annotated[
    str | None,
    typer.Option("--kernel", metavar="K", help="Set the kernel of the convolution, with --versus; the default is 3."),
]
_Neighbourhood = Annotated[
    str | None,
    typer.Option(
        "--neighbourhood",
        metavar="R",
        help="Set the keys that restricted attention sees, with --versus; the default is 256.",
    ),
]


def attention(
    model: Model,
    context: _Contexts = None,
    dtype: _Dtype = "bf16",
    causal: _Causal = False,
    versus: _Versus = False,
    kernel: _Kernel = None,
    neighbourhood: _Neighbourhood = None,
    changes: Changes = [],
    assume: Assume = None,
    plot: PlotTo = None,
    format: OutputFormat = "table",
    explain: Explain = False,
) -> None:
    """Show what attention costs at each context length.

    The second table has the context lengths at which attention overtakes the rest of the model.
    """
    from tscale.answers.assumed import as_assumed
    from tscale.answers.attention import Ask, attention_report
    from tscale.answers.plots.attention import attention_plot
    from tscale.models.resolve import resolve

    if not versus and (kernel or neighbourhood):
        raise RequestError("--kernel and --neighbourhood need --versus: add it, or drop them")
    ask = Ask(
        options.contexts(context),
        "causal" if causal else "full",
        dtype,
        versus,
        options.size(kernel or "3", "--kernel"),
        options.size(neighbourhood or "256", "--neighbourhood"),
    )
    spec = resolve(model, changes, assume)
    show_with_plot(
        lambda: as_assumed(attention_report(spec, ask), spec),
        lambda: [attention_plot(spec, ask)],
        plot,
        format,
        explain=explain,
    )
