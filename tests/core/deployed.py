"""A model on a worker of a deployment, as the tests of what serving costs ask for it."""

from __future__ import annotations

from tscale.core.costs.roofline import Dtypes
from tscale.core.costs.serving_share import Deployed, cut_over, spread_over
from tscale.core.ledger import Ledger


def deployed(
    ledger: Ledger,
    dtypes: Dtypes,
    tensor: int,
    copies: int = 1,
    expert: int = 1,
    expert_tensor: int = 1,
    node: int = 8,
) -> Deployed:
    """A model on a worker of `tensor`·`copies` devices. Raises `RequestError` where `tensor` does not divide it."""
    return spread_over(cut_over(ledger, dtypes, tensor, node), copies, expert, expert_tensor)
