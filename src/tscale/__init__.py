"""What does a transformer cost? Parameters, attention, FLOPs and memory: exactly, with the derivation and the source.

A function a question, with the options of the command line as keywords; each gives a `Result`:

>>> import tscale
>>> tscale.params("gpt3").total
174604259328
>>> tscale.memory("llama-3.1-8b", gpu="h100", batch=16, context="8k").verdict
'fits'

`to_dict` has all of an answer, as the command's JSON; `to_frame` its main table; `explain` how each figure was made.
"""

from __future__ import annotations

import builtins as _builtins
import typing as _typing

if _typing.TYPE_CHECKING:
    from tscale.analysis.result import Result as Result
    from tscale.api import accuracy as accuracy
    from tscale.api import attention as attention
    from tscale.api import calibrate as calibrate
    from tscale.api import check as check
    from tscale.api import compare as compare
    from tscale.api import design as design
    from tscale.api import fit as fit
    from tscale.api import flops as flops
    from tscale.api import hardware as hardware
    from tscale.api import hyper as hyper
    from tscale.api import list as list
    from tscale.api import loss as loss
    from tscale.api import memory as memory
    from tscale.api import optimal as optimal
    from tscale.api import params as params
    from tscale.api import plan as plan
    from tscale.api import serve as serve
    from tscale.api import summary as summary
    from tscale.api import train as train
    from tscale.api import verify as verify
    from tscale.core.ledger import Ledger as Ledger
    from tscale.counting import SequenceLengths as SequenceLengths
    from tscale.counting import active_params as active_params
    from tscale.counting import cache_bytes as cache_bytes
    from tscale.counting import forward_flops as forward_flops
    from tscale.counting import load as load
    from tscale.counting import lower as lower
    from tscale.counting import non_embedding_params as non_embedding_params
    from tscale.counting import run_of as run_of
    from tscale.counting import traced as traced
    from tscale.counting import training_flops as training_flops
    from tscale.errors import TscaleError as TscaleError
    from tscale.models.spec import ModelSpec as ModelSpec
    from tscale.sweeping.table import sweep as sweep

_HOMES = {
    "ModelSpec": "models.spec",
    "Result": "analysis.result",
    "TscaleError": "errors",
    "accuracy": "api",
    "attention": "api",
    "calibrate": "api",
    "check": "api",
    "compare": "api",
    "design": "api",
    "fit": "api",
    "flops": "api",
    "hardware": "api",
    "hyper": "api",
    "list": "api",
    "load": "counting",
    "loss": "api",
    "memory": "api",
    "optimal": "api",
    "params": "api",
    "plan": "api",
    "serve": "api",
    "summary": "api",
    "sweep": "sweeping.table",
    "train": "api",
    "verify": "api",
}
_OF_LEDGERS = {
    "Ledger": "core.ledger",
    "SequenceLengths": "counting",
    "active_params": "counting",
    "cache_bytes": "counting",
    "forward_flops": "counting",
    "lower": "counting",
    "non_embedding_params": "counting",
    "traced": "counting",
    "run_of": "counting",
    "training_flops": "counting",
}
"""What counts on ledgers, traced ints and arrays: below the questions, and not offered by completion."""

_OLD_NAMES = {"Run": "SequenceLengths", "remembered": "traced"}
"""Names of the version before, which keep working."""

__all__ = sorted(_HOMES)  # noqa: PLE0605 (the names are those of the table above)


def __dir__() -> _builtins.list[str]:
    """What completion offers: the public names and the version."""
    return [*__all__, "__version__"]


def __getattr__(name: str) -> _typing.Any:
    """Each public name from its home, imported when it is first asked for; and the version."""
    from importlib import import_module, metadata

    if name == "__version__":
        return metadata.version("tscale")
    new = _OLD_NAMES.get(name, name)
    home = _HOMES.get(new) or _OF_LEDGERS.get(new)
    if home is None:
        raise AttributeError(f"module 'tscale' has no attribute '{name}'")
    found = getattr(import_module(f"tscale.{home}"), new)
    globals()[name] = found
    return found
