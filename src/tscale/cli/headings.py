"""Help of a command that has many options: under headings, without rich, which would double the time that help takes."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand


class WithHeadings(TyperCommand):
    """A command whose help lists its options by `rich_help_panel`, those without one first."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes arguments and options, each list under its heading."""
        lists: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                heading = (
                    "Arguments" if param.param_type_name == "argument" else getattr(param, "rich_help_panel", None)
                )
                lists.setdefault(heading or "Options", []).append(record)
        for heading, records in lists.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
