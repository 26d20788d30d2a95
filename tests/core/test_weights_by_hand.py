"""Bytes of small matrices in formats with every kind of scale, and mixtures of a stage, counted one by one."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from tscale.core.costs.weights import (
    Mixture,
    Rule,
    dividing,
    is_converted,
    kept_in,
    mixture,
    of_stage,
    tower_bytes,
    tower_format,
    weight_bytes,
)
from tscale.core.dtypes import DTYPES, Dtype, bytes_of, scaled
from tscale.core.layers import Every
from tscale.core.ledger import Buffer, Conv, Group, Ledger, Lookup, Matmul, Vector
from tscale.core.partition import Stretch, stage


def of(name: str) -> Dtype:
    """A format that its name spells out."""
    found = scaled(name)
    assert found is not None
    return found


MATRIX = Matmul("m", "up", "feed_forward", "target", 130, 70, stored=3)


def bytes_in(format: Dtype, *entries: Matmul | Lookup | Vector | Buffer | Conv) -> int:
    return int(weight_bytes(Ledger.of("x", entries), format).total)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("fp8-128x128", 130 * 70 + 4 * 1 * 2),  # ⌈70/128⌉ by ⌈130/128⌉ blocks, 32 bits each
        ("fp8-32x64", 130 * 70 + 4 * 3 * 3),
        ("fp8-row", 130 * 70 + 4 * 70),
        ("fp8-tensor", 130 * 70 + 4),
        ("int8-row", 130 * 70 + (2 + 1) * 70),  # a scale of 16 bits and a zero point of 8
        ("int8-row-sym", 130 * 70 + 2 * 70),
        ("int4-g64", 130 * 70 / 2 + 2.5 * 70 * 3),  # ⌈130/64⌉ groups of each of 70 rows
        ("int4-g64-sym", 130 * 70 / 2 + 2 * 70 * 3),
        ("int4-g64-z16", 130 * 70 / 2 + 4 * 70 * 3),
        ("int4-g64-gidx", 130 * 70 / 2 + 2.5 * 70 * 3 + 4 * 130),
        ("int4-tensor", 130 * 70 / 2 + 2),
        ("aqlm-1x16-g8", 130 * 70 * 2 / 8 + 2 * 70 + 2**16 * 8 * 2),  # a code of 16 bits for 8 numbers; vectors of 8 in the book
        ("aqlm-2x8-g10", 130 * 70 * 2 / 10 + 2 * 70 + 2 * 2**8 * 10 * 2),
    ],
)  # fmt: skip
def test_scales_of_blocks_rows_columns_and_matrices(name: str, size: float) -> None:
    """Three matrices of 130 by 70, and 70 biases, which stay in 16 bits."""
    assert bytes_in(of(name), MATRIX) == 3 * size
    assert bytes_in(of(name), MATRIX._replace(bias=True)) == 3 * (size + 2 * 70)


def test_names_that_spell_no_format() -> None:
    for name in (
        "fp4-row",
        "fp8-row-sym",
        "fp8-g64-gidx",
        "int8-128x128",
        "int9-row",
        "aqlm-1x17-g8",
        "int4",
        "int4-g0",
    ):
        assert scaled(name) is None, name
    assert of("aqlm-1x16-g8").bits == 2


def test_bits_with_the_share_of_a_block() -> None:
    assert of("int4-g64").bits_with_scales == 4 + Fraction(16 + 4, 64)
    assert of("fp8-128x64").bits_with_scales == 8 + Fraction(32, 128 * 64)
    assert of("fp8-row").bits_with_scales == 8


def test_what_a_scale_is_of_is_said() -> None:
    said = {
        "int4-g64": "a scale of 16 bits and a zero point of 4 for each 64 of a row",
        "int8-row-sym": "a scale of 16 bits for each row",
        "fp8-tensor": "a scale of 32 bits for each matrix",
        "fp8-128x64": "a scale of 32 bits for each block of 128 x 64",
        "int4-g64-gidx": "a scale of 16 bits and a zero point of 4 for each 64 of a row; the group of each column",
    }
    assert {name: of(name).note for name in said} == said


def test_tables_vectors_and_convolutions() -> None:
    """A table in blocks of 32 by 64 where a format holds tables; 5 channels by a kernel of 4, with 5 biases or without."""
    blocks = of("fp8-32x64")._replace(scope="all")
    assert bytes_in(blocks, Lookup("t", "embedding", "embedding", 100, 130, stored=2)) == 2 * (100 * 130 + 4 * 4 * 3)
    conv = Conv("c", "conv", "mixer", "target", 5, 4, stored=3)
    assert bytes_in(DTYPES["bf16"], conv) == 2 * 3 * 5 * 4
    assert bytes_in(DTYPES["bf16"], conv._replace(bias=True)) == 2 * 3 * (5 * 4 + 5)
    assert bytes_in(DTYPES["fp32"], Vector("v", "norm", "norm", 7, stored=2), Buffer("b", "bias", "norm", 3)) == 4 * 17


def test_bits_of_bytes_are_rounded_up() -> None:
    assert [bytes_of(numbers, 4) for numbers in (0, 1, 2, 3)] == [0, 1, 1, 2]
    assert bytes_of(3, Fraction(17, 4)) == 2


def test_towers_stay_in_16_bits_where_weights_are_quantised() -> None:
    names = {"fp32": "fp32", "fp16": "fp16", "bf16": "bf16", "fp8": "bf16", "int4": "bf16", "q4_0": "bf16"}
    assert {name: tower_format(DTYPES[name]).name for name in names} == names
    assert tower_format(Mixture("x", "fp16", {})).name == "fp16"
    assert tower_format(Mixture("x", "fp32", {}, base=DTYPES["q4_k"])).name == "bf16"
    group = Group("start", "tower", 1, None, (Matmul("m", "up", "vision_tower", "tower_inputs", 10, 20),))
    assert tower_bytes(Ledger("x", (), towers=(group,)), DTYPES["int4"]).total == 2 * 10 * 20


def test_what_is_converted_where_nothing_is_said() -> None:
    assert is_converted(MATRIX)
    changes: list[dict[str, Any]] = [
        {"part": "head"}, {"part": "positions"}, {"role": "router"}, {"role": "shared_switch"}, {"role": "stream_mix"},
    ]  # fmt: skip
    for change in changes:
        assert not is_converted(MATRIX._replace(**change)), change
    assert not is_converted(Vector("v", "norm", "norm", 7))


def test_a_format_whose_blocks_divide_a_row() -> None:
    assert dividing(MATRIX._replace(d_in=256), DTYPES["q4_k"]).name == "q4_k"
    assert dividing(MATRIX._replace(d_in=96), DTYPES["q4_k"]).name == "q5_0"
    assert dividing(Lookup("t", "embedding", "embedding", 100, 130), DTYPES["q4_k"]).name == "fp16"
    assert dividing(Vector("v", "norm", "norm", 130), DTYPES["q4_k"]).name == "q4_k"


def layered() -> Ledger:
    """A table, two matrices in each of six layers, and a head."""
    up, down = (Matmul(name, "up", "feed_forward", "target", 32, 64) for name in ("a", "b"))
    return Ledger(
        "x",
        (
            Group("start", "none", 1, None, (Lookup("t", "embedding", "embedding", 10, 32),)),
            Group(Every(), "decoder", 6, None, (up, down)),
            Group("end", "none", 1, None, (Matmul("head", "head", "head", "target", 32, 10),)),
        ),
    )


def test_the_first_rule_about_a_layer_says_its_format() -> None:
    """Of `a`, layers 1 and 4 are in 8 bits and the others in 4; of `b` all in 4; table and head in bf16."""
    standing = {1: range(6), 2: range(6)}
    rules = [
        Rule(DTYPES["int8"], frozenset({1}), frozenset({1, 4})),
        Rule(DTYPES["fp8"], frozenset({1}), frozenset({4})),
    ]
    made = mixture(layered(), DTYPES["int4"], rules, "bf16", standing)
    assert made.name == "int4 and int8"
    assert made.placed == {1: ((DTYPES["int4"], 4), (DTYPES["int8"], 2)), 2: ((DTYPES["int4"], 6),)}
    assert {layer: format.name for layer, format in made.by_layer[1].items()} == {
        0: "int4", 1: "int8", 2: "int4", 3: "int4", 4: "int8", 5: "int4",
    }  # fmt: skip
    assert 2 not in made.by_layer
    matrix = 32 * 64
    lines = {line.name: line.value for line in weight_bytes(layered(), made).lines}
    assert lines == {
        "t": 2 * 320, "a": 4 * matrix // 2 + 2 * (matrix + 4 * 64), "b": 6 * matrix // 2, "head": 2 * 320,
    }  # fmt: skip
    assert [(kept.name, kept.layers) for kept in kept_in(layered(), made) if kept.entry.name == "a"] == [
        ("a in int4", (4, 6)), ("a in int8", (2, 6)),
    ]  # fmt: skip
    assert mixture(layered(), None, rules[:1], "bf16", standing).placed == {
        1: ((DTYPES["bf16"], 4), (DTYPES["int8"], 2))
    }
    assert mixture(layered(), None, [], "bf16", standing).name == "bf16"


@pytest.mark.parametrize(
    ("own", "first", "last", "expected"),
    [
        ([Stretch(0, 2)], True, False, {"t": 0, "a": {"int4": 1, "int8": 1}, "b": {"int4": 2}}),
        ([Stretch(4, 2)], False, True, {"a": {"int8": 1, "int4": 1}, "b": {"int4": 2}, "head": 0}),
        ([Stretch(2, 2)], False, False, {"a": {"int4": 2}, "b": {"int4": 2}}),
        ([Stretch(1, 1), Stretch(4, 1)], False, False, {"a": {"int8": 2}, "b": {"int4": 2}}),
    ],
)
def test_a_stage_has_its_own_layers_of_a_mixture(
    own: list[Stretch], first: bool, last: bool, expected: dict[str, object]
) -> None:
    standing = {1: range(6), 2: range(6)}
    rules = [Rule(DTYPES["int8"], frozenset({1}), frozenset({1, 4}))]
    made = mixture(layered(), DTYPES["int4"], rules, "bf16", standing)
    part = stage(layered(), own, "x", first=first, last=last)
    found = of_stage(made, layered(), own, first=first, last=last)
    names = [entry.name for entry in part.entries]
    assert names == list(expected)
    for place, name in enumerate(names):
        held = expected[name]
        if isinstance(held, dict) and name == "a":
            assert {format.name: count for format, count in found.placed[place]} == held
    matrix = 32 * 64
    sizes = {"int4": matrix // 2, "int8": matrix + 4 * 64}
    layers = sum(stretch.size for stretch in own)
    lines = {line.name: line.value for line in weight_bytes(part, found).lines}
    for name, held in expected.items():
        if isinstance(held, dict):
            assert lines[name] == sum(sizes[format] * count for format, count in held.items())
            assert sum(held.values()) == layers
        else:
            assert lines[name] == 2 * 320


def test_bits_of_a_mixture_are_its_widest_or_its_base() -> None:
    counts = {0: ((DTYPES["int4"], 1), (of("int4-g64"), 2)), 1: ((DTYPES["bf16"], 1),)}
    assert Mixture("x", "bf16", counts).bits == 4 + Fraction(20, 64)
    assert Mixture("x", "bf16", {}).bits == 16
    assert Mixture("x", "fp32", counts, base=DTYPES["q4_k"]).bits == Fraction(9, 2)
    assert [format.name for format in Mixture("x", "bf16", counts).dtypes()] == ["int4", "int4-g64"]


ROUTER, HEAD = MATRIX._replace(name="router", role="router"), MATRIX._replace(name="head", role="head", part="head")
EXPERT = MATRIX._replace(name="expert", experts=3)
TABLE, SEGMENTS = (
    Lookup("table", "embedding", "embedding", 10, 130),
    Lookup("segments", "segments", "embedding", 2, 130),
)
PLACES, NORM = Lookup("places", "positions", "positions", 10, 130), Vector("norm", "norm", "norm", 130)


@pytest.mark.parametrize(
    ("scope", "routed", "held"),
    [
        ("all", True, {"m", "router", "head", "expert", "table", "segments", "places", "norm"}), ("matrices", True, {"m", "head", "expert", "table"}),
        ("linear", True, {"m", "expert"}), ("experts", True, {"expert"}), ("experts", False, {"m"}), ("linear", False, {"m"}),
    ],
)  # fmt: skip
def test_what_a_format_is_for(scope: Any, routed: bool, held: set[str]) -> None:
    """Where it is for experts and a model has none, it is for the matrices of its layers."""
    entries = (MATRIX, ROUTER, HEAD, TABLE, SEGMENTS, PLACES, NORM, *((EXPERT,) if routed else ()))
    format = of("fp8-tensor")._replace(scope=scope)
    kept = kept_in(Ledger.of("x", entries), format)
    assert {one.entry.name for one in kept if one.format.bits == 8} == held
