"""What a training step gives a device to do, each part at the best that the device can do: what a prediction scales.

Times here are in seconds at the dense peak, at the full bandwidth of memory and NICs, and know no calibrated constant;
`tscale.core.costs.step_prediction` makes a step's time of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from tscale.core.adding import in_order
from tscale.core.costs.forward import conv_flops, scan_flops
from tscale.core.costs.recompute import computed_again
from tscale.core.costs.schedules import predicted_fill, unpaired
from tscale.core.costs.states import shards
from tscale.core.costs.step_elementwise import PASSES, all_written, placed
from tscale.core.costs.step_products import (
    ACCUMULATED,
    Case,
    Product,
    Products,
    attention_work,
    joined,
    shape_of,
    tokens_of,
)
from tscale.core.costs.step_sent import (
    WAYS,
    Sent,
    copies_of,
    dispatches_of,
    gathered_again,
    handed_of,
    hidden_slots,
    keys_of,
    sums_of,
)
from tscale.core.costs.weights import is_linear
from tscale.core.device import Cluster
from tscale.core.elementwise import larger
from tscale.core.ledger import Conv, Ledger, Lookup, Matmul, Scan, Scores
from tscale.core.parallelism import Parallelism
from tscale.core.roles import ADAPTERS, Role
from tscale.core.sharding import is_expert
from tscale.core.tracing import as_float, is_nothing, maximum, where

SOURCE: Final = "narayanan2021 section 2, korthikanti2022 section 4"

_WIDE: Final = 8
_IN_TURNS: Final = 2.0
"""`Case.queued` of two micro-batches in turns."""
_UNPACKED: Final = 2
"""Times that a frozen matrix in few bits is unpacked: for its product and for that of its input's gradient (Dettmers 2023, equation 5)."""
_MODULES: Final[Mapping[str, frozenset[Role]]] = {
    "mla_up_proj": frozenset({"q_up", "kv_up"}),
    "mlp": frozenset({"up", "gate", "down"}),
    "moe_act": frozenset(),
    "layernorm": frozenset(),
}
MODULES: Final = frozenset(_MODULES)
"""Modules that Megatron-LM can compute again by themselves (transformer_config.py, recompute_modules), and whose products that is: of
moe_act what is elementwise on the gated outputs of routed experts, of layernorm a twelfth of that, which is not counted."""


