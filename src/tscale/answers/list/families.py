"""`tscale list families`: the families of config.json that are read, by kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from tscale.answers.list.filters import ALL, Wanted, titled
from tscale.catalogue import index
from tscale.core.metric import Column, Label, Report
from tscale.core.view import Record, view
from tscale.importer import towers
from tscale.importer.towers.alone import KINDS as ALONE

KINDS: Final = {
    "decoder": "decoders",
    "normed": "decoders with QK norm",
    "experts": "with experts or latent attention",
    "hybrid": "recurrent, convolutional and hybrid",
    "several attentions": "with several kinds of attention",
    "new layers": "with kinds of layers new since 2025",
    "inner": "text models of multimodal families",
    "encoder": "encoders",
    "encoder-decoder": "encoder-decoders",
    "repository": "with code in their repositories",
    "whole": "multimodal, counted whole",
    "text": "multimodal, text model alone",
    "tower": "vision and audio encoders",
}
"""The kinds of families in the order in which they are listed: those of the rows' groups, and of what reads more than text."""


class Listed(NamedTuple):
    """A family by the `model_type` of its files: its kind, the classes that they may name, its other names, where it was read."""

    name: str
    kind: str
    classes: tuple[str, ...]
    also: tuple[str, ...] = ()
    source: str = ""


def listed_families() -> list[Listed]:
    """Every family that is shipped, by kind and name."""
    order = list(KINDS)
    return sorted(_every(), key=lambda one: (order.index(one.kind), one.name.lower()))


def _every() -> Iterator[Listed]:
    for name, data in index.everything("families"):
        multimodal = "whole" if name in towers.FAMILIES else "text"
        kind = multimodal if "text" in data else data["group"]
        yield Listed(name, kind, tuple(data["classes"]), tuple(data.get("also", ())), data.get("source", ""))
    for name, row in ALONE.items():
        if not index.is_compiled("families", name):  # Whisper's encoder, of the family of the whole
            yield Listed(name, "tower", tuple(row.heads))


def families_report(wanted: Wanted = ALL) -> Report:
    """The families of config.json that are read."""
    columns = (
        Column("model_type", "name", numeric=False),
        Column("kind", "kind", numeric=False),
        Column("classes", "classes", drop=2, numeric=False),
        Column("also known as", "also", drop=1, numeric=False),
        Column("source", "source", drop=3, numeric=False),
    )
    every = listed_families()
    wanted.check_family(name for one in every for name in (one.name, *one.also))
    found = [one for one in every if wanted.of_names(one.name, *one.also)]
    records: list[Record] = [
        {
            "name": one.name,
            "kind": Label(KINDS[one.kind], one.kind),
            "classes": list(one.classes),
            "also": list(one.also),
            "source": one.source,
        }
        for one in found
    ]
    notes = (
        "--assume NAME counts a config.json of an unknown family as one of these; --families FILE adds your own, by a file that "
        "`tscale schema families` describes.",
    )
    title = titled("Families of config.json", wanted, len(found), len(every))
    if wanted == ALL:
        title = f"{len(every)} families of config.json are read"
    return Report(title, (view(title, columns, records),), {"families": records}, notes)
