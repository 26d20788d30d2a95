"""How a model is deployed to serve: engine, layout, pools, and what was measured of it. No arithmetic."""

from __future__ import annotations

from fractions import Fraction
from typing import Final, Literal, NamedTuple

from tscale.core.serving_layout import ServingLayout

Engine = Literal["trtllm", "sglang", "vllm"]
USUAL: Final[Engine] = "vllm"
"""The engine that is predicted where none is named."""


class OneRun(NamedTuple):
    """A measured run of the same deployment and lengths: requests at once, and seconds of an output token and to the first token."""

    concurrency: int
    tpot: Fraction | None = None
    ttft: Fraction | None = None


class Deployment(NamedTuple):
    """How a model is served in steady state.

    `layout`: degrees, None for tensor parallelism over all devices. `prefill`: those of a pool of its own for prompts; then `layout`
    is the pool that decodes. `rate`: requests a second that come, in place of so many at once. `bound`: bounds alone are asked for.
    `chunk`: tokens that a step takes at most, 0 for the engine's own default.
    """

    engine: Engine = USUAL
    version: str = ""
    layout: ServingLayout | None = None
    prefill: ServingLayout | None = None
    rate: Fraction | None = None
    measured: OneRun | None = None
    bound: bool = False
    calibration: str = ""
    """A file of groups' deviations, made of one's own runs; empty for what is shipped."""
    chunk: int = 0

    @property
    def is_laid_out(self) -> bool:
        """Whether it is more than tensor parallelism over all devices."""
        return self.prefill is not None or (self.layout is not None and not self.layout.is_tensor_alone)
