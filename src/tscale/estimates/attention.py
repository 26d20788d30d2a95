"""What attention costs in a sequence, and the contexts at which it overtakes the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from tscale.core.costs.cache import SOURCE as CACHE_SOURCE
from tscale.core.costs.cache import cache_bytes, growing, states
from tscale.core.costs.crossover import first_context
from tscale.core.costs.forward import AttentionMask, conv_flops, forward_flops, matmul_flops, scan_flops, score_flops
from tscale.core.costs.params import params
from tscale.core.dtypes import DTYPES
from tscale.core.ledger import Conv, Matmul, Scan, Scores
from tscale.core.metric import Figure, Line, Missing
from tscale.core.tracing import TracedInt, ceil_div, label
from tscale.core.units import BYTES, FLOPS, FLOPS_PER_TOKEN, TOKENS
from tscale.core.workload import SequenceLengths
from tscale.estimates.explaining import TracedModel, summed
from tscale.models.lower import run_of
from tscale.models.spec import ModelSpec

DEFAULT_CONTEXTS: Final = tuple(2**power for power in range(9, 18, 2))
FLOPS_SOURCE: Final = "kaplan2020 Table 1"


class Ask(NamedTuple):
    """What is asked of a model's attention."""

    contexts: Sequence[int] = ()
    sight: AttentionMask = "full"
    dtype: str = "bf16"
    versus: bool = False
    kernel: int = 3
    """Of the convolution that attention is compared with."""
    neighbourhood: int = 256
    """Keys that restricted attention sees."""


class AttentionCosts(NamedTuple):
    """The costs of one sequence of a context, each a figure."""

    context: Figure
    per_token: Figure
    per_sequence: Figure
    forward: Figure
    cache: Figure | Missing
    matrix: Figure
    lines: tuple[Line, ...]


def default_contexts(spec: ModelSpec) -> list[int]:
    """Powers of two around what the model was trained on, and that itself."""
    trained = [int(spec.context)] if spec.context else []
    return sorted({*DEFAULT_CONTEXTS, *trained})


def costs_of(model: TracedModel, context: int, ask: Ask) -> AttentionCosts:
    """What one sequence of a context costs."""
    length = TracedInt(context, label="context")
    run = run_of(model.spec, length)
    scores = label("attention_flops_per_sequence", score_total(model, run, ask.sight), "FLOPs")
    cache = cache_bytes(model.ledger, run, _bits(ask.dtype))
    lines = forward_flops(model.ledger, run, ask.sight).lines
    return AttentionCosts(
        Figure(length, TOKENS),
        Figure(ceil_div(scores, run.tokens), FLOPS_PER_TOKEN, source=FLOPS_SOURCE),
        Figure(score_total(model, run, ask.sight), FLOPS, source=FLOPS_SOURCE),
        Figure(summed(lines), FLOPS, source=FLOPS_SOURCE),
        Figure(sum(line.value for line in cache.lines), BYTES, source=CACHE_SOURCE) if cache.lines else Missing("none"),
        Figure(_matrix_bytes(model, run, ask.dtype), BYTES),
        lines,
    )


_NO_CACHE: Final = Missing("none: an encoder keeps no cache")


def score_total(model: TracedModel, run: SequenceLengths, sight: AttentionMask) -> int:
    """FLOPs of all scores of one sequence."""
    return sum(score_flops(entry, run, sight) for entry in model.ledger.entries if isinstance(entry, Scores))


def _matrix_bytes(model: TracedModel, run: SequenceLengths, dtype: str) -> int:
    """Bytes of the scores [heads, queries, keys] of the layer with most, stored whole: what flash attention avoids."""
    sizes = (
        entry.heads * run.length(entry.stream) * run.length(entry.keys)
        for entry in model.ledger.entries
        if isinstance(entry, Scores)
    )
    return ceil_div(max(sizes, default=0) * _bits(dtype), 8)


def _bits(dtype: str) -> int:
    """Whole bits of a number: the formats that are asked for here share no scales."""
    bits = DTYPES[dtype].bits
    assert bits.denominator == 1, dtype
    return bits.numerator


def crossovers(model: TracedModel, ask: Ask) -> dict[str, Figure | Missing]:
    """The contexts at which attention's scores cost as much as the feed-forward, as all else; the cache as the weights."""
    ledger = model.ledger
    scores = [entry for entry in ledger.entries if isinstance(entry, Scores)]
    products = [entry for entry in ledger.entries if isinstance(entry, Matmul)]
    feed_forward = [entry for entry in products if entry.part == "feed_forward"]
    rank = sum(entry.used * entry.heads * (entry.d_qk + entry.d_v) for entry in scores)
    bits = _bits(ask.dtype)
    weights = params(ledger).total

    def attended(context: int) -> int:
        return sum(score_flops(entry, run_of(model.spec, context), ask.sight) for entry in scores)

    def multiplied(entries: list[Matmul]) -> Callable[[int], int]:
        def flops(context: int) -> int:
            run = run_of(model.spec, context)
            return sum(matmul_flops(entry, run) for entry in entries)

        return flops

    def mixed(context: int) -> int:
        """All that is not scores: products, convolutions and recurrences."""
        run = run_of(model.spec, context)
        convolved = sum(conv_flops(entry, run) for entry in ledger.entries if isinstance(entry, Conv))
        scanned = sum(scan_flops(entry, run) for entry in ledger.entries if isinstance(entry, Scan))
        return multiplied(products)(context) + convolved + scanned

    def cached(context: int) -> int:
        return cache_bytes(ledger, run_of(model.spec, context), bits).total

    def reached(entries: list[Matmul], cost: Callable[[int], int], name: str) -> Figure | Missing:
        """Scores grow by 2·rank a token and key; products cost 2·weights a token. Causal, a query sees half the keys."""
        if not scores:
            return Missing("never: no attention")
        if not entries:
            return Missing("never: no such layers")
        size = label(
            f"{name}_weights",
            sum(entry.used * entry.d_in * entry.d_out for entry in entries if entry.stream != "once"),
            "parameters",
        )
        each = label("scores_per_pair", rank, "multiplications")
        closed = ceil_div(size, each) if ask.sight == "full" else ceil_div(2 * size, each) - 1
        return _crossing(first_context(attended, cost, closed), closed)

    cache_per_token = cache_bytes(growing(ledger), run_of(model.spec, 1), bits).total
    state = cache_bytes(states(ledger), run_of(model.spec, 1), bits).total
    outweighs: Figure | Missing = Missing("never: the state does not grow") if state else _NO_CACHE
    if cache_per_token:
        room = label("total", weights, "parameters") * bits - (8 * label("state_bytes", state, "bytes") if state else 0)
        closed = ceil_div(room, label("cache_bits_per_token", 8 * cache_per_token, "bits per token"))
        outweighs = _crossing(first_context(cached, lambda _: ceil_div(weights * bits, 8), closed), closed)
    return {
        "feed_forward": reached(feed_forward, multiplied(feed_forward), "feed_forward"),
        "all_else": reached(products, mixed, "all"),
        "cache_equals_weights": outweighs,
    }


def _crossing(context: int | None, closed: int) -> Figure | Missing:
    """A crossing, with its closed form where that is what was found."""
    if context is None:
        return Missing("never: a window stops the growth")
    return Figure(closed if context == closed else int(context), TOKENS)
