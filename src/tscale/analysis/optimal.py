"""`optimal`: the compute-optimal parameters and tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tscale.analysis import options
from tscale.analysis.of_model import hardware_of
from tscale.analysis.request import Option, Request, asked, spelled
from tscale.errors import RequestError

if TYPE_CHECKING:
    from tscale.answers.optimal import Budget
    from tscale.catalogue.hardware import Hardware
    from tscale.core.metric import Report
    from tscale.core.plot import Plot

_OF_GPU = ("gpus", "days", "dollars", "price", "mfu", "gpu_set")


@dataclass(frozen=True, kw_only=True)
class Ask(Request):
    """Show the compute-optimal parameters and tokens.

    Each scaling law has its own optimum for a budget of FLOPs, GPUs and days, or dollars.
    """

    command = "optimal"

    flops: int | None = asked(Option("Set the training FLOPs, such as 5.76e23.", "C", options.flops))
    params: int | None = asked(Option("Set the parameters, such as 7B.", "N", options.parameters))
    tokens: int | None = asked(options.TOKENS)
    gpu: str | Hardware | Mapping[str, Any] | None = asked(
        options.GPU._replace(help="Name the hardware of a budget in GPUs and days, or in dollars.")
    )
    gpus: int | None = asked(options.GPUS)
    days: Fraction | None = asked(options.DAYS._replace(help="Set how long the GPUs train."))
    dollars: Fraction | None = asked(
        Option("Set the US dollars for GPU-hours: 1e6.", "USD", options.number(10**15, "1e6"))
    )
    price: Fraction | None = asked(options.PRICE._replace(heading=""))
    mfu: Fraction | None = asked(options.MFU)
    unique_tokens: int | None = asked(options.UNIQUE)
    inference_tokens: int | None = asked(options.SERVED)
    law: tuple[str, ...] = asked(options.LAWS, ())
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

    @cached_property
    def budget(self) -> Budget:
        """The FLOPs, parameters or tokens that are given, or what the hardware computes."""
        from tscale.answers.budget import Machines, amount_given, on_machines

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
    from tscale.answers.optimal import optimal_report

    return optimal_report(ask.budget, list(ask.law), ask.unique_tokens, ask.inference_tokens, explain=ask.explain)


def plots(ask: Ask) -> Sequence[Plot]:
    """The loss of each law over the parameters of one budget, and its optima over the budget."""
    from tscale.answers.plots.optimal import optimal_plots

    return optimal_plots(ask.budget, list(ask.law), ask.unique_tokens, ask.inference_tokens)
