"""What a stream takes: colours or plain text."""

from __future__ import annotations

import os
from typing import TextIO


def takes_colour(stream: TextIO) -> bool:
    """Whether escape codes may be written to a stream: a terminal that has colours, whose reader did not refuse them.

    Source: https://no-color.org
    """
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
