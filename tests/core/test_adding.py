"""No figure hangs on how a Python version adds floats: `sum` carries what is rounded off from 3.12 on."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterable
from typing import Any

import pytest

from tests.helpers import run
from tscale.core.adding import in_order

ASKED = [
    "serve llama-3-8b --gpu h100 --batch 8",
    "serve llama-3.1-70b --gpu h100 --gpus 4 --rate 2 --input 1024 --output 512",
    "serve deepseek-v3 --gpu h200 --gpus 16 --tensor 8 --attention-data 2 --expert 16 --concurrency 64 --input 1024 --output 512",
    "train gpt3 --gpu a100 --gpus 1024 --tensor 8 --pipeline 8 --batch 1536",
    "train deepseek-v3 --gpu h800 --gpus 2048 --pipeline 16 --expert 64 --batch 15360 --precision fp8",
    "memory llama-3.1-8b --train --qlora --lora-rank 32 --gpu h100",
    "design --params 1e9 --like gpt2",
]


@pytest.mark.parametrize("command", ASKED)
def test_no_floats_are_added_by_sum(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ints and fractions are exact; of floats the eight last digits of the first command differed between 3.11 and 3.12."""
    found: set[str] = set()

    def watched(values: Iterable[Any], /, start: Any = 0) -> Any:
        items = list(values)
        place = sys._getframe(1)
        if place.f_globals.get("__name__", "").startswith("tscale") and any(type(one) is float for one in items[1:]):
            found.add(f"{place.f_globals['__name__']}:{place.f_lineno}")
        return real(items, start)

    real = builtins.sum
    monkeypatch.setattr(builtins, "sum", watched)
    assert run(*command.split(), "--format", "json").code in (0, 3)
    assert found == set()


def test_one_is_added_after_the_other() -> None:
    """As IEEE 754 rounds: 1e16 + 1 is 1e16, twice; a sum that carries the rest gives 10000000000000002."""
    assert in_order([1e16, 1.0, 1.0]) == 1e16
    assert in_order(()) == 0
