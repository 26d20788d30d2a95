"""What a training step gives a device to do, each part at the best that the device can do: what a prediction scales.

Times here are in seconds at the dense peak, at the full bandwidth of memory and NICs, and know no calibrated constant;
`tscale.core.costs.step_prediction` makes a step's time of them.

What a layer reads and writes beside its products, in bytes a token of 16-bit eager kernels: 4 for each number that a matrix cut
along its columns gives out (read and written by what follows: an activation function, a bias, a transpose), 11 for each of
a sum (dropout, residual and norm). Of a GPT layer that is d·(22 + 28/t), twice as much backward, and once more where the layer
is computed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from tscale.core.adding import in_order
from tscale.core.costs.forward import conv_flops, scan_flops
from tscale.core.costs.recompute import computed_again
from tscale.core.costs.schedules import predicted_fill
from tscale.core.costs.step_products import Again, Case, Product, Products, attention_work, joined, shape_of, tokens_of
from tscale.core.costs.step_sent import Sent, copies_of, dispatches_of, handed_of, keys_of, sums_of
from tscale.core.device import Cluster
from tscale.core.ledger import Conv, Ledger, Lookup, Matmul, Scan, Scores
from tscale.core.parallelism import Parallelism

SOURCE: Final = "narayanan2021 section 2, korthikanti2022 section 4"

_WIDE: Final = 8
_BY_COLUMNS, _OF_A_SUM = 4, 11
_ACCUMULATED: Final = 8
"""Bytes of a weight's gradient in a micro-batch: written, read, added to what was there, which is read and written."""


class StageWork(NamedTuple):
    """What a micro-batch gives a device of a stage to do; `stages` are alike.

    Products run forward and backward; those of `again` run forward once more, as what else is `again` does. `scores` are
    those of unfused attention, `attention` seconds of a fused kernel, both of the 16-bit peak. `traffic` is of what is
    elementwise, `logits` of a byte for each logit. `has_head` and `in_steps` (softmax is not fused) are 1 or 0.
    """

    stages: int
    layers: float
    has_head: float
    in_steps: float
    products: tuple[Product, ...]
    again: tuple[Product, ...]
    experts: tuple[Product, ...]
    experts_again: tuple[Product, ...]
    scores: tuple[Product, ...]
    scores_again: tuple[Product, ...]
    head: tuple[Product, ...]
    attention: float
    attention_again: float
    traffic: float
    traffic_again: float
    logits: float
    sums: Sent
    sums_again: Sent
    dispatches: Sent
    handed: Sent
    keys: Sent = Sent()


class StepWork(NamedTuple):
    """A step: its distinct stages, in order, and what comes once a step.

    `micro_batches`: those that run through all that a device has; `fill`: of the time of all other stages, what a device idles.
    `cut` is 1 where tensor parallelism cuts layers, `wide` where it does so over eight devices and more, else 0. `gathers`:
    weights that are kept in shards, each time that they are used (ZeRO's stage 3), and their gradients. `states`: seconds to
    read or write a byte for each parameter that a device updates. `hides`: 1 where the schedule sends tokens to their experts while
    another micro-batch is computed, as DualPipe does (DeepSeek-AI 2024c, section 3.2.1), else 0.
    """

    stages: tuple[StageWork, ...]
    micro_batches: int
    fill: float
    eight_bit: bool
    cut: float
    wide: float
    gradients: Sent
    gathers: Sent
    states: float
    hides: float = 0.0


def step_work(
    shares: Sequence[Ledger],
    plan: Parallelism,
    case: Case,
    cluster: Cluster,
    again: Sequence[Ledger] | None = None,
) -> StepWork:
    """What a step gives the devices of each stage to do, of the ledgers that one device of each stage has.

    `again`: of each stage the layers that are computed again; None for all of them.

    Raises `RequestError` where a link that the plan needs is not known.
    """
    seen: dict[object, StageWork] = {}
    updates, gradient, gather = 0.0, Sent(), Sent()
    for share, redone in zip(shares, shares if again is None else again, strict=True):
        key = (share.entries, redone.entries)
        if key in seen:
            seen[key] = seen[key]._replace(stages=seen[key].stages + 1)
            continue
        seen[key] = _stage(share, plan, case, cluster, redone)
        updates = max(updates, _updated(share, plan) / cluster.device.memory_bytes_per_second)
        sums, gathers = copies_of(share, plan, case, cluster)
        gradient, gather = max(gradient, sums, key=in_order), max(gather, gathers, key=in_order)
    return StepWork(
        tuple(seen.values()),
        case.micro_batches,
        float(predicted_fill(plan)),
        case.eight_bit,
        float(plan.tensor > 1),
        float(plan.tensor >= _WIDE),
        gradient,
        gather,
        updates,
        float(plan.order == "dualpipe"),
    )


