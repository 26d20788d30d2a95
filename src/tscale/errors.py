"""Every way in which a request can be wrong, each with where it is and what to do about it.

An error's text is one line, `where: what is wrong: what to do`, because the command line prints it as it stands.
The class decides the exit code: 1 for a file or a spec, 2 for the command line, 3 for an honest "no".
Who asks names a field of a request in their own way, --lora-targets or lora_targets: a text has it as `field`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Final

_BEGIN, _EQUALS, _END = (
    "\ue000",
    "\ue001",
    "\ue002",
)  # of a private area of Unicode: no file's text has them, once it is one line
_FIELD: Final = (
    f"{_BEGIN}(?P<name>[a-z_]+)(?:{_EQUALS}(?P<value>[^{_END}]*))?{_END}"  # a pattern, compiled where an error is told
)
_LONGEST_LINE: Final = 1000
_CLOSE: Final = 0.65  # the least likeness of a name that is suggested


class TscaleError(Exception):
    """A mistake of the user's, told in one line. Everything tscale raises on purpose is one of these.

    `text`: the line with its fields marked, of which another error can be made; the error itself is the command line's.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, where: str = "") -> None:
        self.text = _line(f"{where}: {message}" if where else message, marks=True)
        self._where = where
        super().__init__(self.text)
        self.respell(_as_option)

    def respell(self, spell: Callable[[str, str | None], str]) -> None:
        """Writes each field of a request in the text as `spell` does: of its name, and of its value where it has one."""
        self.args = (_spelled(self.text, spell),)
        self.where = _spelled(self._where, spell)


class SpecError(TscaleError):
    """A file that cannot be read, or a model that cannot be as it is described."""


class SpecErrors(TscaleError):  # noqa: N818 (it holds several errors)
    """All that is wrong with one file, one line each; `hint` says what lists them where the first is told alone."""

    def __init__(self, errors: Iterable[TscaleError], hint: str = "") -> None:
        self.errors = tuple(errors)
        first, more = self.errors[0], len(self.errors) - 1
        text = first.text
        super().__init__(f"{text} (and {more} more{hint})" if more else text)
        self._where, self.where = first._where, first.where  # noqa: SLF001


class RequestError(TscaleError):
    """A question that makes no sense: an unknown name, a token count of zero, a context without end."""

    exit_code = 2


class UnknownNameError(RequestError):
    """A name that means nothing that is shipped, and no file either."""


class NotPublishedError(TscaleError):
    """The honest answer is that nobody outside knows."""

    exit_code = 3


def field(name: str, value: object = None) -> str:
    """A field of a request in an error's text, with the value that it has or should have.

    The command line spells it --lora-targets, and --tensor 8; Python lora_targets, and tensor=8.
    """
    return f"{_BEGIN}{name}{_END}" if value is None else f"{_BEGIN}{name}{_EQUALS}{value}{_END}"


def as_keyword(name: str, value: str | None) -> str:
    """A field as Python writes it."""
    return name if value is None else f"{name}={value}"


def _as_option(name: str, value: str | None) -> str:
    """A field as the command line writes it."""
    option = f"--{name.replace('_', '-')}"
    return option if value is None else f"{option} {value}"


def _spelled(text: str, spell: Callable[[str, str | None], str]) -> str:
    return re.sub(_FIELD, lambda found: spell(found["name"], found["value"]), text)


def one_line(text: str) -> str:
    """`text` without line breaks and control characters, which a file's own content could bring in, and not endless."""
    return _line(text, marks=False)


def _line(text: str, *, marks: bool) -> str:
    """The same; `marks`: whether those of fields stay."""
    if len(text) > _LONGEST_LINE:
        text = f"{text[: _LONGEST_LINE // 2]} ... {text[-_LONGEST_LINE // 2 :]}"
    kept = _BEGIN + _EQUALS + _END if marks else ""
    return "".join(character if character.isprintable() or character in kept else " " for character in text)


def called(name: str, limit: int = 300) -> str:
    """A file's name for a message: both ends of one that is longer than any that is typed."""
    return one_line(name if len(name) <= limit else f"{name[: limit // 2]}...{name[-limit // 2 :]}")


def shown(value: object, limit: int = 40) -> str:
    """`value` as the user wrote it, cut to `limit` characters, for quoting in a message."""
    if value is None:
        text = "null"
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, str):
        text = f'"{value[: limit + 1]}"'
    elif isinstance(value, int) and abs(value) >= 10**limit:
        text = f"a number of over {limit} digits"
    elif isinstance(value, (list, tuple)):
        text = "a list"
    elif isinstance(value, dict):
        text = "a mapping"
    else:
        text = _written(value)
    return one_line(text if len(text) <= limit + 2 else text[:limit] + '..."')


def _written(value: object) -> str:
    """A value as text, or its type where it has none: digits past Python's limit, or an object that fails to say."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 (it is any caller's object, and an error is being told already)
        return f"a value of type {type(value).__name__}"


def nearest(name: str, legal: Iterable[str], aliases: Mapping[str, str] = MappingProxyType({})) -> str:
    """'did you mean X?' for a slip of the finger, otherwise the legal names, at most a dozen of them.

    `aliases`: what other names mean, such as {"chinchilla": "hoffmann2022-3"}; the legal name is suggested for them.
    """
    from difflib import get_close_matches

    names = list(legal)
    close = get_close_matches(name[:80], [*names, *aliases], n=1, cutoff=_CLOSE)
    if close:
        return f"did you mean {close[0] if close[0] in names else aliases[close[0]]}?"
    listed = ", ".join(names[:12])
    return f"known: {listed}, ..." if len(names) > 12 else f"known: {listed}"


def ended(text: str) -> str:
    """A sentence with the mark that ends it: a full stop, or the question mark or dots of what was meant."""
    return text if text.endswith(("?", "...")) else f"{text}."


def one_of(what: str, legal: Sequence[str], given: object) -> str:
    """'WHAT is one of A, B, not C', with the one that was meant where it was a slip of the finger."""
    text = f"{what} is one of {', '.join(legal)}, not {shown(given)}"
    hint = nearest(given, legal) if isinstance(given, str) else ""
    return f"{text}: {hint}" if hint.startswith("did") else text


def system_said(error: Exception) -> str:
    """What is wrong with a file by the system's own words; of a path that no file can have, in the same words on every Python."""
    said = getattr(error, "strerror", None) or str(error)
    return "embedded null byte" if "embedded null" in said else said
