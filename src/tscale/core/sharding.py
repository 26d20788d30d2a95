"""What one device holds of a model and does of it: a ledger to a ledger.

Tensor parallelism cuts the entries that say how (Shoeybi 2019, section 3): a matrix along its columns, the next one along
its rows, so that one sum over the devices follows both. Expert parallelism divides routed experts over devices, and each of them
is cut over as many devices as the plan says, whatever the rest of the layer is cut over (Liu 2025). Data parallelism
and ZeRO change no ledger, since each device runs the whole model; pipeline stages are ledgers of their own, made from the
spec (`tscale.models.stages`).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import gcd
from typing import assert_never

from tscale.core.kept import check_once, keep
from tscale.core.ledger import Buffer, Cache, Conv, Cut, Entry, Ledger, Lookup, Matmul, Scan, Scores, Vector
from tscale.core.parallelism import Parallelism, divisors
from tscale.core.roles import ADAPTERS
from tscale.core.serving_layout import ServingLayout
from tscale.core.tracing import ceil_div, is_one, minimum
from tscale.errors import RequestError, field


def shard(ledger: Ledger, plan: Parallelism) -> Ledger:
    """The ledger of one of `plan.tensor` devices that share each layer, with its share of the routed experts.

    Where a vocabulary is padded it is that of any device, the last one's padding included. A token is sent through as
    many experts as before, wherever they are: with routing in balance, that is what each device computes for as many
    tokens as it has. Raises `RequestError` where the degrees cannot divide the model, naming those that can.
    """
    _check(ledger, plan)
    return share_of(ledger, plan)


def _check(ledger: Ledger, plan: Parallelism) -> None:
    check_tensor(ledger, plan)
    if is_mixture(ledger):  # a stage may have none
        check_experts(ledger, plan)


def shares_of(stages: Iterable[Ledger], plan: Parallelism) -> tuple[Ledger, ...]:
    """The same of each stage of a pipeline; stages that have as many layers of the same groups are one and the same ledger."""
    cuts = plan.cuts
    found: dict[object, Ledger] = {}
    shares: list[Ledger] = []
    for stage in stages:
        key = stage.contents
        if key not in found:
            found[key] = _kept_shard(stage, plan, cuts)
        shares.append(found[key])
    return tuple(shares)


def _kept_shard(ledger: Ledger, plan: Parallelism, cuts: Parallelism | None) -> Ledger:
    """The same of one stage, kept with its ledger for all plans that cut it alike (`Parallelism.cuts`)."""
    return shard(ledger, plan) if cuts is None else keep(ledger.made, cuts, lambda: _kept_share(ledger, plan))


def _kept_share(ledger: Ledger, plan: Parallelism) -> Ledger:
    """The same of a plan that is checked: plans of other copies are checked each, and have one and the same ledger."""
    _check(ledger, plan)
    degrees = plan.tensor, plan.expert, plan.expert_cut
    return keep(ledger.made, (share_of, degrees), lambda: share_of(ledger, plan))


def share_of(ledger: Ledger, plan: Parallelism) -> Ledger:
    """The same of a plan that is known to divide the model, whose degrees may be arrays."""
    return ledger.each(lambda entry: _dealt(_cut(entry, cut_over(entry, plan)), plan.expert))


def serving_share(ledger: Ledger, layout: ServingLayout) -> Ledger:
    """The ledger of one device of a stage that serves: experts are spread and cut by degrees of their own.

    A device computes, with routing in balance, for its share of the tokens of all ranks that the experts are spread over.

    Raises `RequestError` where the degrees cannot divide the model, naming those that can.
    """
    cut = (
        None if layout.is_tensor_alone else layout.expert_tensor
    )  # else other numbers of devices would cut experts as these do
    _check(ledger, Parallelism(layout.tensor, data=layout.attention_data, expert=layout.expert, expert_tensor=cut))

    def share(entry: Entry) -> Entry:
        if not isinstance(entry, Matmul) or not is_routed(entry):
            return _cut(entry, layout.tensor)
        met = entry.used if layout.is_tensor_alone else ceil_div(entry.used * layout.attention_data, layout.expert)
        return _dealt(_cut(entry._replace(used=met), layout.expert_tensor), layout.expert)

    return ledger.each(share)


def is_expert(entry: Entry) -> bool:
    """Whether an entry is an expert's, also where a device has a single one."""
    return isinstance(entry, Matmul) and (entry.one_of or entry.experts > 1)


def is_routed(entry: Entry) -> bool:
    """Whether an entry is of the routed experts of a feed-forward; those of attention stay with their keys and values."""
    return isinstance(entry, Matmul) and is_expert(entry) and entry.part == "feed_forward"


def is_mixture(ledger: Ledger) -> bool:
    """Whether a model, or a stage of it, has experts."""
    return any(map(is_expert, ledger.entries))


