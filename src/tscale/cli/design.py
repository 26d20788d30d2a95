from pathlib import Path
from typing import Annotated

import typer

from tscale.cli import options
from tscale.cli.options import Explain, Force, OutputFormat, Tensor, law_names, model_names
from tscale.core.tracing import MOST_FLOPS, parse_count
from tscale.errors import RequestError
from tscale.render import print_text, show

LAW = "hoffmann2022-3"

_Params = Annotated[
    str | None, typer.Option("--params", metavar="N", help="Set the number of parameters, such as 7e9.")
]
_Flops = Annotated[
    str | None,
    typer.Option(
        "--flops", metavar="C", help="Set the training FLOPs, such as 1e22; --law gives parameters and tokens."
    ),
]
_Law = Annotated[
    str | None,
    typer.Option(
        "--law",
        metavar="NAME|FILE",
        help=f"Choose the scaling law for --flops; the default is {LAW}.",
        autocompletion=law_names,
    ),
]
_Like = Annotated[
    str,
    typer.Option(
        "--like",
        metavar="MODEL|FAMILY",
        help="Take the proportions of this model, or of the member of this family that is nearest in size.",
        autocompletion=model_names,
    ),
]
_Changes = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a field of the pattern, which the design then follows.",
        show_default=False,
    ),
]
_Multiple = Annotated[
    str, typer.Option("--multiple", metavar="N", help="Make d_model and d_ff multiples of this number.")
]
_Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the spec to this file; - prints only the spec."),
]

LEAST_MULTIPLE = 8


def design(
    params: _Params = None,
    flops: _Flops = None,
    like: _Like = "llama",
    law: _Law = None,
    multiple: _Multiple = "128",
    tensor: Tensor = "1",
    output: _Output = None,
    force: Force = False,
    changes: _Changes = [],
    format: OutputFormat = "table",
    explain: Explain = False,
) -> None:
    """Design a model of a given size or training budget.

    Its proportions are those of a published model.
    """
    from tscale.answers.design import Wish, design_report, designed
    from tscale.cli.boundary import finish
    from tscale.core.costs.shapes import Grid
    from tscale.models.writing import refuse_to_overwrite, write_new, write_over

    if (params is None) == (flops is None):
        raise RequestError("design takes --params or --flops, " + ("not both" if params else "such as --params 7e9"))
    if law is not None and flops is None:
        raise RequestError("--law needs --flops: give it in place of --params, or drop --law")
    if force and (output is None or str(output) == "-"):
        raise RequestError("--force needs --output FILE: add it, or drop --force")
    to_file = output is not None and str(output) != "-"
    if output is not None and to_file and output.suffix not in (".yaml", ".yml"):
        raise RequestError(f"--output names a YAML file, such as model.yaml, not {str(output)[:40]}")
    if output is not None and to_file and not force:
        refuse_to_overwrite(output, "choose another name, or --force")
    least = parse_count(multiple, what="--multiple", most=65536)
    if least < LEAST_MULTIPLE:
        raise RequestError(
            f"--multiple must be at least {LEAST_MULTIPLE}, not {least}: hardware needs widths that divide"
        )
    wish = Wish(
        None if params is None else parse_count(params, what="--params", most=options.MOST_PARAMETERS),
        None if flops is None else parse_count(flops, what="--flops", most=MOST_FLOPS),
        law or LAW,
        like,
        Grid(parse_count(multiple, what="--multiple", most=65536), parse_count(tensor, what="--tensor", most=1024)),
        changes,
    )
    found = designed(wish, output.stem if output is not None and to_file else "design")
    written = ""
    if output is not None and found.hits:
        if not to_file:
            print_text(found.yaml)
            return
        (write_over if force else write_new)(output, found.yaml)
        written = f"{output} is written: `tscale params {output}` counts it."
    report = design_report(found, written, explain=explain)
    show(report, format, explain=explain)
    finish(report)
