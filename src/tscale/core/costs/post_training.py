"""What training after pre-training holds and does, phase by phase: a device's peak is that of its largest phase.

A step of GRPO or PPO generates responses, scores them, and trains on them: the policy's weights serve, then log-probabilities of the
policy and of a frozen reference are taken in forward passes, a reward model and a value model read the responses, and policy and
value model are trained (Ouyang 2022; Shao 2024, which has no value model but a group of responses for each prompt). DPO trains on
pairs that are given (Rafailov 2023). What a phase does not use may leave the device until it is used again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

from tscale.core.methods import ONLINE, Method, Sleeper
from tscale.core.metric import Line
from tscale.core.tracing import ceil_div

Phase = Literal[
    "rollout", "old log-probs", "reference", "reward", "value", "training", "value training", "moving weights"
]

SOURCES: Final[dict[str, str]] = {"sft": "", "dpo": "rafailov2023", "grpo": "shao2024", "ppo": "ouyang2022"}


def key_of(phase: Phase) -> str:
    """A phase as programs read it.

    Example:
        >>> key_of("old log-probs")
        'old_log_probs'
    """
    return phase.replace(" ", "_").replace("-", "_")


class Resident(NamedTuple):
    """Bytes that stand on a device from step to step, the phases that use them, and what they belong to."""

    name: str
    size: int
    used: frozenset[Phase]
    owner: Sleeper


class Stage(NamedTuple):
    """What a phase needs of a device beside what stands there."""

    phase: Phase
    lines: tuple[Line, ...]


def held_in(stage: Stage, residents: Iterable[Resident], asleep: frozenset[Sleeper]) -> Iterator[Line]:
    """What a device holds in a phase: what stands there and is used or awake, then what the phase needs."""
    for one in residents:
        if stage.phase in one.used or one.owner not in asleep:
            yield Line(one.name, one.size)
    yield from stage.lines


class Passes(NamedTuple):
    """Tokens that pass each model in a step: generated, read once for their scores, and trained on."""

    generated: int
    prompts: int
    scored: int
    trained: int


def passes(method: Method, sequences: int, prompt: int, response: int, group: int, epochs: int) -> Passes:
    """The tokens of a step of so many responses, or of so many pairs of DPO, each twice its prompt and its response.

    A prompt is read once for its whole group, whose responses share its cache.

    Example:
        >>> passes("grpo", sequences=16, prompt=100, response=400, group=8, epochs=1)
        Passes(generated=6400, prompts=200, scored=8000, trained=8000)
    """
    both = sequences * (prompt + response) * (2 if method == "dpo" else 1)
    if method not in ONLINE:
        return Passes(0, 0, both, both * epochs)
    return Passes(sequences * response, ceil_div(sequences, group) * prompt, both, both * epochs)


class StepConstants(NamedTuple):
    """What a step takes beside its passes as they are predicted alone, fitted to measured steps. The defaults change nothing."""

    moved_colocated: float = 0.0
    """Seconds for each byte of weights that a device of an engine is given, where it trains too: states go to the host and back."""
    moved_apart: float = 0.0
    """The same of devices that only generate."""

    def moved(self, size: float, *, colocated: bool) -> float:
        """Seconds in which so many bytes of weights reach each device of the engines, and what goes with that."""
        return size * (self.moved_colocated if colocated else self.moved_apart)


def joined(rollout: float, others: float, *, overlapped: bool) -> float:
    """Seconds of rollouts and of all other phases: one after the other, or the longer where devices apart generate meanwhile.

    Example:
        >>> joined(30.0, 40.0, overlapped=False), joined(30.0, 40.0, overlapped=True)
        (70.0, 40.0)
    """
    return max(rollout, others) if overlapped else rollout + others
