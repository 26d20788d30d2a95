"""What a stream takes: colours or plain text, and lines of what width."""

from __future__ import annotations

import os
from typing import TextIO


def takes_colour(stream: TextIO) -> bool:
    """Whether escape codes may be written to a stream: a terminal that has colours, whose reader did not refuse them.

    Source: https://no-color.org
    """
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def has_width(stream: TextIO) -> bool:
    """Whether lines are as wide as `shutil.get_terminal_size` says: in a terminal, or where COLUMNS says so, which is 0 in some shells."""
    columns = os.environ.get("COLUMNS", "")
    return stream.isatty() or (columns.isdecimal() and int(columns) > 0)
