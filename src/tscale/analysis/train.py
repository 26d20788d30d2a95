"""`train`: how long a training run takes, what it costs, and how much energy it uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from tscale.analysis import options, readers
from tscale.analysis.media import MEDIA, WithMedia
from tscale.analysis.memory import Ask as MemoryAsk
from tscale.analysis.of_model import OnHardware
from tscale.analysis.post_training import HEADING, PostTraining
from tscale.analysis.request import Option, asked, spelled
from tscale.analysis.spread import DEGREES, NO_ADAPTERS, POLICIES, Spread
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.device import NARROW, SCALED
from tscale.errors import RequestError

if TYPE_CHECKING:
    from tscale.core.costs.training import Count
    from tscale.core.dtypes import Dtype
    from tscale.core.metric import Data, Report
    from tscale.core.parallelism import Parallelism
    from tscale.core.plot import Plot
    from tscale.estimates.post_training.answered import Asked as Stepped
    from tscale.estimates.train.ask import Ask as Training
    from tscale.models.adapter_spec import Adapter

_OF_RUNS: Final = (
    "tokens", "days", "mfu", "count", "tokens_per_second", "goodput", "watts", "pue", "grid", "dtype", *MEDIA,
)  # fmt: skip
"""What is of a run of tokens, and not of a step after pre-training."""
_OF_PLAN: Final = tuple(name for name in (*POLICIES, *DEGREES) if name != "recompute")


def grid(text: str, what: str) -> tuple[Fraction | None, str]:
    """Set the grams of CO2e per kWh, and where that is from: given, or a country's."""
    from tscale.catalogue.measured import grid_of

    if not text.strip() or text.strip()[0].isdigit() or text.strip()[0] in "-+.":
        return readers.number(10**4, "400")(text, what), ""
    return grid_of(text)


def steps_off(text: str, what: str) -> int:
    """By how many steps rollouts may be stale: 0 and up."""
    return 0 if text.strip() == "0" else readers.degree(text, what)


def pue(text: str, what: str) -> Fraction:
    """The energy of a data centre over that of its devices."""
    value = readers.number(10, "1.1")(text, what)
    if value < 1:
        raise RequestError(f"{what} is at least 1, the devices themselves, not {text[:40]}")
    return value


