from pathlib import Path
from typing import Annotated, Any, Literal

import typer

_Files = Annotated[list[str], typer.Argument(metavar="FILE...", help="Give YAML specs, or - for standard input.")]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="Use lower case letters, digits, dots and dashes.")]
_Claims = Annotated[bool, typer.Option("--claims", help="Write a file of claims in place of a spec.")]
_What = Annotated[
    Literal["models", "families", "hardware", "laws", "claims", "result"],
    typer.Argument(
        metavar="WHAT",
        help="Choose the files to describe: models, families, hardware, laws or claims; or result, an answer.",
    ),
]
_Question = Annotated[
    str | None, typer.Argument(metavar="COMMAND", help="With result, name the command: its JSON is described.")
]


def validate(files: _Files) -> None:
    """Check YAML specs, and list their errors by line.

    The exit code is 1 if any spec has an error.
    """
    from tscale.cli.boundary import told
    from tscale.errors import SpecErrors, TscaleError, called, one_line
    from tscale.models.resolve import read_spec
    from tscale.render import print_text

    wrong: list[TscaleError] = []
    valid: list[str] = []
    for file in files:
        try:
            spec = read_spec(file)
        except SpecErrors as errors:
            wrong += errors.errors
        except TscaleError as error:
            wrong.append(error)
        else:
            valid.append(one_line(f"{called(file)}: {spec.label} ({spec.kind}) is a valid spec"))
    if wrong:
        raise typer.Exit(told(wrong, 1))
    print_text("\n".join(valid) + "\n")


def new(name: _Name, claims: _Claims = False) -> None:
    """Write NAME.yaml, a commented spec to start from.

    With --claims it is a file of claims for `tscale check`. It never overwrites a file.
    """
    from tscale.models.template import write_template
    from tscale.render import print_text

    path = write_template(name, Path(), claims=claims)
    then = f"`tscale check {path}` audits it" if claims else f"`tscale params {path}` counts it"
    print_text(f"{path} is written: edit it, then {then}\n")


def schema(what: _What = "models", command: _Question = None) -> None:
    """Print the JSON Schema of a kind of file, or of an answer.

    It says what each key of a spec, a family, an accelerator, a law, a file of claims or a command's JSON means, and an editor can
    check a file against it.
    """
    import json

    from tscale.render import print_text

    print_text(json.dumps(_schema_of(what, command), indent=2) + "\n")


def _schema_of(
    what: Literal["models", "families", "hardware", "laws", "claims", "result"], command: str | None
) -> dict[str, Any]:
    from tscale.analysis.result_schema import SAMPLES, schema_of_result
    from tscale.answers.schemas import schema_of
    from tscale.errors import RequestError, nearest, shown

    if what != "result":
        if command is not None:
            raise RequestError(
                f"schema {what} has no more arguments: drop {shown(command)}, or write result in place of {what}"
            )
        return schema_of(what)
    if command == "sweep":
        from tscale.sweeping.show import schema

        return schema()
    if command is None:
        raise RequestError(f"schema result needs a command: {', '.join(SAMPLES)}")
    if command not in SAMPLES:
        raise RequestError(f"no schema of the answers of {shown(command)}: {nearest(command, SAMPLES)}")
    return schema_of_result(command)
