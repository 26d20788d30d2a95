"""`flops`: training FLOPs, exactly and by each convention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tscale.analysis import options
from tscale.analysis.media import WithMedia
from tscale.analysis.of_model import OfModel
from tscale.analysis.request import Option, asked

if TYPE_CHECKING:
    from tscale.core.metric import Report
    from tscale.core.plot import Plot
    from tscale.models.spec import ModelSpec

_DEFAULT: Final = "gpt3"


@dataclass(frozen=True, kw_only=True)
class Ask(WithMedia, OfModel):
    """Count training FLOPs, exactly and by each convention.

    The conventions are those of published papers, as they print them.
    """

    command = "flops"

    model: str | ModelSpec | Mapping[str, Any] = asked(
        options.MODEL._replace(help=f"{options.MODEL_HELP} The default is {_DEFAULT}.", metavar="[MODEL]"), _DEFAULT
    )
    tokens: int | None = asked(options.TOKENS)
    context: int | None = asked(options.CONTEXT)
    source: int | None = asked(Option("Set the encoder tokens of a sequence; k is 1,024.", "N", options.context))
    target: int | None = asked(Option("Set the decoder tokens of a sequence; k is 1,024.", "N", options.context))


def analyze(ask: Ask) -> Report:
    """FLOPs of a token, of a sequence and of training."""
    if ask.found.kind == "tower":
        from tscale.answers.tower_alone import flops_of_tower

        text = {"--tokens": ask.tokens, "--context": ask.context, "--source": ask.source, "--target": ask.target}
        return flops_of_tower(ask.found, ask.media, dict(text))
    from tscale.answers.flops import flops_report

    report = flops_report(
        ask.spec,
        ask.tokens,
        ask.context,
        ask.source,
        ask.target,
        by_default="model" not in ask.given,
        media=ask.media,
    )
    return ask.assumed(report)


def plots(ask: Ask) -> Sequence[Plot]:
    """FLOPs of a token by each convention over the length of a sequence."""
    from tscale.answers.plots.flops import flops_plot

    return [flops_plot(ask.spec, ask.context)]
