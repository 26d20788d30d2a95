from typing import Annotated

import typer

from tscale.cli import options
from tscale.cli.options import Changes, Explain, Model, OutputFormat
from tscale.render import show

_Contexts = Annotated[
    str | None, typer.Option("--context", metavar="N,N,...", help="Context lengths, such as 512,2k,8k; 2k is 2048.")
]
_Dtype = Annotated[options.Dtype, typer.Option("--dtype", help="Format of cache, scores and weights.")]
_Causal = Annotated[
    bool, typer.Option("--causal/--full", help="Count the keys that a query may see, or all of them as frameworks do.")
]
_Versus = Annotated[
    bool, typer.Option("--versus", help="Set recurrent, convolutional and restricted layers beside it.")
]
_Kernel = Annotated[str, typer.Option("--kernel", metavar="K", help="Kernel of the convolution, for --versus.")]
_Neighbourhood = Annotated[
    str, typer.Option("--neighbourhood", metavar="R", help="Keys that restricted attention sees, for --versus.")
]


def attention(
    model: Model,
    context: _Contexts = None,
    dtype: _Dtype = "bf16",
    causal: _Causal = False,
    versus: _Versus = False,
    kernel: _Kernel = "3",
    neighbourhood: _Neighbourhood = "256",
    changes: Changes = [],
    format: OutputFormat = "table",
    explain: Explain = False,
) -> None:
    """Show what attention costs at each context length, and where it overtakes the rest."""
    from tscale.answers.attention import Ask, attention_report
    from tscale.spec.resolve import resolve

    ask = Ask(
        options.contexts(context),
        "causal" if causal else "full",
        dtype,
        versus,
        options.size(kernel, "--kernel"),
        options.size(neighbourhood, "--neighbourhood"),
    )
    show(attention_report(resolve(model, changes), ask), format, explain=explain)
