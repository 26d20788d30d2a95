"""Laws of hyper-parameters: the learning rate and the batch size with which a run reaches its least loss.

All are products of powers of what a run is: parameters N, tokens D, training FLOPs C = 6·N·D or as the law counts them, the loss
L, and tokens for each parameter, TPP. Kaplan 2020's learning rate is a line in ln N.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Final, NamedTuple


class Of(NamedTuple):
    """What a law is asked about; the loss only of laws that take it."""

    params: float
    tokens: float
    flops: float
    loss: float | None = None


class Hyper(NamedTuple):
    """A law of hyper-parameters by its constants: `lr` times the powers `lr_N`, `lr_D` and `lr_C`, and others like it."""

    constants: Mapping[str, float]
    sequence: int | None = None
    """Tokens of a sequence, where batches are counted in sequences."""

    def learning_rate(self, of: Of) -> float | None:
        """The peak learning rate; None where the law has none."""
        if "lr_log_N" in self.constants:
            return self.constants["lr"] + self.constants["lr_log_N"] * log(of.params)
        return self._product("lr", of)

    def batch(self, of: Of) -> float | None:
        """Tokens of the batch with which the loss is least; None where the law has none."""
        return self._in_tokens(self._product("batch", of))

    def critical(self, of: Of) -> float | None:
        """Tokens of the batch beyond which more devices hardly train faster; None where the law has none."""
        return self._in_tokens(self._product("critical", of))

    def timescale(self, of: Of) -> float | None:
        """B/(lr·weight decay·D), the share of a run that AdamW averages over; None where the law has none."""
        return self._product("tau", of)

    def needs_loss(self) -> bool:
        """Whether it asks for the loss of the run."""
        return any(name.endswith("_L") for name in self.constants)

    def _in_tokens(self, batch: float | None) -> float | None:
        return batch if batch is None or self.sequence is None else batch * self.sequence

    def _product(self, name: str, of: Of) -> float | None:
        if name not in self.constants:
            return None
        value = self.constants[name]
        for variable, amount in _variables(of).items():
            exponent = self.constants.get(f"{name}_{variable}")
            if exponent is not None:
                assert amount is not None, "a loss is given to a law that asks for one"
                value *= amount**exponent
        return value


def _variables(of: Of) -> dict[str, float | None]:
    return {"N": of.params, "D": of.tokens, "C": of.flops, "L": of.loss, "TPP": of.tokens / of.params}


_OF: Final = {
    "lr": ("N", "D", "C", "log_N"),
    "batch": ("N", "D", "C"),
    "critical": ("N", "D", "C", "L"),
    "tau": ("TPP",),
}
TERMS: Final = tuple(name for term, powers in _OF.items() for name in (term, *(f"{term}_{power}" for power in powers)))
"""The constants that such a law may have."""
