"""What the fields of a spec may hold, and which layers a selector means: counted layer by layer."""

from __future__ import annotations

import json
from itertools import product
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tests.helpers import of_each
from tscale.blocks.attention import Attention
from tscale.blocks.feed_forward import FeedForward
from tscale.blocks.fields import (
    MOST_SIZE,
    Elsewhere,
    LayerSelector,
    Length,
    Number,
    SeveralElsewhere,
    Size,
    Tagged,
    Whole,
    of_one_line,
    out_of_range,
    power,
    telling_layers,
    wholes_of,
)

TOKENS = Annotated[int, Whole(1, 10**24, kilo=1000)]


def read(kind: Any, value: object) -> Any:
    """What a field of a kind makes of a value; None where it refuses it."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return None


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Length, "4k", 4096), (Length, "0.5k", 512), (Length, "1M", 1024**2), (Length, "2 K", 2048), (Length, 4096, 4096),
        (TOKENS, "1.5T", 1_500_000_000_000), (TOKENS, "3k", 3000), (Length, "4096", None), (Length, "k", None), (Length, "", None),
        (Length, "1.0001k", None), (Length, "2T", None), (Size, "4k", None), (Size, 1, 1), (Size, 0, None),
        (Size, MOST_SIZE, MOST_SIZE), (Size, MOST_SIZE + 1, None), (Size, True, None), (Size, 2.0, None),
    ],
)  # fmt: skip
def test_a_suffix_is_read_where_it_can_mean_one_thing(kind: Any, value: object, expected: int | None) -> None:
    """k is 1,024 in lengths and 1,000 in tokens; in a width or a vocabulary nothing says which."""
    assert read(kind, value) == expected


def test_a_schema_lets_texts_where_suffixes_are_read() -> None:
    assert [one["type"] for one in TypeAdapter(Length).json_schema()["anyOf"]] == ["integer", "string"]
    assert TypeAdapter(Size).json_schema()["type"] == "integer"


def test_a_number_is_above_0_unless_it_is_signed() -> None:
    plain, signed = Annotated[float, Number()], Annotated[float, Number(signed=True)]
    assert [read(plain, value) for value in (0, -1, 0.5, 3, True)] == [None, None, 0.5, 3, None]
    assert [read(signed, value) for value in (0, -1, -0.5)] == [0, -1, -0.5]
    assert type(read(plain, 3)) is int


@pytest.mark.parametrize(
    ("number", "written"),
    [(64, "64"), (10**6, "1000000"), (10**7, "10^7"), (10**12, "10^12"), (2 * 10**9, "2000000000"), (10**9 + 1, "1000000001")],
)  # fmt: skip
def test_a_limit_is_written_as_a_power_of_ten_where_it_is_a_large_one(number: int, written: str) -> None:
    assert power(number) == written


def test_sizes_that_were_never_in_a_file_are_held_to_the_same_limits() -> None:
    """Of a block, and of those inside of it; a field without a limit has none."""
    assert not list(out_of_range(Attention(heads=MOST_SIZE)))
    assert list(out_of_range(Attention(heads=0))) == [(("heads",), "comes out as 0, and must be from 1 to 10^12")]
    (((path, message)),) = out_of_range(Attention(heads=4, on=LayerSelector(first=MOST_SIZE + 1)))
    assert (path, message) == (("on", "first"), f"comes out as {MOST_SIZE + 1}, and must be from 1 to 10^12")
    assert [path for path, _ in out_of_range(LayerSelector(layers=(0, 3, -1, MOST_SIZE)))] == [("layers",)]
    assert [path for path, _ in out_of_range(FeedForward(d_ff=0))] == [("d_ff",)]
    found = dict(wholes_of(LayerSelector))
    assert {name: whole.least for name, whole in found.items() if whole} == {
        "first": 1, "after": 1, "every": 1, "at": 0, "layers": 0,
    }  # fmt: skip


def test_a_text_of_a_table_is_one_line() -> None:
    texts = {"a": "x", "b": "", "c": "  ", "d": "x\ny", "e": None, "f": " x "}
    assert [path for path, _ in of_one_line(**texts)] == [("b",), ("c",), ("d",)]


SELECTORS = [
    *((LayerSelector(first=n), set(range(n))) for n in (1, 3, 8)),
    *((LayerSelector(after=n), set(range(n, 99))) for n in (1, 3, 8)),
    *((LayerSelector(every=n, at=at), set(range(at, 99, n))) for n in (1, 2, 3, 5) for at in range(n)),
    *((LayerSelector(layers=layers), set(layers)) for layers in ((0,), (2, 5), (7, 1, 3))),
]


@pytest.mark.parametrize(("on", "meant"), SELECTORS)
def test_a_selector_means_the_layers_that_it_says(on: LayerSelector, meant: set[int]) -> None:
    for layers in range(1, 12):
        assert {layer for layer in range(layers) if on.holds(layer)} == {layer for layer in meant if layer < layers}
        if on.every is None or on.at < layers:
            assert on.count(layers) == len({layer for layer in meant if layer < layers})


@pytest.mark.parametrize(
    ("on", "wrong"),
    [
        (LayerSelector(first=2), []), (LayerSelector(every=3, at=2), []), (LayerSelector(layers=(0, 7)), []),
        (LayerSelector(), [("on",)]), (LayerSelector(first=1, after=2), [("on",)]), (LayerSelector(every=3, at=3), [("on", "at")]),
        (LayerSelector(first=3, at=1), [("on", "at")]), (LayerSelector(layers=(1, 1)), [("on", "layers")]),
        (LayerSelector(layers=(8,)), [("on", "layers")]),
    ],
)  # fmt: skip
def test_a_selector_of_8_layers_says_them_in_one_way(on: LayerSelector, wrong: list[tuple[str, ...]]) -> None:
    assert [path for path, _ in on.problems(8)] == wrong


@of_each([list(pair) for pair in product([on for on, _ in SELECTORS], repeat=2)][::3])
def test_a_few_layers_tell_of_every_kind_that_there_is(ons: list[LayerSelector]) -> None:
    """Which selectors hold a layer is its kind."""

    def kinds(layers: Any) -> set[tuple[bool, ...]]:
        return {tuple(on.holds(layer) for on in ons) for layer in layers}

    for start, end in ((0, 1), (0, 40), (3, 41), (6, 7)):
        found = list(telling_layers(ons, start, end))
        assert all(start <= layer < end for layer in found)
        assert kinds(found) == kinds(range(start, end))


def test_telling_layers_are_few_however_deep_a_stack_is() -> None:
    """Of every second and every third, the kinds of 6 layers come again: 6 from each layer where something begins."""
    ons = [LayerSelector(every=2), LayerSelector(every=3, at=1), LayerSelector(first=5)]
    assert set(telling_layers(ons, 0, 10**12)) == set(range(11))
    long = [LayerSelector(every=10**6)]
    assert len(list(telling_layers(long, 0, 10**12))) == 4096


ONE_OF = Annotated[Any, Tagged({"multi-head": Attention, "dense": FeedForward}, "multi-head")]
SEVERAL = Annotated[Any, Tagged({"multi-head": Attention, "dense": FeedForward}, "multi-head", many=True)]
HEADS, WIDE = {"heads": 4}, {"kind": "dense", "d_ff": 8}


def from_file(kind: Any, value: object) -> Any:
    """What a field makes of plain data, as a file holds it."""
    return TypeAdapter(kind).validate_json(json.dumps(value))


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (ONE_OF, HEADS, Attention(heads=4)), (ONE_OF, WIDE, FeedForward(d_ff=8)), (ONE_OF, [HEADS], None), (ONE_OF, {"kind": "none"}, None), (ONE_OF, 7, None),
        (SEVERAL, HEADS, Attention(heads=4)), (SEVERAL, [HEADS], (Attention(heads=4),)), (SEVERAL, [], None), (SEVERAL, [HEADS, 7], None), (SEVERAL, 7, None),
        (SEVERAL, [HEADS, WIDE, HEADS], (Attention(heads=4), FeedForward(d_ff=8), Attention(heads=4))), (SEVERAL, [WIDE, {"kind": "none"}], None),
    ],
)  # fmt: skip
def test_blocks_are_told_apart_by_their_kind(kind: Any, value: object, expected: object) -> None:
    """One, or a list of one and more where there may be several."""
    if expected is None:
        with pytest.raises(ValidationError):
            from_file(kind, value)
    else:
        assert from_file(kind, value) == expected


def test_blocks_of_other_files_are_one_or_none_or_a_list() -> None:
    home = "blocks.feed_forward.FeedForward"
    alone, listed = Annotated[Any, Elsewhere(home)], Annotated[Any, SeveralElsewhere(home)]
    assert from_file(alone, {"d_ff": 8}) == FeedForward(d_ff=8)
    assert from_file(alone, None) is None
    assert from_file(listed, [{"d_ff": 8}, {"d_ff": 9}, {"d_ff": 7}]) == (
        FeedForward(d_ff=8), FeedForward(d_ff=9), FeedForward(d_ff=7),
    )  # fmt: skip
    assert from_file(listed, None) is None
    for wrong in ([], {"d_ff": 8}, [{"d_ff": 8}, 7]):
        with pytest.raises(ValidationError):
            from_file(listed, wrong)
