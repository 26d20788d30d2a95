"""`summary`: what a model is and costs on one screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tscale.analysis import options
from tscale.analysis.found import hardware_of
from tscale.analysis.of_model import OfModel
from tscale.analysis.request import asked
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.errors import RequestError

if TYPE_CHECKING:
    from tscale.catalogue.hardware import Hardware
    from tscale.core.metric import Data, Report


@spec_dataclass
class Ask(OfModel):
    """Show what a model is and costs on one screen."""

    command = "summary"

    gpu: str | Hardware | Mapping[str, Any] | None = asked(
        options.GPU._replace(help="Show fit, speed, hours and dollars on it.")
    )
    gpu_set: tuple[str, ...] = asked(options.GPU_SET, ())

    def check(self) -> None:
        """Changes of hardware need hardware."""
        if self.gpu is None and self.gpu_set:
            raise RequestError("--gpu-set is read with --gpu only: add it, or drop --gpu-set")


def analyze(ask: Ask) -> Report:
    """What is known of the model, disclosed or not, and what it needs of the hardware."""
    from tscale.answers.summary import summary_report

    return summary_report(ask.found, _hardware(ask))


def figures(ask: Ask) -> Data:
    """The figures of the answer by their keys, without its tables: what a row of a sweep holds."""
    from tscale.answers.summary import summary_figures

    return summary_figures(ask.found, _hardware(ask))


def _hardware(ask: Ask) -> Hardware | None:
    return None if ask.gpu is None else hardware_of(ask.gpu, ask.gpu_set)
