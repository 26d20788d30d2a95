"""The picture of `tscale memory`: what a device holds, part on part, as the context grows."""

from __future__ import annotations

from tscale.catalogue.hardware import Hardware
from tscale.core.plot import Axis, Plot, Rule, stacked
from tscale.core.units import BYTES, TOKENS
from tscale.estimates.memory.answered import serving_growth
from tscale.estimates.memory.room import Growth
from tscale.estimates.memory.serving import Ask
from tscale.estimates.memory_train.ask import Ask as TrainAsk
from tscale.estimates.memory_train.figures import training_growth
from tscale.estimates.release import format_of
from tscale.models.spec import ModelSpec


def memory_plot(spec: ModelSpec, ask: Ask) -> Plot:
    """What serving keeps on a device, stacked, by context; the memory that may be used and where it is full."""
    title = f"Serving {spec.label} in {format_of(spec, ask.dtype).name}: memory of {_where(ask.hardware, ask.devices)} by context"
    return _stacked(title, serving_growth(spec, ask), f"{_sequences(ask.batch)} of each length.")


def memory_train_plot(spec: ModelSpec, ask: TrainAsk) -> Plot:
    """What training keeps on a device of the fullest stage, stacked, by context."""
    where = _where(ask.hardware, ask.how.plan.devices)
    title = (
        f"Training {spec.label} in {ask.how.precision.name} with {ask.how.optimizer.name}: memory of {where} by context"
    )
    return _stacked(title, training_growth(spec, ask), f"Micro-batches of {_sequences(ask.how.micro_batch).lower()}.")


def _where(hardware: Hardware | None, devices: int) -> str:
    device = "a device" if hardware is None else hardware.label
    return device if devices == 1 else f"each of {devices:,} {'devices' if hardware is None else device}"


def _sequences(count: int) -> str:
    return "One sequence" if count == 1 else f"{count:,} sequences"


def _stacked(title: str, grown: Growth, note: str) -> Plot:
    sizes = {at: {name: int(part.value) for name, part in parts.items()} for at, parts in grown.rows.items()}
    rules = [Rule("x", grown.context, f"{grown.context:,} tokens")]
    if grown.longest:
        rules.append(Rule("x", grown.longest, f"full at {grown.longest:,}"))
    if grown.usable is not None:
        rules.append(Rule("y", grown.usable, "usable"))
    axes = Axis("context", TOKENS, log=False), Axis("memory", BYTES, log=False)
    return Plot(title, *axes, tuple(stacked(sizes)), tuple(rules), notes=(note,))
