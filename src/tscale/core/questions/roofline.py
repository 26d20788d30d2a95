"""How long a pass through a model takes at the least: for each entry, the longer of its computing and its traffic.

The roofline of Williams 2009 over the lines of a ledger, as Pope 2022 (section 2) reckons inference: products at the dense
peak of their format, weights read once a pass whatever the batch, keys and values read by each sequence for itself. Entries
wait for one another, so their times add up; what can be fused or kept on the chip costs nothing. Times are in seconds.

Of E routed experts, k a token, n tokens meet E·(1 - (1 - k/E)^n) different ones in expectation, where each is as likely.
Latent attention scores its latents as they are when it decodes (`Scores.decoded`). Recurrent states are read and written.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final, Literal, NamedTuple, assert_never

from tscale.core.device import Cluster
from tscale.core.formats import Format, bytes_of
from tscale.core.ledger import Buffer, Cache, Conv, Entry, Ledger, Lookup, Matmul, Scan, Scores, Vector
from tscale.core.numbers import minimum
from tscale.core.questions.cache import STATE_BITS
from tscale.core.questions.communication import all_reduce, bandwidth, tensor_sums
from tscale.core.questions.forward import pairs
from tscale.core.questions.weights import kept_in, weight_bytes
from tscale.core.run import Run

SOURCE: Final = "pope2022 section 2"

LEAVES_OUT: Final = (
    "Not in the time: activations read and written, softmax, norms and other elementwise work, sampling, launching, the "
    "writing of a cache; all-reduces are not hidden behind computing, and have no latency."
)
WIDTH: Final = 2
"""Bytes of an activation that devices sum up."""

Group = Literal["attention", "cache", "mixer", "state", "feed_forward", "head", "embedding", "norm", "communication"]
"""What a line is shown under: projections, scores over the cache, recurrences with their states, and so on."""


class Formats(NamedTuple):
    """What weights and cache are kept in, and the peaks of the products by the format of their weights."""

    weights: Format
    cache: Format
    peaks: dict[str, int]
    """FLOP/s by format of weights; "" is that of all the others, and of scores."""

    def peak(self, format: str) -> int:
        """FLOP/s of products with weights in a format."""
        return self.peaks.get(format, self.peaks[""])


class Pass(NamedTuple):
    """One run through the model: `new` tokens of each of `batch` sequences, after `before` that are cached.

    `logits`: positions of a sequence that go through the head. `decoding`: whether latents are scored as they are. `in_turn`:
    whether the new tokens come one at a time, each reading the cache for itself.
    """

    batch: int
    new: int
    before: int
    logits: int
    decoding: bool
    in_turn: bool = False

    @property
    def tokens(self) -> int:
        """Tokens of all sequences."""
        return self.batch * self.new


class Work(NamedTuple):
    """What one line does in a pass: FLOPs at a peak, and bytes of weights and of cache from memory."""

    name: str
    group: Group
    flops: int
    peak: int
    weights: float
    cache: int
    sent: int = 0
    """Bytes that a device sends to the others, in place of all else."""

    def seconds(self, memory: int, link: int) -> float:
        """The longer of computing and traffic."""
        return self.sent / link if self.sent else max(self.flops / self.peak, (self.weights + self.cache) / memory)


def distinct_experts(experts: int, top_k: int, tokens: int) -> float:
    """How many different experts some tokens meet in expectation, each with `top_k` of as likely ones."""
    return experts * -_power_less_one(1 - top_k / experts, tokens)


def _power_less_one(base: float, exponent: int) -> float:
    """base^exponent - 1, close to 0 as exact as elsewhere."""
    from math import expm1, log

    return expm1(exponent * log(base)) if base > 0 else -1.0


def works(share: Ledger, whole: Ledger, formats: Formats, run: Pass, cluster: Cluster, devices: int) -> list[Work]:
    """Every line of a pass, on one of `devices` that share each layer; `share` is its part of the ledger `whole`."""
    found = [*_products(share, whole, formats, run), *_mixed(share, formats, run)]
    if devices > 1:
        summed = tensor_sums(share, WIDTH).total * run.tokens
        bandwidth(cluster, devices)  # refuses links that nobody stated
        found.append(Work("all-reduces", "communication", 0, 1, 0, 0, all_reduce(summed, devices)))
    return found


def pass_seconds(lines: list[Work], cluster: Cluster, devices: int) -> float:
    """The least time of a pass: its lines one after the other."""
    link = bandwidth(cluster, devices) if devices > 1 else 1
    return sum(line.seconds(cluster.device.memory_bytes_per_second, link) for line in lines)


def decode_seconds(
    share: Ledger, whole: Ledger, formats: Formats, batch: int, start: int, steps: int, cluster: Cluster, devices: int
) -> float:
    """The least time of `steps` tokens of each sequence, one at a time, after `start` that are cached.

    All but the scores takes the same time at each step, and the scores' computing and traffic both grow with the keys that
    are seen, so that the sum of the longer one is the longer of the sums.
    """
    first = works(share, whole, formats, Pass(batch, 1, start, 1, decoding=True), cluster, devices)
    fixed = [line for line in first if line.group != "cache"]
    all_steps = Pass(batch, steps, start, 1, decoding=True, in_turn=True)
    growing = [line for line in _mixed(share, formats, all_steps) if line.group == "cache"]
    return steps * pass_seconds(fixed, cluster, devices) + pass_seconds(growing, cluster, devices)


def _products(share: Ledger, whole: Ledger, formats: Formats, run: Pass) -> Iterator[Work]:
    """Matrices, tables and vectors: what is read of them, and what is multiplied."""
    touched = share._replace(entries=tuple(_touched(entry, run) for entry in share.entries))
    held = {kept.entry.name: kept.format.name for kept in kept_in(share, formats.weights, whole)}
    sizes = {line.name: line.value for line in weight_bytes(touched, formats.weights, whole).lines}
    for entry in share.entries:
        match entry:
            case Matmul():
                positions = run.batch * (
                    run.logits if entry.part == "head" else 1 if entry.stream == "once" else run.new
                )
                read: float = sizes[entry.name]
                if entry.experts > 1:
                    top_k = entry.used * entry.experts // entry.stored
                    read = read * distinct_experts(entry.experts, top_k, run.tokens) / entry.experts
                flops = 2 * positions * entry.used * entry.d_in * entry.d_out
                group: Group = "head" if entry.part == "head" else _group(entry)
                yield Work(entry.name, group, flops, formats.peak(held[entry.name]), read, 0)
            case Lookup() | Vector() | Buffer():
                yield Work(entry.name, _group(entry), 0, 1, sizes[entry.name], 0)
            case Conv():
                flops = 2 * run.tokens * entry.used * entry.channels * entry.kernel
                yield Work(entry.name, "mixer", flops, formats.peak(""), sizes[entry.name], 0)
            case Scores() | Scan() | Cache():
                pass  # below
            case _:
                assert_never(entry)


def _touched(entry: Entry, run: Pass) -> Entry:
    """An entry with as many copies as a pass reads: a shared layer's each time, of a table a row for each token."""
    match entry:
        case Matmul() if entry.experts == 1:
            return entry._replace(stored=entry.used)
        case Lookup():
            return entry._replace(rows=minimum(entry.rows, run.tokens))
        case _:
            return entry


