"""The words about what a model is released in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tscale.models.spec import ModelSpec
    from tscale.models.weights_spec import Release, WeightRule

_MOST_LAYERS = 6


def release_note(spec: ModelSpec) -> str:
    """What a model is released in, and what of that was not read; nothing of one in plain 16 bits."""
    said = spec.weights
    if said is None:
        return ""
    unread = "".join(f" Not read: {text}." for text in said.unread)
    placed = said.format is not None or said.rules
    return (f"{spec.label} is released{method(said)} with {words(said)}" if placed else f"{spec.label}:") + unread


def method(said: Release) -> str:
    """The name of what its weights were converted by, in parentheses."""
    return f" ({said.method})" if said.method else ""


def words(said: Release) -> str:
    """What a release keeps in which format, in a sentence."""
    parts = [] if said.format is None else [f"matrices of layers in {said.format}"]
    parts += [f"{rule.format} in {_about(rule)}" for rule in said.rules if rule.format != said.rest]
    left = [_about(rule) for rule in said.rules if rule.format == said.rest]
    unconverted = f" but for {', '.join(left)}" if left else ""
    return f"{', '.join(parts)}{unconverted}; all else in {said.rest}."


def _about(rule: WeightRule) -> str:
    """The weights that a rule is about."""
    names = ", ".join(rule.parts)
    if rule.layers is None:
        return names
    some = ", ".join(map(str, rule.layers[:_MOST_LAYERS]))
    more = f" and {len(rule.layers) - _MOST_LAYERS:,} more" if len(rule.layers) > _MOST_LAYERS else ""
    return f"{names} of {'layer' if len(rule.layers) == 1 else 'layers'} {some}{more}"
