from typing import Annotated

import typer

from tscale.cli.options import OutputFormat
from tscale.render import show

_Claims = Annotated[
    str,
    typer.Argument(
        metavar="CLAIMS",
        help="Give a YAML file of claims (`tscale schema claims` describes it), or the name of a built-in one.",
    ),
]


def check(claims: _Claims, format: OutputFormat = "table") -> None:
    """Check claims about models against the right values.

    The exit code is 3 if a claim does not hold or repeats a misprint.
    """
    from tscale.answers.check import check_report
    from tscale.catalogue.claims import read_claims
    from tscale.cli.boundary import finish

    report = check_report(*read_claims(claims))
    show(report, format)
    finish(report)
