"""Options that vary: each takes one value, a list or a range (`tscale.core.axis`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tscale.analysis.completion import some_of
from tscale.analysis.request import Option
from tscale.core.axis import axis
from tscale.errors import RequestError, one_of


def varied(option: Option, help: str) -> Option:
    """An option whose values are an axis; a flag is true or false, and of choices each value is one."""
    read = option.read
    if option.kind == "flag":
        read = words(("true", "false"), {"true": True, "false": False})
    elif option.choices:
        read = words(option.choices)
    metavar = "BOOL" if option.kind == "flag" else _metavar(option)
    listed = ("true", "false") if option.kind == "flag" else option.choices
    complete = some_of(listed) if listed else option.complete
    return option._replace(
        help=help, metavar=metavar, read=axis(read), kind="value", choices=(), shown="", many=True, complete=complete
    )


def _metavar(option: Option) -> str:
    return "AXIS" if option.metavar in ("N", "0-3") and not option.choices else "NAMES"


def words(legal: tuple[str, ...], meanings: dict[str, Any] | None = None) -> Callable[[str, str], Any]:
    """What reads one of some names, and what it means where that is not itself."""

    def read(text: str, what: str) -> Any:
        if text not in legal:
            raise RequestError(one_of(what, legal, text))
        return text if meanings is None else meanings[text]

    return read
