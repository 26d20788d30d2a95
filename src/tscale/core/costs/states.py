"""What one device keeps of every parameter in training: weights, gradients, master copy and optimizer states.

ZeRO divides the states and the master copy among the devices of data parallelism from its first stage on, gradients from its
second, weights in its third (Rajbhandari 2019, section 5; FSDP is the third): of Psi parameters with AdamW in mixed precision
4·Psi + 12·Psi/N, 2·Psi + 14·Psi/N, and 16·Psi/N bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final, Literal, NamedTuple

from tscale.core.costs.params import size
from tscale.core.costs.weights import is_linear, kept_in, weight_bytes
from tscale.core.dtypes import DTYPES, Dtype
from tscale.core.kept import keep
from tscale.core.ledger import Buffer, Conv, Entry, Ledger, Lookup, Matmul, Saved, Vector
from tscale.core.metric import JointLine, Line, Quantity
from tscale.core.parallelism import Parallelism
from tscale.core.precision import Optimizer, Precision, state_bytes
from tscale.core.roles import Role
from tscale.core.sharding import is_expert, is_routed
from tscale.core.tracing import ceil_div, is_array, is_one, maximum, minimum, where
from tscale.core.units import BYTES
from tscale.errors import RequestError, field, shown

SOURCE: Final = "rajbhandari2019 section 5"


class States(NamedTuple):
    """Bytes on one device, by what they are for."""

    weights: Quantity
    gradients: Quantity
    master: Quantity
    optimizer: Quantity

    def __add__(self, other: object) -> States:
        """Those of two ledgers together, as of a model and its adapters."""
        assert isinstance(other, States)
        return States(*(_together(one, two) for one, two in zip(self, other, strict=True)))


def training_states(
    ledger: Ledger, precision: Precision, optimizer: Optimizer, plan: Parallelism, micro_batches: int | None = None
) -> States:
    """Bytes of all that is kept of every parameter of one device's ledger, one line for each entry.

    A parameter that is not trained is kept as a weight alone. In a pipeline a stage adds up the gradients of all micro-batches
    before it scatters them, so that ZeRO's second stage keeps them whole, as torchtitan does with FSDP; of an interleaved schedule
    with no more `micro_batches` than stages, those of one piece at a time (`_of_a_piece`). Weights that are gathered from the
    master copy are kept by nobody in ZeRO's third stage.
    """
    key = (training_states, optimizer, precision.states)
    owned = keep(ledger.made, key, lambda: tuple(_owned(ledger, optimizer, precision.states)))
    scattered, divided = plan.zero >= (2 if is_one(plan.pipeline) else 3), plan.zero >= 1
    among_of = {holders: _shards(holders, plan) for holders in {entry.holders for entry in owned}}
    by_piece = None if is_one(plan.pipeline) or plan.order != "interleaved" else micro_batches
    gradients, master, states = [], [], []
    for entry in owned:
        name, among = entry.name, among_of[entry.holders]
        own = _divided(entry.numbers * precision.gradients, scattered, among)
        gradients.append(Line(name, own if by_piece is None else _of_a_piece(own, among, entry.layers, plan, by_piece)))
        if precision.master:
            master.append(Line(name, _divided(entry.numbers * precision.master, divided, among)))
        states.append(Line(name, _divided(entry.state_bytes, divided, among)))
    weights = weights_on_device(ledger, DTYPES[precision.weights], plan)
    if is_gathered(precision, plan):
        weights = weights._replace(lines=tuple(_buffers(ledger, weights)))
    return States(
        weights,
        Quantity("gradients", tuple(gradients), BYTES, source=precision.source),
        Quantity("master weights", tuple(master), BYTES, source=precision.source),
        Quantity("optimizer states", tuple(states), BYTES, source=optimizer.source),
    )


Holders = Literal["all", "experts", "routed"]
"""The devices that hold an entry: all of a stage's, or those that have an expert, of attention or of a feed-forward."""


class _Owned(NamedTuple):
    """An entry that is trained: who holds it, in how many layers, its numbers, and bytes of an optimizer's states.

    Layers are None outside of them, and of what they share.
    """

    name: str
    holders: Holders
    layers: int | None
    numbers: int
    state_bytes: int


