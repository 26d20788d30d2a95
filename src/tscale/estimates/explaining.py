"""What every answer needs: a model on numbers that remember, its published figures, and the notes beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Final, NamedTuple

from tscale.core.dtypes import Dtype
from tscale.core.ledger import Ledger
from tscale.core.metric import Data, Figure, Known, Line, Quantity, Step, step
from tscale.core.roles import Role
from tscale.core.sources import cited
from tscale.core.tracing import TracedInt, label, trace
from tscale.core.units import SHARE, TOKENS, Unit
from tscale.models.lower import lower
from tscale.models.naming import traced
from tscale.models.spec import ModelSpec, NoteTopic, Published, PublishedName

ASSUMED_CONTEXT: Final = 1024
"""Tokens of a sequence where a model has no trained context and none was given."""


class TracedModel(NamedTuple):
    """A model and its ledger, both on numbers that remember how they were made."""

    spec: ModelSpec
    ledger: Ledger

    @property
    def shape_source(self) -> str:
        """Where the shape that everything is counted from was read."""
        return self.spec.sources[0] if self.spec.sources else ""


def counted(spec: ModelSpec) -> TracedModel:
    """A model ready to be asked about."""
    spec = traced(spec)
    return TracedModel(spec, lower(spec))


def of_plain(spec: ModelSpec) -> TracedModel:
    """The same on the numbers of its spec, for what derives nothing from them: counted in a third of the time, and kept."""
    return TracedModel(spec, lower(spec))


def trained_text(spec: ModelSpec, rank: int | None, base: Dtype | None = None) -> str:
    """What is trained, in words: the model, or adapters for it; QLoRA has the model frozen in a `base` of few bits."""
    adapters = "adapters" if base is None else "QLoRA adapters"
    return spec.label if rank is None else f"{adapters} of rank {rank} for {spec.label}"


def adapting(
    model: TracedModel, rank: int | None, targets: frozenset[Role] | None, base: Dtype | None = None
) -> TracedModel:
    """The same model frozen, in a format of few bits where `base` is one, with adapters of a rank; as it is where there is none."""
    from tscale.core.costs.states import adapted

    return model if rank is None else model._replace(ledger=adapted(model.ledger, rank, targets, base))


def summed(lines: Iterable[Line], tag: str = "") -> int:
    """The sum of lines, remembered by their names, so that a total reads `attention.q + attention.k + ...`.

    `tag` begins the names where the same lines are counted in two ways.
    """
    found = [(tag + line.name, line.value) for line in lines]
    remembers = any(isinstance(value, TracedInt) for _, value in found)
    return sum(_line(name, value) if remembers else value for name, value in found)


def _line(name: str, value: int) -> int:
    """A line under its name, that of no size of the model too (three numbers in each of the layers of a list), but for none."""
    plain = value and not isinstance(value, TracedInt)
    return TracedInt(value, "name", (value,), name) if plain else label(name, value)


def line_figures(lines: Iterable[Line], unit: Unit, source: str = "", tag: str = "") -> Iterator[tuple[str, Figure]]:
    """Lines as figures to derive, under the names that `summed` gives them."""
    return ((tag + line.name, Figure(line.value, unit, source=source)) for line in lines)


def steps_of(figures: Iterable[tuple[str, Figure]], subject: str = "") -> Iterator[Step]:
    """The derivations of those figures that have one; a name that a derivation uses is explained before it, once."""
    told: dict[str, int] = {}
    seen: set[int] = set()  # of numbers that `figures` keeps: what several of them were made from is gone through once
    figures = tuple(figures)
    for name, figure in figures:
        if not isinstance(figure.value, TracedInt):
            continue
        defined = [*figure.value.definitions(seen), (name, figure.value, figure.unit.name)]
        units = {term: unit for _, made, unit in defined if unit and isinstance(made, TracedInt) for term in made.terms}
        for key, made, unit in defined:
            if told.get(key) == int(made):
                continue
            told[key] = int(made)
            own = figure if key == name else Figure(made, figure.unit._replace(name=unit or units.get(key, "")))
            derived = step(key, own, subject)
            if derived is not None:
                yield derived


def part_steps(parts: Mapping[str, Quantity], subject: str) -> tuple[Step, ...]:
    """How each part of what a device holds was made, of lines that remember."""
    figures: list[tuple[str, Figure]] = []
    for part, quantity in parts.items():
        figures += line_figures(quantity.lines, quantity.unit, quantity.source, f"{part}.")
        figures.append((part, Figure(summed(quantity.lines, f"{part}."), quantity.unit, source=quantity.source)))
    return tuple(steps_of(figures, f"{subject}, a device"))


def share(part: int, whole: int) -> Figure:
    """What fraction of the whole a part is."""
    return Figure(Fraction(int(part), int(whole)) if whole else 0, SHARE)


def context_of(spec: ModelSpec, asked: int | None) -> Figure:
    """The tokens of a sequence: asked for, or the model's trained context, or an assumption that says so."""
    if asked is not None:
        beyond = spec.context is not None and asked > spec.context and spec.audio_frames is None
        note = f"{spec.label} was trained on sequences of {spec.context:,} tokens; these are longer." if beyond else ""
        return Figure(trace(asked, "context"), TOKENS, note=note)
    if spec.context is not None:
        return Figure(TracedInt(spec.context, label="context"), TOKENS)
    note = (
        f"{spec.label} has no trained context: sequences of {ASSUMED_CONTEXT:,} tokens are assumed; --context sets it"
    )
    return Figure(TracedInt(ASSUMED_CONTEXT, label="context"), TOKENS, "assumed", note=note)


