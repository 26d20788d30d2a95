"""`tscale memory --train`: what a device holds while it trains a model, whether that fits, and how much more would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Final, NamedTuple

from tscale.answers.capacity import (
    Capacity,
    Verdict,
    capacity_data,
    capacity_notes,
    exit_code,
    left_out,
    reserve_table,
    training_capacity,
    verdict_text,
)
from tscale.answers.explaining import counted, line_figures, notes_of, steps_of, streams_note, summed
from tscale.answers.memory_changes import Change, changes_table, no_change_note
from tscale.answers.memory_tables import Growth, OfOne, Room, growth, parts_table
from tscale.answers.memory_train_changes import single_changes
from tscale.answers.memory_train_lines import (
    MOMENTS,
    Shortcut,
    kept_data,
    kept_table,
    owned_data,
    owned_table,
    shortcut_of,
    shortcut_table,
    stages_table,
)
from tscale.answers.peak import peak_of, products_of
from tscale.answers.recomputed import recomputed
from tscale.answers.release import training_note
from tscale.answers.train_plan import PlannedStep, as_bounds, planned_step
from tscale.answers.train_prediction import PredictedStep, predicted_step
from tscale.answers.trained import training_length
from tscale.answers.trainer import RANK, Trainer, trainer
from tscale.blocks import Rwkv, attentions
from tscale.catalogue.hardware import Hardware
from tscale.core.costs.activations import LEAVES_OUT as ACTIVATIONS_LEAVE_OUT
from tscale.core.costs.activations import Attention, Recompute
from tscale.core.costs.largest import largest
from tscale.core.costs.recompute import Again
from tscale.core.costs.schedules import in_flight
from tscale.core.costs.states import Offload
from tscale.core.costs.step_time import Batch
from tscale.core.costs.training_memory import LEAVES_OUT
from tscale.core.costs.training_setup import Needs, Training
from tscale.core.dtypes import FORMATS, Format
from tscale.core.ledger import NormKernel
from tscale.core.loss_kernels import KERNELS, OF_TRANSFORMERS, default_kernel, find_kernel
from tscale.core.metric import Data, Detail, Figure, Known, Quantity, Report, Step, Table, weakest
from tscale.core.number_text import number_text
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS, PRECISIONS, Optimizer, Precision
from tscale.core.roles import Role
from tscale.core.tracing import MOST_CONTEXT, TracedInt
from tscale.core.units import BYTES
from tscale.core.workload import Run
from tscale.errors import RequestError
from tscale.models.lower import run_of
from tscale.models.spec import ModelSpec, remembered

MOST_MICRO_BATCH: Final = 10**6


class Ask(NamedTuple):
    """How a model is to be trained, and on what, where that is given."""

    recipe: Precision = PRECISIONS["bf16"]
    optimizer: Optimizer = OPTIMIZERS["adamw"]
    plan: Parallelism = Parallelism()
    micro_batch: int = 1
    context: int | None = None
    attention: Attention = "flash"
    recompute: Recompute = "none"
    dropout: bool = False
    rank: int | None = None
    base: Format | None = None
    memory_share: Fraction | None = None
    hardware: Hardware | None = None
    loss: str | None = None
    kernels: NormKernel = "fused"
    again: Again | None = None
    optimizer_in_backward: bool = False
    offload: frozenset[Offload] = frozenset()
    lora_targets: frozenset[Role] | None = None
    batch: int | None = None
    """Sequences of a step over all copies, of which no more are in flight in a pipeline."""


def train_ask(
    *, precision: str, optimizer: str, rank: int | None, qlora: bool, loss: str | None = None, **given: Any
) -> Ask:
    """What is asked, by the names of recipe, optimizer and loss; QLoRA is adapters on a model in nf4."""
    return Ask(
        loss=None if loss is None else find_kernel(loss).name,
        recipe=PRECISIONS[precision],
        optimizer=OPTIMIZERS[optimizer],
        rank=rank or (RANK if qlora else None),
        base=FORMATS["nf4"] if qlora else None,
        **given,
    )


_PARTS: Final = {
    "weights": "weights",
    "gradients": "gradients",
    "master": "master weights",
    "optimizer": "optimizer states",
    "activations": "activations",
    "logits": "logits",
    "temporary": "largest temporary",
}
"""What a training device holds, and how it is called."""


def memory_train_report(spec: ModelSpec, ask: Ask, batch: int | None = None) -> Report:
    """What a device of the fullest stage holds, whether it fits, and what else would. Exit code 3 where it does not.

    `batch`: the sequences of a step, whose time is predicted and bounded too.
    """
    held = _held(weighed(spec, ask))
    step = None if batch is None else _step(spec, ask, held.one.context, batch)
    tables = (*_tables(held), *(() if step is None else (step.table,)))
    said = (*_notes(held), *_timing_notes(step, ask, batch))
    notes = notes_of(spec, held.one.context.note, training_note(spec, ask.recipe.name), *said)
    data = {**_data(held), **({} if batch is None else {"step": None if step is None else step.data})}
    steps = _steps(spec, ask, held.one.context, held.one.stage)
    return Report(
        held.one.title,
        tables,
        data,
        notes,
        steps,
        exit_code=exit_code(held.one.capacity, held.one.total, held.one.least),
    )


def refuse(spec: ModelSpec, ask: Ask) -> None:
    """Raises `RequestError` for what cannot be trained so."""
    if ask.rank is not None and ask.rank > spec.d_model:
        raise RequestError(
            f"a rank of {ask.rank:,} is no low one: {spec.label} is {spec.d_model:,} wide, the most for --lora-rank"
        )
    if ask.recipe.name == "fp16" and any(isinstance(mixer, Rwkv) for mixer in spec.mixers):
        raise RequestError(
            f"{spec.label}'s kernel keeps its arrays in 32 bits where the rest is in fp16, which is not counted: use --precision bf16"
        )


class Weighed(NamedTuple):
    """What a device of the fullest stage holds, of what it was asked, and its room."""

    ask: Ask
    model: Trainer
    context: Figure
    stage: int
    most: Needs
    least: int
    capacity: Capacity | None

    @property
    def total(self) -> int:
        return self.most.total

    @property
    def known(self) -> Known:
        """How what depends on the length is known."""
        return "assumed" if self.context.known == "assumed" else "convention"

    @property
    def title(self) -> str:
        """What is asked, and whether it fits."""
        verdict = None if self.capacity is None else verdict_text(self.capacity, self.total, self.least)
        return _title(
            self.model.spec, self.model, self.ask, self.total, verdict, assumed=self.context.known == "assumed"
        )

    @property
    def data(self) -> dict[str, Data]:
        """Bytes by part, and whether they fit."""
        return {
            "per_device_bytes": {
                **_bytes_by_part(self.most, self.known),
                "total": Figure(self.total, BYTES, self.known),
            },
            "least_total_bytes": Figure(self.least, BYTES, self.known),
            **capacity_data(self.capacity, self.ask.hardware, self.total, self.known, self.least),
        }


def weighed(spec: ModelSpec, ask: Ask) -> Weighed:
    """What a device holds, before anything else that would fit is looked for.

    Raises `RequestError` for what cannot be trained so, a plan that cannot be, and a loss that the model does not have.
    """
    refuse(spec, ask)
    context = training_length(spec, ask.context)
    model = trainer(spec, _training(ask), int(context.value))
    refuse_loss(model, ask.loss)
    return Weighed(ask, model, context, *model.worst(), model.least_total(), _capacity(ask))


def refuse_loss(model: Trainer, loss: str | None) -> None:
    """Raises `RequestError` for a kernel of a loss that a model does not have."""
    if loss is not None and not model.has_loss:
        raise RequestError(
            f"{model.spec.label} has no loss over a vocabulary that --loss could name a kernel of: drop it"
        )


class _Held(NamedTuple):
    """What a device holds, and what else would fit."""

    one: Weighed
    room: Room
    options: tuple[Change, ...]
    shortcut: Shortcut | None


def _held(one: Weighed) -> _Held:
    capacity, hardware = one.capacity, one.ask.hardware
    room = Room(None, None) if capacity is None else _room(one.model, capacity.usable)
    options: tuple[Change, ...] = ()
    if hardware is not None and capacity is not None and not capacity.fits(one.total):
        options = single_changes(one.model, hardware, capacity, *room)
    return _Held(one, room, options, shortcut_of(one.model, one.stage))


def _tables(held: _Held) -> Iterator[Table]:
    """The parts first, then the stages, what fits, what would make it fit, and the lines."""
    model, capacity = held.one.model, held.one.capacity
    parts = {name: _part(held.one.most, part, held.one.known) for part, name in _PARTS.items()}
    total = Figure(held.one.total, BYTES, held.one.known)
    at_least = Figure(held.one.least, BYTES, held.one.known) if held.one.least < held.one.total else None
    yield parts_table(held.one.title, model.spec.name, parts, total, capacity, at_least)
    if held.one.ask.plan.pipeline > 1:
        yield stages_table(model, held.one.stage)
    if capacity is not None:
        of_batch, of_context = f"at {model.context:,} tokens", f"at a micro-batch of {held.one.ask.micro_batch:,}"
        limits = f"the largest micro-batch {of_batch}", f"the longest context {of_context}"
        yield held.room.table(*limits, capacity, _of_one(model, capacity))
        if held.options:
            yield changes_table(held.options, capacity.verdict(held.one.total, held.one.least))
    if held.shortcut:
        yield shortcut_table(held.shortcut)
    yield owned_table(model, held.one.stage)
    yield kept_table(model, held.one.stage)
    if capacity is not None and capacity.share is None:
        yield reserve_table(capacity.reserve)


def _data(held: _Held) -> dict[str, Data]:
    """All of it for programs."""
    ask, model, spec = held.one.ask, held.one.model, held.one.model.spec
    return {
        "model": spec.name,
        "title": spec.label,
        **_figures(held),
        "changes": [change.data() for change in held.options],
        "stages": [Figure(model.needs(place).total, BYTES, held.one.known) for place in range(ask.plan.pipeline)],
        "shortcut": None if held.shortcut is None else held.shortcut.data(),
        "lines": [*owned_data(model, held.one.stage), *kept_data(model, held.one.stage)],
    }


def memory_train_figures(spec: ModelSpec, ask: Ask, batch: int | None = None) -> Data:
    """The figures of `memory_train_report` by their keys, without its lists: what a row of a sweep holds."""
    one = weighed(spec, ask)
    step = None if batch is None else _step(spec, ask, one.context, batch)
    room = Room(None, None) if one.capacity is None else _room(one.model, one.capacity.usable)
    held = _Held(one, room, (), shortcut_of(one.model, one.stage))
    shortcut = None if held.shortcut is None else held.shortcut.data()
    timed: dict[str, Data] = {} if batch is None else {"step": None if step is None else step.data}
    return {**_figures(held), "shortcut": shortcut, **timed}


def _figures(held: _Held) -> dict[str, Data]:
    """All that is no list."""
    ask, model = held.one.ask, held.one.model
    return {
        "mode": "train",
        "gpu": None if ask.hardware is None else ask.hardware.name,
        "devices": ask.plan.devices,
        "precision": ask.recipe.name,
        "optimizer": ask.optimizer.name,
        "plan": _plan_data(ask.plan),
        "micro_batch": ask.micro_batch,
        "context": held.one.context,
        "attention": ask.attention,
        "recompute": ask.again.text if ask.again is not None else ask.recompute,
        "kernels": ask.kernels,
        "optimizer_in_backward": ask.optimizer_in_backward,
        "offload": sorted(ask.offload),
        "lora_targets": None if ask.lora_targets is None else sorted(ask.lora_targets),
        **_loss_data(model, ask),
        "lora_rank": ask.rank,
        "stage": held.one.stage + 1,
        **held.one.data,
        **held.room.data(),
    }


class _Timed(NamedTuple):
    """A step: its bound, and what it is predicted to take."""

    least: PlannedStep
    predicted: PredictedStep

    @property
    def table(self) -> Table:
        return self.predicted.on(self.least.table)

    @property
    def data(self) -> Data:
        """The keys of a plan's JSON."""
        assert isinstance(self.least.data, Mapping)
        return {**self.least.data, **self.predicted.data}

    def notes(self) -> Iterator[str]:
        """What bounds it, and what the prediction rests on."""
        yield from self.least.notes(None)
        yield from self.predicted.notes()


