from pathlib import Path
from typing import Annotated

import typer

from tscale.cli.options import Assume, Families

_Config = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG",
        help="Give a config.json, params.json or GGUF file, the folder that holds it, or - for standard input.",
    ),
]
_Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the spec to this new file; - prints it.")
]


def import_(config: _Config, output: _Output = None, assume: Assume = None, families: Families = None) -> None:
    """Write the YAML spec of a config.json.

    The spec has the same counts, and can be edited.
    """
    from tscale.importer.families import more_families
    from tscale.models.resolve import read_config
    from tscale.models.writing import to_yaml, write_new
    from tscale.render import print_text

    with more_families(families):
        text = to_yaml(read_config(config, assume))
    if output is None or str(output) == "-":
        print_text(text)
    else:
        write_new(output, text)
        print_text(f"{output} is written: `tscale params {output}` counts it\n")
