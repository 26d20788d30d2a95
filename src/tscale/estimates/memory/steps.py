"""How what a serving device holds was made, for `--explain`."""

from __future__ import annotations

from tscale.core.costs.weights import kept_in, tower_format
from tscale.core.metric import Figure, Quantity, Step
from tscale.core.serving_layout import ServingLayout
from tscale.core.tracing import TracedInt, label
from tscale.core.units import BYTES
from tscale.estimates.explaining import line_figures, steps_of, summed
from tscale.estimates.memory.held import Server
from tscale.models.naming import traced


def serving_steps(server: Server, place: int) -> tuple[Step, ...]:
    """How what a device of a stage holds was made, and of a draft beside it."""
    draft = server.drafting()
    steps = _steps(_remembered(server._replace(draft=None)), place, server.spec.name)
    return steps if draft is None else steps + _steps(_remembered(draft), 0, f"draft, {draft.spec.name}")


def _remembered(server: Server) -> Server:
    """The same server on numbers that remember how they were made."""
    told = server._replace(
        batch=TracedInt(server.batch, label="batch"),
        context=TracedInt(server.context, label="context"),
        page=None if server.page is None else TracedInt(server.page, label="page"),
        chunk=TracedInt(server.chunk, label="chunk"),
        layout=_labelled(server.layout),
    )
    return told.of(traced(server.spec))


def _labelled(layout: ServingLayout) -> ServingLayout:
    """A layout whose degrees above 1 remember what they are called."""
    if layout.is_tensor_alone and layout.devices > 1:
        gpus = TracedInt(layout.tensor, label="gpus")
        return layout._replace(tensor=gpus, expert_tensor=gpus)

    def labelled(label: str, degree: int) -> int:
        return TracedInt(degree, label=label) if degree > 1 else 1

    return layout._replace(
        tensor=labelled("tensor", layout.tensor),
        expert=labelled("expert", layout.expert),
        expert_tensor=labelled("expert_tensor", layout.expert_tensor),
        attention_data=labelled("attention_data", layout.attention_data),
        replicas=labelled("replicas", layout.replicas),
    )


def _steps(server: Server, place: int, subject: str) -> tuple[Step, ...]:
    """How each part of the total was made; a line of the weights has the source of the format that it is kept in."""
    weights, cache, workspace = server.weights(place), server.cache(place), server.workspace(place)
    at, format = server.stages[place], server.stage_format(place)
    kept = {kept.entry.name: kept.format for kept in kept_in(at.share, format, at.whole)}  # of several, one
    kept |= {name: tower_format(server.format) for name, _ in server.towers(place).lines}
    activations, logits = (line.value for line in workspace.lines)
    parts = {
        "weights": (summed(weights.lines, "weights."), ""),
        "kv_cache": (_all_sequences(server, place, cache), cache.source),
        "activations": (activations, ""),
        "logits": (logits, ""),
    }
    figures = [
        *((f"weights.{name}", Figure(value, BYTES, source=kept[name].source)) for name, value in weights.lines),
        *line_figures(cache.lines, BYTES, cache.source),
        *((name, Figure(value, BYTES, source=source)) for name, (value, source) in parts.items()),
        ("total", Figure(sum(label(name, value) for name, (value, _) in parts.items()), BYTES)),
    ]
    return tuple(steps_of(figures, f"{subject}, a device"))


def _all_sequences(server: Server, place: int, cache: Quantity) -> int:
    """Bytes of the caches of all of a device's sequences."""
    if server.prefix or server.keeping.by_sequences:
        return summed(tuple(server.caches(place)))
    return server.sequences * label("cache_of_a_sequence", summed(cache.lines), "bytes")
