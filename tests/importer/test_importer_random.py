"""Several fields of a config.json changed at once, against what transformers 5.23.0 counts: right, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.importer.recorded import recorded, spec_of
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import params
from tscale.errors import SpecError
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec

LINES = recorded("random.jsonl")
LENGTH = 70
FAMILIES = sorted({line["config"]["model_type"] for line in LINES})
FORCED = {"t5"}
"""transformers 5 ties the head of T5 whatever the file says."""
ODD = "phi"
"""It rotates half of a head, and widens the one number that is half of a head of two, so that scores take a product more."""


def _spec(line: dict[str, Any]) -> ModelSpec | None:
    """The spec of a configuration, or None where it is refused."""
    try:
        return spec_of(line["config"])
    except SpecError:
        return None


@pytest.mark.parametrize("family", FAMILIES)
def test_random_configurations_are_counted_right_or_refused(family: str) -> None:
    """Parameters to the last digit, and forward FLOPs where the class could run."""
    wrong = []
    for line in LINES:
        if line["config"]["model_type"] != family or (spec := _spec(line)) is None:
            continue
        if family in FORCED and not spec.tied:
            continue
        ledger = lower(spec)
        if family == ODD and line["config"].get("head_dim") == 2:
            line["flops"] = None
        counted = (params(ledger).total, forward_flops(ledger, run_of(spec, LENGTH)).total)
        if counted != (line["total"], line["flops"] or counted[1]):
            wrong.append((line["changed"], line["config"], counted, line["total"], line["flops"]))
    assert not wrong


def test_twenty_families_and_more_are_recorded_and_most_of_it_is_counted() -> None:
    assert len(FAMILIES) >= 20
    counted = [line for line in LINES if _spec(line) is not None]
    assert 2 * len(counted) > len(LINES)
