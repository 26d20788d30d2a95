"""What a run computes again, by its policy: of whole models and of stages, all layers or some of them."""

from __future__ import annotations

from typing import NamedTuple

from tscale.core.costs.wall_time import Recompute
from tscale.core.ledger import Ledger
from tscale.core.parallelism import Parallelism
from tscale.core.recompute import Again
from tscale.models.spec import ModelSpec
from tscale.models.stages import recomputed_stages


class Recomputed(NamedTuple):
    """A policy, and of each stage of a plan the layers that it is about; None where these are all."""

    policy: Recompute = "none"
    stages: tuple[Ledger, ...] | None = None

    def parts(self, whole: Ledger) -> tuple[Ledger, ...]:
        """The layers that a policy is about, of a whole model."""
        return (whole,) if self.stages is None else self.stages


def recomputed(
    spec: ModelSpec, whole: Ledger, policy: Recompute, again: Again | None, plan: Parallelism | None
) -> Recomputed:
    """What a policy is about. Raises `RequestError` for layers that there are none of.

    `again`: the layers of each stage, where these are not all; without a plan there is one stage.
    """
    if again is None or not again.of_some:
        return Recomputed(policy)
    of_stages = recomputed_stages(spec, plan or Parallelism(), again, whole)
    return Recomputed(again.policy, tuple(chosen for chosen, _ in of_stages))
