"""Table 1 of Vaswani 2017 with numbers, multiplied by hand."""

from __future__ import annotations

import pytest

from tscale.core.costs.layer_types import LayerType, layer_types, layers_to_reach


@pytest.mark.parametrize(("n", "r"), [(70, 7), (5, 5)])
def test_the_four_rows_of_the_table(n: int, r: int) -> None:
    """Of width 11, a kernel of 3 and neighbours of 7, of which a sequence of 5 has 5. 3^4 is the first power past 70, 3^2 past 5."""
    path = {70: 4, 5: 2}[n]
    assert layer_types(n, 11, 3, 7) == (
        LayerType("self-attention", n * n * 11, 1, 1, "", None),
        LayerType("recurrent", n * 11 * 11, n, n, "n > d = 11", 12),
        LayerType("convolutional", 3 * n * 11 * 11, 1, path, "n > k·d = 33", 34),
        LayerType("restricted attention", r * n * 11, 1, -(-n // r), "n > r = 7", 8),
    )


@pytest.mark.parametrize("kernel", [2, 3, 5])
def test_dilated_layers_reach_as_far_as_their_kernels_multiply(kernel: int) -> None:
    for n in range(1, 200):
        layers = layers_to_reach(n, kernel)
        assert kernel**layers >= n and layers >= 1
        assert layers == 1 or kernel ** (layers - 1) < n
    assert layers_to_reach(17, 1) == 17
