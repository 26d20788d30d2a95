"""Of `tscale memory --train`: what images and sounds are to a sequence, and what towers keep of them for the backward pass."""

from __future__ import annotations

from collections.abc import Iterator

from tscale.answers.media import media_notes
from tscale.core.metric import Column, Table
from tscale.core.number_text import number_text
from tscale.core.view import view
from tscale.estimates.media import media_costs, media_record
from tscale.estimates.memory_train.held import Weighed
from tscale.estimates.memory_train.media import tower_activations


def trained_media_table(one: Weighed) -> Iterator[Table]:
    """Tokens of images and sounds in a sequence; nothing where there are none."""
    costs = media_costs(one.model.spec, one.ask.media)
    if costs:
        columns = (Column("in each sequence", "media", numeric=False), Column("tokens", "tokens"))
        yield view("", columns, map(media_record, costs), aside=True)


def trained_media_notes(one: Weighed) -> Iterator[str]:
    """That towers train as the rest does, and what they keep of images and sounds."""
    spec, media = one.model.spec, one.ask.media
    if not spec.towers:
        return
    trains = "Towers and projectors train as the rest does: their weights, gradients, states or adapters are counted"
    if not media.any:
        counted = "--audio-seconds" if all(tower.reads == "sounds" for tower in spec.towers) else "--images"
        yield (
            f"{trains}, without images or sounds to keep activations of, which {counted} adds. --set towers=null leaves them out."
        )
        return
    size = number_text(int(tower_activations(one)), "decimal", "B")
    again = {"full": "; their layers are recomputed too", "op": "; of their layers nothing is recomputed"}
    policy = again.get(one.ask.how.recompute, "")
    if one.ask.how.again is not None and one.ask.how.again.of_some:
        policy = again["op"]
    yield (
        f"{trains}, and {size} of the activations are theirs{policy}. What their own backward pass needs for a moment, when the "
        "language model's activations are gone, is not counted."
    )
    yield from media_notes(media, media_costs(spec, media))