class StageWork(NamedTuple):
    """What a micro-batch gives a device of a stage to do; `stages` are alike.

    Products run forward and backward; those of `again` run forward once more, as what else is `again` does. `scores` are
    those of unfused attention, `attention` seconds of a fused kernel, both of the 16-bit peak. `traffic` is of what is
    elementwise, `logits` of a byte for each logit. `routed` are layers with routed experts, `held` the experts of all of them that
    the device has. `has_head` and `in_steps` (softmax is not fused) are 1 or 0.
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
    routed: float = 0.0
    held: float = 0.0


class StepWork(NamedTuple):
    """A step: its distinct stages, in order, and what comes once a step.

    `micro_batches`: those that run through all that a device has; `fill`: of the time of all other stages, what a device idles. `cut` is 1
    where tensor parallelism cuts layers, `wide` where it does so over eight devices and more, else 0. `gathers`: weights that are kept in
    shards, each time that they are used (ZeRO's stage 3), and their gradients. `states`: seconds to read or write a byte for each parameter
    that a device updates. `hides`: where the schedule sends tokens to their experts while another micro-batch is computed, as DualPipe does
    (DeepSeek-AI 2024c, section 3.2.1), or a recipe of measured runs with two micro-batches in turns, the share of passes that have one
    beside them (`schedules.unpaired`), else 0. `queued`: 1 where the host queues each kernel of layers with routed experts, 2 where it does
    so for two micro-batches in turns, 0 where CUDA graphs hold them. `weights` are gathered once, and `waited` those that nothing hides
    (`Copies`). `hidden`: of how many micro-batches the backward passes hide gradients that are scattered, and the forward passes weights that
    are gathered (Megatron-LM's overlap_grad_reduce and overlap_param_gather, which recipes set); 0 where both wait, as in
    Megatron-DeepSpeed of 2022 and in pipelines of PyTorch (`step_sent.hidden_slots`).
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
    queued: float = 0.0
    hidden: float = 0.0
    weights: Sent = Sent()
    waited: Sent = Sent()


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
    kinds: dict[object, list[tuple[Ledger, Ledger]]] = {}
    for share, redone in zip(shares, shares if again is None else again, strict=True):
        kinds.setdefault((share.entries, redone.entries), []).append((share, redone))
    return work_of_kinds(((*alike[0], len(alike)) for alike in kinds.values()), plan, case, cluster)


def work_of_kinds(
    kinds: Iterable[tuple[Ledger, Ledger, int]], plan: Parallelism, case: Case, cluster: Cluster
) -> StepWork:
    """The same of stages by kind: what one has, its layers that may be computed again, and how many are alike.

    Sizes of ledgers, degrees and numbers of stages may be arrays.
    """
    of_plan = work_of_plan(plan, case)

    def of_kind(share: Ledger, redone: Ledger, many: int) -> StepWork:
        """What a step gives to stages of one kind, as if there were no others."""
        stage = stage_work(share, plan, case, cluster, redone)._replace(stages=many)
        return once_a_step(of_plan, share, plan, case, cluster)._replace(stages=(stage,))

    return together(of_kind(*kind) for kind in kinds)


def work_of_plan(plan: Parallelism, case: Case) -> StepWork:
    """What a plan says of a step, whatever its stages are."""
    paired = 0.0
    if plan.order == "dualpipe" or case.queued == _IN_TURNS:
        paired = 1 - as_float(unpaired(plan, case.micro_batches))
    return StepWork(
        (),
        case.micro_batches,
        as_float(predicted_fill(plan, case.micro_batches)),
        case.eight_bit,
        where(plan.tensor > 1, 1.0, 0.0),
        where(plan.tensor >= _WIDE, 1.0, 0.0),
        Sent(),
        Sent(),
        0.0,
        where(plan.expert > 1, 1.0, 0.0) * paired,
        case.queued,
        hidden_slots(plan, case),
    )


def once_a_step(of_plan: StepWork, share: Ledger, plan: Parallelism, case: Case, cluster: Cluster) -> StepWork:
    """The work of a plan with what a stage of it has to do once a step."""
    copies = copies_of(share, plan, case, cluster)
    return of_plan._replace(**copies._asdict(), states=_updated(share, plan) / cluster.device.memory_bytes_per_second)


def together(works: Iterable[StepWork]) -> StepWork:
    """What a step gives to all of its stages, of what it gives to each by itself: what comes once a step is the longest of theirs."""
    first, *others = works
    for one in others:
        first = first._replace(
            stages=first.stages + one.stages,
            gradients=_longer(first.gradients, one.gradients),
            weights=_longer(first.weights, one.weights),
            waited=_longer(first.waited, one.waited),
            gathers=_longer(first.gathers, one.gathers),
            states=larger(first.states, one.states),
        )
    return first


def _longer(one: Sent, other: Sent) -> Sent:
    """The one of two that takes longer in all."""
    other_is = in_order(other) > in_order(one)
    return Sent(*(where(other_is, b, a) for a, b in zip(one, other, strict=True)))


def stage_work(share: Ledger, plan: Parallelism, case: Case, cluster: Cluster, redone: Ledger) -> StageWork:
    """One stage of its own kind; `redone`: the layers of it that may be computed again."""
    make = Products(case, cluster)
    bandwidth = cluster.device.memory_bytes_per_second
    every = tuple(joined(share))
    plain, routed, heads = _matrices(every)
    matrices, down = [*plain, *routed], [entry for entry in routed if entry.role == "down"]
    attention = attention_work(share, plan, case, make)
    attention_again = attention if redone is share else attention_work(redone, plan, case, make)
    weights = 0.0 if case.recent else _trained(every)
    unpacked = 0.0 if is_nothing(case.unpacked) else _UNPACKED * case.unpacked * _frozen(share)
    repeated = case.repeated
    again = _of_modules(redone, plan, case, make) if case.modules else _again(redone, plan, case, make)
    return StageWork(
        stages=1,
        layers=in_order(as_float(entry.used) for entry in share.entries if isinstance(entry, (Scores, Scan))),
        has_head=float(bool(heads)),
        in_steps=attention.in_steps,
        products=(
            *_run([*plain, *heads] if case.narrow_head else plain, plan, case, make),
            *_recurrences(share, plan, case),
        ),
        again=again.products,
        experts=tuple(_run(routed, plan, case, make)),
        experts_again=again.experts,
        scores=attention.products,
        scores_again=attention_again.products_again,
        head=() if case.narrow_head else tuple(_run(heads, plan, case._replace(peak=case.peak_16), make)),
        attention=attention.seconds,
        attention_again=attention_again.seconds_again,
        traffic=(
            PASSES * all_written(matrices, plan, case)
            + 2 * placed(routed, plan, case)
            + attention.traffic
            + ACCUMULATED * weights
            + unpacked
        )
        / bandwidth,
        traffic_again=(again.written + attention_again.traffic_again + case.unpacked * again.frozen) / bandwidth,
        logits=in_order(tokens_of(entry, plan, case) * entry.d_out * entry.used for entry in heads) / bandwidth,
        sums=sums_of(share, plan, case, cluster).times(2 + gathered_again(share, plan)),
        sums_again=Sent()
        if is_nothing(repeated.layers)
        else sums_of(redone, plan, case, cluster).times(repeated.layers),
        dispatches=_dispatched(share, redone, plan, case, cluster),
        handed=handed_of(share, plan, case, cluster),
        keys=keys_of(share, plan, case, cluster),
        routed=in_order(as_float(entry.stored // entry.experts) for entry in down),
        held=in_order(as_float(entry.stored) for entry in down),
    )


def _trained(every: Iterable[Matmul]) -> float:
    """Numbers of all matrices that are trained; of a head that is the table's, once."""
    copies = ((maximum(entry.stored, int(entry.part == "head")), entry) for entry in every if entry.trained)
    total: float = in_order(as_float(many * entry.d_in * entry.d_out) for many, entry in copies)
    return total


def _dispatched(share: Ledger, redone: Ledger, plan: Parallelism, case: Case, cluster: Cluster) -> Sent:
    """Tokens sent to experts and back; of layers that are computed again they go there once more, and nothing is needed of what comes back.

    PyTorch's checkpoints stop where all that was let go is there again (torch.utils.checkpoint, early stop).
    """
    found = dispatches_of(share, plan, case, cluster)
    if is_nothing(case.repeated.layers):
        return found
    again = found if redone is share else dispatches_of(redone, plan, case, cluster)
    return found.more(again.times(case.repeated.layers / WAYS))


def _matrices(every: tuple[Matmul, ...]) -> tuple[list[Matmul], list[Matmul], list[Matmul]]:
    """Of all matrices that are run those of the layers, of routed experts and of the head."""
    layers = [entry for entry in every if entry.part != "head" and not is_nothing(entry.used)]
    plain = [entry for entry in layers if not is_expert(entry)]
    routed = [entry for entry in layers if is_expert(entry)]
    return plain, routed, [entry for entry in every if entry.part == "head"]


def _run(matrices: Iterable[Matmul], plan: Parallelism, case: Case, make: Products) -> Iterator[Product]:
    """Three products a matrix: forward, the gradient of its input and, where it is trained, that of its weights; of adapters what adds them."""
    for entry in matrices:
        shape = shape_of(entry, tokens_of(entry, plan, case))
        forward, of_inputs, of_weights = make.with_gradients(shape.sizes, shape.times, case.peak, shape.batch)
        yield forward
        yield of_inputs
        if entry.trained:
            yield make.summed(of_weights, shape.sizes, shape.times, shape.batch)
        if entry.role in ADAPTERS:  # forward what the second gives, backward what the first does
            yield make.added(shape, as_float(entry.d_out if entry.role == "lora_b" else entry.d_in))


class _Again(NamedTuple):
    """What the backward pass begins with: products of layers and of routed experts, and bytes that are read and written."""

    products: tuple[Product, ...]
    experts: tuple[Product, ...]
    written: float
    frozen: float = 0.0
    """Weights in few bits that are unpacked for it."""


def _frozen(share: Ledger) -> float:
    """Weights of matrices that are frozen and are kept in few bits where the model is: those that adapters may be on."""
    return _frozen_of(entry for entry in share.entries if isinstance(entry, Matmul) and is_linear(entry))


def _frozen_of(matrices: Iterable[Matmul]) -> float:
    frozen = (entry for entry in matrices if not entry.trained)
    weights: float = in_order(as_float(entry.stored * entry.d_in * entry.d_out) for entry in frozen)
    return weights


def _again(redone: Ledger, plan: Parallelism, case: Case, make: Products) -> _Again:
    """Whole layers once more, or every second product of them, which keeps all that is written of routed experts."""
    whole, second = case.repeated.layers, case.repeated.second
    if is_nothing(whole) and is_nothing(second):
        return _Again((), (), 0.0)
    plain, routed, _ = _matrices(tuple(joined(redone)))
    every = [] if is_nothing(second) else list(computed_again(redone))
    apart = [[e for e in every if is_expert(e) != of_one] for of_one in (True, False)]
    products, experts = (
        (*_run_once(matrices, whole, plan, case, make), *_run_once(seconds, second, plan, case, make))
        for matrices, seconds in zip((plain, routed), apart, strict=True)
    )
    of_experts = all_written(routed, plan, case) + placed(routed, plan, case)
    written = (whole + second) * all_written(plain, plan, case) + whole * of_experts
    frozen = 0.0
    if not is_nothing(case.unpacked):
        frozen = whole * _frozen(redone) + second * _frozen_of(every)
    return _Again(products, experts, written, frozen)


def _of_modules(redone: Ledger, plan: Parallelism, case: Case, make: Products) -> _Again:
    """What the backward pass begins with where only modules of a layer are computed again."""
    plain, routed, _ = _matrices(tuple(joined(redone)))
    roles = frozenset[Role]().union(*(_MODULES[name] for name in case.modules))
    again = [entry for entry in plain if entry.role in roles]
    gated = [entry for entry in routed if entry.role != "down"] if "moe_act" in case.modules else []
    products = tuple(_run_once(again, 1.0, plan, case, make))
    return _Again(products, (), all_written([*again, *gated], plan, case))


def _run_once(
    matrices: Iterable[Matmul], often: float, plan: Parallelism, case: Case, make: Products
) -> Iterator[Product]:
    """A product a matrix, forward so often once more."""
    if is_nothing(often):
        return
    for entry in matrices:
        shape = shape_of(entry, tokens_of(entry, plan, case))
        yield make.of(*shape.sizes, often * shape.times, case.peak, shape.batch)
        if entry.role == "lora_b":
            yield make.added(shape, as_float(entry.d_out)).times(often)


def _recurrences(share: Ledger, plan: Parallelism, case: Case) -> Iterator[Product]:
    """Scans and convolutions, forward and backward, as products at the 16-bit peak."""
    for entry in share.entries:
        if isinstance(entry, (Scan, Conv)):
            flops = scan_flops(entry, case.run) if isinstance(entry, Scan) else conv_flops(entry, case.run)
            yield Product(3.0 * case.micro * flops / plan.context / case.peak_16, 0.0)


def _updated(share: Ledger, plan: Parallelism) -> float:
    """Parameters that a device's optimizer updates: of each its part of those that hold the same."""
    total = 0.0
    for entry in share.entries:
        match entry:
            case Matmul(trained=True):
                held = as_float(entry.stored * entry.d_in * entry.d_out)
            case Lookup(trained=True):
                held = as_float(entry.stored * entry.rows * entry.width)
            case _:
                continue  # vectors and the like are thousandths of it
        total = total + held / where(plan.zero > 0, shards(entry, plan), 1)
    return total
