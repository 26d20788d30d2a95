"""Formats that hardware multiplies: 8-bit floating point, mxfp4, NVIDIA's modelopt and AMD's Quark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tscale.errors import shown
from tscale.importer.converted import Converted, some_of
from tscale.importer.module_patterns import Pattern, path_pattern
from tscale.importer.quantization_methods.compressed_tensors import compressed_tensors
from tscale.importer.quantization_methods.modules import by_regex, cache_of, integers, kept_apart
from tscale.importer.quantization_methods.said import Said


def fp8(said: Said) -> Converted:
    """DeepSeek's blocks, or a scale for a whole matrix."""
    layers = said.inner("quantized_layers")
    own, unread = ((), ()) if layers is None else _of_layers(layers)
    kept = own + kept_apart(said.names("modules_to_not_convert", "ignored_layers", "ignore"))
    block = said.block("weight_block_size")
    return Converted("fp8" if block is None else f"fp8-{block[0]}x{block[1]}", kept, unread=unread)


def fbgemm(said: Said) -> Converted:
    """8-bit floating point with a scale for each row."""
    return Converted("fp8-row", kept_apart(said.names("modules_to_not_convert")))


_ALGORITHMS: Final = {
    "FP8": "fp8",
    "FP8_PER_CHANNEL_PER_TOKEN": "fp8-row",
    "FP8_PB_WO": "fp8-128x128",
    "NVFP4": "nvfp4",
    "NVFP4_AWQ": "nvfp4",
    "W4A16_NVFP4": "nvfp4",
    "MXFP8": "mxfp8",
    "MXFP4": "mxfp4",
    "W4A8_MXFP4_FP8": "mxfp4",
    "INT8": "int8-row-sym",
    "W8A8_SQ_PER_CHANNEL": "int8-row-sym",
    "W8A16": "int8-row-sym",
    "W4A16": "int4-row-sym",
    "W4A16_AWQ": "int4-g128-sym",
    "W4A8_AWQ": "int4-g128-sym",
}
_MIXED: Final = "MIXED_PRECISION"


def modelopt(said: Said) -> Converted:
    """By the name of its algorithm; of several, layer by layer."""
    said = said.inner("quantization") or said
    left, unread = by_regex(
        [(name, None) for name in said.names("exclude_modules", "ignore", "modules_to_not_convert")]
    )
    layers = said.inner("quantized_layers")
    algorithm = said.text("quant_algo").upper()
    cache, of_cache = cache_of(said)
    unread += of_cache
    if layers is not None:
        own, of_layers = _of_layers(layers)
        return Converted(None, left + own, cache=cache, unread=unread + of_layers)
    if algorithm == _MIXED and said.inner("config_groups") is not None:
        return compressed_tensors(said)
    if algorithm not in _ALGORITHMS:
        text = "it does not say which layers are in which format" if algorithm == _MIXED else (
            f"the algorithm {shown(algorithm)} is not read here")  # fmt: skip
        return Converted(None, left, cache=cache, unread=(f"{said.key}: {text}",))
    return Converted(_ALGORITHMS[algorithm], left, cache=cache, unread=unread)


def _of_layers(layers: Said) -> tuple[tuple[tuple[Pattern, str | None], ...], tuple[str, ...]]:
    """Modules that each name the algorithm of their own, and the algorithms that are not read."""
    found: list[tuple[Pattern, str | None]] = []
    unread: dict[str, None] = {}
    for name, own in layers.objects():
        algorithm = own.text("quant_algo").upper()
        format = _ALGORITHMS.get(algorithm)
        if format is None and algorithm:
            unread[algorithm] = None
        if format is not None and format.startswith("int4-g"):
            format = integers(4, own.group("group_size", default=128), zero="-sym")
        found.append((path_pattern(name), format))
    texts = (f"{layers.key}: the algorithm {some_of(list(unread))} is not read here",) if unread else ()
    return tuple(found), texts


def mxfp4(said: Said) -> Converted:
    """The routed experts alone."""
    return Converted("mxfp4", kept_apart(said.names("modules_to_not_convert")), experts_only=True)


def quark(said: Said) -> Converted:
    """The format of all layers; `exclude` is about all of them."""
    left, unread = by_regex([(name, None) for name in said.names("exclude")])
    everywhere = said.inner("global_quant_config")
    weight = None if everywhere is None else everywhere.data.get("weight")
    weight = weight[0] if isinstance(weight, list) and len(weight) == 1 else weight
    own = said.inner("layer_quant_config")
    if not isinstance(weight, Mapping) or (own is not None and own.data):
        return Converted(None, left, unread=(f"{said.key}: what quark does layer by layer is not read here",))
    kind, scheme, size = weight.get("dtype"), weight.get("qscheme"), weight.get("group_size")
    dtypes = {
        ("fp8_e4m3", "per_tensor", ""): "fp8",
        ("fp8_e4m3", "per_channel", ""): "fp8-row",
        ("int8", "per_tensor", ""): "int8-tensor-sym",
        ("int8", "per_channel", ""): "int8-row-sym",
        ("fp4", "per_group", "32"): "mxfp4",
    }
    format = dtypes.get((str(kind), str(scheme), str(size) if scheme == "per_group" else ""))
    if format is None:
        text = f"weights as {shown(kind)} {shown(scheme)} are not read here"
        return Converted(None, left, unread=(f"{said.key}: {text}", *unread))
    return Converted(format, left, unread=unread)
