"""A file of weights as MODEL: its header gives the shape, and its tensors are held to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Final

from tscale.checkpoint.gguf import Header, read_header
from tscale.checkpoint.matching import Comparison, compared, key_of, shape_text
from tscale.checkpoint.tensors import Tensor
from tscale.errors import SpecError, called, shown
from tscale.models.gguf_release import with_release
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec


def gguf_spec(path: Path) -> ModelSpec:
    """The spec of the model in a GGUF file, with the types that its weights are in. Raises `SpecError`."""
    return spec_of_header(read_header(path), _name(path), called(str(path)))


def spec_of_header(header: Header, name: str, where: str) -> ModelSpec:
    """The spec that a GGUF header describes. Raises `SpecError` where its tensors are not those that its keys lead to."""
    from tscale.importer.gguf_header import config_of
    from tscale.importer.reader import imported

    if _is_split(header.values):
        raise SpecError("is one of several files of a model: their headers are not read together yet", where=where)
    config = config_of(header, where)
    spec = imported(config, name=name, where=where)
    if spec.head.pooler and not any(tensor.name.startswith("cls") for tensor in header.tensors):
        spec = replace(spec, head=replace(spec.head, pooler=False))
    _held_to(spec, header.tensors, where)
    spec = with_release(spec, header.tensors)
    return replace(spec, notes=(f"Read from the header of a GGUF file, as a {config['model_type']}.", *spec.notes))


def _is_split(values: object) -> bool:
    count = values.get("split.count") if isinstance(values, dict) else None
    return type(count) is int and count > 1


def _name(path: Path) -> str:
    return path.stem.lower().replace("_", "-").replace(" ", "-") or "model"


_NO_PARAMETERS: Final = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")


def _held_to(spec: ModelSpec, tensors: tuple[Tensor, ...], where: str) -> None:
    """Raises `SpecError` where the tensors of a file are not those that its spec predicts."""
    found = compared(
        lower(spec), list(_joined([tensor for tensor in tensors if not tensor.name.endswith(_NO_PARAMETERS)]))
    )
    if found.agrees or _differ_in_cuts(found):
        return
    if found.unexpected:
        first = found.unexpected[0]
        what = f"tensor {shown(first.tensors[-1].name)} {shape_text(first.tensors[-1].shape)} is not one of them"
    else:
        piece = next(piece for piece in found.pieces if piece.missing)
        what = f"{piece.missing:,} of {piece.name} {shape_text(piece.shape)} are not there"
    raise SpecError(f"its keys lead to other tensors than it has: {what}", where=where)


def _joined(tensors: list[Tensor]) -> Iterator[Tensor]:
    """The tensors, the two that latent attention's keys and values are brought up by as the one that a model has."""
    halves = {tensor.name: tensor for tensor in tensors if tensor.name.endswith((_K_UP, _V_UP))}
    for tensor in tensors:
        values = halves.get(tensor.name.replace(_K_UP, _V_UP))
        if values is None or tensor.name not in halves or {len(tensor.shape), len(values.shape)} != {_STACKED}:
            yield tensor
        elif tensor.name.endswith(_K_UP):
            heads, rank, width = tensor.shape
            rows = heads * (width + values.shape[1])
            yield tensor._replace(name=tensor.name.replace(_K_UP, "attn_kv_b.weight"), shape=(rows, rank))


_K_UP: Final = "attn_k_b.weight"
_V_UP: Final = "attn_v_b.weight"
_STACKED: Final = 3  # dimensions: heads, and those of a head's matrix


def _differ_in_cuts(found: Comparison) -> bool:
    """Whether all that is left over on both sides is vectors with as many numbers: those of a state are cut in several ways."""
    left = [
        (len(key_of(surplus.tensors[0].shape)), surplus.extra * surplus.tensors[0].numbers)
        for surplus in found.unexpected
    ]
    lacking = [(len(piece.key), piece.missing * prod(piece.shape)) for piece in found.pieces if piece.missing]
    vectors = all(dimensions == 1 for dimensions, _ in (*left, *lacking))
    return vectors and sum(size for _, size in left) == sum(size for _, size in lacking)


# ---- safetensors ----


def shapes_told(path: Path) -> SpecError:
    """That a safetensors header does not tell a model's shape: what it tells, and what is missing."""
    from tscale.checkpoint.safetensors import read_safetensors

    tensors = read_safetensors(path).tensors
    numbers = sum(tensor.numbers for tensor in tensors)
    layers = {int(found[1]) for tensor in tensors if (found := _LAYER.search(tensor.name))}
    table = next((tensor.shape for tensor in tensors if tensor.name.endswith(_TABLES) and len(tensor.shape) == 2), None)
    told = [f"{len(tensors):,} tensors of {numbers:,} numbers"]
    told += [f"{max(layers) + 1:,} layers"] if layers else []
    told += [f"a vocabulary of {table[0]:,}", f"a width of {table[1]:,}"] if table else []
    return SpecError(
        f"its header tells {', '.join(told)}, but not how many heads there are, nor the family: put the model's config.json next to it",
        where=called(str(path)),
    )


_LAYER: Final = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d{1,5})\.")
_TABLES: Final = (
    "embed_tokens.weight", "wte.weight", "word_embeddings.weight", "tok_embeddings.weight", "embed_in.weight",
)  # fmt: skip
