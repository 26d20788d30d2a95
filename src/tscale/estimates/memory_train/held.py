"""What a device of the fullest stage holds while it trains, and what else would fit."""

from __future__ import annotations

from typing import Final, NamedTuple

from tscale.core.costs.largest import largest
from tscale.core.costs.training_setup import Needs
from tscale.core.counts import MOST_CONTEXT
from tscale.core.metric import Data, Figure, Known, Quantity
from tscale.core.number_text import number_text
from tscale.core.units import BYTES
from tscale.errors import RequestError, field
from tscale.estimates.capacity import Capacity, capacity_data, on_devices, verdict_text
from tscale.estimates.explaining import trained_text
from tscale.estimates.media import check_fits, media_costs
from tscale.estimates.memory.changes import Change
from tscale.estimates.memory.room import Room
from tscale.estimates.memory_train.ask import Ask, capacity_of, refuse, training_of
from tscale.estimates.memory_train.changes import enough_changes
from tscale.estimates.memory_train.shortcut import Shortcut, shortcut_of
from tscale.estimates.trained import training_length
from tscale.models.spec import ModelSpec
from tscale.models.trainer import Trainer, trainer

MOST_MICRO_BATCH: Final = 10**6
PARTS: Final = {
    "weights": "weights",
    "gradients": "gradients",
    "master": "master weights",
    "optimizer": "optimizer states",
    "activations": "activations",
    "logits": "logits",
    "temporary": "largest temporary",
}
"""What a training device holds, and how it is called."""


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
        how, model = self.ask.how, self.model
        sequences = "one sequence" if how.micro_batch == 1 else f"{how.micro_batch:,} sequences"
        length = f"{model.context:,} tokens" + (" (assumed)" if self.known == "assumed" else "")
        what = (
            f"Training {trained_text(model.spec, how.rank, how.base)} in {how.precision.name} with {how.optimizer.name}, {sequences} of "
            f"{length}, takes {number_text(self.total, 'decimal', 'B')}"
        )
        which = "each" if how.plan.pipeline == 1 else "the fullest"
        said = on_devices(what, self.ask.hardware, how.plan.devices, which)
        return said if self.capacity is None else f"{said}: {verdict_text(self.capacity, self.total, self.least)}"

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
    check_fits(media_costs(spec, ask.media), int(context.value))
    model = trainer(spec, training_of(spec, ask), int(context.value))
    refuse_loss(model, ask.how.loss)
    return Weighed(ask, model, context, *model.worst(), model.least_total(), capacity_of(ask))


def refuse_loss(model: Trainer, loss: str | None) -> None:
    """Raises `RequestError` for a kernel of a loss that a model does not have."""
    if loss is not None and not model.has_loss:
        raise RequestError(
            f"{model.spec.label} has no loss over a vocabulary that {field('loss')} could name a kernel of: drop it"
        )


class Held(NamedTuple):
    """What a device holds, and what else would fit."""

    one: Weighed
    room: Room
    options: tuple[Change, ...]
    shortcut: Shortcut | None


def all_held(one: Weighed) -> Held:
    """What a device holds, with the room that is left, and what would make it fit where it does not."""
    capacity, hardware = one.capacity, one.ask.hardware
    room = Room(None, None) if capacity is None else room_of(one.model, capacity.usable)
    options: tuple[Change, ...] = ()
    if hardware is not None and capacity is not None and not capacity.fits(one.total):
        options = enough_changes(one.model, hardware, capacity, *room)
    return Held(one, room, options, shortcut_of(one.model, one.stage))


def room_of(model: Trainer, usable: int) -> Room:
    """The largest micro-batch and the longest context that fit in so many bytes."""
    return Room(
        largest(lambda batch: model.with_(micro_batch=batch).totals()[0] <= usable, MOST_MICRO_BATCH),
        largest(lambda context: model.of_length(context).totals()[0] <= usable, MOST_CONTEXT),
    )


def part_of(most: Needs, part: str, known: Known) -> Figure:
    """The bytes of a part of what a device holds."""
    quantity: Quantity = getattr(most, part)
    counted = part in ("weights", "master", "optimizer") or (part == "gradients" and not most.comes_later)
    return Figure(quantity.total, BYTES, "exact" if counted else known, quantity.source)


def _bytes_by_part(most: Needs, known: Known) -> dict[str, Data]:
    """By the keys of every answer about memory: what training does not have is zero."""
    names = {"master": "master_weights"}
    return {
        **{names.get(part, part): part_of(most, part, known) for part in PARTS},
        "kv_cache": Figure(0, BYTES),
    }
