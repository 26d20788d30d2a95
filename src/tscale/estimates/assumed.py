"""What is said first of a model that is counted like one of another family, and its figures: nothing in them is exact."""

from __future__ import annotations

from typing import TypeVar

from tscale.core.metric import Figure, Missing
from tscale.models.spec import ModelSpec, Spec

Answer = TypeVar("Answer", Figure, Figure | Missing | str)


def lead_of(spec: Spec) -> tuple[str, ...]:
    """What must be read before any figure of a model that is counted like another; nothing for all others."""
    if not isinstance(spec, ModelSpec) or spec.assumed is None:
        return ()
    said = spec.assumed
    why = (
        "its file names no model_type"
        if said.model_type is None
        else f'tscale does not know model_type "{said.model_type}"'
    )
    lines = [f"Counted like {said.family}, as requested (--assume): {why}. All figures are assumed."]
    if said.defaults:
        lines.append(f"Not in the file, taken from the defaults of {said.family}: {', '.join(said.defaults)}.")
    if said.unread:
        lines.append(f"Not read, because no {said.family} has them: {', '.join(said.unread)}.")
    return tuple(lines)


def assumed(figure: Figure) -> Figure:
    """A figure as one that rests on an assumption, unless it is quoted from elsewhere."""
    return figure if figure.known == "cited" else figure._replace(known="assumed")


def answer_of(answer: Answer, spec: ModelSpec) -> Answer:
    """A figure about a model, assumed where the model is counted like another."""
    return assumed(answer) if isinstance(answer, Figure) and spec.assumed is not None else answer
