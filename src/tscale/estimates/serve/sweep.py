"""Throughput by batch, for the picture of `tscale serve`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tscale.catalogue.hardware import Hardware
from tscale.core.adding import in_order
from tscale.core.costs.largest import largest
from tscale.estimates.serve.times import MOST_BATCH, Ask, Served, memory_of, served, times_of, turning_batch
from tscale.models.spec import ModelSpec


class Throughput(NamedTuple):
    """Tokens a second of all users at a batch; and if computing, or reading weights and cache, were all that took time.

    The two bounds are None where a draft model guesses, whose work is neither's.
    """

    batch: int
    tokens_per_second: float
    by_compute: float | None
    by_memory: float | None


class Sweep(NamedTuple):
    """Throughput by batch, the batch from which computing bounds decoding, and the largest that a device has room for."""

    rows: tuple[Throughput, ...]
    turning: int | None
    most: int


def throughputs(spec: ModelSpec, hardware: Hardware, ask: Ask, batches: Iterable[int]) -> Sweep:
    """The throughput that `serve_report` gives, at each of many batches."""
    one = served(spec, hardware, ask)
    most = largest(lambda batch: memory_of(_at(one, batch)).fits, MOST_BATCH)
    rows = tuple(_throughput(_at(one, batch)) for batch in batches)
    return Sweep(rows, turning_batch(one), MOST_BATCH if most is None else most)


def _at(one: Served, batch: int) -> Served:
    return one._replace(ask=one.ask._replace(batch=batch))


def _throughput(one: Served) -> Throughput:
    ask = one.ask
    lines = one.works(one.step(one.middle))
    computing = in_order(line.flops / line.peak for line in lines)
    reading = in_order(line.weights + line.cache for line in lines) / one.device.memory_bytes_per_second
    alone = ask.batch * float(ask.efficiency)
    guessed = ask.draft is not None
    return Throughput(
        ask.batch,
        ask.batch / times_of(one).per_token,
        None if guessed else float(alone / computing),
        None if guessed else float(alone / reading),
    )
