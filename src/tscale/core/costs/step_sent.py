"""What devices send one another in a training step, in seconds at their best: of what `tscale.core.costs.step_work` is made.

Links are taken as NCCL uses them, t = start + bytes/(share·link): on A100 it starts in 36 µs and 6 more a rank, and moves 64%, 73%
and 76% of a link's bandwidth in an all-reduce on 2, 4 and 8 ranks (tables that vTrain profiled). NICs are at their full
bandwidth: how much of it is used is a constant of the calibration.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final, NamedTuple, cast

from tscale.core.adding import in_order
from tscale.core.costs.collectives import (
    NOTHING,
    Group,
    Least,
    Level,
    any_above_one,
    exchange,
    group,
    link_of,
    nics_of,
    nodes_in_a_row,
    nodes_met,
)
from tscale.core.costs.communication import BEYOND, ROUTED, Exchanged, gradients, tensor_sums
from tscale.core.costs.step_products import WIDTH, Case, tokens_of
from tscale.core.device import Cluster
from tscale.core.elementwise import smaller
from tscale.core.ledger import Block, Cache, Ledger, Lookup, Matmul, Scores
from tscale.core.parallelism import Parallelism
from tscale.core.roles import ADAPTERS
from tscale.core.sharding import is_expert
from tscale.core.tracing import (
    as_float,
    as_plain,
    ceil_div,
    is_array,
    is_nothing,
    is_one,
    maximum,
    minimum,
    where,
    whole,
)
from tscale.core.workload import SequenceLengths

WAYS: Final = 4
"""A token goes to its experts and back, and its gradient too."""
_IN_ALL: Final = 2
"""Activations are handed on forward, and their gradients back."""
_BY_HOST: Final = 2.0
"""Times that what goes through the host's memory crosses PCIe."""


class Sent(NamedTuple):
    """What is sent: seconds in which collectives start, then those over the link, as NCCL uses it, and over the NICs at their best."""

    start: float = 0.0
    link: float = 0.0
    network: float = 0.0

    def times(self, many: float) -> Sent:
        """As much, so many times."""
        return Sent(*(many * part for part in self))

    def more(self, other: Sent) -> Sent:
        """Both, one after the other."""
        return Sent(*(own + of_other for own, of_other in zip(self, other, strict=True)))


START, START_A_RANK = 36e-6, 6e-6
"""Seconds that a collective takes whatever it sends: NCCL on A100, of the tables of vTrain (48, 60 and 85 µs on 2, 4, 8 ranks)."""


DISPATCH, DISPATCH_A_RANK = 121e-6, 5.5e-6
"""The same of tokens that go once to each device: HybridEP on GB200 (deepseek-ai/DeepEP, branch hybrid-ep, docs/README_Hybrid-EP.md).

With 32 multiprocessors, 4,096 tokens of 7,168 numbers in bf16 take 573, 741, 834, 900 and 931 µs on 8, 16, 24, 32 and 36 ranks, the mean of
dispatch and combine by its Torch API, of which 408 to 613 are over the link as NCCL uses it.
"""


def link_share(ranks: int) -> float:
    """What NCCL moves of a link's bandwidth in an all-reduce over so many ranks of a node: A100, of the same tables."""
    share: float = where(ranks <= 2, 0.64, where(ranks <= 4, 0.73, 0.76))
    return share


def sent(least: Least, ranks: Group, times: float) -> Sent:
    """Collectives over a group whose least time all together is known, started so many times."""
    start = where(ranks.ranks > 1, times * (START + START_A_RANK * as_plain(ranks.ranks)), 0.0)
    link = as_float(least.link.seconds) / link_share(as_plain(ranks.inside))
    return Sent(start, link, as_float(least.network.seconds))


def sums_of(share: Ledger, plan: Parallelism, case: Case, cluster: Cluster) -> Sent:
    """Sums over tensor-parallel devices of one forward pass, one for each sub-layer."""
    if is_one(plan.tensor):
        return Sent()
    summed = tensor_sums(share, case.run, WIDTH, parallel_block=case.parallel_block).total * case.micro / plan.context
    cuts = (entry for entry in share.entries if isinstance(entry, Matmul) and entry.cut is not None)
    times = in_order(
        as_float(entry.used)
        for entry in cuts
        if entry.cut is not None and entry.cut.axis == "in" and entry.role != "lora_a" and not is_expert(entry)
    )
    ranks = group(cluster, plan.tensor)
    found = sent(exchange(cluster, ranks, whole(summed), whole(summed)), ranks, times)
    return found._replace(network=found.network * where(plan.sequence, _ring(ranks, cluster), 1.0))