def _owned(ledger: Ledger, optimizer: Optimizer, number: int) -> Iterator[_Owned]:
    """Each entry that is trained; an optimizer's states are of `number` bytes each."""
    layers = (
        None if isinstance(group.where, str) or group.copies is not None else group.layers
        for group in ledger.groups
        for _ in group.entries
    )
    for entry, many in zip(ledger.entries, layers, strict=True):
        if isinstance(entry, (Matmul, Conv)) or (isinstance(entry, (Lookup, Vector)) and entry.trained):
            numbers, states = entry.stored * size(entry), entry.stored * state_bytes(entry, optimizer, number)
            yield _Owned(entry.name, _holders(entry), many, numbers, states)


def _of_a_piece(whole: int, among: int, layers: int | None, plan: Parallelism, micro_batches: int) -> int:
    """Bytes of an entry's gradients that a device of several pieces keeps beside the most activations, of `whole` that add up over a step.

    With no more micro-batches than stages an interleaved schedule runs the backward passes of a piece of the stack one after
    another, and while activations are at their most those of the last piece: its gradients are scattered before those of the
    next begin, for FSDP reduces them at each piece's own last backward pass (`last_backward` of
    torch/distributed/pipelining/schedules.py). `among`: the devices that they are scattered to.
    """
    if layers is None:
        return whole
    piece = ceil_div(whole * ceil_div(layers, plan.interleave), layers)
    apart = (plan.zero >= 2) & (plan.zero < 3) & (micro_batches <= plan.pipeline)
    kept: int = where(apart, piece + ceil_div(whole, among), whole)
    return minimum(kept, whole)


def _divided(amount: int, is_divided: bool, among: int) -> int:
    """Bytes of an entry on one device, where ZeRO divides them among so many."""
    if type(is_divided) is bool:
        return ceil_div(amount, among) if is_divided else amount
    divided: int = where(is_divided, ceil_div(amount, among), amount)
    return divided


def is_gathered(precision: Precision, plan: Parallelism) -> bool:
    """Whether weights are in a device's memory only while they are in use, made from its shard of the master copy."""
    return precision.gathered and plan.shards_weights and not is_one(plan.sharing)


def _buffers(ledger: Ledger, weights: Quantity) -> Iterator[Line]:
    """The lines of weights that are no parameters."""
    names = {entry.name for entry in ledger.entries if isinstance(entry, Buffer)}
    yield from (line for line in weights.lines if line.name in names)


def in_backward(states: States, ledger: Ledger, precision: Precision, plan: Parallelism) -> States:
    """The same where the optimizer's step is taken in the backward pass, parameter by parameter: the largest gradient alone is kept.

    Routed experts of a layer are one parameter.
    """
    largest = 0
    for entry in ledger.entries:
        if isinstance(entry, (Matmul, Lookup)) and entry.stored:
            copies = entry.experts if isinstance(entry, Matmul) else 1
            amount = copies * size(entry) * precision.gradients
            largest = maximum(largest, ceil_div(amount, shards(entry, plan)) if plan.zero >= 2 else amount)
    return states._replace(gradients=states.gradients._replace(lines=(JointLine("largest_gradient", largest),)))


Offload = Literal["weights", "states", "activations"]
"""What is kept in the host's memory and sent when it is needed; states are the optimizer's, with the master copy.

Where the host keeps weights and states, it takes the step, and has the gradients too (CPUOffloadPolicy of torch.distributed.fsdp 2.13;
ZeRO-Infinity: Rajbhandari 2021, section 5.1.1).
"""
OFFLOADS: Final[tuple[Offload, ...]] = ("weights", "states", "activations")


def find_offload(text: str) -> frozenset[Offload]:
    """What `weights,states,activations`, or some of these, name. Raises `RequestError` for any other name."""
    words = [word.strip() for word in text.split(",")]
    found = frozenset(part for part in OFFLOADS if part in words)
    for word in words:
        if word not in OFFLOADS:
            raise RequestError(f"{field('offload')} names weights, states or activations, not {shown(word)}")
    return found


def on_device(states: States, offload: frozenset[Offload]) -> States:
    """What is left of the states on a device where some of them are kept by its host."""
    if "weights" in offload:
        states = states._replace(weights=_away(states.weights))
    if "states" in offload:
        states = states._replace(master=_away(states.master), optimizer=_away(states.optimizer))
    if {"weights", "states"} <= offload:
        states = states._replace(gradients=_away(states.gradients))
    return states


def _away(quantity: Quantity) -> Quantity:
    return quantity._replace(lines=tuple(line._replace(value=0) for line in quantity.lines))


