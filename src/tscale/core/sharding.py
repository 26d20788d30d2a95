"""What one device holds of a model and does of it: a ledger to a ledger.

Tensor parallelism cuts the entries that say how (Shoeybi 2019, section 3): a matrix along its columns, the next one along
its rows, so that one sum over the devices follows both. Expert parallelism deals out routed experts. Data parallelism
and ZeRO change no ledger, since each device runs the whole model; pipeline stages are ledgers of their own, made from the
spec (`tscale.models.stages`).
"""

from __future__ import annotations

from math import gcd
from typing import assert_never

from tscale.core.ledger import Buffer, Cache, Conv, Cut, Entry, Ledger, Lookup, Matmul, Scan, Scores, Vector
from tscale.core.parallelism import Parallelism, divisors, or_list
from tscale.core.serving_layout import ServingLayout
from tscale.core.tracing import ceil_div, minimum
from tscale.errors import RequestError


def shard(ledger: Ledger, plan: Parallelism) -> Ledger:
    """The ledger of one of `plan.tensor` devices that share each layer, with its share of the routed experts.

    Where a vocabulary is padded it is that of any device, the last one's padding included. A token is sent through as
    many experts as before, wherever they are: with routing in balance, that is what each device computes for as many
    tokens as it has. Raises `RequestError` where the degrees cannot divide the model, naming those that can.
    """
    check_tensor(ledger, plan.tensor)
    if _routed(ledger):  # a stage may have none
        check_expert(ledger, plan.expert)
    return ledger.each(lambda entry: _dealt(_cut(entry, plan.tensor), plan.expert))


def serving_share(ledger: Ledger, layout: ServingLayout) -> Ledger:
    """The ledger of one device of a stage that serves: experts are spread and cut by degrees of their own.

    A device computes, with routing in balance, for its share of the tokens of all ranks that the experts are spread over.

    Raises `RequestError` where the degrees cannot divide the model, naming those that can.
    """
    routed = Ledger.of(ledger.model, filter(is_routed, ledger.entries))
    check_tensor(Ledger.of(ledger.model, (entry for entry in ledger.entries if not is_routed(entry))), layout.tensor)
    check_tensor(routed, layout.expert_tensor)
    if routed.entries:  # a stage may have none
        check_expert(ledger, layout.expert)

    def share(entry: Entry) -> Entry:
        if not isinstance(entry, Matmul) or not is_routed(entry):
            return _cut(entry, layout.tensor)
        met = entry.used if layout.is_tensor_alone else ceil_div(entry.used * layout.attention_data, layout.expert)
        return _dealt(_cut(entry._replace(used=met), layout.expert_tensor), layout.expert)

    return ledger.each(share)


def is_routed(entry: Entry) -> bool:
    """Whether an entry is a matrix of routed experts."""
    return isinstance(entry, Matmul) and entry.experts > 1


def check_tensor(ledger: Ledger, devices: int) -> None:
    """Raises `RequestError` where so many devices cannot share the layers of a model, naming the numbers that can."""
    if devices == 1:
        return
    for entry in ledger.entries:
        if _is_uncuttable(entry):
            raise RequestError(
                f"tscale does not know how devices share {entry.name} of {ledger.model}: use tensor parallelism of 1"
            )
        cut = _cut_of(entry)
        if cut is not None and not _fits(cut, devices):
            raise RequestError(
                f"{devices} devices cannot share {entry.name} of {ledger.model}, which is cut into "
                f"{int(cut.pieces):,} pieces: use {or_list(tensor_degrees(ledger))}"
            )


def tensor_degrees(ledger: Ledger) -> list[int]:
    """The numbers of devices that can share each layer of a model."""
    if any(map(_is_uncuttable, ledger.entries)):
        return [1]
    cuts = [cut for entry in ledger.entries if (cut := _cut_of(entry)) is not None]
    common = gcd(*(int(cut.pieces) for cut in cuts if cut.otherwise == "refused"))
    return [degree for degree in divisors(common or 1) if all(_fits(cut, degree) for cut in cuts)]


def check_expert(ledger: Ledger, devices: int) -> None:
    """Raises `RequestError` where routed experts cannot be dealt to so many devices, naming the numbers that can."""
    if devices == 1:
        return
    counts = _routed(ledger)
    if not counts:
        raise RequestError(f"{ledger.model} has no routed experts to assign to {devices} devices: drop --expert")
    if any(count % devices for count in counts):
        raise RequestError(
            f"{devices} devices cannot share {' and '.join(map(str, sorted(counts)))} experts of {ledger.model} evenly: "
            f"use {or_list(divisors(gcd(*counts)))}"
        )


def _routed(ledger: Ledger) -> set[int]:
    """How many routed experts its layers have, each number once."""
    return {int(entry.experts) for entry in ledger.entries if isinstance(entry, Matmul) and entry.experts > 1}


def division(entry: Entry, plan: Parallelism) -> str:
    """How an entry stands on one device: `1/8`, `whole`, `1/8, padded`, `1/4, 2 hold the same`, in a few words."""
    parts = plan.expert if isinstance(entry, Matmul) and entry.experts > 1 else 1
    cut, same, padded = _cut_of(entry), 1, False
    if cut is not None:
        shares = min(int(plan.tensor), int(cut.pieces)) if cut.otherwise == "repeated" else int(plan.tensor)
        same, padded = int(plan.tensor) // shares, int(cut.pieces) % shares != 0
        parts *= shares
    if parts == 1:
        return "whole"
    return f"1/{int(parts)}" + (", padded" if padded else "") + (f", {same} hold the same" if same > 1 else "")


def _cut_of(entry: Entry) -> Cut | None:
    return None if isinstance(entry, Buffer) else entry.cut


def _is_uncuttable(entry: Entry) -> bool:
    """Whether nothing says how devices share it, and it is not one of those that each keeps whole."""
    mixes = isinstance(entry, (Conv, Scan)) or (isinstance(entry, Matmul) and entry.part == "mixer")
    return mixes and _cut_of(entry) is None


def _fits(cut: Cut, devices: int) -> bool:
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
    if devices == 1:
        return width
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
    """An entry as one of so many devices has it that routed experts are dealt to."""
    if devices == 1 or not isinstance(entry, Matmul) or entry.experts == 1:
        return entry
    return entry._replace(stored=entry.stored // devices, experts=entry.experts // devices)
