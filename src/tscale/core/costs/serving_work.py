"""What a device of a deployment computes, reads and sends in one pass, part by part: the ledger's own FLOPs and bytes.

Attention is divided by `tensor` and copied `attention_data` times, each copy with requests of its own; routed experts are cut
`expert_tensor` ways and spread over `expert`, and take the tokens of all copies. n tokens meet E·(1 - (1 - k/E)^n) of E experts
in expectation, where each is as likely (Pope 2022). Latents are scored as they are while decoding (DeepSeek-AI 2024b, section
2.1.2). Bytes and FLOPs are those of one device, in which layers are not pipelined; a pipeline's stages are divided afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from tscale.core.costs.cache import STATE_BITS
from tscale.core.costs.forward import chunk_pairs, pairs
from tscale.core.costs.roofline import Formats, distinct_experts, top_k
from tscale.core.costs.weights import Kept, kept_in
from tscale.core.ledger import Cache, Conv, Entry, Ledger, Lookup, Matmul, Scan, Scores
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import shard
from tscale.core.tracing import ceil_div
from tscale.core.workload import Run

WIDTH: Final = 2
"""Bytes of an activation that devices sum up or send."""
_DISPATCH: Final = 1
"""Bytes of an activation that is sent to its experts: in 8 bits, as DeepSeek-AI 2024c (section 3.2.2) sends it."""


class Part(NamedTuple):
    """FLOPs of a device in a pass, at a peak in FLOP/s, and bytes that it reads. All may be arrays, one number a run."""

    flops: float = 0.0
    peak: float = 1.0
    bytes: float = 0.0


class PassWork(NamedTuple):
    """What a device does in a pass. All fields may hold arrays, one number a run.

    `attention`: projections, and matrices of mixers; `dense`: feed-forwards and shared experts, routers; `scores`: attention over
    the cache and over an indexer's, `states`: recurrences. `sent`: bytes that a device sends to others over the link of its node,
    `away`: over the network to other nodes.
    `residual`: bytes of the residual stream, read or written once.
    """

    attention: Part
    dense: Part
    experts: Part
    scores: Part
    states: Part
    head: Part
    sent: float
    away: float
    residual: float


class Structure(NamedTuple):
    """How many layers of a kind a model has; all may be arrays. `latent`: of latent attention; `linear`: of recurrences."""

    layers: float
    routed: float
    latent: float
    linear: float
    indexed: float


class _Line(NamedTuple):
    """Of a matrix: FLOPs of a token, the peak, and bytes of all its copies on a device."""

    flops: float
    peak: float
    bytes: float


class _Attended(NamedTuple):
    """Scores of a device, and what a position of their cache takes in one layer's copy."""

    scores: Scores
    key_bytes: float


class _State(NamedTuple):
    """Recurrences of a device: a sequence's states in bytes, and scans."""

    bytes: float
    scans: tuple[Scan, ...]


class Deployed(NamedTuple):
    """A model as one device of a worker holds it: sums over the ledger that stay the same from pass to pass."""

    structure: Structure
    attention: tuple[_Line, ...]
    dense: tuple[_Line, ...]
    experts: tuple[_Line, ...]
    head: tuple[_Line, ...]
    spread: float
    """FLOPs a position of making keys and values of latents anew, of a prefix."""
    attended: tuple[_Attended, ...]
    state: _State
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

    @property
    def devices(self) -> int:
        """Devices of a worker, of one stage."""
        return self.tensor * self.copies

    @property
    def weight_bytes(self) -> float:
        """Bytes of weights on a device."""
        parts = (*self.attention, *self.dense, *self.experts, *self.head)
        return self.tables + sum(line.bytes for line in parts)

    def sequence_bytes(self, tokens: int) -> float:
        """Bytes of the cache that a sequence of so many tokens has on a device."""
        kept = sum(line.scores.used * _kept(line.scores, tokens) * line.key_bytes for line in self.attended)
        return kept + self.state.bytes


