"""The constants of a serving prediction: unit, meaning, range, where they differ by group, and where a fit begins.

A share is kept between 0 and 1 by a logistic, all else above 0 by an exponential. Groups multiply (or shift the logistic of) the
value of all runs, and are drawn to it by a normal prior of so much in logarithms.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Group = Literal["", "engine", "generation", "engine generation", "experts generation"]
"""By what a constant differs: the engine, the newest format that a chip multiplies by, the format of routed experts."""


class Meaning(NamedTuple):
    """One constant. `first`: whether it is fitted to times to first token, after those of output tokens."""

    start: float
    share: bool
    unit: str
    meaning: str
    group: Group = ""
    prior: float = 0.0
    first: bool = False
    source: str = ""
    """Where it is from, if it is not fitted."""


_PEAK: Final = "share of the dense peak"
_BAND: Final = "share of the memory's bandwidth"
_LAYER: Final = "seconds a layer"

MEANINGS: Final[dict[str, Meaning]] = {
    "compute": Meaning(0.45, True, _PEAK, "products while decoding"),
    "read_weights": Meaning(0.77, True, _BAND, "reading dense weights"),
    "read_experts": Meaning(0.8, True, _BAND, "reading routed experts", "experts generation", 0.4),
    "read_cache": Meaning(0.72, True, _BAND, "reading keys, values and latents"),
    "read_states": Meaning(0.5, True, _BAND, "reading and writing states of recurrences"),
    "layer": Meaning(40e-6, False, _LAYER, "launches and what nothing else counts", "engine generation", 0.2),
    "routed_layer": Meaning(30e-6, False, _LAYER, "more with routed experts", "experts generation", 0.4),
    "latent_layer": Meaning(22e-6, False, _LAYER, "more with latent attention"),
    "linear_layer": Meaning(22e-6, False, _LAYER, "more with a recurrence"),
    "indexed_layer": Meaning(60e-6, False, _LAYER, "more with an indexer"),
    "collective": Meaning(6.8e-6, False, _LAYER, "collectives, for each doubling of devices", "engine", 0.3),
    "eager": Meaning(1e-3, False, _LAYER, "of launching kernels one by one, where a step is no graph"),
    "mixed": Meaning(
        0.3e-3,
        False,
        _LAYER,
        "of a step that takes in a prompt, which is no graph: at least what the host launches",
        "engine",
        0.3,
    ),
    "link": Meaning(
        0.43, True, "share of the link, one direction", "collectives of decoding, and of prompts beside it"
    ),
    "elementwise": Meaning(235.0, False, "passes over the residual stream a layer", "elementwise work and routing"),
    "interference": Meaning(0.77, True, "share of a prompt's time", "what others' prefills add to the steps"),
    "prompt_dense": Meaning(0.74, True, _PEAK, "dense products of a prompt beside decoding"),
    "prompt_experts": Meaning(
        0.449,
        True,
        _PEAK,
        "products of routed experts of a prompt beside decoding",
        source="deepseek-ai/DeepGEMM README at 327ec92: 889 TFLOP/s of H800 in 8 bits at 256 rows an expert, taken for 16 bits too; routing is "
        "counted apart, for an effective value of experts of 1,536 to 2,880 (0.10) says too little of Mixtral's, of 14,336, as its runs of other "
        "sources showed, among them some that judge",
    ),
    "prompt_packed": Meaning(0.15, True, _PEAK, "the same of experts in 4 bits: an effective value"),
    "prompt_routing": Meaning(
        20.0,
        False,
        "passes over tokens as their experts have them",
        "routing and elementwise work of a prompt beside decoding",
    ),
    "prompt_scores": Meaning(0.33, True, _PEAK, "attention scores of a prompt beside decoding"),
    "prompt_states": Meaning(0.05, True, _PEAK, "recurrences of a prompt beside decoding"),
    "start": Meaning(
        0.4e-3, False, _LAYER, "from a request to its prefill, and on to its token", "engine generation", 0.5, True
    ),
    "start_routed": Meaning(0.22, False, "ratio", "more of it with routed experts", first=True),
    "start_latent": Meaning(3.2, False, "ratio", "more of it with latent attention", first=True),
    "start_linear": Meaning(3.2, False, "ratio", "more of it with recurrences", first=True),
    "first_dense": Meaning(0.67, True, _PEAK, "dense products of a prompt, to its first token", first=True),
    "first_experts": Meaning(
        0.13, True, _PEAK, "routed experts of a prompt, to its first token", "experts generation", 0.4, True
    ),
    "first_scores": Meaning(0.29, True, _PEAK, "attention scores of a prompt, to its first token", first=True),
    "first_states": Meaning(0.05, True, _PEAK, "recurrences of a prompt, to its first token", first=True),
    "first_link": Meaning(0.33, True, "share of the link, one direction", "collectives of a prompt", first=True),
    "queue": Meaning(
        0.066,
        False,
        "prefills",
        "of each other request that a request waits for: a run begins with all at once",
        "engine generation",
        0.5,
        True,
    ),
    "steps": Meaning(1.9, False, "steps of decoding", "that a request waits for", first=True),
    "waiting": Meaning(
        6e-3, False, "seconds", "for each square root of other requests", "engine generation", 0.8, True
    ),
    "apart": Meaning(30e-3, False, "seconds", "the same of prompts that have a pool of their own", first=True),
    "cold": Meaning(
        3.0,
        False,
        "seconds",
        "later on average where kernels are compiled as a run begins",
        "experts generation",
        0.8,
        True,
    ),
    "network": Meaning(
        0.85,
        True,
        "share of the NICs' bandwidth",
        "exchanges between nodes",
        source="deepseek-ai/DeepEP README: low-latency kernels move 39 to 48 of 50 GB/s at 32 to 256 devices of H800, normal ones as much",
    ),
    "bus": Meaning(
        0.5,
        True,
        "share of the bus, one direction",
        "the same between cards that the bus of their host joins",
        source="NVIDIA/nccl-tests issue 178: all-reduces of A100 PCIe beyond a bridge move 20 of 32 GB/s; NVIDIA/nccl issue 1639: of RTX 5090 35 of "
        "64 GB/s on 4 cards, 28 on 8 over two sockets",
    ),
    "exposed": Meaning(
        0.5,
        True,
        "share of their time",
        "what of exchanges between nodes is not hidden by batches that take turns",
        source="assumed: of two published deployments of DeepSeek-V3 over nodes, nothing hidden is too slow and all of it too fast",
    ),
    "grouped": Meaning(
        0.656,
        True,
        _PEAK,
        "routed experts of a prompt in 8 bits, spread over nodes of Hopper, with 4,096 rows each and more",
        source="deepseek-ai/DeepGEMM README at 327ec92: 1,346 and 1,214 TFLOP/s of H800, as much time as both products of DeepSeek-V3's experts take",
    ),
    "grouped_growth": Meaning(
        0.137,
        False,
        "power of rows",
        "how it grows up to there",
        source="the same: 889 TFLOP/s at 256 rows; those at 512 and 1,024 are within 4% of it",
    ),
    "forwarded": Meaning(
        0.77,
        True,
        "share of the link, one direction",
        "what the same prompts send to experts in a node, and on to them from other nodes",
        source="deepseek-ai/DeepEP, docs/legacy.md: normal kernels move 153 to 158 of 200 GB/s in a node of H800",
    ),
}

FITTED: Final = tuple(name for name, meaning in MEANINGS.items() if not meaning.source)
"""Constants that are fitted to runs; the rest were published, or are assumed."""

RANGES: Final = {True: (0.0, 1.0), False: (0.0, None)}
"""The range that a constant is kept to: of shares, and of others."""

LEVELS: Final = ("model", "build", "kind", "deployment")
"""What deployments have in common that were measured, and are wrong alike: groups within groups.

