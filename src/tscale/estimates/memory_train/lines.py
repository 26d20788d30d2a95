"""What a training device holds, line by line: stages, model states, saved activations and temporaries."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from tscale.core.costs.schedules import in_flight
from tscale.core.costs.states import shards
from tscale.core.costs.training_setup import BesideActivations
from tscale.core.ledger import Buffer, Cache, Entry, Ledger, Saved, Scan, Scores
from tscale.core.metric import Figure, JointLine
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import division
from tscale.core.units import BYTES, COUNT
from tscale.core.view import Record
from tscale.models.trainer import Trainer

MOMENTS: Final = {
    "loss_at_its_peak": "the peak of the loss, beyond what it saves",
    "head_in_16_bits": "the head, cast from fp32 to 16 bits",
    "layer_again": "a layer's activations, recomputed",
    "scores_again": "a layer's attention scores, recomputed",
    "widest_gradient_twice": "the widest gradient of a layer, twice",
    "whole_inputs": "inputs of products, gathered along the sequence",
    "whole_head_input": "the head's input, gathered along the sequence",
    "pipeline_buffers": "outputs of pipeline pieces and room for their gradients",
    "gather_buffer": "the gather of the largest group (FSDP2's own stream)",
    "scattered_gradients": "shards of the gradients (FSDP2's own stream)",
    "gathered_weights": "gathered weights (ZeRO): embeddings, head and two layers",
    "unscattered_gradients": "gradients of a layer or an embedding before reduce-scatter, or on their way to the host",
    "unpacked_matrix": "the largest matrix, dequantised to 16 bits",
}
"""Temporaries, as people read them."""


def stage_data(model: Trainer, place: int, *, fullest: bool) -> Record:
    """What a device of a pipeline stage holds, its micro-batches in flight among it."""
    one, plan = model.needs(place), model.training.plan
    states = one.weights.total + one.gradients.total + one.master.total + one.optimizer.total
    return {
        "stage": f"{place + 1}{', the fullest' if fullest else ''}",
        "in_flight": Figure(Fraction(*in_flight(place, plan, model.training.micro_batches)), COUNT),
        "states": Figure(states, BYTES),
        "activations": Figure(one.activations.total, BYTES, "convention"),
        "total": Figure(one.total, BYTES, "convention"),
    }


def _owners(ledger: Ledger) -> Iterator[Entry]:
    for entry in ledger.entries:
        if not isinstance(entry, (Scores, Scan, Cache)) and entry.stored:
            yield entry


OWNED: Final = ("weights", "gradients", "master", "optimizer")


def owned_data(model: Trainer, stage: int) -> Iterator[Record]:
    """What a device of a stage keeps of every parameter: how devices share its layer, its states, and the bytes of each kind."""
    plan, one = model.training.plan, model.needs(stage)
    sizes = {part: {line.name: line.value for line in getattr(one, part).lines} for part in OWNED}
    uncut = {entry.name: entry for entry in model.stages[stage].entries}

    def line(name: str, division: str, states: str) -> Record:
        own = {part: Figure(each.get(name, 0), BYTES) for part, each in sizes.items()}
        return {"name": name, "division": division or None, "zero": states, **own}

    for entry in _owners(model.shares[stage]):
        among = int(shards(entry, plan)) if plan.zero and not isinstance(entry, Buffer) else 1
        states = f"1/{among}" if among > 1 else "whole"
        yield line(entry.name, division(uncut[entry.name], plan), states)
        for adapter in (f"{entry.name}.lora_a", f"{entry.name}.lora_b"):
            if adapter in sizes["gradients"]:
                yield line(adapter, "", states)
    for joint in one.gradients.lines:
        if isinstance(joint, JointLine):
            label = "beside the activations" if isinstance(joint, BesideActivations) else "largest gradient"
            yield {**line(joint.name, "", ""), "name": label}


def kept_data(model: Trainer, stage: int) -> Iterator[Record]:
    """Each activation that is kept: its name, how devices share it, and its bytes, all micro-batches in flight together."""
    plan, one = model.training.plan, model.needs(stage)
    named = {saved.name: saved for saved in model.kept[stage]}

    def line(name: str, division: str | None, size: int) -> Record:
        return {"name": name, "division": division, "kept": Figure(size, BYTES, "convention")}

    for saved in (*one.activations.lines, *one.logits.lines):
        yield line(saved.name, _shared(named.get(saved.name), plan), saved.value)
    for moment in one.temporary.lines:
        yield line(MOMENTS[moment.name], None, moment.value)


def _shared(saved: Saved | None, plan: Parallelism) -> str:
    """How devices share what is kept, in a few words."""
    if saved is None:
        return "whole"
    ways = [f"1/{int(plan.context)} by position"] if plan.context > 1 and saved.stream != "once" else []
    devices = int(plan.expert_cut if saved.routed else plan.tensor)
    if saved.routed and devices != plan.tensor:
        tokens = Fraction(devices, int(plan.tensor))
        ways.append(f"{tokens} of the tokens" if tokens < 1 else f"{tokens} times the tokens")
    if saved.cut is not None and devices > 1:
        ways.append(f"1/{min(devices, int(saved.cut.pieces)) if saved.cut.otherwise == 'repeated' else devices}")
    elif saved.cut is None and plan.sequence and not saved.gathered:
        ways.append(f"1/{int(plan.tensor)} by sequence")
    return ", ".join(ways) or "whole"
