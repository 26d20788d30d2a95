"""Single changes that make a model fit, as a table and in words."""

from __future__ import annotations

from tscale.core.metric import Column, Table
from tscale.core.view import view
from tscale.estimates.capacity import Verdict
from tscale.estimates.memory.changes import Change


def changes_table(changes: tuple[Change, ...], verdict: Verdict) -> Table:
    """The changes as people read them; `verdict`: on what was asked about, which may fit as it is."""
    fits = "one of these fits for certain" if verdict == "may_fit" else "one of these fits"
    columns = (
        Column(fits, "option", numeric=False),
        Column("a device holds", "per_device_bytes"),
        Column("what it costs", "costs", numeric=False),
    )
    return view("", columns, (change.data() for change in changes), aside=True)


def no_change_note(verdict: Verdict) -> str:
    """That no change is known; `verdict`: on what was asked about."""
    certain = " for certain" if verdict == "may_fit" else ""
    return f"No single change that is known here makes it fit{certain}."
