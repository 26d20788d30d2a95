"""`hyper`: the learning rate and the batch size of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tscale.analysis import completion, options
from tscale.analysis.of_model import OfModel
from tscale.analysis.request import Option, asked
from tscale.blocks.spec_dataclass import spec_dataclass

if TYPE_CHECKING:
    from tscale.core.metric import Report
    from tscale.core.plot import Plot


@spec_dataclass
class Ask(OfModel):
    """Suggest the learning rate and batch size of a training run.

    Each scaling law of hyper-parameters has its own, for the sizes that it was fitted on; others are marked as extrapolated.
    """

    command = "hyper"

    tokens: int | None = asked(options.TOKENS)
    context: int | None = asked(options.CONTEXT)
    law: tuple[str, ...] = asked(
        Option(
            "Choose a law by name or file. Repeat it for several; by default all are used.",
            "NAME|FILE",
            kind="list",
            complete=completion.law_names,
        ),
        (),
    )


def plots(ask: Ask) -> Sequence[Plot]:
    """The learning rate of each law by the training tokens."""
    from tscale.answers.plots.hyper import hyper_plot

    return [hyper_plot(ask.spec, ask.tokens, ask.context, list(ask.law))]


def analyze(ask: Ask) -> Report:
    """What each law suggests."""
    from tscale.answers.hyper import hyper_report

    return ask.assumed(hyper_report(ask.spec, ask.tokens, ask.context, list(ask.law), explain=ask.explain))