def published_figure(published: Published, unit: Unit) -> Figure:
    """A published figure, with its source, how it was confirmed, and what is right if it is a misprint."""
    graded = "" if published.evidence == "primary" else f"{published.evidence}"
    note = "; ".join(text for text in (graded, published.note, misprint_text(published)) if text)
    return Figure(published.value, unit, "cited", published.source, note)


def published_row(published: Published, unit: Unit) -> dict[str, Data]:
    """A published figure and where it stands, with what is noted of it."""
    figure = published_figure(published, unit)
    return {"published": figure, "source": source_text(figure.source) + (f" ({figure.note})" if figure.note else "")}


def misprint_text(published: Published) -> str:
    """That a figure is a misprint, and what is right; nothing of one that is not known to be wrong."""
    right = published.corrected
    return "" if right is None else f"a misprint: {plain_number(right.value)} is right ({cited(right.source)})"


def plain_number(value: float | Fraction) -> str:
    """A number in a sentence: a whole one in full unless it is of 10^15 or more, others to four digits."""
    if value == int(value) and -_IN_FULL < value < _IN_FULL:
        return f"{int(value):,}"
    return f"{float(value):,.4g}".replace("e+", "e")


_IN_FULL: Final = 10**15


def difference(computed: int, published: Published) -> Fraction:
    """(computed - published) / published."""
    value = Fraction(published.value)
    return (int(computed) - value) / value


def published_data(
    spec: ModelSpec, wanted: Iterable[tuple[PublishedName, Unit, int]], *, compared: bool = True
) -> dict[str, Data]:
    """For JSON: each published figure beside its source, its grade, and how far the computed one is from it.

    `compared`: whether the two speak of the same; a run on other tokens is not compared.
    """
    data: dict[str, Data] = {}
    for name, unit, computed in wanted:
        entries: list[Data] = [
            {
                "value": published_figure(published, unit),
                "source": cited(published.source),
                "evidence": published.evidence,
                "note": published.note,
                "corrected": None
                if published.corrected is None
                else {
                    "value": Figure(published.corrected.value, unit, "cited", published.corrected.source),
                    "source": cited(published.corrected.source),
                },
                "difference_percent": Figure(100 * difference(computed, published), unit._replace(name="percent"))
                if compared
                else None,
            }
            for published in spec.figures(name)
        ]
        if entries:
            first = entries[0]
            assert isinstance(first, dict)
            data[name] = {**first, "others": entries[1:]} if len(entries) > 1 else first
    return data


def source_text(source: str, known: Known = "exact") -> str:
    """A citation as people read it, or what stands in its place."""
    return cited(source) if source else {"exact": "counted", "assumed": "assumption"}.get(known, "")


OF_SERVING: Final[tuple[NoteTopic, ...]] = ("attention",)
"""What the notes of a model are about that bear on serving it: how it was trained does not."""


def notes_of(spec: ModelSpec, *more: str, about: tuple[NoteTopic, ...] = ("attention", "training")) -> tuple[str, ...]:
    """The notes that belong to a model, its own on what the answer is about, then those of the answer."""
    own = (*spec.notes, *(note for topic in about for note in (spec.notes_on or {}).get(topic, ())))
    if spec.mtp is not None and about == OF_SERVING:
        own = *own, _MODULES
    named_notes = tuple(f"{spec.label}: {note.strip()}" for note in own)
    return (*named_notes, *(note for note in more if note))


_MODULES: Final = (
    "its modules that predict further tokens are counted in each step, as in training; engines leave them out, or guess with them: "
    "ask without mtp, and give `serve` --draft mtp and --acceptance."
)


def streams_note(spec: ModelSpec) -> str:
    """How long the two streams of an encoder-decoder are."""
    if spec.audio_frames:
        return f"The source has {int(spec.audio_frames):,} positions, and the target has the length of the context."
    return "Source and target both have the length of the context."
