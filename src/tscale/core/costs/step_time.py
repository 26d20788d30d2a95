"""What a parallel plan makes of a training step: what its devices compute, wait for and send, and the least time of it.

Each part takes the least time that it can: at the dense peak, and at the full bandwidth of the link of a device and of the
NICs of a node (`tscale.core.costs.collectives`). Computing, link and network may all be busy at once, so a step takes at
least as long as the one that takes longest, on the stage where it does.

A pipeline in the order of 1F1B leaves a stage idle until a micro-batch has passed through those before it, and again while
the last one returns through them: stage j takes t_j + (t_1 + ... + t_{j-1})/(v·m), of m micro-batches and v pieces a stage.
Where all stages take the same time, that is 1 + (p-1)/(v·m) of it (Narayanan 2021, section 2.2). Other orders idle less
(`tscale.core.costs.schedules`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Final, Literal, NamedTuple

from tscale.core.costs.collectives import NOTHING, Least, Level, all_to_all, exchange, group, link_of, nics_of
from tscale.core.costs.collectives import SOURCE as COLLECTIVES
from tscale.core.costs.communication import Exchanged, dense_sums, expert_sums, gradients, tensor_sums
from tscale.core.costs.schedules import runs, with_bubble
from tscale.core.costs.step_sent import handed_tokens
from tscale.core.costs.wall_time import Recompute, last_products, least_flops
from tscale.core.device import Cluster
from tscale.core.kept import is_plain, keep
from tscale.core.ledger import Entry, Ledger, Matmul
from tscale.core.metric import Quantity
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import is_routed, shares_of
from tscale.core.tracing import ceil_div
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError

SOURCE: Final = "narayanan2021 sections 2 and 3"

BITS: Final = 16
"""Bits of a number that is sent: activations and gradients."""

Resource = Literal["computing", "link", "network"]
"""What a step may be bound by."""


class Batch(NamedTuple):
    """Sequences that a step is of, and those that a device takes at a time."""

    sequences: int
    micro: int

    def micro_batches(self, plan: Parallelism) -> int:
        """Micro-batches that run through each copy of the model in a step. Raises `RequestError` where they do not divide."""
        each = plan.data * self.micro
        if self.sequences % each:
            raise RequestError(
                f"a batch of {self.sequences} is not {plan.data} copies of the model by micro-batches of {self.micro}: "
                f"make it a multiple of {each}"
            )
        many = self.sequences // each
        if plan.order == "dualpipe" and many % 2:
            raise RequestError(
                f"dualpipe sends half of the micro-batches in from each end of the pipeline, and {many} have no half: make the "
                f"batch a multiple of {2 * each}"
            )
        return many

    def runs(self, plan: Parallelism) -> int:
        """Sequences of a step that run through all layers that a device has."""
        return self.micro * runs(self.micro_batches(plan), plan)


class Part(NamedTuple):
    """One thing that a step takes: the least seconds of computing, or those of sending and what a device sends.

    That is what it exchanges in collectives, or bytes that it passes on.
    """

    name: str
    computing: Fraction = Fraction(0)
    least: Least = Least()
    exchanged: tuple[Exchanged, ...] = ()
    passed: int | None = None
    source: str = SOURCE

    @property
    def sent(self) -> int | None:
        """Bytes that a device sends; None where it sends nothing at all."""
        return sum(one.sent for one in self.exchanged) if self.exchanged else self.passed

    @property
    def seconds(self) -> Fraction:
        """The least time of it."""
        return self.computing + self.least.seconds


class Step(NamedTuple):
    """What a step takes: computing and the bubble, what each kind of stage sends, and the least time by what it may be bound by."""

    computing: tuple[Part, ...]
    sent: tuple[tuple[Part, ...], ...]
    seconds_by: dict[Resource, Fraction]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of a step, each on the stage where it takes longest."""
        return (*self.computing, *(max(same, key=_time_and_bytes) for same in zip(*self.sent, strict=True)))

    @property
    def bound_by(self) -> Resource:
        """What takes longest."""
        return max(self.seconds_by, key=lambda resource: self.seconds_by[resource])

    @property
    def seconds(self) -> Fraction:
        """The least time of a step: whatever may overlap does."""
        return max(self.seconds_by.values())

    @property
    def seconds_in_turn(self) -> Fraction:
        """The time of all parts one after the other, where nothing overlaps. No bound: a run that overlaps is faster."""
        return sum((part.seconds for part in self.parts), Fraction())


def _time_and_bytes(part: Part) -> tuple[Fraction, int]:
    return part.seconds, part.sent or 0


