"""The quantisation methods, each with a reader of what its `quantization_config` says.

A reader says what linear layers are kept in, and which modules in something else. What stays in 16 bits where a file is silent
is what the method's own loaders leave so (transformers 5.23, vLLM 0.11): embeddings, norms, what routes to experts and,
but for those that are said to, the head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tscale.errors import SpecError, shown
from tscale.importer.converted import Converted, some_of
from tscale.importer.module_patterns import MOST_EXPRESSIONS, Pattern, path_pattern, regex_pattern


class Said:
    """The keys of one object in a file."""

    def __init__(self, key: str, data: Mapping[str, object], where: str) -> None:
        self.key, self.data, self.where = key, data, where

    def wrong(self, name: str, wanted: str) -> SpecError:
        return SpecError(f"{self.key}.{name} must be {wanted}, not {shown(self.data.get(name))}", where=self.where)

    def number(self, *names: str, default: int | None = None, of: tuple[int, ...] | None = None) -> int:
        """A whole number, under the first of some names that is there: one `of` those given, or from 1 on."""
        name = next((name for name in names if self.data.get(name) is not None), names[0])
        value = self.data.get(name)
        value = default if value is None else value
        if type(value) is not int or not (value in of if of is not None else 0 < value < _TOO_MANY):
            raise self.wrong(name, f"one of {', '.join(map(str, of))}" if of else f"a whole number {_IN_RANGE}")
        return value

    def group(self, *names: str, default: int) -> int:
        """Numbers that share a scale, under the first of some names that is there; -1 for those of a row."""
        name = next((name for name in names if self.data.get(name) is not None), names[0])
        if self.data.get(name) == -1:
            return -1
        try:
            return self.number(*names, default=default)
        except SpecError:
            raise self.wrong(name, f"-1 or a whole number {_IN_RANGE}") from None

    def block(self, name: str) -> tuple[int, int] | None:
        """Rows and columns that share a scale, or None where it says none."""
        value = self.data.get(name)
        match value:
            case None:
                return None
            case [int(rows), int(columns)] if all(type(n) is int and 0 < n < _TOO_MANY for n in (rows, columns)):
                return rows, columns
        raise SpecError(
            f"{self.key}.{name} must be two whole numbers {_IN_RANGE}, not {_list(value)}", where=self.where
        )

    def flag(self, name: str, *, default: bool = False) -> bool:
        value = self.data.get(name)
        if not isinstance(value, bool | None):
            raise self.wrong(name, "true or false")
        return default if value is None else value

    def text(self, name: str) -> str:
        """A word, or "" where there is none."""
        value = self.data.get(name)
        if not isinstance(value, str | None):
            raise self.wrong(name, "text")
        return value or ""

    def names(self, *names: str) -> list[str]:
        """The words of all lists under some names."""
        found: list[str] = []
        for name in names:
            value = self.data.get(name)
            if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
                raise self.wrong(name, "a list of words")
            found += value or []
        return found

    def lists(self, name: str) -> list[str]:
        """The words of a list, or of lists inside of it."""
        value = self.data.get(name)
        outer = value if isinstance(value, list) else [] if value is None else [None]
        found = [item for inner in outer for item in (inner if isinstance(inner, list) else [inner])]
        words = [item for item in found if isinstance(item, str)]
        if len(words) < len(found):
            raise self.wrong(name, "a list of words, or of lists of them")
        return words

    def inner(self, name: str) -> Said | None:
        """An object inside of it."""
        value = self.data.get(name)
        if not isinstance(value, Mapping | None):
            raise self.wrong(name, "an object")
        return None if value is None else Said(f"{self.key}.{name}", value, self.where)

    def objects(self) -> list[tuple[str, Said]]:
        """All that is inside of it, each of which must be an object."""
        return [(name, inner) for name in self.data if (inner := self.inner(name)) is not None]


_TOO_MANY: Final = 10**6
_IN_RANGE: Final = "from 1 to 999999"


def _list(value: object) -> str:
    """A list in a message by its items, as far as they are few."""
    return f"[{', '.join(map(shown, value[:4]))}]" if isinstance(value, list) else shown(value)


_CACHES: Final = {"FP8": "fp8", "INT8": "int8", "NVFP4": "nvfp4"}


def cache_of(said: Said) -> tuple[str | None, tuple[str, ...]]:
    """What a file says that a cache is kept in, where it says anything, and what of it is not read."""
    key = "kv_cache_quant_algo" if said.data.get("kv_cache_scheme") is None else "kv_cache_scheme"
    scheme, words = said.data.get(key), ""
    if isinstance(scheme, Mapping) and key == "kv_cache_scheme":
        words = f"{scheme.get('type')}{scheme.get('num_bits')}".replace("float", "fp").upper().replace("FP4", "NVFP4")
        scheme = f"{scheme.get('type')} of {scheme.get('num_bits')} bits"
    elif isinstance(scheme, str):
        words = scheme.upper()
    elif scheme is not None:
        raise said.wrong(key, "text or an object" if key == "kv_cache_scheme" else "text")
    if words in ("", "NONE") or words in _CACHES:
        return _CACHES.get(words), ()
    return None, (f"{said.key}.{key}: a cache in {shown(scheme)} is not read here",)


def kept_apart(names: list[str], format: str | None = None) -> tuple[tuple[Pattern, str | None], ...]:
    """Modules by path that are kept in something else; None: unconverted."""
    return tuple((path_pattern(name), format) for name in names)


def by_regex(texts: list[tuple[str, str | None]]) -> tuple[tuple[tuple[Pattern, str | None], ...], tuple[str, ...]]:
    """Modules by path or, behind `re:`, by regular expression, and those of the latter that are not read."""
    found: list[tuple[Pattern, str | None]] = []
    unread: list[str] = []
    for number, (text, format) in enumerate(texts):
        if text.startswith("re:"):
            pattern = regex_pattern(text[3:]) if number < MOST_EXPRESSIONS else None
        else:
            pattern = path_pattern(text)
        if pattern is None:
            unread.append(text)
        else:
            found.append((pattern, format))
    return tuple(found), _unread_expressions(unread)


def _unread_expressions(texts: list[str], key: str = "") -> tuple[str, ...]:
    """What is said of the regular expressions that are not of those that are read."""
    if not texts:
        return ()
    which = "expression" if len(texts) == 1 else "expressions"
    return (f"{key and f'{key}: '}the {which} {some_of(texts)} {'is' if len(texts) == 1 else 'are'} not read here",)


def _integers(bits: int, group: int, *, zero: str = "", order: bool = False) -> str:
    """The name of integers with a scale for each group, or for each row where the group is -1."""
    over = "row" if group == -1 else f"g{group}"
    return f"int{bits}-{over}{zero}{'-gidx' if order else ''}"


# ---- 8-bit floating point ----


def _fp8(said: Said) -> Converted:
    """DeepSeek's blocks, or a scale for a whole matrix."""
    layers = said.inner("quantized_layers")
    own, unread = ((), ()) if layers is None else _of_layers(layers)
    kept = own + kept_apart(said.names("modules_to_not_convert", "ignored_layers", "ignore"))
    block = said.block("weight_block_size")
    return Converted("fp8" if block is None else f"fp8-{block[0]}x{block[1]}", kept, unread=unread)


