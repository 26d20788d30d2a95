"""`plan`: the best layout for training, or the right deployment for serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from tscale.analysis import options
from tscale.analysis.axes import varied
from tscale.analysis.of_model import OfModel, hardware_of
from tscale.analysis.plan_serving import ServingAxes, check_serving, serving_plan
from tscale.analysis.plan_training import TrainingAxes
from tscale.analysis.request import Option, asked, file_name, spelled
from tscale.errors import RequestError

if TYPE_CHECKING:
    from tscale.answers.plan_serve_search import ServingPlan
    from tscale.catalogue.hardware import Hardware
    from tscale.core.axis import Axis
    from tscale.core.metric import Report
    from tscale.core.plot import Plot

MOST_CHIPS: Final = 20


@dataclass(frozen=True, kw_only=True)
class Ask(ServingAxes, TrainingAxes, OfModel):
    """Find the best layout for training, or for serving.

    An axis takes one value, a list such as 1,2,4, or a range such as 1..8 or 64..4096*2.
    """

    command = "plan"

    train: bool = asked(Option("Search the layouts of training.", kind="flag"), False)
    serve: bool = asked(Option("Search the deployments of serving.", kind="flag"), False)
    gpu: str | Hardware | Mapping[str, Any] | Sequence[str | Hardware | Mapping[str, Any]] | None = asked(
        options.GPU._replace(help="Name the hardware, or several: h100,h200,b200.", metavar="NAMES", many=True)
    )
    compare: str | None = asked(
        Option(
            "Compare the system in this file, which --save wrote, with that in the file MODEL.", "FILE", options.file
        )
    )
    gpu_set: tuple[str, ...] = asked(options.GPU_SET, ())
    gpus: Axis | None = asked(varied(options.GPUS, "Set the number of devices, or several: 64..4096*2."))
    batch: Axis | None = asked(
        varied(
            options.STEP_BATCH,
            "Set the sequences of a step; with --serve, limit those that a copy decodes concurrently.",
        )._replace(heading="")
    )
    rank: str | None = asked(Option("Rank by time, dollars or throughput.", choices=("time", "dollars", "throughput")))
    top: int = asked(Option("Set how many of the best are listed.", "N", options.degree), 10)
    price: Fraction | None = asked(options.PRICE)
    memory_share: Fraction | None = asked(
        Option(
            "Set the usable share of the memory, such as 90%, instead of a reserve.",
            "SHARE",
            options.share("the memory"),
        )
    )
    tensor: Axis | None = asked(varied(options.TENSOR, "Vary the devices that share each layer (tensor parallelism)."))
    pipeline: Axis | None = asked(
        varied(options.PIPELINE, "Vary the stages that share the layers (pipeline parallelism).")
    )
    expert: Axis | None = asked(
        varied(options.EXPERT, "Vary the devices that routed experts are divided over (expert parallelism).")
    )
    expert_tensor: Axis | None = asked(
        varied(options.EXPERT_TENSOR, "Vary the devices that share each routed expert (expert tensor parallelism).")
    )

    def check(self) -> None:
        """One of both is searched, and nothing is given that is of the other."""
        if self.compare is not None:
            self._check_compared()
            return
        if self.gpu is None:
            raise RequestError("Missing option '--gpu': see `tscale plan -h`")
        if self.train == self.serve:
            both = "give one of them, not both" if self.train else "give one of them"
            raise RequestError(f"plan searches layouts of --train or of --serve: {both}")
        other, kind = (ServingAxes, "serving") if self.train else (TrainingAxes, "training")
        for one in fields(other):
            if one.name in self.given and self.given[one.name] is not False:
                raise RequestError(
                    f"{spelled(one.name)} is of {kind}: drop it, or give --{'serve' if self.train else 'train'} instead"
                )
        if self.serve:
            check_serving(self)

    def _check_compared(self) -> None:
        """Raises `RequestError` where more is given than two systems and the question."""
        for name in self.given:
            if name not in ("model", "compare", "train", "serve") and self.given[name] is not False:
                raise RequestError(
                    f"--compare is of two files alone, `plan --compare A.yaml B.yaml`: drop {spelled(name)}"
                )
        if self.train and self.serve:
            raise RequestError("--compare asks one question of both files: give --train or --serve, not both")

    @cached_property
    def deployments(self) -> ServingPlan:
        """What is searched with --serve. Raises `TscaleError` for what is none, and where too much varies."""
        return serving_plan(self)

    @cached_property
    def chips(self) -> tuple[Hardware, ...]:
        """The hardware, each kind once. Raises `TscaleError` for a name that means none."""
        given = self.gpu
        named: Sequence[Any] = (
            [part.strip() for part in given.split(",")]
            if isinstance(given, str)
            else [given]
            if isinstance(given, Mapping) or not isinstance(given, Sequence)
            else given
        )
        if len(named) > MOST_CHIPS:
            raise RequestError(f"--gpu names {len(named):,} kinds of hardware: at most {MOST_CHIPS}")
        return tuple(dict.fromkeys(hardware_of(one, self.gpu_set) for one in named))


def analyze(ask: Ask) -> Report:
    """The layouts or deployments ranked, and why others are not among them; or two systems compared."""
    if ask.compare is not None:
        from tscale.analysis.plan_compare import compared

        asked_for = "train" if ask.train else "serve" if ask.serve else None
        return compared(ask.compare, file_name(ask.model, "model"), asked_for)
    if ask.train:
        from tscale.answers.plan_train import plan_train_report

        return ask.assumed(plan_train_report(ask))
    from tscale.answers.plan_serve import plan_serve_report

    return ask.assumed(plan_serve_report(ask.deployments))


def plots(ask: Ask) -> Sequence[Plot]:
    """Of serving, the Pareto front of tokens/s of a device against those of a user."""
    if ask.train or ask.compare is not None:
        return ()
    from tscale.answers.plots.plan_serve import plan_serve_plot

    return [plan_serve_plot(ask.deployments)]