def weights_on_device(ledger: Ledger, format: Dtype, plan: Parallelism) -> Quantity:
    """Bytes of the weights that one device keeps between the steps; ZeRO's third stage divides all that is trained."""
    whole = keep(ledger.made, (weight_bytes, format), lambda: weight_bytes(ledger, format))
    if not is_array(plan.zero) and plan.zero < 3:
        return whole
    entries = [kept.entry for kept in kept_in(ledger, format)]
    lines = tuple(
        line
        if isinstance(entry, Buffer)
        else Line(line.name, _divided(line.value, plan.zero >= 3, shards(entry, plan)))
        for entry, line in zip(entries, whole.lines, strict=True)
    )
    return whole._replace(lines=lines)


def frozen_states(ledger: Ledger, format: Dtype, plan: Parallelism) -> States:
    """Bytes of a model that is not trained itself: its weights alone."""
    nothing = Quantity("nothing", (), BYTES)
    return States(weights_on_device(ledger, format, plan), nothing, nothing, nothing)


def shards(entry: Entry, plan: Parallelism) -> int:
    """How many devices ZeRO divides an entry among: those that hold it, which are others for experts."""
    return _shards(_holders(entry), plan)


def _holders(entry: Entry) -> Holders:
    if is_routed(entry):
        return "routed"
    return "experts" if is_expert(entry) else "all"


