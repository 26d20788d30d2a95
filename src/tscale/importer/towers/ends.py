"""What a projector stands between, and the two matrices that most of them are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from tscale.blocks.tower_pieces import Piece, TowerLayers
from tscale.importer.towers.parts import ACTIVATED, READ, linear
from tscale.importer.towers.sizes import File, Sizes

Pieces = Iterator[Piece]


class Ends(NamedTuple):
    """What a projector stands between: the configuration of a tower and its pieces, and the width of the text model."""

    file: File
    tower: Sizes
    d_model: int
    pieces: tuple[Piece, ...] = ()


Projector = Callable[[Ends], Pieces]


def two_layers(d_in: int, inner: int, d_out: int, *, bias: bool = True) -> Pieces:
    """Two matrices with an activation between them."""
    yield linear("linear_1", d_in, inner, bias=bias, at="outputs", keeps=ACTIVATED)
    yield linear("linear_2", inner, d_out, bias=bias, at="outputs", keeps=READ)


def chosen_layers(file: File) -> int:
    """How many of the tower's layers are read, one behind the other."""
    chosen = file.own.value("vision_feature_layer")
    return len(chosen) if isinstance(chosen, list) else 1


def without_unread(file: File, pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """A tower's pieces, of whose last layers it is said how many come behind the last one that is read."""
    chosen = file.own.value("vision_feature_layer")
    read = [layer for layer in (chosen if isinstance(chosen, list) else [chosen]) if type(layer) is int]
    stacks = [place for place, piece in enumerate(pieces) if isinstance(piece, TowerLayers)]
    if not read or len(stacks) != 1:
        return pieces
    (place,) = stacks
    stack = pieces[place]
    assert isinstance(stack, TowerLayers)
    last = max(layer if layer >= 0 else stack.layers + 1 + layer for layer in read)
    unread = min(max(stack.layers - last, 0), stack.layers)
    return (*pieces[:place], replace(stack, unread=unread), *pieces[place + 1 :])
