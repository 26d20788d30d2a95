"""Methods that keep weights in integers, or codes, of few bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tscale.errors import shown
from tscale.importer.converted import Converted
from tscale.importer.module_patterns import MOST_EXPRESSIONS, Pattern, path_pattern, regex_pattern
from tscale.importer.quantization_methods.modules import integers, kept_apart, unread_expressions
from tscale.importer.quantization_methods.said import Said

_FEW: Final = (2, 3, 4, 8)


def awq(said: Said) -> Converted:
    """Packed integers with a scale and a zero point for each group; the zero points are stored in any case."""
    format = integers(said.bits("bits", "w_bit", of=_FEW), said.group("group_size", "q_group_size", default=128))
    return Converted(format, kept_apart(said.names("modules_to_not_convert")))


def gptq(said: Said) -> Converted:
    """As AWQ, and for each column the group that it is of; whole blocks may be left out, or have bits of their own."""
    bits, group = said.bits("bits", of=_FEW), said.group("group_size", default=128)
    format = integers(bits, group, order=True)
    kept: list[tuple[Pattern, str | None]] = []
    unread: list[str] = []
    for number, (text, own) in enumerate((said.inner("dynamic") or Said("", {}, "")).objects()):
        pattern = regex_pattern(text.removeprefix("-:").removeprefix("+:")) if number < MOST_EXPRESSIONS else None
        if pattern is None:
            unread.append(text)
        elif text.startswith("-:"):
            kept.append((pattern, None))
        else:
            own_bits = own.bits("bits", default=bits, of=_FEW)
            kept.append((pattern, integers(own_bits, own.group("group_size", default=group), order=True)))
    only = said.lists("modules_in_block_to_quantize")
    if only:
        kept += kept_apart(only, format)
        return Converted(None, tuple(kept), unread=unread_expressions(unread, said.key))
    kept += kept_apart(said.names("modules_to_not_convert"))
    head = format if said.flag("lm_head") else None
    return Converted(format, tuple(kept), head=head, unread=unread_expressions(unread, said.key))


def auto_round(said: Said) -> Converted:
    """As GPTQ or AWQ, whose packing it uses; modules of 16 bits are named each."""
    bits, group = said.bits("bits", of=_FEW), said.group("group_size", default=128)
    kept: list[tuple[Pattern, str | None]] = []
    for name, own in (said.inner("extra_config") or Said("", {}, "")).objects():
        own_bits = own.number("bits", default=bits, of=(1, 2, 3, 4, 5, 6, 7, 8, 16, 32))
        of_its_own = None if own_bits >= 16 else integers(own_bits, own.group("group_size", default=group))
        kept.append((path_pattern(name), of_its_own))
    kind = said.text("data_type") or "int"
    if kind != "int":
        return Converted(None, unread=(f"{said.key}: weights in {shown(kind)} are not read here",))
    return Converted(integers(bits, group), tuple(kept))


def hqq(said: Said) -> Converted:
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
    return Converted(integers(bits, group, zero="-z16"), kept)


def eetq(said: Said) -> Converted:
    """8-bit integers with a scale for each row."""
    return Converted("int8-row-sym", kept_apart(said.names("modules_to_not_convert")))


def quanto(said: Said) -> Converted:
    """Integers of 8 bits or floats by row; of 4 and 2 bits in groups of 128, with a scale and a shift of 16 bits."""
    kinds = {"int8": "int8-row-sym", "float8": "fp8-row", "int4": "int4-g128-z16", "int2": "int2-g128-z16"}
    named = said.text("weights") or "int8"
    kept = kept_apart(said.names("modules_to_not_convert"))
    if named not in kinds:
        return Converted(None, kept, unread=(f"{said.key}: weights in {shown(named)} are not read here",))
    return Converted(kinds[named], kept)


def torchao(said: Said) -> Converted:
    """By the name of its configuration; those of 4 bits have a scale and a zero point of 16 bits for each group."""
    kind = said.data.get("quant_type")
    inner = said.inner("quant_type") if isinstance(kind, Mapping) else None
    default = None if inner is None else inner.inner("default")
    name = default.text("_type") if default is not None else kind if isinstance(kind, str) else ""
    settings = (default.inner("_data") if default is not None else said.inner("quant_type_kwargs")) or Said("", {}, "")
    kept = kept_apart(said.names("modules_to_not_convert"))
    plain = str(name).lower().replace("_", "").removesuffix("config")
    if plain == "int4weightonly":
        return Converted(integers(4, settings.group("group_size", default=128), zero="-z16"), kept)
    if plain in ("int8weightonly", "int8dynamicactivationint8weight"):
        return Converted("int8-row-sym", kept)
    if plain in ("float8weightonly", "float8dynamicactivationfloat8weight", "float8staticactivationfloat8weight"):
        return Converted("fp8-row", kept)
    return Converted(None, unread=(f"{said.key}: torchao's {shown(name)} is not read here",))


def aqlm(said: Said) -> Converted:
    """Codes of so many bits into so many books, for each group of a row's numbers."""
    books, bits = said.number("num_codebooks", default=1), said.number("nbits_per_codebook", default=16)
    group = said.number("in_group_size", default=8)
    kept = kept_apart(said.names("linear_weights_not_to_quantize"))
    if said.number("out_group_size", default=1) != 1 or not (0 < books < 10 and 0 < bits <= 16 and 0 < group < 1000):
        return Converted(None, kept, unread=(f"{said.key}: aqlm with these groups is not read here",))
    return Converted(f"aqlm-{books}x{bits}-g{group}", kept)


def bitnet(said: Said) -> Converted:
    """Three values in two bits each, packed; weights that are rounded as they are used are kept in 16 bits."""
    if said.text("quantization_mode") == "online":
        return Converted(None)
    return Converted("int2-tensor-sym", kept_apart(said.names("modules_to_not_convert")))


def bitsandbytes(said: Said) -> Converted:
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


def mlx(said: Said) -> Converted:
    """Every table and matrix, with a scale and a bias of 16 bits for each group; modules may have bits of their own."""
    unread: list[str] = []

    def format(own: Said) -> str | None:
        mode = own.text("mode") or said.text("mode") or "affine"
        if mode in ("mxfp4", "mxfp8", "nvfp4"):
            return mode
        if mode != "affine":
            unread.append(f"{own.key}: the mode {shown(mode)} is not read here")
            return None
        bits = own.number("bits", default=said.bits("bits", of=_MLX_BITS), of=_MLX_BITS)
        return integers(bits, own.group("group_size", default=said.group("group_size", default=64)), zero="-z16")

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
