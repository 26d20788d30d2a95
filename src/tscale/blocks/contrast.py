"""How vectors of images are compared with those of texts: each image of a micro-batch with each of its texts.

What the comparison keeps for the backward pass is recorded from real code (`tests/oracle/record_activations_towers.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from tscale.blocks.fields import Size
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import ALWAYS, Entry, Number, Saved

Loss = Literal["softmax", "sigmoid"]
_OF_A_PAIR: Final[dict[Loss, tuple[tuple[str, int, Number], ...]]] = {
    "softmax": (("lengths", 4, "activation"), ("labels", 2, "index")),
    "sigmoid": (("lengths", 2, "activation"),),
}
"""By loss, numbers of one image and its text: lengths of vectors (CLIP takes squares, sums and roots in steps), and labels."""
_OF_THE_TABLE: Final[dict[Loss, tuple[tuple[str, int, Number], ...]]] = {
    "softmax": (("similarities", 1, "activation"), ("log_probabilities", 2, "activation")),
    "sigmoid": (("similarities", 1, "activation"), ("signs_and_logits", 3, "fp32")),
}
"""The same of each image beside each text; what is wanted of a sigmoid is a table in fp32, and so is what is made with it."""
_SCALARS: Final[dict[Loss, int]] = {"softmax": 3, "sigmoid": 1}
"""Numbers of the whole micro-batch: the factor of all similarities, and the weights of the two means."""


@spec_dataclass
class Contrast:
    """Similarities of the images of a micro-batch and its texts, and the loss on them (Radford 2021, Zhai 2023).

    It owns nothing: the scale and the bias stand next to it. Each sequence has one image.
    """

    kind: Literal["contrast"]
    name: str = "contrast"
    """What its lines are called."""
    width: Size
    """Width of the vectors that are compared."""
    loss: Loss
    """A softmax over rows and one over columns (CLIP), or a sigmoid of each similarity (SigLIP)."""

    def lower(self, _: str) -> Iterator[Entry]:
        """Nothing: it has no weights, and its product is of whole batches, which no count of a sequence's FLOPs has."""
        return iter(())

    def saves(self, prefix: str) -> Iterator[Saved]:
        """Vectors before and after they are brought to length 1, their lengths, and tables of all images beside all texts."""
        kept = Saved(f"{prefix}.{self.name}.vectors", "projector", "once", 4 * self.width, keeping=ALWAYS)
        yield kept
        for what, width, number in _OF_A_PAIR[self.loss]:
            yield kept._replace(name=f"{prefix}.{self.name}.{what}", width=width, number=number)
        for what, width, number in _OF_THE_TABLE[self.loss]:
            yield kept._replace(name=f"{prefix}.{self.name}.{what}", width=width, number=number, squared=True)
        yield kept._replace(name=f"{prefix}.{self.name}.scalars", width=_SCALARS[self.loss], shared=True)
