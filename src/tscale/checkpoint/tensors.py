"""What every reader of weights gives: the tensors of a checkpoint by name, type and shape, and the bytes they take."""

from __future__ import annotations

from math import prod
from typing import NamedTuple


class Tensor(NamedTuple):
    """One tensor, as a header describes it; `size` in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


class Weights(NamedTuple):
    """The tensors of a checkpoint, the files they lie in, and what those take on disk, headers included."""

    tensors: tuple[Tensor, ...]
    files: int
    bytes_on_disk: int
