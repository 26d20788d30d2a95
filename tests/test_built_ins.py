"""Built-in models against counts made by other people's software; tests/oracle/README.md says what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.helpers import of_each
from tscale.catalogue.models import built_in
from tscale.core.costs.cache import cache_bytes, growing, states
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import active_params, params
from tscale.core.workload import SequenceLengths
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec

ORACLE = Path(__file__).parent / "oracle"
LENGTH = 70
"""Positions that record_built_ins.py counts FLOPs of."""

EVERY_EXPERT_RUN = {"llama-4-maverick", "llama-4-scout"}
"""The framework runs all experts of Llama 4 on every token, and scales most by zero; the architecture needs top_k."""


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ORACLE / name).read_text(encoding="utf-8").splitlines()]


CASES = {
    case["name"]: case
    for name in ("cases", "cases_experts", "cases_mixers", "cases_more", "cases_encoders")
    for case in _lines(f"{name}.jsonl")
}
AS_A_CASE = [
    (name, CASES[case]) for name, case in json.loads((ORACLE / "built_ins.json").read_text(encoding="utf-8")).items()
]
OWN = _lines("cases_built_ins.jsonl")
TIED_BY_FORCE = ("t5",)
"""transformers 5 ties the head of T5 whatever the file says: the published v1.1 has one of its own."""


def _spec(name: str) -> ModelSpec:
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    return spec


@of_each(AS_A_CASE)
def test_a_built_in_counts_as_the_framework_does(pair: tuple[str, dict[str, Any]]) -> None:
    """Parameters, those that a token meets, forward FLOPs at each recorded length, and the cache in bf16."""
    name, case = pair
    spec = _spec(name)
    ledger = lower(spec)
    assert params(ledger).total == case["params"]["total"]
    assert active_params(ledger).total == case["params"].get("active", case["params"]["total"])
    if name not in EVERY_EXPERT_RUN:
        counted = {n: forward_flops(ledger, run_of(spec, int(n)), "full").total for n in case["flops"]}
        assert counted == case["flops"]
    if (measured := case["kv_bytes_per_token"]) is not None:
        per_token = measured.get("architectural_per_token", measured["per_token"])
        assert cache_bytes(growing(ledger), SequenceLengths(target=1), 16).total == per_token
        audio_frames = cache_bytes(ledger, run_of(spec, 1)._replace(target=0), 16).total if "whisper" in name else 0
        assert cache_bytes(states(ledger), SequenceLengths(target=1), 16).total + audio_frames == measured.get(
            "constant", 0
        )


@of_each(OWN)
def test_a_built_in_of_its_own_counts_as_the_framework_does(line: dict[str, Any]) -> None:
    """Parameters, and forward FLOPs of 70 positions, where the framework could be asked."""
    spec, config = _spec(line["name"]), line["config"]
    ledger = lower(spec)
    total = line["total"]
    if config["model_type"] in TIED_BY_FORCE:
        total += config["vocab_size"] * config["d_model"]
    assert params(ledger).total == total
    if line["flops"] is not None and line["name"] not in EVERY_EXPERT_RUN:
        assert forward_flops(ledger, run_of(spec, LENGTH), "full").total == line["flops"]
