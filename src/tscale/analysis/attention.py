"""`attention`: what attention costs at each context length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tscale.analysis import readers
from tscale.analysis.of_model import OfModel
from tscale.analysis.request import Option, asked
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.errors import RequestError

if TYPE_CHECKING:
    from tscale.core.costs.forward import AttentionMask
    from tscale.core.metric import Data, Report
    from tscale.core.plot import Plot
    from tscale.estimates.attention import Ask as Asked


@spec_dataclass
class Ask(OfModel):
    """Show what attention costs at each context length.

    The second table has the context lengths at which attention overtakes the rest of the model.
    """

    command = "attention"

    context: list[int] | None = asked(
        Option("Set the context lengths, such as 512,2k,8k; k is 1,024.", "N,N,...", readers.contexts)
    )
    dtype: str = asked(
        Option(
            "Set the number format of cache, scores and weights.",
            choices=("fp32", "bf16", "fp16", "fp8", "int8", "int4"),
        ),
        "bf16",
    )
    causal: bool = asked(
        Option(
            "Count the keys that a query may see, or all of them as frameworks do.",
            kind="flag",
            spelling="--causal/--full",
        ),
        False,
    )
    versus: bool = asked(
        Option("Compare with recurrent, convolutional and restricted layers.", kind="flag"),
        False,
    )
    kernel: int | None = asked(
        Option("Set the kernel size of the convolution, with --versus; the default is 3.", "K", readers.size)
    )
    neighbourhood: int | None = asked(
        Option("Set the keys that restricted attention sees, with --versus; the default is 256.", "R", readers.size)
    )

    def check(self) -> None:
        """What sizes other layers needs them."""
        if not self.versus and (self.kernel or self.neighbourhood):
            raise RequestError("--kernel and --neighbourhood need --versus: add it, or drop them")

    @property
    def asked(self) -> Asked:
        """What is asked of the model."""
        from tscale.estimates.attention import Ask as Asked

        sight: AttentionMask = "causal" if self.causal else "full"
        return Asked(self.context or [], sight, self.dtype, self.versus, self.kernel or 3, self.neighbourhood or 256)


def analyze(ask: Ask) -> Report:
    """FLOPs, cache and share of attention at each length."""
    from tscale.answers.attention import attention_report

    return ask.assumed(attention_report(ask.spec, ask.asked))


def figures(ask: Ask) -> Data:
    """The figures of the answer by their keys, without its lists: what a row of a sweep holds."""
    from tscale.answers.attention import attention_figures

    return attention_figures(ask.spec, ask.asked)


def plots(ask: Ask) -> Sequence[Plot]:
    """What attention and the rest of the model cost over the length; with --versus, other layers than attention too."""
    from tscale.answers.plots.attention import attention_plot, versus_plot

    drawn = [attention_plot(ask.spec, ask.asked)]
    return [*drawn, versus_plot(ask.spec, ask.asked)] if ask.versus else drawn