def _shards(holders: Holders, plan: Parallelism) -> int:
    if holders == "routed":
        return plan.expert_shards
    if holders == "experts" and not is_one(plan.expert):
        return minimum(plan.sharing, plan.data * plan.context // plan.expert)
    return plan.sharing


_ATTENTION: Final[frozenset[Role]] = frozenset({"q", "k", "v", "o", "q_down", "q_up", "kv_down", "kv_up"})
_FEED_FORWARD: Final[frozenset[Role]] = frozenset({"up", "gate", "down", "shared_up", "shared_gate", "shared_down"})
TARGETS: Final[dict[str, frozenset[Role]]] = {
    "attention": _ATTENTION,
    "mlp": _FEED_FORWARD,
    "q": frozenset({"q", "q_down", "q_up"}),
    "k": frozenset({"k", "kv_down", "kv_up"}),
    "v": frozenset({"v"}),
    "o": frozenset({"o"}),
    "up": frozenset({"up", "shared_up"}),
    "gate": frozenset({"gate", "shared_gate"}),
    "down": frozenset({"down", "shared_down"}),
}
"""The matrices that an adapter can be put on, by the names that people give them, or several at once."""


def find_targets(text: str) -> frozenset[Role] | None:
    """The roles of the matrices that `q,v`, `q_proj,v_proj`, `attention,mlp` or `all` name; None for all of them.

    Raises `RequestError` for any other name.
    """
    roles: set[Role] = set()
    for word in text.split(","):
        name = word.strip().removesuffix("_proj")
        if name == "all":
            return None
        if name not in TARGETS:
            raise RequestError(
                f"{field('lora_targets')} names matrices, such as q,v or attention,mlp, or all, not {shown(word)}"
            )
        roles |= TARGETS[name]
    return frozenset(roles)


def _is_target(entry: Entry, targets: frozenset[Role] | None) -> bool:
    """Whether an entry has an adapter."""
    return (
        isinstance(entry, Matmul) and is_linear(entry) and not entry.conv and (targets is None or entry.role in targets)
    )


def adapters(
    ledger: Ledger,
    rank: int,
    targets: frozenset[Role] | None = None,
    *,
    magnitudes: bool = False,
    joined: bool = False,
) -> Ledger:
    """The ledger of low-rank adapters on matrices of the layers, routers excepted (Hu 2021; all of them as in QLoRA).

    `targets`: the roles of those that have one, None for all. `magnitudes`: whether each output of theirs has a learned length
    as well (DoRA: Liu 2024, section 4.1). Each adds a matrix [d_in, rank] and one [rank, d_out]; on one device's ledger they have that device's widths.
    `joined`: whether the targets of a block are one matrix in the model's own code, which has one adapter.
    """
    entries: list[Entry] = []
    on = [entry for entry in ledger.entries if isinstance(entry, Matmul) and _is_target(entry, targets)]
    for entry in _joined(on) if joined else on:
        plain = entry._replace(bias=False, cut=None)
        entries.append(plain._replace(name=f"{entry.name}.lora_a", d_out=rank))
        entries.append(plain._replace(name=f"{entry.name}.lora_b", d_in=rank))
        if magnitudes:
            name = f"{entry.name}.magnitude"
            entries.append(Vector(name, "scale", entry.part, entry.d_out, stored=entry.stored))
    return Ledger.of(f"{ledger.model}'s adapters", entries)


def _joined(entries: Iterable[Matmul]) -> Iterator[Matmul]:
    """Matrices of a block side by side, as one."""
    found: dict[object, Matmul] = {}
    for entry in entries:
        key = entry.block, entry.stream, entry.d_in, entry.stored
        before = found.get(key)
        found[key] = entry if before is None else before._replace(d_out=before.d_out + entry.d_out)
    return iter(found.values())


def adapted(
    ledger: Ledger,
    rank: int,
    targets: frozenset[Role] | None = None,
    base: Dtype | None = None,
    *,
    joined: bool = False,
) -> Ledger:
    """The model with its adapters beside the matrices that they are on, and with nothing else that has a gradient.

    `base`: the format of few bits that matrices of its layers are frozen in. `joined`: whether queries, keys and values are one matrix in the
    framework's own code, and gates and what they gate, which has one adapter (linear_qkv and linear_fc1 of Megatron-LM): what goes in is
    brought to the rank once.

    A device of tensor parallelism has of each adapter's two matrices the one on the side of its own part in part, and the other
    whole: what the part gives is summed with what the frozen matrix gives. Of blocks on a diagonal it has both of its own blocks.
    """
    groups = (
        group._replace(entries=tuple(_adapted(group.entries, rank, targets, joined=joined)), saved=())
        for group in ledger.groups
    )
    found = replace(ledger, groups=tuple(groups))
    return found if base is None else found.each(lambda entry: _in_few_bits(entry, int(base.bits)))


def _in_few_bits(entry: Entry, bits: int) -> Entry:
    """A frozen matrix of a layer as it is kept in few bits; anything else as it is."""
    if isinstance(entry, Matmul) and not entry.trained and is_linear(entry):
        return entry._replace(bits=bits)
    return entry


_BESIDE: Final[frozenset[Role]] = frozenset({"k", "v", "gate"})
"""Matrices that multiply what the one before them does, queries or what is gated."""


def _adapted(
    entries: tuple[Entry, ...], rank: int, targets: frozenset[Role] | None, *, joined: bool
) -> Iterator[Entry]:
    for entry in entries:
        yield entry._replace(trained=False) if isinstance(entry, (Matmul, Lookup, Vector, Conv)) else entry
        if isinstance(entry, Matmul) and _is_target(entry, targets):
            axis = None if entry.cut is None else entry.cut.axis
            plain = entry._replace(bias=False)
            first, second = (entry.cut if axis in (side, "copies") else None for side in ("in", "out"))
            if not (joined and entry.role in _BESIDE):
                yield plain._replace(name=f"{entry.name}.lora_a", role="lora_a", d_out=rank, cut=first)
            yield plain._replace(name=f"{entry.name}.lora_b", role="lora_b", d_in=rank, cut=second)


def adapter_saves(ledger: Ledger, rank: int, targets: frozenset[Role] | None = None) -> tuple[Saved, ...]:
    """What the adapters keep for the backward pass: what lies between their two matrices. Inputs are kept in any case.

    Those of matrices without an adapter too: an upper bound. A table's rows go through them once for all sequences; scores against it have no weights of their own.
    """
    return tuple(
        Saved(
            f"{entry.name}.lora",
            entry.part,
            entry.stream,
            rank,
            used=entry.used,
            shared=entry.stream == "once" and entry.block.stack != "tower",
            gathered=is_routed(entry),
            routed=is_routed(entry),
            block=entry.block,
        )
        for entry in ledger.entries
        if isinstance(entry, Matmul) and _is_target(entry, targets) and entry.role != "position_scores"
    )


def dropped_inputs(ledger: Ledger, targets: frozenset[Role] | None = None) -> Iterator[Saved]:
    """What dropout in front of adapters keeps: of each one's input what is left of it, and a byte a number that says which.

    Queries, keys and values have one, as in litgpt, where they are one matrix (`LoRAQKVLinear` of litgpt/lora.py).
    """
    joined = set[object]()
    for entry in ledger.entries:
        if isinstance(entry, Matmul) and _is_target(entry, targets) and entry.role != "position_scores":
            if entry.role in ("q", "k", "v"):
                if entry.block in joined:
                    continue
                joined.add(entry.block)
            own = Saved(
                f"{entry.name}.dropped", entry.part, entry.stream, entry.d_in, used=entry.used, block=entry.block
            )
            yield own
            yield own._replace(name=f"{entry.name}.dropout", number="mask")


def _together(one: Quantity, two: Quantity) -> Quantity:
    first = one if one.lines else two
    return first._replace(lines=(*one.lines, *two.lines))
