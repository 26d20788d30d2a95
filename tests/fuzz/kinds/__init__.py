"""The kinds of input that `tests/fuzz/flood.py` makes: each makes one by dice, and gives it to what reads its like.

What cannot be read raises a `TscaleError`; what a kind asserts beyond that stands in it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

from tests.fuzz.kinds.calls import call, option, plan, request
from tests.fuzz.kinds.commands import command, file_written, slow_command, sweep
from tests.fuzz.kinds.hub_answers import hub_answer
from tests.fuzz.kinds.small_readers import completed, pattern
from tests.fuzz.kinds.tables import calibration, fit, measured, runs
from tests.fuzz.kinds.texts import (
    claims,
    config,
    description,
    families,
    hardware,
    json_text,
    law,
    spec,
    system,
    yaml_text,
)
from tests.fuzz.kinds.weights import gguf, gguf_model, safetensors, shards


class Kind(NamedTuple):
    """What is tried, and how much of the time it is given next to the others."""

    tries: Callable[[Random], None]
    weight: int


KINDS: Final = {
    "safetensors": Kind(safetensors, 25),
    "shards": Kind(shards, 8),
    "gguf": Kind(gguf, 25),
    "gguf-model": Kind(gguf_model, 25),
    "json": Kind(json_text, 12),
    "yaml": Kind(yaml_text, 20),
    "config": Kind(config, 90),
    "description": Kind(description, 20),
    "spec": Kind(spec, 45),
    "families": Kind(families, 40),
    "hardware": Kind(hardware, 20),
    "law": Kind(law, 20),
    "claims": Kind(claims, 15),
    "system": Kind(system, 20),
    "runs": Kind(runs, 12),
    "fit": Kind(fit, 25),
    "measured": Kind(measured, 30),
    "calibration": Kind(calibration, 25),
    "hub": Kind(hub_answer, 40),
    "option": Kind(option, 15),
    "request": Kind(request, 30),
    "call": Kind(call, 80),
    "plan": Kind(plan, 35),
    "command": Kind(command, 80),
    "plan-command": Kind(slow_command, 20),
    "sweep": Kind(sweep, 30),
    "file": Kind(file_written, 40),
    "pattern": Kind(pattern, 8),
    "completion": Kind(completed, 4),
}
"""All of them, with their weights."""
