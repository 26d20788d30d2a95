"""Prints the figures of configs/ that are of a day or a year, and older than a year: `python -m tests.stale`.

With a day, such as 2027-01-01, what will be so by then. A date of a year or a month is taken at its end.
"""

from __future__ import annotations

import sys
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import Final

from tests.figures import KINDS, Figure, figures, measured_then

OLD: Final = timedelta(days=365)


def last_day(text: str) -> date:
    """The last day of a date as files have it: 2026, 2026-05, 2026-05-25 or 2025/2026."""
    year, *rest = (int(part) for part in text.rpartition("/")[2].split("-"))
    month, *day = rest or [12]
    return date(year, month, day[0] if day else monthrange(year, month)[1])


def stale(today: date) -> Iterator[Figure]:
    """The figures that are older than a year."""
    for each in chain(measured_then(), *(figures(kind) for kind in KINDS)):
        if each.date is not None and last_day(each.date) < today - OLD:
            yield each


def main(arguments: list[str]) -> None:
    """Prints them, one a line: the date, the file and the keys, the figure, the source."""
    today = date.fromisoformat(arguments[0]) if arguments else datetime.now(UTC).date()
    found = sorted(stale(today), key=lambda figure: (last_day(str(figure.date)), figure.name))
    for each in found:
        print(f"{each.date}  {each.name}  {each.value:g}  {each.source}")
    print(f"{len(found)} figures are older than a year on {today}.")


if __name__ == "__main__":
    main(sys.argv[1:])
