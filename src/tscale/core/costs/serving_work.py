"""What a device of a deployment computes, reads and sends in one pass, part by part: the ledger's own FLOPs and bytes.

Attention is divided by `tensor` and copied `attention_data` times, each copy with requests of its own; routed experts are cut
`expert_tensor` ways and spread over `expert`, and take the tokens of all copies. n tokens meet E·(1 - (1 - k/E)^n) of E experts
in expectation, where each is as likely (Pope 2022). Latents are scored as they are while decoding (DeepSeek-AI 2024b, section
2.1.2). Bytes and FLOPs are those of one device, in which layers are not pipelined; a pipeline's stages are divided afterwards.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tscale.core.adding import in_order
from tscale.core.costs.collectives import other_nodes
from tscale.core.costs.forward import chunk_pairs, pairs
from tscale.core.costs.roofline import distinct_experts
from tscale.core.costs.serving_share import Deployed, MatrixLine, Ways
from tscale.core.elementwise import larger, rounded
from tscale.core.tracing import ceil_div, is_one, minimum
from tscale.core.workload import SequenceLengths

WIDTH: Final = 2
"""Bytes of an activation that devices sum up or send."""
_DISPATCH: Final = 1
"""Bytes of an activation that is sent to its experts: in 8 bits, as DeepSeek-AI 2024c (section 3.2.2) sends it."""


class Part(NamedTuple):
    """FLOPs of a device in a pass, at a peak in FLOP/s, and bytes that it reads. All may be arrays, one number a run."""

    flops: float = 0.0
    peak: float = 1.0
    bytes: float = 0.0


class Exchanges(NamedTuple):
    """Bytes that a device sends in a pass, over the link of its node and over the network to other nodes; all may be arrays.

    `least_link`, `least_away`: what no way of sending tokens to their experts goes below, at each level for itself. `summed`: what of
    `away` is gathered or summed up, which a layer waits for: batches that take turns hide exchanges with experts alone.
    """

    link: float = 0.0
    away: float = 0.0
    least_link: float = 0.0
    least_away: float = 0.0
    summed: float = 0.0


class PassWork(NamedTuple):
    """What a device does in a pass. All fields may hold arrays, one number a run.

    `attention`: projections, and matrices of mixers; `dense`: feed-forwards and shared experts, routers; `scores`: attention over
    the cache and over an indexer's, `states`: recurrences. `sent`: what a device sends. `residual`: bytes of the residual stream,
    read or written once. `loaded`: bytes of a cache that come from the host's memory. `rows`: tokens that each expert multiplies at
    once, where kernels whose rates were published send them there and multiply them (`serving_grouped`); 0 where others do.
    `copied`: bytes of a prompt's tokens as their experts have them, one copy for each of a token's experts, read or written once: a device
    that has a part of each expert handles whole copies. `packed`: 1 where experts are in 4 bits, which other kernels multiply, else 0.
    """

    attention: Part
    dense: Part
    experts: Part
    scores: Part
    states: Part
    head: Part
    sent: Exchanges
    residual: float
    loaded: float = 0.0
    rows: float = 0.0
    copied: float = 0.0
    packed: float = 0.0


def decoding(one: Deployed, batch: float, keys: int, new: int = 1) -> PassWork:
    """A pass in which each of `batch` sequences of an attention rank decodes `new` tokens, with `keys` in its cache."""
    tokens = batch * new
    everyone = tokens * one.copies
    scored, read = 0.0, 0.0
    for line in one.attended:
        scores = line.scores._replace(behind=0)  # a step of decoding hides nothing of the cache
        run = SequenceLengths(target=keys)
        seen = (
            pairs(scores, run, "causal") - pairs(scores, SequenceLengths(target=keys - 1), "causal") if keys > 1 else 1
        )
        widths = scores.decoded if scores.decoded is not None else (scores.d_qk, scores.d_v)
        scored += 2.0 * tokens * seen * scores.used * scores.heads * sum(widths)
        read += batch * seen * scores.used * line.key_bytes
    scans = in_order(2.0 * tokens * scan.used * scan.per_position for scan in one.state.scans)
    return PassWork(
        _part_of(one.attention, tokens),
        _part_of(one.dense, tokens),
        _part_of(one.experts, everyone, share_met(one, everyone)),
        Part(scored, one.rest_peak, read),
        Part(scans, one.rest_peak, 2.0 * batch * one.state.bytes),
        _part_of(one.head, tokens),
        _sent(one, tokens, forwarded=False),
        tokens * one.d_model * WIDTH,
    )


def prefilling(one: Deployed, prompt: int, prefix: int = 0, together: float | None = None) -> PassWork:
    """A pass that takes one prompt on each attention rank, of which `prefix` tokens were cached before.

    `together`: copies of attention that have one, all where nothing is said: where fewer requests are sent, their experts have less to
    do. May be an array.
    """
    new = prompt - prefix
    everyone = new * (one.copies if together is None else together)
    scored, read = 0.0, 0.0
    for line in one.attended:
        scores = line.scores
        seen = pairs(scores, SequenceLengths(target=prompt), "causal") - pairs(
            scores, SequenceLengths(target=prefix), "causal"
        )
        scored += 2.0 * seen * scores.used * scores.heads * (scores.d_qk + scores.d_v)
        read += (prompt if scores.stride is None else prompt // scores.stride) * scores.used * line.key_bytes
    anew = one.spread * prefix
    attention = _part_of(one.attention, new)
    return PassWork(
        attention._replace(flops=attention.flops + anew),
        _part_of(one.dense, new),
        _part_of(one.experts, everyone, share_met(one, everyone)),
        Part(scored, one.rest_peak, read),
        Part(_scan_flops(one, new), one.rest_peak, 2.0 * one.state.bytes),
        _part_of(one.head, 1),
        _sent(one, new, forwarded=True),
        float(new * one.d_model * WIDTH),
        copied=one.structure.routed * everyone * one.chosen / one.expert * one.d_model * WIDTH,
    )


def share_met(one: Deployed, everyone: float) -> float:
    """The share of the experts that the tokens of all copies of attention meet; of none, all."""
    if not one.experts:
        return 1.0
    return distinct_experts(one.experts_of_layer, one.chosen, larger(1, rounded(everyone))) / one.experts_of_layer


def _scan_flops(one: Deployed, new: int) -> float:
    """FLOPs of recurrences over the new tokens of a sequence."""
    total = 0.0
    for scan in one.state.scans:
        each = new * scan.per_position + new // scan.chunk * scan.per_chunk
        if scan.per_pair is not None:
            each += chunk_pairs(scan, new) * scan.per_pair
        total += 2.0 * scan.used * each
    return total


def _sent(one: Deployed, tokens: float, *, forwarded: bool) -> Exchanges:
    """What a device sends in a pass: all-reduces, or tokens to their experts and back.

    A ring's all-reduce sends 2·(t-1)/t of what is summed up; over several nodes, each device's part of it between them. With copies
    of attention, tokens are gathered and sums scattered over all devices of the worker, or sent to their experts, whichever is less.
    """
    structure = one.structure
    wide = tokens * one.d_model
    summed, summed_away = _reduced(wide * WIDTH, one.tensor, one.node)
    if is_one(one.copies):
        link, away = 2 * structure.layers * summed, 2 * structure.layers * summed_away
        return Exchanges(link, away, link, away, away)
    alone, ways = 2 * structure.layers - structure.routed, ways_of(one)
    if ways.gathers:
        gathered = _gathered(one, wide)
        levels = (*gathered, *gathered, gathered[1])
    else:
        direct, once = _dispatched(one, wide), _forwarded(one, wide, ways)
        levels = (*(once if forwarded else direct), direct[0], once[1], 0.0)
    own = (summed, summed_away, summed, summed_away, summed_away)
    return Exchanges(*(alone * a + structure.routed * b for a, b in zip(own, levels, strict=True)))


def _gathered(one: Deployed, wide: float) -> tuple[float, float]:
    """Bytes over the link and the network of tokens so `wide` that all devices of a worker have, and that are summed up there."""
    return _reduced(wide * one.copies * WIDTH, one.devices, one.node)


def ways_of(one: Deployed) -> Ways:
    """What the degrees of a worker decide."""
    if one.ways is not None:
        return one.ways
    inside = min(one.devices, one.node)
    cut = one.expert_tensor > 1 or one.expert == 1
    return Ways(
        cut or in_order(_dispatched(one, 1.0)) > in_order(_gathered(one, 1.0)),
        other_nodes(ceil_div(one.devices, inside), one.chosen, one.experts_of_layer, one.groups),
        one.tensor == 1 and one.expert == one.copies > one.node,
    )


def _dispatched(one: Deployed, wide: float) -> tuple[float, float]:
    """Bytes over the link and the network of tokens so `wide` that are sent to their experts and back.

    While decoding each of a token's copies goes to its expert for itself, of n devices n - node of them in other nodes.
    """
    n, inside = one.devices, minimum(one.devices, one.node)
    to_experts = _numbers(one, wide) * one.chosen
    return to_experts * (inside - 1) / n, to_experts * (n - inside) / n


def _forwarded(one: Deployed, wide: float, ways: Ways) -> tuple[float, float]:
    """The same of prompts: a token goes once to each other node that has one of its experts and is sent on there.

    That takes longer and sends less (DeepSeek-AI 2024c, section 3.2.2; the low-latency and the normal kernels of deepseek-ai/DeepEP).
    """
    numbers, inside = _numbers(one, wide), minimum(one.devices, one.node)
    return numbers * one.chosen * (inside - 1) / inside, numbers * ways.elsewhere


def _numbers(one: Deployed, wide: float) -> float:
    """Bytes of tokens so `wide` on their way to one expert each and back, of a device's part."""
    return wide * (_DISPATCH + WIDTH) / one.tensor


def _reduced(size: float, ranks: int, node: int) -> tuple[float, float]:
    """Bytes that a rank sends in an all-reduce of `size`, over the link and over the network."""
    inside = minimum(ranks, node)
    nodes = ceil_div(ranks, inside)
    return 2.0 * (inside - 1) / inside * size, 2.0 * (nodes - 1) / nodes * size / inside


def _part_of(lines: tuple[MatrixLine, ...], tokens: float, share: float = 1.0) -> Part:
    """Lines over so many tokens, of whose weights a share is read; at several peaks, as much time at the highest of them."""
    if not lines:
        return Part()
    peak = max(line.peak for line in lines)
    flops = in_order(line.flops * peak / line.peak for line in lines)
    return Part(tokens * flops, peak, share * in_order(line.bytes for line in lines))
