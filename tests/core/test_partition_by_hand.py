"""Stages, stretches and selectors of layers, counted layer by layer."""

from __future__ import annotations

import pytest

from tscale.core.layers import ButFirst, Every, Layers, Places, Rest, layers_of
from tscale.core.ledger import Block, Cache, Group, Ledger, Lookup, Matmul, Saved, Scores, Vector
from tscale.core.partition import (
    Stretch,
    given_stretches,
    has_group,
    interleaved_sizes,
    is_within,
    layer_kinds,
    layers_of_groups,
    one_layer,
    some_layers,
    stage,
    stage_of_counts,
    stretches,
)

ODD = Places(Every(), (1,), 2)
SELECTORS: list[tuple[Layers, set[int]]] = [
    (Every(), set(range(20))), (ODD, set(range(1, 20, 2))), (Places(Every(), (0, 3), 5), {0, 3, 5, 8, 10, 13, 15, 18}),
    (Rest((ODD,)), set(range(0, 20, 2))), (Rest((ODD, Places(Every(), (0,), 4))), {2, 6, 10, 14, 18}), (Places(ODD, (1,), 3), {3, 9, 15}),
    (ButFirst(ODD), set(range(3, 20, 2))), (ButFirst(Every()), set(range(1, 20))),
]  # fmt: skip


@pytest.mark.parametrize(("selector", "meant"), SELECTORS)
def test_selectors_count_their_layers(selector: Layers, meant: set[int]) -> None:
    for layers in range(20):
        assert selector.count(layers) == len([layer for layer in meant if layer < layers])
        assert set(layers_of(selector, layers)) == {layer for layer in meant if layer < layers}
    group = Group(selector, "decoder", 1, None, ())
    for start in range(12):
        for size in range(8):
            assert Stretch(start, size).count(group) == len(meant & set(range(start, start + size)))


def test_pieces_of_given_sizes_and_of_stages() -> None:
    assert given_stretches([2, 0, 3]) == (Stretch(0, 2), Stretch(2, 0), Stretch(2, 3))
    assert interleaved_sizes([5, 4], 2) == [3, 2, 2, 2]
    assert interleaved_sizes([7, 3], 3) == [3, 1, 2, 1, 2, 1]


@pytest.mark.parametrize(
    ("layers", "pieces", "sizes"),
    [(6, 3, [2, 2, 2]), (4, 3, [1, 2, 1]), (5, 3, [2, 2, 1]), (6, 4, [1, 2, 2, 1]), (5, 4, [2, 1, 1, 1]), (10, 4, [2, 3, 3, 2]), (126, 16, [7, *[8] * 14, 7])],
)  # fmt: skip
def test_tables_and_head_take_the_place_of_a_layer_unless_a_piece_would_have_none(
    layers: int, pieces: int, sizes: list[int]
) -> None:
    """Where layers divide evenly they are; 126 over 16 stages as Llama 3 was cut (Dubey 2024, section 3.3.2)."""
    assert [int(one.size) for one in stretches(layers, pieces)] == sizes


BLOCK = Block("decoder", "mixer")
Q = Matmul("q", "q", "attention", "target", 4, 6, block=BLOCK)
TABLE = Lookup("table", "embedding", "embedding", 10, 4)
HEAD = Matmul("head", "head", "head", "target", 4, 10, stored=0)
SHARED = Vector("shared", "norm", "norm", 4)
LEDGER = Ledger(
    "x",
    (
        Group("start", "none", 1, None, (TABLE,)),
        Group(Every(), "decoder", 6, None, (Q,), (Saved("s", "attention", "target", 3),)),
        Group(ODD, "decoder", 3, 2, (Q._replace(name="odd"), Scores("scores", "target", "target", 1, 1, 1, True), Cache("kv", "kv", "target", 5))),
        Group("stack", "none", 1, None, (SHARED,)),
        Group("end", "none", 1, None, (HEAD,)),
    ),
)  # fmt: skip


def test_entries_of_all_layers() -> None:
    """Six of one matrix; of another, in three layers, two copies that take turns; what is cached and scored is each layer's."""
    entries = {entry.name: entry for entry in LEDGER.entries}
    assert (entries["q"], entries["odd"]) == (Q._replace(stored=6, used=6), Q._replace(name="odd", stored=2, used=3))
    assert (entries["scores"].used, entries["kv"].stored) == (3, 3)  # type: ignore[union-attr]
    assert (entries["table"], entries["shared"]) == (TABLE, SHARED)
    assert [saved.used for saved in LEDGER.saved] == [6]
    assert LEDGER.each(lambda entry: entry._replace(name="y")).entries[1] == Q._replace(name="y", stored=6, used=6)


