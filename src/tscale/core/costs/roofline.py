"""How long a pass through a model takes at the least: for each entry, the longer of its computing and its traffic.

The roofline of Williams 2009 over the lines of a ledger, as Pope 2022 (section 2) reckons inference: products at the dense
peak of their format, weights read once a pass whatever the batch, keys and values read by each sequence for itself. Entries
wait for one another, so their times add up; what can be fused or kept on the chip costs nothing. Times are in seconds.

Of E routed experts, k a token, n tokens meet E·(1 - (1 - k/E)^n) different ones in expectation, where each is as likely.
Latent attention scores its latents as they are when it decodes (`Scores.decoded`); before, it makes keys and values of all
of them, those that are cached included. Recurrent states are read and written.

Devices share each layer by tensor parallelism (Shoeybi 2019). Fewer key-value heads than devices are kept on several of them,
unless a cache is split by sequences (Pope 2022, section 3.3): each device then scores all heads of its own sequences.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, assert_never

from tscale.core.adding import in_order
from tscale.core.costs.cache import StateBits
from tscale.core.costs.collectives import Least, all_to_all, exchange, group
from tscale.core.costs.communication import all_reduce, tensor_sums
from tscale.core.costs.forward import chunk_pairs, pairs
from tscale.core.costs.weights import Mixture, kept_in
from tscale.core.device import Cluster
from tscale.core.dtypes import Dtype, bytes_of
from tscale.core.elementwise import expm1_of
from tscale.core.ledger import Buffer, Cache, Conv, Entry, Ledger, Lookup, Matmul, Scan, Scores, Vector
from tscale.core.tracing import ceil_div, minimum
from tscale.core.workload import SequenceLengths

SOURCE: Final = "pope2022 section 2"
TIME_SOURCE: Final = "williams2009"

LEAVES_OUT: Final = (
    "Not in the time: activations read and written, softmax, norms and other elementwise work, sampling, launching, the "
    "writing of a cache; what devices send is not hidden behind computing, and has no latency."
)
WIDTH: Final = 2
"""Bytes of an activation that devices sum up."""

Group = Literal["attention", "cache", "mixer", "state", "feed_forward", "head", "embedding", "norm", "communication"]
"""What a line is shown under: projections, scores over the cache, recurrences with their states, and so on."""


class Dtypes(NamedTuple):
    """What weights and cache are kept in, and the peaks of the products by the format of their weights."""

    weights: Dtype | Mixture
    cache: Dtype
    peaks: dict[str, int]
    """FLOP/s by format of weights; "" is that of all the others, and of scores."""
    states: StateBits = StateBits()
    """Bits of what recurrent layers keep."""

    def peak(self, format: str) -> int:
        """FLOP/s of products with weights in a format."""
        return self.peaks.get(format, self.peaks[""])


class Pass(NamedTuple):
    """One run through the model: `new` tokens of each of `batch` sequences, after `before` that are cached.

    `logits`: positions of a sequence that go through the head. `decoding`: whether latents are scored as they are. `in_turn`:
    whether the new tokens come one at a time, each reading the cache for itself. `source`: positions that an encoder reads in
    a prefill, and whose keys and values are cached while decoding. `images`: the same of the images that a decoder's layers attend to.
    """

    batch: int
    new: int
    before: int
    logits: int
    decoding: bool
    in_turn: bool = False
    source: int = 0
    images: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of all sequences."""
        return self.batch * self.new

    @property
    def read(self) -> int:
        """Positions of one sequence that run through an encoder."""
        return 0 if self.decoding else self.source

    def beside(self, scores: Scores) -> int | None:
        """Keys of scores that are no tokens of their own stack: an encoder's, or positions of images; None of others."""
        if scores.keys == "source":
            return self.source
        return self.images if scores.keys == "images" else None


class Setup(NamedTuple):
    """What stays the same from pass to pass: the ledger `whole` and the `share` of it that each of `devices` has.

    `side_by_side`: attention and feed-forward of a layer read the same input, so that one sum over the devices serves both
    (Pope 2022, section 3.4). `by_sequences`: a cache is split by sequences while decoding, not by heads.
    """

    whole: Ledger
    share: Ledger
    dtypes: Dtypes
    cluster: Cluster
    devices: int = 1
    parallel_block: bool = False
    by_sequences: bool = False


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
    least: Least = Least()
    """The least time of sending them."""

    def seconds(self, memory: int) -> float:
        """The longer of computing and traffic."""
        if self.sent:
            return float(self.least.seconds)
        return max(self.flops / self.peak, (self.weights + self.cache) / memory)


def distinct_experts(experts: int, top_k: int, tokens: float) -> float:
    """How many different experts some tokens meet in expectation, each with `top_k` of as likely ones."""
    return experts * -_power_less_one(1 - top_k / experts, tokens)


