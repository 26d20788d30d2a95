"""A model as one device of a worker holds it: sums over the ledger that stay the same from pass to pass.

Attention is divided by `tensor` and copied `attention_data` times; routed experts are cut `expert_tensor` ways and spread over
`expert`. A pipeline's stages are divided afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tscale.core.adding import in_order
from tscale.core.costs.cache import STATE_BITS
from tscale.core.costs.roofline import Dtypes, top_k
from tscale.core.costs.weights import Kept, kept_in
from tscale.core.kept import keep
from tscale.core.ledger import Cache, Conv, Entry, Ledger, Lookup, Matmul, Scan, Scores
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import shard
from tscale.core.tracing import ceil_div


class Structure(NamedTuple):
    """How many layers of a kind a model has; all may be arrays. `latent`: of latent attention; `linear`: of recurrences."""

    layers: float
    routed: float
    latent: float
    linear: float
    indexed: float


class MatrixLine(NamedTuple):
    """Of a matrix: FLOPs of a token, the peak, and bytes of all its copies on a device.

    `whole`: of these, what each of the devices that cut an expert has all of: scales, and biases that are added to their sums. One of
    them adds these, and the others hold zeros (vLLM and SGLang, gpt_oss.py; TensorRT-LLM, `w2_bias_shape`).
    """

    flops: float
    peak: float
    bytes: float
    whole: float = 0.0


class Attended(NamedTuple):
    """Scores of a device, and what a position of their cache takes in one layer's copy."""

    scores: Scores
    key_bytes: float


class StateLine(NamedTuple):
    """Recurrences of a device: a sequence's states in bytes, and scans."""

    bytes: float
    scans: tuple[Scan, ...]


class Ways(NamedTuple):
    """What the degrees of a worker decide, however many tokens a pass has.

    `gathers`: whether tokens are gathered for their experts and sums scattered, not sent to them and back. `elsewhere`: nodes beside
    its own that have one of a token's experts, in expectation. `over_nodes`: whether experts are whole, and spread over all devices of
    several nodes, each of which has attention of its own prompts.
    """

    gathers: bool
    elsewhere: float
    over_nodes: bool


class Deployed(NamedTuple):
    """A model as one device of a worker holds it: sums over the ledger that stay the same from pass to pass.

    Numbers may be arrays, one a layout, where these have the same matrices and `ways` that decide alike.
    """

    structure: Structure
    attention: tuple[MatrixLine, ...]
    dense: tuple[MatrixLine, ...]
    experts: tuple[MatrixLine, ...]
    head: tuple[MatrixLine, ...]
    spread: float
    """FLOPs a position of making keys and values of latents anew, of a prefix."""
    attended: tuple[Attended, ...]
    state: StateLine
    rest_peak: float
    experts_of_layer: int
    chosen: int
    d_model: int
    tensor: int
    copies: int
    expert: int
    expert_tensor: int
    node: int
    """Devices that the link joins."""
    tables: float
    """Bytes of tables, vectors and buffers, which a pass hardly reads."""
    groups: tuple[int, int] | None
    """Groups that experts stand in, and how many of them a token's are in at the most; None where they are in none."""
    ways: Ways | None = None
    """What its degrees decide, where that is worked out; else `serving_work.ways_of` does."""

    @property
    def devices(self) -> int:
        """Devices of a worker, of one stage."""
        return self.tensor * self.copies

    @property
    def weight_bytes(self) -> float:
        """Bytes of weights on a device."""
        parts = (*self.attention, *self.dense, *self.experts, *self.head)
        return self.tables + in_order(line.bytes for line in parts)

    def sequence_bytes(self, tokens: int) -> float:
        """Bytes of the cache that a sequence of so many tokens has on a device."""
        kept = in_order(line.scores.used * _kept(line.scores, tokens) * line.key_bytes for line in self.attended)
        return kept + self.state.bytes


def spread_over(one: Deployed, copies: int, expert: int, expert_tensor: int) -> Deployed:
    """A model that is cut alone, with `copies` of attention, and routed experts on `expert` devices, cut `expert_tensor` ways.

    Where `expert` does not divide the experts, places that are left hold copies of some (DeepSeek-AI 2024c, section 3.4.1).
    """
    held = ceil_div(one.experts_of_layer, expert) / one.experts_of_layer / expert_tensor
    n = expert * expert_tensor
    experts = tuple(
        MatrixLine(line.flops / n, line.peak, (line.bytes + (expert_tensor - 1) * line.whole) * held)
        for line in one.experts
    )
    return one._replace(experts=experts, copies=copies, expert=expert, expert_tensor=expert_tensor)


