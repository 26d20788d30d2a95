"""A layout as the options of training frameworks; None where a framework has no option for some part of it.

What is predicted is what they ask for: gradients and weights are sent behind the backward and the forward pass, and a token goes once to
each device that has one of its experts. Megatron-LM does neither unless it is told to (its usual dispatcher is allgather); Megatron-Bridge,
the training library of the NeMo Framework, has the same options under the sections of its configuration; torchtitan sends a token once for
each expert, for which it has no option.
"""

from __future__ import annotations

from collections.abc import Iterator

from tscale.planning.bridge_flags import bridge
from tscale.planning.framework_options import Job, NoOptionError
from tscale.planning.layouts import Layout
from tscale.planning.megatron_flags import megatron
from tscale.planning.titan_flags import torchtitan


def flags_of(layout: Layout, job: Job) -> dict[str, str | None]:
    """The options of each framework, as one line."""
    return {name: None if lacks else line for name, (line, lacks) in _lines(layout, job).items()}


def lacks_of(layout: Layout, job: Job) -> dict[str, str]:
    """What each framework that has no options for a layout has none for."""
    return {name: lacks for name, (_, lacks) in _lines(layout, job).items() if lacks}


def _lines(layout: Layout, job: Job) -> dict[str, tuple[str, str]]:
    makers = {"megatron_lm": megatron, "torchtitan": torchtitan, "nemo": bridge}
    if job.two_stacks and layout.plan.pipeline > 1:
        return dict.fromkeys(makers, ("", "stages of two stacks"))
    return {name: _line(maker(layout, job)) for name, maker in makers.items()}


def _line(words: Iterator[str]) -> tuple[str, str]:
    """The options, and what there is none for."""
    try:
        return " ".join(words), ""
    except NoOptionError as error:
        return "", str(error)
