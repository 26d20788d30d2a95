from typing import Annotated

import typer

from tscale.cli.options import Assume, Changes, Model, OutputFormat
from tscale.render import show

_Path = Annotated[
    str | None,
    typer.Argument(
        metavar="[PATH]",
        help="Give a safetensors or GGUF file, an index of shards, or a folder of them; the default is MODEL itself.",
    ),
]


def verify(
    model: Model, path: _Path = None, changes: Changes = [], assume: Assume = None, format: OutputFormat = "table"
) -> None:
    """Compare a checkpoint's tensors with those of a spec.

    Only headers are read. The exit code is 3 if the tensors differ.
    """
    from tscale.answers.assumed import as_assumed
    from tscale.answers.verify import verify_report
    from tscale.checkpoint.reading import read_weights
    from tscale.cli.boundary import finish
    from tscale.models.resolve import resolve

    path = path or model
    spec = resolve(model, changes, assume)
    report = as_assumed(verify_report(spec, read_weights(path), path), spec)
    show(report, format)
    finish(report)
