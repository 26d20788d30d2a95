"""Commands made of questions: each option is that of a request's field, and the answer is shown as is asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer
from typer.models import OptionInfo

from tscale.analysis import readers
from tscale.analysis.questions import Question, question
from tscale.analysis.request import Option, Request, spelled
from tscale.analysis.system import READ_BY
from tscale.errors import RequestError, called
from tscale.render import Format
from tscale.render.brief import brief

if TYPE_CHECKING:
    from tscale.core.metric import Report
    from tscale.core.plot import Plot

_FORMAT: Final = Annotated[Format, typer.Option("--format", help="Set the output format.")]
_EXPLAIN: Final = Annotated[bool, typer.Option("--explain", help="Show the derivation of each number, and its source.")]
_PLOT: Final = Annotated[
    str | None,
    typer.Option(
        "--plot",
        metavar="[FILE]",
        help="Draw a plot in a new .svg, .png or .pdf file, or in the terminal if no file is named.",
        show_default=False,
    ),
]
_OUTPUT, _OUTPUT_FILE = (
    Annotated[
        str | None,
        typer.Option(
            name, "-o", metavar="FILE", help="Write the answer to this new file; one that ends in .html is a page."
        ),
    ]
    for name in ("--output", "--output-file")
)
"""The latter where --output is of the question, such as the tokens of an answer."""
_FORCE: Final = Annotated[bool, typer.Option("--force", help="Overwrite the files of answer and plot if they exist.")]
_SYSTEM: Final = Annotated[
    str | None,
    typer.Option("--system", metavar="FILE", help="Read what is not given from a system that --save wrote."),
]
_SAVE: Final = Annotated[
    str | None,
    typer.Option("--save", metavar="FILE", help="Keep the model, the hardware and the options in a new YAML file."),
]


_DETAILS: Final = Annotated[bool, typer.Option("--details", help="Show every table, line and note.")]
_SHOWN: Final = ("format", "explain", "details", "plot", "output", "force", "save", "system")
"""What is said of the answer, not of the question; a question that writes a file of its own has two of them itself."""


_BRIEF: Final = ("table", "markdown")
"""Formats for people, who are shown the details where they ask for them."""


def command_of(name: str) -> Callable[..., None]:
    """The function of a command, whose parameters are what typer makes options of."""
    asked = question(name)

    def run(**given: Any) -> None:
        shown = {key: given.pop(key, None) for key in _SHOWN if key not in asked.ask.options()}
        if "output_file" in given:
            shown["output"] = given.pop("output_file")
        _answer(asked, given, **shown)

    parameters = [*_asked(asked), *_shown(asked)]
    run.__name__, run.__doc__ = name, asked.ask.__doc__
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _answer(
    asked: Question,
    given: Mapping[str, object],
    *,
    format: Format | None,
    explain: bool | None,
    details: bool | None,
    plot: str | None,
    output: str | None = None,
    force: bool | None = None,
    save: str | None,
    system: str | None,
) -> None:
    """Asks, shows the answer, and ends with its exit code."""
    from tscale.render import print_text, show_with_plot

    answer_file, system_file = _files(output, save, system)
    if answer_file is not None and answer_file.suffix.lower() in (".html", ".htm") and format == "table":
        format = "html"
    _check_files(answer_file, system_file, force=bool(force))
    if system is not None:
        from tscale.analysis.system import with_system

        given = with_system(asked.ask, given, system)
    request = asked.made(given, explain=bool(explain))
    alone = None if asked.text is None else asked.text(request)
    if alone is not None:
        print_text(alone)
        return
    code = 0

    def report() -> Report:
        nonlocal code
        answer = asked.analyze(request)
        code = answer.exit_code
        if system_file is not None:
            answer = _kept(answer, request, system_file)
        return answer if details or explain or format not in _BRIEF else brief(answer)

    draw = asked.plots or _no_plots
    show_with_plot(
        report,
        lambda: draw(request),
        plot,
        format or "table",
        explain=bool(explain),
        output=answer_file,
        force=bool(force or getattr(request, "force", False)),
    )
    if code:
        raise typer.Exit(code)


def _files(output: str | None, save: str | None, system: str | None) -> tuple[Path | None, Path | None]:
    """Where the answer and its system are written; `-` is standard output."""
    for name, text in (("-o", output), ("--save", save), ("--system", system)):
        if text is not None:
            readers.file(text, name)
    return None if output in (None, "-") else Path(output), None if save is None else Path(save)


def _kept(answer: Report, request: Request, file: Path) -> Report:
    """Writes the system of a request to a new file; of none, the answer says that nothing was written."""
    from tscale.analysis.system import saved
    from tscale.models.writing import write_new

    text = saved(request)
    if text is None:
        return answer._replace(
            lead=(*answer.lead, f"--save: no system was found, and {called(str(file))} is not written.")
        )
    write_new(file, text)
    return answer


def _check_files(answer: Path | None, system: Path | None, *, force: bool) -> None:
    """Refuses files that may not be written, before anything is computed for them. Raises `TscaleError`."""
    if answer is None and system is None:
        return
    from tscale.models.writing import refuse_to_overwrite

    if answer is not None and not force:
        refuse_to_overwrite(answer, "choose another name, or --force")
    if system is not None:
        refuse_to_overwrite(system)
    if answer is not None and system is not None and os.path.realpath(answer) == os.path.realpath(system):
        raise RequestError(
            f"{called(str(system))} is the file of the answer and of --save: give each a name of its own"
        )


def _no_plots(_: object) -> Sequence[Plot]:
    return ()


def _asked(asked: Question) -> list[Parameter]:
    """The parameters of a question's own options, arguments first."""
    made = [_parameter(name, option, asked) for name, option in asked.ask.options().items()]
    return sorted(made, key=lambda one: isinstance(one.annotation.__metadata__[0], OptionInfo))


