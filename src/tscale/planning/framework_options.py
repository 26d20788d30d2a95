"""What the options of training frameworks are made of: the job of a layout, its pieces, and that a framework has no option for something."""

from __future__ import annotations

from typing import NamedTuple

from tscale.core.parallelism import Parallelism
from tscale.core.partition import interleaved_sizes, stretches


class Job(NamedTuple):
    """What a layout is of: layers and routed experts of the model, sequences of a step and their tokens, devices of a node.

    `two_stacks`: whether it is of an encoder-decoder, whose stages no framework has options for today, though Megatron-LM once split
    a pipeline at a rank. `modules`: those that predict a further token.
    """

    layers: int
    experts: int
    batch: int
    context: int
    per_node: int
    two_stacks: bool = False
    modules: int = 0


class NoOptionError(Exception):
    """A framework has no option for the part of a layout that it names."""


def pieces_of(plan: Parallelism, job: Job) -> list[int]:
    """Layers of each piece of a pipeline, in the order of the stack."""
    many = plan.pipeline * plan.interleave
    if plan.stages is None:
        return [int(one.size) for one in stretches(job.layers, many, ends=plan.interleave > 1, modules=job.modules)]
    return list(plan.stages) if len(plan.stages) == many else interleaved_sizes(plan.stages, plan.interleave)


def option_of(options: dict[str, str], name: str, axis: str) -> str:
    """The option of a name on an axis. Raises `NoOptionError` where there is none."""
    if name not in options:
        raise NoOptionError(f"{axis} {name}")
    return options[name]
