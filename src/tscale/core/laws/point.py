"""A run as a law sees it."""

from __future__ import annotations

from typing import NamedTuple


class Point(NamedTuple):
    """A run: its parameters, training tokens and training FLOPs, and the loss in nats a token where the law has one."""

    params: float
    tokens: float
    flops: float
    loss: float | None = None