def _fbgemm(said: Said) -> Converted:
    return Converted("fp8-row", kept_apart(said.names("modules_to_not_convert")))


# ---- integers of few bits ----

_FEW: Final = (2, 3, 4, 8)


def _awq(said: Said) -> Converted:
    """Packed integers with a scale and a zero point for each group; the zero points are stored in any case."""
    format = _integers(
        said.number("bits", "w_bit", default=4, of=_FEW), said.group("group_size", "q_group_size", default=128)
    )
    return Converted(format, kept_apart(said.names("modules_to_not_convert")))


def _gptq(said: Said) -> Converted:
    """As AWQ, and for each column the group that it is of; whole blocks may be left out, or have bits of their own."""
    bits, group = said.number("bits", default=4, of=_FEW), said.group("group_size", default=128)
    format = _integers(bits, group, order=True)
    kept: list[tuple[Pattern, str | None]] = []
    unread: list[str] = []
    for number, (text, own) in enumerate((said.inner("dynamic") or Said("", {}, "")).objects()):
        pattern = regex_pattern(text.removeprefix("-:").removeprefix("+:")) if number < MOST_EXPRESSIONS else None
        if pattern is None:
            unread.append(text)
        elif text.startswith("-:"):
            kept.append((pattern, None))
        else:
            own_bits = own.number("bits", default=bits, of=_FEW)
            kept.append((pattern, _integers(own_bits, own.group("group_size", default=group), order=True)))
    only = said.lists("modules_in_block_to_quantize")
    if only:
        kept += kept_apart(only, format)
        return Converted(None, tuple(kept), unread=_unread_expressions(unread, said.key))
    kept += kept_apart(said.names("modules_to_not_convert"))
    head = format if said.flag("lm_head") else None
    return Converted(format, tuple(kept), head=head, unread=_unread_expressions(unread, said.key))


