"""The true bits of formats, against the packages that define them and against checkpoints that were published."""

from __future__ import annotations

from fractions import Fraction

import gguf
import pytest

import tscale
from tscale.core.formats import CACHE_FORMATS, FORMATS, PLAIN_BITS, bytes_of
from tscale.core.questions.weights import weight_bytes
from tscale.errors import RequestError

GGUF = {name: found for name, found in FORMATS.items() if found.source == "ggml type sizes"}


def test_every_gguf_format_is_what_the_package_says() -> None:
    sizes = {kind.name.lower(): size for kind, size in gguf.GGML_QUANT_SIZES.items()}
    for name, found in GGUF.items():
        block, size = sizes[name]
        assert (found.block, found.bits) == (block, Fraction(8 * size, block)), name
    # What it holds beside these are plain numbers, sums inside of a computation, and formats told of above.
    left = {"f32", "f16", "bf16", "f64", "i8", "i16", "i32", "i64", "q8_1", "q8_k", "mxfp4", "nvfp4"}
    assert {name for name in sizes if name not in GGUF} - left <= {"q1_0", "q2_0"}


@pytest.mark.parametrize(("name", "other"), [("mxfp4", "MXFP4"), ("nvfp4", "NVFP4")])
def test_four_bit_floats_are_what_gguf_keeps_them_in(name: str, other: str) -> None:
    block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[other]]
    assert FORMATS[name].bits == Fraction(8 * size, block)


def test_double_quantisation_saves_what_qlora_says() -> None:
    """Dettmers 2023, section 3: from 0.5 bits of constants a parameter to 0.127, saving 0.373."""
    assert float(FORMATS["nf4"].bits - 4) == pytest.approx(0.127, abs=0.0005)


def test_the_checkpoints_of_gpt_oss() -> None:
    """OpenAI 2025, Table 1: 12.8 and 60.8 GiB, experts in mxfp4 and all else in bf16."""
    for name, size in (("gpt-oss-20b", 12.8), ("gpt-oss-120b", 60.8)):
        found = weight_bytes(tscale.lower(tscale.load(name)), FORMATS["mxfp4"]).total
        assert round(found / 2**30, 1) == size


def test_sixteen_bits_are_two_bytes_a_number() -> None:
    ledger = tscale.lower(tscale.load("gpt3"))
    assert weight_bytes(ledger, FORMATS["bf16"]).total == 2 * tscale.params(ledger).total


def test_what_a_format_is_not_used_for() -> None:
    """Of Llama 3.1 8B in nf4: tables and head in 16 bits, and the norms; in q4_k only the norms are in 32 bits."""
    ledger = tscale.lower(tscale.load("llama31-8b"))
    total = tscale.params(ledger).total
    tables, norms = 2 * 128256 * 4096, 65 * 4096
    assert weight_bytes(ledger, FORMATS["nf4"]).total == pytest.approx(
        2 * (tables + norms) + (total - tables - norms) * float(FORMATS["nf4"].bits) / 8, abs=16
    )
    assert weight_bytes(ledger, FORMATS["q4_k"]).total == 4 * norms + (total - norms) * 144 // 256


def test_rows_that_are_no_multiple_of_a_block_are_refused() -> None:
    with pytest.raises(RequestError, match="q4_k keeps rows in blocks of 256, and those of .* are 1,600 long"):
        weight_bytes(tscale.lower(tscale.load("gpt2-xl")), FORMATS["q4_k"])


def test_bytes_are_rounded_up() -> None:
    assert bytes_of(3, 4) == 2
    assert bytes_of(256, FORMATS["q4_k"].bits) == 144
    assert set(PLAIN_BITS) <= set(CACHE_FORMATS) <= set(FORMATS)
