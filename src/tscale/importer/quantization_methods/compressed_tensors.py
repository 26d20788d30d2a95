"""compressed-tensors: groups of modules, each in a format of its own."""

from __future__ import annotations

from tscale.errors import shown
from tscale.importer.converted import Converted
from tscale.importer.quantization_methods.modules import by_regex, integers
from tscale.importer.quantization_methods.said import Said


def compressed_tensors(said: Said) -> Converted:
    """Groups of modules, each in a format of its own; `ignore` is about all of them."""
    ignored, unread = by_regex([(name, None) for name in said.names("ignore")])
    kept, main = list(ignored), None
    groups = said.inner("config_groups")
    if groups is None:
        return Converted(None, unread=(f"{said.key}: it has no config_groups",))
    for _, group in groups.objects():
        if "weights" not in group.data:
            unread += (f"{group.key}: it says nothing of weights",)
        weights = group.inner("weights")
        format = None if weights is None else _of_weights(weights, group.text("format") or said.text("format"))
        if weights is not None and format is None:
            unread += (f"{weights.key}: {_words(weights)} are not read here",)
            continue
        targets = group.names("targets") or ["Linear"]
        if "Linear" in targets:
            main = format
        own, more = by_regex([(name, format) for name in targets if name != "Linear"])
        kept, unread = [*kept, *own], unread + more
    sparse = said.inner("sparsity_config")
    if sparse is not None and sparse.text("format") not in ("", "dense"):
        unread += (f"{said.key}: zeros that are left out ({sparse.text('format')}) are not read here",)
    return Converted(main, tuple(kept), head=main, unread=unread)


def _words(weights: Said) -> str:
    parts = (weights.data.get("type"), weights.data.get("num_bits"), weights.data.get("strategy"))
    return "weights as " + " ".join(shown(part) for part in parts if part is not None)


def _of_weights(weights: Said, packing: str) -> str | None:
    """The format of a group's weights; None where it is none of those that are read."""
    if packing == "marlin-24":
        return None
    bits = weights.number("num_bits", default=8)
    kind, group = weights.text("type") or "int", weights.data.get("group_size")
    strategy = weights.text("strategy") or ("group" if group else "tensor")
    size = weights.number("group_size") if strategy in ("group", "tensor_group") else 0
    if kind == "float":
        return _floats(weights, bits, strategy, size)
    if kind != "int" or bits not in (2, 3, 4, 5, 6, 8):
        return None
    return _integers(weights, bits, strategy, size, packed=packing not in ("int-quantized", "naive-quantized"))


def _floats(weights: Said, bits: int, strategy: str, size: int) -> str | None:
    """The format of floats of 4 or 8 bits with a scale for so much of a matrix."""
    if bits == 4:
        return {16: "nvfp4", 32: "mxfp4"}.get(size)
    if bits != 8:
        return None
    block = weights.block("block_structure") if strategy == "block" else None
    if block is not None:
        return f"fp8-{block[0]}x{block[1]}"
    names = {"tensor": "fp8", "channel": "fp8-row", "group": f"fp8-g{size}", "block": "fp8-128x128"}
    return "mxfp8" if strategy == "group" and size == 32 else names.get(strategy)


def _integers(weights: Said, bits: int, strategy: str, size: int, *, packed: bool) -> str | None:
    """The format of integers with a scale for so much of a matrix; each takes a byte where they are not packed."""
    stored = bits if packed else 8
    zero = "-sym" if weights.flag("symmetric", default=True) else ""
    order = weights.data.get("actorder") in ("group", True)
    if strategy == "tensor":
        return f"int{stored}-tensor{zero}"
    if strategy in ("channel", "group"):
        return integers(stored, size if strategy == "group" else -1, zero=zero, order=order)
    return None