@pytest.mark.parametrize(
    ("own", "first", "last", "names", "layers"),
    [
        ([Stretch(0, 6)], True, True, ["table", "q", "odd", "shared", "head"], {"q": 6, "odd": 3}),
        ([Stretch(0, 1)], True, False, ["table", "q", "shared"], {"q": 1}),
        ([Stretch(1, 1)], False, False, ["q", "odd", "shared"], {"q": 1, "odd": 1}),
        ([Stretch(1, 1), Stretch(3, 3)], False, True, ["q", "odd", "shared", "head"], {"q": 4, "odd": 3}),
        ([Stretch(6, 0)], False, True, ["shared", "head"], {}),
    ],
)
def test_a_stage_has_its_layers(
    own: list[Stretch], first: bool, last: bool, names: list[str], layers: dict[str, int]
) -> None:
    part = stage(LEDGER, own, "part", first=first, last=last)
    assert part.model == "part"
    found = {entry.name: entry for entry in part.entries if entry.name not in ("scores", "kv")}
    assert list(found) == names
    for name, count in layers.items():
        assert found[name].used == count  # type: ignore[union-attr]
        assert found[name].stored == (min(count, 2) if name == "odd" else count)  # type: ignore[union-attr]
    if "head" in names:  # a tied head is stored where the table is not
        assert found["head"].stored == (0 if first else 1)  # type: ignore[union-attr]
    held = [has_group(group, own, first=first, last=last) for group in LEDGER.groups]
    assert held == [name in names for name in ("table", "q", "odd", "shared", "head")]
    counts = layers_of_groups(LEDGER, own)
    assert counts == (None, layers.get("q"), layers.get("odd"), None, None)
    assert stage_of_counts(LEDGER, counts, first=first, last=last).entries == part.entries


def test_layers_of_stretches_and_kinds_of_layers() -> None:
    assert [is_within(layer, [Stretch(1, 2), Stretch(5, 1)]) for layer in range(7)] == [
        False,
        True,
        True,
        False,
        False,
        True,
        False,
    ]
    even = Group(Rest((ODD,)), "decoder", 3, None, (Q,))
    fifth = Group(Places(Every(), (5,), 6), "decoder", 1, None, (Q,))
    in_turn = Ledger("x", (even, even._replace(where=ODD), fifth))
    assert layer_kinds(in_turn) == 3  # 0, 2, 4; 1, 3; 5: of six layers, though no group has more than three
    assert layer_kinds(LEDGER) == 2
    encoder = Group(Every(), "encoder", 2, None, (Q,))
    assert layer_kinds(Ledger("x", (*LEDGER.groups, encoder))) == 3
    assert layer_kinds(Ledger.of("x", (Q,))) == 0


def test_one_layer_is_counted_once() -> None:
    assert [entry.name for entry in one_layer(LEDGER, "decoder", 2).entries] == ["q"]
    assert [entry.name for entry in one_layer(LEDGER, "decoder", 3).entries] == ["q", "odd", "scores", "kv"]
    assert one_layer(LEDGER, "decoder", 3).entries[1] == Q._replace(name="odd")
    assert one_layer(LEDGER, "encoder", 3).entries == ()


@pytest.mark.parametrize("chosen", [(), (0,), (1,), (0, 1, 2), (4, 7, 11), tuple(range(12))])
def test_some_layers_are_those_of_each_selector(chosen: tuple[int, ...]) -> None:
    """Without tables and head, nor what all layers read; of a group that is stored once, once."""
    selectors = [(where, meant) for where, meant in SELECTORS if meant & set(range(12))]
    inside = [Group(where, "decoder", where.count(12), 1 if place % 2 else None, (Q,)) for place, (where, _) in enumerate(selectors)]  # fmt: skip
    ends = [Group(where, "decoder", 1, None, (Q,)) for where in ("start", "stack", "end")]
    found = some_layers(Ledger("x", (*ends, *inside)), chosen).groups
    counts = [len(meant & set(chosen)) for _, meant in selectors]
    assert [(group.where, group.layers, group.copies) for group in found] == [
        (where, count, 1 if place % 2 else None)
        for place, ((where, _), count) in enumerate(zip(selectors, counts, strict=True))
        if count
    ]
