"""`loss`: the loss of a model by each scaling law."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tscale.analysis import options
from tscale.analysis.of_model import OfModel
from tscale.analysis.request import asked
from tscale.blocks.spec_dataclass import spec_dataclass

if TYPE_CHECKING:
    from tscale.core.laws import Bits
    from tscale.core.metric import Report
    from tscale.core.plot import Plot


@spec_dataclass
class Ask(OfModel):
    """Predict the loss of a model by each scaling law.

    The answer says how far its training is from compute-optimal, and which other runs reach the same loss.
    """

    command = "loss"

    tokens: int | None = asked(options.TOKENS)
    unique_tokens: int | None = asked(options.UNIQUE)
    inference_tokens: int | None = asked(options.SERVED)
    bits: Bits | None = asked(options.BITS)
    law: tuple[str, ...] = asked(options.LAWS, ())


def analyze(ask: Ask) -> Report:
    """The loss that each law predicts."""
    from tscale.answers.loss.answer import loss_report

    laws = list(ask.law)
    report = loss_report(
        ask.spec, ask.tokens, laws, ask.unique_tokens, ask.inference_tokens, ask.bits, explain=ask.explain
    )
    return ask.assumed(report)


def plots(ask: Ask) -> Sequence[Plot]:
    """The loss of each law by tokens."""
    from tscale.answers.plots.loss import loss_plot

    return [loss_plot(ask.spec, ask.tokens, list(ask.law), ask.unique_tokens, ask.inference_tokens, ask.bits)]