class Workload(NamedTuple):
    """What a step does, whatever the plan: sequences, their lengths, the width that stages hand over, what is computed again.

    `bits`: of a number that is multiplied. Weights and activations that are gathered need no more of them; what is summed up
    is sent in 16. `side_by_side`: as in `tensor_sums`.
    """

    run: SequenceLengths
    batch: Batch
    d_model: int
    recompute: Recompute
    bits: int = BITS
    parallel_block: bool = False
    again: tuple[Ledger, ...] | None = None
    """Of each stage the layers that are computed again, whole; None for all of them."""

    @property
    def gathered_bits(self) -> int:
        """Bits of a number that is gathered."""
        return min(self.bits, BITS)


def step_of(stages: tuple[Ledger, ...], plan: Parallelism, work: Workload, cluster: Cluster, peak: int) -> Step:
    """What a step of a plan takes: computing, the bubble, and what is sent. Times are exact fractions of a second.

    `stages`: the ledgers of the pipeline's stages, whole. `peak`: FLOP/s of a device. Raises `RequestError` where degrees do
    not divide the model or the batch, and where a link that the plan needs is not known.
    """
    plan = plan.trained
    many = work.batch.micro_batches(plan)
    shares = shares_of(stages, plan)
    again = shares if work.again is None else shares_of(work.again, plan)
    kinds = {(id(share), id(redone)): (share, redone) for share, redone in zip(shares, again, strict=True)}
    of_each = {key: _flops(share, plan, work, redone) for key, (share, redone) in kinds.items()}
    flops = [of_each[id(share), id(redone)] for share, redone in zip(shares, again, strict=True)]
    each = Fraction(work.batch.runs(plan), plan.context * peak)  # seconds of a FLOP of a sequence, times all sequences
    longest, whole = max(of_each.values()) * each, with_bubble(flops, many, plan) * each
    computing = [Part("computing", longest)]
    if plan.pipeline > 1:
        computing.append(Part("pipeline bubble", whole - longest))
    sent = _sent_by_kinds(shares, plan, work, cluster)
    seconds: dict[Resource, Fraction] = {
        "computing": whole,
        "link": max(_seconds(part.least.link for part in stage) for stage in sent),
        "network": max(_seconds(part.least.network for part in stage) for stage in sent),
    }
    return Step(tuple(computing), tuple(sent), seconds)


def _seconds(levels: Iterable[Level]) -> Fraction:
    """The least time of several sends over one link."""
    first, *others = [level.seconds for level in levels if level is not NOTHING] or [Fraction()]
    return sum(others, first)


def _flops(share: Ledger, plan: Parallelism, work: Workload, again: Ledger) -> Fraction | int:
    """The least FLOPs of a device for a sequence that tensor-parallel devices read together.

    Of the tokens that routed experts are sent, in balance, it computes as many as these devices have for each other; of images its part.
    """
    every, routed = _kept_flops(share, work, again)
    flops = every + routed * (Fraction(plan.expert_cut, plan.tensor) - 1) if routed else every
    if work.run.media:
        seen = Ledger.of(share.model, (entry for entry in share.entries if entry.block.stack == "tower"))
        flops -= _all_flops(seen, work, seen) * (1 - Fraction(1, plan.tensor))
    return flops


def _kept_flops(share: Ledger, work: Workload, again: Ledger) -> tuple[int, int]:
    """All FLOPs, and those of routed experts alone, kept with the share where all of its layers are computed again, or none."""
    if again is share and is_plain(work.run):
        return keep(share.made, (_kept_flops, work.run, work.recompute), lambda: _counted_flops(share, work, again))
    return _counted_flops(share, work, again)


def _counted_flops(share: Ledger, work: Workload, again: Ledger) -> tuple[int, int]:
    """The same: those of routed experts are what they would take more, were they used by twice as many tokens."""
    every = _all_flops(share, work, again)
    if not any(map(is_routed, share.entries)):
        return every, 0
    return every, _all_flops(share.each(_twice), work, again.each(_twice)) - every


def _all_flops(share: Ledger, work: Workload, again: Ledger) -> int:
    return least_flops(share, work.run, work.recompute, [again])


def _twice(entry: Entry) -> Entry:
    """A routed expert's matrix as it is used by twice as many tokens; anything else as it is."""
    return entry._replace(used=2 * entry.used) if isinstance(entry, Matmul) and is_routed(entry) else entry


