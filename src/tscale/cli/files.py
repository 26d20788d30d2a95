from pathlib import Path
from typing import Annotated, Literal

import typer

_Files = Annotated[list[str], typer.Argument(metavar="FILE...", help="Give YAML specs, or - for standard input.")]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="Use lower case letters, digits, dots and dashes.")]
_What = Annotated[
    Literal["models", "hardware", "laws", "claims"],
    typer.Argument(metavar="[models|hardware|laws|claims]", help="Choose which files to describe."),
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


def new(name: _Name) -> None:
    """Write NAME.yaml, a commented spec to start from.

    It never overwrites a file.
    """
    from tscale.models.template import write_template
    from tscale.render import print_text

    path = write_template(name, Path())
    print_text(f"{path} is written: edit it, then `tscale params {path}` counts it\n")


def schema(what: _What = "models") -> None:
    """Print the JSON Schema of a kind of file.

    It says what each key of a spec, an accelerator, a law or a file of claims means, and an editor can check YAML
    against it.
    """
    import json

    from tscale.answers.schemas import schema_of
    from tscale.render import print_text

    print_text(json.dumps(schema_of(what), indent=2) + "\n")
