"""What the weights of a model are kept in as a GGUF file: llama.cpp's mixtures beside the entries of a ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tscale.blocks import Attention
from tscale.blocks import attentions as attention_blocks
from tscale.core.costs.weights import Mixture, dividing, placed_mixture
from tscale.core.dtypes import DTYPES, Dtype
from tscale.core.gguf_mixtures import MIXES, Mix, Shape, Tensor, of_falcon, type_of
from tscale.core.layers import layers_of
from tscale.core.ledger import Entry, Group, Ledger, Lookup, Matmul
from tscale.core.roles import Role
from tscale.errors import RequestError
from tscale.models.lower import lower
from tscale.models.spec import MOST_LAYERS, ModelSpec

_REST: Final = "fp32"
_TENSORS: Final[Mapping[Role, Tensor]] = {
    "head": "head",
    "q": "q",
    "k": "k",
    "v": "v",
    "o": "o",
    "up": "up",
    "gate": "gate",
    "down": "down",
    "shared_up": "up",
    "shared_gate": "gate",
    "shared_down": "down",
}
"""What each role is in a mixture; other matrices are in the type of most."""
_UNCONVERTED: Final[frozenset[Role]] = frozenset({"router", "shared_switch", "segments", "positions", "index_weights"})
_IN_ONE: Final = ("q", "k", "v")
_FEED_FORWARD: Final = ("up", "gate", "down")


def gguf_mixture(spec: ModelSpec, format: Dtype) -> Mixture:
    """The types of a GGUF file of a model, tensor by tensor. `format`: one with the name of a mixture.

    Values are counted in their order, and matrices of a feed-forward by their layer where the model has experts, as the quantiser
    does. Raises `RequestError` for a stack of more layers than can be told apart.
    """
    falcon = is_falcon(spec)
    ledger, mix = lower(spec), of_falcon(format.mixture) if falcon else MIXES[format.mixture]
    if spec.layers > MOST_LAYERS:
        raise RequestError(
            f"{format.name} goes by layer, which is known up to {MOST_LAYERS:,} layers, and {spec.label} has {spec.layers:,}"
        )
    standing = _standing(spec, ledger)
    shape = _shape(spec, ledger, standing)
    fused = any(isinstance(block, Attention) and block.fused for block in attention_blocks(spec.mixers))
    orders = _orders(ledger, standing, by_layer=shape.experts > 1)

    def kept(entry: Entry, _: int, layer: int | None) -> Dtype:
        tensor = _tensor(entry, tied=bool(spec.tied))
        if tensor in _IN_ONE and fused:
            tensor = "qkv"
        if tensor is None:
            return DTYPES[_REST]
        order = 0 if layer is None else orders.get(tensor, {}).get(layer, layer)
        if falcon and tensor == "head" and isinstance(entry, Lookup):
            return _both(_type(entry, "embedding", order, mix, shape), _type(entry, tensor, order, mix, shape))
        return _type(entry, tensor, order, mix, shape)

    made = placed_mixture(ledger, _REST, standing, kept)
    return made._replace(name=format.name, base=DTYPES[mix.most], scope="matrices")


def is_falcon(spec: ModelSpec) -> bool:
    """Whether llama.cpp knows the model as Falcon, for which its quantiser has rows of its own.

    Of what it knows, Falcon alone has queries, grouped keys and values in one matrix beside rotary positions and an ungated
    feed-forward.
    """
    fused = [block for block in attention_blocks(spec.mixers) if isinstance(block, Attention) and block.fused]
    grouped = any(block.kv_heads is not None and block.kv_heads < block.heads for block in fused)
    gated = any(getattr(block, "gated", False) for block in spec.feed_forwards)
    return grouped and not gated and spec.positions.kind == "rotary" and spec.norm.kind == "layernorm"


def _both(table: Dtype, head: Dtype) -> Dtype:
    """What a tied table takes that a file has twice, as a table and as a head: Falcon's checkpoints have both."""
    return table._replace(name=f"{table.name} and {head.name}", bits=table.bits + head.bits)


def _type(entry: Entry, tensor: Tensor, order: int, mix: Mix, shape: Shape) -> Dtype:
    """The type of a tensor, or what stands in for it where its blocks do not divide the rows."""
    if mix.experts is not None and isinstance(entry, Matmul) and entry.experts > 1:
        return dividing(entry, DTYPES[mix.experts])
    uneven = dividing(entry, DTYPES[mix.base]) != DTYPES[mix.base]
    name = "q8_0" if tensor == "head" and uneven else type_of(mix, tensor, order, shape)
    return dividing(entry, DTYPES[name])


def _tensor(entry: Entry, *, tied: bool) -> Tensor | None:
    """What an entry is in a mixture; None where it is not converted. A tied table of tokens is converted as a head is."""
    if not isinstance(entry, (Matmul, Lookup)) or entry.role in _UNCONVERTED:
        return None
    if isinstance(entry, Lookup):
        return ("head" if tied else "embedding") if entry.part == "embedding" else None
    return _TENSORS.get(entry.role, "other")


def _standing(spec: ModelSpec, ledger: Ledger) -> dict[int, tuple[int, ...]]:
    """The layers that each matrix of a stack stands in, by its place; of copies that layers share, the first so many."""
    found: dict[int, tuple[int, ...]] = {}
    place = 0
    for group in ledger.groups:
        layers = _layers(spec, group)
        for _ in group.entries:
            if layers:
                found[place] = layers
            place += 1
    return found


def _layers(spec: ModelSpec, group: Group) -> tuple[int, ...]:
    if isinstance(group.where, str):
        return ()
    second = spec.kind == "encoder-decoder" and group.stack == "encoder"
    layers = layers_of(group.where, int(spec.encoder_layers() if second else spec.layers))
    return layers if group.copies is None else layers[: int(group.copies)]


def _shape(spec: ModelSpec, ledger: Ledger, standing: Mapping[int, tuple[int, ...]]) -> Shape:
    """What a mixture asks of a model."""
    first = next((block for block in attention_blocks(spec.mixers)), None)
    group = 1 if not isinstance(first, Attention) else int(first.heads) // int(first.kv_heads or first.heads)
    experts = max((int(entry.experts) for entry in ledger.entries if isinstance(entry, Matmul)), default=1)
    values = len(_layers_of("v", ledger, standing))
    return Shape(int(spec.layers), values, group, experts)


def _orders(ledger: Ledger, standing: Mapping[int, tuple[int, ...]], *, by_layer: bool) -> dict[Tensor, dict[int, int]]:
    """For each kind of tensor the order of each layer that has one; empty where layers count by their own number."""
    counted: Iterable[Tensor] = ("v",) if by_layer else ("v", *_FEED_FORWARD)
    return {
        tensor: {layer: order for order, layer in enumerate(_layers_of(tensor, ledger, standing))} for tensor in counted
    }


def _layers_of(tensor: Tensor, ledger: Ledger, standing: Mapping[int, tuple[int, ...]]) -> list[int]:
    """The layers that have a tensor of a kind, in order."""
    return sorted(
        {
            layer
            for place, layers in standing.items()
            if _tensor(ledger.entries[place], tied=False) == tensor
            for layer in layers
        }
    )