def _sent_by_kinds(
    shares: tuple[Ledger, ...], plan: Parallelism, work: Workload, cluster: Cluster
) -> list[tuple[Part, ...]]:
    """What a device of each kind of stage sends in a step, to its neighbours in the pipeline too, which comes before gradients.

    Of two neighbours, it hands on at the least what the one of fewer tokens does.
    """
    alike = {id(share): share for share in shares}
    parts_of = {key: tuple(_sent(share, plan, work, cluster)) for key, share in alike.items()}
    if plan.pipeline == 1:
        return list(parts_of.values())
    tokens_of = {key: handed_tokens(share, work.run) for key, share in alike.items()}
    tokens = [tokens_of[id(share)] for share in shares]
    least = [min(before, own) for before, own in zip((tokens[0], *tokens), tokens, strict=False)]
    per_node = cluster.devices_per_node
    handing = [_crossings(at, plan, per_node) for at in range(plan.pipeline)]
    kinds = dict.fromkeys((id(share), one, few) for share, one, few in zip(shares, handing, least, strict=True))
    handed_over = {(one, few): _hand_over(one, plan, cluster, _handed_bytes(few, plan, work)) for _, one, few in kinds}
    before = len(parts_of[id(shares[0])]) - _sums_gradients(plan)
    return [(*parts_of[key][:before], handed_over[one, few], *parts_of[key][before:]) for key, one, few in kinds]


def _handed_bytes(tokens: int, plan: Parallelism, work: Workload) -> int:
    """What a device hands to its neighbour in a step, of so many tokens of a sequence."""
    numbers = work.batch.micro_batches(plan) * work.batch.micro * tokens * int(work.d_model)
    return ceil_div(numbers * BITS, 8 * plan.tensor * plan.context)


def _sums_gradients(plan: Parallelism) -> bool:
    return plan.data * plan.context > 1 or plan.expert_copies > 1


def _sent(share: Ledger, plan: Parallelism, work: Workload, cluster: Cluster) -> Iterator[Part]:
    """What a device of a stage sends in a step, but for what it hands to other stages."""
    if plan.tensor > 1:
        yield _tensor_sums(share, plan, work, cluster)
    if plan.expert_cut > 1 and plan.expert_cut != plan.tensor:
        yield _expert_sums(share, plan, work, cluster)
    if plan.expert > 1:
        yield _dispatches(share, plan, work, cluster)
    if _sums_gradients(plan):
        yield _gradients(share, plan, work, cluster)


def _tensor_sums(share: Ledger, plan: Parallelism, work: Workload, cluster: Cluster) -> Part:
    """Sums over tensor-parallel devices: what is scattered is in 16 bits, what is gathered in those of the products.

    Routed experts that are not cut over the same devices are no part of them: with sequence parallelism each device sends its
    own tokens, without it what comes back to one of them is gathered by all.
    """
    together = plan.expert_cut == plan.tensor
    summed = _passes(share, work, tensor_sums if together else dense_sums, parallel_block=work.parallel_block)
    alone = 0 if together or plan.sequence else _passes(share, work, expert_sums)
    sequences = work.batch.runs(plan)
    scattered = ceil_div(summed * sequences, plan.context)
    gathered = ceil_div(ceil_div((summed + alone) * sequences, plan.context) * work.gathered_bits, BITS)
    return _exchanges("tensor-parallel all-reduces", (Exchanged("sums", plan.tensor, scattered, gathered),), cluster)