def cut_over(ledger: Ledger, dtypes: Dtypes, tensor: int, node: int = 8) -> Deployed:
    """A model on a worker of `tensor` devices, with all routed experts on each. Raises `RequestError` where `tensor` does not divide it."""
    share = keep(
        ledger.made,
        (cut_over, tensor),
        lambda: shard(ledger.each(_whole_experts), Parallelism(tensor=tensor)),
    )
    lines: dict[str, list[MatrixLine]] = {"attention": [], "dense": [], "experts": [], "head": []}
    spread, tables = 0.0, 0.0
    for kept in kept_in(share, dtypes.weights, ledger):
        entry, peak = kept.entry, dtypes.peak(kept.format.name)
        if isinstance(entry, Matmul):
            of_rows, of_columns = kept.beside(entry)
            whole = of_rows if entry.role == "down" else of_columns
            line = MatrixLine(2.0 * _used(kept, entry) * entry.d_in * entry.d_out, peak, kept.bytes, whole)
            lines[_part(entry)].append(line)
            spread += line.flops if entry.role == "kv_up" else 0.0
        elif isinstance(entry, Conv):
            flops = 2.0 * entry.used * entry.channels * entry.kernel
            lines["attention"].append(MatrixLine(flops, dtypes.peak(""), kept.bytes))
        else:
            tables += kept.bytes
    routed = next((entry for entry in ledger.entries if isinstance(entry, Matmul) and entry.experts > 1), None)
    return Deployed(
        _structure(ledger),
        _merged(lines["attention"]),
        _merged(lines["dense"]),
        _merged(lines["experts"]),
        _merged(lines["head"]),
        spread,
        tuple(_attended(share, dtypes)),
        _state(share, dtypes),
        dtypes.peak(""),
        1 if routed is None else int(routed.experts),
        1 if routed is None else int(top_k(routed)),
        _d_model(ledger),
        tensor,
        1,
        1,
        1,
        node,
        tables,
        None if routed is None else routed.groups,
    )


def _kept(scores: Scores, tokens: int) -> int:
    """Positions that the cache of scores keeps of a sequence: all of them where keys are picked, a window's where they slide."""
    if scores.stride is not None:
        return tokens // scores.stride
    return tokens if scores.window is None or scores.decoded is not None else min(tokens, scores.window)


def _whole_experts(entry: Entry) -> Entry:
    """An entry that tensor parallelism of attention leaves whole, where it is a routed expert's."""
    return entry._replace(cut=None) if isinstance(entry, Matmul) and entry.experts > 1 else entry


def _used(kept: Kept, entry: Matmul) -> float:
    count, layers = kept.layers
    return float(entry.used if count == layers else entry.used // layers * count)


def _part(entry: Matmul) -> str:
    if entry.part == "head":
        return "head"
    if entry.experts > 1:
        return "experts"
    return "dense" if entry.part == "feed_forward" else "attention"


def _merged(lines: list[MatrixLine]) -> tuple[MatrixLine, ...]:
    """Lines at the same peak as one, so that a pass is quick to sum up."""
    peaks: dict[float, MatrixLine] = {}
    for line in lines:
        flops, _, size, whole = peaks.get(line.peak, MatrixLine(0.0, 0.0, 0.0))
        peaks[line.peak] = MatrixLine(flops + line.flops, line.peak, size + line.bytes, whole + line.whole)
    return tuple(peaks.values())


def _attended(share: Ledger, dtypes: Dtypes) -> Iterator[Attended]:
    caches = {
        (entry.block, entry.slot): entry
        for entry in share.entries
        if isinstance(entry, Cache) and entry.stream != "once"
    }
    for entry in share.entries:
        if isinstance(entry, Scores):
            cache = None if entry.cache is None else caches.get((entry.block, entry.cache))
            yield Attended(entry, 0.0 if cache is None else float(cache.width * dtypes.cache.bits / 8))


def _state(share: Ledger, dtypes: Dtypes) -> StateLine:
    bits = max(float(dtypes.cache.bits), float(STATE_BITS))
    size = in_order(
        float(entry.stored * entry.width) * bits / 8
        for entry in share.entries
        if isinstance(entry, Cache) and entry.stream == "once"
    )
    return StateLine(size, tuple(entry for entry in share.entries if isinstance(entry, Scan)))


def _structure(ledger: Ledger) -> Structure:
    """Layers by kind: those of a group that has one of what the kind is known by."""
    counts = dict.fromkeys(("mixers", "router", "kv_up", "scan", "index_scores"), 0)
    for group in ledger.groups:
        if isinstance(group.where, str):
            continue
        found = {"scan" if isinstance(entry, Scan) else entry.role for entry in group.entries}
        found |= {"mixers"} if _mixes(group.entries) else set()
        for kind in found & counts.keys():
            counts[str(kind)] += int(group.layers)
    return Structure(*map(float, counts.values()))


def _mixes(entries: tuple[Entry, ...]) -> bool:
    """Whether entries are those of a mixer of tokens, of which each layer has one."""
    return any(isinstance(entry, (Scores, Scan)) for entry in entries)


def _d_model(ledger: Ledger) -> int:
    return max((int(entry.width) for entry in ledger.entries if isinstance(entry, Lookup)), default=1)
