"""Which keys of a `config.json` the classes of each family read, as recorded from their source code in `keys.json`.

`tests/oracle/record_keys.py` writes the table, with the release of transformers that it was taken from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Final

from tscale.errors import called

_RELEASE: Final = "transformers"
_EVERY: Final = "every family"
_MOST_NAMED: Final = 12


@cache
def _table() -> dict[str, str]:
    return dict(json.loads((files("tscale.importer") / "keys.json").read_text(encoding="utf-8")))


def release() -> str:
    """The release of transformers that the table was taken from."""
    return f"transformers {_table()[_RELEASE]}"


@cache
def read_by(family: str) -> frozenset[str] | None:
    """The keys that a family's classes may read, and what every family's do; None where the release has no such family."""
    own = None if family in (_RELEASE, _EVERY) else _table().get(family)
    return None if own is None else frozenset(own.split()) | frozenset(_table()[_EVERY].split())


def unread_note(keys: Iterable[str], *, own_code: str | None) -> tuple[str, ...]:
    """The line that names keys which are passed over, since the family's classes do not read them; none without any.

    `own_code`: what says that the repository has code of its own, which may read them.
    """
    names = [called(key, 60) for key in keys if key.strip()]
    if not names:
        return ()
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    theirs = (
        ""
        if own_code is None
        else f" The repository's own code ({own_code}) may read {'it' if len(names) == 1 else 'them'}."
    )
    return (f"Not read by this family: {', '.join(names[:_MOST_NAMED])}{more}.{theirs}",)
