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
ENDINGS: Final = (".svg", ".png", ".pdf")
_INSTEAD: Final = "choose another name, or --force"


def check_target(target: str, format: Format, *, force: bool = False, output: Path | None = None) -> None:
    """Refuses a picture that cannot be drawn, before anything is computed for it. Raises `TscaleError`.

    `force`: a file that exists may be written over. `output`: the file of the answer, which is another.
    """
    if target == TERMINAL:
        if format == "html":
            return  # the page has the picture
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
            f"--plot writes {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]} files, and {called(target, 60) or 'nothing'} is none: "
            "name one, such as --plot chart.svg, or give --plot alone to draw in the terminal"
        )
    if output is not None and Path(target).resolve() == output.resolve():
        raise RequestError(f"{called(target)} is the file of the answer and of the plot: give each a name of its own")
    need_matplotlib()
    if not force:
        refuse_to_overwrite(Path(target), _INSTEAD)


def need_matplotlib() -> None:
    """Refuses where what draws pictures is not installed. Raises `TscaleError`."""
    _need("matplotlib", "to a file")


def _need(package: str, where: str) -> None:
    if find_spec(package) is None:
        raise RequestError(
            f"a plot is drawn {where} with {package}: `pip install '.[plot]'` in the folder of tscale's source installs it"
        )


def write_plots(plots: Sequence[Plot], target: str, *, force: bool = False) -> None:
    """Writes pictures, one below the other, to a new file, or with `force` to any: whole or not at all. Raises `TscaleError`."""
    from tscale.models.writing import write_new, write_over
    from tscale.render.plot_file import FORMATS, picture

    path = Path(target)
    (write_over if force else write_new)(path, picture(plots, FORMATS[path.suffix.lower()]))
