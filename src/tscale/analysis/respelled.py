"""Errors as Python hears them: of keywords, where those of a command speak of its options.

Formulas and models name fields (`errors.field`); answers and requests, which are of a command, spell options.
"""

from __future__ import annotations

import re
from typing import Final

from tscale.errors import SpecErrors, TscaleError, as_keyword


class Respelled:
    """Lets errors within speak of keywords where those of a command speak of its options."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Spells the options of an error as keywords."""
        for one in (error, *(error.errors if isinstance(error, SpecErrors) else ())):
            if isinstance(one, TscaleError):
                one.respell(as_keyword)
                one.args = (_NOWHERE.sub(r"\1: ", _OPTION.sub(_keyword, str(one))),)
                one.where = _OPTION.sub(_keyword, one.where)


def _keyword(found: re.Match[str]) -> str:
    """An option as a keyword; within a command that is quoted, as it stands."""
    return found["command"] or found["name"].replace("-", "_")


_NOWHERE: Final = re.compile("^(model|gpu):1:1: ")  # a mapping has no lines
_OPTION: Final = re.compile(r"(?P<command>`tscale [^`]*`)|(?<![\w-])--(?P<name>[a-z][a-z-]*[a-z])")
