"""Products of a training step on a device of 1,000 FLOP/s and 10 bytes a second, multiplied by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tscale.core.costs.step_products import (
    REPEATED,
    Attention,
    Case,
    Product,
    Products,
    attention_work,
    joined,
    shape_of,
    tokens_of,
)
from tscale.core.costs.step_work import step_work
from tscale.core.device import Cluster, Device
from tscale.core.ledger import Block, Conv, Cut, Ledger, Lookup, Matmul, Scan, Scores, Vector
from tscale.core.parallelism import Parallelism
from tscale.core.workload import SequenceLengths, TowerPass, TowerRun

CARD = Cluster(Device("card", {}, 0, 10, 100, None), 8, 50)
FEED, MIXER = Block("decoder", "feed-forward"), Block("decoder", "mixer")
UP = Matmul("up", "up", "feed_forward", "target", 10, 24, stored=2, used=2, block=FEED)


def case(again: Any = "none", *, fused: bool = True, **more: Any) -> Case:
    """Three sequences of 8 tokens."""
    return Case(SequenceLengths(8, 5), 3, 4, 10, REPEATED[again], 1000, 500, False, fused, None, recent=fused)._replace(
        **more
    )


MAKE = Products(case(), CARD)


def test_a_product_is_computed_and_its_matrices_are_read_and_written() -> None:
    """Seven times two of [3, 5]·[5, 4] at once: 2·3·4·5 FLOPs and 2·(15 + 20 + 12) bytes each."""
    assert MAKE.of(3, 4, 5, 7, 1000, 2) == pytest.approx((7 * 2 * 120 / 1000, 7 * 2 * 2 * 47 / 10))
    assert Product(2, 3).times(4) == Product(8, 12)


def test_gradients_are_products_of_the_same_sizes() -> None:
    found = MAKE.with_gradients((3, 4, 5), 7, 1000, 2)
    assert found == (MAKE.of(3, 4, 5, 7, 1000, 2), MAKE.of(3, 5, 4, 7, 1000, 2), MAKE.of(5, 4, 3, 7, 1000, 2))
    summed = MAKE.summed(Product(1, 2), (3, 4, 5), 7, 2)
    assert summed == pytest.approx((1, 2 + 7 * 2 * 6 * 20 / 10))
    in_16_bits = Products(case(gradient_bytes=2), CARD)  # read and written, where a product alone writes
    assert in_16_bits.summed(Product(1, 2), (3, 4, 5), 7, 2) == pytest.approx((1, 2 + 7 * 2 * 2 * 20 / 10))
    assert Products(case(fused=False), CARD).summed(Product(1, 2), (3, 4, 5), 7, 2) == Product(1, 2)


@pytest.mark.parametrize(
    ("m", "n", "batch", "tiles"), [(128, 256, 1, 1), (129, 256, 1, 2), (128, 257, 1, 2), (256, 512, 1, 4), (1, 1, 5, 5), (640, 256, 1, 5)]
)  # fmt: skip
def test_a_wave_that_is_not_full_takes_as_long(m: int, n: int, batch: int, tiles: int) -> None:
    """Tiles of 128 by 256, four at a time."""
    four = Products(case(multiprocessors=4), CARD)
    waves = -(-tiles // 4)
    assert four.waves(m, n, batch) == pytest.approx(waves * 4 * 128 * 256 / (m * n * batch))
    assert MAKE.waves(m, n, batch) == 1


def test_tokens_that_a_matrix_multiplies() -> None:
    assert tokens_of(UP, Parallelism(), case()) == 24
    assert tokens_of(UP, Parallelism(context=2), case()) == 12
    assert tokens_of(UP._replace(most=5), Parallelism(), case()) == 15
    assert tokens_of(UP._replace(most=50), Parallelism(), case()) == 24
    assert tokens_of(UP._replace(stream="source"), Parallelism(), case()) == 15


def test_experts_of_a_layer_run_at_once_each_with_its_part_of_the_tokens() -> None:
    """Of 24 tokens with 2 of 8 experts each, 6 an expert, or one at the least; streams side by side are one product."""
    expert = UP._replace(experts=8, stored=16, used=4)
    assert shape_of(UP, 24) == ((24, 24, 10), 2, 1)
    assert shape_of(UP._replace(used=6, abreast=3), 24) == ((72, 24, 10), 2, 1)
    assert shape_of(expert, 24.0) == ((6, 24, 10), 2, 8)
    assert shape_of(expert, 1.0) == ((1, 24, 10), 2, 8)


def test_matrices_side_by_side_are_one() -> None:
    q = UP._replace(name="q", role="q", part="attention", block=MIXER)
    entries = (
        q,
        q._replace(role="k", d_out=6),
        q._replace(role="v", d_out=6),
        q._replace(role="o"),
        UP,
        UP._replace(role="gate"),
        q._replace(role="k", d_in=7),
    )
    assert [(one.name, one.d_in, one.d_out) for one in joined(Ledger.of("x", entries))] == [
        ("q", 10, 36), ("q", 10, 24), ("up", 10, 48), ("q", 7, 24),
    ]  # fmt: skip


SCORES = Scores("s", "target", "target", 2, 3, 4, True, used=5, block=MIXER)


@pytest.mark.parametrize(("again", "more"), [("none", 0), ("selective", 0), ("full", 1)])
def test_a_fused_kernel_computes_what_a_query_sees(again: str, more: int) -> None:
    """3 sequences of 36 pairs, 5 layers of 2 heads of 3 and 4; backward two and a half times as much, at the 16-bit peak."""
    forward = 2 * 3 * 36 * 5 * 2 * 7 / 500
    found = attention_work(Ledger.of("x", (SCORES, SCORES)), Parallelism(), case(again), MAKE)
    assert (found.seconds, found.seconds_again) == pytest.approx((2 * 3.5 * forward, 2 * more * forward))
    assert found._replace(seconds=0.0, seconds_again=0.0) == Attention()
    halved = attention_work(Ledger.of("x", (SCORES,)), Parallelism(context=2), case(again), MAKE)
    assert halved.seconds == pytest.approx(3.5 * forward / 2)


@pytest.mark.parametrize(("again", "more"), [("none", 0), ("selective", 1), ("full", 1)])
@pytest.mark.parametrize(("heads", "in_steps"), [(2, 1), (4, 0)])
def test_unfused_attention_reads_and_writes_its_scores(again: str, more: int, heads: int, in_steps: int) -> None:
    """9 bytes a score forward and 18 backward; 20 more each time where heads by sequences, 6 or 12, are no multiple of 4."""
    how = case(again, fused=False)
    found = attention_work(Ledger.of("x", (SCORES._replace(heads=heads),)), Parallelism(), how, Products(how, CARD))
    scores = 3 * heads * 8 * 8 * 5
    assert found.in_steps == in_steps
    assert found.traffic == scores * (9 + 18 + 2 * 20 * in_steps)
    assert found.traffic_again == more * scores * (9 + 20 * in_steps)
    make, batch = Products(how, CARD), 3 * heads
    shapes = [(8, 8, 3), (8, 4, 8), (8, 3, 8), (3, 8, 8), (8, 8, 4), (8, 4, 8)]
    assert list(found.products) == [make.of(*shape, 5, 500, batch) for shape in shapes]
    assert list(found.products_again) == [make.of(*shape, 5, 500, batch) for shape in shapes[: 2 * more]]


def test_a_stage_of_one_matrix_of_each_kind() -> None:
    """What columns give out is read and written 4 times, and a sum 11, of 24 tokens; thrice in all; a head's logits once for each byte."""
    down = UP._replace(name="down", role="down", d_in=24, d_out=10, cut=Cut(24, "in"))
    head = Matmul("head", "head", "head", "target", 10, 100)
    table = Lookup("table", "embedding", "embedding", 100, 10)
    norm, conv = Vector("n", "norm", "norm", 10), Conv("c", "conv", "mixer", "target", 6, 4, used=2)
    scan = Scan("r", "target", per_position=5, chunk=4, per_chunk=7, used=3)
    share = Ledger.of("x", (table, UP, down, norm, conv, scan, SCORES, head))
    work = step_work([share], Parallelism(), case(), CARD)
    (one,) = work.stages
    make = MAKE
    three = [[*make.with_gradients(sizes, 2, 1000)] for sizes in ((24, 24, 10), (24, 10, 24))]
    expected = [
        product
        for (a, b, c), sizes in zip(three, ((24, 24, 10), (24, 10, 24)), strict=True)
        for product in (a, b, make.summed(c, sizes, 2))
    ]
    recurrences = [Product(3 * 3 * 2 * 2 * (8 + 3) * 6 * 4 / 500, 0), Product(3 * 3 * 2 * 3 * (8 * 5 + 2 * 7) / 500, 0)]
    assert list(one.products) == [*expected, *recurrences]
    a, b, c = make.with_gradients((24, 100, 10), 1, 500)
    assert list(one.head) == [a, b, make.summed(c, (24, 100, 10), 1)]
    assert one.traffic == pytest.approx(3 * 24 * 2 * (4 * 24 + 11 * 10) / 10)
    assert (one.logits, one.has_head, one.layers) == pytest.approx((24 * 100 / 10, 1, 5 + 3))
    assert work.states == pytest.approx((2 * 480 + 1000 + 1000) / 10)
    assert (work.cut, work.wide, work.hides, work.micro_batches) == (0, 0, 0, 4)
    assert step_work([share], Parallelism(data=4, zero=1), case(), CARD).states == pytest.approx(work.states / 4)
    assert step_work([share], Parallelism(data=4), case(), CARD).states == pytest.approx(work.states)


