"""What a question comes to, for Python: the answer as data, as a table, as a page, and how each figure was made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tscale.analysis.request import file_name
from tscale.analysis.respelled import Respelled
from tscale.errors import RequestError, called, nearest

if TYPE_CHECKING:
    from tscale.analysis.questions import Question
    from tscale.core.metric import Report


class Row(dict[str, Any]):
    """A mapping whose keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"no {name} here: {nearest(name, self)}" if self else f"no {name} here")

    def __dir__(self) -> Iterator[str]:
        yield from (*super().__dir__(), *self)


class Picture:
    """Plots as one SVG, `svg`, which a notebook shows."""

    __slots__ = ("svg",)

    def __init__(self, svg: str) -> None:
        self.svg = svg

    def __repr__(self) -> str:
        return "a plot, which a notebook shows: `plot(FILE)` writes a file"

    def _repr_svg_(self) -> str:
        return self.svg


class Answered(NamedTuple):
    """A question, what was asked of it, and the answer."""

    question: Question
    asked: Any
    report: Report


class Result:
    """An answer. Its keys are attributes, as in `result.params.total`; `to_dict` has all of them, as the command's JSON.

    `exit_code` is that of the command: 3 where the honest answer is no. Where its main figures are `known` before, the
    rest is made when it is asked for.
    """

    __slots__ = ("_cached", "_given", "_known")

    def __init__(self, given: Answered | Callable[[], Answered], known: Mapping[str, Any] | None = None) -> None:
        self._given, self._known = given, known or {}
        self._cached: Any = None

    @property
    def _answered(self) -> Answered:
        if not isinstance(self._given, Answered):
            self._given = self._given()
        return self._given

    @property
    def exit_code(self) -> int:
        """That of the command: 0, or 3 where the answer is no."""
        return self._answered.report.exit_code

    @property
    def report(self) -> Report:
        """The answer before it is rendered: figures with their units and sources, in tables."""
        return self._answered.report

    def to_dict(self) -> Any:
        """All of the answer as plain data, equal to the command's JSON: a dict, or of several models a list of them."""
        from tscale.render.json import as_data

        return as_data(self._answered.report)

    def to_json(self, *, explain: bool = False) -> str:
        """The command's JSON; with its derivations where they are asked for."""
        from tscale.render.json import to_json

        return to_json(self._explained() if explain else self._answered.report, explain=explain)

    def to_csv(self) -> str:
        """The main table as CSV, in full digits."""
        from tscale.render.csv import to_csv

        return to_csv(self._answered.report)

    def to_html(self, *, explain: bool = False) -> str:
        """The answer as a page that needs nothing else, with its plots."""
        from tscale.render.html import to_html

        plots = () if self._answered.question.plots is None else self._answered.question.plots(self._answered.asked)
        return to_html(self._explained() if explain else self._answered.report, plots, explain=explain)

    def plot(self, file: str | PathLike[str] | None = None, *, force: bool = False) -> Picture | None:
        """The answer's plots, which a notebook shows; or None, and the plots in a new .svg, .png or .pdf file.

        `force`: a file that exists is written over.

        Raises:
            TscaleError: for an answer that has none, a file that exists, and where matplotlib is not installed.
        """
        from tscale.render.plot import ENDINGS, check_target, need_matplotlib, write_plots

        if self._answered.question.plots is None:
            raise RequestError(f"{self._answered.question.name} has no plot")
        if file is None:
            from tscale.render.plot_file import picture

            need_matplotlib()
            return Picture(picture(self._answered.question.plots(self._answered.asked), "svg").decode())
        name = file_name(file, "file")
        if not name.lower().endswith(ENDINGS):
            raise RequestError(f"a plot is a .svg, .png or .pdf file, and {called(name, 60) or 'nothing'} is none")
        with Respelled():
            check_target(name, "table", force=force)
            write_plots(self._answered.question.plots(self._answered.asked), name, force=force)
        return None

    def to_markdown(self) -> str:
        """The answer as Markdown."""
        from tscale.render.markdown import to_markdown

        return to_markdown(self._answered.report)

    def to_frame(self) -> Any:
        """The main table as a pandas DataFrame, under the columns of the CSV.

        Raises:
            TscaleError: where pandas is not installed.
        """
        from tscale.render.csv import to_rows

        try:
            import pandas as pd
        except ImportError:
            raise RequestError("to_frame needs pandas: `pip install pandas`") from None
        headings, *rows = to_rows(self._answered.report)
        return pd.DataFrame(rows, columns=headings)

    def explain(self) -> str:
        """How each figure was made, with names and with numbers, and its source.

        Raises:
            TscaleError: for an answer whose figures were not derived but looked up, or are other answers'.
        """
        steps = self._explained().steps
        if not steps:
            raise RequestError(
                f"{self._answered.question.name} has no derivations: its figures are looked up, or of other answers"
            )
        lines = []
        for step in steps:
            from tscale.core.sources import cited

            subject = f"{step.subject}: " if step.subject else ""
            source = f"  ({cited(step.figure.source)})" if step.figure.source else ""
            lines.append(f"{subject}{step.name} = {step.names}\n    = {step.numbers}{source}")
        return "\n".join(lines)

    def _explained(self) -> Report:
        """The report with its derivations; a file that the answer wrote is not written again."""
        from dataclasses import replace

        own = {"output": None, "force": False} if "force" in self._answered.asked.options() else {}
        with Respelled():
            return self._answered.question.analyze(replace(self._answered.asked, explain=True, **own))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._known:
            return self._known[name]
        data = self._data()
        own = data.get(self._answered.question.name)
        if name in data:
            return data[name]
        if isinstance(own, Row) and name in own:
            return own[name]
        raise AttributeError(f"this answer has no {name}: {nearest(name, data)}")

    def __getitem__(self, key: str | int | slice) -> Any:
        data = self._data()
        if isinstance(key, str):
            return data[key]
        if "answers" not in data:
            raise KeyError(f"this answer is of one model: its keys are {', '.join(data)}")
        return data["answers"][key]

    def __iter__(self) -> Iterator[Any]:
        data = self._data()
        return iter(data.get("answers", data))

    def __len__(self) -> int:
        data = self._data()
        return len(data.get("answers", data))

    def __bool__(self) -> bool:
        return True

    def keys(self) -> list[str]:
        """The keys of its data, as a mapping has them."""
        return list(self._data())

    def _data(self) -> Row:
        if self._cached is None:
            plain = _rows(self.to_dict())
            self._cached = plain if isinstance(plain, Row) else Row(answers=plain)
        cached: Row = self._cached
        return cached

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Result) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __dir__(self) -> list[str]:
        return [*_METHODS, *self._data()]

    def __repr__(self) -> str:
        return self._text().rstrip("\n")

    def _text(self) -> str:
        from tscale.render.brief import brief
        from tscale.render.terminal import to_text

        return to_text(brief(self._answered.report))

    def _repr_html_(self) -> str:
        from tscale.render.html import to_html_fragment

        return to_html_fragment(self._answered.report)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """What a notebook shows: a table where it can, text where it cannot, and the data for whoever reads the file."""
        del include, exclude
        return {
            "text/html": self._repr_html_(),
            "text/plain": repr(self),
            "text/markdown": self.to_markdown(),
            "application/json": self.to_dict(),
        }


_METHODS: Final = (
    "exit_code", "explain", "plot", "report", "to_csv", "to_dict", "to_frame", "to_html", "to_json", "to_markdown",
)  # fmt: skip


def _rows(data: Any) -> Any:
    """Plain data, whose mappings have attributes."""
    if isinstance(data, dict):
        return Row({key: _rows(value) for key, value in data.items()})
    return [_rows(item) for item in data] if isinstance(data, list) else data