def _auto_round(said: Said) -> Converted:
    """As GPTQ or AWQ, whose packing it uses; modules of 16 bits are named each."""
    bits, group = said.number("bits", default=4, of=_FEW), said.group("group_size", default=128)
    kept: list[tuple[Pattern, str | None]] = []
    for name, own in (said.inner("extra_config") or Said("", {}, "")).objects():
        own_bits = own.number("bits", default=bits, of=(1, 2, 3, 4, 5, 6, 7, 8, 16, 32))
        of_its_own = None if own_bits >= 16 else _integers(own_bits, own.group("group_size", default=group))
        kept.append((path_pattern(name), of_its_own))
    kind = said.text("data_type") or "int"
    if kind != "int":
        return Converted(None, unread=(f"{said.key}: weights in {shown(kind)} are not read here",))
    return Converted(_integers(bits, group), tuple(kept))


def _hqq(said: Said) -> Converted:
    """Packed integers with a scale and a zero point of 16 bits for each group."""
    quant = said.inner("quant_config")
    weights = None if quant is None else quant.inner("weight_quant_params")
    if weights is None:
        return Converted(None, unread=(f"{said.key}: what hqq does module by module is not read here",))
    bits, group = weights.number("nbits", default=4, of=(1, 2, 3, 4, 8)), weights.group("group_size", default=64)
    kept = kept_apart(said.names("skip_modules"))
    if bits == 3 or weights.flag("quant_zero") or weights.flag("quant_scale"):
        text = f"{said.key}: how hqq packs 3 bits, or quantises scales, is not read here"
        return Converted(None, kept, unread=(text,))
    return Converted(_integers(bits, group, zero="-z16"), kept)


def _eetq(said: Said) -> Converted:
    return Converted("int8-row-sym", kept_apart(said.names("modules_to_not_convert")))


def _quanto(said: Said) -> Converted:
    """Integers of 8 bits or floats by row; of 4 and 2 bits in groups of 128, with a scale and a shift of 16 bits."""
    kinds = {"int8": "int8-row-sym", "float8": "fp8-row", "int4": "int4-g128-z16", "int2": "int2-g128-z16"}
    named = said.text("weights") or "int8"
    kept = kept_apart(said.names("modules_to_not_convert"))
    if named not in kinds:
        return Converted(None, kept, unread=(f"{said.key}: weights in {shown(named)} are not read here",))
    return Converted(kinds[named], kept)