def _stage(share: Ledger, plan: Parallelism, case: Case, cluster: Cluster, redone: Ledger) -> StageWork:
    """One stage of its own kind; `redone`: the layers of it that are computed again."""
    make = Products(case, cluster)
    bandwidth = cluster.device.memory_bytes_per_second
    plain, routed, heads = _matrices(share)
    matrices = [*plain, *routed]
    plain_again, routed_again = _matrices_again(redone, case.again)
    attention = attention_work(share, plan, case, make)
    attention_again = attention if redone is share else attention_work(redone, plan, case, make)
    weights = in_order(
        float(max(entry.stored, entry.part == "head") * entry.d_in * entry.d_out) for entry in joined(share)
    )
    whole = case.again == "full"
    # Every second product is kept, but nothing that is elementwise.
    computed = {"full": [*plain_again, *routed_again], "op": _matrices(redone)[0]}.get(case.again, [])
    written_again = _all_written(computed, plan, case)
    return StageWork(
        stages=1,
        layers=in_order(float(entry.used) for entry in share.entries if isinstance(entry, (Scores, Scan))),
        has_head=float(bool(heads)),
        in_steps=float(attention.in_steps),
        products=(*_run(plain, plan, case, make), *_recurrences(share, plan, case)),
        again=tuple(_run_once(plain_again, plan, case, make)),
        experts=tuple(_run(routed, plan, case, make)),
        experts_again=tuple(_run_once(routed_again, plan, case, make)),
        scores=attention.products,
        scores_again=attention_again.products_again,
        head=tuple(_run(heads, plan, case._replace(peak=case.peak_16), make)),
        attention=attention.seconds,
        attention_again=attention_again.seconds_again,
        traffic=(3 * _all_written(matrices, plan, case) + attention.traffic + _ACCUMULATED * weights) / bandwidth,
        traffic_again=(written_again + attention_again.traffic_again) / bandwidth,
        logits=in_order(tokens_of(entry, plan, case) * entry.d_out for entry in heads) / bandwidth,
        sums=sums_of(share, plan, case, cluster).times(2),
        sums_again=sums_of(redone, plan, case, cluster) if whole else Sent(),
        dispatches=dispatches_of(share, plan, case, cluster),
        handed=handed_of(plan, case, cluster),
        keys=keys_of(share, plan, case, cluster),
    )


def _matrices(share: Ledger) -> tuple[list[Matmul], list[Matmul], list[Matmul]]:
    """The matrices of the layers, of routed experts and of the head, those that share an input as one."""
    every = list(joined(share))
    layers = [entry for entry in every if entry.part != "head"]
    plain = [entry for entry in layers if entry.experts == 1]
    routed = [entry for entry in layers if entry.experts > 1]
    return plain, routed, [entry for entry in every if entry.part == "head"]


def _run(matrices: Iterable[Matmul], plan: Parallelism, case: Case, make: Products) -> Iterator[Product]:
    """Three products a matrix: forward, the gradient of its input and that of its weights."""
    for entry in matrices:
        shape = shape_of(entry, tokens_of(entry, plan, case))
        m, n, k = shape.sizes
        for sizes in ((m, n, k), (m, k, n), (k, n, m)):
            yield make.of(*sizes, shape.times, case.peak, shape.batch)


def _matrices_again(redone: Ledger, again: Again) -> tuple[list[Matmul], list[Matmul]]:
    """The matrices of the layers and of routed experts whose products the backward pass begins with."""
    if again == "full":
        plain, routed, _ = _matrices(redone)
        return plain, routed
    every = list(computed_again(redone)) if again == "op" else []
    return [entry for entry in every if entry.experts == 1], [entry for entry in every if entry.experts > 1]


def _run_once(matrices: Iterable[Matmul], plan: Parallelism, case: Case, make: Products) -> Iterator[Product]:
    """A product a matrix, forward once more."""
    for entry in matrices:
        shape = shape_of(entry, tokens_of(entry, plan, case))
        yield make.of(*shape.sizes, shape.times, case.peak, shape.batch)


def _all_written(matrices: Iterable[Matmul], plan: Parallelism, case: Case) -> float:
    """Bytes that elementwise work reads and writes of what matrices give out."""
    return in_order(_written(entry, plan) * tokens_of(entry, plan, case) * entry.used for entry in matrices)


def _written(entry: Matmul, plan: Parallelism) -> float:
    """Bytes a token that elementwise work reads and writes of what a matrix gives out."""
    if entry.cut is not None and entry.cut.axis == "in":
        return float(_OF_A_SUM * entry.d_out) / (plan.tensor if plan.sequence else 1)
    return float(_BY_COLUMNS * entry.d_out)


def _recurrences(share: Ledger, plan: Parallelism, case: Case) -> Iterator[Product]:
    """Scans and convolutions, forward and backward, as products at the 16-bit peak."""
    for entry in share.entries:
        if isinstance(entry, (Scan, Conv)):
            flops = scan_flops(entry, case.run) if isinstance(entry, Scan) else conv_flops(entry, case.run)
            yield Product(3.0 * case.micro * flops / plan.context / case.peak_16, 0.0)


def _updated(share: Ledger, plan: Parallelism) -> float:
    """Parameters that a device's optimizer updates."""
    total = 0.0
    for entry in share.entries:
        match entry:
            case Matmul():
                total += float(entry.stored * entry.d_in * entry.d_out)
            case Lookup():
                total += float(entry.stored * entry.rows * entry.width)
            case _:
                pass  # vectors and the like are thousandths of it
    return total / (plan.sharing if plan.zero else 1)
