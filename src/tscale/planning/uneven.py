"""Uneven stages: the layers of pipelines whose first and last stage are relieved of some, for the embedding and the head they have.

A pipeline waits for its slowest stage, which the head makes the last one: of a vocabulary of 128,256 and a width of 4,096 it computes
as much as 2.4 layers. And the first stage keeps the activations of most micro-batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

from tscale.core.costs.params import size
from tscale.core.ledger import Ledger, Matmul
from tscale.core.partition import stretches

_EMBEDDING = (0, 1)
"""Layers that the embedding may count as."""


def uneven_stages(
    layers: int, pipelines: Iterable[int], interleaves: Iterable[int], head: float
) -> tuple[tuple[int, ...], ...]:
    """Layers of each piece of pipelines of so many stages and pieces, where these relieve a stage of those that are as even as can be.

    Args:
        layers: layers of the stack.
        pipelines: numbers of stages.
        interleaves: numbers of pieces of a stage.
        head: layers that compute as much as the head.

    Example:
        >>> uneven_stages(32, [4], [1], 2.4)
        ((8, 8, 9, 7), (8, 9, 9, 6), (7, 9, 9, 7))
    """
    found: dict[tuple[int, ...], None] = {}
    for stages, pieces in product(pipelines, interleaves):
        if 1 < stages * pieces <= layers and stages > 1:
            found |= dict.fromkeys(_of(layers, stages * pieces, pieces, head))
    return tuple(found)


def _of(layers: int, pieces: int, of_stage: int, head: float) -> Iterator[tuple[int, ...]]:
    """What relieves a stage, of so many pieces. Where a stage has several, all between the ends are of one size, so that none waits."""
    even = tuple(int(one.size) for one in stretches(layers, pieces, ends=of_stage > 1))
    whole = max(min(round(head), layers // pieces - 1), 1)  # which leaves the last piece a layer
    for first, last in product(_EMBEDDING, sorted({1, whole})):
        inner, more = divmod(layers + first + last, pieces)
        sizes = [inner] * pieces
        for place in _late(pieces)[:more]:
            sizes[place] += 1
        sizes[0], sizes[-1] = sizes[0] - first, sizes[-1] - last
        relieved = sizes[0] < even[0] or _slowest(sizes, head) < _slowest(even, head)
        if min(sizes) > 0 and relieved and (of_stage == 1 or not more):
            yield tuple(sizes)


def _late(pieces: int) -> list[int]:
    """The pieces in the order in which they take a layer more: later ones keep fewer micro-batches; the first and the last at last."""
    return [*range(pieces - 2, 0, -1), 0, pieces - 1] if pieces > 1 else [0]


def _slowest(sizes: Iterable[int], head: float) -> float:
    """What the slowest piece computes, in layers."""
    *others, last = sizes
    return max(*others, last + head)


def head_layers(whole: Ledger, layers: int) -> float:
    """How many layers, as they are on average, have as many weights that a token is multiplied by as the head."""
    head, rest = 0, 0
    for entry in whole.entries:
        if isinstance(entry, Matmul):
            own = int(entry.used) * size(entry)
            head, rest = (head + own, rest) if entry.part == "head" else (head, rest + own)
    return head * layers / rest if rest else 1.0
