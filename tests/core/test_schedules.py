"""What schedules of a pipeline cost, against simulations of them, operation by operation."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import pytest

from tscale.core.costs.schedules import in_flight, predicted_fill, runs, unpaired, with_bubble
from tscale.core.parallelism import Parallelism, Schedule
from tscale.errors import RequestError

Kind = Literal["F", "B", "B in", "W"]
Op = tuple[tuple[Kind, int], ...]
"""What a device does at once: passes of micro-batches that go one way (0) or the other (1) through the pipeline."""
SECONDS: dict[Kind, int] = {"F": 1, "B": 2, "B in": 1, "W": 1}
"""Where a forward pass and the gradients of inputs and of weights take the same."""


def dualpipe_order(rank: int, p: int, many: int) -> list[Op]:
    """The eight phases of a rank, as the README of deepseek-ai/DualPipe draws them and its code counts them."""
    half, from_end = p // 2, min(rank, p - 1 - rank)
    inner, behind, flip = half - from_end - 1, from_end + 1, int(rank >= half)
    ops: list[Op] = []

    def add(*what: tuple[Kind, int]) -> None:
        ops.append(tuple((kind, way ^ flip) for kind, way in what))

    for _ in range(2 * inner):
        add(("F", 0))
    for _ in range(behind):
        add(("F", 0))
        add(("F", 1))
    for _ in range(inner):
        add(("B in", 1))
        add(("W", 0))
        add(("F", 1))
    for turn in range(many // 2 - p + from_end + 1):
        if turn == 0 and inner == 0:
            add(("F", 0))
            add(("B", 1))
        else:
            add(("F", 0), ("B", 1))
        add(("F", 1), ("B", 0))
    for _ in range(inner):
        add(("B", 1))
        add(("F", 1), ("B", 0))
    split: Kind = "B"
    for turn in range(behind):
        if turn == behind // 2 and from_end % 2 == 1:
            split = "B in"
        add((split, 1))
        if turn == behind // 2 and from_end % 2 == 0:
            split = "B in"
        add((split, 0))
    for _ in range(inner):
        add(("W", 0))
        add(("B in", 0))
    for _ in range(behind):
        add(("W", 0))
    return ops


def dualpipe(p: int, many: int, sent: int = 0) -> tuple[int, list[int]]:
    """When all is done, and the most micro-batches of a stage that each device has kept.

    `sent`: seconds that a pass takes longer where no other goes on beside it.
    """
    todo = [dualpipe_order(rank, p, many) for rank in range(p)]
    done: dict[tuple[str, int, int, int], int] = {}
    free, most = [0] * p, [0] * p
    forward, backward = [[0, 0] for _ in range(p)], [[0, 0] for _ in range(p)]

    def needs(rank: int, kind: Kind, way: int) -> tuple[str, int, int, int] | None:
        step = 1 if way == 0 else -1
        if kind == "F":
            return ("F", rank - step, way, forward[rank][way]) if 0 <= rank - step < p else None
        if kind == "W":
            return None
        behind = rank + step
        return ("B", behind, way, backward[rank][way]) if 0 <= behind < p else ("F", rank, way, backward[rank][way])

    while any(todo):
        for rank in range(p):
            if not todo[rank]:
                continue
            op = todo[rank][0]
            waits = [need for kind, way in op if (need := needs(rank, kind, way)) is not None]
            if any(need not in done for need in waits):
                continue
            alone = sent * (len(op) == 1 and op[0][0] != "W")
            end = max([free[rank], *(done[need] for need in waits)]) + sum(SECONDS[kind] for kind, _ in op) + alone
            for kind, way in op:
                counts = forward if kind == "F" else backward
                if kind != "W":
                    done["F" if kind == "F" else "B", rank, way, counts[rank][way]] = end
                    counts[rank][way] += 1
                most[rank] = max(most[rank], sum(forward[rank]) - sum(backward[rank]))
            free[rank] = end
            todo[rank].pop(0)
    return max(free), most


@pytest.mark.parametrize(("p", "many"), [(2, 4), (2, 10), (4, 8), (4, 18), (8, 16), (8, 34), (16, 32)])
def test_dualpipe_operation_by_operation(p: int, many: int) -> None:
    """Each device keeps p + 1 micro-batches of a stage, of the two that it has, and the step takes what is said."""
    plan = Parallelism(pipeline=p, schedule="dualpipe")
    seconds, most = dualpipe(p, many)
    assert with_bubble([Fraction(3 * many)] * p, many, plan) == seconds
    assert most == [p + 1] * p
    assert {in_flight(rank, plan) for rank in range(p)} == {(p + 1, 2)}
    assert runs(many, plan) == many // 2


@pytest.mark.parametrize(("p", "many"), [(2, 4), (4, 18), (8, 34), (16, 120)])
def test_what_dualpipe_sends_with_no_pass_beside_it_is_seen(p: int, many: int) -> None:
    """A device has two stages, of each of which a micro-batch sends for 1, as long as a forward pass takes, forward and backward."""
    longer = dualpipe(p, many, 1)[0] - dualpipe(p, many)[0]
    plan, slots = Parallelism(pipeline=p, schedule="dualpipe"), many // 2
    assert unpaired(plan, slots) * slots * 2 * 2 == longer


@pytest.mark.parametrize(
    ("plan", "micro_batches", "alone"),
    [  # stage 0 of 4 has 3 passes of 8 before its first goes backward, and of 2 pieces 6 + 4 of 16; one more is not beside another
        (Parallelism(pipeline=4), 8, Fraction(4, 8)), (Parallelism(pipeline=4, interleave=2), 8, Fraction(11, 16)),
        (Parallelism(), 5, Fraction(1, 5)), (Parallelism(pipeline=4), 2, Fraction(1)),
    ],
)  # fmt: skip
def test_passes_that_fill_a_pipeline_have_none_beside_them(
    plan: Parallelism, micro_batches: int, alone: Fraction
) -> None:
    assert unpaired(plan, micro_batches) == alone


def zero_bubble(p: int, many: int) -> tuple[list[int], list[int]]:
    """Stages in a V, the first and the last on one device: units that each device idles from its first pass on, and the most kept.

    Each half-stage takes 1 for each pass, a device keeps 2·p half-stages at the most, and takes of what it can do a backward
    pass first, then a forward pass, then the gradients of weights.
    """
    last = 2 * p - 1
    done: dict[tuple[str, int, int], int] = {}
    counts = {kind: [0] * (last + 1) for kind in ("F", "B", "W")}
    kept, most, work = [0] * p, [0] * p, [0] * p
    first, end = [0] * p, [0] * p

    def can(kind: str, stage: int, now: int, device: int) -> bool:
        number = counts[kind][stage]
        if kind == "W":
            return number < counts["B"][stage]
        if kind == "F":
            comes = stage == 0 or done.get(("F", stage - 1, number), now + 1) <= now
            return number < many and comes and kept[device] < 2 * p
        comes = stage == last or done.get(("B", stage + 1, number), now + 1) <= now
        return done.get(("F", stage, number), now + 1) <= now and comes

    now = 0
    while sum(map(sum, counts.values())) < 3 * (last + 1) * many:
        chosen = []
        for device in range(p):
            wanted = [(kind, stage) for kind in ("B", "F", "W") for stage in (last - device, device)]
            chosen += [(device, *one) for one in wanted if can(*one, now, device)][:1]
        for device, kind, stage in chosen:
            done[kind, stage, counts[kind][stage]] = now + 1
            counts[kind][stage] += 1
            kept[device] += {"F": 1, "B": 0, "W": -1}[kind]
            most[device] = max(most[device], kept[device])
            first[device] = first[device] if work[device] else now
            work[device] += 1
            end[device] = now + 1
        now += 1
    return [end[rank] - first[rank] - work[rank] for rank in range(p)], most


@pytest.mark.parametrize(("p", "many"), [(2, 8), (4, 8), (4, 32), (8, 32)])
def test_a_zero_bubble_schedule_keeps_p_micro_batches_and_hardly_idles(p: int, many: int) -> None:
    """A greedy one idles p passes of half a stage at the most, where 1F1B idles 6·(p - 1); that of Qi 2024 none: a bound."""
    plan = Parallelism(pipeline=p, schedule="zero-bubble")
    idle, most = zero_bubble(p, many)
    assert most == [2 * p] * p
    assert {Fraction(*in_flight(rank, plan)) for rank in range(p)} == {Fraction(2 * p, 2)}
    assert with_bubble([Fraction(6 * many)] * p, many, plan) == 6 * many
    in_order = with_bubble([Fraction(6 * many)] * p, many, Parallelism(pipeline=p)) - 6 * many
    assert 0 <= max(idle) <= p
    assert in_order == 6 * (p - 1)


def test_table_2_of_deepseek_v3() -> None:
    """Bubbles and activations of 1F1B, ZB1P and DualPipe in multiples of a forward pass, where B is two of them and W one."""
    p, many = 16, 64
    computing = [Fraction(3 * many)] * p
    bubbles = {
        order: with_bubble(computing, many, Parallelism(pipeline=p, schedule=order)) - 3 * many
        for order in ("1f1b", "dualpipe")
    }
    assert bubbles == {"1f1b": (p - 1) * (1 + 2), "dualpipe": (p // 2 - 1) * (3 + 2 - 3)}
    kept = {
        order: max(in_flight(rank, Parallelism(pipeline=p, schedule=order))[0] for rank in range(p))
        for order in ("1f1b", "zero-bubble", "dualpipe")
    }
    assert kept == {"1f1b": p, "zero-bubble": p, "dualpipe": p + 1}


def _last(stages: int, pieces: int, micro_batches: int, together: int) -> int:
    """When the last of all passes ends: each of a piece takes 1 forward and 2 backward, in the order of interleaved 1F1B.

    `together`: micro-batches that a stage runs through a piece before the next one. All that a pass waits for is its own stage and
    the pass before it: no formula.
    """
    total, round_of = micro_batches * pieces, together * pieces

    def at(number: int, kind: str) -> tuple[str, int, int]:
        batch, place = divmod(number, round_of)
        piece, each = divmod(place, together)
        return kind, piece if kind == "F" else pieces - 1 - piece, batch * together + each

    def order(stage: int) -> list[tuple[str, int, int]]:
        warm = min(2 * (stages - stage - 1) + (pieces - 1) * together, total)
        turns = [one for k in range(total - warm) for one in (at(k + warm, "F"), at(k, "B"))]
        return [at(k, "F") for k in range(warm)] + turns + [at(k, "B") for k in range(total - warm, total)]

    def waits(kind: str, piece: int, batch: int, stage: int) -> tuple[str, int, int, int] | None:
        if kind == "F":
            before = (piece, stage - 1) if stage else (piece - 1, stages - 1)
            return None if before[0] < 0 else (kind, before[0], batch, before[1])
        if (piece, stage) == (pieces - 1, stages - 1):
            return "F", piece, batch, stage
        behind = (piece, stage + 1) if stage < stages - 1 else (piece + 1, 0)
        return kind, behind[0], batch, behind[1]

    ended: dict[tuple[str, int, int, int] | None, int] = {None: 0}
    left = [order(stage) for stage in range(stages)]
    free = [0] * stages
    while any(left):
        for stage, own in enumerate(left):
            while own and waits(*own[0], stage) in ended:
                kind, piece, batch = own.pop(0)
                start = max(free[stage], ended[waits(kind, piece, batch, stage)])
                free[stage] = ended[kind, piece, batch, stage] = start + (1 if kind == "F" else 2)
    return max(free)


@pytest.mark.parametrize(
    ("stages", "pieces", "micro_batches"),
    [(4, 2, 8), (4, 3, 4), (8, 4, 24), (4, 2, 3), (4, 2, 1), (8, 4, 4), (16, 8, 8), (16, 8, 16)],
)
def test_a_pipeline_of_pieces_idles_as_one_that_is_run_pass_by_pass(
    stages: int, pieces: int, micro_batches: int
) -> None:
    """Also where the micro-batches are too few to fill the stages."""
    plan = Parallelism(pipeline=stages, interleave=pieces)
    slot = 3 * pieces  # a micro-batch on one stage
    idle = predicted_fill(plan, micro_batches) * (stages - 1) * slot
    assert micro_batches * slot + idle == _last(stages, pieces, micro_batches, min(stages, micro_batches))


@pytest.mark.parametrize("schedule", ["1f1b", "zero-bubble", "dualpipe"])
def test_two_pieces_a_stage_are_interleaved(schedule: Schedule) -> None:
    with pytest.raises(RequestError, match="has one piece of the stack a stage"):
        Parallelism(pipeline=4, interleave=2, schedule=schedule).check()
    Parallelism(pipeline=4, schedule=schedule).check()


@pytest.mark.parametrize(
    ("plan", "seconds"),
    [
        (Parallelism(pipeline=4), 60 + Fraction(30 + 30 + 30, 6)), (Parallelism(pipeline=4, interleave=2), 60 + Fraction(90, 12)), (Parallelism(pipeline=4, schedule="zero-bubble"), 60),
        (Parallelism(pipeline=4, schedule="dualpipe"), 60 + Fraction(2, 18) * 30),
    ],
)  # fmt: skip
def test_the_least_time_of_a_pipeline_by_its_order(plan: Parallelism, seconds: Fraction) -> None:
    """Three stages of 30 s and one of 60 behind them, of 6 micro-batches. Of DualPipe p/2 - 1 of F + B less twice W, a ninth of the least."""
    computing = [Fraction(30), Fraction(30), Fraction(30), Fraction(60)]
    assert with_bubble(computing, 6, plan) == seconds


@pytest.mark.parametrize(
    ("plan", "micro_batches", "fill"),
    [
        (Parallelism(pipeline=4), 2, Fraction(1)), (Parallelism(pipeline=4, interleave=2), 4, Fraction(1, 2)), (Parallelism(pipeline=4, interleave=2), None, Fraction(1, 2)),
        (Parallelism(pipeline=4, interleave=2), 3, Fraction(1, 2) + Fraction(1, 3) * Fraction(1, 2)), (Parallelism(pipeline=4, interleave=4), 1, Fraction(1, 4) + Fraction(3, 4)),
        (Parallelism(pipeline=4, schedule="zero-bubble"), 8, Fraction(1, 3)), (Parallelism(pipeline=4, schedule="dualpipe"), 8, Fraction(2, 18)), (Parallelism(), 1, Fraction(1)),
    ],
)  # fmt: skip
def test_what_a_pipeline_idles_over_one_of_1f1b(plan: Parallelism, micro_batches: int | None, fill: Fraction) -> None:
    """p + (m - 1)/v slots where fewer micro-batches than stages wait for one another: of 4, 2 and 3, a sixth of 3 slots more."""
    assert predicted_fill(plan, micro_batches) == fill
