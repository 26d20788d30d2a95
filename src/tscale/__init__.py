"""What does a transformer cost? Parameters, attention, FLOPs and memory: exactly, with the derivation and the source.

>>> import tscale
>>> ledger = tscale.lower(tscale.load("gpt3"))
>>> tscale.params(ledger).total
174604259328
>>> tscale.training_flops(ledger, tscale.Run(target=2048), tokens=300 * 10**9)
322912029081600000000000
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tscale.core.ledger import Ledger as Ledger
    from tscale.core.questions.cache import cache_bytes as cache_bytes
    from tscale.core.questions.forward import forward_flops as forward_flops
    from tscale.core.questions.params import active_params as active_params
    from tscale.core.questions.params import non_embedding_params as non_embedding_params
    from tscale.core.questions.params import params as params
    from tscale.core.questions.training import training_flops as training_flops
    from tscale.core.run import Run as Run
    from tscale.errors import TscaleError as TscaleError
    from tscale.spec.lower import lower as lower
    from tscale.spec.model import ModelSpec as ModelSpec
    from tscale.spec.model import remembered as remembered
    from tscale.spec.resolve import resolve

    load = resolve

_HOMES = {
    "Ledger": "core.ledger",
    "ModelSpec": "spec.model",
    "Run": "core.run",
    "TscaleError": "errors",
    "active_params": "core.questions.params",
    "cache_bytes": "core.questions.cache",
    "forward_flops": "core.questions.forward",
    "load": "spec.resolve",
    "lower": "spec.lower",
    "non_embedding_params": "core.questions.params",
    "params": "core.questions.params",
    "remembered": "spec.model",
    "training_flops": "core.questions.training",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 (the names are those of the table above)


def __getattr__(name: str) -> Any:
    """Each public name from its home, imported when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tscale' has no attribute '{name}'")
    home = import_module(f"tscale.{_HOMES[name]}")
    return getattr(home, "resolve" if name == "load" else name)
