"""The least times of collectives against simulations that count bytes, and against measured bandwidths."""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction
from itertools import combinations, product
from math import comb
from typing import Any

import numpy as np
import pytest

from tscale.core.costs.collectives import Group, all_to_all, any_above_one, exchange, group, nodes_met, other_nodes
from tscale.core.device import Cluster, Device
from tscale.errors import RequestError

GB = 10**9
NODES_OF_8 = Cluster(Device("h100", {}, 0, 0, 450 * GB, None), 8, 50 * GB)
WITH_SHARP = NODES_OF_8._replace(switch_reduces=True)


# ---- simulations: what is sent is counted, and what comes out is the sum ----


def ring(data: np.ndarray, ranks: list[int], sent: Counter[tuple[int, int]], *, scatter: bool, gather: bool) -> None:
    """A reduce-scatter, an all-gather or both among `ranks` in a ring, on their rows of `data`, with each hop counted."""
    n = len(ranks)
    parts = [np.array_split(np.arange(data.shape[1]), n)[i] for i in range(n)]
    for phase, wanted in (("scatter", scatter), ("gather", gather)):
        for step in range(n - 1) if wanted else ():
            shift = 0 if phase == "scatter" else 1
            moved = [(i, parts[(i - step + shift) % n]) for i in range(n)]
            values = [data[ranks[i], part].copy() for i, part in moved]
            for (i, part), value in zip(moved, values, strict=True):
                to = ranks[(i + 1) % n]
                data[to, part] = data[to, part] + value if phase == "scatter" else value
                sent[ranks[i], to] += len(part)


def hierarchical_all_reduce(data: np.ndarray, per_node: int) -> Counter[tuple[int, int]]:
    """Reduce-scatter in each node, all-reduce of each part over the nodes, all-gather in each node."""
    ranks, width = data.shape
    sent: Counter[tuple[int, int]] = Counter()
    nodes = [list(range(first, first + per_node)) for first in range(0, ranks, per_node)]
    for node in nodes:
        ring(data, node, sent, scatter=True, gather=False)
    parts = np.array_split(np.arange(width), per_node)
    for i in range(per_node):
        part = parts[(i + 1) % per_node]  # what the ring leaves summed up on the i-th device
        rail = data[:, part].copy()
        ring(rail, [node[i] for node in nodes], sent, scatter=True, gather=True)
        for node in nodes:
            data[node[i], part] = rail[node[i]]
    for node in nodes:
        ring(data, node, sent, scatter=False, gather=True)
    return sent


@pytest.mark.parametrize(("ranks", "per_node"), [(16, 8), (32, 8), (8, 8), (12, 4), (4, 1), (6, 3)])
def test_an_all_reduce_that_is_simulated_sends_what_its_least_time_says(ranks: int, per_node: int) -> None:
    """A hierarchical all-reduce of random numbers gets their sum, with no byte more than that over any link or NIC."""
    width = 4 * ranks * per_node
    data = np.random.default_rng(ranks).integers(0, 100, (ranks, width))
    total = data.sum(axis=0)
    sent = hierarchical_all_reduce(data, per_node)
    assert (data == total).all()
    over_link, over_nics = _busiest(sent, per_node)
    cluster = NODES_OF_8._replace(devices_per_node=per_node)
    least = exchange(cluster, group(cluster, ranks), width, width)
    assert least.link.sent == over_link
    assert least.network.sent == over_nics


