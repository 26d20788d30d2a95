"""How numbers read, as a person would round them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from tests.helpers import of_each
from tscale.core.number_text import (
    count_text,
    duration,
    durations,
    gigabytes,
    number_text,
    scaled_estimate,
    significant,
)

READ: list[tuple[str, Any, str]] = [
    ("full", 1234567, "1,234,567"), ("full", 0.0, "0"), ("full", 2.5, "2.500"), ("full", 999.96, "1,000.0"), ("full", 1234.56, "1,234.6"),
    ("full", 1000.5, "1,000.5"), ("full", Fraction(10**23 + 1, 10**20), "1,000.0"), ("full", 12.345678, "12.35"), ("full", 0.00012345, "0.0001234"), ("full", 1.5e-14, "0.000000000000"),
    ("full", -12.5, "-12.50"),
    ("plain", 1234567, "1234567"), ("plain", 0.5, "0.5"),
    ("power", 3.14159e23, "3.14e23"), ("power", 10**6, "1.00e6"), ("power", -(10**6), "-1.00e6"), ("power", 999_999, "999,999"),
    ("power", -999_999, "-999,999"), ("power", 0.001, "1.00e-3"), ("power", 0.0019, "1.90e-3"), ("power", -0.0005, "-5.00e-4"),
    ("power", -0.001, "-1.00e-3"), ("power", -0.5, "-5.00e-1"), ("power", 0.5, "5.00e-1"), ("power", 1, "1"), ("power", 0, "0"), ("power", 12.5, "12.50"),
    ("decimal", 999, "999 B"), ("decimal", 999.5, "999.5 B"), ("decimal", 1000, "1.00 kB"), ("decimal", 99_990, "99.99 kB"), ("decimal", 100_000, "100.0 kB"),
    ("decimal", 4_834_000_000, "4.83 GB"), ("decimal", 10**24, "1.00 YB"), ("decimal", 10**27, "1000.0 YB"),
    ("short", 40_400_000_000, "40.4B"), ("short", 1_420_000_000_000, "1.42T"), ("short", 999, "999"), ("short", 1000, "1.00k"), ("short", 5, "5"),
    ("short", 0, "0"), ("short", 0.4, "0"), ("short", 12_345, "12.3k"), ("short", 123_456, "123k"), ("short", 999_999, "1.00M"), ("short", 1.5e15, "1,500T"),
    ("short", 1.5e16, "15,000T"),
    ("estimate", 16_937, "16,900"), ("estimate", 11.84, "11.8"), ("estimate", 0.01234, "0.0123"), ("estimate", 999, "999"), ("estimate", -5, "-5"),
    ("estimate", 1234, "1,230"), ("estimate", 0.5, "0.500"), ("estimate", 123.4, "123"), ("estimate", 999.9, "1,000"),
    ("given", 0.1, "0.1"), ("given", 1234.5, "1,234.5"), ("given", 12345, "12,345"),
    ("ratio", 1000, "×1,000"), ("ratio", 1234.6, "×1,235"), ("ratio", 999.94, "×999.9"), ("ratio", 10, "×10"), ("ratio", 10.25, "×10.2"), ("ratio", 9.9996, "×10.000"),
    ("ratio", 2.0, "×2"), ("ratio", 1.2345, "×1.234"), ("ratio", 0.1, "×0.100"), ("ratio", 0.0999, "×0.1"), ("ratio", 0.01234, "×0.012"),
    ("percent", 0.1234, "12.34%"), ("percent", 0, "0.00%"), ("percent", 0.00005, "0.01%"), ("percent", 0.0000499, "<0.01%"), ("percent", -0.0000499, "−<0.01%"),
    ("percent", -0.25, "−25.00%"), ("percent", 1, "100.00%"),
    ("utilisation", 0.3217, "32.2%"), ("utilisation", 1, "100%"), ("utilisation", Fraction(1, 200), "0.500%"),
]  # fmt: skip


@of_each(READ)
def test_a_number_reads(case: tuple[Any, Any, str]) -> None:
    reading, value, text = case
    assert number_text(value, reading, "B") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0123, "12.3 ms"), (Fraction(1, 10**6), "1 µs"), (99.94e-6, "99.9 µs"), (99.96e-6, "0.100 ms"), (Fraction(9994, 10_000), "999 ms"), (Fraction(9995, 10_000), "1.00 s"), (1, "1 s"), (119, "119 s"), (119.9, "120 s"),
        (120, "2 minutes"), (150, "2.50 minutes"), (7199, "120 minutes"), (7200, "2 hours"), (172_799, "48.0 hours"), (172_800, "2 days"),
        (777_600, "9 days"), (Fraction(777_600 * 11, 10), "9.90 days"),
    ],
)  # fmt: skip
def test_a_duration_reads_in_the_unit_that_people_would_say(seconds: Any, text: str) -> None:
    assert duration(seconds) == text


def test_a_range_of_durations_says_a_unit_once() -> None:
    assert durations(673_920, 1_036_800) == "7.80 to 12 days"
    assert durations(100, 150) == "100 s to 2.50 minutes"
    assert durations(1, 2) == "1 to 2 s"


def test_estimates_with_prefixes_end_at_the_last_one() -> None:
    assert [scaled_estimate(value, "B") for value in (0.5, 5e26, 5e27)] == ["0.500 B", "500 YB", "5,000 YB"]


@pytest.mark.parametrize(
    ("value", "text"), [(21_840, "21,800"), (1234.5, "1,230"), (80, "80"), (0.0123, "0.0123"), (1e-5, "0.00001"), (2.346, "2.35"), (0.5, "0.5")]
)  # fmt: skip
def test_a_number_in_a_sentence_is_never_in_scientific_notation(value: Any, text: str) -> None:
    assert significant(value) == text


def test_bytes_in_a_sentence_are_written_in_full() -> None:
    assert [gigabytes(size) for size in (22_170 * 10**9, 85_519_761_408, 551_600_000)] == [
        "22,170 GB",
        "85.52 GB",
        "0.5516 GB",
    ]


def test_a_share_of_more_than_a_thousand_percent_has_separators() -> None:
    assert number_text(Fraction(366_284, 100), "percent") == "366,284.00%"


def test_a_count_has_a_suffix_where_three_digits_are_all_of_it() -> None:
    """Counts stay exact: what has more digits has them all."""
    read = {
        15 * 10**12: "15T", 300 * 10**9: "300B", 1_400_000_000: "1.4B", 10**6: "1M", 1_230_000: "1.23M", 10**15: "1,000T",
        999_000: "999,000", 1_234_000: "1,234,000", 131_072_000_000: "131,072,000,000", 512: "512", 0: "0",
    }  # fmt: skip
    assert {value: count_text(value) for value in read} == read
