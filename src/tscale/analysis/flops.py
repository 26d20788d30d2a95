"""`flops`: training FLOPs, exactly and by each convention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tscale.analysis import options, readers
from tscale.analysis.media import MEDIA, WithMedia
from tscale.analysis.of_model import OfModel
from tscale.analysis.post_training import PostTraining
from tscale.analysis.request import Option, asked, spelled
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.errors import RequestError

if TYPE_CHECKING:
    from tscale.core.metric import Report
    from tscale.core.plot import Plot
    from tscale.models.spec import ModelSpec

_DEFAULT: Final = "gpt3"


@spec_dataclass
class Ask(PostTraining, WithMedia, OfModel):
    """Count training FLOPs, exactly and by each convention.

    The conventions are those of published papers, as they print them.
    """

    command = "flops"

    model: str | ModelSpec | Mapping[str, Any] = asked(
        options.MODEL._replace(help=f"{options.MODEL_HELP} The default is {_DEFAULT}.", metavar="[MODEL]"), _DEFAULT
    )
    tokens: int | None = asked(options.TOKENS)
    context: int | None = asked(options.CONTEXT)
    source: int | None = asked(Option("Set the encoder tokens of a sequence; k is 1,024.", "N", readers.context))
    target: int | None = asked(Option("Set the decoder tokens of a sequence; k is 1,024.", "N", readers.context))

    def check(self) -> None:
        """What is of devices is not of FLOPs."""
        for name in _OF_DEVICES:
            if name in self.given:
                raise RequestError(f"{spelled(name)} changes no FLOPs: drop it")
        self.check_method(others=_NOT_OF_STEPS)


_NOT_OF_STEPS: Final = ("tokens", "source", "target", *MEDIA)
_OF_DEVICES: Final = ("rollout", "rollout_gpus", "rollout_tensor", "rollout_batch", "rollout_dtype", "sleep")


def analyze(ask: Ask) -> Report:
    """FLOPs of a token, of a sequence and of training; of a method, those of a step."""
    if ask.found.kind == "tower":
        from tscale.answers.tower_alone import flops_of_tower

        text = {"--tokens": ask.tokens, "--context": ask.context, "--source": ask.source, "--target": ask.target}
        return flops_of_tower(ask.found, ask.media, dict(text))
    if ask.method is not None:
        from tscale.answers.post_training.flops import post_training_flops_report
        from tscale.estimates.memory_train.ask import Ask as Training

        step = ask.post_training(ask.spec, Training(), ask.context, None)
        return ask.assumed(post_training_flops_report(ask.spec, step))
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
    """FLOPs of a token by each convention over the length of a sequence; of a method, nothing."""
    if ask.method is not None:
        return []
    from tscale.answers.plots.flops import flops_plot

    return [flops_plot(ask.spec, ask.context)]
