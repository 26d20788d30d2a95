"""How the blocks of a spec and its sizes are called: in the names of entries, and by numbers that remember them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from tscale.core.tracing import trace

if TYPE_CHECKING:
    from tscale.blocks.tower import Tower
    from tscale.models.spec import ModelSpec


def traced(spec: ModelSpec) -> ModelSpec:
    """The same spec on numbers that remember: every size carries its field's name into whatever is derived from it."""
    return replace(
        spec,
        layers=trace(spec.layers, "layers"),
        d_model=trace(spec.d_model, "d_model"),
        vocabulary=trace(spec.vocabulary, "vocabulary"),
        context=None if spec.context is None else trace(spec.context, "trained_context"),
        unique_layers=spec.unique_layers and trace(spec.unique_layers, "unique_layers"),
        mtp=spec.mtp and trace(spec.mtp, "mtp"),
        attention=_named_blocks(spec.attention),
        feed_forward=_named_blocks(spec.feed_forward),
        positions=_with_names(spec.positions),
        embedding=_with_names(spec.embedding),
        layer_input=spec.layer_input and _with_names(spec.layer_input, "layer_input_"),
        streams=spec.streams and _with_names(spec.streams, "streams_"),
        head=_with_names(spec.head, "head_"),
        encoder=spec.encoder and _with_names(spec.encoder, "encoder_"),
        towers=spec.towers and tuple(map(named_tower, spec.towers)),
    )


def named_tower(tower: Tower) -> Tower:
    """A tower whose sizes remember their fields, with the names of the tower and of the piece before each."""
    return replace(tower, pieces=tuple(_named_piece(piece, tower.prefix) for piece in tower.pieces))


def _named_piece(piece: Any, prefix: str) -> Any:
    """A piece whose sizes remember their fields; that there is one of it needs no name."""
    lead = f"{prefix}_" if prefix else ""
    named = _with_names(piece, lead if piece.name == "layers" else f"{lead}{piece.name.replace('.', '_')}_")
    changes: dict[str, Any] = {key: 1 for key in ("copies", "times") if getattr(piece, key, None) == 1}
    if each := getattr(piece, "each", ()):
        changes["each"] = tuple(_named_piece(one, prefix) for one in each)
    return replace(named, **changes)


def _named_blocks(blocks: Any) -> Any:
    """One block with the names of its fields; several with their own name before each, so that a name means one number."""
    if blocks is None or not isinstance(blocks, tuple):
        return blocks and _with_names(blocks)
    return tuple(
        _with_names(block, f"{label}_" if place else "") for place, (label, block) in enumerate(labelled(blocks))
    )


def labelled(blocks: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """Blocks with the names that their entries begin with: their own label, numbered where it comes again."""
    seen: dict[str, int] = {}
    for block in blocks:
        seen[block.label] = seen.get(block.label, 0) + 1
        yield block.label if seen[block.label] == 1 else f"{block.label}_{seen[block.label]}", block


def _with_names(block: Any, prefix: str = "") -> Any:
    """A copy of a spec class's instance whose whole numbers remember the field that they came from."""
    changes: dict[str, Any] = {}
    for field in fields(block):
        value = getattr(block, field.name)
        if isinstance(value, int) and not isinstance(value, bool):
            changes[field.name] = trace(value, prefix + field.name)
        elif is_dataclass(value):
            # a recurrence beside attention has heads of its own
            changes[field.name] = _with_names(value, f"{prefix}mamba_" if field.name == "mamba" else prefix)
        elif field.name == "pieces":
            changes["pieces"] = tuple(_named_piece(piece, prefix.rstrip("_")) for piece in value)
    return replace(block, **changes)
