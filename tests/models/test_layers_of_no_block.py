"""A model of few layers, in which no layer has some of the blocks that are described: they cost nothing, and nothing trips over them."""

from __future__ import annotations

from typing import Any

import pytest

import tscale
from tests.helpers import disclosed
from tscale.errors import TscaleError
from tscale.models.lower import lower
from tscale.models.resolve import resolve

MIXED = [name for name in disclosed() if len((spec := resolve(name)).mixers) + len(spec.feed_forwards) > 2]
QUESTIONS: dict[str, dict[str, Any]] = {
    "params": {},
    "flops": {"context": 1024},
    "attention": {"context": 1024},
    "summary": {},
    "memory": {"gpu": "h100", "context": 1024},
    "serve": {"gpu": "h100", "context": 1024},
}


@pytest.mark.parametrize("name", MIXED)
def test_a_model_of_one_layer_is_answered_or_refused(name: str) -> None:
    for question, options in QUESTIONS.items():
        try:
            getattr(tscale, question)(name, set="layers=1", **options)
        except TscaleError:  # of layers that are listed, or an encoder that is asked to decode
            continue


def test_experts_behind_the_last_layer_are_none() -> None:
    """DeepSeek-V3's experts begin in the fourth layer, so that two layers are dense: 3·7,168·18,432 in each feed-forward."""
    spec = resolve("deepseek-v3", ["layers=2"])
    assert not any(getattr(entry, "experts", 1) > 1 for entry in lower(spec).entries)
    found = tscale.params("deepseek-v3", set="layers=2").to_dict()
    assert sum(line["params"] for line in found["lines"] if line["part"] == "feed_forward") == 2 * 3 * 7168 * 18432
    assert tscale.serve("deepseek-v3", set="layers=2", gpu="h100", context=1024).exit_code == 0


def test_rules_of_a_release_about_a_block_of_no_layer_are_right() -> None:
    """Kimi K2.5's release names its shared experts, of which a single layer, which is dense, has none."""
    assert tscale.params("kimi-k2.5", set="layers=1").exit_code == 0
