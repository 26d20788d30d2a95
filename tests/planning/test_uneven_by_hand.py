"""Layers of uneven pipelines, dealt out by hand; copies that shards divide; and the unit that is nearest to its targets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tscale.core.ledger import Ledger, Lookup, Matmul
from tscale.core.serving_layout import ServingLayout
from tscale.planning import deployment_search
from tscale.planning.deployment_loads import Targets, ttft_at
from tscale.planning.deployment_search import nearest_miss
from tscale.planning.launch_flags import Launch, vllm
from tscale.planning.legal import _has_copies, _of_each
from tscale.planning.queueing import Curve, mean_ttft, ttft_within
from tscale.planning.uneven import _late, _slowest, head_layers, uneven_stages


@pytest.mark.parametrize(
    ("layers", "stages", "head", "found"),
    [
        # 33 or 34 with the head as one or two: 8 8 9 8 and 8 9 9 8, less these; with the table as one, 34 again, and 35: 9 9 9 8
        (32, 4, 2.4, ((8, 8, 9, 7), (8, 9, 9, 6), (7, 9, 9, 7))),
        (32, 2, 2.4, ((17, 15),)),  # 16 and 16 wait for 18.4; 17 and 15 for 17.4
        (32, 4, 0.3, ((7, 9, 9, 7),)),  # a small head relieves nothing; the table does the first stage
        (6, 3, 2.4, ((2, 3, 1),)),  # no stage has more than one to give
        (3, 3, 2.4, ()), (4, 4, 2.4, ()), (3, 4, 2.4, ()), (32, 1, 2.4, ()),
        (2, 2, 2.4, ()), (3, 2, 5.0, ()),  # 1 and 2 for an even split of 2 and 1 relieve neither
        (5, 2, 2.4, ()),  # stages of two layers give one: 6 and 7 with the table are 3 3 and 4 3, both 3 2 without them, the even split
    ],
)  # fmt: skip
def test_a_layer_for_the_table_and_some_for_the_head_are_dealt_out_with_the_others(
    layers: int, stages: int, head: float, found: tuple[tuple[int, ...], ...]
) -> None:
    assert uneven_stages(layers, [stages], [1], head) == found


def test_a_single_stage_has_no_pieces_to_relieve() -> None:
    assert uneven_stages(32, [1], [2, 4], 2.4) == ()
    assert uneven_stages(34, [1, 2], [1, 2], 2.4) == (
        *uneven_stages(34, [2], [1], 2.4),
        *uneven_stages(34, [2], [2], 2.4),
    )


def test_later_pieces_take_a_layer_more_before_earlier_ones_and_the_ends_at_last() -> None:
    assert [_late(pieces) for pieces in (1, 2, 3, 5)] == [[0], [0, 1], [1, 0, 2], [3, 2, 1, 0, 4]]


def test_the_slowest_piece_may_be_the_last_with_its_head() -> None:
    assert [_slowest(sizes, 2.5) for sizes in ((8, 6), (9, 6), (7, 9, 6))] == [8.5, 9, 9]


def test_a_head_is_as_many_layers_as_its_matrix_is_of_their_mean() -> None:
    """Two layers' worth of 3 matrices of 4 by 5, run twice each, and a head of 4 by 30: a layer is 60, and the head two of them."""
    rest = [Matmul(f"m{place}", "up", "feed_forward", "target", 4, 5, used=2) for place in range(3)]
    head = Matmul("head", "head", "head", "target", 4, 30)
    table = Lookup("table", "embedding", "embedding", 1000, 1000)  # is multiplied by nothing
    assert head_layers(Ledger.of("x", (*rest, head, table)), 2) == 2.0
    assert head_layers(Ledger.of("x", rest), 2) == 0.0
    assert head_layers(Ledger.of("x", (head,)), 2) == 1.0


@pytest.mark.parametrize("zero", [(0, 3), (3,)])
def test_shards_divide_the_ranks_and_are_fewer(zero: tuple[int, ...]) -> None:
    """Of 1 to 6 ranks and 0 to 6 shards, of which none are all ranks; ZeRO over one rank only where nothing else was asked for."""
    rows = [(stage, ranks, shards) for stage in zero for ranks in range(1, 7) for shards in range(7)]
    columns = dict(zip(("zero", "ranks", "shards"), map(np.array, zip(*rows, strict=True)), strict=True))
    layouts: Any = SimpleNamespace(columns=columns, axes=SimpleNamespace(zero=zero))
    for (stage, ranks, shards), can in zip(rows, _has_copies(layouts), strict=True):
        alone = stage > 0 and ranks == 1 and 0 in zero
        assert can == (not alone and (shards == 0 or (shards < ranks and ranks % shards == 0))), (stage, ranks, shards)


