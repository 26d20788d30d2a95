"""`serve`: the speed of serving a model, and its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from tscale.analysis import options
from tscale.analysis.memory import cache_format, weights_format
from tscale.analysis.of_model import OnHardware, spec_of
from tscale.analysis.request import Option, asked
from tscale.errors import RequestError

if TYPE_CHECKING:
    from tscale.answers.serve_times import Ask as Serving
    from tscale.answers.serve_times import Draft
    from tscale.core.dtypes import Format
    from tscale.core.metric import Report
    from tscale.core.plot import Plot
    from tscale.models.spec import ModelSpec

_GUESSES = 4
"""Tokens that a draft guesses in a round, where nothing is said."""


def prefix(text: str, what: str) -> int | Fraction:
    """Tokens of a prompt that are cached already, or a share of it."""
    if not text.strip().endswith("%"):
        return options.size(text, what)
    return options.share_of(text, what, "the prompt")


@dataclass(frozen=True, kw_only=True)
class Ask(OnHardware):
    """Bound the speed of serving a model, and its cost.

    The times are lower bounds, by the roofline of the hardware, and the answer says what sets them.
    """

    command = "serve"

    gpus: int = asked(Option("Set the devices that share each layer (tensor parallelism).", "N", options.degree), 1)
    batch: int = asked(Option("Set the batch size: sequences decoded concurrently.", "N", options.degree), 1)
    context: int = asked(Option("Set the tokens of each prompt; 2k is 2048.", "N", options.context, shown="2k"), 2048)
    output: int = asked(Option("Set the tokens of each answer.", "N", options.size), 256)
    dtype: Format | None = asked(
        Option(
            "Set the format of the weights: fp8, q4_k; by default as the file says, or bf16.", "FORMAT", weights_format
        )
    )
    cache_dtype: Format | None = asked(
        Option(
            "Set the format of the KV cache: fp8, q8_0; by default as the file says, or bf16.", "FORMAT", cache_format
        )
    )
    efficiency: Fraction = asked(
        Option("Set the share of peak and bandwidth that is reached.", "SHARE", options.share()), Fraction(1)
    )
    price: Fraction | None = asked(options.PRICE)
    prefix: int | Fraction = asked(
        Option("Set the tokens of each prompt that are already in the KV cache: 1k, 50%.", "N", prefix), 0
    )
    draft: str | ModelSpec | Mapping[str, Any] | None = asked(
        Option("Name a draft model (speculative decoding).", "MODEL", kind="named", complete=options.model_names)
    )
    draft_tokens: int | None = asked(
        Option("Set the draft tokens per round, 4 by default; they cost nothing without --draft.", "N", options.degree)
    )
    acceptance: Fraction | None = asked(
        Option("Set the probability that a draft token is accepted.", "SHARE", options.share("the guesses"))
    )
    split_cache: str = asked(
        Option("Choose how devices divide the KV cache while decoding.", choices=("heads", "sequences")), "heads"
    )

    def check(self) -> None:
        """Whatever guesses has a chance to be right."""
        given = "--draft-tokens" if self.draft is None else "--draft"
        if self.draft is None and self.draft_tokens is None:
            if self.acceptance is not None:
                raise RequestError(
                    "--acceptance is that of guesses: --draft names the model that guesses, or --draft-tokens how many"
                )
        elif self.acceptance is None:
            raise RequestError(f"{given} needs --acceptance, the chance that a guessed token is accepted, such as 0.8")

    @property
    def guesses(self) -> Draft | None:
        """What guesses, and how well; None where nothing does."""
        from tscale.answers.serve_times import Draft
        from tscale.models.resolve import disclosed

        if self.acceptance is None:
            return None
        guesser = None if self.draft is None else disclosed(spec_of(self.draft))
        return Draft(guesser, self.draft_tokens or _GUESSES, self.acceptance)

    @property
    def asked(self) -> Serving:
        """How it is served."""
        from tscale.answers.serve_times import Ask as Serving

        cached = self.prefix if isinstance(self.prefix, int) else int(self.prefix * self.context)
        return Serving(
            self.dtype,
            self.cache_dtype,
            self.gpus,
            self.batch,
            self.context,
            self.output,
            cached,
            self.split_cache == "sequences",
            self.efficiency,
            self.price,
            draft=self.guesses,
        )


def analyze(ask: Ask) -> Report:
    """Time to first token, time per token, throughput and dollars."""
    from tscale.answers.serve import serve_report

    asked_for = ask.asked
    return ask.assumed(serve_report(ask.spec, ask.hardware, asked_for))


def plots(ask: Ask) -> Sequence[Plot]:
    """Throughput against the speed of each user, over the batch."""
    from tscale.answers.plots.serve import serve_plot

    return [serve_plot(ask.spec, ask.hardware, ask.asked)]
