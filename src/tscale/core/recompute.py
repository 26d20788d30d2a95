"""What of a forward pass is computed again for the backward pass: a policy, and the layers that it is about.

What each policy keeps, and what it costs, is in `tscale.core.costs.recompute`.
"""

import re
from typing import Final, Literal, NamedTuple

from tscale.errors import RequestError, field, shown

Recompute = Literal["none", "selective", "op", "full"]

POLICIES: Final[dict[str, Recompute]] = {"none": "none", "selective": "selective", "op": "op", "full": "full"}

FEWEST: Final = -1
"""Stands for the first layers of each stage, as few as make a layout fit: a search finds their number."""


class Again(NamedTuple):
    """A policy, and the layers that it is about: the first `first` of each stage, or those with these numbers; all, with neither."""

    policy: Recompute = "none"
    first: int | None = None
    layers: tuple[int, ...] | None = None

    @property
    def of_some(self) -> bool:
        """Whether it is about some layers alone."""
        return self.first is not None or self.layers is not None

    @property
    def text(self) -> str:
        """As it is asked for."""
        if self.layers is not None:
            return f"{self.policy}:{','.join(map(str, self.layers))}"
        return self.policy if self.first is None else f"{self.policy}:{self.first}"


MOST_LAYERS: Final = 4096
"""The most layers that are named one by one, or in ranges."""


def find_again(text: str) -> Again:
    """What `full`, `full:8` (the first 8 layers of each stage) or `op:0-3,9` (these layers, from 0 on) mean.

    Raises `RequestError` for any other text.

    Example:
        >>> find_again("full:8"), find_again("op:0-2,9").layers
        (Again(policy='full', first=8, layers=None), (0, 1, 2, 9))
    """
    name, colon, of = text.partition(":")
    policy = POLICIES.get(name)
    if policy is None or (
        colon and (name == "none" or not re.fullmatch(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*", of))
    ):
        raise _refused(text)
    if not colon:
        return Again(policy)
    if of.isdigit():
        return Again(policy, int(of)) if int(of) else Again()
    parts = (part.partition("-") for part in of.split(","))
    ranges = [range(int(start), int(end or start) + 1) for start, _, end in parts]
    if not all(ranges):
        raise _refused(text)
    named = sum(map(len, ranges))
    if named > MOST_LAYERS:
        raise RequestError(
            f"{field('recompute')} names {named:,} layers: at most {MOST_LAYERS:,}; {name}:N is the first N"
        )
    layers = {layer for one in ranges for layer in one}
    return Again(policy, layers=tuple(sorted(layers)))


def _refused(text: str) -> RequestError:
    return RequestError(
        f"{field('recompute')} takes none, selective, op or full, for some layers full:8 (the first 8 of each stage) or full:0-3,9, not {shown(text)}"
    )
