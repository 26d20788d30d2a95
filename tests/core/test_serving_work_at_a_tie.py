"""Tokens that are sent to their experts where gathering them would take as many bytes."""

from __future__ import annotations

import pytest

from tests.core.test_serving_work_by_hand import small
from tscale.core.costs.serving_work import decoding


@pytest.mark.parametrize(("chosen", "gathered"), [(7, False), (8, False), (9, True)])
def test_tokens_are_gathered_only_where_sending_them_to_their_experts_takes_more(chosen: int, gathered: bool) -> None:
    """Six copies of attention on two nodes of three. A number goes to an expert in 1 byte and comes back in 2: to 8 of them 24.

    All six have a token, or a sixth of the batch each, in 2 bytes, which an all-reduce sends about twice: 2·6·2 are 24 too. Of these
    five sixths leave a device either way, but of copies three sixths to the other node, and of sums a sixth.
    """
    one = small(copies=6, expert=6, chosen=chosen, node=3, experts_of_layer=12)
    wide, layers = 2 * 5, 2  # two tokens of width 5 for each copy, and two layers with experts
    sent = decoding(one, batch=2, keys=10).sent
    if gathered:
        link, network = 2 * 2 / 3 * 6 * 2 * wide, 2 * 1 / 2 * 6 * 2 * wide / 3
    else:
        link, network = 3 * chosen * wide * 2 / 6, 3 * chosen * wide * 3 / 6
    assert (sent.link, sent.away) == (pytest.approx(layers * link), pytest.approx(layers * network))  # type: ignore[comparison-overlap]
