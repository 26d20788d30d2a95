"""All questions by name: each is a module with its request `Ask`, `analyze`, and `plots` where it can be drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tscale.analysis.request import Request

if TYPE_CHECKING:
    from tscale.core.metric import Data, Report
    from tscale.core.plot import Plot

NAMES: Final = (
    "summary", "params", "attention", "flops", "compare", "memory", "train", "serve", "plan", "optimal", "loss", "hyper",
    "design", "fit", "accuracy", "calibrate", "check", "verify", "list",
)  # fmt: skip
"""In the order in which help lists them."""
UNEXPLAINED: Final = frozenset({"calibrate", "summary", "accuracy", "check", "verify", "list"})
"""Questions whose answers are made of other answers, or of nothing that was derived."""


class Question(NamedTuple):
    """A question: what is asked of it, and who answers."""

    name: str
    ask: type[Request]
    analyze: Callable[[Any], Report]
    plots: Callable[[Any], Sequence[Plot]] | None
    text: Callable[[Any], str | None] | None
    """What is printed in place of the answer, where that is asked for."""
    figures_alone: Callable[[Any], Data] | None
    """The figures of its answer without tables, lists and derivations, where they can be had so."""

    def figures(self, ask: Any) -> Data:
        """The figures of its answer by their keys. Raises `TscaleError`."""
        return self.analyze(ask).data if self.figures_alone is None else self.figures_alone(ask)

    @property
    def explains(self) -> bool:
        """Whether its figures have derivations."""
        return self.name not in UNEXPLAINED

    def made(self, given: Mapping[str, object], *, explain: bool = False) -> Any:
        """The request that values make. Raises `RequestError`."""
        return self.ask.made(given, explain=explain)


def question(name: str) -> Question:
    """The question of a command, imported when it is first asked."""
    module = import_module(f"tscale.analysis.{name}")
    plots, text, figures = (getattr(module, kind, None) for kind in ("plots", "text", "figures"))
    return Question(name, module.Ask, module.analyze, plots, text, figures)
