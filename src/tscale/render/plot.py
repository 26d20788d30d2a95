"""Pictures of an answer: where they go, and what that takes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tscale.errors import RequestError, called

if TYPE_CHECKING:
    from tscale.core.plot import Plot
    from tscale.render import Format

TERMINAL: Final = "-"
"""The target of a picture that is drawn in the terminal."""
ENDINGS: Final = (".svg", ".png")


def check_target(target: str, format: Format) -> None:
    """Refuses a picture that cannot be drawn, before anything is computed for it. Raises `TscaleError`."""
    if target == TERMINAL:
        if format != "table":
            raise RequestError(
                f"--plot draws in the terminal, which --format {format} leaves to a program: "
                "name a file, such as --plot chart.svg"
            )
        _need("plotext", "in the terminal")
        return
    from tscale.models.writing import refuse_to_overwrite

    if Path(target).suffix.lower() not in ENDINGS:
        raise RequestError(
            f"--plot writes {' or '.join(ENDINGS)} files, and {called(target, 60) or 'nothing'} is none: "
            "name one, such as --plot chart.svg, or give --plot alone to draw in the terminal"
        )
    _need("matplotlib", "to a file")
    refuse_to_overwrite(Path(target))


def _need(package: str, where: str) -> None:
    if find_spec(package) is None:
        raise RequestError(
            f"--plot draws {where} with {package}: `pip install '.[plot]'` in the folder of tscale's source installs it"
        )


def write_plots(plots: Sequence[Plot], target: str) -> None:
    """Writes pictures, one below the other, to a file that was not there: whole or not at all. Raises `TscaleError`."""
    from tscale.models.writing import write_new
    from tscale.render.plot_file import picture

    path = Path(target)
    write_new(path, picture(plots, "svg" if path.suffix.lower() == ".svg" else "png"))