model: engine, generation, model, format of experts, and whether pools are apart; build: with version and chip; kind: with how it
is laid out in a word; deployment: with its degrees.
"""

_SLOPES: Final = ("batch", "prompt", "output", "devices")
PRODUCTS: Final = ((0, 0), (0, 1), (0, 2), (1, 2))
"""Slopes that are multiplied by each other, by their places."""

TERMS: Final = ("factor", *_SLOPES, *(f"{_SLOPES[one]}_{_SLOPES[other]}" for one, other in PRODUCTS))
"""What a group's deviation is made of: a factor, slopes over the logarithms of batch, prompt, answer and devices, and how slopes
change along the first three: what prompts add to a step grows with batch and prompt, and falls with the answer."""

CENTRES: Final = ((16.0, 3.0), (2000.0, 2.0), (700.0, 2.0), (4.0, 2.0))
"""Where slopes are zero, and over how many doublings they are told."""

SPREADS: Final[dict[str, dict[str, tuple[float, ...]]]] = {
    "tpot": {
        "model": (0.05, 0.03, 0.03, 0.05, 0.03, 0.0, 0.0, 0.0, 0.0),
        "build": (0.11, 0.02, 0.04, 0.02, 0.06, 0.0, 0.0, 0.0, 0.0),
        "kind": (0.08, 0.04, 0.05, 0.01, 0.06, 0.03, 0.03, 0.03, 0.03),
        "deployment": (0.02, 0.06, 0.04, 0.01, 0.0, 0.03, 0.03, 0.03, 0.03),
    },
    "ttft": {
        "model": (0.2, 0.1, 0.1, 0.05, 0.1, 0.0, 0.0, 0.0, 0.0),
        "build": (0.3, 0.2, 0.1, 0.15, 0.2, 0.0, 0.0, 0.0, 0.0),
        "kind": (0.2, 0.25, 0.1, 0.15, 0.2, 0.15, 0.15, 0.15, 0.15),
        "deployment": (0.1, 0.15, 0.1, 0.02, 0.0, 0.15, 0.15, 0.15, 0.15),
    },
}
"""Standard deviations of groups' deviations in logarithms, by term: what a deviation of few runs is drawn to nothing by.

Those of first tokens by batch and answer are wide: some engines let prompts wait for others, until so many have come or for so many
steps (`batch_wait_timeout_iters` and `attention_dp_config` of TensorRT-LLM), by how they were configured, which no table says.
"""

NOISE: Final = {"tpot": 0.066, "ttft": 0.2}
"""Standard deviation of single runs in logarithms, beyond their groups."""
