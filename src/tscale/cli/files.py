from pathlib import Path
from typing import Annotated

import typer

_Files = Annotated[list[str], typer.Argument(metavar="FILE...", help="YAML specs, or - for standard input.")]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="Lower case, with digits, dots and dashes.")]


def validate(files: _Files) -> None:
    """Check YAML specs: all that is wrong with each, at its line and column. Exit code 1 if anything is."""
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
    """Write NAME.yaml, a commented spec to start from. Never overwrites a file."""
    from tscale.models.template import write_template
    from tscale.render import print_text

    path = write_template(name, Path())
    print_text(f"{path} is written: edit it, then `tscale params {path}`\n")


def schema() -> None:
    """Print the JSON Schema of a spec, for an editor to check YAML against."""
    import json

    from tscale.models.validation import schema as spec_schema
    from tscale.render import print_text

    print_text(json.dumps(spec_schema(), indent=2) + "\n")
