"""Groups that the experts of a token are limited to, as files say them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.importer.recorded import spec_of
from tscale.blocks import Experts

V3 = {"model_type": "deepseek_v3", "n_group": 8, "topk_group": 4}
"""As DeepSeek-V3's file: 256 experts in 8 groups, those of a token in 4 of them."""


@pytest.mark.parametrize(
    ("change", "groups"),
    [
        ({}, (8, 4)),
        ({"n_group": 1, "topk_group": 1}, (None, None)),
        ({"topk_group": 8}, (None, None)),
        ({"topk_method": "greedy"}, (None, None)),
        ({"n_group": 7}, (None, None)),
        ({"num_experts_per_tok": 200}, (None, None)),
        ({"n_group": "8"}, (None, None)),
        ({"topk_group": None}, (None, None)),
    ],
    ids=str,
)
def test_groups_are_read_where_they_limit_what_a_token_can_use(
    change: dict[str, Any], groups: tuple[int | None, int | None]
) -> None:
    (experts,) = (block for block in spec_of(V3 | change).feed_forwards if isinstance(block, Experts))
    assert (experts.groups, experts.top_groups) == groups