def _timing_notes(step: _Timed | None, ask: Ask, batch: int | None) -> Iterator[str]:
    """What bounds a step and what is predicted of it, or why adapters' has no time."""
    if step is not None:
        yield from step.notes()
    elif batch is not None and ask.rank is not None:
        yield "No step is timed: a frozen model computes no gradients of its own weights, and times are those of full training."


def _step(spec: ModelSpec, ask: Ask, context: Figure, batch: int) -> _Timed | None:
    """The time of a step of so many sequences; None of adapters. Raises `RequestError` without hardware to time it on."""
    if ask.hardware is None:
        raise RequestError(
            "--batch with --train gives the least time of a step, on hardware: add --gpu, or drop --batch"
        )
    if ask.rank is not None:
        return None
    dtype, peak = peak_of(ask.hardware.device(), ask.hardware, products_of(ask.recipe.name))
    model, run, sequences = counted(spec), run_of(spec, int(context.value)), Batch(batch, ask.micro_batch)
    redone = recomputed(spec, model.ledger, ask.recompute, ask.again, ask.plan)
    given = (model, run, ask.plan, sequences, ask.hardware.cluster())
    least = planned_step(*given, peak, dtype, redone)
    predicted = predicted_step(*given, dtype, redone, least.step.seconds, known=weakest("predicted", context.known))
    return _Timed(as_bounds(least, weakest("bound", context.known)), predicted)


