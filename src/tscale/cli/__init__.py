"""The command line: commands made of questions and a few of their own, each imported when it is asked for."""

from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.main import get_command_from_info
from typer.models import CommandInfo

from tscale.cli.boundary import Boundary
from tscale.cli.examples import examples

_QUESTIONS: Final = {
    "summary": "Show what a model is and costs on one screen.",
    "params": "Count the parameters of each model, part by part.",
    "attention": "Show what attention costs at each context length.",
    "flops": "Count training FLOPs, exactly and by each convention.",
    "compare": "Compare 2 to 8 models, with ratios to the first.",
    "memory": "Show the memory of serving or training on each device.",
    "train": "Estimate the time, cost and energy of training.",
    "serve": "Predict the speed of serving a model, and its cost.",
    "plan": "Find the best layout for training, or for serving.",
    "optimal": "Show the compute-optimal parameters and tokens.",
    "loss": "Predict the loss of a model by each scaling law.",
    "hyper": "Suggest the learning rate and batch size of a training run.",
    "design": "Design a model of a given size or training budget.",
    "fit": "Fit a scaling law to your own training runs.",
    "accuracy": "Measure how far predictions are from measured runs.",
    "calibrate": "Calibrate predictions of serving to your own runs.",
    "check": "Check claims about models against the right values.",
    "verify": "Compare a checkpoint's tensors with those of a spec.",
    "list": "List models, hardware, families, formats, laws or claims.",
}
"""Commands that are made of questions, each with the first line of its help (a test holds them equal)."""
_OTHERS: Final = {
    "sweep": ("sweep", "sweep", "Answer a question over all combinations of many values."),
    "show": ("catalogue", "show", "Print the file of a model, accelerator, law or claims."),
    "detect": ("catalogue", "detect", "Name the GPU of this machine, which --gpu here stands for."),
    "validate": ("files", "validate", "Check YAML specs, and list their errors by line."),
    "new": ("files", "new", "Write NAME.yaml, a commented spec to start from."),
    "import": ("import_", "import_", "Write the YAML spec of a config.json."),
    "schema": ("files", "schema", "Print the JSON Schema of a kind of file, or of an answer."),
}
"""Commands of their own: the module and the function, and the first line of its help."""


class Commands(dict[str, Any]):
    """The commands by name, each made when it is looked up, so that an answer pays for its own command alone."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys([*_QUESTIONS, *_OTHERS]))

    def __getitem__(self, name: str) -> Any:
        if super().__getitem__(name) is None:
            self[name] = _made(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """The command of a name; for one that is none, the default."""
        return self[name] if name in self else default  # noqa: SIM401 (`get` is what is defined here)

    def items(self) -> Any:
        """All of them, made."""
        return [(name, self[name]) for name in self]

    def values(self) -> Any:
        """All of them, made."""
        return [self[name] for name in self]

    def lines(self) -> Iterator[tuple[str, str]]:
        """Each name with the first line of its help, for which none is made."""
        yield from _QUESTIONS.items()
        yield from ((name, line) for name, (_, _, line) in _OTHERS.items())


@cache
def _made(name: str) -> Any:
    """The command of a name, as typer makes it of a function."""
    from tscale.cli.headings import WithHeadings

    settings = {**_HELP, "ignore_unknown_options": True} if name == "sweep" else _HELP  # those of its question
    info = CommandInfo(
        name, cls=WithHeadings, callback=_function(name), epilog=examples(name), context_settings=settings
    )
    return get_command_from_info(info, pretty_exceptions_short=True, rich_markup_mode=None)


def _function(name: str) -> Callable[..., None]:
    if name in _QUESTIONS:
        from tscale.cli.made import command_of

        return command_of(name)
    module, function, _ = _OTHERS[name]
    found: Callable[..., None] = getattr(import_module(f"tscale.cli.{module}"), function)
    return found


_HELP: Final = {"help_option_names": ["-h", "--help"]}


class Lazy(Boundary):
    """The boundary over commands that are made when they are asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "commands": Commands()})

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Lists the commands with their first lines, as typer does, without making them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(self.commands.lines()))  # type: ignore[attr-defined]


app = typer.Typer(
    cls=Lazy,
    name="tscale",
    help="What does a transformer cost? Parameters, attention, FLOPs and memory: exactly, with the derivation and the source.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=False,
    invoke_without_command=True,
    context_settings=_HELP,
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