def deployed(
    ledger: Ledger,
    formats: Formats,
    tensor: int,
    copies: int = 1,
    expert: int = 1,
    expert_tensor: int = 1,
    node: int = 8,
) -> Deployed:
    """A model on a worker of `tensor`·`copies` devices. Raises `RequestError` where `tensor` does not divide it.

    Where `expert` does not divide the experts, places that are left hold copies of some (DeepSeek-AI 2024c, section 3.4.1).
    """
    share = shard(ledger.each(_whole_experts), Parallelism(tensor=tensor))
    lines: dict[str, list[_Line]] = {"attention": [], "dense": [], "experts": [], "head": []}
    spread, tables = 0.0, 0.0
    for kept in kept_in(share, formats.weights, ledger):
        entry, peak = kept.entry, formats.peak(kept.format.name)
        if isinstance(entry, Matmul):
            line = _Line(2.0 * _used(kept, entry) * entry.d_in * entry.d_out, peak, kept.bytes)
            lines[_part(entry)].append(line)
            spread += line.flops if entry.role == "kv_up" else 0.0
        elif isinstance(entry, Conv):
            flops = 2.0 * entry.used * entry.channels * entry.kernel
            lines["attention"].append(_Line(flops, formats.peak(""), kept.bytes))
        else:
            tables += kept.bytes
    routed = next((entry for entry in ledger.entries if isinstance(entry, Matmul) and entry.experts > 1), None)
    n = expert * expert_tensor
    experts = 1 if routed is None else int(routed.experts)
    held = ceil_div(experts, expert) / experts / expert_tensor
    return Deployed(
        _structure(ledger),
        _merged(lines["attention"]),
        _merged(lines["dense"]),
        tuple(_Line(line.flops / n, line.peak, line.bytes * held) for line in _merged(lines["experts"])),
        _merged(lines["head"]),
        spread,
        tuple(_attended(share, formats)),
        _state(share, formats),
        formats.peak(""),
        experts,
        1 if routed is None else int(top_k(routed)),
        _d_model(ledger),
        tensor,
        copies,
        expert,
        expert_tensor,
        node,
        tables,
    )


def decoding(one: Deployed, batch: float, keys: int, new: int = 1) -> PassWork:
    """A pass in which each of `batch` sequences of an attention rank decodes `new` tokens, with `keys` in its cache."""
    tokens = batch * new
    everyone = tokens * one.copies
    met = distinct_experts(one.experts_of_layer, one.chosen, max(1, round(everyone))) / one.experts_of_layer
    scored, read = 0.0, 0.0
    for line in one.attended:
        scores = line.scores
        run = Run(target=keys)
        seen = pairs(scores, run, "causal") - pairs(scores, Run(target=keys - 1), "causal") if keys > 1 else 1
        widths = scores.decoded if scores.decoded is not None else (scores.d_qk, scores.d_v)
        scored += 2.0 * tokens * seen * scores.used * scores.heads * sum(widths)
        read += batch * seen * scores.used * line.key_bytes
    scans = sum(2.0 * tokens * scan.used * scan.per_position for scan in one.state.scans)
    return PassWork(
        _part_of(one.attention, tokens),
        _part_of(one.dense, tokens),
        _part_of(one.experts, everyone, met),
        Part(scored, one.rest_peak, read),
        Part(scans, one.rest_peak, 2.0 * batch * one.state.bytes),
        _part_of(one.head, tokens),
        *_sent(one, tokens),
        tokens * one.d_model * WIDTH,
    )


def prefilling(one: Deployed, prompt: int, prefix: int = 0) -> PassWork:
    """A pass that takes one prompt on each attention rank, of which `prefix` tokens were cached before."""
    new = prompt - prefix
    everyone = new * one.copies
    met = distinct_experts(one.experts_of_layer, one.chosen, max(1, round(everyone))) / one.experts_of_layer
    scored, read = 0.0, 0.0
    for line in one.attended:
        scores = line.scores
        seen = pairs(scores, Run(target=prompt), "causal") - pairs(scores, Run(target=prefix), "causal")
        scored += 2.0 * seen * scores.used * scores.heads * (scores.d_qk + scores.d_v)
        read += prompt * scores.used * line.key_bytes
    anew = one.spread * prefix
    attention = _part_of(one.attention, new)
    return PassWork(
        attention._replace(flops=attention.flops + anew),
        _part_of(one.dense, new),
        _part_of(one.experts, everyone, met),
        Part(scored, one.rest_peak, read),
        Part(_scan_flops(one, new), one.rest_peak, 2.0 * one.state.bytes),
        _part_of(one.head, 1),
        *_sent(one, new),
        float(new * one.d_model * WIDTH),
    )


