"""What the schedule of a pipeline costs: micro-batches whose activations a stage keeps at once, and the time that it idles.

Of p stages, m micro-batches and v pieces a stage, with a backward pass that is split into its inputs' and its weights' gradients:

    1f1b         stage i (from 0) keeps p - i micro-batches and idles (p - 1)/m of its time (Narayanan 2021, section 2.2.1)
    interleaved  2·(p - i - 1) + (v - 1)·p + 1 pieces, and (p - 1)/(v·m) (section 2.2.2)
    zero-bubble  p micro-batches on each stage, and nothing where forward and both backward passes take the same (Qi 2024, ZB-V;
                 DeepSeek-AI 2024c, table 2, has p for ZB1P too)
    dualpipe     each device has the stages i and p - 1 - i, so that weights are there twice, keeps p + 1 micro-batches of a
                 stage and idles (p/2 - 1)·(F&B + B - 3W) (DeepSeek-AI 2024c, table 2): a third of (p - 2)/m at the least, where F,
                 B without W, and W take the same
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby

from tscale.core.parallelism import Parallelism
from tscale.core.tracing import maximum, minimum, ratio, where


def in_flight(stage: int, plan: Parallelism, micro_batches: int | None = None) -> tuple[int, int]:
    """Pieces of micro-batches whose activations a device keeps at once, and the pieces that its layers are in.

    `micro_batches`: of a step, of which no more can be in flight; None where they are enough to fill the pipeline.
    """
    pieces = 2 if plan.order == "dualpipe" else plan.interleave
    flying = _filled(stage, plan)
    return (flying if micro_batches is None else minimum(flying, micro_batches * plan.interleave)), pieces


def _filled(stage: int, plan: Parallelism) -> int:
    """Pieces of micro-batches that fill the pipeline."""
    behind = plan.pipeline - stage - 1
    match plan.order:
        case "1f1b":
            return behind + 1
        case "interleaved":
            return 2 * behind + (plan.interleave - 1) * plan.pipeline + 1
        case "zero-bubble":
            return plan.pipeline
        case "dualpipe":
            return plan.pipeline + 1


def embeddings_in_flight(stage: int, plan: Parallelism, micro_batches: int | None = None) -> int:
    """Micro-batches whose tokens a stage with the embedding keeps at once.

    Of an interleaved schedule's first pieces, two rounds can be in flight at once.
    """
    if plan.order != "interleaved":
        return in_flight(stage, plan, micro_batches)[0]
    return 2 * plan.pipeline if micro_batches is None else minimum(2 * plan.pipeline, micro_batches)


def runs(micro_batches: int, plan: Parallelism) -> int:
    """Micro-batches that run through all that a device has: half of them where they come in from both ends of a pipeline."""
    return micro_batches // 2 if plan.order == "dualpipe" else micro_batches


def predicted_fill(plan: Parallelism, micro_batches: int | None = None) -> Fraction:
    """What a pipeline idles over what one in the order of 1F1B does, of as many stages and the same work of a device.

    Interleaved pieces idle (p - 1)/v slots where the m micro-batches fill all p stages. Fewer of them wait before each next
    piece until the first has come round: p + (m - 1)/v slots pass rather than m + (p - 1)/v. None: there are enough.
    Of 1F1B it is (p - 1)·(F + B). With B = 2F and W = F: a third with split backward passes, (p - 1)·(F + B - 2W), which is what is
    run, not the best that zero-bubble schedules come to; and of DualPipe (p/2 - 1)·(F&B + B - 3W), by F&B = F + B, where a device has
    two stages (DeepSeek-AI 2024c, table 2).
    """
    match plan.order:
        case "1f1b" | "interleaved":
            return ratio(1, plan.interleave) + _waiting(plan, micro_batches)
        case "zero-bubble":
            return Fraction(1, 3)
        case "dualpipe":
            return ratio(plan.pipeline - 2, 6 * (plan.pipeline - 1))


def unpaired(plan: Parallelism, micro_batches: int) -> Fraction:
    """The share of a step's passes that have none of another micro-batch beside them, behind which they could send tokens to experts.

    Where one micro-batch goes forward as another goes backward, those are alone that fill a pipeline, and drain it: p of m in the
    order of 1F1B, of interleaved pieces 2·(p - 1) + (v - 1)·p + 1 of v·m (Megatron-Core, schedules.py: those that pass before the
    first goes backward, and one more with overlap_moe_expert_parallel_comm). DualPipe ends so much later for each pair of passes of a
    stage that takes longer one after the other than beside one another, 5p/4 + 1/2 times, of m in two directions, where a pass sends no
    longer than a forward pass computes (deepseek-ai/DualPipe, dualpipe.py, in the order of its step).
    """
    match plan.order:
        case "dualpipe":
            alone, every = 5 * plan.pipeline + 2, 8 * micro_batches
        case "interleaved":
            alone, every = (plan.interleave + 1) * plan.pipeline - 1, plan.interleave * micro_batches
        case "1f1b" | "zero-bubble":
            alone, every = plan.pipeline, micro_batches
    return ratio(minimum(alone, every), every)


def _waiting(plan: Parallelism, micro_batches: int | None) -> Fraction:
    """What stages idle beside, of the slots of the p - 1 others, since micro-batches are fewer than stages: (p - m)·(1 - 1/v)."""
    if micro_batches is None:
        return Fraction(0)
    missing = where(micro_batches < plan.pipeline, plan.pipeline - micro_batches, 0)
    return ratio(missing, maximum(plan.pipeline, 2) - 1) * (1 - ratio(1, plan.interleave))


def with_bubble(computing: Sequence[Fraction | int], micro_batches: int, plan: Parallelism) -> Fraction | int:
    """The least seconds of a step of a pipeline, of the seconds that each of its devices computes; of FLOPs, as many FLOPs."""
    match plan.order:
        case "1f1b" | "interleaved":
            return pipelined(computing, plan.interleave * micro_batches)
        case "zero-bubble":
            return max(computing)
        case "dualpipe":
            return max(computing) + Fraction(plan.pipeline - 2, 3 * micro_batches) * min(computing)


def pipelined(computing: Sequence[Fraction | int], pieces: int) -> Fraction:
    """The least seconds of a pipeline in the order of 1F1B, of the seconds that each stage computes.

    `pieces`: micro-batches by pieces of a stage. Stage j begins when the first of them has gone forward through the stages
    before it, and these have the last one's backward pass to do when it has ended.
    """
    longest: Fraction | int = 0
    passed: Fraction | int = 0
    for own, alike in groupby(computing):  # of stages that compute the same, the last one waits longest
        many = len(list(alike))
        longest = max(longest, (pieces + many - 1) * own + passed)
        passed += many * own
    return Fraction(longest, pieces)
