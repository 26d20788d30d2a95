"""What is asked about: how long each token stream of a sequence is."""

from collections.abc import Iterator
from typing import NamedTuple, assert_never

from tscale.core.ledger import Block, Stream
from tscale.core.tracing import forgetting


class TowerRun(NamedTuple):
    """One image or sound through its tower: `inputs` positions of the tower's own, and `outputs` for the language model.

    `classes`: how many of the inputs are no patches of the image, but learned or padding; below 0 where patches are merged before.
    """

    inputs: int
    outputs: int
    classes: int = 0

    def length(self, stream: Stream) -> int:
        """Positions that an entry on `stream` runs over."""
        match stream:
            case "tower_patches":
                return self.inputs - self.classes
            case "tower_inputs":
                return self.inputs
            case "tower_outputs":
                return self.outputs
            case "once":
                return 1
            case "source" | "target" | "images":
                return 0  # no token of text is in it
            case _:
                assert_never(stream)


class TowerPass(NamedTuple):
    """So many images or sounds of one size through the pieces of a tower that belong to `block`."""

    block: Block
    times: int
    run: TowerRun


class SequenceLengths(NamedTuple):
    """One sequence: `target` tokens through a decoder, `source` tokens through an encoder (0 where there is none).

    `media`: what of it runs through towers before its tokens are made. `images`: positions of images that layers of the decoder attend
    to, which are no tokens (Llama 3.2 Vision).
    """

    target: int
    source: int = 0
    media: tuple[TowerPass, ...] = ()
    images: int = 0

    @property
    def plain(self) -> "SequenceLengths":
        """The same on numbers that do not remember how they were made."""
        target, source, images = forgetting(self.target), forgetting(self.source), forgetting(self.images)
        return self._replace(target=target, source=source, images=images)

    def through(self, block: Block) -> Iterator[TowerPass]:
        """The images and sounds that run through a block of a tower."""
        return (one for one in self.media if one.block == block)

    @property
    def tokens(self) -> int:
        """Tokens of one sequence, both streams together."""
        return self.source + self.target

    def length(self, stream: Stream) -> int:
        """Positions of one sequence that an entry on `stream` runs over."""
        match stream:
            case "target":
                return self.target
            case "source":
                return self.source
            case "images":
                return self.images
            case "once":
                return 1
            case "tower_patches" | "tower_inputs" | "tower_outputs":
                return 0  # towers run over images and sounds, not over tokens
            case _:
                assert_never(stream)