def _capacity(ask: Ask) -> Capacity | None:
    return None if ask.hardware is None else training_capacity(ask.hardware.device(), ask.plan, ask.memory_share)


def _training(ask: Ask) -> Training:
    """What is asked about, without the run, which the context gives."""
    return Training(
        ask.recipe,
        ask.optimizer,
        ask.plan,
        Run(target=0),
        ask.micro_batch,
        ask.attention,
        ask.recompute,
        ask.dropout,
        ask.rank,
        ask.base,
        ask.loss,
        ask.kernels,
        ask.again,
        ask.optimizer_in_backward,
        ask.offload,
        ask.lora_targets,
        ask.batch,
    )


def _room(model: Trainer, usable: int) -> Room:
    return Room(
        largest(lambda batch: model.with_(micro_batch=batch).totals()[0] <= usable, MOST_MICRO_BATCH),
        largest(lambda context: model.of_length(context).totals()[0] <= usable, MOST_CONTEXT),
    )


def _of_one(model: Trainer, capacity: Capacity) -> OfOne:
    def verdict(one: Trainer) -> Verdict:
        return capacity.verdict(one.worst()[1].total, one.least_total())

    return OfOne(lambda: verdict(model.with_(micro_batch=1)), lambda: verdict(model.of_length(1)))


