"""Families that came out since 2025 with layers of their own, against what transformers 5.24.0 builds and keeps."""

from __future__ import annotations

from typing import Any

import pytest

from tests.importer.recorded import Differences, counted_wrong, is_refused, recorded
from tscale.core.costs.cache import cache_bytes
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import active_params, params
from tscale.importer.families_2026 import NEW
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec

LENGTH, SHORT, LONG = 70, 63, 127
VARIATIONS = recorded("variations_2026.jsonl")


def _differences(spec: ModelSpec, line: dict[str, Any]) -> Differences:
    """What tscale and the framework count differently: parameters, FLOPs, and numbers in the cache at two lengths."""
    ledger = lower(spec)
    pairs = {"total": (params(ledger).total, line["total"])}
    if line["flops"] is not None:
        pairs["flops"] = (forward_flops(ledger, run_of(spec, LENGTH)).total, line["flops"])
    if line["active"] is not None:
        pairs["active"] = (active_params(ledger).total, line["active"])
    for length, name in ((SHORT, "short"), (LONG, "long")):
        if line["cache"] is not None:
            pairs[name] = (cache_bytes(ledger, run_of(spec, length), 16).total // 2, line["cache"][name])
    return {name: (int(ours), theirs) for name, (ours, theirs) in pairs.items() if ours != theirs}


@pytest.mark.parametrize("family", NEW)
def test_each_change_of_a_field_is_counted_right_or_refused(family: str) -> None:
    lines = [line for line in VARIATIONS if line["config"]["model_type"] == family]
    assert not counted_wrong(lines, _differences)


@pytest.mark.parametrize("family", NEW)
def test_the_defaults_of_a_class_are_read_and_not_refused(family: str) -> None:
    usual = ("nothing", "nothing, saved", "architectures")
    lines = [line for line in VARIATIONS if line["config"]["model_type"] == family]
    plain = [line for line in lines if line["changed"] in usual]
    assert plain
    assert not [line["config"] for line in plain if is_refused(line["config"])]
