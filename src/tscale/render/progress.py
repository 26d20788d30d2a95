"""How far a long computation has come, on standard error, where somebody looks at it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(title: str, total: int, *, rows: bool = False) -> Iterator[Callable[..., None]]:
    """A bar of `total` steps that each call of what it yields moves on by one, or by as many as it says; nothing without a terminal.

    `rows`: whether steps are rows, many and with a rate.
    """
    if sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda _=1: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """Rows a second of late."""

        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:,.0f} rows/s")

    console = Console(file=sys.stderr, no_color="NO_COLOR" in os.environ)
    counted = [TextColumn("{task.completed:,.0f}/{task.total:,.0f}"), Rate()] if rows else [MofNCompleteColumn()]
    columns = (TextColumn("{task.description}"), BarColumn(), *counted, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda many=1: bar.advance(task, many)
