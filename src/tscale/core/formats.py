"""The formats that numbers are kept in, with their true bits: scales and offsets of a block are shared out over it.

A block format is told by what a block takes, so that its bits a number are exact: q4_k keeps 256 numbers in 144 bytes, 4.5
bits each. What a format is not used for (norms, biases, mostly the embedding and the head) stays in 16 bits, in GGUF in 32.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final, Literal, NamedTuple

from tscale.core.numbers import ceil_div

Kept = Literal["all", "matrices", "linear", "experts"]
"""What a format is used for: everything; every matrix and table; the matrices of layers; of those, routed experts alone where
there are any."""


class Format(NamedTuple):
    """A format: bits a number, how many numbers share a block of a row, and what it is used for."""

    name: str
    bits: Fraction
    block: int = 1
    kept: Kept = "all"
    rest_bits: int = 16
    """Bits of what the format is not used for."""
    caches: bool = False
    """Whether servers keep keys and values in it."""
    source: str = ""


def _gguf(name: str, block: int, size: int, *, caches: bool = False) -> Format:
    """A format of GGUF: every matrix and table in it, in blocks along its rows, the rest in 32 bits."""
    return Format(name, Fraction(8 * size, block), block, "matrices", 32, caches, "ggml type sizes")


_LINEAR: Final[Kept] = "linear"
_ALL: Final = (
    Format("fp32", Fraction(32), caches=True),
    Format("bf16", Fraction(16), caches=True),
    Format("fp16", Fraction(16), caches=True),
    Format("fp8", Fraction(8), kept=_LINEAR, caches=True, source="scales of a tensor are left out"),
    Format("int8", Fraction(8), kept=_LINEAR, caches=True, source="scales of a row are left out"),
    # 4 bits, and for each group of 128 a scale of 16 and a zero of 4.
    Format("int4", 4 + Fraction(16 + 4, 128), 128, _LINEAR, caches=True, source="lin2023, groups of 128"),
    # 4 bits, and for each block of 64 of a whole matrix a scale that is itself kept in 8 bits, in blocks of 256 with one of 32.
    Format("nf4", 4 + Fraction(8, 64) + Fraction(32, 64 * 256), 1, _LINEAR, source="dettmers2023 section 3"),
    Format("mxfp4", 4 + Fraction(8, 32), 32, "experts", source="rouhani2023 table 1"),
    Format("nvfp4", 4 + Fraction(8, 16), 16, _LINEAR, source="nvidia2025, blocks of 16"),
    _gguf("q8_0", 32, 34, caches=True),
    _gguf("q6_k", 256, 210),
    _gguf("q5_k", 256, 176),
    _gguf("q5_1", 32, 24, caches=True),
    _gguf("q5_0", 32, 22, caches=True),
    _gguf("q4_k", 256, 144),
    _gguf("q4_1", 32, 20, caches=True),
    _gguf("q4_0", 32, 18, caches=True),
    _gguf("iq4_nl", 32, 18, caches=True),
    _gguf("iq4_xs", 256, 136),
    _gguf("q3_k", 256, 110),
    _gguf("iq3_s", 256, 110),
    _gguf("iq3_xxs", 256, 98),
    _gguf("q2_k", 256, 84),
    _gguf("iq2_s", 256, 82),
    _gguf("iq2_xs", 256, 74),
    _gguf("iq2_xxs", 256, 66),
    _gguf("tq2_0", 256, 66),
    _gguf("tq1_0", 256, 54),
    _gguf("iq1_m", 256, 56),
    _gguf("iq1_s", 256, 50),
)

FORMATS: Final[dict[str, Format]] = {found.name: found for found in _ALL}
"""Every format by its name, in lower case."""

PLAIN_BITS: Final[dict[str, int]] = {"fp32": 32, "bf16": 16, "fp16": 16, "fp8": 8, "int8": 8, "int4": 4}
"""Bits of a number alone, whatever scales stand beside it."""

CACHE_FORMATS: Final[tuple[str, ...]] = tuple(found.name for found in _ALL if found.caches)
"""The formats that keys and values are kept in."""


def bytes_of(numbers: int, bits: int | Fraction) -> int:
    """Bytes that so many numbers of so many bits take, rounded up."""
    exact = Fraction(bits)
    return ceil_div(numbers * exact.numerator, 8 * exact.denominator)
