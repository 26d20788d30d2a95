"""Kinds of layers are those of the layers that there are, and of none that a longer stack would have."""

from __future__ import annotations

from itertools import product

from tscale.core.layers import Every, Places
from tscale.core.ledger import Group, Ledger, Matmul
from tscale.core.partition import layer_kinds

Q = Matmul("q", "q", "attention", "target", 4, 4)


def test_of_three_layers_none_is_of_a_kind_that_the_fifth_would_have() -> None:
    """Every third and every fourth layer have something of their own: the fifth would have both, the third has neither."""
    for layers, first, second in product(range(3, 9), (0, 1, 2), (0, 1)):
        here = {
            "every": set(range(layers)),
            "third": set(range(first, layers, 3)),
            "fourth": set(range(second, layers, 4)),
        }
        selectors = {"every": Every(), "third": Places(Every(), (first,), 3), "fourth": Places(Every(), (second,), 4)}
        groups = (Group(selectors[name], "decoder", len(own), None, (Q,)) for name, own in here.items())
        kinds = {tuple(layer in own for own in here.values()) for layer in range(layers)}
        assert layer_kinds(Ledger("x", tuple(groups))) == len(kinds)
