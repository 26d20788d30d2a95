"""The least time of a collective at each level: over the link of a device, and over all NICs of its node together.

Of n ranks, k are in a node, N = n/k nodes take part, and r groups share the NICs of a node. S is the whole tensor in bytes,
link and NICs are what a device and a node send in one direction:

    reduce-scatter, all-gather   (k-1)/k·S / link   and   r·(N-1)/N·S / NICs
    all-reduce                   the sum of both, which no algorithm undercuts (Patarasuk 2009)
    all-to-all of S a rank       (k-1)/n·S / link   and   g·(1-k/n)·S / NICs, of g devices a node

A switch that sums and multicasts takes S from each rank in an all-reduce: what is scattered goes to it, what is gathered comes
back, and the two directions are used at once (Klenk 2020). Levels and directions may all be busy at once, devices of a node
talk over its link, and nothing has a latency, so that no run takes less.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final, NamedTuple, cast

from tscale.core.adding import in_order
from tscale.core.device import Cluster
from tscale.core.elementwise import larger
from tscale.core.tracing import as_float, as_plain, ceil_div, is_array, maximum, minimum, ratio, where
from tscale.errors import RequestError, field

SOURCE: Final = "patarasuk2009"


class Group(NamedTuple):
    """Ranks that take part in a collective: how many, of them in a node, and groups that share the NICs of a node."""

    ranks: int
    inside: int
    sharing: int

    @property
    def nodes(self) -> int:
        """Nodes that take part."""
        return ceil_div(self.ranks, self.inside)


class Level(NamedTuple):
    """What is sent at a level, in bytes, how fast, in bytes a second, and how the bytes were made."""

    sent: Fraction
    per_second: int
    names: str = "0"
    numbers: str = "0"

    @property
    def seconds(self) -> Fraction:
        """The least time at this level."""
        return self.sent if self is NOTHING else self.sent / self.per_second


NOTHING: Final = Level(Fraction(0), 1)


class Least(NamedTuple):
    """The least time of a collective: over the link of each device, and over the NICs of each node."""

    link: Level = NOTHING
    network: Level = NOTHING

    @property
    def seconds(self) -> Fraction:
        """The longer of the two, which may pass at once."""
        return max(self.link.seconds, self.network.seconds)

    @property
    def derivation(self) -> tuple[str, str]:
        """How the time was made, with names and with numbers."""
        levels = [(self.link, "link"), (self.network, "NICs")]
        used = [(level, rate) for level, rate in levels if level.sent]
        names = [f"{level.names}/{rate}" for level, rate in used]
        numbers = [f"{level.numbers}/{level.per_second}" for level, _ in used]
        if len(used) == 1:
            return names[0], numbers[0]
        return f"max({', '.join(names)})", f"max({', '.join(numbers)})"


def group(cluster: Cluster, ranks: int, stride: int = 1) -> Group:
    """Ranks that stand `stride` devices apart, on devices that are numbered through the nodes.

    Tensor-parallel ranks are neighbours, then come those of context and data parallelism, then the stages (Narayanan 2021,
    section 3). Where degrees do not divide a node, as many as ever are in one.
    """
    per_node = cluster.devices_per_node
    return Group(ranks, minimum(ranks, ceil_div(per_node, stride)), minimum(stride, per_node))


def exchange(cluster: Cluster, group: Group, scattered: int, gathered: int) -> Least:
    """The least time in which so many bytes are reduce-scattered, and so many are all-gathered.

    Both are sizes of whole tensors; an all-reduce is one of each. Raises `RequestError` where link or network is not known.
    """
    link = network = NOTHING
    if any_above_one(group.inside):
        rate = link_of(cluster, group.inside)
        link = _level(rate, group.inside, scattered, gathered, reduces=cluster.switch_reduces)
    if any_above_one(group.nodes):
        rate = nics_of(cluster, group.ranks)
        one = _level(rate, group.nodes, scattered, gathered, reduces=cluster.network_reduces, ranks="nodes")
        numbers = f"{int(group.sharing)}·{one.numbers}" if one.numbers else ""
        network = Level(one.sent * group.sharing, rate, f"groups_on_a_node·{one.names}", numbers)
    return Least(link, network)


def any_above_one(number: int) -> bool:
    """Whether a number is above 1, of arrays any."""
    return bool((number > 1).any()) if is_array(number) else number > 1  # type: ignore[attr-defined]


def _level(rate: int, n: int, scattered: int, gathered: int, *, reduces: bool, ranks: str = "ranks_in_node") -> Level:
    """What one of n ranks sends at a level."""
    s, g = as_plain(scattered), as_plain(gathered)
    of_arrays = is_array(n) or is_array(s) or is_array(g)
    if reduces:
        most, least = maximum(s, g), minimum(s, g)
        names = f"(({ranks} - 1)·max(scattered, gathered) + min(scattered, gathered))/{ranks}"
        numbers = "" if of_arrays else f"(({n} - 1)·{most} + {least})/{n}"
        return Level(ratio(where(n > 1, (n - 1) * most + least, 0), n), rate, names, numbers)
    names = f"({ranks} - 1)/{ranks}·(scattered + gathered)"
    numbers = "" if of_arrays else f"({n} - 1)/{n}·({s} + {g})"
    return Level(ratio((n - 1) * (s + g), n), rate, names, numbers)


def all_to_all(cluster: Cluster, group: Group, sent: int) -> Least:
    """The least time in which each rank sends `sent` bytes, an equal part to each rank, itself included.

    Every device of a node takes part, in this group or in another. Raises `RequestError` as `exchange` does.
    """
    n, k, s = group.ranks, group.inside, int(sent)
    link = network = NOTHING
    if k > 1:
        names, numbers = "(ranks_in_node - 1)/ranks·sent", f"({k} - 1)/{n}·{s}"
        link = Level(Fraction((k - 1) * s, n), link_of(cluster, k), names, numbers)
    if group.nodes > 1:
        devices = k * group.sharing
        names, numbers = "devices_of_node·(1 - ranks_in_node/ranks)·sent", f"{devices}·(1 - {k}/{n})·{s}"
        network = Level(Fraction(devices * (n - k) * s, n), nics_of(cluster, n), names, numbers)
    return Least(link, network)


def other_nodes(nodes: int, chosen: int, experts: int, groups: tuple[int, int] | None) -> float:
    """Nodes beside its own that have one of a token's experts, in expectation, where all are as likely.

    A token's own node is one of N. Where experts are in groups, a token's are on the nodes of its groups alone (node-limited routing,
    DeepSeek-AI 2024c, section 2.1.2).
    """
    return cast("float", (1 - 1 / as_float(nodes)) * nodes_met(nodes, chosen, experts, groups))


def nodes_met(nodes: int, chosen: int, experts: int, groups: tuple[int, int] | None) -> float:
    """The same, its own included where it has one: of nodes, or of devices.

    A token's k experts are different ones of E, so that a node of E/N misses all of them with probability C(E - E/N, k)/C(E, k).
    """
    of_all = as_float(nodes)
    several, few = (1, 1) if groups is None else map(as_plain, groups)
    if several == few:  # a token may take any expert
        return cast("float", of_all * (1 - _missed(experts, experts / of_all, chosen)))
    each = experts / several
    missed = in_order(
        odds * _missed(few * each, own * each, chosen) for own, odds in enumerate(_odds(several, few, several / of_all))
    )
    within = few / several * (1 - _missed(few * each, experts / of_all, chosen))
    return cast("float", of_all * where(nodes > several, within, 1 - missed))


def _missed(of: float, held: float, drawn: int) -> float:
    """The odds that none of `held` things is among those that are drawn of all, each once."""
    missed = as_float(1.0)
    for before in range(int(drawn.max()) if is_array(drawn) else drawn):  # type: ignore[attr-defined]
        next_too = larger(of - held - before, 0.0) / (of - before)
        missed = where(before < drawn, missed * next_too, missed)
    return cast("float", missed)


def _odds(of: int, drawn: int, held: float) -> list[float]:
    """The odds that of `held` things so many are among those that are drawn of all, each once: of none, one, and so on."""
    odds = [1.0, *[0.0] * drawn]
    for before in range(drawn):
        left = of - before
        for own in range(before + 1, -1, -1):
            comes = odds[own - 1] * larger(held - own + 1, 0.0) if own else 0.0
            odds[own] = (comes + odds[own] * larger(left - held + own, 0.0)) / left
    return odds


_EUCLID: Final = 16
"""Steps of the greatest common divisor of numbers of experts: of two below 1,597 it takes no more (Knuth, 4.5.3, theorem F)."""


def nodes_in_a_row(held: float, chosen: float) -> float:
    """The same where a token's experts follow one another and the next token's follow these: of nodes, or devices, of so many experts.

    They begin at a multiple of the greatest common divisor of both, each as often, and the chosen - 1 that follow pass on to another
    node once in `held` experts.
    """
    common, rest = chosen, held
    for _ in range(_EUCLID):
        left = where(rest > 0, rest, 1)
        common, rest = where(rest > 0, left, common), where(rest > 0, common % left, 0)
    return cast("float", 1 + (chosen - common) / as_float(held))


def link_of(cluster: Cluster, devices: int) -> int:
    """Bytes a second that a device sends to others of its node. Raises `RequestError` where nobody stated it."""
    found = cluster.device.link_bytes_per_second
    if found is None:
        raise _unknown(cluster, devices, "link", "link_gb_per_s")
    return found


def nics_of(cluster: Cluster, devices: int) -> int:
    """Bytes a second that all NICs of a node send together. Raises `RequestError` where nobody stated it."""
    found = cluster.network_bytes_per_second
    if found is None:
        raise _unknown(cluster, devices, "network", "network_gb_per_s")
    return found * cluster.devices_per_node


def _unknown(cluster: Cluster, devices: int, what: str, key: str) -> RequestError:
    nodes = f"{cluster.device.name}s in nodes of {cluster.devices_per_node}"
    return RequestError(f"the {what} between {devices} {nodes} is not known: {field('gpu_set', f'{key}=N')} gives it")