def test_each_combination_is_asked_about_once() -> None:
    """Whatever the sizes of the columns, of which one is 0 throughout."""
    asked: list[tuple[int, ...]] = []
    columns = {
        "a": np.array([0, 2, 0, 1, 2, 2]),
        "b": np.array([3, 0, 3, 2, 1, 0]),
        "tensor": np.zeros(6, dtype=np.int64),
    }

    def odd(*values: int) -> bool:
        asked.append(values)
        return sum(values) % 2 == 1

    rows = [tuple(int(columns[name][row]) for name in ("a", "b", "tensor")) for row in range(6)]
    assert _of_each(columns, ("a", "b", "tensor"), odd).tolist() == [sum(row) % 2 == 1 for row in rows]
    assert sorted(asked) == sorted(set(rows))


def _unit(ttft: float, tpot: float) -> Any:
    return SimpleNamespace(curve=SimpleNamespace(ttft=np.array([ttft, 9.0]), tpot=np.array([tpot, 9.0])))


def test_the_nearest_to_its_targets_is_that_whose_worse_time_is_least_over() -> None:
    """Targets of 2 s and 0.1 s, by one request alone: one and a half times over, twice, and 1.2 times."""
    units = [_unit(3.0, 0.1), _unit(2.0, 0.2), _unit(2.4, 0.1)]
    miss = nearest_miss(units, Targets(2.0, 0.1))
    assert miss is not None
    assert (miss.unit, miss.times) == (units[2], pytest.approx(1.2))  # type: ignore[comparison-overlap]
    assert nearest_miss([], Targets(2.0, 0.1)) is None


def test_waits_are_a_mean_or_those_of_a_share() -> None:
    curve = Curve(np.array([1.0, 2.0]), np.array([1.0, 1.5]), np.array([0.5, 0.6]), np.array([0.1, 0.1]))
    for share, found in ((None, mean_ttft(curve, 0.7)), (0.9, ttft_within(curve, 0.7, 0.9))):
        assert ttft_at(curve, Targets(share=share), 0.7).tolist() == found.tolist()


def test_a_single_place_waits_as_a_queue_of_one_server_does() -> None:
    """M/M/1 of Erlang: at a rate r of 1 the mean wait is r/(1 - r); and so many stay within w: 1 - r·exp(-(1 - r)·w)."""
    one = Curve(*(np.array([value]) for value in (1.0, 1.0, 0.25, 0.1)))
    for rate in (0.25, 0.5, 0.9):
        assert mean_ttft(one, rate)[0] == pytest.approx(0.25 + rate / (1 - rate))
        for share in (0.95, 0.99):
            wait = -np.log((1 - share) / rate) / (1 - rate)
            assert ttft_within(one, rate, share)[0] == pytest.approx(0.25 + wait)
    for rate in (1.0, 1.5):
        assert mean_ttft(one, rate)[0] == ttft_within(one, rate, 0.9)[0] == np.inf


def test_vllm_cuts_experts_or_spreads_them() -> None:
    """Over two devices or more: of both at once it has no options, whether there are two groups of experts or more."""
    for expert, cut, can in ((1, 4, True), (2, 1, True), (2, 2, False), (4, 2, False), (4, 1, True)):
        assert (vllm(Launch("m", ServingLayout(expert * cut, 1, expert, cut, 1), 0, 100, "", "")) is not None) == can


def test_a_unit_whose_bound_is_that_of_the_last_of_the_best_may_carry_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that take as many devices, the one that carries more is the best, though it is looked at last."""
    keys: dict[int, tuple[float, float]] = {1: (3.0, -5.0), 2: (3.0, -9.0), 3: (4.0, -99.0)}
    monkeypatch.setattr(deployment_search, "_bounds", lambda units, _: [keys[unit][0] for unit in units])
    monkeypatch.setattr(deployment_search, "_choice", lambda unit, _: unit)
    monkeypatch.setattr(deployment_search, "_key", lambda choice, _: keys[choice])
    units: Any = list(keys)
    wanted: Any = None
    assert [choice for _, choice in deployment_search.chosen(units, wanted)] == [2, 1, 3]  # type: ignore[comparison-overlap]