def _passes(share: Ledger, work: Workload, sums: Callable[..., Quantity], **how: bool) -> int:
    """What is sent forward, as much backward, and again where all layers are computed again, but for a layer's last product."""
    again = work.recompute == "full" and work.again is None

    def sent() -> int:
        passes = 2 * sums(share, work.run, BITS // 8, **how).total
        if again:
            last = set(last_products(share))
            others = Ledger.of(share.model, (entry for entry in share.entries if entry not in last))
            passes += sums(others, work.run, BITS // 8, **how).total
        return passes

    return keep(share.made, (sums, work.run, again, *how.values()), sent) if is_plain(work.run) else sent()


def _expert_sums(share: Ledger, plan: Parallelism, work: Workload, cluster: Cluster) -> Part:
    """Sums over the devices that each expert is cut over, where these are not those of tensor parallelism.

    They gather the tokens that each of them was sent, and scatter what comes out: each token once at the least.
    """
    summed = _passes(share, work, expert_sums)
    scattered = ceil_div(summed * work.batch.runs(plan) * plan.expert_cut, plan.context * plan.tensor)
    gathered = ceil_div(scattered * work.gathered_bits, BITS)
    return _exchanges("expert-tensor all-reduces", (Exchanged("sums", plan.expert_cut, scattered, gathered),), cluster)


def _dispatches(share: Ledger, plan: Parallelism, work: Workload, cluster: Cluster) -> Part:
    """Tokens sent to the devices of their experts and back, forward and backward.

    At the least a token's copies go to one device, whichever it is: routing may keep the experts of a token together, and a
    copy is sent on within a node (DeepSeek-AI 2024c, section 3.2.2). Devices of tensor parallelism send a part each. The
    devices that an expert is cut over are neighbours, those of other experts come next.
    """
    widths = 0
    for entry in share.entries:
        if isinstance(entry, Matmul) and is_routed(entry) and entry.role == "up":
            layers = entry.stored // entry.experts
            widths += work.run.length(entry.stream) * layers * entry.d_in
    numbers = 4 * widths * work.batch.runs(plan)
    sent = ceil_div(numbers * work.gathered_bits, 8 * plan.tensor * plan.context)
    least = all_to_all(cluster, group(cluster, plan.expert, plan.expert_cut), sent)
    return Part("expert-parallel all-to-alls", least=least, passed=sent, source=COLLECTIVES)


def _gradients(share: Ledger, plan: Parallelism, work: Workload, cluster: Cluster) -> Part:
    """Gradients over the copies of a stage, experts' over those of each expert; in hybrid sharding in two steps."""
    many = runs(work.batch.micro_batches(plan), plan)
    return _exchanges("gradients", tuple(gradients(share, plan, many, BITS, work.gathered_bits)), cluster)


def _exchanges(name: str, exchanged: tuple[Exchanged, ...], cluster: Cluster) -> Part:
    """What is exchanged in collectives: together among the same devices, and over the same links one after the other."""
    groups: dict[tuple[int, int], tuple[int, int]] = {}
    for one in exchanged:
        scattered, gathered = groups.get((one.copies, one.apart), (0, 0))
        groups[one.copies, one.apart] = scattered + one.scattered, gathered + one.gathered
    each = [exchange(cluster, group(cluster, copies, apart), *sizes) for (copies, apart), sizes in groups.items()]
    return Part(name, least=_together(each or [Least()]), exchanged=exchanged, passed=0, source=COLLECTIVES)


def _together(each: list[Least]) -> Least:
    """Several collectives over the same links."""
    if len(each) == 1:
        return each[0]
    return Least(*(_added([one[level] for one in each]) for level in (0, 1)))


def _added(levels: list[Level]) -> Level:
    used = [level for level in levels if level.sent]
    if not used:
        return NOTHING
    names, numbers = (" + ".join(texts) for texts in zip(*((one.names, one.numbers) for one in used), strict=True))
    return Level(sum((one.sent for one in used), Fraction()), used[0].per_second, f"({names})", f"({numbers})")


class _Crossings(NamedTuple):
    """How often a device of a stage hands on what it made of a micro-batch: in all, within its node, and all devices of a node beyond."""

    times: int
    within: int
    beyond: int


def _hand_over(over: _Crossings, plan: Parallelism, cluster: Cluster, sent: int) -> Part:
    """Activations handed on to the next stage and their gradients to the one before, by each device its part of them.

    A device of tensor parallelism sends its part (Narayanan 2021, section 4.1), `sent` bytes each time for all micro-batches.
    """
    times, within, beyond = over
    link = network = NOTHING
    if within:
        rate = link_of(cluster, plan.devices)
        link = Level(Fraction(within * sent), rate, "times·sent", f"{within}·{sent}")
    if beyond:
        rate = nics_of(cluster, plan.devices)
        network = Level(Fraction(beyond * sent), rate, "times_of_all_devices·sent", f"{beyond}·{sent}")
    return Part("pipeline send/receive", least=Least(link, network), passed=times * sent)


def _crossings(stage: int, plan: Parallelism, per_node: int) -> _Crossings:
    """Where a stage's neighbours are: a stage has `block` devices, a node as many stages as fit, or one of many devices."""
    block, times = plan.devices // plan.pipeline, _hand_overs(stage, plan)
    if plan.devices <= per_node:
        return _Crossings(times, times, 0)
    if block > per_node:
        # A node that holds devices of two stages hands on for the one that does so less often.
        whole = block % per_node == 0
        return _Crossings(times, 0, per_node * (times if whole else 2 * plan.interleave - 1))
    if per_node % block:
        return _Crossings(times, 0, 0)  # nodes cut stages: some neighbours are within a node and some are not
    each = per_node // block
    node = range(stage // each * each, min(stage // each * each + each, plan.pipeline))
    leaving = sum(_hand_overs(one, plan, node) for one in node)
    return _Crossings(times, times - _hand_overs(stage, plan, node), block * leaving)


def _hand_overs(stage: int, plan: Parallelism, node: range = range(0)) -> int:
    """How often a stage hands on what it made of a micro-batch, to stages outside of a node.

    Once forward and once backward for each piece, but the first stage has nobody to hand its first piece's gradients to, and
    the last nobody to hand its last piece's outputs to.
    """
    last, times = plan.pipeline - 1, plan.interleave
    forward = times - (stage == last) if (stage + 1) % plan.pipeline not in node else 0
    backward = times - (stage == 0) if (stage - 1) % plan.pipeline not in node else 0
    return forward + backward
