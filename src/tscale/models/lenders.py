"""Where a stack can be cut whose layers borrow keys: a layer and the one whose keys it reads stay on one stage.

No framework sends keys to another stage. A layer borrows from the last layer before it that has keys of its own and sees as
far (`kv_shared_layer_index` of Gemma 3n and 4 in transformers).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from tscale.blocks import Attention
from tscale.core.partition import Stretch, given_stretches
from tscale.errors import RequestError, field
from tscale.models.spec import MOST_LAYERS, ModelSpec


class Lent(NamedTuple):
    """A layer that borrows keys, and the one that has them."""

    lender: int
    borrower: int


def has_borrowers(spec: ModelSpec) -> bool:
    """Whether some layers read the keys of others."""
    return any(isinstance(mixer, Attention) and mixer.borrows_keys for mixer in spec.mixers)


def lent(spec: ModelSpec) -> tuple[Lent, ...]:
    """Each layer that borrows keys, with its lender. Raises `RequestError` for a stack too deep to tell its layers apart."""
    if spec.layers > MOST_LAYERS:
        raise RequestError(
            f"lenders of keys are known up to {MOST_LAYERS:,} layers, and {spec.name} has {spec.layers:,}: use "
            f"{field('pipeline', 1)}"
        )
    found: list[Lent] = []
    owners: dict[object, int] = {}
    latest = 0
    for layer in range(int(spec.layers)):
        mixer = _attention_of(spec, layer)
        if mixer is None:
            continue
        if mixer.borrows_keys:
            found.append(Lent(owners.get(mixer.window, latest), layer))
        else:
            owners[mixer.window] = latest = layer
    return tuple(found)


def _attention_of(spec: ModelSpec, layer: int) -> Attention | None:
    """The attention of a layer: that of a block that says so, else of the one that is in all other layers."""
    there = [mixer for mixer in spec.mixers if mixer.on is not None and mixer.on.holds(layer)]
    one = next(iter(there), None) or next((mixer for mixer in spec.mixers if mixer.on is None), None)
    return one if isinstance(one, Attention) else None


def cuts(spec: ModelSpec) -> list[int]:
    """The layers before which a stack can be cut, so that each borrower stays with its lender."""
    pairs = lent(spec)
    return [cut for cut in range(1, int(spec.layers)) if not any(one.lender < cut <= one.borrower for one in pairs)]


def kept_together(spec: ModelSpec, wanted: Sequence[Stretch], *, asked: bool) -> tuple[Stretch, ...]:
    """The pieces nearest to those that are wanted whose cuts keep lenders and borrowers together.

    Raises `RequestError` where there are no such pieces, and where others were `asked` for, naming the nearest.
    """
    legal, needed = cuts(spec), len(wanted) - 1
    if len(legal) < needed:
        raise RequestError(
            f"{spec.name}'s layers borrow keys of others, which stay on one stage with them: its stack can be cut into at most "
            f"{len(legal) + 1} pieces: use {field('pipeline', len(legal) + 1)} or less"
        )
    chosen: list[int] = []
    begin = 0
    for place in range(needed):
        end = len(legal) - (needed - 1 - place)
        at = min(range(begin, end), key=lambda one: (abs(legal[one] - int(wanted[place + 1].start)), one))
        chosen.append(legal[at])
        begin = at + 1
    edges = [0, *chosen, int(spec.layers)]
    sizes = [after - before for before, after in pairwise(edges)]
    if asked and sizes != [int(piece.size) for piece in wanted]:
        raise RequestError(
            f"{spec.name}'s layers borrow keys of others, which stay on one stage with them: the nearest is "
            f"{field('stages', ','.join(map(str, sizes)))}"
        )
    return given_stretches(sizes)
