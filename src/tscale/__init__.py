"""What does a transformer cost? Parameters, attention, FLOPs and memory: exactly, with the derivation and the source.

>>> import tscale
>>> spec = tscale.load("gpt3")
>>> tscale.params(spec).total
174604259328
>>> tscale.training_flops(spec, tscale.run_of(spec, 2048), tokens=300 * 10**9)
322912029081600000000000

`run_of` puts the tokens of a sequence where a model of any kind reads them; a `ledger = tscale.lower(spec)` stands for the
spec where many questions are asked of one model.
"""

from __future__ import annotations

import typing as _typing

if _typing.TYPE_CHECKING:
    from tscale.api import Run as Run
    from tscale.api import active_params as active_params
    from tscale.api import cache_bytes as cache_bytes
    from tscale.api import forward_flops as forward_flops
    from tscale.api import load as load
    from tscale.api import lower as lower
    from tscale.api import non_embedding_params as non_embedding_params
    from tscale.api import params as params
    from tscale.api import remembered as remembered
    from tscale.api import run_of as run_of
    from tscale.api import training_flops as training_flops
    from tscale.core.ledger import Ledger as Ledger
    from tscale.errors import TscaleError as TscaleError
    from tscale.models.spec import ModelSpec as ModelSpec

_HOMES = {
    "Ledger": "core.ledger",
    "ModelSpec": "models.spec",
    "Run": "api",
    "TscaleError": "errors",
    "active_params": "api",
    "cache_bytes": "api",
    "forward_flops": "api",
    "load": "api",
    "lower": "api",
    "non_embedding_params": "api",
    "params": "api",
    "remembered": "api",
    "run_of": "api",
    "training_flops": "api",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 (the names are those of the table above)


def __dir__() -> list[str]:
    """What completion offers: the public names and the version."""
    return [*__all__, "__version__"]


def __getattr__(name: str) -> _typing.Any:
    """Each public name from its home, imported when it is first asked for; and the version."""
    from importlib import import_module, metadata

    if name == "__version__":
        return metadata.version("tscale")
    if name not in _HOMES:
        raise AttributeError(f"module 'tscale' has no attribute '{name}'")
    found = getattr(import_module(f"tscale.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
