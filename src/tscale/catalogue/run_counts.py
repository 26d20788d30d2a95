"""What is counted of the models of published runs: compiled with the index, so that an answer that assumes a utilisation lowers none of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from tscale.blocks import Attention, FeedForward
from tscale.catalogue import index
from tscale.catalogue.measured import Shape, TrainingRun, training_runs
from tscale.catalogue.models import built_in
from tscale.core.costs.params import active_params
from tscale.core.costs.training import training_flops
from tscale.core.ledger import Ledger, Matmul
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec


class RunCounts(NamedTuple):
    """Of a run's model: parameters that a token meets, whether experts are routed, and FLOPs to train on a sequence of the run's length."""

    active: int
    experts: bool
    flops: int


def run_counts() -> Iterator[tuple[TrainingRun, RunCounts]]:
    """The published runs that are shipped, each with what was counted of it; counted anew where their file has changed since."""
    compiled = index.counted_of("measured", "utilisation")
    for place, run in enumerate(training_runs()):
        yield run, counted_of(run) if compiled is None else RunCounts(*compiled["runs"][place])


def counted_of(run: TrainingRun) -> RunCounts:
    """What is counted of the model of a run."""
    spec, ledger = _model(run.model, run.shape)
    flops = training_flops(ledger, run_of(spec, run.context), run.context)
    return RunCounts(int(active_params(ledger).total), has_experts(ledger), int(flops))


def has_experts(ledger: Ledger) -> bool:
    """Whether any layer sends tokens to some of several experts."""
    return any(isinstance(entry, Matmul) and entry.experts > 1 for entry in ledger.entries)


@cache
def _model(name: str, shape: Shape | None) -> tuple[ModelSpec, Ledger]:
    """A built-in model, in another size where a shape says so."""
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    if shape is not None:
        spec = replace(spec, **dict(_changes(spec, shape)))
    return spec, lower(spec)


def _changes(spec: ModelSpec, shape: Shape) -> Iterator[tuple[str, Any]]:
    for name in ("layers", "d_model", "vocabulary"):
        if getattr(shape, name) is not None:
            yield name, getattr(shape, name)
    if shape.heads is not None:
        assert isinstance(spec.attention, Attention)
        kv_heads = spec.attention.kv_heads if shape.kv_heads is None else shape.kv_heads
        yield "attention", replace(spec.attention, heads=shape.heads, kv_heads=kv_heads)
    if shape.d_ff is not None:
        assert isinstance(spec.feed_forward, FeedForward)
        yield "feed_forward", replace(spec.feed_forward, d_ff=shape.d_ff)
