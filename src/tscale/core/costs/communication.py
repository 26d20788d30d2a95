"""What devices that share a model send one another, in bytes that each of them sends.

A sum over n devices in a ring takes each of them 2·(n-1)/n of what is summed, gathering or scattering half of that
(Rajbhandari 2019, section 7.1). Of tensor parallelism it is what each matrix that is cut along its rows gives out, forward,
and as much backward (Shoeybi 2019, section 3); of data parallelism the gradients, once a step unless ZeRO keeps them in parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from tscale.core.costs.params import size
from tscale.core.costs.states import shards
from tscale.core.kept import keep
from tscale.core.ledger import Block, Buffer, Entry, Ledger, Matmul
from tscale.core.metric import Line, Quantity
from tscale.core.parallelism import Parallelism
from tscale.core.roles import Role
from tscale.core.sharding import is_expert, is_routed
from tscale.core.tracing import ceil_div, is_array, is_nothing, is_one, minimum, where
from tscale.core.units import BYTES
from tscale.core.workload import SequenceLengths

SOURCE: Final = "rajbhandari2019 section 7"

TWO_SUMS: Final = (
    "Where attention and feed-forward run in parallel on norms of their own (GPT-NeoX, Falcon 40B), two all-reduces are counted and "
    "one would do."
)

LEAVES_OUT: Final = (
    "Not in what is sent: sums for a table or a head that is cut by the vocabulary, keys and values of context parallelism, "
    "norms of gradients, latency."
)


def all_reduce(size_in_bytes: int, devices: int) -> int:
    """Bytes that each of `devices` in a ring sends for a sum that all of them get, rounded up."""
    return ceil_div(2 * (devices - 1) * size_in_bytes, devices)


def tensor_sums(ledger: Ledger, run: SequenceLengths, width_in_bytes: int, *, parallel_block: bool = False) -> Quantity:
    """Bytes that are summed over tensor-parallel devices for one sequence's forward pass.

    One sum for each sub-layer of each layer, at each position of its own stack: routed and shared experts are added up
    before it. `ledger`: that of one device (`tscale.core.sharding`), or the model's own, which sums the same.
    `parallel_block`: attention and feed-forward of a layer read the same input, so that one sum serves both (Pope 2022,
    section 3.4).
    """
    return _sums(ledger.entries, run, width_in_bytes, parallel_block=parallel_block)


def dense_sums(ledger: Ledger, run: SequenceLengths, width_in_bytes: int, *, parallel_block: bool = False) -> Quantity:
    """The same without routed experts, where these are cut over other devices than the rest."""
    dense = (entry for entry in ledger.entries if not is_routed(entry))
    return _sums(dense, run, width_in_bytes, parallel_block=parallel_block)


def expert_sums(ledger: Ledger, run: SequenceLengths, width_in_bytes: int) -> Quantity:
    """Bytes of what routed experts yield for one sequence, each token once: what is summed or gathered behind them."""
    return _sums(filter(is_routed, ledger.entries), run, width_in_bytes, parallel_block=False)


def _sums(entries: Iterable[Entry], run: SequenceLengths, width_in_bytes: int, *, parallel_block: bool) -> Quantity:
    sums: dict[tuple[Block, Role], Line] = {}
    for entry in entries:
        if isinstance(entry, Matmul) and entry.cut is not None and entry.cut.axis == "in" and entry.role != "lora_a":
            layers = entry.stored // entry.experts if is_expert(entry) else entry.used
            summed = run.length(entry.stream) * layers * entry.d_out * width_in_bytes
            role: Role = "down" if entry.role == "shared_down" else entry.role  # added up with the routed experts'
            sums[entry.block, role] = Line(entry.name, summed // 2 if parallel_block else summed)
    lines = tuple(sums.values())
    return Quantity("summed over tensor-parallel devices", lines, BYTES, source=SOURCE)


class Exchanged(NamedTuple):
    """Bytes of an entry that its `copies` reduce-scatter and all-gather in a step, as whole tensors.

    `apart`: how far the devices of two neighbouring copies stand from one another. `group`: a number of those devices, the same for all
    entries that are exchanged among the same.
    """

    name: str
    copies: int
    scattered: int
    gathered: int
    apart: int = 1
    group: int = 0

    @property
    def sent(self) -> int:
        """Bytes that each of the copies sends for it, around a ring."""
        return ceil_div((self.copies - 1) * (self.scattered + self.gathered), self.copies)

    def more(self, other: Exchanged) -> Exchanged:
        """Both, which are exchanged among the same devices."""
        scattered, gathered = self.scattered + other.scattered, self.gathered + other.gathered
        return self._replace(scattered=scattered, gathered=gathered)


def gradients(
    ledger: Ledger, plan: Parallelism, micro_batches: int, bits: int, gathered_bits: int
) -> Iterator[Exchanged]:
    """What the copies of a model exchange in a step, of each entry of what one device holds.

    Gradients are scattered, in `bits` a number, then what they made is gathered, in `gathered_bits`, or in its own few bits what is frozen in
    them: shards of bitsandbytes' are as packed as it is (bnb_4bit_quant_storage, PEFT's guide to FSDP), and so are those of torchao's
    NF4Tensor (_INNER_TENSOR_NAMES_FOR_SHARDING, its scales with them). ZeRO's stage 2 keeps no
    whole gradients from one micro-batch to the next, unless in a pipeline, so that each has to scatter its own. Stage 3 keeps no
    whole weights either, which each gathers forward and, but for what stays whole in between, backward: of a single micro-batch
    up to half as much again (Rajbhandari 2019, section 7.2.2). Where ZeRO divides among some of the copies only, that is among
    these, and each sums its part once a step over those that hold the same (hybrid sharding, as FSDP2 and Megatron-LM have it). Routed
    experts have copies of their own (`Parallelism.expert_copies`).
    """
    whole = plan.zero < 2 if is_one(plan.pipeline) else plan.zero < 3
    scatters = where(whole, 1, micro_batches)
    for number, owners in keep(ledger.made, _owners, lambda: _owners(ledger)).items():
        copies, apart = copies_of(owners[0].entry, plan)
        if is_one(copies) or is_nothing(copies):
            continue
        sharing = where(plan.zero > 0, shards(owners[0].entry, plan), copies)
        divides = is_array(sharing) or sharing > 1
        sums = plan.shards is not None and (is_array(sharing) or is_array(copies) or sharing < copies)
        for entry, weights, updated, left in owners:
            gathered = where(plan.shards_weights, micro_batches * (2 * weights - left), updated)
            if divides:
                scattered, own = ceil_div(scatters * updated * bits, 8), getattr(entry, "bits", None)
                of_each = gathered_bits if own is None else minimum(own, gathered_bits)
                yield Exchanged(entry.name, sharing, scattered, ceil_div(gathered * of_each, 8), apart, number)
            if sums:
                part = ceil_div(updated * bits, 8 * sharing)
                yield Exchanged(entry.name, copies // sharing, part, part, apart * sharing, number + BEYOND)


class _Owner(NamedTuple):
    """An entry that has weights: how many, of how many there is a gradient, and how many ZeRO's stage 3 can leave whole (`_whole`)."""

    entry: Entry
    weights: int
    updated: int
    left_whole: int


