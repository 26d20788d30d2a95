"""The stages of a pipeline: what the layers of each own and do.

Which layers are of which kind is in the spec alone, so a stage is a difference: the model cut short after the stage's last
layer, less the model cut short before its first. What does not depend on depth belongs to the first stage (the tables) or
to the last (the final norm, the head).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeVar, cast

from tscale.blocks import Attention, SharedBlock
from tscale.core.ledger import Cache, Entry, Ledger, Matmul, Saved, Scan, Scores
from tscale.core.numbers import named
from tscale.core.plan import Plan, divisors, or_list
from tscale.core.shard import check_expert
from tscale.errors import RequestError
from tscale.spec.lower import lower
from tscale.spec.model import ModelSpec
from tscale.spec.saves import saves

Staged = TypeVar("Staged", Entry, Saved)


def stages(spec: ModelSpec, plan: Plan) -> tuple[Ledger, ...]:
    """The ledger of each pipeline stage, the first one first; the model's own where there is one stage.

    A stage has `plan.interleave` pieces of the stack: of p stages, the i-th, the (i+p)-th, and so on (Narayanan 2021,
    section 2.2). Where the head is tied, the last stage keeps a copy of the table that it reads. Raises `RequestError`
    where layers cannot be dealt evenly, naming the degrees that can, or are shared.
    """
    whole = lower(spec)
    check_expert(whole, plan.expert)
    if plan.pipeline == 1:
        return (whole,)
    _check(spec, plan)
    pieces = plan.pipeline * plan.interleave
    each = named("piece_layers", spec.layers // pieces)
    edges = [lower(replace(spec, layers=each * piece)).entries for piece in range(pieces + 1)]
    return tuple(
        Ledger(f"{spec.name}, stage {stage + 1} of {plan.pipeline}", tuple(_stage(plan, stage, edges, each)))
        for stage in range(plan.pipeline)
    )


def saves_of_stages(spec: ModelSpec, plan: Plan) -> tuple[tuple[Saved, ...], ...]:
    """What the forward pass of each stage keeps for its backward pass, dealt as `stages` deals what it owns.

    Raises `RequestError` as `stages` does, and for a block of which nobody has recorded what it keeps.
    """
    if plan.pipeline == 1:
        return (saves(spec),)
    _check(spec, plan)
    pieces = plan.pipeline * plan.interleave
    each = named("piece_layers", spec.layers // pieces)
    edges = [saves(replace(spec, layers=each * piece)) for piece in range(pieces + 1)]
    return tuple(tuple(_stage(plan, stage, edges, each)) for stage in range(plan.pipeline))


def _check(spec: ModelSpec, plan: Plan) -> None:
    if spec.kind == "encoder-decoder":
        raise RequestError(f"tscale does not know how {spec.name}'s two stacks are dealt to stages: use --pipeline 1")
    if spec.unique_layers is not None or any(isinstance(mixer, SharedBlock) for mixer in spec.mixers):
        raise RequestError(f"{spec.name}'s layers share weights, which no stage has alone: use --pipeline 1")
    if spec.positions.kind == "disentangled":
        raise RequestError(f"{spec.name}'s layers all read one table of distances: use --pipeline 1")
    if spec.layer_input is not None:
        raise RequestError(f"{spec.name}'s layers look up an input of their own in one table: use --pipeline 1")
    if any(isinstance(mixer, Attention) and mixer.borrows_keys for mixer in spec.mixers):
        raise RequestError(f"{spec.name}'s last layers borrow keys, which another stage may have: use --pipeline 1")
    if spec.layers % (plan.pipeline * plan.interleave):
        pieces = f" of {plan.interleave} pieces each" if plan.interleave > 1 else ""
        fitting = [degree for degree in divisors(int(spec.layers)) if spec.layers // degree % plan.interleave == 0]
        what = f"use {or_list(fitting)} stages" if fitting else "use --interleave 1"
        raise RequestError(f"{spec.layers} layers are not dealt evenly to {plan.pipeline} stages{pieces}: {what}")


def _stage(plan: Plan, stage: int, edges: list[tuple[Staged, ...]], each: int) -> Iterator[Staged]:
    """The entries of one stage; each of `edges` is the model cut short after so many pieces."""
    first, last = stage == 0, stage == plan.pipeline - 1
    pieces = range(stage, plan.pipeline * plan.interleave, plan.pipeline)
    for place, bare in enumerate(edges[0]):
        own = last if _is_at_the_end(bare) else first
        counts: dict[str, int] = {}
        for count in ("stored", "used"):
            if hasattr(bare, count):
                base: int = (getattr(bare, count) or 0) if own else 0  # none leaves no trace in a derivation
                for piece in pieces:
                    more = getattr(edges[piece + 1][place], count) - getattr(edges[piece][place], count)
                    # as many layers of a kind as are here: their name means those of the whole model
                    base += each if more == each else int(more)
                counts[count] = base
        if last and isinstance(bare, Matmul) and bare.role == "head" and not bare.stored:
            counts["stored"] = 1
        if any(counts.values()):
            yield cast("Staged", cast("Any", bare)._replace(**counts))


def _is_at_the_end(entry: Entry | Saved) -> bool:
    """Whether what does not depend on depth stands behind the stack, not before it."""
    return getattr(entry, "role", None) == "final_norm" or (
        not isinstance(entry, Cache | Scores | Scan) and entry.part == "head"
    )
