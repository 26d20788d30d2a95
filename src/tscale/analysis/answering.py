"""How a function of the public API comes to its answer; `tscale.api` has the functions themselves."""

from __future__ import annotations

from typing import Any

from tscale.analysis.questions import question
from tscale.analysis.request import file_name
from tscale.analysis.respelled import Respelled
from tscale.analysis.result import Answered, Result


def is_counted(model: object) -> bool:
    """Whether this is a ledger, or a spec whose sizes are not plain ints."""
    from tscale.core.ledger import Ledger
    from tscale.core.tracing import TracedInt
    from tscale.models.made import arrays_in
    from tscale.models.spec import ModelSpec

    if isinstance(model, ModelSpec):
        return isinstance(model.layers, TracedInt) or bool(arrays_in(model))
    return isinstance(model, Ledger)


def answer(name: str, given: dict[str, Any]) -> Result:
    """The answer to a question; `given`: the arguments of a function by name."""
    return Result(answered(name, given))


def answered(name: str, given: dict[str, Any]) -> Answered:
    """A question asked and answered."""
    from tscale.analysis.system import with_system

    system = given.pop("system", None)
    with Respelled():
        asked = question(name)
        if system is not None:
            given = with_system(asked.ask, given, file_name(system, "--system"))
        request = asked.made(given)
        return Answered(asked, request, asked.analyze(request))