def _busiest(sent: Counter[tuple[int, int]], per_node: int) -> tuple[int, int]:
    """The most that a device sends within its node, and that a node sends to others."""
    within: Counter[int] = Counter()
    beyond: Counter[int] = Counter()
    for (source, to), numbers in sent.items():
        if source // per_node == to // per_node:
            within[source] += numbers
        else:
            beyond[source // per_node] += numbers
    return max(within.values(), default=0), max(beyond.values(), default=0)


def test_a_flat_ring_through_two_nodes_of_eight_sends_no_less() -> None:
    """Through each node's NICs goes what one hop of the ring carries: 2·15/16 of the tensor, where 2·1/2 is the least."""
    data, sent = np.ones((16, 64)), Counter[tuple[int, int]]()
    ring(data, list(range(16)), sent, scatter=True, gather=True)
    over_link, over_nics = _busiest(sent, 8)
    least = exchange(NODES_OF_8, group(NODES_OF_8, 16), 64, 64)
    assert (over_link, over_nics) == (120, 120)
    assert least.link.sent == 2 * Fraction(7, 8) * 64
    assert least.network.sent == 64


@pytest.mark.parametrize(("stride", "ranks"), [(1, 64), (2, 8), (4, 16), (8, 8), (16, 2), (4, 2), (2, 4), (8, 1)])
def test_groups_that_share_the_nics_of_a_node_are_counted_together(stride: int, ranks: int) -> None:
    """Rank by rank: every group of so many devices, so far apart, in nodes of eight; of 2·(N-1)/N of 1,024 bytes each."""
    devices = np.arange(stride * ranks)
    members = [devices[first::stride] for first in range(stride)]
    through: dict[int, Fraction] = defaultdict(Fraction)
    most_in_a_node = 1
    for ranks_of_group in members:
        nodes = Counter(int(device) // 8 for device in ranks_of_group)
        most_in_a_node = max(most_in_a_node, *nodes.values())
        for node in nodes if len(nodes) > 1 else ():
            through[node] += Fraction(2 * (len(nodes) - 1) * 1024, len(nodes))
    least = exchange(NODES_OF_8, group(NODES_OF_8, ranks, stride), 1024, 1024)
    assert least.network.sent == max(through.values(), default=Fraction())
    assert least.link.sent == Fraction(2 * (most_in_a_node - 1) * 1024, most_in_a_node)


@pytest.mark.parametrize(("stride", "ranks"), list(product((1, 2, 3, 5, 6, 7, 9, 10, 12), (2, 3, 5, 9, 24))))
def test_where_degrees_do_not_divide_a_node_no_more_is_counted_than_is_sent(stride: int, ranks: int) -> None:
    """The busiest node, rank by rank, from the first node on."""
    through: dict[int, Fraction] = defaultdict(Fraction)
    for first in range(stride):
        nodes = Counter((first + stride * rank) // 8 for rank in range(ranks))
        for node in nodes if len(nodes) > 1 else ():
            through[node] += Fraction(2 * (len(nodes) - 1) * 1024, len(nodes))
    least = exchange(NODES_OF_8, group(NODES_OF_8, ranks, stride), 1024, 1024)
    assert least.network.sent <= max(through.values(), default=Fraction())


# ---- nodes that have one of a token's experts ----


def met(nodes: int, chosen: int, experts: int, groups: tuple[int, int]) -> float:
    """Over every choice of groups and, of their experts, of experts: on how many nodes these are, experts side by side."""
    several, few = groups
    found = [
        len({expert * nodes // experts for expert in token})
        for own in combinations(range(several), few)
        for token in combinations([e for e in range(experts) if e * several // experts in own], chosen)
    ]
    return sum(found) / len(found)


@pytest.mark.parametrize(
    ("nodes", "chosen", "experts", "groups"),
    [(2, 2, 8, None), (8, 2, 8, None), (4, 3, 12, None), (1, 3, 6, None), (2, 3, 12, (4, 2)), (4, 3, 12, (4, 2)), (4, 2, 16, (8, 3)),
     (2, 4, 16, (8, 4)), (12, 3, 12, (4, 2)), (8, 4, 16, (4, 2)), (1, 3, 12, (4, 2)), (4, 3, 4, None), (4, 4, 16, (2, 1)), (4, 3, 12, (6, 6))],
)  # fmt: skip
def test_a_token_s_experts_are_different_ones(
    nodes: int, chosen: int, experts: int, groups: tuple[int, int] | None
) -> None:
    """Counted over all of them, alone and in arrays of layouts; a token's own node is one of all."""
    expected = met(nodes, chosen, experts, groups or (1, 1))
    assert nodes_met(nodes, chosen, experts, groups) == pytest.approx(expected)
    assert other_nodes(nodes, chosen, experts, groups) == pytest.approx(expected * (nodes - 1) / nodes)
    several: Any = nodes_met(np.array([nodes, experts]), np.array([chosen, 1]), np.array([experts] * 2), groups)  # type: ignore[arg-type]
    assert several.tolist() == pytest.approx([expected, 1])


def test_mixtral_s_two_experts_are_on_more_of_eight_devices_than_two_draws_would_be() -> None:
    """Of 8 experts, one a device, always two; DeepSeek-V3's 8 of 128 in 4 of its groups, one a node, on 4·(1 - C(96, 8)/C(128, 8)) of 8."""
    assert nodes_met(8, 2, 8, None) == pytest.approx(2)
    assert nodes_met(8, 8, 256, (8, 4)) == pytest.approx(4 * (1 - comb(96, 8) / comb(128, 8)))


# ---- in-network reduction ----


def test_a_switch_that_sums_takes_each_tensor_once() -> None:
    """An all-reduce of S takes S over each link; a reduce-scatter or an all-gather alone takes what it does in a ring."""
    one_node, size = group(WITH_SHARP, 8), 8 * 10**6
    assert exchange(WITH_SHARP, one_node, size, size).seconds == Fraction(size, 450 * GB)
    for scattered, gathered in ((size, 0), (0, size)):
        least = exchange(WITH_SHARP, one_node, scattered, gathered)
        assert least == exchange(NODES_OF_8, one_node, scattered, gathered)._replace(link=least.link)
        assert least.seconds == Fraction(7 * size, 8 * 450 * GB)
    two_gathers = exchange(WITH_SHARP, one_node, size, 2 * size)  # one of them beside the reduce-scatter
    assert two_gathers.seconds == Fraction(15 * size, 8 * 450 * GB)


def test_a_network_that_sums_takes_each_tensor_once() -> None:
    with_sharp = NODES_OF_8._replace(network_reduces=True)
    least = exchange(with_sharp, group(with_sharp, 64), 10**9, 10**9)
    assert least.network.seconds == Fraction(10**9, 400 * GB)


@pytest.mark.parametrize(
    ("cluster", "ranks", "measured"),
    [
        (
            WITH_SHARP,
            8,
            480,
        ),  # NVIDIA/nccl-tests#272: 475 to 480 GB/s within a node of H100, where 450 is the full link
        (WITH_SHARP, 32, 320),  # NVIDIA/nccl#1221: four nodes of H100 with eight 400 Gb/s ports
        (WITH_SHARP, 16, 310),  # NVIDIA/nccl#1031: two nodes of H100
    ],
)
def test_no_measured_bus_bandwidth_beats_the_least_time(cluster: Cluster, ranks: int, measured: int) -> None:
    """NCCL's bus bandwidth is 2·(n-1)/n of the tensor over the time, in GB/s."""
    size = 2**33
    at_most = 2 * (ranks - 1) / ranks * size / float(exchange(cluster, group(cluster, ranks), size, size).seconds)
    assert 0.4 * at_most < measured * GB < at_most


# ---- all-to-all ----


@pytest.mark.parametrize(("ranks", "stride"), [(8, 1), (32, 1), (16, 4), (8, 8), (4, 2)])
def test_an_all_to_all_is_counted_message_by_message(ranks: int, stride: int) -> None:
    """Each rank sends each rank as much; all devices of a node take part, each in its own group."""
    sent: Counter[tuple[int, int]] = Counter()
    for first in range(stride):
        of_group = [first + stride * rank for rank in range(ranks)]
        for source, to in product(of_group, of_group):
            sent[source, to] += 0 if source == to else 10
    over_link, over_nics = _busiest(sent, 8)
    least = all_to_all(NODES_OF_8, group(NODES_OF_8, ranks, stride), 10 * ranks)
    assert least.link.sent == over_link
    assert least.network.sent == over_nics


# ---- what is not known ----


def test_only_what_a_group_uses_must_be_known() -> None:
    nothing = Cluster(Device("card", {}, 0, 0, None, None), 8, None)
    with pytest.raises(
        RequestError, match="the link between 4 cards in nodes of 8 is not known: --gpu-set link_gb_per_s=N"
    ):
        exchange(nothing, group(nothing, 4), 1, 1)
    with pytest.raises(
        RequestError, match="the network between 4 cards in nodes of 8 is not known: --gpu-set network_gb"
    ):
        exchange(nothing, group(nothing, 4, 8), 1, 1)
    alone = exchange(nothing, group(nothing, 1), 1, 1)
    assert alone.seconds == 0


def test_several_are_two_or_more_and_of_arrays_any() -> None:
    several: list[tuple[Any, bool]] = [
        (1, False), (2, True), (np.array([1, 1]), False), (np.array([1, 2]), True), (np.array([2, 1]), True),
    ]  # fmt: skip
    for number, above in several:
        assert any_above_one(number) is above, number


def test_a_switch_that_sums_sends_nothing_for_a_group_of_one_among_others() -> None:
    """Of two groups at once, one rank and four: three quarters of 100 bytes scattered and a fourth of 80 gathered."""
    ranks: Any = np.array([1, 4])
    level = exchange(WITH_SHARP, Group(ranks, ranks, 1), 100, 80).link
    assert np.asarray(level.sent).tolist() == [0, (3 * 100 + 80) / 4]
    plain = exchange(NODES_OF_8, Group(ranks, ranks, 1), 100, 80).link
    assert np.asarray(plain.sent).tolist() == [0, 3 * 180 / 4]
