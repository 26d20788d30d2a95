from typing import Annotated

import typer

from tscale.cli import options
from tscale.cli.options import Assume, Changes, Context, Explain, OutputFormat, Tokens
from tscale.render import show

_Model = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]", help=f"{options.MODEL_HELP} The default is gpt3.", autocompletion=options.model_names
    ),
]
_Source = Annotated[
    str | None, typer.Option("--source", metavar="N", help="Set the encoder tokens of a sequence; k is 1,024.")
]
_Target = Annotated[
    str | None, typer.Option("--target", metavar="N", help="Set the decoder tokens of a sequence; k is 1,024.")
]


def flops(
    model: _Model = None,
    tokens: Tokens = None,
    context: Context = None,
    source: _Source = None,
    target: _Target = None,
    changes: Changes = [],
    assume: Assume = None,
    format: OutputFormat = "table",
    explain: Explain = False,
) -> None:
    """Count training FLOPs, exactly and by each convention.

    The conventions are those of published papers, as they print them.
    """
    from tscale.answers.assumed import as_assumed
    from tscale.answers.flops import flops_report
    from tscale.models.resolve import resolve

    spec = resolve("gpt3" if model is None else model, changes, assume)
    report = flops_report(
        spec,
        options.tokens(tokens),
        options.context(context),
        options.context(source, "--source"),
        options.context(target, "--target"),
        by_default=model is None,
    )
    show(as_assumed(report, spec), format, explain=explain)
