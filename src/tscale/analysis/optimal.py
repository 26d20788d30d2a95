"""`optimal`: the compute-optimal parameters and tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from tscale.analysis import options, readers
from tscale.analysis.found import hardware_of
from tscale.analysis.request import Option, Request, asked, spelled
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.counts import parse_count
from tscale.errors import RequestError

if TYPE_CHECKING:
    from tscale.catalogue.hardware import Hardware
    from tscale.core.metric import Data, Report
    from tscale.core.plot import Plot
    from tscale.estimates.budget import Budget
    from tscale.estimates.optimal_experts import Wanted

_EXPERTS: Final = "Mixture of experts"
_MOST_EXPERTS: Final = 65_536


def experts(text: str, what: str) -> int | str:
    """A number of routed experts, or any."""
    return "any" if text.strip().lower() == "any" else parse_count(text, what=what, most=_MOST_EXPERTS)


def active_share(text: str, what: str) -> Fraction:
    """A share of the experts: 0.125, 12.5% or 1/8."""
    if re.fullmatch(r"\s*[1-9][0-9]{0,5}\s*/\s*[1-9][0-9]{0,5}\s*", text):
        part, whole = map(int, text.split("/"))
        return readers.share_of(str(part / whole), what, "all experts") and Fraction(part, whole)
    return readers.share_of(text, what, "all experts")


_OF_GPU = ("gpus", "days", "dollars", "price", "mfu", "gpu_set")


@spec_dataclass
class Ask(Request):
    """Show the compute-optimal parameters and tokens.

    Each scaling law has its own optimum for a budget of FLOPs, GPUs and days, or dollars.
    """

    command = "optimal"

    flops: int | None = asked(Option("Set the training FLOPs, such as 5.76e23.", "C", readers.flops))
    params: int | None = asked(Option("Set the parameters, such as 7B.", "N", readers.parameters))
    tokens: int | None = asked(options.TOKENS)
    gpu: str | Hardware | Mapping[str, Any] | None = asked(
        options.GPU._replace(help="Name the hardware of a budget in GPUs and days, or in dollars.")
    )
    gpus: int | None = asked(options.GPUS)
    days: Fraction | None = asked(options.DAYS._replace(help="Set how long the GPUs train."))
    dollars: Fraction | None = asked(
        Option("Set the US dollars for GPU-hours: 1e6.", "USD", readers.number(10**15, "1e6"))
    )
    price: Fraction | None = asked(options.PRICE._replace(heading=""))
    mfu: Fraction | None = asked(options.MFU)
    unique_tokens: int | None = asked(options.UNIQUE)
    inference_tokens: int | None = asked(options.SERVED)
    law: tuple[str, ...] = asked(options.LAWS, ())
    experts: int | str | None = asked(
        Option(
            "Train a mixture of this many routed experts per layer; any: the number with the least loss.",
            "E|any",
            experts,
            heading=_EXPERTS,
        )
    )
    active_share: Fraction | None = asked(
        Option(
            "Set the share of the experts that each token uses, such as 1/8; by default the share with the least loss.",
            "S",
            active_share,
            heading=_EXPERTS,
        )
    )
    memory_gb: Fraction | None = asked(
        Option(
            "Limit the weights and a cache of 16k tokens, in bf16, to this many GB (with --experts).",
            "GB",
            readers.number(10**9, "80"),
            heading=_EXPERTS,
        )
    )
    gpu_set: tuple[str, ...] = asked(options.GPU_SET, ())

    def check(self) -> None:
        """There is one budget, and what is of hardware is of a budget in hardware."""
        given = [spelled(name) for name in ("flops", "params", "tokens", "gpu") if name in self.given]
        alone = [spelled(name) for name in _OF_GPU if name in self.given]
        if not given and alone:
            raise RequestError(f"{alone[0]} is read with --gpu only: add it, such as --gpu h100")
        if len(given) != 1:
            raise RequestError(
                "optimal takes one of --flops, --params, --tokens or --gpu, "
                + (f"not {' and '.join(given)}" if given else "such as --flops 5.76e23")
            )
        if self.gpu is None and alone:
            raise RequestError(f"{alone[0]} is read with --gpu only: --gpu h100 in place of {given[0]}, or drop it")
        self._check_experts()

    def _check_experts(self) -> None:
        """What is of mixtures of experts is asked of them, and of a budget of FLOPs."""
        if self.experts is None:
            alone = [spelled(name) for name in ("active_share", "memory_gb") if name in self.given]
            if alone:
                raise RequestError(
                    f"{alone[0]} is read with --experts only: add it, such as --experts 64, or drop {alone[0]}"
                )
            return
        if self.flops is None and self.gpu is None:
            raise RequestError("--experts is read with --flops or --gpu, which set a budget: give one of them")
        if self.unique_tokens is not None:
            raise RequestError("--unique-tokens is read by laws of dense models: leave it out, or --experts")
        if self.active_share is not None and self.experts == "any":
            raise RequestError(
                "--experts any chooses the share of the experts too: give a number of experts, or drop --active-share"
            )
        if self.active_share is not None and isinstance(self.experts, int) and self.active_share * self.experts < 1:
            raise RequestError(
                f"--active-share of {float(self.active_share):g} is less than one of {self.experts} experts: give at least "
                f"1/{self.experts}"
            )

    @property
    def mixtures(self) -> Wanted:
        """The experts that are asked for, and what they are to be trained and served within."""
        from tscale.core.laws.experts_best import Limits
        from tscale.estimates.optimal_experts import Wanted

        memory = None if self.memory_gb is None else float(self.memory_gb) * 1e9
        share = None if self.active_share is None else float(self.active_share)
        limits = Limits(self.budget.amount, self.inference_tokens or 0, memory)
        return Wanted(self.experts if isinstance(self.experts, int) else None, share, limits)

    @cached_property
    def budget(self) -> Budget:
        """The FLOPs, parameters or tokens that are given, or what the hardware computes."""
        from tscale.estimates.budget import Machines, amount_given, on_machines

        if self.gpu is not None:
            machines = Machines(self.gpus, self.days, self.dollars, self.price, self.mfu)
            return on_machines(hardware_of(self.gpu, self.gpu_set), machines)
        if self.flops is not None:
            return amount_given("flops", self.flops)
        if self.params is not None:
            return amount_given("params", self.params)
        assert self.tokens is not None
        return amount_given("tokens", self.tokens)


def analyze(ask: Ask) -> Report:
    """The optimum of each law."""
    from tscale.answers.optimal.answer import optimal_report

    if ask.experts is not None:
        from tscale.answers.optimal.experts import optimal_experts_report

        return optimal_experts_report(ask.budget, list(ask.law), ask.mixtures, explain=ask.explain)
    return optimal_report(ask.budget, list(ask.law), ask.unique_tokens, ask.inference_tokens, explain=ask.explain)


def figures(ask: Ask) -> Data:
    """The figures of the answer by their keys, without its lists: what a row of a sweep holds."""
    if ask.experts is not None:
        from tscale.answers.optimal.experts import optimal_experts_figures

        return optimal_experts_figures(ask.budget, list(ask.law), ask.mixtures)
    from tscale.answers.optimal.answer import optimal_figures

    return optimal_figures(ask.budget, list(ask.law), ask.unique_tokens, ask.inference_tokens)


def plots(ask: Ask) -> Sequence[Plot]:
    """The loss of each law over the parameters of one budget, and its optima over the budget."""
    if ask.experts is not None:
        from tscale.answers.optimal.experts import optimal_experts_plot

        return [optimal_experts_plot(ask.budget, list(ask.law), ask.mixtures)]
    from tscale.answers.plots.optimal import optimal_plots

    return optimal_plots(ask.budget, list(ask.law), ask.unique_tokens, ask.inference_tokens)
