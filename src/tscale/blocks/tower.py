"""Towers: what brings images and sounds to a language model, and what stands between the two.

A tower is a list of pieces in reading order. Its lines are parts of the whole model (`vision_tower`, `audio_tower`,
`projector`), and no token of text runs through any of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from tscale.blocks.fields import Problem, Tagged, within
from tscale.blocks.image_tiles import SplitImage
from tscale.blocks.kinds import TOWER_INPUTS, TOWER_PIECES
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.blocks.tower_inputs import Reading, Sound
from tscale.blocks.tower_pieces import Piece, TowerLayers
from tscale.core.ledger import Block, Entry, Group, Matmul, Saved, Scores, TowerPart

IMAGES: Final = Block("tower", "none")
SOUNDS: Final = Block("tower", "none", 1)
"""What stands in a tower, by what runs through it."""


@spec_dataclass
class Tower:
    """A tower, or a projector between one and the language model."""

    part: TowerPart
    """Which part of the whole model it is."""
    name: str | None = None
    """What its lines begin with; by default its part."""
    reads: Literal["images", "sounds"] = "images"
    """What runs through it."""
    input: Annotated[Reading | None, Tagged(TOWER_INPUTS)] = None
    """How an image or a sound becomes its positions and the language model's tokens; absent where that is not known."""
    pieces: Annotated[tuple[Piece, ...], Tagged(TOWER_PIECES, "linear", many=True)]
    """What it is made of, in reading order."""

    @property
    def prefix(self) -> str:
        """What the names of its lines begin with."""
        return self.part if self.name is None else self.name

    def problems(self) -> Iterator[Problem]:
        """What contradicts itself in it."""
        if self.input is not None and isinstance(self.input, Sound) != (self.reads == "sounds"):
            yield ("input", "kind"), f"it is not how {self.reads} are read: choose another kind, or set reads"
        if isinstance(self.input, SplitImage):
            yield from within(("input",), self.input.problems())
        for place, piece in enumerate(self.pieces):
            if isinstance(piece, TowerLayers):
                yield from within(("pieces", place), piece.problems())

    @property
    def block(self) -> Block:
        """What its entries belong to."""
        return SOUNDS if self.reads == "sounds" else IMAGES

    def groups(self, *, saves: bool = False) -> Iterator[Group]:
        """Its pieces as groups of layers, which stand before the first layer of the language model; with what they `save`.

        Raises `RequestError` where that is asked of a piece of which nobody has recorded it.
        """
        for piece in self.pieces:
            layers = piece.layers if isinstance(piece, TowerLayers) else 1
            entries = tuple(self._placed(entry) for entry in piece.lower(self.prefix))
            kept = tuple(map(self._kept, piece.saves(self.prefix))) if saves else ()
            if kept and isinstance(piece, TowerLayers) and piece.unread:
                yield Group("start", "tower", layers - piece.unread, None, (), kept)
                kept = ()
            yield Group("start", "tower", layers, None, entries, kept)

    def _placed(self, entry: Entry) -> Entry:
        """An entry of a tower: of its part, in no stack of the language model, whole on each device and without a cache."""
        if isinstance(entry, Scores):
            return entry._replace(block=self.block, cut=None, cache=None)
        placed = entry._replace(block=self.block, part=self.part)  # type: ignore[call-arg]
        return placed._replace(cut=None) if isinstance(placed, Matmul) else placed

    def _kept(self, saved: Saved) -> Saved:
        """What a tower saves, whole on each device."""
        return saved._replace(block=self.block, part=self.part, cut=None, gathered=True)
