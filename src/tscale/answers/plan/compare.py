"""What each difference between two systems changes: one field of the second at a time in the first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from math import prod
from typing import Final, NamedTuple

from tscale.core.metric import Cell, Column, Compared, Data, Figure, Missing, Report, Table
from tscale.core.number_text import significant
from tscale.core.units import MILLISECONDS, SECONDS

Path = tuple[str, ...]
METRICS: Final[dict[str, tuple[tuple[str, Path], ...]]] = {
    "serve": (
        ("TTFT, ms", ("ttft_seconds", "middle")),
        ("TPOT, ms", ("tpot_seconds", "middle")),
        ("tokens/s/GPU", ("predicted_tokens_per_second_per_gpu",)),
        ("$/1M out", ("usd_per_million_output_tokens",)),
    ),
    "train": (
        ("days", ("days",)),
        ("step, s", ("plan", "step_seconds", "middle")),
        ("MFU", ("mfu",)),
        ("memory", ("plan", "memory", "per_device_bytes", "total")),
        ("cost, $", ("cost_usd",)),
    ),
    "memory": (("memory per device", ("per_device_bytes", "total")), ("largest batch", ("max_batch",))),
}
"""What is shown of each question: a heading, and where it stands in the answer."""
_LESS: Final = {"days": 1, "MFU": 2, "TTFT, ms": 1, "tokens/s/GPU": 2}
"""What a narrow terminal leaves out, and in which order: what others nearly say."""


class Asked(NamedTuple):
    """One answer: of a file, or with one field of it changed from one value to another; or why there is none."""

    name: str
    before: str
    after: str
    answer: Report | str

    @property
    def words(self) -> str:
        """What was changed, in words."""
        return f"{self.name}: {self.before} to {self.after}" if self.before or self.after else self.name


def compare_report(question: str, asked: tuple[Asked, ...]) -> Report:
    """A row for each system and for each difference; the first and the last are the systems as they are."""
    shown = [(title, path) for title, path in METRICS[question] if any(_value(one, path) is not None for one in asked)]
    first, *_, last = asked
    differing = len(asked) - 2
    title = f"{first.name} and {last.name} differ in {differing} field{'s' if differing > 1 else ''}"
    columns = (
        Column("system, or one change of the first", "change", numeric=False, wraps=20),
        *(Column(name, "_".join(path), drop=_LESS.get(name, 0)) for name, path in shown),
    )
    rows = tuple((one.words, *(_cell(one, path, first) for _, path in shown)) for one in asked)
    data: dict[str, Data] = {
        "question": question,
        "first": _data(first, shown),
        "changes": [_data(one, shown) for one in asked[1:-1]],
        "second": _data(last, shown),
    }
    said = f"{title}{_largest(asked, shown)}"
    table = Table(said, columns, rows, totals=frozenset({len(rows) - 1}))
    return Report(said, (table,), data, tuple(_notes(asked, shown)))


def _value(one: Asked, path: Path) -> Figure | None:
    """A figure of an answer, in what a column shows of it."""
    if isinstance(one.answer, str) or _unanswered(one.answer):
        return None
    found: Data = one.answer.data
    for key in path:
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    if not isinstance(found, Figure):
        return None
    wanted = path[0] in ("ttft_seconds", "tpot_seconds")
    return found._replace(value=1000 * found.value, unit=MILLISECONDS) if wanted and found.unit is SECONDS else found


def _verdict(answer: Report) -> str | None:
    """Whether the system has room in memory, as the answer says it."""
    data = answer.data if isinstance(answer.data, Mapping) else {}
    held = data.get("verdict", data.get("memory"))
    found = held.get("verdict") if isinstance(held, Mapping) else held
    return found if isinstance(found, str) else None


def _unanswered(answer: Report) -> bool:
    """Whether nothing is predicted, for what is asked is more than there is room for: what such a batch would cost is of no system."""
    return isinstance(answer.data, Mapping) and answer.data.get("over_capacity") is not None


def _why(answer: Report) -> str:
    """Why a system cannot be, in words; "" where it can."""
    if not answer.exit_code:
        return ""
    return "does not fit" if _verdict(answer) == "does_not_fit" else "over capacity"


def _cell(one: Asked, path: Path, first: Asked) -> Cell:
    figure, base = _value(one, path), _value(first, path)
    if figure is None:
        return Missing("refused" if isinstance(one.answer, str) else _why(one.answer) or "n/a", settled=True)
    if one is first or base is None or not base.value:
        return figure
    return Compared(figure, Fraction(figure.value) / Fraction(base.value), figure.known)


def _ratios(asked: tuple[Asked, ...], shown: list[tuple[str, Path]]) -> tuple[str, list[tuple[Asked, Fraction]]]:
    """The last figure that changes have, and of each the ratio to the first system's; the second system stands at the end."""
    for title, path in reversed(shown):
        base = _value(asked[0], path)
        ratios = [(one, _value(one, path)) for one in asked[1:]]
        known = [
            (one, Fraction(value.value) / Fraction(base.value))
            for one, value in ratios
            if value and base and base.value
        ]
        if any(one is not asked[-1] for one, _ in known):
            return title.partition(",")[0], known
    return "", []


def _largest(asked: tuple[Asked, ...], shown: list[tuple[str, Path]]) -> str:
    """The change that does the most to the last figure of which there is one for all, in words: a third is as much as three times."""
    title, known = _ratios(asked, shown)
    changes = [(one, ratio) for one, ratio in known if one is not asked[-1] and ratio > 0]
    if not changes:
        return ""
    one, ratio = max(changes, key=lambda pair: max(pair[1], 1 / pair[1]))
    return f"; {title} changes the most with {one.words} (×{significant(ratio)})"


def _data(one: Asked, shown: list[tuple[str, Path]]) -> Data:
    figures: dict[str, Data] = {}
    if not isinstance(one.answer, str) and isinstance(one.answer.data, Mapping):
        figures = {path[0] if len(path) < 3 else path[1]: _raw(one.answer.data, path) for _, path in shown}
    return {
        "name": one.name,
        "before": one.before or None,
        "after": one.after or None,
        "refused": one.answer if isinstance(one.answer, str) else None,
        "exit_code": None if isinstance(one.answer, str) else one.answer.exit_code,
        "verdict": None if isinstance(one.answer, str) else _verdict(one.answer),
        "figures": figures,
    }


def _raw(data: Data, path: Path) -> Data:
    """What an answer has at a path, in its own unit."""
    for key in path:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def _notes(asked: tuple[Asked, ...], shown: list[tuple[str, Path]]) -> Iterator[str]:
    for one in asked:
        if isinstance(one.answer, str):
            yield f"{one.words}: {one.answer}."
        elif why := _why(one.answer):
            yield f"{one.words}: {why}."
    together = ""
    title, known = _ratios(asked, shown)
    if len(known) == len(asked) - 1 > 2:
        product = prod(ratio for _, ratio in known[:-1])
        together = f": of {title} they come to ×{significant(product)}, where the systems differ by ×{significant(known[-1][1])}"
    yield (
        "Each row changes one field of the first system; the ratio to it is in parentheses. Where fields interact, the changes do "
        f"not multiply to the last row{together}."
    )