def _torchao(said: Said) -> Converted:
    """By the name of its configuration; those of 4 bits have a scale and a zero point of 16 bits for each group."""
    kind = said.data.get("quant_type")
    inner = said.inner("quant_type") if isinstance(kind, Mapping) else None
    default = None if inner is None else inner.inner("default")
    name = default.text("_type") if default is not None else kind if isinstance(kind, str) else ""
    settings = (default.inner("_data") if default is not None else said.inner("quant_type_kwargs")) or Said("", {}, "")
    kept = kept_apart(said.names("modules_to_not_convert"))
    plain = str(name).lower().replace("_", "").removesuffix("config")
    if plain == "int4weightonly":
        return Converted(_integers(4, settings.group("group_size", default=128), zero="-z16"), kept)
    if plain in ("int8weightonly", "int8dynamicactivationint8weight"):
        return Converted("int8-row-sym", kept)
    if plain in ("float8weightonly", "float8dynamicactivationfloat8weight", "float8staticactivationfloat8weight"):
        return Converted("fp8-row", kept)
    return Converted(None, unread=(f"{said.key}: torchao's {shown(name)} is not read here",))


def _aqlm(said: Said) -> Converted:
    """Codes of so many bits into so many books, for each group of a row's numbers."""
    books, bits = said.number("num_codebooks", default=1), said.number("nbits_per_codebook", default=16)
    group = said.number("in_group_size", default=8)
    kept = kept_apart(said.names("linear_weights_not_to_quantize"))
    if said.number("out_group_size", default=1) != 1 or not (0 < books < 10 and 0 < bits <= 16 and 0 < group < 1000):
        return Converted(None, kept, unread=(f"{said.key}: aqlm with these groups is not read here",))
    return Converted(f"aqlm-{books}x{bits}-g{group}", kept)


def _bitnet(said: Said) -> Converted:
    """Three values in two bits each, packed; weights that are rounded as they are used are kept in 16 bits."""
    if said.text("quantization_mode") == "online":
        return Converted(None)
    return Converted("int2-tensor-sym", kept_apart(said.names("modules_to_not_convert")))


def _bitsandbytes(said: Said) -> Converted:
    """fp4 takes as many bits as nf4."""
    kept = kept_apart(said.names("llm_int8_skip_modules", "modules_to_not_convert"))
    four, eight = (said.flag(f"load_in_{n}bit") or said.flag(f"_load_in_{n}bit") for n in (4, 8))
    if four and eight:
        raise said.wrong("load_in_8bit", "false beside load_in_4bit")
    if four:
        kind = said.text("bnb_4bit_quant_type") or "fp4"
        if kind not in ("fp4", "nf4"):
            raise said.wrong("bnb_4bit_quant_type", "fp4 or nf4")
        twice = said.flag("bnb_4bit_use_double_quant")
        return Converted("nf4" if twice else "nf4-single", kept)
    if eight:
        return Converted("int8", kept)
    return Converted(None, kept)


_MLX_BITS: Final = (2, 3, 4, 5, 6, 8)
_MLX_OWN: Final = ("bits", "group_size", "mode", "quant_method")


def _mlx(said: Said) -> Converted:
    """Every table and matrix, with a scale and a bias of 16 bits for each group; modules may have bits of their own."""
    unread: list[str] = []

    def format(own: Said) -> str | None:
        mode = own.text("mode") or said.text("mode") or "affine"
        if mode in ("mxfp4", "mxfp8", "nvfp4"):
            return mode
        if mode != "affine":
            unread.append(f"{own.key}: the mode {shown(mode)} is not read here")
            return None
        bits = own.number("bits", default=said.number("bits", default=4, of=_MLX_BITS), of=_MLX_BITS)
        return _integers(bits, own.group("group_size", default=said.group("group_size", default=64)), zero="-z16")

    main = format(said)
    kept: list[tuple[Pattern, str | None]] = []
    for name, value in said.data.items():
        if value is False:
            kept.append((path_pattern(name), None))
        elif isinstance(value, Mapping):
            kept.append((path_pattern(name), format(Said(f"{said.key}.{name}", value, said.where))))
        elif name not in _MLX_OWN and value is not None and value is not True:
            unread.append(f"{said.key}.{name}: {shown(value)} is not read here")
    return Converted(main, tuple(kept), head=main, tables=main is not None, unread=tuple(unread))


