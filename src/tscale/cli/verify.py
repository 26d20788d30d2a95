from typing import Annotated

import typer

from tscale.cli.options import Assume, Changes, Model, OutputFormat
from tscale.render import show

_Path = Annotated[
    str | None,
    typer.Argument(
        metavar="[PATH]",
        help="A safetensors or GGUF file, an index of shards, or a folder of them; MODEL itself where absent.",
    ),
]


def verify(
    model: Model, path: _Path = None, changes: Changes = [], assume: Assume = None, format: OutputFormat = "table"
) -> None:
    """Check a checkpoint's tensors against a spec, from its header alone. Exit code 3 where they differ."""
    from tscale.answers.verify import verify_report
    from tscale.cli.boundary import finish
    from tscale.spec.resolve import resolve
    from tscale.weights.reading import read_weights

    path = path or model
    report = verify_report(resolve(model, changes, assume), read_weights(path), path)
    show(report, format)
    finish(report)
