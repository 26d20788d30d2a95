"""A parallel plan as JSON has it, in every answer about training: by the names of the options of `tscale train`."""

from __future__ import annotations

from tscale.core.metric import Data
from tscale.core.parallelism import Parallelism


def parallel_data(plan: Parallelism) -> dict[str, Data]:
    """The degrees of a plan by the names of their options; a plan without pipeline stages has no schedule.

    Degrees may be ints that remember. `expert_tensor` is 1 unless asked for, as a trainer reads it (`Parallelism.trained`).

    >>> data = parallel_data(Parallelism(tensor=8, pipeline=4))
    >>> data["tensor"], data["expert_tensor"], data["schedule"]
    (8, 1, '1f1b')
    """
    return {
        "tensor": plan.tensor,
        "sequence": plan.sequence,
        "context_parallel": plan.context,
        "pipeline": plan.pipeline,
        "interleave": plan.interleave,
        "stages": None if plan.stages is None else list(plan.stages),
        "schedule": plan.order if plan.pipeline > 1 else None,
        "data": plan.data,
        "zero": plan.zero,
        "shards": plan.shards,
        "expert": plan.expert,
        "expert_tensor": plan.trained.expert_tensor,
    }
