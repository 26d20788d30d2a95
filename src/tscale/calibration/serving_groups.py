"""What a deployment has in common with others that were measured: groups of constants, of deviations, and kinds."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from tscale.calibration.serving_case import ServingCase
from tscale.calibration.serving_deployed import generation_of, kind_of
from tscale.calibration.serving_meanings import CENTRES, PRODUCTS, Group
from tscale.core.costs.serving_share import Structure
from tscale.core.elementwise import log2_of
from tscale.core.tracing import is_one


def group_of(case: ServingCase, by: Group) -> str:
    """Which group of a constant a case is in."""
    words = {
        "engine": case.engine,
        "generation": generation_of(case.hardware),
        "experts": kind_of(case.experts),
    }
    return " ".join(words[word] for word in by.split())


def family_of(structure: Structure) -> str:
    """The kind of a model, by what its layers have."""
    if structure.indexed:
        return "sparse attention"
    if structure.latent:
        return "latent attention"
    if structure.linear:
        return "recurrences"
    return "routed experts" if structure.routed else "dense"


def way_of(case: ServingCase) -> str:
    """How a deployment is laid out, in a word: pools of prefill and decode, experts or copies spread, or tensor parallelism."""
    layout = case.decode.layout
    if case.disaggregated:
        return "disaggregated"
    return "tensor" if is_one(layout.attention_data) and is_one(layout.expert) else "spread"


def keys_of(case: ServingCase) -> dict[str, str]:
    """The groups that a case is in, by level."""
    generation, experts = generation_of(case.hardware), kind_of(case.experts)
    apart = "apart" if case.disaggregated else "together"
    model = f"{case.engine} {generation} {case.spec.name} {experts} {apart}"
    chip = f"{case.hardware.name} {kind_of(case.weights)}"
    pools = (case.prefill, case.decode) if case.disaggregated else (case.decode,)
    degrees = " ".join(pool.words for pool in pools)
    return {
        "model": model,
        "build": f"{model} {chip} {case.version}".rstrip(),  # as a table of them is read
        "kind": f"{model} {chip} {case.version} {way_of(case)}",
        "deployment": f"{model} {chip} {case.version} {degrees}",
    }


def terms_of(case: ServingCase) -> tuple[float, ...]:
    """What the deviations of groups are multiplied by, in the order of `TERMS`."""
    sizes = (case.batch, case.prompt, case.output, case.decode.layout.ranks)
    slopes = [log2_of(size / at) / over for size, (at, over) in zip(sizes, CENTRES, strict=True)]
    return 1.0, *slopes, *(slopes[one] * slopes[other] for one, other in PRODUCTS)


def versions_of(measured: Iterable[tuple[str, str]], engine: str) -> tuple[str, ...]:
    """The versions of an engine of which some build was measured, as tables of runs write them."""
    builds = (key for level, key in measured if level == "build" and key.startswith(f"{engine} "))
    return tuple(sorted({key.rpartition(" ")[2] for key in builds} - {""}))


def deviation_level(measured: Container[tuple[str, str]], keys: Mapping[str, str]) -> str:
    """The closest level at which a case's groups were measured: how much is known of it; empty where none was."""
    known = ""
    for level, key in keys.items():
        if level != "kind" and (level, key) in measured:
            known = level
    return known