def cut_over(entry: Entry, plan: Parallelism) -> int:
    """Devices over which an entry is cut, if it says how: those of tensor parallelism, or those that a routed expert has."""
    return plan.expert_cut if is_routed(entry) else plan.tensor


def fits(ledger: Ledger, plan: Parallelism) -> bool:
    """Whether the devices of a plan can share the layers of a model; of the plan itself nothing is asked."""
    cuts = [(cut, cut_over(entry, plan)) for entry in ledger.entries if (cut := _cut_of(entry)) is not None]
    counts = _routed(ledger)
    experts = plan.expert == 1 or (bool(counts) and not any(count % plan.expert for count in counts))
    if _has_experts_of_attention(ledger):
        experts = experts and plan.data * plan.context % plan.expert == 0
    whole = plan.tensor == 1 or not any(map(_is_uncuttable, ledger.entries))
    return experts and whole and all(_fits(cut, devices) for cut, devices in set(cuts))


def check_plan(ledger: Ledger, plan: Parallelism) -> None:
    """Raises `RequestError` for degrees that contradict one another or that a model cannot be shared by: tensor's, then the others."""
    if type(plan.tensor) is int:
        check_once(ledger.made, (check_tensor, plan.tensor), lambda: check_tensor(ledger, plan))
    else:
        check_tensor(ledger, plan)
    plan.check(lambda other: fits(ledger, other))


def check_tensor(ledger: Ledger, plan: Parallelism) -> None:
    """Raises `RequestError` where so many devices cannot share the layers of a model, naming the numbers that can.

    Routed experts, which may be cut otherwise, are left to `check_experts`.
    """
    devices = plan.tensor
    if devices == 1:
        return
    for entry in ledger.entries:
        if _is_uncuttable(entry):
            raise RequestError(
                f"tscale does not know how devices share {entry.name} of {ledger.model}: use tensor parallelism of 1"
            )
        cut = _cut_of(entry)
        if cut is not None and not is_routed(entry) and not _fits(cut, devices):
            raise RequestError(
                f"{devices} devices cannot share {entry.name} of {ledger.model}, which is cut into "
                f"{int(cut.pieces):,} pieces: use {_advice(ledger, plan, 'tensor', tensor_degrees(ledger, experts=False))}"
            )


def tensor_degrees(ledger: Ledger, *, experts: bool = True) -> list[int]:
    """The numbers of devices that can share each layer of a model; `experts`: with its routed experts, which they cut too."""
    entries = [entry for entry in ledger.entries if experts or not is_routed(entry)]
    if any(map(_is_uncuttable, entries)):
        return [1]
    return _degrees(cut for entry in entries if (cut := _cut_of(entry)) is not None)


def _advice(ledger: Ledger, plan: Parallelism, name: str, numbers: list[int]) -> str:
    """Those of some numbers with which the plan can share the model."""
    return plan.advice(name, numbers, lambda other: fits(ledger, other))


def _degrees(cuts: Iterable[Cut]) -> list[int]:
    """The numbers of devices that all of these cuts fit."""
    every = set(cuts)
    common = gcd(*(int(cut.pieces) for cut in every if cut.otherwise == "refused"))
    return [degree for degree in divisors(common or 1) if all(_fits(cut, degree) for cut in every)]


def check_experts(ledger: Ledger, plan: Parallelism) -> None:
    """Raises `RequestError` where routed experts cannot be divided as a plan says, naming the numbers that can."""
    check_expert(ledger, plan)
    ranks = plan.data * plan.context
    if ranks % plan.expert and _has_experts_of_attention(ledger):
        raise RequestError(
            f"{ledger.model} has experts of attention, which stay with their keys and values: expert parallelism by {plan.expert} is "
            f"over the {ranks} devices of data and context parallelism, which it does not divide: use "
            f"{_advice(ledger, plan, 'expert', divisors(gcd(*_routed(ledger), ranks)))}"
        )
    cuts = [entry.cut for entry in ledger.entries if isinstance(entry, Matmul) and is_routed(entry) and entry.cut]
    if not all(_fits(cut, plan.expert_cut) for cut in cuts):
        name = "tensor" if plan.expert_tensor is None else "expert_tensor"
        advice = _advice(ledger, plan, name, _degrees(cuts))
        raise RequestError(
            f"{plan.expert_cut} devices cannot share an expert of {ledger.model}, which is cut into "
            f"{' and '.join(f'{int(pieces):,}' for pieces in sorted({cut.pieces for cut in cuts}))} pieces: "
            f"use {advice if plan.expert_tensor is None else field(name, advice)}"
        )