def top_k(routed: Matmul) -> int:
    """How many experts of a layer each token is sent through."""
    return routed.used * routed.experts // routed.stored


def _power_less_one(base: float, exponent: float) -> float:
    """base^exponent - 1, close to 0 as exact as elsewhere."""
    from math import log

    return expm1_of(exponent * log(base)) if base > 0 else -1.0


def works(setup: Setup, run: Pass) -> list[Work]:
    """Every line of a pass, on one of the devices that share each layer."""
    found = [*_products(setup, run), *_mixed(setup, run)]
    if setup.devices > 1:
        found += _sent(setup, run)
    return found


def _sent(setup: Setup, run: Pass) -> Iterator[Work]:
    """What each device sends: sums of tensor parallelism, and queries to their sequences' cache and outputs back."""
    devices, all_of_them = setup.devices, group(setup.cluster, setup.devices)
    each = SequenceLengths(target=run.new, source=run.read)
    summed = tensor_sums(setup.share, each, WIDTH, parallel_block=setup.parallel_block).total * run.batch
    least = exchange(setup.cluster, all_of_them, summed, summed)
    yield Work("all-reduces", "communication", 0, 1, 0, 0, all_reduce(summed, devices), least)
    if setup.by_sequences and run.decoding:
        moved = in_order(
            run.tokens * entry.used * entry.heads * sum(_widths(entry, run)) * WIDTH
            for entry in setup.whole.entries
            if isinstance(entry, Scores)
        )
        # Each device has its part of them, and all of that but what is its own goes to others.
        sent = ceil_div(moved * (devices - 1), devices * devices)
        least = all_to_all(setup.cluster, all_of_them, ceil_div(moved, devices))
        yield Work("all-to-alls", "communication", 0, 1, 0, 0, sent, least)


def pass_seconds(setup: Setup, lines: list[Work]) -> float:
    """The least time of a pass: its lines one after the other."""
    return in_order(line.seconds(setup.cluster.device.memory_bytes_per_second) for line in lines)


def decode_seconds(setup: Setup, batch: int, start: int, steps: int, source: int = 0, images: int = 0) -> float:
    """The least time of `steps` tokens of each sequence, one at a time, after `start` that are cached, and `source` or `images` beside.

    All but the scores takes the same time at each step, and the scores' computing and traffic both grow with the keys that
    are seen, so that the sum of the longer one is the longer of the sums.
    """
    first = Pass(batch, 1, start, 1, decoding=True, source=source, images=images)
    fixed = [line for line in works(setup, first) if line.group != "cache"]
    all_steps = first._replace(new=steps, in_turn=True)
    growing = [line for line in _mixed(setup, all_steps) if line.group == "cache"]
    return steps * pass_seconds(setup, fixed) + pass_seconds(setup, growing)


def _products(setup: Setup, run: Pass) -> Iterator[Work]:
    """Matrices, tables and vectors: what is read of them, and what is multiplied."""
    share, whole, dtypes = setup.share, setup.whole, setup.dtypes
    touched = Ledger.of(share.model, (_touched(entry, run) for entry in share.entries))
    for kept in kept_in(touched, dtypes.weights, whole):
        entry = share.entries[kept.place]
        match entry:
            case Matmul():
                positions = run.batch * _positions(entry, run)
                read: float = kept.bytes if positions else 0
                if entry.experts > 1 and positions:
                    read = read * distinct_experts(entry.experts, top_k(entry), positions) / entry.experts
                count, layers = kept.layers
                used = entry.used if count == layers else entry.used // layers * count
                flops = 2 * positions * used * entry.d_in * entry.d_out
                group: Group = "head" if entry.part == "head" else _group(entry)
                yield Work(kept.name, group, flops, dtypes.peak(kept.format.name), read, 0)
            case Lookup() | Vector() | Buffer():
                at_rest = entry.block.stack == "encoder" and not run.read
                yield Work(entry.name, _group(entry), 0, 1, 0 if at_rest else kept.bytes, 0)
            case Conv():
                flops = 2 * run.tokens * entry.used * entry.channels * entry.kernel
                yield Work(entry.name, "mixer", flops, dtypes.peak(""), kept.bytes, 0)
            case Scores() | Scan() | Cache():
                pass  # below; they own nothing
            case _:
                assert_never(entry)


def _positions(entry: Matmul, run: Pass) -> int:
    """Positions of one sequence that a matrix multiplies: the new ones, or those whose logits are asked for.

    Latents that are cached are made keys and values anew in each pass that does not score them as they are.
    """
    if entry.part == "head":
        return run.logits
    if entry.stream == "once":
        return 1
    if entry.stream == "source":
        return run.read
    if entry.stream == "images":
        return 0 if run.decoding else run.images
    return run.new if run.decoding or not _spreads(entry) else run.before + run.new


