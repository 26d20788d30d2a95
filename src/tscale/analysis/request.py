"""What is asked: each option is spelled and read in one place, and a request is a frozen set of them.

Command lines, calls from Python and saved systems all make a `Request` by `made`, from values as people write them: `8`,
`"300e9"`, `"128k"`, `True`. Each is read by its option, and what is wrong is refused in one line that names the field as
the command line spells it; whoever asked from Python is told in Python's spelling (`tscale.api`).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import field, fields
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from os import PathLike, fsdecode
from typing import Any, ClassVar, Final, Literal, NamedTuple, Self

from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.errors import RequestError, nearest, one_of, shown

Kind = Literal["value", "flag", "list", "named", "argument", "model", "models"]
"""How an option is given: as a text, as yes or no, several times, as the name of what Python may give itself; or without a
name of its own on the command line: a text, a model, several models."""


def as_text(text: str, what: str) -> str:
    """A text as it is."""
    del what
    return text


class Option(NamedTuple):
    """One thing that can be asked: a line of help, how a text of it is read, and where help lists it.

    `shown`: the default as help prints it, where it is not that of the field. `spelling`: on the command line, where it is
    not `--` and the name of the field. `complete`: names for shell completion. `many`: whether a text may be a list, which
    Python gives as one. `none_at_zero`: whether it counts what there may be none of, so that 0 is as if it were not given.
    """

    help: str
    metavar: str = "N"
    read: Callable[[str, str], Any] = as_text
    choices: tuple[str, ...] = ()
    heading: str = ""
    kind: Kind = "value"
    shown: str = ""
    spelling: str = ""
    complete: Callable[[str], list[str]] | None = None
    many: bool = False
    none_at_zero: bool = False

    def help_with(self, default: object) -> str:
        """The help, with what is taken where nothing is given: that which is `shown`, or the default of the field."""
        if self.kind == "flag" or not (self.shown or isinstance(default, (str, int, Fraction))):
            return self.help
        said = f"default: {self.shown or default}"
        if self.help.endswith(")."):
            return f"{self.help.removesuffix(').')}; {said})."
        return f"{self.help.removesuffix('.')} ({said})."

    def of(self, value: object, what: str) -> Any:
        """What a value means, of Python or of a text. Raises `RequestError` for one that means nothing."""
        match self.kind:
            case "flag":
                return _flag(value, what)
            case "list" | "models":
                return tuple(_listed(value, what, texts=self.kind == "list"))
            case "model" | "named":
                return fsdecode(value) if isinstance(value, PathLike) else value
            case "value" | "argument":
                is_path = self.kind == "argument" and not self.choices
                text = file_name(_scalar(value), what) if is_path else _text(value, what, many=self.many)
                return 0 if self.is_none(text) else self._read(text, what)

    def _read(self, text: str, what: str) -> Any:
        """What a text means. Raises `RequestError`, which does not ask for a number above 0 where 0 is one."""
        text = _chosen(text, self.choices, what) if self.choices else text
        try:
            return self.read(text, what)
        except RequestError as error:
            if not self.none_at_zero:
                raise
            raise RequestError(error.text.replace(f"{what} must be a", f"{what} must be 0 or a", 1)) from None

    def is_none(self, value: object) -> bool:
        """Whether a value says that there is none: nothing at all, or a 0 of what there may be none of."""
        if is_absent(value):
            return True
        value = _scalar(value)
        if not self.none_at_zero or isinstance(value, bool):
            return False
        if isinstance(value, str):
            return re.fullmatch(_ZERO, value.strip(), re.ASCII) is not None
        return isinstance(value, (int, float, Fraction, Decimal)) and value == 0


def asked(option: Option, default: Any = None, *, required: bool = False) -> Any:
    """A field of a request, read by an option."""
    return field(default=default, metadata={"option": option, "required": required})


def spelled(name: str) -> str:
    """The name of a field as the command line spells it: `gpu_set` as `--gpu-set`."""
    return "--" + name.replace("_", "-")


@spec_dataclass
class Request:
    """What is asked of a question; each field is read by its option.

    `given`: the fields that were given, as they were written. `explain`: whether derivations and all notes are wanted.
    """

    given: Mapping[str, object] = field(default_factory=dict, repr=False, compare=False)
    explain: bool = field(default=False, repr=False, compare=False)

    command: ClassVar[str]
    """The command that asks it."""

    @property
    def kept(self) -> Mapping[str, object] | None:
        """What --save keeps of it: the fields that were given, as they were written; None where there is nothing to keep."""
        return self.given

    @classmethod
    def of_system(cls, system: Mapping[str, object], given: Mapping[str, object]) -> dict[str, object]:
        """What a system in a file says of it, beside what is `given`; what it does not ask is passed over."""
        del given
        options = cls.options()
        return {name: value for name, value in system.items() if name in options}

    @classmethod
    def options(cls) -> dict[str, Option]:
        """Its options by the names of their fields, in order."""
        return {one.name: one.metadata["option"] for one in fields(cls) if "option" in one.metadata}

    @classmethod
    def made(cls, given: Mapping[str, object], *, explain: bool = False) -> Self:
        """The request that values make, None where one was not given.

        Raises:
            RequestError: for a name that is no field, a value that means nothing, and where one is missing.
        """
        options = cls.options()
        present = {name: _kept(value) for name, value in given.items() if not is_absent(value)}
        for name in present:
            if name not in options:
                raise RequestError(f"{cls.command} has no {spelled(name)}: {nearest(name, options)}")
        present = {name: value for name, value in present.items() if not options[name].is_none(value)}
        for one in fields(cls):
            name = one.name
            if one.metadata.get("required") and name not in present:
                raise RequestError(_missing(name, options[name]) + f": see `tscale {cls.command} -h`")
        read = {name: options[name].of(value, spelled(name)) for name, value in present.items()}
        request = cls(**read, given=present, explain=explain)
        request.check()
        return request

    def check(self) -> None:
        """Raises `RequestError` for options that contradict one another; a request that has such says which."""


_ZERO: Final = r"0[0_]*(\.0*)?%?"  # compiled when first used
"""A 0 as people write it; of a share, 0%."""


def is_absent(value: object) -> bool:
    """Whether nothing was given: None, or a list of nothing."""
    return value is None or (isinstance(value, (tuple, list)) and not value)


def _missing(name: str, option: Option) -> str:
    if option.kind in ("model", "models", "argument"):
        return f"Missing argument '{option.metavar}'"
    return f"Missing option '{spelled(name)}'"


def _flag(value: object, what: str) -> bool:
    value = _scalar(value)
    if isinstance(value, bool):
        return value
    raise RequestError(f"{what} is true or false, not {shown(value)}")


def _chosen(text: str, choices: tuple[str, ...], what: str) -> str:
    if text not in choices:
        raise RequestError(one_of(what, choices, text))
    return text


def _listed(value: object, what: str, *, texts: bool) -> Iterable[Any]:
    """Several values: of one alone, it; of a mapping, each KEY=VALUE."""
    if isinstance(value, Mapping) and texts:
        return [f"{key}={_yaml(item)}" for key, item in value.items()]
    value = _scalar(value)
    if isinstance(value, (str, PathLike, Mapping, *_BYTES)) or not isinstance(value, Iterable):
        value = [value]
    items = [fsdecode(item) if isinstance(item, PathLike) else item for item in _capped(value, what)]
    for item in items if texts else ():
        if not isinstance(item, str):
            raise RequestError(f"{what} takes texts, not {_kind_of(item)}")
    return items


def _yaml(value: object) -> str:
    """A value behind KEY= as YAML reads it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else _digits(value, "a value")


