"""`tscale memory --train`: what a device holds while it trains a model, whether that fits, and how much more would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Final, NamedTuple

from tscale.answers.common import context_of, line_figures, notes_of, steps_of, summed
from tscale.answers.memory_changes import Change, changes_table
from tscale.answers.memory_tables import MEMORY_SHARE, Growth, Room, growth, parts_table
from tscale.answers.memory_train_changes import single_changes
from tscale.answers.trainer import Trainer, trainer
from tscale.core.formats import FORMATS, Format
from tscale.core.ledger import Buffer, Cache, Entry, Ledger, Saved, Scan, Scores
from tscale.core.numbers import MOST_CONTEXT, Remembered
from tscale.core.plan import Plan
from tscale.core.quantity import Cell, Column, Data, Figure, Known, Quantity, Report, Step, Table
from tscale.core.questions.activations import LEAVES_OUT as ACTIVATIONS_LEAVE_OUT
from tscale.core.questions.activations import Attention, Recompute, korthikanti_layer_bytes
from tscale.core.questions.largest import largest
from tscale.core.questions.states import shards
from tscale.core.questions.training_memory import LEAVES_OUT, Needs, Training, in_flight, layer_bytes
from tscale.core.recipes import OPTIMIZERS, RECIPES, Optimizer, Recipe
from tscale.core.run import Run
from tscale.core.shard import division
from tscale.core.units import BYTES, COUNT, RATIO
from tscale.spec.hardware import Hardware
from tscale.spec.model import ModelSpec, remembered

MOST_MICRO_BATCH: Final = 10**6
_MOST_STAGES_SHOWN: Final = 16


class Ask(NamedTuple):
    """How a model is to be trained, and on what, where that is given."""

    recipe: Recipe = RECIPES["bf16"]
    optimizer: Optimizer = OPTIMIZERS["adamw"]
    plan: Plan = Plan()
    micro_batch: int = 1
    context: int | None = None
    attention: Attention = "flash"
    recompute: Recompute = "none"
    dropout: bool = False
    rank: int | None = None
    base: Format | None = None
    memory_share: Fraction | None = None
    hardware: Hardware | None = None


RANK: Final = 64
"""The rank of adapters where none is given: that of Dettmers 2023, appendix B."""


def train_ask(*, precision: str, optimizer: str, rank: int | None, qlora: bool, **given: Any) -> Ask:
    """What is asked, by the names of recipe and optimizer; QLoRA is adapters on a model in nf4."""
    return Ask(
        recipe=RECIPES[precision],
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

_MOMENTS: Final = {
    "gradient_of_logits": "the gradient of the logits, in fp32",
    "layer_again": "a layer's activations, computed again",
    "scores_again": "a layer's scores, computed again",
    "widest_gradient_twice": "the widest gradient of a layer and the one made of it",
    "gathered_weights": "the weights that ZeRO gathers for a layer or a table",
    "unscattered_gradients": "its gradients, before they are scattered",
    "unpacked_matrix": "the largest matrix, unpacked to 16 bits",
}
"""What is needed for a moment, as people read it."""


def memory_train_report(spec: ModelSpec, ask: Ask) -> Report:
    """What a device of the fullest stage holds, whether it fits, and what else would. Exit code 3 where it does not."""
    context = context_of(spec, ask.context)
    model = trainer(spec, _training(ask), int(context.value))
    stage, most = model.worst()
    device = None if ask.hardware is None else ask.hardware.device()
    usable = None if device is None else int(device.memory_bytes * (ask.memory_share or MEMORY_SHARE))
    known: Known = "assumed" if context.known == "assumed" else "convention"
    fits = None if usable is None else most.total <= usable
    room = Room(None, None) if usable is None else _room(model, usable)
    options = (
        () if usable is None or fits or ask.hardware is None else single_changes(model, ask.hardware, usable, *room)
    )
    title = _title(spec, model, ask, fits=fits)
    total = Figure(most.total, BYTES, known)
    may_use = None if usable is None else Figure(usable, BYTES, "exact" if ask.memory_share else "assumed")
    parts = {name: _part(most, part, known) for part, name in _PARTS.items()}
    tables = [parts_table(title, spec.name, parts, total, None if device is None else device.memory_bytes, may_use)]
    if ask.plan.pipeline > 1:
        tables.append(_stages_table(model, stage))
    if usable is not None:
        of_batch, of_context = f"at {model.context:,} tokens", f"at a micro-batch of {ask.micro_batch:,}"
        tables.append(room.table(f"the largest micro-batch {of_batch}", f"the longest context {of_context}"))
    if options:
        tables.append(changes_table(options))
    shortcut = _shortcut(model, stage)
    tables += [
        *([_shortcut_table(shortcut)] if shortcut else []),
        _owned_table(model, stage),
        _kept_table(model, stage),
    ]
    data: Data = {
        "model": spec.name,
        "title": spec.label,
        "mode": "train",
        "gpu": None if ask.hardware is None else ask.hardware.name,
        "devices": ask.plan.devices,
        "precision": ask.recipe.name,
        "optimizer": ask.optimizer.name,
        "plan": _plan_data(ask.plan),
        "micro_batch": ask.micro_batch,
        "context": context,
        "attention": ask.attention,
        "recompute": ask.recompute,
        "lora_rank": ask.rank,
        "stage": stage + 1,
        "per_device_bytes": {**_bytes_by_part(most, known), "total": total},
        "memory_bytes": None
        if ask.hardware is None or device is None
        else Figure(device.memory_bytes, BYTES, "cited", ask.hardware.source),
        "usable_bytes": may_use,
        "missing_bytes": None if usable is None else Figure(max(most.total - usable, 0), BYTES, known),
        "fits": fits,
        **room.data(),
        "changes": [change.data() for change in options],
        "stages": [Figure(model.needs(place).total, BYTES, known) for place in range(ask.plan.pipeline)],
        "shortcut": None if shortcut is None else shortcut.data(),
        "lines": [*_owned_data(model, stage), *_kept_data(model, stage)],
    }
    notes = notes_of(spec, context.note, *_notes(model, ask, most, stage, fits=fits, options=options))
    return Report(
        title, tuple(tables), data, notes, _steps(spec, ask, context, stage), exit_code=3 if fits is False else 0
    )


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
    )


def _room(model: Trainer, usable: int) -> Room:
    return Room(
        largest(lambda batch: model.with_(micro_batch=batch).worst()[1].total <= usable, MOST_MICRO_BATCH),
        largest(lambda context: model.of_length(context).worst()[1].total <= usable, MOST_CONTEXT),
    )


def _plan_data(plan: Plan) -> Data:
    return {
        "data": plan.data,
        "tensor": plan.tensor,
        "sequence": plan.sequence,
        "pipeline": plan.pipeline,
        "interleave": plan.interleave,
        "context": plan.context,
        "expert": plan.expert,
        "zero": plan.zero,
        "shards": plan.shards,
    }


def _title(spec: ModelSpec, model: Trainer, ask: Ask, *, fits: bool | None) -> str:
    sequences = "one sequence" if ask.micro_batch == 1 else f"{ask.micro_batch:,} sequences"
    trained = spec.label if ask.rank is None else f"adapters of rank {ask.rank} for {spec.label}"
    what = f"Training {trained} in {ask.recipe.name} with {ask.optimizer.name}, {sequences} of {model.context:,} tokens"
    devices = ask.plan.devices
    if ask.hardware is None:
        return f"{what}: what {'it takes' if devices == 1 else f'a device of {devices:,} takes'}"
    where = ask.hardware.label if devices == 1 else f"{devices:,} × {ask.hardware.label}"
    return f"{what} on {where}: {'fits' if fits else 'does not fit'}"


def _part(most: Needs, part: str, known: Known) -> Figure:
    quantity: Quantity = getattr(most, part)
    counted = part in ("weights", "gradients", "master", "optimizer")
    return Figure(quantity.total, BYTES, "exact" if counted else known, quantity.source)


def _bytes_by_part(most: Needs, known: Known) -> dict[str, Data]:
    """By the keys of every answer about memory: what training does not have is zero."""
    names = {"master": "master_weights"}
    return {
        **{names.get(part, part): _part(most, part, known) for part in _PARTS},
        "kv_cache": Figure(0, BYTES),
    }


def _stages_table(model: Trainer, worst: int) -> Table:
    """What a device of each stage holds; of many stages, the first, the fullest and the last ones."""
    plan = model.training.plan
    shown = range(plan.pipeline)
    places = (
        [*shown] if plan.pipeline <= _MOST_STAGES_SHOWN else sorted({0, 1, worst, plan.pipeline - 2, plan.pipeline - 1})
    )
    columns = (
        Column("stage", "stage", numeric=False),
        Column("in flight", "in_flight"),
        Column("parameters", "states"),
        Column("activations", "activations"),
        Column("total", "total"),
    )
    rows: list[tuple[Cell, ...]] = []
    for place in places:
        one = model.needs(place)
        states = one.weights.total + one.gradients.total + one.master.total + one.optimizer.total
        flying, pieces = in_flight(place, plan)
        rows.append(
            (
                f"{place + 1}{', the fullest' if place == worst else ''}",
                Figure(Fraction(flying, pieces), COUNT),
                Figure(states, BYTES),
                Figure(one.activations.total, BYTES, "convention"),
                Figure(one.total, BYTES, "convention"),
            )
        )
    return Table("", columns, tuple(rows), aside=True)


class _Shortcut(NamedTuple):
    """A layer's activations as they are counted, and by Korthikanti 2022's equations."""

    counted: int
    published: int

    def figures(self) -> tuple[Figure, Figure, Figure]:
        """Both, and what the counted is of the published."""
        return (
            Figure(self.counted, BYTES, "convention"),
            Figure(self.published, BYTES, "convention", "korthikanti2022 equations 1 to 4"),
            Figure(Fraction(self.counted, self.published), RATIO),
        )

    def data(self) -> Data:
        counted, published, ratio = self.figures()
        return {"counted_layer_bytes": counted, "korthikanti_layer_bytes": published, "ratio": ratio}


def _shortcut(model: Trainer, stage: int) -> _Shortcut | None:
    """The published shortcut beside the count, for a stack of attention alone in which it says anything."""
    heads = next((entry.heads for entry in model.shares[stage].entries if isinstance(entry, Scores)), None)
    plan, training = model.training.plan, model.training
    if heads is None or model.spec.kind != "decoder" or plan.context > 1:
        return None
    published = korthikanti_layer_bytes(
        model.context,
        training.micro_batch,
        model.spec.d_model,
        heads * plan.tensor,
        plan.tensor,
        training.passes,
        sequence=plan.sequence,
    )
    return _Shortcut(layer_bytes(model.kept[stage], training), published)


def _shortcut_table(shortcut: _Shortcut) -> Table:
    columns = (Column("activations of a layer", "way", numeric=False), Column("bytes", "bytes"), Column("", "ratio"))
    counted, published, ratio = shortcut.figures()
    rows: tuple[tuple[Cell, ...], ...] = (
        ("counted", counted, ""),
        ("s·b·h·(34 + 5·a·s/h) and its kin (Korthikanti 2022)", published, ratio),
    )
    return Table("", columns, rows, aside=True)


def _owners(ledger: Ledger) -> Iterator[Entry]:
    for entry in ledger.entries:
        if not isinstance(entry, (Scores, Scan, Cache, Buffer)) and entry.stored:
            yield entry


_OWNED: Final = ("weights", "gradients", "master", "optimizer")


def _owned(model: Trainer, stage: int) -> Iterator[tuple[str, str, str, list[int]]]:
    """Each thing that owns weights: its name, how devices share its layer, its states, and the bytes of each kind."""
    plan, one = model.training.plan, model.needs(stage)
    sizes = [{line.name: line.value for line in getattr(one, part).lines} for part in _OWNED]
    uncut = {entry.name: entry for entry in model.stages[stage].entries}
    for entry in _owners(model.shares[stage]):
        among = int(shards(entry, plan)) if plan.zero else 1
        states = f"1/{among}" if among > 1 else "whole"
        own = [each.get(entry.name, 0) for each in sizes]
        yield entry.name, division(uncut[entry.name], plan), states, own
        for adapter in (f"{entry.name}.lora_a", f"{entry.name}.lora_b"):
            if adapter in sizes[1]:
                yield adapter, "", states, [each.get(adapter, 0) for each in sizes]


def _owned_table(model: Trainer, stage: int) -> Table:
    plan = model.training.plan
    columns = (
        Column("line by line", "name", numeric=False),
        *((Column("on a device", "division", numeric=False),) if plan.tensor * plan.expert > 1 else ()),
        *((Column("by ZeRO", "zero", numeric=False),) if plan.zero else ()),
        *(Column(part, part) for part in _OWNED),
    )
    rows: list[tuple[Cell, ...]] = []
    for name, divided, states, sizes in _owned(model, stage):
        rows.append(
            (
                name,
                *((divided,) if plan.tensor * plan.expert > 1 else ()),
                *((states,) if plan.zero else ()),
                *(Figure(size, BYTES) for size in sizes),
            )
        )
    return Table("", columns, tuple(rows), aside=True, stack=True)


def _owned_data(model: Trainer, stage: int) -> list[Data]:
    return [
        {
            "name": name,
            "division": divided or None,
            "zero": states,
            **{part: Figure(size, BYTES) for part, size in zip(_OWNED, sizes, strict=True)},
        }
        for name, divided, states, sizes in _owned(model, stage)
    ]


def _kept(model: Trainer, stage: int) -> Iterator[tuple[str, str, int]]:
    """Each activation that is kept: its name, how devices share it, and its bytes, all micro-batches in flight together."""
    plan, one = model.training.plan, model.needs(stage)
    named = {saved.name: saved for saved in model.kept[stage]}
    for line in (*one.activations.lines, *one.logits.lines):
        yield line.name, _shared(named.get(line.name), plan), line.value
    for line in one.temporary.lines:
        yield _MOMENTS[line.name], "", line.value


def _shared(saved: Saved | None, plan: Plan) -> str:
    """How devices share what is kept, in a few words."""
    if saved is None:
        return "whole"
    ways = [f"1/{int(plan.context)} by position"] if plan.context > 1 and saved.stream != "once" else []
    if saved.cut is not None and plan.tensor > 1:
        ways.append(
            f"1/{min(int(plan.tensor), int(saved.cut.pieces)) if saved.cut.otherwise == 'repeated' else int(plan.tensor)}"
        )
    elif plan.sequence and not saved.gathered:
        ways.append(f"1/{int(plan.tensor)} by sequence")
    return ", ".join(ways) or "whole"


def _kept_table(model: Trainer, stage: int) -> Table:
    plan = model.training.plan
    shared = plan.tensor * plan.context > 1
    columns = (
        Column("kept of a forward pass, or for a moment", "name", numeric=False),
        *((Column("on a device", "division", numeric=False),) if shared else ()),
        Column("bytes", "bytes"),
    )
    rows: list[tuple[Cell, ...]] = []
    for name, divided, size in _kept(model, stage):
        figure = Figure(size, BYTES, "convention")
        rows.append((name, divided, figure) if shared else (name, figure))
    return Table("", columns, tuple(rows), aside=True)


def _kept_data(model: Trainer, stage: int) -> list[Data]:
    return [
        {"name": name, "division": divided or None, "kept": Figure(size, BYTES, "convention")}
        for name, divided, size in _kept(model, stage)
    ]


def _notes(
    model: Trainer, ask: Ask, most: Needs, stage: int, *, fits: bool | None, options: tuple[Change, ...]
) -> Iterator[str]:
    plan, recipe = ask.plan, ask.recipe
    yield f"{recipe.name}: {recipe.note}. {ask.optimizer.name}: {ask.optimizer.note}."
    if ask.rank is not None:
        base = model.training.weights_format.name
        yield (
            f"Adapters stand on every matrix of the layers, routers excepted (Dettmers 2023); the model itself is frozen in {base}"
            " and has no gradients; its activations are kept all the same, since each adapter reads its matrix's input."
        )
    if plan.pipeline > 1:
        flying, pieces = in_flight(stage, plan)
        what = (
            f"{flying} micro-batches"
            if pieces == 1
            else f"{flying} pieces of micro-batches, each of 1/{pieces} of its layers"
        )
        yield f"Told is stage {stage + 1} of {plan.pipeline}, the fullest: it has {what} in flight."
    if plan.expert > 1 or any(getattr(entry, "experts", 1) > 1 for entry in model.shares[stage].entries):
        yield "Tokens are taken to be spread evenly over experts: what one expert gets beyond that comes on top."
    if model.spec.kind == "encoder-decoder":
        yield "Source and target are both of the context's length."
    if not ask.dropout:
        yield "Without dropout: --dropout adds its masks."
    if ask.attention == "naive":
        yield "Attention step by step scores every pair, masked or beyond a window as well."
    yield "Largest temporary: " + ", ".join(_MOMENTS[line.name] for line in most.temporary.lines) + "."
    yield ACTIVATIONS_LEAVE_OUT
    yield LEAVES_OUT
    if ask.hardware is not None:
        memory = ask.hardware.device().memory_bytes
        portion = ask.memory_share or MEMORY_SHARE
        yield (
            f"Usable is {float(portion):.4g} of the {memory / 10**9:,g} GB that the vendor states"
            + (
                "."
                if ask.memory_share
                else ", an assumption that leaves room for what is not counted; --memory-share sets it."
            )
        )
        if fits is False and not options:
            yield "No single change that is known here makes it fit."


def _steps(spec: ModelSpec, ask: Ask, context: Figure, stage: int) -> tuple[Step, ...]:
    """How each part of the total was made, on numbers that remember."""
    plan = ask.plan

    def told(value: int, label: str) -> int:
        return Remembered(value, label=label) if value > 1 else value

    training = _training(ask)._replace(
        micro_batch=told(ask.micro_batch, "micro_batch"),
        rank=None if ask.rank is None else Remembered(ask.rank, label="rank"),
        plan=plan._replace(
            tensor=told(plan.tensor, "tensor"),
            data=told(plan.data, "data"),
            context=told(plan.context, "context_parallel"),
        ),
    )
    length = Remembered(int(context.value), label="context")
    one = trainer(remembered(spec), training, length).needs(stage)
    figures: list[tuple[str, Figure]] = []
    for part in _PARTS:
        quantity: Quantity = getattr(one, part)
        figures += line_figures(quantity.lines, BYTES, quantity.source, f"{part}.")
        figures.append((part, Figure(summed(quantity.lines, f"{part}."), BYTES, source=quantity.source)))
    return tuple(steps_of(figures, f"{spec.name}, a device"))


def training_growth(spec: ModelSpec, ask: Ask) -> Growth:
    """The parts of `memory_train_report` at many contexts, each of the stage that is the fullest there."""
    model = trainer(spec, _training(ask), int(context_of(spec, ask.context).value))
    usable = None
    if ask.hardware is not None:
        usable = int(ask.hardware.device().memory_bytes * (ask.memory_share or MEMORY_SHARE))

    def parts(length: int) -> Mapping[str, Figure]:
        most = model.of_length(length).worst()[1]
        return {name: _part(most, part, "convention") for part, name in _PARTS.items()}

    longest = None if usable is None else _room(model, usable).context
    return growth(model.context, usable, longest, parts)