@spec_dataclass
class Ask(PostTraining, WithMedia, Spread, OnHardware):
    """Estimate the time, cost and energy of training.

    With --days, it estimates how many GPUs finish in time.
    """

    command = "train"

    tokens: int | None = asked(options.TOKENS)
    context: int | None = asked(options.CONTEXT)
    batch: int | None = asked(options.STEP_BATCH)
    days: Fraction | None = asked(options.DAYS)
    mfu: Fraction | None = asked(options.MFU)
    count: Count = asked(
        Option(
            "Choose how the FLOPs of MFU are counted: full or causal attention, or 6 FLOPs per parameter and token.",
            choices=("full", "causal", "6nd"),
        ),
        "full",
    )
    tokens_per_second: Fraction | None = asked(
        Option("Give the measured throughput of all devices.", "N", readers.number(10**15))
    )
    dtype: str | None = asked(
        Option(
            "Set the format of the matrix products; by default that of --precision.",
            choices=("fp32", "bf16", "fp16", "fp8", *SCALED, "int8", "fp4"),
            heading=options.TRAINING,
        )
    )
    qlora: bool = asked(options.QLORA, False)
    stack: str = asked(options.STACK, "current")
    attention_kernel: str | None = asked(options.ATTENTION_KERNEL)
    bound: bool = asked(
        Option("Give bounds alone, that no run passes, without a prediction.", kind="flag", heading=options.TRAINING),
        False,
    )
    price: Fraction | None = asked(options.PRICE)
    goodput: Fraction | None = asked(
        Option(
            "Set the share of the time that goes to steps that count, the rest to failures, restarts and checkpoints; by "
            "default as published runs lost for each device, or as an assumed MFU has it.",
            "SHARE",
            readers.share("the time"),
            heading=options.COST,
        )
    )
    watts: Fraction | None = asked(
        Option(
            "Set the power draw of a device; by default its TDP.",
            "W",
            readers.number(10**6, "700"),
            heading=options.COST,
        )
    )
    pue: Fraction = asked(
        Option(
            "Set the power usage effectiveness: energy of the data centre over that of its devices.",
            "N",
            pue,
            heading=options.COST,
        ),
        Fraction(1),
    )
    grid: tuple[Fraction | None, str] = asked(
        Option("Set the grams of CO2e per kWh, or a country: 400, france.", "G", grid, heading=options.COST), (None, "")
    )
    steps: int | None = asked(
        Option(
            "Set the steps of a run with --method, for its GPU-hours and dollars.", "N", readers.degree, heading=HEADING
        )
    )
    steps_off: int = asked(
        Option(
            "Let generation run so many steps ahead of training, with --rollout apart: 1 overlaps them.",
            "N",
            steps_off,
            heading=HEADING,
        ),
        0,
    )

    def check(self) -> None:
        """A plan is of devices and of a batch; a method of a step."""
        self._check_adapters()
        self.check_method(others=_OF_RUNS)
        if self.method is not None:
            self._check_step()
            return
        self._check_bound()
        if self.count == "6nd" and self.media.any:
            raise RequestError(
                "--count 6nd counts parameters that a token meets, and no tower's: use full or causal, or drop images and sounds"
            )
        for name in ("steps", "steps_off"):
            if name in self.given:
                raise RequestError(f"{spelled(name)} is of training after pre-training: add --method, or drop it")
        given = [name for name in _OF_PLAN if name in self.given and self.given[name] is not False]
        if self.batch is None and given:
            raise RequestError(
                f"{spelled(given[0])} is of a parallel plan, which needs --batch, the sequences of a step"
            )
        if self.batch is not None and self.gpus is None:
            raise RequestError("a parallel plan needs --gpus, the devices that it is spread over")

    def _check_bound(self) -> None:
        """A bound has a utilisation of its own. Raises `RequestError` where another one is given, or follows."""
        if not self.bound:
            return
        given = next((name for name in ("mfu", "tokens_per_second") if getattr(self, name) is not None), None)
        if given is None and self.days is not None and self.gpus is not None:
            given = "days"
        if given is not None:
            more = " with --gpus" if given == "days" else ""
            raise RequestError(
                f"--bound gives the least that no run passes, and {spelled(given)}{more} says what a run reaches: drop one of them"
            )

    def rank_of(self, own: Adapter | None) -> int | None:
        """The rank of adapters; of a model in few bits the usual one where none is given. Raises `RequestError` as `Spread` does."""
        from tscale.models.trainer import RANK

        return super().rank_of(own) or (RANK if self.qlora else None)

    @property
    def base(self) -> Dtype | None:
        """The format of few bits that the model is frozen in; None where it is in that of its training."""
        from tscale.core.dtypes import DTYPES

        return DTYPES["nf4"] if self.qlora else None

    def _check_adapters(self) -> None:
        """Adapters have matrices and, in a run, tokens of their own; without gradients of all weights 6ND counts too much."""
        if self.rank_of(self.spec.adapter) is None:
            if "lora_targets" in self.given:
                raise RequestError(NO_ADAPTERS)
            return
        for name in ("precision", "dtype"):
            if self.qlora and getattr(self, name) in NARROW:
                from tscale.estimates.memory_train.ask import multiplied_in_16

                raise multiplied_in_16(name, getattr(self, name))
        if self.count == "6nd":
            raise RequestError(
                "--count 6nd counts gradients of all weights, and of a frozen model there are none: use full or causal"
            )
        if self.tokens is None and self.method is None:
            raise RequestError("adapters are trained on tokens of their own: give them with --tokens, such as 1e9")

    def _check_step(self) -> None:
        """A step is of devices; of sequences or pairs that are given, it is of so many."""
        if self.gpus is None:
            raise RequestError(f"a step of --method {self.method} needs --gpus, the devices that train")
        if self.batch is None and self.method in ("sft", "dpo"):
            what = "pairs" if self.method == "dpo" else "sequences"
            raise RequestError(f"a step of --method {self.method} needs --batch, its {what}")
        if self.steps_off and self.rollout != "apart":
            raise RequestError("--steps-off is of devices that only generate: add --rollout apart, or drop it")

    @property
    def products(self) -> str | None:
        """The format of the products, where one was asked for."""
        from tscale.estimates.memory.peak import products_of

        return self.dtype or products_of(self.precision)

    @property
    def memory(self) -> MemoryAsk | None:
        """The question of `memory --train` about the same plan; None where there is none."""
        if self.batch is None and self.method is None:
            return None
        from tscale.estimates.memory.peak import precision_of

        own = MemoryAsk.options()
        given = {name: value for name, value in self.given.items() if name in own and name != "dtype"}
        if "precision" not in given and self.dtype is not None:
            given["precision"] = precision_of(self.dtype)
        made = MemoryAsk.made({**given, "train": True})
        made = replace(
            made, **{name: getattr(self, name) for name in ("gpus", "batch", "micro_batch", "context", "lora_rank")}
        )
        made.__dict__["found"], made.__dict__["hardware"] = self.found, self.hardware  # which need not be found again
        return made

    @property
    def step(self) -> Stepped:
        """What is asked of a step after pre-training."""
        from tscale.estimates.post_training.answered import Asked
        from tscale.estimates.post_training.rollout import How

        memory = self.memory
        assert memory is not None
        step = self.post_training(self.spec, memory.training, self.context, self.batch)
        how = How(self.stack, self.attention_kernel, self.bound, self.steps_off)
        return Asked(step, how, self.price, self.steps)

    @property
    def asked(self) -> Training:
        """What is asked of the run."""
        from tscale.core.costs.step_time import Batch
        from tscale.estimates.train.ask import Ask as Training

        plan: Parallelism | None = None if self.batch is None else self.plan
        memory = self.memory
        return Training(
            tokens=self.tokens,
            context=self.context,
            gpus=self.gpus,
            mfu=self.mfu,
            flops_count=self.count,
            tokens_per_second=self.tokens_per_second,
            days=self.days,
            dtype=self.products,
            recompute=self.recompute.policy,
            again=self.recompute if self.recompute.of_some else None,
            price=self.price,
            goodput=self.goodput,
            watts=self.watts,
            pue=self.pue,
            grid=self.grid[0],
            grid_source=self.grid[1],
            plan=plan,
            rank=self.rank_of(self.spec.adapter),
            lora_targets=self.targets_of(self.spec.adapter),
            base=self.base,
            batch=None if self.batch is None else Batch(self.batch, self.micro_batch),
            memory=None if memory is None else memory.training,
            stack=self.stack,
            kernel=self.attention_kernel,
            media=self.media,
            bound_only=self.bound,
            command="" if memory is None else f"tscale memory {self.words} --train{_options_of(memory)}",
        )