def _text(value: object, what: str, *, many: bool) -> str:
    """A number, a name or a list of them as it would be written. Raises `RequestError` for what is none."""
    value = _scalar(value)
    if (
        isinstance(value, Iterable)
        and (many or what in _LISTS)
        and not isinstance(value, (str, PathLike, Mapping, AbstractSet, *_BYTES))
    ):
        between = "," if many else _LISTS.get(what, ",")
        return between.join(_text_of_one(_scalar(item), what, flags=many) for item in _capped(value, what))
    return _text_of_one(value, what, flags=many)


def _text_of_one(value: object, what: str, *, flags: bool = False) -> str:
    if isinstance(value, str):
        return value
    if flags and isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, PathLike):
        return fsdecode(value)
    if isinstance(value, Fraction):
        value = value.numerator if value.denominator == 1 else value
    if isinstance(value, (int, float, Fraction, Decimal)) and not isinstance(value, bool):
        return _digits(value, what)
    raise RequestError(f"{what} must be a number or a text, not {_kind_of(value)}")


def _digits(value: object, what: str) -> str:
    """A value as text. Raises `RequestError` for a number that is longer than Python writes any."""
    try:
        return repr(float(value)) if isinstance(value, Fraction) else str(value)
    except (ValueError, OverflowError):
        raise RequestError(f"{what} is a number of thousands of digits: nothing is counted up to it") from None


def _scalar(value: object) -> Any:
    """A value; of an array without dimensions, such as a number of numpy, that which it holds."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "shape", None) == () else value


def _kept(value: object) -> object:
    """A value that can be read again: what is read only once, as a list, cut where it is longer than any that is taken."""
    return list(islice(value, MOST_VALUES + 1)) if isinstance(value, Iterator) else value


def _capped(value: Iterable[Any], what: str) -> list[Any]:
    """The values of a list. Raises `RequestError` where there are more than anyone gives, before they are taken up."""
    items = list(islice(value, MOST_VALUES + 1))
    if len(items) > MOST_VALUES:
        raise RequestError(f"{what} takes at most {MOST_VALUES:,} values")
    return items


def file_name(value: object, what: str) -> str:
    """The name of a file as text. Raises `RequestError` for what is no name."""
    if isinstance(value, (str, PathLike)):
        return fsdecode(value)
    raise RequestError(f"{what} must be a path, not {_kind_of(value)}")


MOST_VALUES: Final = 10_000
_BYTES: Final = (bytes, bytearray, memoryview)
_LISTS: Final = {"--context": ",", "--stages": ",", "--lora-targets": ",", "--bits": ",", "--image-size": "x"}
"""Options whose text may be a list, which Python gives as one, and what stands between its values."""


def _kind_of(value: object) -> str:
    if value is None or isinstance(value, bool):
        return repr(value)
    name = type(value).__name__
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"
