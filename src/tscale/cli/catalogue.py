from typing import Annotated, Literal

import typer

from tscale.cli.options import Changes, Model, OutputFormat
from tscale.render import show as show_report

_What = Annotated[Literal["models", "claims"], typer.Argument(metavar="[models|claims]", help="What to list.")]
_ShowFormat = Annotated[Literal["yaml", "json"], typer.Option("--format", help="How to write the spec.")]


def list_(what: _What = "models", format: OutputFormat = "table") -> None:
    """List the built-in models, or the claims that are shipped."""
    from tscale.answers.catalogue import claims_report, models_report

    show_report(models_report() if what == "models" else claims_report(), format)


def show(model: Model, changes: Changes = [], format: _ShowFormat = "yaml") -> None:
    """Print a model's spec, with its sources and notes."""
    from tscale.render import print_text
    from tscale.spec.catalogue import known_name, text_of
    from tscale.spec.resolve import find

    spec = find(model, changes)
    name = known_name(model)
    if format == "json":
        import json

        from tscale.spec.writing import plain

        print_text(json.dumps(plain(spec), indent=2, ensure_ascii=False) + "\n")
    elif name is not None and not changes:
        print_text(text_of(name))
    else:
        from tscale.spec.writing import to_yaml

        print_text(to_yaml(spec))
