"""Modules behind the last layer that each predict one token further in training (DeepSeek-AI 2024c, section 2.2).

A module brings the state of the layer before it and the embedding of the next token together, each behind a norm of its own, by a matrix
[2d, d]; a layer like the last one follows, a norm, and the model's own head. Table and head are the model's: only a pipeline's last stage
has a copy of the table for it. Megatron-LM counts the same (`--mtp-num-layers`: training.py, num_floating_point_operations).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeVar, cast

from tscale.core.ledger import Cut, Entry, Group, Lookup, Matmul, Saved
from tscale.models.spec import ModelSpec
from tscale.models.stack import END, Stack

_NAME: Final = "mtp"
Item = TypeVar("Item", bound="Entry | Saved")


def module_groups(
    spec: ModelSpec, modules: int, stack: Stack, groups: Iterable[Group], *, saves: bool
) -> Iterator[Group]:
    """What the modules own, do and save, behind the last layer; `groups`: those of the stack, whose last layer each has once more."""
    behind = END._replace(layers=modules)
    yield from behind.groups(_joining(spec, stack))
    if saves:
        yield from behind.groups(_joining_saves(spec, stack))
    for group in groups:
        if not isinstance(group.where, str) and group.where.count(spec.layers) > group.where.count(spec.layers - 1):
            yield group._replace(
                where="end",
                layers=modules,
                copies=None,
                entries=tuple(_of_module(spec, entry) for entry in group.entries),
                saved=tuple(_of_module(spec, saved) for saved in group.saved),
            )


def _joining(spec: ModelSpec, stack: Stack) -> Iterator[Entry]:
    """Three norms, the matrix, and the table of tokens, which is stored elsewhere."""
    d = spec.d_model
    for what in ("state", "token", "final"):
        yield spec.norm.vector(f"{_NAME}.norm.{what}", d)
    yield Matmul(f"{_NAME}.projection", "projection", "feed_forward", stack.site.stream, 2 * d, d, cut=Cut(d))
    if not spec.tied:  # a tied head brings it along
        yield Lookup(f"{_NAME}.tokens", "embedding", "embedding", spec.vocabulary, d, stored=0)


def _joining_saves(spec: ModelSpec, stack: Stack) -> Iterator[Saved]:
    """What the norms keep, and both of what the matrix multiplies."""
    stream, d = stack.site.stream, spec.d_model
    for what in ("state", "token", "final"):
        yield from spec.norm.saves_one(f"{_NAME}.norm.{what}", stream, d)
    yield Saved(f"{_NAME}.projection.input", "feed_forward", stream, 2 * d, "product")


def _of_module(spec: ModelSpec, item: Item) -> Item:
    """An entry of the last layer, or what it saves, as a module has it: in a block of its own."""
    number = item.block.number + len(spec.mixers) + len(spec.feed_forwards)
    return cast(
        "Item", cast("Any", item)._replace(name=f"{_NAME}.{item.name}", block=item.block._replace(number=number))
    )