def _owners(ledger: Ledger) -> dict[int, list[_Owner]]:
    """The entries that have weights, by whose they are: an expert's (1), one's that tokens are routed to (2), or neither's (0)."""
    groups: dict[int, list[_Owner]] = {}
    for entry in ledger.entries:
        weights = 0 if isinstance(entry, Buffer) else getattr(entry, "stored", 0) * size(entry)
        if not is_nothing(weights):
            updated = weights if getattr(entry, "trained", True) else 0
            own = _Owner(entry, weights, updated, _whole(entry, weights))
            groups.setdefault(is_routed(entry) + is_expert(entry), []).append(own)
    return groups


ROUTED: Final = 2
"""The number of the group of experts that tokens are routed to."""
BEYOND: Final = 3
"""Added to the number of a group for those that hold the same shards."""


def copies_of(entry: Entry, plan: Parallelism) -> tuple[int, int]:
    """How many copies a stage has of an entry, and how far they stand apart: tensor, context and expert ranks come first."""
    if is_routed(entry):
        return plan.expert_copies, plan.expert * plan.expert_cut
    copies = plan.data * plan.context
    if is_expert(entry):
        return copies // plan.expert, plan.tensor * plan.expert
    return copies, plan.tensor


def _whole(entry: Entry, weights: int) -> int:
    """Numbers of an entry that ZeRO's stage 3 can leave whole from a forward pass to its backward pass, to gather them once.

    What is in no stack, as FSDP2 leaves its root module whole (torch `fully_shard`), and the last layer, with which the backward
    pass begins (torchtitan's parallelize.py does not reshard it). A layer is taken to have one copy, or one of each expert's.
    """
    if entry.block.stack == "none":
        return weights
    experts = entry.experts if isinstance(entry, Matmul) else 1
    return minimum(weights, experts * size(entry))  # none of a stage that has no such layer