def _plan_data(plan: Parallelism) -> Data:
    return {
        "data": plan.data,
        "tensor": plan.tensor,
        "sequence": plan.sequence,
        "pipeline": plan.pipeline,
        "interleave": plan.interleave,
        "context": plan.context,
        "expert": plan.expert,
        "expert_tensor": plan.trained.expert_tensor,
        "zero": plan.zero,
        "shards": plan.shards,
        "stages": None if plan.stages is None else list(plan.stages),
        "schedule": plan.order if plan.pipeline > 1 else None,
    }


def _title(spec: ModelSpec, model: Trainer, ask: Ask, total: int, verdict: str | None, *, assumed: bool) -> str:
    sequences = "one sequence" if ask.micro_batch == 1 else f"{ask.micro_batch:,} sequences"
    trained = spec.label if ask.rank is None else f"adapters of rank {ask.rank} for {spec.label}"
    length = f"{model.context:,} tokens" + (" (assumed)" if assumed else "")
    what = f"Training {trained} in {ask.recipe.name} with {ask.optimizer.name}, {sequences} of {length}, takes {number_text(total, 'decimal', 'B')}"
    devices = ask.plan.devices
    which = "each" if ask.plan.pipeline == 1 else "the fullest"
    if ask.hardware is None:
        return what if devices == 1 else f"{what} on {which} of {devices:,} devices"
    where = ask.hardware.label if devices == 1 else f"{which} of {devices:,} × {ask.hardware.label}"
    return f"{what} on {where}: {verdict}"


def _part(most: Needs, part: str, known: Known) -> Figure:
    quantity: Quantity = getattr(most, part)
    counted = part in ("weights", "gradients", "master", "optimizer")
    return Figure(quantity.total, BYTES, "exact" if counted else known, quantity.source)


def _loss_data(model: Trainer, ask: Ask) -> dict[str, Data]:
    """The loss by name, whether it was asked for, and what it takes on a device of the last stage."""
    taken = model.loss(ask.plan.pipeline - 1)
    if taken is None:
        return {"loss": None, "loss_default": None, "loss_bytes": None}
    return {
        "loss": model.training.loss_kernel,
        "loss_default": ask.loss is None,
        "loss_bytes": {name: Figure(value, BYTES, "convention") for name, value in taken._asdict().items()},
    }


