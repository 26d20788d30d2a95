"""`list`: what is shipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tscale.analysis.request import Option, Request, asked

if TYPE_CHECKING:
    from tscale.core.metric import Report

_KINDS = ("models", "hardware", "formats", "laws", "claims")


@dataclass(frozen=True, kw_only=True)
class Ask(Request):
    """List the built-in models, hardware, formats, laws or claims."""

    command = "list"

    what: str = asked(
        Option("Choose what to list.", "[models|hardware|formats|laws|claims]", choices=_KINDS, kind="argument"),
        "models",
    )


def analyze(ask: Ask) -> Report:
    """All of one kind."""
    from tscale.answers import catalogue

    reports = {
        "models": catalogue.models_report,
        "hardware": catalogue.hardware_report,
        "formats": catalogue.formats_report,
        "laws": catalogue.laws_report,
        "claims": catalogue.claims_report,
    }
    return reports[ask.what]()
