"""`params`: the parameters of models, part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tscale.analysis import options
from tscale.analysis.found import specs_of
from tscale.analysis.request import Request, asked
from tscale.blocks.spec_dataclass import spec_dataclass

if TYPE_CHECKING:
    from tscale.core.metric import Report
    from tscale.core.plot import Plot
    from tscale.models.spec import ModelSpec, Spec


@spec_dataclass
class Ask(Request):
    """Count the parameters of each model, part by part.

    They are compared with what was published.
    """

    command = "params"

    models: tuple[str | ModelSpec | Mapping[str, Any], ...] = asked(options.MODELS, (), required=True)
    set: tuple[str, ...] = asked(options.SET, ())
    assume: str | None = asked(options.ASSUME)
    strict: bool = asked(options.STRICT, default=False)
    families: str | Mapping[str, Any] | None = asked(options.FAMILIES)

    @cached_property
    def specs(self) -> list[Spec]:
        """The models."""
        return specs_of(self.models, self.set, self.assume, strict=self.strict, families=self.families)


def analyze(ask: Ask) -> Report:
    """Counted and published parameters of each."""
    from tscale.answers.params.answer import params_report

    return params_report(ask.specs)


def plots(ask: Ask) -> Sequence[Plot]:
    """Parameters up to each layer."""
    from tscale.answers.plots.params import params_plot

    return [params_plot(ask.specs)]
