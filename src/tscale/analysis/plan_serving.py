"""What is varied of deployments: the fields that only `plan --serve` has."""

from __future__ import annotations

from dataclasses import dataclass

from tscale.analysis.request import Request


@dataclass(frozen=True, kw_only=True)
class ServingAxes(Request):
    """The load, its targets, and the axes of its deployments."""
