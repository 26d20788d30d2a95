"""How a server is spread over devices, as people and programs read it, and the layouts that a refusal may point to."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
from typing import Final

from tscale.core.costs.cache import has_latents, has_windows
from tscale.core.costs.kernel_padding import PADDED, has_padded_experts
from tscale.core.ledger import Matmul
from tscale.core.metric import Data
from tscale.core.parallelism import divisors
from tscale.core.serving_layout import ServingLayout
from tscale.core.sharding import is_routed
from tscale.errors import RequestError
from tscale.estimates.memory.held import Server, fullest
from tscale.models.lower import lower

_MOST_LISTED: Final = 12


def degrees_of(layout: ServingLayout) -> dict[str, Data]:
    """The degrees for JSON."""
    return {name: degree for name, degree in layout._asdict().items() if name != "layers"}


def layout_data(layout: ServingLayout, place: int) -> Data:
    """The degrees for JSON; `stage`: the fullest of the pipeline, counted from 1, which is the one that is shown."""
    return {**degrees_of(layout), "stage": place + 1}


def in_words(layout: ServingLayout) -> str:
    """The degrees that are not 1, for a title."""
    named = {
        "tensor": layout.tensor,
        "attention data": layout.attention_data,
        "pipeline": layout.pipeline,
        "expert": layout.expert,
        "replicas": layout.replicas,
    }
    return ", ".join(f"{name} {degree}" for name, degree in named.items() if degree > 1)


def spelled(layout: ServingLayout) -> str:
    """The options that ask for a layout, all that may have been given before among them."""
    options = [f"--gpus {layout.devices} --tensor {layout.tensor}"]
    if layout.expert > 1:
        options.append(f"--expert {layout.expert} --expert-tensor {layout.expert_tensor}")
    for option, degree in (
        ("--attention-data", layout.attention_data),
        ("--pipeline", layout.pipeline),
        ("--replicas", layout.replicas),
    ):
        if degree > 1:
            options.append(f"{option} {degree}")
    if layout.layers:
        options.append(f"--stages {','.join(map(str, layout.layers))}")
    return " ".join(options)


def accepted(server: Server, layout: ServingLayout) -> Iterator[ServingLayout]:
    """Layouts that a model can be served in, the nearest first to one that it cannot: with smaller degrees."""
    layers = int(server.spec.layers)
    for pipeline in dict.fromkeys((layout.pipeline, min(layout.pipeline, layers), 1)):
        for data, tensor in _ranks(layout):
            for expert in dict.fromkeys((layout.expert, gcd(layout.expert, tensor * data), 1)):
                if tensor * data % expert == 0:
                    cut, own = tensor * data // expert, layout.layers if pipeline == layout.pipeline else ()
                    near = ServingLayout(tensor, pipeline, expert, cut, data, layout.replicas, own)
                    if fits_model(server, near):
                        yield near


def _ranks(layout: ServingLayout) -> list[tuple[int, int]]:
    """Attention data and tensor degrees that divide those of a layout, the most ranks first."""
    pairs = [(data, tensor) for data in divisors(layout.attention_data) for tensor in divisors(layout.tensor)]
    return sorted(pairs, key=lambda pair: (-pair[0] * pair[1], -pair[0]))


def fits_model(server: Server, layout: ServingLayout) -> bool:
    """Whether so many devices can share a model so."""
    try:
        server.on(layout)
    except RequestError:
        return False
    return True


def layout_notes(server: Server) -> Iterator[str]:
    """How devices share the model."""
    layout = server.layout
    if layout.tensor > 1:
        yield (
            f"Each layer is divided over {layout.tensor:,} devices (Shoeybi 2019): key-value heads that are fewer are replicated, a "
            "vocabulary that does not divide is padded, norms and routers are replicated."
        )
    if layout.attention_data > 1 or layout.replicas > 1:
        yield (
            f"{server.batch:,} sequences over all devices are at most {server.sequences:,} on each: attention, dense matrices and the "
            "cache are whole in each group of --attention-data."
        )
    if any(map(is_routed, server.whole.entries)) and not layout.is_tensor_alone and layout.ranks > 1:
        cut = "whole" if layout.expert_tensor == 1 else f"cut {layout.expert_tensor:,} ways"
        to = "one group of ranks" if layout.expert == 1 else f"{layout.expert:,} groups of ranks"
        yield f"Routed experts are assigned to {to}, each expert {cut}; tokens are assumed to meet all experts alike."
    if layout.pipeline > 1:
        layers = [sum(int(own.size) for own in stage.own) for stage in server.stages]
        yield (
            f"Stages of {_listed(layers)} layers; stage {fullest(server) + 1} holds the most and is shown. Each keeps the cache of its "
            "own layers."
        )


def _listed(layers: list[int]) -> str:
    """The layers of each stage, the first dozen of many."""
    more = ", ..." if len(layers) > _MOST_LISTED else ""
    return ", ".join(map(str, layers[:_MOST_LISTED])) + more


def keeping_notes(server: Server) -> Iterator[str]:
    """How caches are kept where engines differ, and what was asked for that changes nothing."""
    keeping = server.keeping
    if has_latents(server.whole):
        yield (
            "The cache holds latents, which are scored as they are; engines without that keep the keys and values of all heads: "
            "--cache-form full."
        )
    elif keeping.form == "full":
        spread = any(isinstance(entry, Matmul) and entry.role == "kv_up" for entry in server.whole.entries)
        yield (
            "Latents are spread out to the keys and values of all heads, as engines keep them that do not score latents."
            if spread
            else f"{server.spec.label} keeps no latents: --cache-form changes nothing."
        )
    if has_windows(server.whole):
        yield "Layers with a window keep no more than it; engines with one kind of cache keep all positions: --window-cache whole."
    elif keeping.window == "whole" and not has_windows(lower(server.spec)):
        yield f"{server.spec.label} has no layers with a window: --window-cache changes nothing."
    if server.prefix:
        yield f"The first {server.prefix:,} tokens of all sequences are the same, and kept once in layers that keep all positions."
    if server.draft is not None:
        yield f"{server.draft.spec.label} guesses tokens: its weights and cache are included, shared as those of {server.spec.label} are."
    if server.verified > 1:
        yield f"A step verifies {server.verified:,} tokens of each sequence, with a row of logits for each."
    if server.kernel != "none":
        yield f"Matrices of routed experts are padded as vLLM's kernel {server.kernel} needs them."
    elif has_padded_experts(server.whole, server.format):
        yield f"Kernels may pad routed experts in {PADDED} further: --padding counts that, marlin for gpt-oss in vLLM on most devices."
