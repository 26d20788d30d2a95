"""`params`: the parameters of models, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tscale.analysis import options
from tscale.analysis.of_model import specs_of
from tscale.analysis.request import Request, asked

if TYPE_CHECKING:
    from tscale.core.metric import Report
    from tscale.models.spec import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Ask(Request):
    """Count the parameters of each model, part by part.

    They are compared with what was published.
    """

    command = "params"

    models: tuple[str | ModelSpec | Mapping[str, Any], ...] = asked(options.MODELS, (), required=True)
    set: tuple[str, ...] = asked(options.SET, ())
    assume: str | None = asked(options.ASSUME)


def analyze(ask: Ask) -> Report:
    """Counted and published parameters of each."""
    from tscale.answers.params import params_report

    return params_report(specs_of(ask.models, ask.set, ask.assume))
