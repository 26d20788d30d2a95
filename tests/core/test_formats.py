"""The bits of number formats, beside what the formats' own software and papers say of them."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tscale.analysis.attention import Ask
from tscale.core.costs.cache import cache_bytes
from tscale.core.costs.weights import weight_bytes
from tscale.core.dtypes import DTYPES, find_format
from tscale.core.ledger import Cache, Ledger, Matmul
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError

gguf = pytest.importorskip("gguf")
ORACLE = Path(__file__).parents[1] / "oracle"
OF_GGUF = [name for name, format in DTYPES.items() if format.scope == "matrices" and not format.is_mixture]


@pytest.mark.parametrize("name", [*OF_GGUF, "mxfp4", "nvfp4"])
def test_a_block_is_what_the_gguf_package_says(name: str) -> None:
    """Bits are bytes of a block over its numbers; MXFP4 and NVFP4 are laid out there as their papers lay them out."""
    block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name.upper()]]
    assert DTYPES[name].bits == Fraction(8 * size, block)
    if name in OF_GGUF:
        assert DTYPES[name].multiple == block


def test_every_quantised_type_of_gguf_is_known() -> None:
    """But for those that only hold activations (Q8_1, Q8_K), and Q1_0, which older packages do not have."""
    types = {kind.name.lower() for kind, (block, _) in gguf.GGML_QUANT_SIZES.items() if block > 1}
    assert types - {"q8_1", "q8_k", "q1_0"} <= set(DTYPES)


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("nf4", "4.127"),  # Dettmers 2023, section 3: 8/64 + 32/(64 * 256) = 0.127 bits a parameter
        ("nf4-single", "4.5"),  # the same: 32/64 = 0.5 bits
        ("mxfp4", "4.250"),  # Rouhani 2023, Table 1: 32 elements of 4 bits, a scale of 8
        ("mxfp8", "8.250"),
        ("nvfp4", "4.500"),
        ("q4_k", "4.500"),  # as llama.cpp prints them: 4.5, 5.5, 6.5625 and 3.4375 bits a weight
        ("q5_k", "5.500"),
        ("q6_k", "6.5625"),
        ("q3_k", "3.4375"),
        ("iq2_xxs", "2.0625"),
        ("int4-g128", "4.15625"),  # 4 + (16 + 4)/128
    ],
)
def test_bits_are_as_published(name: str, bits: str) -> None:
    assert round(float(DTYPES[name].bits), len(bits.partition(".")[2])) == float(bits)


MEASURED = [json.loads(line) for line in (ORACLE / "formats.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("case", MEASURED, ids=lambda case: f"{case['format']}-{case['rows']}x{case['columns']}")
def test_a_matrix_is_as_large_as_bitsandbytes_makes_it(case: dict[str, Any]) -> None:
    """Numbers and scales to the byte, but for the last group of scales, which is whole; tables are the same for any size."""
    kept, sizes = DTYPES[case["format"]], dict(case["bytes"])
    tables = sum(sizes.pop(name, 0) for name in ("code", "code2", "offset"))
    assert tables == {"nf4": 1092, "nf4-single": 64, "int8": 0}[case["format"]]
    ledger = Ledger.of("x", (Matmul("q", "q", "attention", "target", case["columns"], case["rows"]),))
    over = sum(sizes.values()) - weight_bytes(ledger, kept).total
    assert 0 <= over < 4
    assert over == 0 or case["rows"] * case["columns"] % (64 * 256)


def test_what_a_format_refers_to_exists() -> None:
    """A fallback or the format of the rest is one that is known, and no chain of them goes round in circles."""
    for format in DTYPES.values():
        assert format.rest in DTYPES
        seen = format
        while seen.multiple > 1:
            assert DTYPES[seen.fallback].multiple < seen.multiple
            seen = DTYPES[seen.fallback]


def test_formats_without_blocks_are_those_of_attention() -> None:
    whole = {name for name, format in DTYPES.items() if format.caches and format.multiple == 1}
    assert whole == set(Ask.options()["dtype"].choices)


def test_a_cache_takes_fractions_of_bits() -> None:
    """32 numbers in q8_0 are 34 bytes; what a token keeps is rounded up to a byte once, at the end."""
    ledger = Ledger.of("x", (Cache("k", "kv", "target", 64, stored=2),))
    assert cache_bytes(ledger, SequenceLengths(10), DTYPES["q8_0"].bits).total == 10 * 2 * 64 // 32 * 34
    assert cache_bytes(ledger, SequenceLengths(1), Fraction(33, 7)).total == -(-2 * 64 * 33 // (7 * 8))


def test_a_recurrent_state_is_not_quantised() -> None:
    ledger = Ledger.of("x", (Cache("state", "state", "once", 64, stored=2),))
    assert [cache_bytes(ledger, SequenceLengths(9), DTYPES[name].bits).total for name in ("int4", "bf16", "fp32")] == [
        256,
        256,
        512,
    ]


def test_pages_are_rounded_up_and_states_are_not() -> None:
    """17 positions are two pages of 16, a window of 20 is too; a state has no positions."""
    caches = (
        Cache("k", "kv", "target", 64, stored=2),
        Cache("w", "kv", "target", 64, 20, stored=2),
        Cache("state", "state", "once", 64, stored=2),
    )
    for positions, full, windowed in ((16, 16, 16), (17, 32, 32), (99, 112, 32)):
        lines = cache_bytes(Ledger.of("x", caches), SequenceLengths(positions), 16, page=16).lines
        assert [line.value for line in lines] == [256 * full, 256 * windowed, 256]


def test_names_are_read_as_people_write_them() -> None:
    assert find_format("Q4_K", what="--dtype").name == "q4_k"
    assert find_format("awq", what="--dtype").name == "int4-g128"
    assert find_format("bfloat16", what="--dtype").name == "bf16"
    assert find_format("Q4_K_M", what="--dtype").mixture == "q4_k_m"
    assert find_format("Q4_0-pure", what="--dtype").mixture == ""


@pytest.mark.parametrize(
    ("name", "cache", "said"),
    [
        ("fp9", False, 'no number format "fp9": did you mean fp8?'),
        ("", False, 'no number format "": `tscale list formats` names them'),
        (
            "q4_k_l",
            False,
            '"q4_k_l" is made with settings of its own, tensor by tensor: q4_k_m is the nearest that is known',
        ),
        ("q4_k_mm", False, 'no number format "q4_k_mm": did you mean q4_k_m?'),
        ("fp16-pure", False, 'no number format "fp16-pure"'),
        ("q4_k_m", True, "a cache is not kept in q4_k_m: one of fp32, bf16,"),
        ("q4_0-pure", True, "a cache is not kept in q4_0-pure: one of fp32, bf16,"),
        ("q4_k", True, "a cache is not kept in q4_k: one of fp32, bf16,"),
    ],
)
def test_what_is_no_format_is_refused(name: str, cache: bool, said: str) -> None:
    with pytest.raises(RequestError) as refused:
        find_format(name, what="--dtype", cache=cache)
    assert said in str(refused.value)
