"""`check`: claims about models against the right values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscale.analysis import completion
from tscale.analysis.request import Option, Request, asked
from tscale.blocks.spec_dataclass import spec_dataclass

if TYPE_CHECKING:
    from tscale.core.metric import Report


@spec_dataclass
class Ask(Request):
    """Check claims about models against the right values.

    The exit code is 3 if a claim does not hold or repeats a misprint, and 1 if one names a model or a quantity that is not known.
    """

    command = "check"

    claims: str = asked(
        Option(
            "Give a YAML file of claims (`tscale schema claims` describes it), or the name of a built-in one.",
            "CLAIMS",
            kind="argument",
            complete=completion.claims_names,
        ),
        required=True,
    )


def analyze(ask: Ask) -> Report:
    """Each claim with its verdict."""
    from tscale.answers.check import check_report
    from tscale.catalogue.claims import read_claims

    return check_report(*read_claims(ask.claims))