def _spreads(entry: Matmul) -> bool:
    """Whether a matrix makes keys and values of latents."""
    return entry.role == "kv_up"


def _touched(entry: Entry, run: Pass) -> Entry:
    """An entry with as many copies as a pass reads: a shared layer's each time, of a table a row for each token."""
    match entry:
        case Matmul() if entry.experts == 1 and entry.role != "stream_mix":
            return entry._replace(stored=entry.used // entry.abreast)
        case Lookup():
            return entry._replace(rows=minimum(entry.rows, run.batch * _looked_up(entry, run)))
        case _:
            return entry


def _looked_up(entry: Lookup, run: Pass) -> int:
    """Tokens of one sequence that are looked up in a table: those of its stack, or of both where they share it."""
    match entry.block.stack:
        case "encoder":
            return run.read
        case "decoder":
            return run.new
        case _:
            return run.new + run.read


def _group(entry: Matmul | Lookup | Vector | Buffer) -> Group:
    match entry.part:
        case "positions" | "vision_tower" | "audio_tower" | "projector":  # no pass over tokens runs through towers
            return "embedding"
        case part:
            return part


def _mixed(setup: Setup, run: Pass) -> Iterator[Work]:
    """Scores with the cache that they read, and recurrences with their states."""
    yield from _scored(setup, run)
    dtypes = setup.dtypes
    for entry in setup.share.entries:
        match entry:
            case Cache() if entry.stream == "once":
                bits = dtypes.states.of(entry, dtypes.cache.bits)
                yield Work(entry.name, "state", 0, 1, 0, 2 * bytes_of(run.batch * entry.stored * entry.width, bits))
            case Scan():
                flops = 2 * run.tokens * entry.used * entry.per_position
                if not run.decoding and entry.per_chunk:
                    flops += 2 * run.batch * (run.new // entry.chunk) * entry.used * entry.per_chunk
                if not run.decoding and entry.per_pair is not None:
                    flops += 2 * run.batch * chunk_pairs(entry, run.new) * entry.used * entry.per_pair
                yield Work(entry.name, "mixer", flops, dtypes.peak(""), 0, 0)
            case Matmul() | Lookup() | Vector() | Buffer() | Conv() | Scores() | Cache():
                pass  # read with the products, or with the scores
            case _:
                assert_never(entry)


def _scored(setup: Setup, run: Pass) -> Iterator[Work]:
    """Scores, each with the cache that it reads."""
    dtypes = setup.dtypes
    split = setup.by_sequences and run.decoding
    held = setup.whole if split else setup.share  # all heads of some sequences, or some heads of all
    sequences = ceil_div(run.batch, setup.devices) if split else run.batch
    caches = {
        (entry.block, entry.slot): entry
        for entry in held.entries
        if isinstance(entry, Cache) and entry.stream != "once"
    }
    for entry in held.entries:
        if isinstance(entry, Scores):
            flops = 2 * sequences * _seen(entry, run) * entry.used * entry.heads * sum(_widths(entry, run))
            cache = None if entry.cache is None else caches.get((entry.block, entry.cache))
            read = 0 if cache is None else bytes_of(sequences * _read(entry, cache, run), dtypes.cache.bits)
            yield Work(entry.name, "cache", flops, dtypes.peak(""), 0, read)


def _widths(scores: Scores, run: Pass) -> tuple[int, int]:
    """What a head scores with and sums up: of latents, themselves while decoding."""
    return scores.decoded if run.decoding and scores.decoded is not None else (scores.d_qk, scores.d_v)


def _read(scores: Scores, cache: Cache, run: Pass) -> int:
    """Numbers of one sequence's cache that are read, by every layer that scores it.

    A pass reads what its first token sees of the cache; decoding, its own tokens are in there too.
    """
    beside = run.beside(scores)
    if beside is not None:
        return (beside * (run.new if run.in_turn else 1) if run.decoding else 0) * scores.used * cache.width
    if run.in_turn:
        keys = _seen(scores, run)
    elif scores.stride is not None:  # a key is not there before the last of its positions
        keys = _seen(scores, run._replace(before=run.before + run.new - 1 if run.decoding else run.before, new=1))
    else:
        keys = _seen(scores, run._replace(new=1)) - 1 + (run.new if run.decoding else 0)
    return keys * scores.used * cache.width


def _seen(scores: Scores, run: Pass) -> int:
    """Query-key pairs of one sequence in one layer: those of the new tokens, what is cached included."""
    beside = run.beside(scores)
    if beside is not None:
        if scores.stream == "target":
            return run.new * beside
        return pairs(scores, SequenceLengths(0, source=run.read), "causal")
    if run.decoding:
        scores = scores._replace(behind=0)  # a step of decoding hides nothing of the cache
    after = pairs(scores, SequenceLengths(target=run.before + run.new), "causal")
    return after - pairs(scores, SequenceLengths(target=run.before), "causal")