def _loss_note(model: Trainer, ask: Ask) -> Iterator[str]:
    """Which loss is counted and why, and what it takes; the total has what an allocator reserves for it."""
    taken = model.loss(ask.plan.pipeline - 1)
    if taken is None:
        return
    kernel = KERNELS[model.training.loss_kernel]
    default = default_kernel(ask.plan, adapters=ask.rank is not None)
    why = f", {default.why} (default; --loss)" if ask.loss is None else ""
    kept, live, reserved = (f"{value / 10**9:.3g} GB" for value in taken)
    yield (
        f"loss: {kernel.name}{why}: {kernel.does}. It saves {kept} for its backward pass, {live} are live at its peak, and an "
        f"allocator reserves {reserved}, which the total counts."
    )


def _least_note(model: Trainer) -> str:
    """What the total at the least counts of the loss."""
    dropped = ", of a trainer that drops the model's output before the backward pass, as transformers' Trainer does"
    return (
        "The total at the least counts what the loss has live at its peak"
        f"{dropped if model.training.loss_kernel in OF_TRANSFORMERS else ''}: an allocator that runs out of memory gives back what it "
        "has reserved and does not use."
    )


def _bytes_by_part(most: Needs, known: Known) -> dict[str, Data]:
    """By the keys of every answer about memory: what training does not have is zero."""
    names = {"master": "master_weights"}
    return {
        **{names.get(part, part): _part(most, part, known) for part in _PARTS},
        "kv_cache": Figure(0, BYTES),
    }


def _notes(held: _Held) -> Iterator[str]:
    """Why it fits or does not, what is assumed, and what is left out."""
    ask, most, capacity = held.one.ask, held.one.most, held.one.capacity
    if ask.hardware is not None and capacity is not None:
        yield from capacity_notes(capacity, ask.hardware, held.one.total, held.one.least)
        if not capacity.fits(held.one.total) and not held.options:
            yield no_change_note(capacity.verdict(held.one.total, held.one.least))
    yield from _loss_note(held.one.model, ask)
    if held.one.model.spec.towers:
        yield (
            "Towers and projectors train as the rest does: their weights, gradients, states or adapters are counted, without images "
            "or sounds to keep activations of. --set towers=null leaves them out."
        )
    if held.one.least < held.one.total:
        yield Detail(_least_note(held.one.model))
    yield f"{ask.recipe.name}: {ask.recipe.note}. {ask.optimizer.name}: {ask.optimizer.note}."
    yield from _adapter_notes(held.one.model, ask)
    yield from _spread_notes(held)
    yield from _attention_notes(held.one.model, ask)
    yield from _policy_notes(ask)
    moment = ", ".join(MOMENTS[line.name] for line in most.temporary.lines)
    when = "at the loss" if most.logits.lines else "in the backward pass of a layer, after the logits are freed"
    yield Detail(f"Largest temporary, {when}: {moment}.")
    yield Detail(ACTIVATIONS_LEAVE_OUT)
    yield left_out(capacity, LEAVES_OUT)


def _adapter_notes(model: Trainer, ask: Ask) -> Iterator[str]:
    """What adapters stand on, and what the frozen model is kept in."""
    if ask.rank is None:
        return
    base = model.training.weights_format.name
    if model.training.prepared:
        yield (
            f"What is not in {base} (tables, head, norms) is in fp32, and so are the residual stream and the logits in the output, "
            "as peft's prepare_model_for_kbit_training and transformers' Trainer in mixed precision have it."
        )
    having = (
        "Every matrix of the layers except routers has an adapter (Dettmers 2023)"
        if ask.lora_targets is None
        else f"The matrices {', '.join(sorted(ask.lora_targets))} have adapters"
    )
    yield (
        f"{having}. The model itself is frozen in {base} and has "
        "no gradients; the inputs of its matrices are saved where adapters read them. What a kernel "
        "recomputes (Mamba) it is assumed to recompute for the adapters too."
    )


def _spread_notes(held: _Held) -> Iterator[str]:
    """Which stage the figures are of, and how tokens are spread over experts."""
    plan, stage = held.one.ask.plan, held.one.stage
    if plan.pipeline > 1:
        flying, pieces = in_flight(stage, plan, held.one.model.training.micro_batches)
        what = (
            f"{flying} micro-batches"
            if pieces == 1
            else f"{flying} pieces of micro-batches, each of 1/{pieces} of its layers"
        )
        yield f"The figures are of stage {stage + 1} of {plan.pipeline}, the fullest, with {what} in flight."
    if plan.expert > 1 or any(getattr(entry, "experts", 1) > 1 for entry in held.one.model.shares[stage].entries):
        yield "Tokens are assumed to be spread evenly over experts: what one expert gets beyond that is not counted."
    if held.one.model.spec.kind == "encoder-decoder":
        yield streams_note(held.one.model.spec)


