"""What towers keep of images and sounds for the backward pass."""

from __future__ import annotations

from tscale.core.metric import Data, Figure
from tscale.core.units import BYTES
from tscale.estimates.media import media_costs, media_record
from tscale.estimates.memory_train.held import Weighed


def tower_activations(one: Weighed) -> int:
    """Bytes of the activations of towers and projectors on a device of the fullest stage."""
    own = {saved.name for saved in one.model.kept[one.stage] if saved.block.stack == "tower"}
    own |= {f"{entry.name}.lora" for entry in one.model.shares[one.stage].entries if entry.block.stack == "tower"}
    return sum(line.value for line in one.most.activations.lines if line.name in own)


def trained_media_data(one: Weighed) -> dict[str, Data]:
    """The same for JSON, with what towers keep; nothing where there are none."""
    costs = media_costs(one.model.spec, one.ask.media)
    if not costs:
        return {}
    return {
        "media": [media_record(cost) for cost in costs],
        "tower_activations": Figure(tower_activations(one), BYTES, one.known),
    }
