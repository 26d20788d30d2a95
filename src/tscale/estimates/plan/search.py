"""Searches of training layouts: one for each kind of device and each number of them, and what the best of them come to."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property
from heapq import heappush, heappushpop
from typing import Any, Final, NamedTuple

from tscale.calibration.training_case import CURRENT, Prediction, TrainingCase, as_cut, bound_of, prediction
from tscale.catalogue.hardware import Hardware
from tscale.core.axis import Axis
from tscale.core.costs.activations import Attention
from tscale.core.costs.states import adapted
from tscale.core.costs.step_time import Batch
from tscale.core.costs.training import counted_flops
from tscale.core.costs.training_setup import Adapters, Training
from tscale.core.ledger import Matmul
from tscale.core.metric import Figure
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.core.sharding import shares_of
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError, field
from tscale.estimates.capacity import Capacity, Verdict
from tscale.estimates.explaining import trained_text
from tscale.estimates.media import Media, check_fits, media_costs
from tscale.estimates.memory.peak import peak_of, products_of
from tscale.estimates.memory_train.ask import Ask as MemoryAsk
from tscale.estimates.memory_train.ask import refuse
from tscale.estimates.memory_train.held import refuse_loss
from tscale.estimates.plan.axes import axes_of
from tscale.estimates.recomputed import recomputed
from tscale.estimates.rent import Rent
from tscale.estimates.train.prediction import PARTS
from tscale.estimates.trained import training_length
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec
from tscale.models.stages import stages
from tscale.models.trainer import trainer
from tscale.planning.flags import flags_of, lacks_of
from tscale.planning.framework_options import Job
from tscale.planning.layouts import MOST_LAYOUTS, Axes, Layout, Layouts, lightest
from tscale.planning.search import Found, Run, front, search
from tscale.planning.stage_kinds import Model, model_of

MOST_SEARCHES: Final = 64
"""Kinds of device by numbers of them that one answer is of."""
_SPARE: Final = 8
"""Times the largest figure that something on its way to it may come to, such as bits for bytes."""
MOST_IN_ALL: Final = 10_000_000
"""Layouts of all searches of one answer."""


class Ask(NamedTuple):
    """What is searched: the run, the devices, the axes that were given, and how layouts are ranked."""

    batch: int
    sizes: tuple[int, ...]
    chips: tuple[tuple[str, Hardware], ...]
    """Each with the name that it was given by."""
    given: Mapping[str, Axis | None]
    tokens: int | None = None
    context: int | None = None
    days: Fraction | None = None
    dollars: Fraction | None = None
    rank: str = "time"
    top: int = 10
    price: Fraction | None = None
    share: Fraction | None = None
    stack: str = CURRENT
    kernel: str | None = None
    attention: Attention = "flash"
    any_tokens: bool = False
    """Whether no tokens of the run are known, so that a command must name some, which do not change a step."""
    media: Media = Media()
    """Images and sounds in each sequence."""
    words: str = ""
    """The model as the command line names it."""
    changes: str = ""
    """What of the hardware is changed, as the command line says it."""
    adapters: Adapters | None = None
    """What alone is trained, where that is not the model."""
    adapter_words: str = ""
    """Those as the command line names them."""


class Subject(NamedTuple):
    """The model that is laid out: its ledger, the lengths of its sequences, FLOPs of a sequence."""

    spec: ModelSpec
    model: Model
    context: Figure
    run: SequenceLengths
    flops: int
    adapters: Adapters | None = None

    @property
    def label(self) -> str:
        """What is trained, in words."""
        rank, base = (None, None) if self.adapters is None else (self.adapters.rank, self.adapters.base)
        return trained_text(self.spec, rank, base)

    @property
    def experts(self) -> int:
        """Routed experts of a layer; 0 without any."""
        return max(
            (int(e.experts) for e in self.model.whole.entries if isinstance(e, Matmul) and e.experts > 1), default=0
        )


def subject_of(
    spec: ModelSpec, context: int | None, media: Media = Media(), adapters: Adapters | None = None
) -> Subject:
    """The model of a search, with images and sounds in each sequence, and adapters that alone are trained.

    Raises `TscaleError` where its sequences have no length, or do not hold these.
    """
    costs = media_costs(spec, media)
    passes = tuple(one for cost in costs for one in cost.passes)
    ledger = lower(spec, saves=True, media=passes)
    length = training_length(spec, context)
    check_fits(costs, int(length.value))
    run = run_of(spec, int(length.value))._replace(media=passes)
    timed = ledger.whole if passes else ledger
    if adapters is not None:
        timed = adapted(timed, adapters.rank, adapters.targets, adapters.base)
    model = model_of(spec, ledger.whole, None if timed is ledger.whole else timed)
    return Subject(spec, model, length, run, int(counted_flops(timed, run, run.tokens, "full")), adapters)


class Best(NamedTuple):
    """One of the best layouts: its prediction, its bound, and the bytes of a device of its fullest stage."""

    layout: Layout
    hardware: Hardware
    chip: str
    gpus: int
    prediction: Prediction
    bound: Fraction
    total: int
    least: int
    verdict: Verdict
    bound_by: str
    peak: int
    rent: Rent | None

    @property
    def seconds(self) -> float:
        """Of a step, as it is predicted."""
        return self.prediction.seconds.middle

    @property
    def usd(self) -> float | None:
        """US dollars of a step."""
        return None if self.rent is None else float(self.rent.middle) * self.gpus * self.seconds / 3600

    def mfu(self, flops: int) -> float:
        """Of steps of so many FLOPs."""
        return flops / (self.gpus * self.peak * self.seconds)


class Sized:
    """A search on so many devices of a kind."""

    def __init__(
        self,
        subject: Subject,
        ask: Ask,
        chip: tuple[str, Hardware],
        gpus: int,
        rent: Rent | None,
        most: int = MOST_LAYOUTS,
    ) -> None:
        self._most = most
        self.subject, self.ask, self.gpus, self.rent = subject, ask, gpus, rent
        self.chip, self.hardware = chip
        self._cluster = self.hardware.cluster()
        self.axes = axes_of(
            subject.spec, subject.model.whole, ask.given, gpus, self._cluster.devices_per_node,
            ask.batch, int(subject.run.tokens), unfused=ask.attention == "naive",
        )  # fmt: skip
        if gpus > self._cluster.devices_per_node and self._cluster.network_bytes_per_second is None:
            raise RequestError(
                f"the network between {gpus:,} {self.hardware.name}s in nodes of {self._cluster.devices_per_node} is not known: "
                f"{field('gpu_set')} network_gb_per_s=N gives it"
            )

    @cached_property
    def found(self) -> Found:
        """All that fit, the fastest first but for bounds."""
        return self._search(self.axes)

    @property
    def can_fit(self) -> bool:
        """Whether any layout fits, of those that need least: of the smallest micro-batches, with the most recomputed."""
        return self._search(lightest(self.axes)).size > 0

    def _search(self, axes: Axes) -> Found:
        base = Training(
            PRECISIONS["bf16"], OPTIMIZERS["adamw"], Parallelism(), self.subject.run, attention=self.ask.attention,
            batch=self.ask.batch,
        )  # fmt: skip
        if (own := self.subject.adapters) is not None:
            base = base._replace(rank=own.rank, lora_targets=own.targets, base=own.base)
        for precision in axes.precision:
            refuse(self.subject.spec, MemoryAsk(base._replace(precision=PRECISIONS[precision])))
        self._check_range(base)
        cases = tuple(self._case(name) for name in axes.precision)
        if not any(cases):
            peak_of(self._cluster.device, self.hardware, products_of(axes.precision[0]))  # says why
        return search(
            Run(self.subject.model, base, cases, self._rooms),
            axes,
            self.gpus,
            self.ask.batch,
            self._most,
        )

    def _check_range(self, base: Training) -> None:
        """Raises `RequestError` where bytes of some layout may be more than whole numbers of 64 bits, which arrays hold.

        A stage of p keeps a p-th of the layers for at most (2 + v)·p pieces of micro-batches.
        """
        micro, context = max(self.axes.micro_batch), int(self.subject.context.value)
        one = trainer(self.subject.spec, base._replace(micro_batch=micro), context)
        for loss in self.axes.loss:
            refuse_loss(one, loss)
        alone = one.totals()[0]
        if alone * (2 + max(self.axes.interleave)) * _SPARE > 2**63:
            raise RequestError(
                f"micro-batches of {micro:,} sequences of {context:,} tokens are more than plan counts: give a smaller {field('micro_batch')}, "
                f"or a shorter {field('context')}"
            )

    def _case(self, precision: str) -> TrainingCase | None:
        """A step in a precision, whatever the layout; None where the device has no peak in it."""
        try:
            dtype, _ = peak_of(self._cluster.device, self.hardware, products_of(precision))
        except RequestError:
            return None
        whole, spec, own = self.subject.model.of_a_step, self.subject.spec, self.subject.adapters
        return TrainingCase(
            (whole,), (whole,), Parallelism(data=self.gpus), self.subject.run, Batch(self.ask.batch, 1), int(spec.d_model), self._cluster,
            dtype, stack=self.ask.stack, kernel=self.ask.kernel, parallel_block=spec.parallel_block,
            base=None if own is None else own.base, gradient_bytes=PRECISIONS[precision].gradients,
        )  # fmt: skip

    def _rooms(self, groups: int) -> tuple[int, int]:
        one = Capacity(self._cluster.device, groups, training=True, share=self.ask.share)
        return one.usable, one.most

    def best(self, count: int) -> list[Best]:
        """The best so many, each predicted as `train` predicts it: never below its bound.

        Layouts come in the order of their predictions without bounds, which only make them slower: when the last of the best is no
        slower than the next without its bound, none behind it can be better.
        """
        heap: list[tuple[float, int, Best]] = []
        seconds, total = self.found.seconds, self.found.total
        for row in range(self.found.size):
            if len(heap) == count and -heap[0][0] <= seconds[row]:
                break
            if row and (seconds[row], total[row]) == (seconds[row - 1], total[row - 1]):
                continue  # it comes to the same as the one before, which is simpler
            one = self._exactly(row)
            entry = (-one.seconds, -row, one)
            if len(heap) < count:
                heappush(heap, entry)
            else:
                heappushpop(heap, entry)
        return [one for _, _, one in sorted(heap, key=lambda entry: (-entry[0], -entry[1]))]

    def _exactly(self, row: int) -> Best:
        """A layout by the code of `train`."""
        layout = self.found.layouts.one(row)
        plain = self.case_of(layout, layout.plan.trained)
        bound = bound_of(plain)
        found = prediction(self.case_of(layout, as_cut(layout.plan.trained)), bound)
        verdict: Verdict = "fits" if self.found.fits[row] else "may_fit"
        return Best(
            layout, self.hardware, self.chip, self.gpus, found, bound, int(self.found.total[row]), int(self.found.least[row]),
            verdict, _most_of(found), plain.peak, self.rent,
        )  # fmt: skip

    def case_of(self, layout: Layout, plan: Parallelism) -> TrainingCase:
        """A step of a layout, as `train` times it."""
        case = self._case(layout.precision)
        assert case is not None, "layouts in formats that the device has no peak in are rejected"
        of_stages = stages(self.subject.spec, plan, self.subject.model.of_a_step)
        redone = recomputed(self.subject.spec, self.subject.model.of_a_step, layout.recompute, layout.again, plan)
        return case._replace(
            stages=of_stages,
            shares=shares_of(of_stages, plan),
            plan=plan,
            expert_tensor=layout.plan.trained.expert_cut,
            batch=Batch(self.ask.batch, layout.micro_batch),
            again=redone.policy,
            redone=redone.stages,
        )

    def points(self, rows: Any) -> list[tuple[Layout, float, int]]:
        """Layouts at some places with their seconds and bytes."""
        own: Layouts = self.found.layouts
        return [(own.one(int(row)), float(self.found.seconds[row]), int(self.found.total[row])) for row in rows]

    @cached_property
    def best_of_frameworks(self) -> dict[str, Best]:
        """The fastest layout, by predictions without bounds, that each framework has options for; one that has for none is absent."""
        found: dict[str, Best] = {}
        if self.subject.adapters is not None:
            return found
        for row in range(min(self.found.size, _MOST_TRIED)):
            flags = self.flags(self.found.layouts.one(row))
            new = [name for name, line in flags.items() if line is not None and name not in found]
            found |= dict.fromkeys(new, self._exactly(row)) if new else {}
            if len(found) == len(flags):
                break
        return found

    def flags(self, layout: Layout) -> dict[str, str | None]:
        """A layout as options of training frameworks."""
        found = flags_of(layout, self._job)
        return found if self.subject.adapters is None else dict.fromkeys(found)

    def lacks(self, layout: Layout) -> dict[str, str]:
        """What those frameworks that have no options for a layout have none for."""
        return lacks_of(layout, self._job)

    @property
    def _job(self) -> Job:
        return Job(
            int(self.subject.spec.layers), self.subject.experts, self.ask.batch, int(self.subject.context.value),
            self._cluster.devices_per_node, self.subject.spec.kind == "encoder-decoder",
            int(self.subject.spec.mtp or 0),
        )  # fmt: skip


_MOST_TRIED: Final = 20_000
"""Layouts that are looked through for one that a framework has options for."""


def _most_of(found: Prediction) -> str:
    """The part that takes the longest, and its share of the step; behind products, the longest other one."""
    whole = float(found.parts.seconds)
    parts = sorted(((float(value), name) for name, value in found.parts._asdict().items()), reverse=True)
    return ", ".join(f"{PARTS[name]} {seconds / whole:.0%}" for seconds, name in parts[:2] if seconds)


def ranked(found: list[Best], rank: str) -> list[Best]:
    """The best of several searches in one order: time, dollars or tokens/s per device, of steps of the same tokens."""
    if rank == "dollars":
        return sorted(found, key=lambda one: (one.usd is None, one.usd))
    if rank == "throughput":
        return sorted(found, key=lambda one: one.gpus * one.seconds)
    return sorted(found, key=lambda one: one.seconds)


def pareto(sized: Sized) -> list[tuple[Layout, float, int]]:
    """Of all that fit, those that need less memory than any that is faster."""
    return sized.points(front(sized.found.seconds, sized.found.total))


def total_rejected(searches: list[Sized]) -> dict[str, int]:
    """How many layouts of all searches fell to which reason."""
    counts: dict[str, int] = {}
    for one in searches:
        for reason, count in one.found.rejected.items():
            counts[reason] = counts.get(reason, 0) + count
    return counts