def test_stages_that_are_alike_are_one_kind() -> None:
    plain, wide = Ledger.of("x", (UP,)), Ledger.of("x", (UP._replace(d_out=30),))
    found = step_work([plain, wide, plain], Parallelism(pipeline=3), case(), CARD).stages
    assert [(one.stages, one.products[0]) for one in found] == [
        (2, MAKE.of(24, 24, 10, 2, 1000)),
        (1, MAKE.of(24, 30, 10, 2, 1000)),
    ]


@pytest.mark.parametrize(("tensor", "cut", "wide"), [(1, 0, 0), (2, 1, 0), (7, 1, 0), (8, 1, 1)])
def test_layers_that_are_cut_over_eight_devices_are_cut_widely(tensor: int, cut: int, wide: int) -> None:
    work = step_work([Ledger.of("x", (UP,))], Parallelism(tensor=tensor), case(), CARD)
    assert (work.cut, work.wide) == (cut, wide)


@pytest.mark.parametrize(("again", "more"), [("none", 0), ("full", 1)])
def test_a_frozen_matrix_in_few_bits_is_unpacked_for_each_of_its_products(again: str, more: int) -> None:
    """5 bytes for each of 480 weights, for its product and for its input's gradient, and once more where its layer is computed again.

    It has no gradient, and what its columns give out is read and written as ever.
    """
    frozen = UP._replace(trained=False)
    (one,) = step_work([Ledger.of("x", (frozen,))], Parallelism(), case(again, unpacked=5.0), CARD).stages
    written = 24 * 2 * 4 * 24
    assert one.traffic == pytest.approx((3 * written + 2 * 5 * 480) / 10)
    assert one.traffic_again == pytest.approx(more * (written + 5 * 480) / 10)
    assert list(one.products) == list(MAKE.with_gradients((24, 24, 10), 2, 1000))[:2]
    assert len(one.again) == more


