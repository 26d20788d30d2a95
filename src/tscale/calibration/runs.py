"""A strict reader of training runs as CSV: parameters, tokens and the final loss of each, or a line that says what is wrong.

Of params, tokens and flops two are wanted, and C = 6·N·D gives the third. Other columns are left alone. What is no
number above 0 is refused at its line and column, never skipped: a run that diverged is for its owner to leave out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import cache
from typing import Final, Literal, NamedTuple

from tscale.errors import SpecError, SpecErrors, called, nearest, shown
from tscale.models.yaml_file import read_text

MOST_BYTES: Final = 2 * 2**20
MOST_RUNS: Final = 10_000
MOST_ERRORS: Final = 100

Key = Literal["params", "tokens", "flops", "loss", "experts"]

_NAMES: Final[dict[Key, tuple[tuple[str, ...], ...]]] = {
    "params": (
        ("params", "n", "parameters", "n_params", "num_params", "model_size"),
        ("num_parameters", "n_parameters", "total_params", "model_params", "param_count"),
    ),
    "tokens": (
        ("tokens", "d", "n_tokens", "num_tokens", "training_tokens", "train_tokens"),
        ("total_tokens", "tokens_seen", "num_train_tokens", "tokens_trained"),
    ),
    "flops": (("flops", "c", "compute", "training_flops", "train_flops"), ("total_flops", "train_compute")),
    "loss": (
        ("loss", "l", "final_loss"),
        ("val_loss", "valid_loss", "validation_loss", "eval_loss", "loss_val", "final_val_loss", "eval_lm_loss"),
        ("test_loss", "smooth_loss", "lm_loss", "ce_loss", "cross_entropy", "nll"),
        ("train_loss", "training_loss", "loss_train", "final_train_loss"),
    ),
    "experts": (("experts", "num_experts", "n_experts", "expansion"),),
}
"""The headings that are read, in small letters and with underscores for `/`, and what they mean. Of two columns for one thing that
of the earlier list is read: a validation loss before that of training."""
ALIASES: Final[dict[str, Key]] = {name: key for key, ranks in _NAMES.items() for names in ranks for name in names}
_RANKS: Final = {name: rank for ranks in _NAMES.values() for rank, names in enumerate(ranks) for name in names}

_LIMITS: Final[dict[Key, tuple[float, float]]] = {
    "params": (1, 1e18),
    "tokens": (1, 1e24),
    "flops": (6, 1e36),
    "loss": (1e-6, 1e3),
    "experts": (1, 1e6),
}
_EXAMPLES: Final[dict[Key, str]] = {
    "params": "70e6 or 70M",
    "tokens": "1.4e9 or 1.4B",
    "flops": "6e18",
    "loss": "3.21",
    "experts": "8",
}
_NUMBER: Final = re.compile(r"(\d+(?:_\d+)*(?:\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?\s?([kKMGBT]?)", re.ASCII)
_POWERS: Final = {"": 0, "k": 3, "K": 3, "M": 6, "G": 9, "B": 9, "T": 12}
_LONGEST_NUMBER: Final = 60


class Run(NamedTuple):
    """A training run: its line in the file, its parameters, its training tokens, and its final loss in nats a token."""

    line: int
    params: float
    tokens: float
    loss: float
    experts: float = 1
    """Feed-forward parameters stored for each that a token meets: the experts, one of which a token meets."""

    @property
    def flops(self) -> float:
        """Training FLOPs as the law counts them: 6·N·D."""
        return 6 * self.params * self.tokens


class Runs(NamedTuple):
    """The runs of a file, the columns they were read from, and those that were left alone."""

    name: str
    runs: tuple[Run, ...]
    columns: tuple[Key, ...]
    unread: tuple[str, ...]
    heads: tuple[str, ...] = ()
    """How the file heads the columns that were read."""


class _Field(NamedTuple):
    text: str
    column: int


def read_runs(path: str, *, experts: bool = False) -> Runs:
    """The runs in a CSV file, or on standard input for `-`; with their experts if wanted. Raises `SpecError`, `SpecErrors`."""
    name = "standard input" if path == "-" else called(path)
    text = read_text(path, MOST_BYTES, "runs take some fifty bytes each")
    return parse_runs(text, name, experts=experts)


def parse_runs(text: str, name: str, *, experts: bool = False) -> Runs:
    """The runs in the text of a CSV file, which messages call `name`. Raises `SpecError`, `SpecErrors`."""
    lines = [
        (number, line)
        for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1)
        if line.strip()
    ]
    if not lines:
        raise SpecError("is empty: a heading params,tokens,loss is wanted, and a line a run", where=name)
    if len(lines) - 1 > MOST_RUNS:
        raise SpecError(f"more than {MOST_RUNS:,} runs", where=f"{name}:{lines[MOST_RUNS + 1][0]}:1")
    number, heading = lines[0]
    where = f"{name}:{number}"
    separator = next((one for one in ",;\t" if one in heading), ",")
    heads = list(_fields(heading, separator, where))
    places = _places(heads, where, experts=experts)
    runs, errors = [], []
    for number, line in lines[1:]:
        try:
            runs.append(_run(number, list(_fields(line, separator, f"{name}:{number}")), heads, places, name))
        except SpecError as error:
            errors.append(error)
        if len(errors) >= MOST_ERRORS:
            break
    if errors:
        raise SpecErrors(errors, hint=" like it" if len(errors) < MOST_ERRORS else " or more like it")
    if not runs:
        raise SpecError("holds a heading and no runs", where=name)
    return _read(name, runs, heads, places)


def _read(name: str, runs: Sequence[Run], heads: Sequence[_Field], places: dict[Key, int]) -> Runs:
    """Runs with the columns that they were read from, and those that were left alone."""
    unread = tuple(head.text.strip() for index, head in enumerate(heads) if index not in places.values())
    return Runs(name, tuple(runs), tuple(places), unread, tuple(heads[index].text.strip() for index in places.values()))


@cache
def _pattern(separator: str) -> re.Pattern[str]:
    """One field: in quotes, doubled where one is meant, or without any."""
    return re.compile(rf'[ ]*"((?:[^"]|"")*)"[ ]*(?={separator}|$)|([^"{separator}]*)(?={separator}|$)')


def _fields(line: str, separator: str, where: str) -> Iterator[_Field]:
    """The fields of a line with their columns, from 1. Raises `SpecError`."""
    at = 0
    while True:
        match = _pattern(separator).match(line, at)
        if match is None:
            message = "a quote that is not closed in its line, or text next to a field in quotes"
            raise SpecError(message, where=f"{where}:{at + 1}")
        text = match[2] if match[1] is None else match[1].replace('""', '"')
        yield _Field(text.strip(), at + 1 + len(match[0]) - len(match[0].lstrip()))
        if match.end() >= len(line):
            return
        at = match.end() + 1


def _places(heads: Sequence[_Field], where: str, *, experts: bool) -> dict[Key, int]:
    """Which column holds what. Raises `SpecError` for a heading that is missing, or there twice."""
    found = _first_of_each(heads, where)
    if not experts:
        found.pop("experts", None)
    wanted = _missing(found, experts=experts)
    if wanted:
        raise _no_column(heads, wanted, [key for key in _SIZES if key in found], where)
    if all(key in found for key in _SIZES):
        del found["flops"]
    return {key: found[key] for key in (*_SIZES, *_LOSS, *_EXPERTS) if key in found}


def _first_of_each(heads: Sequence[_Field], where: str) -> dict[Key, int]:
    """For each thing its column, of several that of the earliest list of names. Raises `SpecError` for two of one list."""
    found: dict[Key, int] = {}
    for index, head in enumerate(heads):
        key = ALIASES.get(_known(head))
        if key is None:
            continue
        before = found.get(key)
        if before is None or _rank(head) < _rank(heads[before]):
            found[key] = index
        elif _rank(head) == _rank(heads[before]):
            first = heads[before].text
            said = "twice" if first == head.text else f"next to {shown(first)}: both mean {key}"
            raise SpecError(f"column {shown(head.text)} {said}", where=f"{where}:{head.column}")
    return found


def _rank(head: _Field) -> int:
    return _RANKS[_known(head)]


def _missing(found: dict[Key, int], *, experts: bool) -> list[Key]:
    """What is wanted and not there: a loss, two of parameters, tokens and FLOPs, and experts where a form asks for them."""
    wanted: list[Key] = [] if "loss" in found else ["loss"]
    if sum(key in found for key in _SIZES) < 2:
        wanted += [key for key in _SIZES if key not in found]
    return [*wanted, "experts"] if experts and "experts" not in found else wanted


def _known(head: _Field) -> str:
    """A heading as the lists of names have it."""
    return re.sub(r"[\s/.-]+", "_", head.text.lower())


_EXPERTS: Final[tuple[Key, ...]] = ("experts",)
_SIZES: Final[tuple[Key, ...]] = ("params", "tokens", "flops")
_LOSS: Final[tuple[Key, ...]] = ("loss",)


def _no_column(heads: Sequence[_Field], wanted: Sequence[Key], given: Sequence[Key], where: str) -> SpecError:
    """The error about a heading without the columns that are wanted, and the one that was meant where a name is near it."""
    if all(_number(head.text) for head in heads):
        return SpecError("numbers where the heading params,tokens,loss is wanted", where=f"{where}:1")
    near = [nearest(head.text.lower(), ALIASES) for head in heads if head.text.lower() not in ALIASES]
    meant = next((f": {hint}" for hint in near if hint.startswith("did you mean")), "") if wanted != ["experts"] else ""
    return SpecError(f"no column {_listed(wanted, given)}{meant}", where=f"{where}:1")


def _listed(wanted: Sequence[str], given: Sequence[str]) -> str:
    """The columns that are missing: of params, tokens and flops two are enough."""
    if not given:
        return "params, tokens" + (", loss" if "loss" in wanted else "")
    sizes = " or ".join(key for key in wanted if key in _SIZES)
    parts = ["loss" if "loss" in wanted else "", f"{sizes} (C = 6ND gives the third)" if sizes else ""]
    parts += ["experts" if "experts" in wanted else ""]
    return " and ".join(filter(None, parts))


def _run(number: int, fields: Sequence[_Field], heads: Sequence[_Field], places: dict[Key, int], name: str) -> Run:
    """The run in a line. Raises `SpecError`."""
    if len(fields) != len(heads):
        raise SpecError(f"{len(fields)} fields under {len(heads)} headings", where=f"{name}:{number}:1")
    value = {key: _value(fields[index], key, f"{name}:{number}") for key, index in places.items()}
    if "flops" in value:
        known: Key = "params" if "params" in value else "tokens"
        sought: Key = "tokens" if known == "params" else "params"
        value[sought] = value["flops"] / (6 * value[known])
        if not 1 <= value[sought] <= _LIMITS[sought][1]:
            place = fields[places["flops"]]
            message = f"{shown(place.text)} FLOPs with so many {known} leave {value[sought]:.3g} {sought}: C = 6ND"
            raise SpecError(message, where=f"{name}:{number}:{place.column}")
    return Run(number, value["params"], value["tokens"], value["loss"], value.get("experts", 1))


def _value(field: _Field, key: Key, where: str) -> float:
    """The number in a field. Raises `SpecError`."""
    where = f"{where}:{field.column}"
    if not field.text:
        raise SpecError(f"{key} is empty: fill it in, or leave the run out", where=where)
    value = _number(field.text, counts=key not in ("loss", "experts"))
    if value is None:
        if re.fullmatch(r"[-+]?(nan|inf|infinity)", field.text, re.IGNORECASE):
            raise SpecError(f"{key} is {shown(field.text)}: leave the run out", where=where)
        raise SpecError(
            f"{key} must be a number above 0, such as {_EXAMPLES[key]}, not {shown(field.text)}", where=where
        )
    least, most = _LIMITS[key]
    if not least <= value <= most:
        span = f"from {least:g} to {most:g}".replace("e+", "e")
        raise SpecError(f"{key} of {shown(field.text)} is out of range: {span}", where=where)
    return value


def _number(text: str, *, counts: bool = True) -> float | None:
    """The number above 0 that a text spells: 70e6, 4_096, and for counts 1.4B; or None."""
    match = _NUMBER.fullmatch(text) if len(text) <= _LONGEST_NUMBER else None
    if match is None or (match[3] and not counts):
        return None
    value = float(Decimal(match[1].replace("_", "") + (match[2] or "")).scaleb(_POWERS[match[3]]))
    return value if value > 0 or float(match[1]) > 0 else None