def gathered_again(share: Ledger, plan: Parallelism) -> float:
    """Of the sums of a forward pass the part that a backward pass sends besides its own, for the gradients of weights.

    With sequence parallelism devices keep their part of what they gathered, and gather it once more to multiply it by the gradients: one
    all-gather beside a reduce-scatter and an all-gather (Korthikanti 2022, section 4.2.2). Frozen weights need it not, nor do DTensors, which
    keep it whole (torchtitan). Megatron-LM starts it and the reduce-scatter asynchronously, beside the products that give the gradients of
    inputs and of weights (LinearWithGradAccumulationAndAsyncCommunication of core/tensor_parallel/layers.py): both are in the open here, so
    that it is the most that it may cost. Without it, all fitted anew, published layouts of models that were left out are off by 5.5% in place
    of 5.3% in the mean (90th percentile 11.7% and 11.6%).
    """
    cuts = (
        e.cut
        for e in share.entries
        if isinstance(e, Matmul) and e.trained and e.role not in ADAPTERS and e.cut is not None
    )
    if not any(cut.axis == "out" for cut in cuts):
        return 0.0
    return cast("float", where(plan.sequence, where(plan.shards_weights, 0.0, 0.5), 0.0))


def _ring(ranks: Group, cluster: Cluster) -> float:
    """How much more a flat ring sends over the NICs than the least: (n - 1)/n of a tensor, of n ranks, not (N - 1)/N, of N nodes.

    Sequence parallelism and shards gather and reduce-scatter, which NCCL does in rings through all ranks of all nodes; trees are
    for all-reduces alone (NVIDIA/nccl src/graph/tuning.cc, and issues 530, 1413, 1473; PAT, of 2.23, is for one rank a node). Over two
    nodes of eight that is 15/8 of the least. Within one node, where nothing is sent over the NICs, it is any number.
    """
    if cluster.network_reduces or not any_above_one(ranks.nodes):
        return 1.0
    n, nodes = as_float(ranks.ranks), as_float(ranks.nodes)
    among: float = where(nodes > 1, (nodes - 1) / nodes, 1.0)
    return cast("float", (1 - 1 / n) / among)


def _through_hosts(ranks: Group, case: Case) -> float:
    """How much longer than the least a group takes over the NICs that has several devices of a node, none of them neighbours.

    A ring enters a node by a device next to a NIC, and leaves it by one next to the same NIC. A single device is both, and of all eight two
    are next to each NIC; of two or four, tensor parallelism between them, the one that it leaves by is on another PCIe switch, and sends
    through the host's memory: twice over PCIe. From NCCL 2.12 on (2022, PXN) the device next to the NIC can pass it on. NCCL's own search
    (NVIDIA/nccl v2.14.3, src/graph/search.cc and paths.cc), without PXN, on a node of two AMD processors and four switches with two
    A100 and a NIC each, finds rings over paths of type PIX for one device and for eight, but SYS for two and PHB for four, for which
    GPU Direct RDMA is off. That much is by source; how much longer it takes was chosen with the runs in view that the NICs' share is fitted to.
    With 1, 1.25, 1.5, 2 and 2.5 those of them that were left out are off by 2.5%, 2.4%, 2.2%, 2.1% and 2.7% (median; 90th percentile 20.3%,
    19.9%, 19.5%, 18.6% and 17.7%), while their intervals are no shorter. Left free, it is fitted to 2.5.
    """
    if not case.by_host:
        return 1.0
    return cast("float", where((ranks.inside > 1) & (ranks.sharing > 1), _BY_HOST, 1.0))


