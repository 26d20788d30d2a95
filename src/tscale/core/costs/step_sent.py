"""What devices send one another in a training step, in seconds at their best: of what `tscale.core.costs.step_work` is made.

Links are taken as NCCL uses them, t = start + bytes/(share·link): on A100 it starts in 36 µs and 6 more a rank, and moves 64%, 73%
and 76% of a link's bandwidth in an all-reduce on 2, 4 and 8 ranks (tables that vTrain profiled). NICs are at their full
bandwidth: how much of it is used is a constant of the calibration.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final, NamedTuple

from tscale.core.adding import in_order
from tscale.core.costs.collectives import NOTHING, Group, Least, Level, exchange, group, link_of, nics_of
from tscale.core.costs.communication import gradients, tensor_sums
from tscale.core.costs.step_products import WIDTH, Case, tokens_of
from tscale.core.device import Cluster
from tscale.core.ledger import Cache, Ledger, Matmul, Scores
from tscale.core.parallelism import Parallelism

_IN_ALL: Final = 2
"""Activations are handed on forward, and their gradients back."""


class Sent(NamedTuple):
    """What is sent: seconds in which collectives start, then those over the link, as NCCL uses it, and over the NICs at their best."""

    start: float = 0.0
    link: float = 0.0
    network: float = 0.0

    def times(self, many: float) -> Sent:
        """As much, so many times."""
        return Sent(*(many * part for part in self))


START, START_A_RANK = 36e-6, 6e-6
"""Seconds that a collective takes whatever it sends: NCCL on A100, of the tables of vTrain (48, 60 and 85 µs on 2, 4, 8 ranks)."""


def link_share(ranks: int) -> float:
    """What NCCL moves of a link's bandwidth in an all-reduce over so many ranks of a node: A100, of the same tables."""
    return 0.64 if ranks <= 2 else 0.73 if ranks <= 4 else 0.76


def sent(least: Least, ranks: Group, times: float) -> Sent:
    """Collectives over a group whose least time all together is known, started so many times."""
    start = times * (START + START_A_RANK * int(ranks.ranks))
    return Sent(start, float(least.link.seconds) / link_share(int(ranks.inside)), float(least.network.seconds))


def sums_of(share: Ledger, plan: Parallelism, case: Case, cluster: Cluster) -> Sent:
    """Sums over tensor-parallel devices of one forward pass, one for each sub-layer."""
    if plan.tensor == 1:
        return Sent()
    summed = tensor_sums(share, case.run, WIDTH, parallel_block=case.parallel_block).total * case.micro / plan.context
    cuts = (entry for entry in share.entries if isinstance(entry, Matmul) and entry.cut is not None)
    times = in_order(
        float(entry.used) for entry in cuts if entry.cut is not None and entry.cut.axis == "in" and entry.experts == 1
    )
    ranks = group(cluster, plan.tensor)
    return sent(exchange(cluster, ranks, round(summed), round(summed)), ranks, times)


def keys_of(share: Ledger, plan: Parallelism, case: Case, cluster: Cluster) -> Sent:
    """Keys and values that go round a ring of context-parallel devices (Liu 2023): forward, and backward with their gradients.

    Each device meets those of all others, c - 1 times a part of the sequence, and once more where layers are computed again; as
    many numbers for each position as its cache would have, or those that latents are spread out to.
    """
    if plan.context == 1:
        return Sent()
    widths = {(e.block, e.slot): float(e.width) for e in share.entries if isinstance(e, Cache)}
    whole = times = 0.0
    for entry in share.entries:
        if isinstance(entry, Scores):
            spread = float(entry.heads * (entry.d_qk + entry.d_v))
            cached = None if entry.decoded else widths.get((entry.block, entry.cache or 0))
            width = spread if cached is None else cached
            whole += float(entry.used) * case.micro * int(case.run.length(entry.keys)) * width * WIDTH
            times += float(entry.used)
    ranks = group(cluster, plan.context, plan.tensor)
    forward = 2 if case.again == "full" else 1
    least = exchange(cluster, ranks, round(whole), round((forward + 1) * whole))
    return sent(least, ranks, (forward + 2) * times)


def dispatches_of(share: Ledger, plan: Parallelism, case: Case, cluster: Cluster) -> Sent:
    """Tokens sent to their experts and back, forward and backward: over the NICs once to each node that has one of them.

    A node of N is not one of a token's e experts' with probability (1 - 1/N)^e, where all are as likely. Experts are spread over
    neighbours, whether tensor parallelism cuts them or not.
    """
    routed = [e for e in share.entries if isinstance(e, Matmul) and e.experts > 1 and e.role == "up"]
    if plan.expert == 1 or not routed:
        return Sent()
    ranks = group(cluster, plan.expert * plan.tensor)
    link = network = times = 0.0
    for entry in routed:
        layers = entry.stored // entry.experts
        copies = float(entry.used / layers)
        once = 4 * layers * tokens_of(entry, plan, case) * entry.d_in * WIDTH / plan.tensor
        link += once * copies * (1 - 1 / ranks.ranks)
        network += once * _other_nodes(ranks, copies)
        times += 4.0 * layers
    within = Level(Fraction(link), link_of(cluster, ranks.inside)) if ranks.inside > 1 else NOTHING
    bytes_of_node = Fraction(network * cluster.devices_per_node)
    beyond = Level(bytes_of_node, nics_of(cluster, ranks.ranks)) if ranks.nodes > 1 else NOTHING
    return sent(Least(within, beyond), ranks, times)


def _other_nodes(ranks: Group, copies: float) -> float:
    """Nodes beside its own that a token is sent to, in expectation."""
    nodes = float(ranks.nodes)
    return (nodes - 1) * (1 - float((1 - 1 / nodes) ** copies))


def handed_of(plan: Parallelism, case: Case, cluster: Cluster) -> Sent:
    """Activations handed to the next stage and their gradients back, by each device its part of them."""
    if plan.pipeline == 1:
        return Sent()
    tokens = case.micro * int(case.run.tokens) / plan.context
    handed = _IN_ALL * plan.interleave * tokens * case.d_model * WIDTH / plan.tensor
    if plan.devices // plan.pipeline < cluster.devices_per_node:
        return Sent(0.0, handed / (link_of(cluster, 2) * link_share(2)), 0.0)
    return Sent(0.0, 0.0, cluster.devices_per_node * handed / nics_of(cluster, plan.devices))


def copies_of(share: Ledger, plan: Parallelism, case: Case, cluster: Cluster) -> tuple[Sent, Sent]:
    """What the copies of a stage exchange in a step: gradients once, and weights that are gathered each time they are used."""
    found = [Sent(), Sent()]
    ranks = plan.data * plan.context
    if ranks == 1:
        return found[0], found[1]
    for one in gradients(share, plan, case.micro_batches, 8 * WIDTH, 8 * WIDTH):
        among = group(cluster, one.copies, plan.tensor * (ranks // one.copies))
        more = sent(exchange(cluster, among, one.scattered, one.gathered), among, 0.0)
        place = int(plan.zero == 3)
        found[place] = Sent(*(a + b for a, b in zip(found[place], more, strict=True)))
    return found[0], found[1]