# ---- compressed-tensors ----


def _compressed(said: Said) -> Converted:
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
    if kind == "float" and bits == 4:
        return {16: "nvfp4", 32: "mxfp4"}.get(size)
    if kind == "float" and bits == 8:
        block = weights.block("block_structure") if strategy == "block" else None
        if block is not None:
            return f"fp8-{block[0]}x{block[1]}"
        names = {"tensor": "fp8", "channel": "fp8-row", "group": f"fp8-g{size}", "block": "fp8-128x128"}
        return "mxfp8" if strategy == "group" and size == 32 else names.get(strategy)
    if kind != "int" or bits not in (2, 3, 4, 5, 6, 8):
        return None
    packed = 8 if packing in ("int-quantized", "naive-quantized") else bits
    zero = "-sym" if weights.flag("symmetric", default=True) else ""
    order = weights.data.get("actorder") in ("group", True)
    if strategy == "tensor":
        return f"int{packed}-tensor{zero}"
    if strategy in ("channel", "group"):
        return _integers(packed, size if strategy == "group" else -1, zero=zero, order=order)
    return None


# ---- NVIDIA's modelopt, mxfp4, AMD's Quark ----

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


def _modelopt(said: Said) -> Converted:
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
        return _compressed(said)
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
            format = _integers(4, own.group("group_size", default=128), zero="-sym")
        found.append((path_pattern(name), format))
    texts = (f"{layers.key}: the algorithm {some_of(list(unread))} is not read here",) if unread else ()
    return tuple(found), texts


def _mxfp4(said: Said) -> Converted:
    """The routed experts alone."""
    return Converted("mxfp4", kept_apart(said.names("modules_to_not_convert")), experts_only=True)


def _quark(said: Said) -> Converted:
    """The format of all layers; `exclude` is about all of them."""
    left, unread = by_regex([(name, None) for name in said.names("exclude")])
    everywhere = said.inner("global_quant_config")
    weight = None if everywhere is None else everywhere.data.get("weight")
    weight = weight[0] if isinstance(weight, list) and len(weight) == 1 else weight
    own = said.inner("layer_quant_config")
    if not isinstance(weight, Mapping) or (own is not None and own.data):
        return Converted(None, left, unread=(f"{said.key}: what quark does layer by layer is not read here",))
    kind, scheme, size = weight.get("dtype"), weight.get("qscheme"), weight.get("group_size")
    formats = {
        ("fp8_e4m3", "per_tensor", ""): "fp8",
        ("fp8_e4m3", "per_channel", ""): "fp8-row",
        ("int8", "per_tensor", ""): "int8-tensor-sym",
        ("int8", "per_channel", ""): "int8-row-sym",
        ("fp4", "per_group", "32"): "mxfp4",
    }
    format = formats.get((str(kind), str(scheme), str(size) if scheme == "per_group" else ""))
    if format is None:
        text = f"weights as {shown(kind)} {shown(scheme)} are not read here"
        return Converted(None, left, unread=(f"{said.key}: {text}", *unread))
    return Converted(format, left, unread=unread)


READERS: Final[dict[str, Callable[[Said], Converted]]] = {
    "fp8": _fp8,
    "fbgemm_fp8": _fbgemm,
    "awq": _awq,
    "gptq": _gptq,
    "gptqmodel": _gptq,
    "auto-round": _auto_round,
    "intel/auto-round": _auto_round,
    "bitsandbytes": _bitsandbytes,
    "compressed-tensors": _compressed,
    "modelopt": _modelopt,
    "mxfp4": _mxfp4,
    "quark": _quark,
    "hqq": _hqq,
    "eetq": _eetq,
    "quanto": _quanto,
    "torchao": _torchao,
    "aqlm": _aqlm,
    "bitnet": _bitnet,
    "mlx": _mlx,
}
