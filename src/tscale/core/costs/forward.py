"""How many FLOPs a forward pass takes: 2 for each multiply-add of every matrix multiplication.

F(S) = 2·S·P + q·S² for a stack with P weights in matrices and q = 2·heads·(d_qk + d_v) a layer: what frameworks count.
A depthwise convolution runs over S + kernel - 1 positions, since frameworks pad before and cut after. A recurrence takes
what its block says of its chunks, of which there are S/chunk, rounded up where the last one is padded, down where not.

`full` lets every query see every key and ignores windows, as they do. `causal` counts the keys that a query may see.
"""

from __future__ import annotations

from typing import Literal, TypeGuard, assert_never

from tscale.core.ledger import Buffer, Cache, Conv, Ledger, Lookup, Matmul, Scan, Scores, Vector
from tscale.core.metric import Line, Quantity
from tscale.core.tracing import ceil_div, maximum, minimum
from tscale.core.units import FLOPS
from tscale.core.workload import SequenceLengths, TowerRun

AttentionMask = Literal["full", "causal"]

LEAVES_OUT = (
    "Not counted: softmax, norms, activations, biases, rotary embeddings, look-ups and other elementwise work; dropout."
)


def pairs(scores: Scores, run: SequenceLengths | TowerRun, sight: AttentionMask) -> int:
    """Query-key pairs of one sequence that one layer scores.

    Causal: 1 + 2 + ... up to the window w, then w for each further query. In a stack that sees both ways a window of w
    is half of w on either side of the query, and the query itself. In chunks of w, each chunk is a sequence of its own.
    """
    queries, keys = run.length(scores.stream), _at_most(run.length(scores.keys), scores.most)
    if scores.stride is not None:
        return _strided(queries, keys // scores.stride, scores.stride, None if sight == "full" else scores)
    if sight == "full":
        return queries * keys
    if scores.causal:
        if scores.window is None:
            return _behind(queries, scores.behind)
        if scores.chunked:
            whole, w = queries // scores.window, scores.window
            rest = queries - whole * w
            return whole * (w * (w + 1) // 2) + rest * (rest + 1) // 2
        seen = minimum(queries, scores.window)
        return seen * (seen + 1) // 2 + (queries - seen) * seen
    if scores.window is None:
        return queries * keys
    if scores.chunked:
        whole = queries // scores.window
        return whole * scores.window**2 + (queries - whole * scores.window) ** 2
    side = minimum(queries - 1, scores.window // 2)
    return queries * (2 * side + 1) - side * (side + 1)


def _behind(queries: int, behind: int) -> int:
    """Pairs with the keys up to a query's own but for so many of the last ones: 1 at the least, the first."""
    if type(behind) is int and not behind:
        return queries * (queries + 1) // 2
    fewer = maximum(queries - behind, 0)
    return fewer * (fewer + 1) // 2 + minimum(queries, behind)


def _strided(queries: int, keys: int, stride: int, seen: Scores | None) -> int:
    """Pairs with keys that stand for `stride` positions each; all of them where nothing says which are `seen`.

    Causal, the j-th key is seen by the queries from its last position on: S - j·stride + 1 of S. With a window, of the keys that it
    could see a query takes so many at the most, as if there were no others.
    """
    if seen is None or not seen.causal:
        return queries * keys
    most = keys if seen.window is None else minimum(keys, seen.window)
    return most * (queries + 1) - stride * most * (most + 1) // 2


def through_tower(run: SequenceLengths | TowerRun, entry: Matmul | Scores | Conv) -> TypeGuard[SequenceLengths]:
    """Whether images or sounds of a sequence run through an entry, and not its tokens."""
    return bool(entry.block.stack == "tower" and isinstance(run, SequenceLengths) and run.media)


def score_flops(scores: Scores, run: SequenceLengths | TowerRun, sight: AttentionMask) -> int:
    """FLOPs of one sequence's attention scores in all layers of an entry: the logits q·k and the weighted sum of v.

    In a tower a query is scored with the keys that it sees, as frameworks run its windows one by one.
    """
    if through_tower(run, scores):
        return sum(one.times * score_flops(scores, one.run, "causal") for one in run.through(scores.block))
    return 2 * pairs(scores, run, sight) * scores.used * scores.heads * (scores.d_qk + scores.d_v)


def matmul_flops(matmul: Matmul, run: SequenceLengths | TowerRun) -> int:
    """FLOPs of one sequence's products with all copies of a matrix."""
    if through_tower(run, matmul):
        return sum(one.times * matmul_flops(matmul, one.run) for one in run.through(matmul.block))
    return 2 * _at_most(run.length(matmul.stream), matmul.most) * matmul.used * matmul.d_in * matmul.d_out


def untrained_flops(ledger: Ledger, run: SequenceLengths | TowerRun) -> int:
    """FLOPs that the backward pass of one sequence is spared: the gradients of weights that are not trained."""
    found = 0
    for entry in ledger.entries:
        if isinstance(entry, Matmul) and not entry.trained:
            found += matmul_flops(entry, run)
        elif isinstance(entry, Conv) and not entry.trained:
            found += conv_flops(entry, run)
    return found


def _at_most(length: int, most: int | None) -> int:
    return length if most is None else minimum(length, most)


def leaves_out(ledger: Ledger) -> str:
    """What forward FLOPs leave out of a model: where it has recurrences, also their elementwise part."""
    if not any(isinstance(entry, Scan) for entry in ledger.entries):
        return LEAVES_OUT
    return f"{LEAVES_OUT} Of recurrences, matrix products are counted and elementwise updates are not."


def conv_flops(conv: Conv, run: SequenceLengths | TowerRun) -> int:
    """FLOPs of one sequence's depthwise convolutions in all layers of an entry, over positions that are cut off again too."""
    if through_tower(run, conv):
        return sum(one.times * conv_flops(conv, one.run) for one in run.through(conv.block))
    positions = run.length(conv.stream) + (conv.kernel - 1 if conv.trimmed else 0)
    return 2 * positions * conv.used * conv.channels * conv.kernel


def scan_flops(scan: Scan, run: SequenceLengths | TowerRun) -> int:
    """FLOPs of one sequence's recurrences in all layers of an entry."""
    positions = run.length(scan.stream)
    chunks = ceil_div(positions, scan.chunk) if scan.padded else positions // scan.chunk
    work = positions * scan.per_position + chunks * scan.per_chunk + (chunks + 1) ** 2 * scan.per_edge_pair
    if scan.per_pair is not None:
        work += chunk_pairs(scan, positions) * scan.per_pair
    return 2 * scan.used * work


def chunk_pairs(scan: Scan, positions: int) -> int:
    """Pairs of positions that stand in one chunk; the last chunk is as long as what is left over."""
    whole = positions // scan.chunk
    return whole * scan.chunk**2 + (positions - whole * scan.chunk) ** 2


def forward_flops(ledger: Ledger, run: SequenceLengths | TowerRun, sight: AttentionMask = "full") -> Quantity:
    """FLOPs of one sequence's forward pass, head at every position, one line for each entry that computes."""
    lines: list[Line] = []
    for entry in ledger.entries:
        match entry:
            case Matmul():
                lines.append(Line(entry.name, matmul_flops(entry, run)))
            case Scores():
                lines.append(Line(entry.name, score_flops(entry, run, sight)))
            case Conv():
                lines.append(Line(entry.name, conv_flops(entry, run)))
            case Scan():
                lines.append(Line(entry.name, scan_flops(entry, run)))
            case Lookup() | Vector() | Buffer() | Cache():
                pass  # no matrix multiplication: LEAVES_OUT says so
            case _:
                assert_never(entry)
    return Quantity(f"forward FLOPs, {sight} attention", tuple(lines), FLOPS)
