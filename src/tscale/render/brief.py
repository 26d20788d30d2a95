"""A report as a terminal begins with it: without its details."""

from __future__ import annotations

from tscale.core.metric import Detail, Report


def brief(report: Report) -> Report:
    """The report without its details, and with a line that says how many there are; one without any as it is."""
    notes = tuple(note for note in report.notes if not isinstance(note, Detail))
    tables = tuple(table for table in report.tables if not table.detail)
    left = [(len(report.tables) - len(tables), "table"), (len(report.notes) - len(notes), "note")]
    said = " and ".join(f"{count} {name}{'s' if count > 1 else ''}" for count, name in left if count)
    if not said:
        return report
    return report._replace(tables=tables, notes=(*notes, f"--details shows {said} more."))
