"""Every number format that weights and caches are kept in, with its true bits: scales and zero points included.

A format that shares a scale among the numbers of a block takes more than its name says: `q4_0` keeps 32 numbers of 4 bits and
a scale of 16, 4.5 bits a number. Not all of a model is kept in such a format, so each says which weights are (`scope`),
what a matrix is kept in whose rows do not divide into its blocks (`fallback`), and what all the rest is kept in (`rest`).
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Final, Literal, NamedTuple

from tscale.core.gguf_mixtures import MIXES
from tscale.core.tracing import ceil_div
from tscale.errors import RequestError, nearest, shown

Scope = Literal["all", "linear", "experts", "matrices"]
"""Which weights a format holds.

all: every one. linear: the matrices of attention, mixers and feed-forwards, neither embeddings, routers nor the head.
experts: the routed experts alone where a model has any, otherwise as linear. matrices: also embeddings and head, as GGUF.
"""


class Dtype(NamedTuple):
    """A number format: bits of one number, scales included, and where they were published.

    `multiple`: a row must be a multiple of so many numbers, else it is kept in the format `fallback`. `row_bits`: what each row of
    a matrix has besides, such as a scale. `caches`: whether a cache can be kept in it, by an engine that is in use.
    `block`: rows and columns of a matrix [d_out, d_in] that share `block_bits` besides, the last block of an edge whole;
    `column_bits`: what each column has; `matrix_bits`: what a matrix has. These are not in `bits`.
    `mixture`: weights that are asked for in it are in a mixture of types by that name, of which it is the one of most tensors
    (`tscale.core.gguf_mixtures`); empty where all are in it.
    """

    name: str
    bits: Fraction
    source: str
    scope: Scope = "all"
    multiple: int = 1
    fallback: str = ""
    rest: str = ""
    row_bits: int = 0
    caches: bool = False
    note: str = ""
    block: tuple[int, int] | None = None
    block_bits: int = 0
    column_bits: int = 0
    matrix_bits: int = 0
    mixture: str = ""

    @property
    def is_mixture(self) -> bool:
        """Whether it is no type of its own, but a mixture of types alone."""
        return bool(self.mixture) and self.name not in _TYPES

    @property
    def bits_with_scales(self) -> Fraction:
        """Bits of one number with its share of what its block has; rows, columns and matrices are not in it."""
        return self.bits + Fraction(self.block_bits, self.block[0] * self.block[1]) if self.block else self.bits


def _plain(name: str, bits: int, source: str, *, caches: bool = True) -> Dtype:
    return Dtype(name, Fraction(bits), source, rest=name, caches=caches)


def _linear(
    name: str, bits: Fraction, source: str, multiple: int = 1, row_bits: int = 0, caches: bool = False, note: str = ""
) -> Dtype:
    """Of linear layers only, as bitsandbytes, GPTQ, AWQ and engines that compute in 8 bits do: the rest is in bf16."""
    return Dtype(name, bits, source, "linear", multiple, "bf16", "bf16", row_bits, caches, note)


def _gguf(name: str, block: int, size: int, fallback: str = "fp16", *, caches: bool = False) -> Dtype:
    """A type of GGUF: blocks of `size` bytes hold `block` numbers. Files that are named after it are mixtures."""
    mixture = name if name in MIXES else ""
    bits = Fraction(8 * size, block)
    return Dtype(name, bits, _GGUF, "matrices", block, fallback, "fp32", caches=caches, mixture=mixture)


_GGUF: Final = "ggml2023 GGML_QUANT_SIZES"
_MIXTURES: Final = "llamacpp2026 llama_tensor_get_type"
_MX: Final = "rouhani2023 Table 1"
_NF4_BLOCK, _NF4_SECOND = 64, 256  # numbers that share a scale, and scales that share one of their own

_ALL: Final = (
    _plain("fp32", 32, "IEEE 754 binary32"),
    _plain("bf16", 16, "kalamkar2019 section 3"),
    _plain("fp16", 16, "IEEE 754 binary16"),
    _linear("fp8", Fraction(8), "micikevicius2022 section 3", caches=True, note="a scale for a whole tensor"),
    _linear("int8", Fraction(8), "dettmers2022 section 2", row_bits=32, caches=True, note="a scale of 32 bits a row"),
    _linear("int4", Fraction(4), "4 bits, no scales", caches=True, note="no scales: int4-g128 counts them"),
    _linear(
        "int4-g128", Fraction(4 * 128 + 16 + 4, 128), "frantar2022", 128, note="a scale and a zero point for each 128"
    ),
    _linear("mxfp8", Fraction(8 * 32 + 8, 32), _MX, 32),
    _linear("mxfp6", Fraction(6 * 32 + 8, 32), _MX, 32),
    Dtype("mxfp4", Fraction(4 * 32 + 8, 32), _MX, "experts", 32, "bf16", "bf16"),
    _linear("nvfp4", Fraction(4 * 16 + 8, 16), "nvidia2025", 16, caches=True),
    _linear(
        "nf4",
        4 + Fraction(8, _NF4_BLOCK) + Fraction(32, _NF4_BLOCK * _NF4_SECOND),
        "dettmers2023 section 3",
        note="its scales are quantised too; 1,092 bytes of tables a matrix are left out",
    ),
    _linear("nf4-single", 4 + Fraction(32, _NF4_BLOCK), "dettmers2023 section 3", note="its scales are kept in fp32"),
    _gguf("q4_0", 32, 18, caches=True),
    _gguf("q4_1", 32, 20, caches=True),
    _gguf("q5_0", 32, 22, caches=True),
    _gguf("q5_1", 32, 24, caches=True),
    _gguf("q8_0", 32, 34, caches=True),
    _gguf("iq4_nl", 32, 18, caches=True),
    _gguf("q2_k", 256, 84, "q4_0"),
    _gguf("q3_k", 256, 110, "q4_0"),
    _gguf("q4_k", 256, 144, "q5_0"),
    _gguf("q5_k", 256, 176, "q5_1"),
    _gguf("q6_k", 256, 210, "q8_0"),
    _gguf("iq1_s", 256, 50, "iq4_nl"),
    _gguf("iq1_m", 256, 56, "iq4_nl"),
    _gguf("iq2_xxs", 256, 66, "iq4_nl"),
    _gguf("iq2_xs", 256, 74, "iq4_nl"),
    _gguf("iq2_s", 256, 82, "iq4_nl"),
    _gguf("iq3_xxs", 256, 98, "iq4_nl"),
    _gguf("iq3_s", 256, 110, "iq4_nl"),
    _gguf("iq4_xs", 256, 136, "iq4_nl"),
    _gguf("tq1_0", 256, 54, "q4_0"),
    _gguf("tq2_0", 256, 66, "q4_0"),
)

_TYPES: Final[dict[str, Dtype]] = {format.name: format for format in _ALL}


def _mixtures() -> Iterator[Dtype]:
    """Mixtures of GGUF that are not called like one of their types."""
    for name, mix in MIXES.items():
        if name not in _TYPES:
            most = _TYPES[mix.most]._replace(scope="matrices", rest="fp32")
            yield most._replace(name=name, source=_MIXTURES, mixture=name, caches=False)


DTYPES: Final[dict[str, Dtype]] = {**_TYPES, **{format.name: format for format in _mixtures()}}
"""Every format by its name, mixtures of GGUF last."""

_PURE: Final = "-pure"
"""Behind the name of a mixture: all matrices in its type, as llama.cpp's --pure makes them; of another format: whatever a model's
release in it leaves out."""

_ALIASES: Final = {
    "f32": "fp32",
    "float32": "fp32",
    "f16": "fp16",
    "float16": "fp16",
    "half": "fp16",
    "bfloat16": "bf16",
    "fp8_e4m3": "fp8",
    "fp8_e5m2": "fp8",
    "gptq": "int4-g128",
    "awq": "int4-g128",
}
_MADE_BY_OTHERS: Final = ("_l", "_xl")
"""What names of mixtures end in that llama.cpp does not make by itself: the head and the table of tokens in q8_0, or more."""

_SCALED: Final = (
    r"(?P<kind>int|fp)(?P<bits>[1-8])"
    r"(-g(?P<group>[1-9]\d{0,5})|-(?P<rows>[1-9]\d{0,5})x(?P<columns>[1-9]\d{0,5})|-(?P<row>row)|-(?P<tensor>tensor))"
    r"(-(?P<zero>sym|z16))?(-(?P<order>gidx))?"
)
_CODEBOOKS: Final = r"aqlm-(?P<books>[1-9])x(?P<bits>[1-9]\d?)-g(?P<group>[1-9]\d{0,2})"
_MOST_CODE: Final = 16
_SCALE, _WIDE_SCALE, _PLACE = 16, 32, 32  # bits of a scale, of one of fp8, and of the group that a column is of


def scaled(name: str) -> Dtype | None:
    """The format that a name spells out, such as int4-g64-sym or fp8-128x128; None where it spells none.

    `int4-g64`: integers of 4 bits, of which 64 of a row share a scale of 16 bits and a zero point of 4 (GPTQ, AWQ); `-sym`:
    no zero point (compressed-tensors); `-z16`: a zero point of 16 bits (HQQ, MLX); `-gidx`: 32 bits for each column, the
    group that it is of (GPTQ). `-row`: a scale a row, in fp8 one of 32 bits; `-tensor`: one of a matrix. `fp8-128x128`: a
    scale of 32 bits for each block (DeepSeek-AI 2024c, section 3.3.2). `aqlm-1x16-g8`: a code of 16 bits for each 8 numbers.
    """
    coded = re.fullmatch(_CODEBOOKS, name)
    if coded is not None:
        return _coded(name, int(coded["books"]), int(coded["bits"]), int(coded["group"]))
    found = re.fullmatch(_SCALED, name)
    if found is None or (found["kind"] == "fp" and (found["bits"] != "8" or found["zero"] or found["order"])):
        return None
    if found["kind"] == "int" and found["rows"]:
        return None
    bits = int(found["bits"])
    scale = _WIDE_SCALE if found["kind"] == "fp" else _SCALE
    zero = {"sym": 0, "z16": 16}.get(found["zero"], bits) if found["kind"] == "int" else 0
    made = Dtype(name, Fraction(bits), _SHIPPED, "linear", 1, "bf16", "bf16", note=_makeup(scale, zero, found))
    made = made._replace(column_bits=_PLACE if found["order"] else 0)
    if found["group"]:
        return made._replace(block=(1, int(found["group"])), block_bits=scale + zero)
    if found["rows"]:
        return made._replace(block=(int(found["rows"]), int(found["columns"])), block_bits=scale)
    if found["row"]:
        return made._replace(row_bits=scale + zero)
    return made._replace(matrix_bits=scale)


def _coded(name: str, books: int, bits: int, group: int) -> Dtype | None:
    """Codes into books of vectors, with a scale a row (AQLM)."""
    if bits > _MOST_CODE:
        return None
    shared = books * 2**bits * group * _SCALE
    note = "codes into books of vectors, and a scale for each row"
    each = Fraction(books * bits, group)
    return Dtype(name, each, _SHIPPED, "linear", 1, "bf16", "bf16", note=note, row_bits=_SCALE, matrix_bits=shared)


def _makeup(scale: int, zero: int, found: re.Match[str]) -> str:
    """What a format that is spelled out has besides its numbers, in words."""
    if found["group"]:
        over = f"each {found['group']} of a row"
    elif found["rows"]:
        over = f"each block of {found['rows']} x {found['columns']}"
    else:
        over = "each row" if found["row"] else "each matrix"
    also = f" and a zero point of {zero}" if zero else ""
    placed = "; the group of each column" if found["order"] else ""
    return f"a scale of {scale} bits{also} for {over}{placed}"


_COMPUTED_IN: Final = {"mxfp8": "fp8", "mxfp6": "fp8", "nvfp4": "fp4", "mxfp4": "fp4"}


def computed_in(name: str) -> str | None:
    """The format whose peak holds for products with weights in a format as they are stored; None: they are unpacked first.

    Scales of rows, blocks or matrices are applied outside of the products; those of groups of integers inside.
    """
    kind, _, over = name.removesuffix(_PURE).partition("-")
    if kind == "fp8" or (kind == "int8" and over in ("", "row", "row-sym", "tensor", "tensor-sym")):
        return kind
    return _COMPUTED_IN.get(name.removesuffix(_PURE))


_SHIPPED: Final = "tensors of the method's own checkpoints"


def bytes_of(numbers: int, bits: int | Fraction) -> int:
    """Bytes of so many numbers of so many bits each, rounded up to a whole one; exact for fractions of bits."""
    return ceil_div(numbers * bits.numerator, 8 * bits.denominator)


def find_format(name: str, *, what: str, cache: bool = False) -> Dtype:
    """The format that a name means. `cache`: one that a cache can be kept in. Raises `RequestError`, naming `what`."""
    wanted = name.strip().lower()
    wanted = _ALIASES.get(wanted, wanted)
    found = DTYPES.get(wanted) or _pure(wanted) or scaled(wanted)
    if found is None:
        raise RequestError(f"{what}: {_unknown(wanted, name)}")
    if cache and not found.caches:
        legal = ", ".join(format.name for format in _ALL if format.caches)
        raise RequestError(f"{what}: a cache is not kept in {found.name}: one of {legal}")
    return found


def _pure(wanted: str) -> Dtype | None:
    """The type that a mixture is called after, or a format, for all matrices alike (q4_0-pure, fp8-pure); None for other names."""
    found = DTYPES.get(wanted.removesuffix(_PURE)) if wanted.endswith(_PURE) else None
    if found is not None and found.scope in ("linear", "experts"):
        return found._replace(name=wanted, caches=False)
    if found is None or not found.mixture or MIXES[found.mixture].experts:
        return None
    return DTYPES[MIXES[found.mixture].base]._replace(name=wanted, mixture="", caches=False)


def _unknown(wanted: str, name: str) -> str:
    """What to do about a name of no format; some that are published are made with settings of their own."""
    base = next((wanted.removesuffix(end) for end in _MADE_BY_OTHERS if wanted.endswith(end)), "")
    if base in DTYPES and f"{base}_m" in DTYPES:
        return (
            f"{shown(name)} is made with settings of its own, tensor by tensor: {base}_m is the nearest that is known"
        )
    hint = nearest(wanted, DTYPES)
    return f"no number format {shown(name)}: {hint if hint.startswith('did') else '`tscale list formats` names them'}"