def _group(entry: Matmul | Lookup | Vector | Buffer) -> Group:
    return "embedding" if entry.part == "positions" else entry.part


def _mixed(share: Ledger, formats: Formats, run: Pass) -> Iterator[Work]:
    """Scores with the cache that they read, and recurrences with their states."""
    caches = {entry.name: entry for entry in share.entries if isinstance(entry, Cache)}
    for entry in share.entries:
        match entry:
            case Scores():
                seen = _seen(entry, run)
                widths = entry.decoded if run.decoding and entry.decoded is not None else (entry.d_qk, entry.d_v)
                flops = 2 * run.batch * seen * entry.used * entry.heads * sum(widths)
                cache = caches.get(entry.name.replace(".scores", ".cache"))
                read = 0
                if cache is not None:
                    # A pass reads what its first token sees of the cache; decoding, its own tokens are in there too.
                    cached = _seen(entry, run._replace(new=1)) - 1 + (run.new if run.decoding else 0)
                    keys = seen if run.in_turn else cached
                    read = bytes_of(run.batch * keys * cache.stored * cache.width, formats.cache.bits)
                yield Work(entry.name, "cache", flops, formats.peak(""), 0, read)
            case Cache() if entry.stream == "once":
                bits = max(formats.cache.bits, Fraction(STATE_BITS))
                yield Work(entry.name, "state", 0, 1, 0, 2 * bytes_of(run.batch * entry.stored * entry.width, bits))
            case Scan():
                flops = 2 * run.tokens * entry.used * entry.per_position
                if not run.decoding and entry.per_chunk:
                    flops += 2 * run.batch * (run.new // entry.chunk) * entry.used * entry.per_chunk
                yield Work(entry.name, "mixer", flops, formats.peak(""), 0, 0)
            case Matmul() | Lookup() | Vector() | Buffer() | Conv() | Cache():
                pass  # above, or read with the scores
            case _:
                assert_never(entry)


def _seen(scores: Scores, run: Pass) -> int:
    """Query-key pairs of one sequence in one layer: those of the new tokens, what is cached included."""
    after = pairs(scores, Run(target=run.before + run.new), "causal")
    return after - pairs(scores, Run(target=run.before), "causal")
