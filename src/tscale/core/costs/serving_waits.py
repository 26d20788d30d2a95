"""How an engine is set to keep requests waiting: steps of decoding before a prompt is taken in, places, graphs, and what is compiled first.

All are off where nothing is said. The first three trade time to first token for throughput.

polled     new requests are looked for once in so many steps (SGLang's --scheduler-recv-interval), not in each
gathered   a prompt waits so many steps for others, or until they come to so many tokens (`batch_wait_timeout_iters` and
           `batch_wait_max_tokens_ratio` of TensorRT-LLM)
balanced   prompts wait until each copy of attention has one, so many steps at most (`attention_dp_config.enable_balance` and
           `timeout_iters` of TensorRT-LLM)
places     where prompts have a pool of their own, no more sequences decode on an attention rank; others wait for a place before
           their first token is handed on (`max_batch_size` of TensorRT-LLM)
cold       a run without requests to warm up, whose first prompts come to so many tokens at once: kernels for chunks of that
           length are compiled then
graphs     steps of no more sequences are CUDA graphs; the host launches the kernels of larger ones one by one (`cuda_graph_config` of
           TensorRT-LLM: without `enable_padding`, up to 32, and of 64 and of 128)
"""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

from tscale.core.elementwise import larger, smaller


class Scheduling(NamedTuple):
    """How an engine takes requests up: steps of decoding, tokens at which gathered prompts are taken in, and sequences of its graphs."""

    polled: float = 1.0
    gathered: float = 0.0
    gathered_tokens: float = inf
    balanced: float = 0.0
    places: float = inf
    cold_tokens: float = inf
    graphs: float = inf


def steps_waited(scheduling: Scheduling, arrivals: float, batch: float, prompt: float, copies: float) -> float:
    """Steps of decoding that a request waits on average; `arrivals` a step and `batch` may be arrays.

    Args:
        scheduling: how the engine is set.
        arrivals: requests that come in a step of decoding, over all copies of attention.
        batch: sequences that an attention rank decodes, whose tokens count among those that are gathered.
        prompt: tokens of a prompt.
        copies: copies of attention.

    Example:
        >>> steps_waited(Scheduling(polled=30), 0.1, 16, 1000, 1)
        14.5
        >>> round(steps_waited(Scheduling(gathered=20), 0.1, 16, 1000, 1), 1)
        13.3
    """
    arrivals = larger(arrivals, _LEAST)
    return (
        (scheduling.polled - 1) / 2
        + _gathered(scheduling, arrivals, batch, prompt)
        + smaller(scheduling.balanced, (copies - 1) / arrivals) / 2
    )


_LEAST: Final = 1e-9
"""Arrivals a step below which nobody comes."""


def _gathered(scheduling: Scheduling, arrivals: float, batch: float, prompt: float) -> float:
    """Until the time is over the first prompt waits all of it and later ones half; until there are enough, all wait half on average."""
    time = scheduling.gathered
    further = larger(0.0, (scheduling.gathered_tokens - batch) / prompt - 1)
    return smaller(time * (1 + arrivals * time / 2) / (1 + arrivals * time), further / arrivals / 2)
