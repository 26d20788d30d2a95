"""Which layers of a stack something stands in: selectors that count how many of the first so many layers are theirs.

So a stretch of layers has `count(end) - count(start)` of them, whatever the depth of the stack.
"""

from typing import NamedTuple, Protocol

from tscale.core.tracing import ceil_div, maximum


class Layers(Protocol):
    """Layers of a stack, counted from 0."""

    def count(self, layers: int) -> int:
        """How many of the first so many layers these are."""


class Every(NamedTuple):
    """All layers."""

    def count(self, layers: int) -> int:
        """All of them."""
        return layers


class Rest(NamedTuple):
    """The layers that no other selector claims."""

    others: tuple[Layers, ...]

    def count(self, layers: int) -> int:
        """What the others leave."""
        return layers - sum(other.count(layers) for other in self.others)


class Places(NamedTuple):
    """Of the layers of another selector, those that have one of `places` in a period."""

    of: Layers
    places: tuple[int, ...]
    period: int

    def count(self, layers: int) -> int:
        """The whole periods' and those of the one that is begun."""
        own = self.of.count(layers)
        return sum(ceil_div(own - place, self.period) for place in self.places)


class ButFirst(NamedTuple):
    """The layers of another selector without the first of them."""

    of: Layers

    def count(self, layers: int) -> int:
        """One less than the other's, where it has any."""
        return maximum(self.of.count(layers) - 1, 0)


def layers_of(selector: Layers, layers: int) -> tuple[int, ...]:
    """The layers of a selector by number, of a stack of so many."""
    counts = list(map(selector.count, range(layers + 1)))
    return tuple(layer for layer in range(layers) if counts[layer + 1] != counts[layer])
