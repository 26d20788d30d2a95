"""Why attention replaced recurrence: Table 1 of Vaswani 2017, with numbers.

Operations of one layer of width d over a sequence of n, the steps of it that must wait for one another, and how many
steps a signal takes between the two ends of the sequence. The table's O(...) is taken with a constant of 1, as its
reader does: it compares growth, and counts no FLOPs.
"""

from __future__ import annotations

from typing import NamedTuple

from tscale.core.tracing import ceil_div, minimum

SOURCE = "vaswani2017 Table 1"


class LayerType(NamedTuple):
    """A row of the table at one sequence length, and from which length on it takes fewer operations than attention."""

    layer: str
    operations: int
    sequential_operations: int
    maximum_path_length: int
    condition: str
    cheaper_from: int | None


def layer_types(n: int, d: int, kernel: int, neighbourhood: int) -> tuple[LayerType, ...]:
    """The four rows of the table for `n` positions, width `d`, a convolution of `kernel`, attention to `neighbourhood`.

    A neighbourhood wider than the sequence is the sequence. The path of a convolution is that of a dilated one,
    log_k(n), rounded up to whole layers.
    """
    k, r = kernel, minimum(neighbourhood, n)
    return (
        LayerType("self-attention", n**2 * d, 1, 1, "", None),
        LayerType("recurrent", n * d**2, n, n, f"n > d = {d:,}", d + 1),
        LayerType("convolutional", k * n * d**2, 1, layers_to_reach(n, k), f"n > k·d = {k * d:,}", k * d + 1),
        LayerType(
            "restricted attention", r * n * d, 1, ceil_div(n, r), f"n > r = {neighbourhood:,}", neighbourhood + 1
        ),
    )


def layers_to_reach(n: int, k: int) -> int:
    """ceil(log_k(n)) in whole numbers, at least 1; n where a kernel of 1 never reaches."""
    if k == 1:
        return n
    layers, reach = 1, k
    while reach < n:
        layers, reach = layers + 1, reach * k
    return layers
