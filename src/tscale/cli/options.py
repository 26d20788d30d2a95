"""The options of commands that ask no question of a model's cost: what they read is a file, and what they print another."""

from typing import Annotated

import typer

from tscale.analysis.options import ASSUME, FAMILIES, SET


def shown_names(incomplete: str) -> list[str]:
    """Whatever `show` knows by name, for shell completion: models, hardware, laws and claims; no YAML is read."""
    from tscale.catalogue.hardware import HERE
    from tscale.catalogue.models import names
    from tscale.catalogue.shipped import shipped_names

    known = [*names(), *shipped_names("hardware"), HERE, *shipped_names("laws"), *shipped_names("claims")]
    return [name for name in known if name.startswith(incomplete.lower())]


Changes = Annotated[
    list[str],
    typer.Option("--set", metavar=SET.metavar, help=SET.help, autocompletion=SET.complete, show_default=False),
]
Assume = Annotated[str | None, typer.Option("--assume", metavar=ASSUME.metavar, help=ASSUME.help)]
Families = Annotated[str | None, typer.Option("--families", metavar=FAMILIES.metavar, help=FAMILIES.help)]
