"""`list`: what is shipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscale.analysis import completion, readers
from tscale.analysis.request import Option, Request, asked, spelled
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.errors import RequestError

if TYPE_CHECKING:
    from tscale.core.metric import Report

KINDS = ("models", "hardware", "families", "formats", "laws", "claims")
_ABOUT = {
    "newer_than": ("models", "hardware", "laws"),
    "older_than": ("models", "hardware", "laws"),
    "family": ("models", "hardware", "families"),
    "larger_than": ("models",),
    "smaller_than": ("models",),
}
"""What each filter is about."""


@spec_dataclass
class Ask(Request):
    """List models, hardware, families, formats, laws or claims.

    Filters narrow a list: by year, by how names begin, and models by their parameters.
    """

    command = "list"

    what: str = asked(
        Option(
            "Choose what to list.", "[models|hardware|families|formats|laws|claims]", choices=KINDS, kind="argument"
        ),
        "models",
    )
    newer_than: int | None = asked(Option("List what is of a later year, such as 2024.", "YEAR", readers.year))
    older_than: int | None = asked(Option("List what is of an earlier year, such as 2020.", "YEAR", readers.year))
    family: str | None = asked(
        Option("List names that begin with this: qwen, llama-3, rtx.", "NAME", complete=completion.model_names)
    )
    larger_than: int | None = asked(Option("List models of more parameters, such as 100B.", "N", readers.parameters))
    smaller_than: int | None = asked(Option("List models of fewer parameters, such as 1B.", "N", readers.parameters))

    def check(self) -> None:
        """Refuses filters of what is not listed."""
        for name, kinds in _ABOUT.items():
            if getattr(self, name) is not None and self.what not in kinds:
                raise RequestError(f"{spelled(name)} is about {', '.join(kinds)}, not about {self.what}: drop it")


def analyze(ask: Ask) -> Report:
    """All of one kind, or those that the filters leave."""
    from tscale.answers.list import answer
    from tscale.answers.list.filters import Wanted

    wanted = Wanted(ask.newer_than, ask.older_than, ask.family, ask.larger_than, ask.smaller_than)
    match ask.what:
        case "models":
            return answer.models_report(wanted)
        case "hardware":
            return answer.hardware_report(wanted)
        case "laws":
            return answer.laws_report(wanted)
        case "families":
            from tscale.answers.list.families import families_report

            return families_report(wanted)
        case "formats":
            return answer.formats_report()
        case _:
            return answer.claims_report()