def check_expert(ledger: Ledger, plan: Parallelism) -> None:
    """Raises `RequestError` where routed experts cannot be divided over so many devices, naming the numbers that can."""
    devices, counts = plan.expert, _routed(ledger)
    if devices == 1:
        return
    if not counts:
        raise RequestError(
            f"{ledger.model} has no routed experts to assign to {devices} devices: drop {field('expert')}"
        )
    if any(count % devices for count in counts):
        raise RequestError(
            f"{devices} devices cannot share {' and '.join(map(str, sorted(counts)))} experts of {ledger.model} evenly: "
            f"use {_advice(ledger, plan, 'expert', divisors(gcd(*counts, plan.expert * plan.expert_copies)))}"
        )


def _has_experts_of_attention(ledger: Ledger) -> bool:
    return any(is_expert(entry) and not is_routed(entry) for entry in ledger.entries)


def _routed(ledger: Ledger) -> set[int]:
    """How many routed experts its layers have, each number once."""
    return {int(entry.experts) for entry in ledger.entries if isinstance(entry, Matmul) and entry.experts > 1}


def division(entry: Entry, plan: Parallelism) -> str:
    """How an entry stands on one device: `1/8`, `whole`, `1/8, padded`, `1/4, 2 hold the same`, in a few words."""
    parts = plan.expert if isinstance(entry, Matmul) and entry.experts > 1 else 1
    devices, cut, same, padded, repeated = int(cut_over(entry, plan)), _cut_of(entry), 1, False, False
    if cut is not None:
        shares = min(devices, int(cut.pieces)) if cut.otherwise == "repeated" else devices
        same, padded = devices // shares, int(cut.pieces) % shares != 0
        repeated = cut.beside is not None and int(cut.beside[1]) < shares
        parts *= shares
    if parts == 1:
        return "whole"
    more = (", padded" if padded else "") + (", groups repeated" if repeated else "")
    return f"1/{int(parts)}{more}" + (f", {same} hold the same" if same > 1 else "")


def _cut_of(entry: Entry) -> Cut | None:
    return None if isinstance(entry, Buffer) else entry.cut


def _is_uncuttable(entry: Entry) -> bool:
    """Whether nothing says how devices share it, and it is not one of those that each keeps whole."""
    mixes = isinstance(entry, (Conv, Scan)) or (
        isinstance(entry, Matmul) and entry.part == "mixer" and entry.role not in ADAPTERS
    )
    return mixes and _cut_of(entry) is None


def _fits(cut: Cut, devices: int) -> bool:
    if cut.beside is not None and cut.beside[1] % devices and devices % cut.beside[1]:
        return False
    match cut.otherwise:
        case "refused":
            return cut.pieces % devices == 0
        case "padded":
            return True
        case "repeated":
            return cut.pieces % devices == 0 or devices % cut.pieces == 0
        case _:
            assert_never(cut.otherwise)


def cut_width(width: int, cut: Cut, devices: int) -> int:
    """The width that one device has of a width that is cut."""
    if is_one(devices):
        return width
    if cut.beside is not None:
        of_groups, groups = cut.beside
        return (width - of_groups) // devices + of_groups // minimum(devices, groups)
    if cut.otherwise == "padded":
        return ceil_div(width, devices)
    return width // (minimum(devices, cut.pieces) if cut.otherwise == "repeated" else devices)


def _cut(entry: Entry, devices: int) -> Entry:
    """An entry as one of so many devices has it."""
    match entry:
        case Matmul(cut=Cut(axis="out") as cut):
            return entry._replace(d_out=cut_width(entry.d_out, cut, devices))
        case Matmul(cut=Cut(axis="in") as cut):
            return entry._replace(d_in=cut_width(entry.d_in, cut, devices))
        case Matmul(cut=Cut(axis="copies")):
            return entry._replace(stored=entry.stored // devices, used=entry.used // devices)
        case Lookup(cut=Cut() as cut):
            return entry._replace(rows=cut_width(entry.rows, cut, devices))
        case Vector(cut=Cut() as cut) | Cache(cut=Cut() as cut):
            return entry._replace(width=cut_width(entry.width, cut, devices))
        case Scores(cut=Cut() as cut):
            return entry._replace(heads=cut_width(entry.heads, cut, devices))
        case Conv(cut=Cut() as cut):
            return entry._replace(channels=cut_width(entry.channels, cut, devices))
        case Scan(cut=Cut() as cut):
            return entry._replace(
                per_position=cut_width(entry.per_position, cut, devices),
                per_chunk=cut_width(entry.per_chunk, cut, devices),
                per_edge_pair=cut_width(entry.per_edge_pair, cut, devices),
                per_pair=None if entry.per_pair is None else cut_width(entry.per_pair, cut, devices),
            )
        case Matmul() | Lookup() | Vector() | Buffer() | Conv() | Scores() | Scan() | Cache():
            return entry
        case _:
            assert_never(entry)


def _dealt(entry: Entry, devices: int) -> Entry:
    """An entry as one of so many devices has it that routed experts are divided over."""
    if is_one(devices) or not isinstance(entry, Matmul) or entry.experts == 1:
        return entry
    return entry._replace(stored=entry.stored // devices, experts=entry.experts // devices, one_of=True)
