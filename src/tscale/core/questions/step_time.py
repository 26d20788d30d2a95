"""What a parallel plan makes of a training step: what its devices compute, wait for and send, each at its best.

Times are exact fractions of a second at the dense peak and at the full bandwidth of the links, so that each is the least
that it can be. The bubble of a pipeline of p stages, each of v pieces, over m micro-batches is (p - 1)/(v·m) of the time of
all of them (Narayanan 2021, section 2.2).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final, NamedTuple

from tscale.core.device import Cluster
from tscale.core.ledger import Ledger
from tscale.core.numbers import ceil_div
from tscale.core.plan import Plan
from tscale.core.questions.communication import all_reduce, bandwidth, gradient_bytes, tensor_sums
from tscale.core.questions.forward import forward_flops
from tscale.core.questions.wall_time import Recompute, hardware_flops_ratio
from tscale.core.run import Run
from tscale.core.shard import shard
from tscale.errors import RequestError

SOURCE: Final = "narayanan2021 sections 2 and 3"

WIDTH: Final = 2
"""Bytes of a number that is sent: activations and gradients go in 16 bits."""


class Batch(NamedTuple):
    """Sequences that a step is of, and those that a device takes at a time."""

    sequences: int
    micro: int

    def micro_batches(self, plan: Plan) -> int:
        """Micro-batches that run through each copy of the model in a step. Raises `RequestError` where they do not divide."""
        each = plan.data * self.micro
        if self.sequences % each:
            raise RequestError(
                f"a batch of {self.sequences} is not {plan.data} copies of the model by micro-batches of {self.micro}: "
                f"make it a multiple of {each}"
            )
        return self.sequences // each


class Part(NamedTuple):
    """One thing that a step takes: the bytes that a device sends for it, and the least time."""

    name: str
    seconds: Fraction
    sent: int | None = None


def step_parts(
    stages: tuple[Ledger, ...],
    d_model: int,
    run: Run,
    plan: Plan,
    batch: Batch,
    cluster: Cluster,
    peak: int,
    recompute: Recompute,
    *,
    side_by_side: bool = False,
) -> tuple[Part, ...]:
    """What a step of a plan takes on the device that takes longest: computing, the bubble, and what is sent.

    `stages`: the ledgers of the pipeline's stages, whole, which hand over `d_model` numbers a token. `side_by_side`: as in
    `tensor_sums`. Raises `RequestError` where degrees do not divide the model or
    the batch, and where a link that the plan needs is not known.
    """
    many = batch.micro_batches(plan)
    shares = [shard(stage, plan) for stage in stages]
    flops = [forward_flops(share, run).total * hardware_flops_ratio(share, run, recompute) for share in shares]
    computing = Fraction(max(3 * of_stage for of_stage in flops)) * batch.micro * many / peak
    parts = [Part("computing", computing)]
    if plan.pipeline > 1:
        parts.append(Part("pipeline bubble", computing * (plan.pipeline - 1) / (plan.interleave * many)))
    if plan.tensor > 1:
        passes = 3 if recompute == "full" else 2
        summed = max(tensor_sums(share, run, WIDTH, side_by_side=side_by_side).total for share in shares) * batch.micro
        sent = all_reduce(summed, plan.tensor) * passes * many
        parts.append(Part("tensor-parallel sums", sent / Fraction(bandwidth(cluster, plan.tensor)), sent))
    if plan.pipeline > 1:
        handed = _hand_overs(plan) * many * batch.micro * run.tokens * int(d_model) * WIDTH
        sent = ceil_div(handed, plan.tensor)  # each a part of it (Narayanan 2021, section 4.1)
        parts.append(Part("hand-over to the next stage", sent / Fraction(bandwidth(cluster, plan.devices)), sent))
    if plan.data > 1:
        sent = max(gradient_bytes(share, plan, many, WIDTH).total for share in shares)
        parts.append(Part("gradients", sent / Fraction(bandwidth(cluster, plan.tensor * plan.data)), sent))
    return tuple(parts)


def _hand_overs(plan: Plan) -> int:
    """How often the busiest stage hands on what it made of a micro-batch: once forward and once backward for each piece.

    Of two stages neither stands between others: the first has nobody to hand its first piece's gradients to, and the last
    nobody to hand its last piece's outputs to.
    """
    return 2 * plan.interleave - (plan.pipeline == 2)
