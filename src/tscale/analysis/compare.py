"""`compare`: models side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from tscale.analysis import options
from tscale.analysis.found import specs_of
from tscale.analysis.request import Option, Request, asked
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.errors import RequestError, nearest, shown

if TYPE_CHECKING:
    from tscale.core.metric import Report
    from tscale.core.plot import Plot
    from tscale.models.spec import ModelSpec, Spec

_MOST: Final = 8
_WORDS: Final = ("kind", "positions")
"""What models are compared by that is no number."""


def quantity(text: str, what: str) -> str:
    """The key of a quantity that models are compared by, or its name in the table."""
    from tscale.estimates.metrics import COMPARED, claimable

    keys = [one.key for one in COMPARED if one.key not in _WORDS]
    found = claimable(text)
    if found is None or found.key not in keys:
        raise RequestError(
            f"{what} takes a quantity of the table, such as training_flops, not {shown(text)}: {nearest(text, keys)}"
        )
    return found.key


def quantity_names(incomplete: str) -> list[str]:
    """Keys of quantities that begin so, for shell completion."""
    from tscale.estimates.metrics import COMPARED

    return [one.key for one in COMPARED if one.key not in _WORDS and one.key.startswith(incomplete.lower())]


@spec_dataclass
class Ask(Request):
    """Compare 2 to 8 models, with ratios to the first.

    --set changes all of them.
    """

    command = "compare"

    models: tuple[str | ModelSpec | Mapping[str, Any], ...] = asked(options.MODELS, (), required=True)
    context: int | None = asked(options.CONTEXT)
    set: tuple[str, ...] = asked(options.SET, ())
    assume: str | None = asked(options.ASSUME)
    strict: bool = asked(options.STRICT, default=False)
    families: str | Mapping[str, Any] | None = asked(options.FAMILIES)
    x: str = asked(
        Option("Choose the quantity on the x axis of --plot.", "QUANTITY", quantity, complete=quantity_names), "year"
    )
    y: str = asked(
        Option("Choose the quantity on the y axis of --plot.", "QUANTITY", quantity, complete=quantity_names), "params"
    )

    def check(self) -> None:
        """There are so many models that a table has room for."""
        if not 2 <= len(self.models) <= _MOST:
            raise RequestError(
                f"compare takes 2 to {_MOST} models, not {len(self.models)}: tscale compare transformer gpt3"
            )

    def check_towers(self) -> None:
        """Raises `RequestError` for what is about text, where no model reads any."""
        if self.context is not None:
            raise RequestError("--context is about text, and these models read none: drop it")

    @cached_property
    def specs(self) -> list[Spec]:
        """The models, the first of which is what the others are compared with."""
        return specs_of(self.models, self.set, self.assume, strict=self.strict, families=self.families)


def analyze(ask: Ask) -> Report:
    """All that models are compared by, with ratios."""
    from tscale.answers.compare import compare_report

    if all(spec.kind == "tower" for spec in ask.specs):
        from tscale.answers.compare_towers import compare_towers_report

        ask.check_towers()
        return compare_towers_report(ask.specs)  # type: ignore[arg-type]
    return compare_report(ask.specs, ask.context)


def plots(ask: Ask) -> Sequence[Plot]:
    """One quantity by another, of each model; of towers, nothing."""
    if all(spec.kind == "tower" for spec in ask.specs):
        return []
    from tscale.answers.plots.compare import compare_plot

    return [compare_plot(ask.specs, ask.context, ask.x, ask.y)]
