"""Prompts whose tokens are sent to whole experts over nodes and multiplied there group by group, by kernels of published rates.

Engines that spread experts over nodes use DeepEP to send tokens and DeepGEMM to multiply them. What both reach was published for
DeepSeek-V3's shapes on Hopper in 8 bits, by how many rows each expert has, and no run of a table says it: those that prompts' constants
are fitted to have their experts in one node, or cut, and multiply them by other kernels.
"""

from __future__ import annotations

from typing import Final

from tscale.core.costs.serving_share import Deployed
from tscale.core.elementwise import smaller

FULL_ROWS: Final = 4096
"""Rows of an expert from which on its products are as fast as they get (deepseek-ai/DeepGEMM README: as fast at 8,192)."""


def rows_of(one: Deployed, tokens: float, copies: float) -> float:
    """Rows of an expert, of so many tokens on each of so many copies of attention."""
    return tokens * copies * one.chosen / one.experts_of_layer


def grouped_share(rows: float, most: float, growth: float) -> float:
    """The share of the peak of products with so many rows an expert: `most` of it from `FULL_ROWS` on, a power of the rows below.

    >>> round(grouped_share(256, 0.656, 0.137), 3), grouped_share(8192, 0.656, 0.137)
    (0.449, 0.656)
    """
    share: float = most * smaller(rows / FULL_ROWS, 1.0) ** growth
    return share
