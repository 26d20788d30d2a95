"""`tscale plan --serve`: the deployment that meets targets with the fewest devices or dollars."""

from __future__ import annotations

from tscale.core.metric import Report
from tscale.errors import RequestError


def plan_serve_report(ask: object) -> Report:
    """Raises `RequestError`: deployments are not searched yet."""
    del ask
    raise RequestError("plan --serve is not there yet: `tscale serve` predicts one deployment at a time")
