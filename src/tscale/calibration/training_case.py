"""A training step that is asked about or was measured: which calibration it is predicted with, its time and its bound."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, replace
from fractions import Fraction
from math import ceil, log, sqrt
from typing import Final, Literal, NamedTuple

from tscale.calibration.interval import Interval, interval
from tscale.catalogue.calibrations import TRAINING, UNFUSED, Calibration, Family, Residual, calibration, family_of
from tscale.core.costs.schedules import predicted_fill, runs, unpaired
from tscale.core.costs.step_prediction import StepSeconds, TrainingConstants, predict
from tscale.core.costs.step_products import REPEATED, Again, Case
from tscale.core.costs.step_sent import Sent
from tscale.core.costs.step_time import BITS, Batch, Workload, step_of
from tscale.core.costs.step_work import StepWork, step_work
from tscale.core.device import NARROW, Cluster, of_peak
from tscale.core.dtypes import Dtype
from tscale.core.ledger import Ledger, Matmul, Scan
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import is_mixture, shares_of
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError, nearest, shown

Queued = Literal["graphs", "eager", "overlapped"]
"""Kernels of layers with routed experts: in CUDA graphs, one by one, or so for two micro-batches in turns, one of which sends its tokens
while the other is computed (Megatron-LM's overlap_moe_expert_parallel_comm)."""
Dispatcher = Literal["alltoall", "deepep", "hybridep"]
"""How tokens go to their experts: one copy for each expert, or one for each device that has some (moe_token_dispatcher_type and
moe_flex_dispatcher_backend of Megatron-LM)."""
_TIMES: Final[Mapping[Queued, float]] = {"graphs": 0.0, "eager": 1.0, "overlapped": 2.0}
MEGATRON, MEGATRON_LM = "megatron-deepspeed", "megatron-lm"
CURRENT, LATEST = "current", "megatron-bridge-26.06"
_BEFORE_2023: Final = (MEGATRON, MEGATRON_LM)
STACKS: Final = (CURRENT, LATEST, *_BEFORE_2023)
"""Training stacks: frameworks of 2023 to the spring of 2026 on fused kernels, mixtures of Megatron-Bridge from release 26.06 on, by
recipes whose kernels of experts are fused and hide more of what they send, or eager and unfused ones, Megatron-DeepSpeed as of 2022 on nodes
of four NICs, and Megatron-LM as of 2021 and 2022 on those of eight."""
_SIXTEEN_BITS: Final = ("bf16", "fp16")


def as_cut(plan: Parallelism) -> Parallelism:
    """The plan as predictions read it: experts that are spread over tensor-parallel devices stand as if these cut them.

    Each device has as many numbers of them, computes and sends as much.
    """
    ranks = plan.expert * (plan.expert_tensor or 1)
    return plan._replace(expert=max(ranks // plan.tensor, 1), expert_tensor=None)


class TrainingCase(NamedTuple):
    """A step: ledgers of its stages, whole and as one device has them, and how they are run.

    `kernel`: of attention, None for the usual one of the stack and the chip. `hides_gathers`: whether weights in shards are
    gathered, and their gradients scattered, behind the computing of other layers, as Megatron-FSDP does.
    """

    stages: tuple[Ledger, ...]
    shares: tuple[Ledger, ...]
    plan: Parallelism
    run: SequenceLengths
    batch: Batch
    d_model: int
    cluster: Cluster
    dtype: str
    again: Again = "none"
    stack: str = CURRENT
    kernel: str | None = None
    parallel_block: bool = False
    hides_gathers: bool = False
    redone: tuple[Ledger, ...] | None = None
    """Of each stage the layers that `again` is about, whole; None for all of them."""
    base: Dtype | None = None
    """The format of few bits that the frozen matrices under adapters are kept in; None where they are in that of the others."""
    gradient_bytes: int = 4
    """Bytes of a number of the sum that micro-batches' gradients are added to."""
    modules: frozenset[str] = frozenset()
    """Modules that are computed again, beside `again` (`tscale.core.costs.step_work.MODULES`)."""
    passes: int = 1
    """Times that a step fills and drains its pipeline, each with as many of its micro-batches."""
    queued: Queued = "eager"
    """How the host queues the kernels of routed experts' layers."""
    expert_tensor: int = 1
    """Devices that cut each routed expert, of those that `plan` spreads experts over (`as_cut`)."""
    dispatcher: Dispatcher = "deepep"
    """How tokens go to their experts."""
    narrow_head: bool = False
    """Whether the head's products are in `dtype` too (Megatron-LM's fp8_output_proj), not in 16 bits."""
    automodel: bool = False
    """Whether it is a benchmark of Automodel: what limits and gates the outputs of experts with biases is one kernel, a token's experts follow
    one another, and PyTorch's pipeline waits for what is sent."""
    source: str = ""
    """Who published how long it took, as a row of a table says; nothing of a step that is asked about."""

    @property
    def chip(self) -> str:
        """The name of the accelerator."""
        return self.cluster.device.name

    @property
    def peak(self) -> int:
        """FLOP/s of the products' format."""
        return self.cluster.device.flops_per_second[of_peak(self.dtype)]

    @property
    def peak_16(self) -> int:
        """FLOP/s of what layers of fewer bits have in 16; that of their products where these are in fp32, or there is none of 16."""
        if self.dtype == "fp32":
            return self.peak
        peaks = self.cluster.device.flops_per_second
        return next((peaks[name] for name in _SIXTEEN_BITS if name in peaks), self.peak)

    @property
    def has_experts(self) -> bool:
        """Whether tokens are routed."""
        return any(map(is_mixture, self.stages))

    @property
    def has_adapters(self) -> bool:
        """Whether the model is frozen, and adapters are trained."""
        return any(
            isinstance(entry, Matmul) and entry.role == "lora_a" for stage in self.stages for entry in stage.entries
        )


OF_PUBLISHERS: Final = "for each publisher of such runs when the fit had none of its own"
"""How wide an interval is of a case of another source (`Choice`)."""


class Choice(NamedTuple):
    """The calibration of a case, the kind of case that it is there, and why it is not covered, if it is not.

    `another_source`: whether nothing says that who published the calibration's runs ran it, on the same clusters and with the same software.
    """

    calibration: Calibration
    kind: str
    outside: tuple[str, ...]
    another_source: bool = False

    @property
    def residual(self) -> Residual:
        """What others of its kind were measured at; of another source, what each source was by constants fitted to the others.

        Where the calibration does not cover a case of another source, both may be as far off, and independent errors add up in squares.
        """
        found = self.calibration.residuals["elsewhere" if self.outside or self.another_source else self.kind]
        if self.outside and self.another_source:
            return replace(found, low=found.low ** sqrt(2), high=found.high ** sqrt(2))
        return found


class Prediction(NamedTuple):
    """Seconds of a step as an 80% interval, the parts of its middle, and what it rests on."""

    seconds: Interval
    parts: StepSeconds
    choice: Choice
    kernel: str


def chosen(case: TrainingCase) -> Choice:
    """The calibration of a case's stack: where it has several, of those that know the network if nodes talk, the nearest in width.

    What is new in the latest stack are kernels of experts: models without them are predicted as before it.

    Raises `RequestError` for a stack that is none.
    """
    if case.stack not in STACKS:
        raise RequestError(f"no training stack {shown(case.stack)}: {nearest(case.stack, STACKS)}")
    several = case.plan.devices > case.cluster.devices_per_node
    stack = CURRENT if case.stack == LATEST and not case.has_experts else case.stack
    of_stack = [
        one
        for one in map(calibration, TRAINING)
        if stack in one.covers.stacks and ("nics" in one.constants or not several)
    ]
    found = min(of_stack, key=lambda one: _apart(case.d_model, one.covers.d_model))
    sources = found.covers.sources
    another = bool(sources) and case.source.split(" ")[0] not in sources
    return Choice(found, kind_of(case, found.residuals), tuple(_outside(case, found)), another)


def kind_of(case: TrainingCase, kinds: Collection[str]) -> str:
    """The kind of a case, of those that a calibration divides its runs into: they scatter alike around what it predicts.

    See `tscale.calibration.fit_training`. Of a calibration that has none that the case is of, whether it has experts: it is not covered.
    """
    tensor = case.plan.tensor
    of_cluster = "tensor 2 to 4" if 1 < tensor < _WHOLE else f"tensor 1, or {_WHOLE} and more"
    adapters = ("adapters",) if case.has_adapters else ()
    plain = "experts" if case.has_experts else "dense"
    possible = (_kind_in_a_node(tensor, case.batch.micro), of_cluster, *adapters, plain)
    return next((kind for kind in possible if kind in kinds), plain)


def _kind_in_a_node(tensor: int, micro_batch: int) -> str:
    if tensor <= _TWICE:
        return f"tensor {tensor}, micro-batch {micro_batch if micro_batch <= _TWICE else '3 and more'}"
    return f"tensor 3 and more, micro-batch {1 if micro_batch == 1 else '2 and more'}"


_WHOLE: Final = 8
"""Devices of tensor parallelism that fill a node of the runs that are told apart by it."""


def ways_of(case: TrainingCase) -> Iterator[str]:
    """Ways to divide a model that a calibration covers where one of its runs has them."""
    if case.plan.interleave > 1:
        yield "interleaved stages"
    if case.plan.sequence:
        yield "sequence parallelism"
    if case.plan.zero:
        yield "sharded optimizer states"


def _apart(width: int, covered: tuple[int, int]) -> float:
    """How far a width is beyond those that are covered, in logarithms."""
    low, high = covered
    return max(log(low / width), log(width / high), 0.0)


_TWICE: Final = 2
_BYTES: Final = 2
"""Of a weight that is unpacked into 16 bits."""


def _outside(case: TrainingCase, found: Calibration) -> Iterator[str]:
    """What its runs do not cover of a case."""
    covers = found.covers
    if case.chip not in covers.chips:
        yield case.chip
    if case.dtype not in covers.precisions:
        yield case.dtype
    if any(isinstance(entry, Scan) for stage in case.stages for entry in stage.entries):
        yield "recurrent layers"
    if case.has_adapters and "adapters" not in found.residuals:
        yield "adapters on a frozen model"
    if case.base is not None:
        yield f"a model in {case.base.name}"
    if case.has_experts and "experts" not in found.residuals:
        yield "routed experts"
    if _apart(case.d_model, covers.d_model) > log(_TWICE):
        yield f"a width of {int(case.d_model):,}"
    yield from _other_lengths(case, found)
    yield from filter(lambda way: way not in covers.ways, ways_of(case))
    if case.plan.context > covers.context:
        yield "context parallelism" if covers.context == 1 else f"context parallelism over {case.plan.context} devices"


def _other_lengths(case: TrainingCase, found: Calibration) -> Iterator[str]:
    """Sequences more than twice shorter or longer than those of the runs that the interval of a case's kind is of."""
    like = found.residuals.get(kind_of(case, found.residuals))
    if like is None:
        return
    if case.run.tokens * _TWICE < like.shortest:
        yield f"sequences of fewer than {ceil(like.shortest / _TWICE):,} tokens"
    elif case.run.tokens > like.longest * _TWICE:
        yield f"sequences of more than {like.longest * _TWICE:,} tokens"


def kernel_of(case: TrainingCase, family: Family) -> str:
    """The attention kernel: as named, or the usual one of the stack on the chip."""
    if case.kernel is not None:
        return case.kernel
    return UNFUSED if case.stack in _BEFORE_2023 else family.usual


def work_of(case: TrainingCase) -> StepWork:
    """What the step gives its devices to do. Raises `RequestError` where a link is not known or a batch does not divide."""
    run = micro_batches_of(case, case.batch.micro, runs(case.batch.micro_batches(case.plan), case.plan))
    redone = None if case.redone is None else shares_of(case.redone, case.plan)
    work = step_work(case.shares, case.plan, run, case.cluster, redone)
    if case.passes > 1:
        if run.micro_batches % case.passes:
            raise RequestError(
                f"passes: {case.passes:,} of {run.micro_batches:,} micro-batches: each pass has as many of them"
            )
        each = run.micro_batches // case.passes
        paired = 1 - float(unpaired(case.plan, each)) if work.hides else 0.0
        work = work._replace(fill=case.passes * float(predicted_fill(case.plan, each)), hides=paired)
    return work._replace(gathers=Sent()) if case.hides_gathers else work


def micro_batches_of(case: TrainingCase, micro: int, micro_batches: int) -> Case:
    """What a device runs of a case, of so many micro-batches of so many sequences, which may be arrays."""
    family = family_of(case.chip)
    return Case(
        case.run,
        micro,
        micro_batches,
        int(case.d_model),
        REPEATED[case.again],
        case.peak * family.scaled(case.dtype),
        case.peak_16,
        case.dtype in NARROW,
        kernel_of(case, family) != UNFUSED,
        family.multiprocessors,
        case.parallel_block,
        0.0 if case.base is None else float(case.base.bits) / 8 + _BYTES,
        float(case.gradient_bytes),
        case.modules,
        compiled=case.automodel,
        queued=_TIMES[case.queued],
        copied=case.dispatcher == "alltoall",
        in_a_row=case.automodel,
        waits=case.automodel,
        expert_tensor=case.expert_tensor,
        narrow_head=case.narrow_head,
        wide=case.dispatcher != "alltoall" and case.stack != LATEST and not case.automodel,
        by_host=case.stack == MEGATRON,
        recent=case.stack not in _BEFORE_2023,
    )


_FIELDS: Final = tuple(field.name for field in fields(TrainingConstants))


def constants_from(values: Mapping[str, float], family: Family, kernel: str, chip: str) -> TrainingConstants:
    """The constants of values by name, for a kernel of a family of chips and one of them. Raises `RequestError` for an unknown kernel."""
    known = {name: float(values[name]) for name in _FIELDS if name in values}
    if kernel != UNFUSED:
        known["attention"] = family.share(kernel)
    for name, rate in (("products", family.rate(chip)), ("products_8bit", family.rate_8bit(chip))):
        if name in known:
            known[name] *= rate
    return TrainingConstants(**known)


def constants_for(case: TrainingCase, choice: Choice) -> TrainingConstants:
    """The constants that a case is predicted with. Raises `RequestError` for a kernel that is not known on its chip."""
    family = family_of(case.chip)
    values = {name: one.value for name, one in choice.calibration.constants.items()}
    return constants_from(values, family, kernel_of(case, family), case.chip)


def prediction(case: TrainingCase, bound: Fraction | None = None) -> Prediction:
    """How long a step takes, never less than a bound. Raises `RequestError` for what cannot be predicted."""
    choice, kernel = chosen(case), kernel_of(case, family_of(case.chip))
    parts = predict(work_of(case), constants_for(case, choice))
    least = None if bound is None else float(bound)
    seconds = interval(parts.seconds, choice.residual.low, choice.residual.high, least)
    return Prediction(seconds, parts, choice, kernel)


def bound_of(case: TrainingCase) -> Fraction:
    """The least seconds of a step (`tscale.core.costs.step_time`)."""
    bits = NARROW.get(case.dtype, BITS)
    work = Workload(case.run, case.batch, case.d_model, case.again, bits, case.parallel_block, case.redone)
    return step_of(case.stages, case.plan, work, case.cluster, case.peak).seconds