def keys_of(share: Ledger, plan: Parallelism, case: Case, cluster: Cluster) -> Sent:
    """Keys and values that go round a ring of context-parallel devices (Liu 2023): forward, and backward with their gradients.

    Each device meets those of all others, c - 1 times a part of the sequence, and once more where layers are computed again; as
    many numbers for each position as its cache would have, or those that latents are spread out to.
    """
    if is_one(plan.context):
        return Sent()
    widths = {(e.block, e.slot): as_float(e.width) for e in share.entries if isinstance(e, Cache)}
    summed = times = 0.0
    for entry in share.entries:
        if isinstance(entry, Scores):
            spread = as_float(entry.heads * (entry.d_qk + entry.d_v))
            cached = None if entry.decoded else widths.get((entry.block, entry.cache or 0))
            width = spread if cached is None else cached
            keys = int(case.run.length(entry.keys)) // (entry.stride or 1)
            summed += as_float(entry.used) * case.micro * keys * width * WIDTH
            times += as_float(entry.used)
    ranks = group(cluster, plan.context, plan.tensor)
    forward = 1 + case.repeated.layers
    least = exchange(cluster, ranks, whole(summed), whole((forward + 1) * summed))
    return sent(least, ranks, (forward + 2) * times)


def dispatches_of(share: Ledger, plan: Parallelism, case: Case, cluster: Cluster) -> Sent:
    """Tokens sent to their experts and back, forward and backward.

    A token goes once to each device that has one of its experts, and over the NICs once to each such node (DeepEP, HybridEP); by
    all-to-alls (`Case.copied`) once for each expert. Experts are spread over neighbours, whether tensor parallelism cuts them or not. A
    collective is among as many of these as there are parts of the experts: each device sends to those that hold the same cut of one
    (Megatron-LM's token_dispatcher.py, ep_group).
    """
    routed = [e for e in share.entries if isinstance(e, Matmul) and is_expert(e) and e.role == "up"]
    if is_one(plan.expert) or not routed:
        return Sent()
    ranks = group(cluster, plan.expert * plan.tensor)
    link = network = times = 0.0
    for entry in routed:
        layers = entry.stored // entry.experts
        once = WAYS * layers * tokens_of(entry, plan, case) * entry.d_in * WIDTH / plan.tensor
        link += once * (1 - 1 / as_float(ranks.ranks)) * reached(entry, ranks.ranks, plan, case)
        network += once * (1 - 1 / as_float(ranks.nodes)) * reached(entry, ranks.nodes, plan, case)
        times += float(WAYS) * layers
    within = beyond = NOTHING
    if any_above_one(ranks.inside):
        within = Level(where(ranks.inside > 1, _exact(link), 0), link_of(cluster, ranks.inside))
    if any_above_one(ranks.nodes):
        beyond = Level(_exact(network * cluster.devices_per_node), nics_of(cluster, ranks.ranks))
    among = ranks._replace(ranks=ranks.ranks // case.expert_tensor)
    found = sent(Least(within, beyond), among, times)
    if not case.copied:
        found = found._replace(start=times * (DISPATCH + DISPATCH_A_RANK * as_plain(among.ranks)))
    return Sent(*(where(plan.expert > 1, part, 0.0) for part in found)) if is_array(plan.expert) else found


def reached(entry: Matmul, parts: Any, plan: Parallelism, case: Case) -> float:
    """To how many parts of the devices a token is sent: nodes, or single devices; copies where each is sent."""
    chosen, experts = entry.used // (entry.stored // entry.experts), entry.experts * plan.expert
    if case.copied:
        return cast("float", as_float(chosen))
    if case.in_a_row:
        return nodes_in_a_row(experts / as_float(parts), chosen)
    return nodes_met(parts, chosen, experts, entry.groups)


def _exact(number: float) -> Fraction:
    """A number as the fraction that it is; an array as it is."""
    return cast("Fraction", number) if is_array(number) else Fraction(number)


def handed_tokens(share: Ledger, run: SequenceLengths) -> int:
    """Tokens of a sequence whose vectors a stage hands on: a decoder's passes on what an encoder gave, too."""
    encodes = any(group.stack == "encoder" and not isinstance(group.where, str) for group in share.groups)
    return run.source if encodes else run.tokens


def handed_of(share: Ledger, plan: Parallelism, case: Case, cluster: Cluster) -> Sent:
    """Activations handed to the next stage and their gradients back, by each device its part of them.

    Stages of several pieces hand them on behind the computing of another piece (Megatron-LM's overlap_p2p_communication, which
    Megatron-DeepSpeed of 2022 had not, and PyTorch's schedules have not: torch/distributed/pipelining/schedules.py waits for both neighbours
    after each piece), but while the pipeline fills and drains (`_filling`).
    """
    if is_one(plan.pipeline):
        return Sent()
    tokens = case.micro * int(handed_tokens(share, case.run)) / plan.context
    handed = _IN_ALL * plan.interleave * tokens * case.d_model * WIDTH / plan.tensor
    within = plan.devices // plan.pipeline < cluster.devices_per_node
    link = network = 0.0
    if _any(within):
        link = where(within, handed / (link_of(cluster, 2) * link_share(2)), 0.0)
    if not _all(within):
        network = where(within, 0.0, cluster.devices_per_node * handed / nics_of(cluster, plan.devices))
    seen = where(plan.interleave > 1, _filling(plan, case), 1.0) if case.recent and not case.waits else 1.0
    return Sent(0.0, link, network).times(seen)


def _filling(plan: Parallelism, case: Case) -> float:
    """Of the pieces of micro-batches that a first stage runs those before its first backward pass, and as many after its last forward pass.

    Neither phase hands on behind computing, unless overlap_p2p_comm_warmup_flush is set, which no recipe does (Megatron-LM's schedules.py,
    get_pp_rank_microbatches).
    """
    pieces = as_float(plan.interleave) * as_float(case.micro_batches)
    filling = 2 * (as_float(plan.pipeline) - 1) + (as_float(plan.interleave) - 1) * as_float(plan.pipeline)
    return cast("float", where(filling < pieces, filling / pieces, 1.0))


def _any(condition: Any) -> bool:
    return bool(condition.any()) if is_array(condition) else bool(condition)


def _all(condition: Any) -> bool:
    return bool(condition.all()) if is_array(condition) else bool(condition)


class Copies(NamedTuple):
    """What the copies of a stage exchange in a step, by what may hide it.

    `gradients` are behind the last micro-batches' backward passes, `weights` behind the first ones' forward passes (`hidden_slots`); `waited`
    are weights that are gathered when they are needed, and what of several pieces or of the outer buckets no pass hides; `gathers` weights that are gathered each
    time that they are used, and their gradients.
    """

    gradients: Sent = Sent()
    weights: Sent = Sent()
    waited: Sent = Sent()
    gathers: Sent = Sent()


def copies_of(share: Ledger, plan: Parallelism, case: Case, cluster: Cluster) -> Copies:
    """What the copies of a stage exchange in a step.

    Gradients are sent in the format of their sum, which before 2023 is that of the weights (`ACCUMULATED`). An all-reduce is
    all behind the backward pass.
    """
    ranks = plan.data * plan.context
    if is_one(ranks):
        return Copies()
    together: dict[int, Exchanged] = {}
    bits = round(8 * case.gradient_bytes) if case.recent else 8 * WIDTH
    for one in gradients(share, plan, case.micro_batches, bits, where(plan.zero > 0, 8 * WIDTH, bits)):
        before = together.get(one.group)
        together[one.group] = one if before is None else before.more(one)
    found = Copies()
    for one in together.values():
        apart = where(plan.zero > 0, one.group < BEYOND, False)
        scattered, gathered = (where(plan.shards_weights, 0, part) for part in (one.scattered, one.gathered))

        def of(scattered: Any, gathered: Any, one: Exchanged = one) -> Sent:
            if is_nothing(scattered) and is_nothing(gathered):
                return Sent()
            among = group(cluster, one.copies, one.apart)
            least = sent(exchange(cluster, among, scattered, gathered), among, 0.0)
            rings = where(plan.zero > 0, _ring(among, cluster), 1.0) * _through_hosts(among, case)
            return least._replace(network=least.network * rings)

        weights, summed = of(0, where(apart, gathered, 0)), of(scattered, where(apart, 0, gathered))
        late, end = _waited(share, plan, case, routed=one.group == ROUTED), _of_a_piece(plan, case)
        outer = 0.0 if one.group else _outer_buckets(share, plan, case, one.gathered)
        found = Copies(
            found.gradients.more(summed.times(1 - end - outer)),
            found.weights.more(weights.times(where(plan.pipeline == 1, 1 - late - outer, 1 - end))),
            found.waited.more(weights.times(late + end + outer)).more(summed.times(end + outer)),
            found.gathers.more(of(one.scattered - scattered, one.gathered - gathered)),
        )
    return found


def _of_a_piece(plan: Parallelism, case: Case) -> float:
    """Of what stages of several pieces exchange the part that no pass hides: of the first piece's weights, and the last one's gradients."""
    return (
        cast("float", where(plan.interleave > 1, 1 / as_float(plan.interleave), 0.0)) if _by_pieces(plan, case) else 0.0
    )


def hidden_slots(plan: Parallelism, case: Case) -> float:
    """Of how many micro-batches the passes hide gradients that are sent and weights that are gathered.

    Of a stage of one piece the last micro-batch's backward pass and the first one's forward pass. Of v pieces each is run by as many
    micro-batches in turn as there are stages, while the next one's weights and the last one's gradients are on their way: all but one
    piece's (Megatron-LM's schedules.py, forward_backward_pipelining_with_interleaving, param_sync_func and grad_sync_func, of
    align_param_gather and align_grad_reduce). In pipelines of PyTorch, and before 2023, none.
    """
    if case.waits:
        return cast("float", where(plan.pipeline > 1, 0.0, 1.0))
    if not _by_pieces(plan, case):
        return float(case.recent)
    in_turn = smaller(as_float(plan.pipeline), as_float(case.micro_batches))
    return cast("float", where(plan.interleave > 1, in_turn * (1 - 1 / as_float(plan.interleave)), 1.0))


def _by_pieces(plan: Parallelism, case: Case) -> bool:
    """Whether each piece of a stage exchanges its weights and gradients by itself, as Megatron-LM's schedules have it."""
    return case.recent and not case.waits and plan.order in ("1f1b", "interleaved")


_BUCKET, _BUCKET_A_COPY = 40_000_000, 1_000_000
"""Numbers of a bucket: the larger of the first and of the second for each copy (distributed_data_parallel.py)."""


def _waited(share: Ledger, plan: Parallelism, case: Case, *, routed: bool) -> float:
    """Of gathered weights the part that nothing hides, as Megatron-LM's distributed optimizer gathers them (core_v0.13.0 to v0.16.0).

    Where a module waits for a bucket of weights, that starts the next one's (param_and_grad_buffer.py, finish_param_sync): of a module
    with several, which the experts of a layer are, all but the first are waited for one after the other. Stages after the first have
    all in one bucket, which is gathered when their first micro-batch arrives, stage after stage; stages of several pieces gather
    ahead (align_param_gather).
    """
    if not _by_pieces(plan, case):
        return 0.0
    late: Any = where(plan.pipeline == 1, _later_buckets(share, plan) if routed else 0.0, plan.pipeline - 1.0)
    return cast("float", where(plan.zero == 1, where(plan.interleave > 1, 0.0, late), 0.0))


def _outer_buckets(share: Ledger, plan: Parallelism, case: Case, gathered: Any) -> float:
    """Of what a model that no pipeline divides exchanges, the part in the bucket that its forward pass begins with and its backward pass ends with.

    Weights of a bucket are used when all have arrived, and its gradients are sent when all are there (start_param_sync and register_grad_ready of
    Megatron-LM's param_and_grad_buffer.py), so that no pass hides those of the first: the tables of embeddings, and what fills it up. `gathered`:
    bytes of all weights.
    """
    if is_nothing(gathered) or not _by_pieces(plan, case):
        return 0.0
    tables = (entry for entry in share.entries if isinstance(entry, Lookup) and entry.trained)
    rows: Any = in_order(entry.stored * entry.rows * entry.width for entry in tables)
    every = as_float(gathered)  # in a search bytes may be floats
    part = smaller(as_float(WIDTH * maximum(rows, _bucket(plan))), every) / every
    return cast("float", where(plan.pipeline == 1, where(plan.zero == 1, part, 0.0), 0.0))


def _bucket(plan: Parallelism) -> Any:
    return maximum(_BUCKET, _BUCKET_A_COPY * plan.data)


def _later_buckets(share: Ledger, plan: Parallelism) -> float:
    """Of the weights of a layer's routed experts the part that is in no first bucket of their up or down projections."""
    modules: dict[tuple[Block, bool], tuple[Any, Any]] = {}
    for entry in share.entries:
        if isinstance(entry, Matmul) and is_expert(entry):
            key = entry.block, entry.role == "down"
            modules[key] = entry.experts, modules.get(key, (0, 0))[1] + entry.d_in * entry.d_out
    first = in_order(as_float(minimum(held, ceil_div(_bucket(plan), each)) * each) for held, each in modules.values())
    every = in_order(as_float(held * each) for held, each in modules.values())
    return cast("float", 1 - first / every)