def _scan_flops(one: Deployed, new: int) -> float:
    """FLOPs of recurrences over the new tokens of a sequence."""
    total = 0.0
    for scan in one.state.scans:
        each = new * scan.per_position + new // scan.chunk * scan.per_chunk
        if scan.per_pair is not None:
            each += chunk_pairs(scan, new) * scan.per_pair
        total += 2.0 * scan.used * each
    return total


def _sent(one: Deployed, tokens: float) -> tuple[float, float]:
    """Bytes that a device sends in a pass, over the link and over the network: all-reduces, or dispatch to experts and back.

    A ring's all-reduce sends 2·(t-1)/t of what is summed up; over several nodes, each device's part of it between them. With copies
    of attention, tokens are gathered and sums scattered over all devices of the worker, or sent to their experts, whichever is less;
    of n devices, n - node are in other nodes.
    """
    t, n, structure = one.tensor, one.devices, one.structure
    wide = tokens * one.d_model
    summed, summed_away = _reduced(wide * WIDTH, t, one.node)
    if one.copies == 1:
        return 2 * structure.layers * summed, 2 * structure.layers * summed_away
    gathered, gathered_away = _reduced(wide * one.copies * WIDTH, n, one.node)
    to_experts = wide * one.chosen * (_DISPATCH + WIDTH) / t
    inside = min(n, one.node)
    exchanged, exchanged_away = to_experts * (inside - 1) / n, to_experts * (n - inside) / n
    if one.expert_tensor > 1 or one.expert == 1 or exchanged + exchanged_away > gathered + gathered_away:
        exchanged, exchanged_away = gathered, gathered_away
    alone = 2 * structure.layers - structure.routed
    return alone * summed + structure.routed * exchanged, alone * summed_away + structure.routed * exchanged_away


def _reduced(size: float, ranks: int, node: int) -> tuple[float, float]:
    """Bytes that a rank sends in an all-reduce of `size`, over the link and over the network."""
    inside = min(ranks, node)
    nodes = -(-ranks // inside)
    return 2.0 * (inside - 1) / inside * size, 2.0 * (nodes - 1) / nodes * size / inside


def _kept(scores: Scores, tokens: int) -> int:
    """Positions that the cache of scores keeps of a sequence: all of them where keys are picked, a window's where they slide."""
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


def _merged(lines: list[_Line]) -> tuple[_Line, ...]:
    """Lines at the same peak as one, so that a pass is quick to sum up."""
    peaks: dict[float, _Line] = {}
    for line in lines:
        flops, _, size = peaks.get(line.peak, _Line(0.0, 0.0, 0.0))
        peaks[line.peak] = _Line(flops + line.flops, line.peak, size + line.bytes)
    return tuple(peaks.values())


def _part_of(lines: tuple[_Line, ...], tokens: float, share: float = 1.0) -> Part:
    """Lines over so many tokens, of whose weights a share is read; at several peaks, as much time at the highest of them."""
    if not lines:
        return Part()
    peak = max(line.peak for line in lines)
    flops = sum(line.flops * peak / line.peak for line in lines)
    return Part(tokens * flops, peak, share * sum(line.bytes for line in lines))


def _attended(share: Ledger, formats: Formats) -> Iterator[_Attended]:
    caches = {
        (entry.block, entry.slot): entry
        for entry in share.entries
        if isinstance(entry, Cache) and entry.stream != "once"
    }
    for entry in share.entries:
        if isinstance(entry, Scores):
            cache = None if entry.cache is None else caches.get((entry.block, entry.cache))
            yield _Attended(entry, 0.0 if cache is None else float(cache.width * formats.cache.bits / 8))


def _state(share: Ledger, formats: Formats) -> _State:
    bits = max(float(formats.cache.bits), float(STATE_BITS))
    size = sum(
        float(entry.stored * entry.width) * bits / 8
        for entry in share.entries
        if isinstance(entry, Cache) and entry.stream == "once"
    )
    return _State(size, tuple(entry for entry in share.entries if isinstance(entry, Scan)))


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
