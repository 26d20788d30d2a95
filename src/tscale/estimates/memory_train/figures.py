"""What a device of the fullest stage holds while it trains, as figures by their keys."""

from __future__ import annotations

from collections.abc import Mapping

from tscale.core.metric import Data, Figure
from tscale.core.units import BYTES
from tscale.estimates.memory.room import Growth, Room, growth
from tscale.estimates.memory_train.ask import Ask, capacity_of, training_of
from tscale.estimates.memory_train.held import PARTS, Held, part_of, room_of, weighed
from tscale.estimates.memory_train.media import trained_media_data
from tscale.estimates.memory_train.shortcut import shortcut_of
from tscale.estimates.memory_train.step import step_of
from tscale.estimates.parallel_data import parallel_data
from tscale.estimates.trained import training_length
from tscale.models.spec import ModelSpec
from tscale.models.trainer import Trainer, trainer


def memory_train_figures(spec: ModelSpec, ask: Ask, batch: int | None = None) -> Data:
    """The figures of `memory_train_report` by their keys, without its lists: what a row of a sweep holds."""
    one = weighed(spec, ask)
    step = None if batch is None else step_of(spec, ask, one.context, batch)
    room = Room(None, None) if one.capacity is None else room_of(one.model, one.capacity.usable)
    held = Held(one, room, (), shortcut_of(one.model, one.stage))
    shortcut = None if held.shortcut is None else held.shortcut.data()
    timed: dict[str, Data] = {} if step is None else {"step": step.data}
    return {**figures_of(held), "shortcut": shortcut, **timed}


def figures_of(held: Held) -> dict[str, Data]:
    """All that is no list."""
    ask, model = held.one.ask, held.one.model
    return {
        "mode": "train",
        "gpu": None if ask.hardware is None else ask.hardware.name,
        "devices": ask.how.plan.devices,
        "precision": ask.how.precision.name,
        "optimizer": ask.how.optimizer.name,
        "plan": {**parallel_data(ask.how.plan), "context": ask.how.plan.context},
        "micro_batch": ask.how.micro_batch,
        "context": held.one.context,
        "attention": ask.how.attention,
        "recompute": ask.how.again.text if ask.how.again is not None else ask.how.recompute,
        "kernels": ask.how.kernels,
        "optimizer_in_backward": ask.how.optimizer_in_backward,
        "offload": sorted(ask.how.offload),
        "lora_targets": None if ask.how.lora_targets is None else sorted(ask.how.lora_targets),
        **_loss_data(model, ask),
        "lora_rank": ask.how.rank,
        "stage": held.one.stage + 1,
        **held.one.data,
        **held.room.data(),
        **trained_media_data(held.one),
    }


def _loss_data(model: Trainer, ask: Ask) -> dict[str, Data]:
    """The loss by name, whether it was asked for, and what it takes on a device of the last stage."""
    taken = model.loss(ask.how.plan.pipeline - 1)
    if taken is None:
        return {"loss": None, "loss_default": None, "loss_bytes": None}
    return {
        "loss": model.training.loss_kernel,
        "loss_default": ask.how.loss is None,
        "loss_bytes": {name: Figure(value, BYTES, "convention") for name, value in taken._asdict().items()},
    }


def training_growth(spec: ModelSpec, ask: Ask) -> Growth:
    """The parts of `memory_train_report` at many contexts, each of the stage that is the fullest there."""
    model = trainer(spec, training_of(spec, ask), int(training_length(spec, ask.context).value))
    capacity = capacity_of(ask)
    usable = None if capacity is None else capacity.usable

    def parts(length: int) -> Mapping[str, Figure]:
        most = model.of_length(length).worst()[1]
        return {name: part_of(most, part, "convention") for part, name in PARTS.items()}

    longest = None if usable is None else room_of(model, usable).context
    return growth(model.context, usable, longest, parts)
