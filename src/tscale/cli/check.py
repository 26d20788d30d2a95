from typing import Annotated

import typer

from tscale.cli.options import OutputFormat
from tscale.render import show

_Claims = Annotated[
    str, typer.Argument(metavar="CLAIMS", help="A YAML file of claims, or the name of one that is shipped.")
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
