"""A layer's saved activations as they are counted, and by a published shortcut."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from tscale.core.costs.activations import korthikanti_layer_bytes
from tscale.core.costs.training_memory import layer_bytes
from tscale.core.ledger import Conv, Scan, Scores
from tscale.core.metric import Data, Figure
from tscale.core.units import BYTES, RATIO
from tscale.models.trainer import Trainer


class Shortcut(NamedTuple):
    """A layer's activations as they are counted, and by Korthikanti 2022's equations."""

    counted: int
    published: int

    def figures(self) -> tuple[Figure, Figure, Figure]:
        """Both, and what the counted is of the published."""
        return (
            Figure(self.counted, BYTES, "convention"),
            Figure(self.published, BYTES, "convention", "korthikanti2022 equations 1 to 4"),
            Figure(Fraction(self.counted, self.published), RATIO),
        )

    def data(self) -> Data:
        counted, published, ratio = self.figures()
        return {"counted_layer_bytes": counted, "korthikanti_layer_bytes": published, "ratio": ratio}


def shortcut_of(model: Trainer, stage: int) -> Shortcut | None:
    """The published shortcut beside the count, for a stack of attention alone in which it says anything."""
    entries = model.shares[stage].entries
    heads = next((entry.heads for entry in entries if isinstance(entry, Scores)), None)
    plan, training = model.training.plan, model.training
    if any(isinstance(entry, (Scan, Conv)) for entry in entries):
        return None
    if heads is None or model.spec.kind != "decoder" or plan.context > 1:
        return None
    published = korthikanti_layer_bytes(
        model.context,
        training.micro_batch,
        model.spec.d_model,
        heads * plan.tensor,
        plan.tensor,
        training.passes,
        sequence=plan.sequence,
    )
    return Shortcut(layer_bytes(model.layers[stage], training), published)