def _options_of(memory: MemoryAsk) -> str:
    """The options of a plan as the command line writes them."""
    named = (
        (name, value)
        for name, value in memory.given.items()
        if name in ("gpus", "context", "batch", "lora_rank", "lora_targets", "qlora", *MEDIA, *POLICIES, *DEGREES)
    )
    return "".join(f" {spelled(name)}" + ("" if value is True else f" {value}") for name, value in named if value)


def analyze(ask: Ask) -> Report:
    """Time, GPU-hours, cost and energy; of a plan, its bounds and whether it fits; of a method, a step by phase."""
    if ask.method is not None:
        from tscale.answers.post_training.train import post_training_report

        return ask.assumed(post_training_report(ask.spec, ask.step))
    from tscale.answers.train.answer import train_report

    return ask.assumed(train_report(ask.spec, ask.hardware, ask.asked))


def figures(ask: Ask) -> Data:
    """The figures of the answer by their keys: what a row of a sweep holds."""
    if ask.method is not None:
        return analyze(ask).data
    from tscale.estimates.train.data import train_figures

    return train_figures(ask.spec, ask.hardware, ask.asked)


def plots(ask: Ask) -> Sequence[Plot]:
    """Days by the number of devices; of a method, seconds of a step by phase."""
    if ask.method is not None:
        from tscale.answers.plots.post_training import seconds_plot

        return [seconds_plot(ask.spec, ask.step.step, ask.step.how)]
    from tscale.answers.plots.train import train_plot

    return [train_plot(ask.spec, ask.hardware, ask.asked)]
