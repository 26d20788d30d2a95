"""`serve`: the speed of serving a model, and its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from tscale.analysis import options, readers
from tscale.analysis.found import draft_of
from tscale.analysis.layout import WAYS, layout_of, pool_of
from tscale.analysis.media import WithMedia
from tscale.analysis.memory import GUESSES
from tscale.analysis.of_model import OnHardware
from tscale.analysis.request import Option, asked
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.counts import parse_count, parse_fraction
from tscale.errors import RequestError, shown

if TYPE_CHECKING:
    from tscale.core.dtypes import Dtype
    from tscale.core.metric import Data, Report
    from tscale.core.plot import Plot
    from tscale.core.serving_layout import ServingLayout
    from tscale.estimates.deployment import Engine, OneRun
    from tscale.estimates.serve.times import Ask as Serving
    from tscale.estimates.serve.times import Draft
    from tscale.models.spec import ModelSpec


def prefix(text: str, what: str) -> int | Fraction:
    """Tokens of a prompt that are cached already, or a share of it."""
    if not text.strip().endswith("%"):
        return readers.size(text, what)
    return readers.share_of(text, what, "the prompt")


def one_run(text: str, what: str) -> OneRun:
    """A measured run: requests at once, seconds of an output token, and to the first token."""
    from tscale.estimates.deployment import OneRun

    parts = [part.strip() for part in text.split(",")]
    if not 2 <= len(parts) <= _FIGURES:
        raise RequestError(f"{what} takes concurrency and seconds, such as 32,0.018,0.4, not {shown(text)}")
    seconds = [parse_fraction(part, what=what, most=10**6, such_as="0.018") if part else None for part in parts[1:]]
    return OneRun(parse_count(parts[0], what=what, most=10**6), *seconds)


_FIGURES = 3
HOST_ALONE: Final = "--host-bandwidth is that of a cached prefix: --prefix gives its tokens, such as 50%"
SAME: Final = (("batch", "concurrency", "rate"), ("context", "input"))
"""Fields that say the same: one of each is given."""


@spec_dataclass
class Ask(WithMedia, OnHardware):
    """Predict the speed of serving a model, and its cost.

    Next to each prediction is the lower bound by the roofline of the hardware, and what sets it.
    """

    command = "serve"

    gpus: int = asked(options.TENSOR._replace(heading=""), 1)
    batch: int = asked(Option("Set the batch size: sequences decoded concurrently.", "N", readers.degree), 1)
    context: int = asked(Option("Set the tokens of each prompt; 2k is 2048.", "N", readers.context, shown="2k"), 2048)
    output: int = asked(Option("Set the tokens of each answer.", "N", readers.size), 256)
    dtype: Dtype | None = asked(
        options.DTYPE._replace(
            help="Set the format of the weights: fp8, q4_k; by default as the file says, or bf16.", heading=""
        )
    )
    cache_dtype: Dtype | None = asked(
        options.CACHE_DTYPE._replace(
            help="Set the format of the KV cache: fp8, q8_0; by default as the file says, or bf16.", heading=""
        )
    )
    efficiency: Fraction = asked(
        Option("Set the share of peak and bandwidth that is reached.", "SHARE", readers.share()), Fraction(1)
    )
    price: Fraction | None = asked(options.PRICE)
    prefix: int | Fraction = asked(
        Option(
            "Set the tokens of each prompt that are already in the KV cache: 1k, 50%.", "N", prefix, none_at_zero=True
        ),
        0,
    )
    host_bandwidth: Fraction | None = asked(
        Option(
            "Read the cached prefix from host memory at so many GB/s per device, such as 55 (KV cache offloading).",
            "GB/S",
            readers.number(10**5, "55"),
        )
    )
    draft: str | ModelSpec | Mapping[str, Any] | None = asked(options.DRAFT._replace(heading=""))
    draft_tokens: int | None = asked(
        Option(
            "Set the draft tokens per round, 4 by default; without --draft they cost nothing, as n-grams nearly do.",
            "N",
            readers.degree,
        )
    )
    acceptance: Fraction | None = asked(
        Option("Set the probability that a draft token is accepted.", "SHARE", readers.share("the guesses"))
    )
    split_cache: str = asked(options.SPLIT_CACHE._replace(heading=""), "heads")
    input: int | None = asked(Option("Another name of --context: the tokens of each prompt.", "N", readers.context))
    concurrency: int | None = asked(
        Option("Another name of --batch: requests that are served concurrently.", "N", readers.degree)
    )
    rate: Fraction | None = asked(
        Option("Set the requests per second that arrive, in place of --concurrency.", "R", readers.number(10**6, "2.5"))
    )
    engine: Engine = asked(
        Option(
            "Choose the engine that is predicted.", choices=("trtllm", "sglang", "vllm"), heading=options.PREDICTION
        ),
        "vllm",
    )
    engine_version: str | None = asked(
        Option("Set the engine's version, as measured tables write it.", "TEXT", heading=options.PREDICTION)
    )
    chunk: int | None = asked(
        Option(
            "Set the most tokens that a step takes (chunked prefill); by default as the engine's server does.",
            "N",
            readers.size,
            heading=options.PREDICTION,
        )
    )
    measured: OneRun | None = asked(
        Option(
            "Give one measured run of this deployment: concurrency, seconds per output token and to the first token, such as "
            "32,0.018,0.4.",
            "C,TPOT[,TTFT]",
            one_run,
            heading=options.PREDICTION,
        )
    )
    calibration: str | None = asked(
        Option(
            "Read the calibration of your own runs, which calibrate wrote.",
            "FILE",
            readers.file,
            heading=options.PREDICTION,
        )
    )
    bound: bool = asked(Option("Give bounds alone.", kind="flag", heading=options.PREDICTION), default=False)
    tensor: int = asked(options.TENSOR, 1)
    pipeline: int = asked(options.PIPELINE, 1)
    stages: tuple[int, ...] | None = asked(options.STAGES)
    expert: int = asked(options.EXPERT, 1)
    expert_tensor: int | None = asked(options.EXPERT_TENSOR)
    attention_data: int = asked(options.ATTENTION_DATA, 1)
    replicas: int = asked(options.REPLICAS, 1)
    prefill: ServingLayout | None = asked(
        Option(
            "Set the parallelism of a separate prefill pool, such as tensor=4,replicas=2.",
            "DEGREES",
            pool_of,
            heading=options.PARALLELISM,
        )
    )
    decode: ServingLayout | None = asked(
        Option(
            "Set the parallelism of the decode pool, with --prefill.",
            "DEGREES",
            pool_of,
            heading=options.PARALLELISM,
        )
    )

    @classmethod
    def of_system(cls, system: Mapping[str, object], given: Mapping[str, object]) -> dict[str, object]:
        """What a system in a file says, but for a load or lengths that are given by another name.

        Of a load by its requests at once and by their rate, as `plan` keeps it, the former, of which its times are.
        """
        own = super().of_system(system, given)
        if "concurrency" in own:
            own.pop("rate", None)
        for names in SAME:
            if given.keys() & set(names):
                own = {name: value for name, value in own.items() if name not in names}
        return own

    def check(self) -> None:
        """Whatever guesses has a chance to be right, and nothing is said by two names."""
        for name, other in (("input", "context"), ("concurrency", "batch"), ("rate", "batch"), ("rate", "concurrency")):
            if name in self.given and other in self.given:
                raise RequestError(f"--{name} and --{other} say the same: give one of them")
        self._check_pools()
        if self.bound and self.measured is not None:
            raise RequestError("--bound gives bounds alone, which no measured run changes: drop --measured")
        if self.host_bandwidth is not None and not self.prefix:
            raise RequestError(HOST_ALONE)
        given = "--draft-tokens" if self.draft is None else "--draft"
        if self.draft is None and self.draft_tokens is None:
            if self.acceptance is not None:
                raise RequestError(
                    "--acceptance is that of guesses: --draft names the model that guesses, or --draft-tokens how many"
                )
        elif self.acceptance is None:
            raise RequestError(f"{given} needs --acceptance, the chance that a guessed token is accepted, such as 0.8")

    def _check_pools(self) -> None:
        """Raises `RequestError` for one pool alone, and for degrees beside those of both."""
        if (self.prefill is None) != (self.decode is None):
            raise RequestError("--prefill and --decode are two pools: give the degrees of both")
        if self.decode is not None and any(name in self.given for name in (*WAYS, "gpus")):
            raise RequestError("--prefill and --decode say all degrees: drop --gpus, --tensor and the others")

    @property
    def guesses(self) -> Draft | None:
        """What guesses, and how well; None where nothing does."""
        from tscale.estimates.serve.times import Draft
        from tscale.models.draft_heads import head_kind

        if self.acceptance is None:
            return None
        guesser = None if self.draft is None else draft_of(self.draft, self.spec, families=self.families)
        return Draft(guesser, self.draft_tokens or GUESSES, self.acceptance, head_kind(self.draft) is not None)

    @property
    def asked(self) -> Serving:
        """How it is served."""
        from tscale.estimates.deployment import Deployment
        from tscale.estimates.serve.times import Ask as Serving

        prompt = self.input or self.context
        cached = int(self.prefix * prompt) if isinstance(self.prefix, Fraction) else self.prefix
        layout = self.decode or layout_of(self, self.gpus if "gpus" in self.given else None)
        return Serving(
            self.dtype,
            self.cache_dtype,
            self.gpus if layout is None else layout.devices,
            self.concurrency or self.batch,
            prompt,
            self.output,
            cached,
            self.split_cache == "sequences",
            self.efficiency,
            self.price,
            draft=self.guesses,
            deployment=Deployment(
                self.engine,
                self.engine_version or "",
                layout,
                self.prefill,
                self.rate,
                self.measured,
                self.bound,
                self.calibration or "",
                self.chunk or 0,
            ),
            host=self.host_bandwidth,
        )


def analyze(ask: Ask) -> Report:
    """Time to first token, time per token, throughput and dollars."""
    from tscale.answers.serve.answer import serve_report

    asked_for, media = ask.asked, ask.media
    if not media.any:
        return ask.assumed(serve_report(ask.spec, ask.hardware, asked_for))
    from tscale.answers.serve.media import with_media
    from tscale.estimates.media import towers_flops

    asked_for = asked_for._replace(tower_flops=towers_flops(ask.spec, media))
    report = serve_report(ask.spec, ask.hardware, asked_for)
    return ask.assumed(with_media(report, ask.spec, ask.hardware, media, asked_for.context, asked_for.gpus))


def figures(ask: Ask) -> Data:
    """The figures of the answer by their keys, without its lists: what a row of a sweep holds."""
    if ask.media.any:
        return analyze(ask).data
    from tscale.estimates.serve.reached import serve_figures

    return serve_figures(ask.spec, ask.hardware, ask.asked)


def plots(ask: Ask) -> Sequence[Plot]:
    """Throughput against the speed of each user, over the batch."""
    from tscale.answers.plots.serve import serve_plot

    return [serve_plot(ask.spec, ask.hardware, ask.asked)]