def _attention_notes(model: Trainer, ask: Ask) -> Iterator[str]:
    """What is saved of scores, and that dropout is not counted."""
    if not ask.dropout:
        yield "Without dropout; --dropout adds its masks."
    if ask.attention == "naive" and any(attentions(model.spec.mixers)):
        yield "Unfused attention saves the scores of every pair, masked or outside the window as well."
    if ask.attention == "flash" and ask.recompute != "full" and model.spec.positions.kind == "relative":
        yield (
            "Scores of distances are assumed to be recomputed by a fused kernel, of which none is known to be published; a kernel that "
            "reads them as a mask saves every pair, as --attention naive does."
        )


def _policy_notes(ask: Ask) -> Iterator[str]:
    """What policies of recomputation, kernels, offload and the step mean for what is counted."""
    if ask.recompute == "op":
        yield "Recomputing by product, as torchtitan does: the outputs of attention and of every second matrix product are saved."
    if ask.again is not None and ask.again.of_some:
        which = "the first layers of each stage" if ask.again.layers is None else "the layers that are named"
        yield f"--recompute {ask.again.text} is about {which}; the others save all."
    if ask.kernels != "fused":
        how = "transformers" if ask.kernels == "eager" else "torch without a fused kernel"
        yield f"Norms, gates and activations are computed step by step, as {how} does, and save what lies between the steps."
    if ask.offload:
        yield (
            f"The host keeps {', '.join(sorted(ask.offload))}; what is on its way is counted here, what the host needs is "
            f"not.{_host(ask.hardware)}"
        )
    if ask.optimizer_in_backward:
        yield "The optimizer steps in the backward pass: the largest gradient alone is kept."


def _host(hardware: Hardware | None) -> str:
    """What is known of the host of a device, in a sentence; nothing where nothing is."""
    if hardware is None:
        return ""
    said = [
        *([] if hardware.host_memory_gb is None else [f"has {hardware.host_memory_gb:g} GB for each device"]),
        *(
            []
            if hardware.host_link_gb_per_s is None
            else [f"is reached at {hardware.host_link_gb_per_s:g} GB/s each way"]
        ),
    ]
    return f" The host of {hardware.label} {' and '.join(said)}." if said else ""


def _steps(spec: ModelSpec, ask: Ask, context: Figure, stage: int) -> tuple[Step, ...]:
    """How each part of the total was made, on numbers that remember."""
    plan = ask.plan

    def told(value: int, label: str) -> int:
        return TracedInt(value, label=label) if value > 1 else value

    training = _training(ask)._replace(
        micro_batch=told(ask.micro_batch, "micro_batch"),
        rank=None if ask.rank is None else TracedInt(ask.rank, label="rank"),
        plan=plan._replace(
            tensor=told(plan.tensor, "tensor"),
            data=told(plan.data, "data"),
            context=told(plan.context, "context_parallel"),
        ),
    )
    length = TracedInt(int(context.value), label="context")
    one = trainer(remembered(spec), training, length).needs(stage)
    figures: list[tuple[str, Figure]] = []
    for part in _PARTS:
        quantity: Quantity = getattr(one, part)
        figures += line_figures(quantity.lines, BYTES, quantity.source, f"{part}.")
        figures.append((part, Figure(summed(quantity.lines, f"{part}."), BYTES, source=quantity.source)))
    return tuple(steps_of(figures, f"{spec.name}, a device"))


def training_growth(spec: ModelSpec, ask: Ask) -> Growth:
    """The parts of `memory_train_report` at many contexts, each of the stage that is the fullest there."""
    model = trainer(spec, _training(ask), int(training_length(spec, ask.context).value))
    capacity = _capacity(ask)
    usable = None if capacity is None else capacity.usable

    def parts(length: int) -> Mapping[str, Figure]:
        most = model.of_length(length).worst()[1]
        return {name: _part(most, part, "convention") for part, name in _PARTS.items()}

    longest = None if usable is None else _room(model, usable).context
    return growth(model.context, usable, longest, parts)
