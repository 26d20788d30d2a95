"""`tscale plan --train`: the fastest layout of a training step, and why others are not faster or do not fit."""

from __future__ import annotations

from tscale.core.metric import Report
from tscale.errors import RequestError


def plan_train_report(ask: object) -> Report:
    """Raises `RequestError`: layouts are not searched yet."""
    del ask
    raise RequestError("plan --train is not there yet: `tscale train` predicts one layout at a time")