def test_gradients_that_are_not_added_up_by_their_product_are_read_and_written_behind_it() -> None:
    """8 bytes for each of the layers' 480 weights and the head's 1,000, also of a head that is a table stored elsewhere; a frozen one's none."""
    head = Matmul("head", "head", "head", "target", 10, 100)
    for entries, weights in (
        ((UP, head), 1480),
        ((UP, head._replace(stored=0)), 1480),
        ((UP._replace(trained=False), head), 1000),
    ):
        how = case(fused=False)
        (one,) = step_work([Ledger.of("x", entries)], Parallelism(), how, CARD).stages
        assert one.traffic == pytest.approx((3 * 24 * 2 * 4 * 24 + 8 * weights) / 10)


def test_what_is_written_of_adapters_towers_and_experts() -> None:
    """Of 24 tokens in two layers: 4 bytes for columns, 11 for a sum, a part of it along the sequence, none of adapters.

    Of two experts' copies 4 each, and 4 of the token, forward and backward.
    """
    down = UP._replace(name="down", role="down", cut=Cut(10, "in"))
    expert = down._replace(experts=8, stored=16, used=4)
    for entry, plan, each in (
        (UP, Parallelism(2), 4 * 24), (down, Parallelism(2), 11 * 24), (down, Parallelism(2, sequence=True), 11 * 24 / 2), (expert, Parallelism(2), 2 / 3 * (2 + 1) * 4 * 24),
        (UP._replace(role="lora_a"), Parallelism(), 0), (down._replace(cut=None), Parallelism(), 4 * 24),
    ):  # fmt: skip
        (one,) = step_work([Ledger.of("x", (entry,))], plan, case(), CARD).stages
        assert one.traffic == pytest.approx(3 * 24 * 2 * each / 10)


def test_unfused_attention_scores_one_key_for_each_stride() -> None:
    """Of 8 positions four keys stand for two each: logits of 8 queries with 4 keys, and values of as many."""
    how = case(fused=False)
    found = attention_work(
        Ledger.of("x", (SCORES._replace(heads=4, stride=2),)), Parallelism(), how, Products(how, CARD)
    )
    assert found.traffic == 3 * 4 * 8 * 4 * 5 * (9 + 18)
    assert found.products[:2] == (
        Products(how, CARD).of(8, 4, 3, 5, 500, 12),
        Products(how, CARD).of(8, 4, 4, 5, 500, 12),
    )
    halved = attention_work(
        Ledger.of("x", (SCORES._replace(heads=4),)), Parallelism(context=2), how, Products(how, CARD)
    )
    assert halved.traffic == 3 * 4 * 4 * 8 * 5 * (9 + 18)


def test_a_device_scores_its_images_whole() -> None:
    """Three sequences with five images of 9 patches, which all see one another, whether or not sequences are cut over devices."""
    block = Block("tower", "mixer")
    scores = SCORES._replace(stream="tower_inputs", keys="tower_inputs", causal=False, block=block)
    how = case(run=SequenceLengths(8, 5, (TowerPass(block, 5, TowerRun(9, 2)),)))
    for plan in (Parallelism(), Parallelism(context=2)):
        found = attention_work(Ledger.of("x", (scores,)), plan, how, MAKE)
        assert found.seconds == pytest.approx(3.5 * 2 * 3 * 5 * 81 * 5 * 2 * 7 / 500)