def _parameter(name: str, option: Option, asked: Question) -> Parameter:
    """What typer reads one field by: a text, whatever it means, which the request reads."""
    several = option.kind in ("list", "models")
    shape: Any = list[str] if several else bool if option.kind == "flag" else str
    if option.choices:
        shape = Literal[option.choices]
    if option.kind in ("argument", "model", "models"):
        info: Any = typer.Argument(
            metavar=option.metavar, help=option.help, autocompletion=option.complete, show_default=False
        )
    else:
        info = typer.Option(
            *(option.spelling or spelled(name)).split(","),
            metavar=_metavar(option),
            help=_help(name, option, asked),
            rich_help_panel=option.heading or None,
            autocompletion=option.complete,
            show_default=False,
        )
    annotation = Annotated[shape if several else shape | None, info]  # type: ignore[valid-type]
    return Parameter(name, Parameter.KEYWORD_ONLY, default=[] if several else None, annotation=annotation)


_WIDEST: Final = 70
"""Characters of the choices that a line of help has before its text: with more, they are in the text."""


def _is_long(option: Option) -> bool:
    return len("|".join(option.choices)) > _WIDEST


def _metavar(option: Option) -> str | None:
    """What stands for the value; None where typer says it, of choices all of them."""
    if _is_long(option):
        return "NAME"
    return None if option.choices or option.kind == "flag" else option.metavar


def _help(name: str, option: Option, asked: Question) -> str:
    """A line of help, with what is taken where nothing is given, and with choices that are too many for a line of theirs."""
    text = option.help_with(asked.ask.__dataclass_fields__[name].default)
    return f"{text} One of {', '.join(option.choices)}." if _is_long(option) else text


def _shown(asked: Question) -> list[Parameter]:
    """The parameters that say how the answer is shown and what is kept of the question."""
    chosen: list[tuple[str, Any, Any]] = []
    if asked.name in READ_BY:
        chosen += [("system", _SYSTEM, None), ("save", _SAVE, None)]
    if asked.plots is not None:
        chosen.append(("plot", _PLOT, None))
    chosen.append(("format", _FORMAT, "table"))
    own = asked.ask.options().get("output")
    if own is None:
        chosen += [("output", _OUTPUT, None), ("force", _FORCE, False)]
    elif "-o" not in own.spelling.split(","):
        chosen += [("output_file", _OUTPUT_FILE, None), ("force", _FORCE, False)]
    chosen.append(("details", _DETAILS, False))
    if asked.explains:
        chosen.append(("explain", _EXPLAIN, False))
    return [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, annotation, default in chosen
    ]
