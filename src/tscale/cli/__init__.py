"""The command line: one file a subcommand, and one boundary that turns errors into exit codes."""

from typing import Annotated

import typer

from tscale.cli.accuracy import accuracy
from tscale.cli.attention import attention
from tscale.cli.boundary import Boundary
from tscale.cli.catalogue import list_, show
from tscale.cli.check import check
from tscale.cli.compare import compare
from tscale.cli.design import design
from tscale.cli.examples import examples
from tscale.cli.files import new, schema, validate
from tscale.cli.fit import fit
from tscale.cli.flops import flops
from tscale.cli.headings import WithHeadings
from tscale.cli.import_ import import_
from tscale.cli.loss import loss
from tscale.cli.memory import memory
from tscale.cli.optimal import optimal
from tscale.cli.params import params
from tscale.cli.serve import serve
from tscale.cli.summary import summary
from tscale.cli.train import train
from tscale.cli.verify import verify

app = typer.Typer(
    cls=Boundary,
    name="tscale",
    help="What does a transformer cost? Parameters, attention, FLOPs and memory: exactly, with the derivation and the source.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def tscale(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Answer what a transformer costs."""
    if version:
        import tscale as package

        typer.echo(f"tscale {package.__version__}")
        raise typer.Exit  # whatever command follows: its answer would not be alone
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for command in (
    summary,
    params,
    attention,
    flops,
    compare,
    memory,
    train,
    serve,
    optimal,
    loss,
    design,
    fit,
    accuracy,
    check,
    verify,
    list_,
    show,
    validate,
    new,
    import_,
    schema,
):
    name = command.__name__.rstrip("_")
    app.command(name, cls=WithHeadings if command is memory else None, epilog=examples(name))(command)
