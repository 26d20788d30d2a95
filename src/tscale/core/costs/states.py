"""What one device keeps of every parameter in training: weights, gradients, master copy and optimizer states.

ZeRO divides the states and the master copy among the devices of data parallelism from its first stage on, gradients from its
second, weights in its third (Rajbhandari 2019, section 5; FSDP is the third): of Psi parameters with AdamW in mixed precision
4·Psi + 12·Psi/N, 2·Psi + 14·Psi/N, and 16·Psi/N bytes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tscale.core.costs.params import size
from tscale.core.costs.weights import is_linear, kept_in, weight_bytes
from tscale.core.dtypes import FORMATS, Format
from tscale.core.ledger import Buffer, Conv, Entry, Ledger, Lookup, Matmul, Saved, Vector
from tscale.core.metric import Line, Quantity
from tscale.core.parallelism import Parallelism
from tscale.core.precision import Optimizer, Precision, state_bytes
from tscale.core.sharding import is_expert, is_routed
from tscale.core.tracing import ceil_div, minimum
from tscale.core.units import BYTES

SOURCE: Final = "rajbhandari2019 section 5"


class States(NamedTuple):
    """Bytes on one device, by what they are for."""

    weights: Quantity
    gradients: Quantity
    master: Quantity
    optimizer: Quantity

    def __add__(self, other: object) -> States:
        """Those of two ledgers together, as of a model and its adapters."""
        assert isinstance(other, States)
        return States(*(_together(one, two) for one, two in zip(self, other, strict=True)))


def training_states(ledger: Ledger, recipe: Precision, optimizer: Optimizer, plan: Parallelism) -> States:
    """Bytes of all that is kept of every parameter of one device's ledger, one line for each entry.

    A parameter that is not trained is kept as a weight alone. In a pipeline a stage adds up the gradients of all micro-batches
    before it scatters them, so that ZeRO's second stage keeps them whole, as torchtitan does with FSDP.
    """
    owners = [entry for entry in ledger.entries if isinstance(entry, (Matmul, Lookup, Vector, Conv))]
    owners = [entry for entry in owners if not isinstance(entry, (Lookup, Vector)) or entry.trained]

    def divided(entry: Entry, amount: int, stage: int) -> int:
        return ceil_div(amount, shards(entry, plan)) if plan.zero >= stage else amount

    scattered = 2 if plan.pipeline == 1 else 3
    gradients, master, states = [], [], []
    for entry in owners:
        numbers = entry.stored * size(entry)
        gradients.append(Line(entry.name, divided(entry, numbers * recipe.gradients, scattered)))
        if recipe.master:
            master.append(Line(entry.name, divided(entry, numbers * recipe.master, 1)))
        kept = entry.stored * state_bytes(entry, optimizer, recipe.states)
        states.append(Line(entry.name, divided(entry, kept, 1)))
    return States(
        weights_on_device(ledger, FORMATS[recipe.weights], plan),
        Quantity("gradients", tuple(gradients), BYTES, source=recipe.source),
        Quantity("master weights", tuple(master), BYTES, source=recipe.source),
        Quantity("optimizer states", tuple(states), BYTES, source=optimizer.source),
    )


def weights_on_device(ledger: Ledger, format: Format, plan: Parallelism) -> Quantity:
    """Bytes of the weights that one device keeps between the steps; ZeRO's third stage divides all that is trained."""
    whole = weight_bytes(ledger, format)
    if plan.zero < 3:
        return whole
    entries = [kept.entry for kept in kept_in(ledger, format)]
    lines = tuple(
        line if isinstance(entry, Buffer) else Line(line.name, ceil_div(line.value, shards(entry, plan)))
        for entry, line in zip(entries, whole.lines, strict=True)
    )
    return whole._replace(lines=lines)


def frozen_states(ledger: Ledger, format: Format, plan: Parallelism) -> States:
    """Bytes of a model that is not trained itself: its weights alone."""
    nothing = Quantity("nothing", (), BYTES)
    return States(weights_on_device(ledger, format, plan), nothing, nothing, nothing)


def shards(entry: Entry, plan: Parallelism) -> int:
    """How many devices ZeRO divides an entry among: those that hold it, which are others for experts."""
    if is_routed(entry):
        return plan.expert_shards
    if is_expert(entry) and plan.expert > 1:
        return minimum(plan.sharing, plan.data * plan.context // plan.expert)
    return plan.sharing


def adapters(ledger: Ledger, rank: int) -> Ledger:
    """The ledger of low-rank adapters on every matrix of the layers, routers excepted (Hu 2021; all of them as in QLoRA).

    Each adds a matrix [d_in, rank] and one [rank, d_out]; on one device's ledger they have that device's widths.
    """
    entries: list[Entry] = []
    for entry in ledger.entries:
        if isinstance(entry, Matmul) and is_linear(entry):
            plain = entry._replace(bias=False, cut=None)
            entries.append(plain._replace(name=f"{entry.name}.lora_a", d_out=rank))
            entries.append(plain._replace(name=f"{entry.name}.lora_b", d_in=rank))
    return Ledger.of(f"{ledger.model}'s adapters", entries)


def adapter_saves(ledger: Ledger, rank: int) -> tuple[Saved, ...]:
    """What the adapters keep for the backward pass: what lies between their two matrices. Inputs are kept in any case.

    A table's rows go through them once for all sequences; scores against it have no weights of their own.
    """
    return tuple(
        Saved(
            f"{entry.name}.lora",
            entry.part,
            entry.stream,
            rank,
            used=entry.used,
            shared=entry.stream == "once",
            gathered=is_routed(entry),
            routed=is_routed(entry),
        )
        for entry in ledger.entries
        if isinstance(entry, Matmul) and is_linear(entry) and entry.role != "position_scores"
    )


def _together(one: Quantity, two: Quantity) -> Quantity:
    first = one if one.lines else two
    return first._replace(lines=(*one.lines, *two.lines))
