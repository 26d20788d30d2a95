"""Low-rank adapters on a model, as a spec says them: of few models, so a file of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Final, Literal

from tscale.blocks.fields import MOST_SIZE, Problem, Size, Whole, of_one_line
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.costs.states import TARGETS, adapters
from tscale.core.ledger import Ledger
from tscale.core.partition import some_layers
from tscale.core.roles import Role
from tscale.errors import nearest, shown

_SEVERAL: Final = ("attention", "mlp")
_LATENT: Final[frozenset[Role]] = frozenset({"q_down", "q_up", "kv_down", "kv_up"})


LayerNumber = Annotated[int, Whole(0, MOST_SIZE)]
JOINED: Final[Mapping[str, tuple[str, ...]]] = {"qkv": ("q", "k", "v"), "gate_up": ("gate", "up")}
"""Matrices that a model's own code holds in one, which then has one adapter."""


@spec_dataclass
class TargetRank:
    """The rank of the adapters on one kind of matrix."""

    target: str
    """The matrix, as targets names it."""
    rank: Size
    """What lies between the two matrices of its adapters."""


@spec_dataclass
class TargetLayers:
    """Adapters on one kind of matrix in some layers."""

    target: str
    """The matrix, as targets names it."""
    rank: Size
    """What lies between the two matrices of these adapters."""
    layers: tuple[LayerNumber, ...]
    """The layers that have one, counted from 0."""


@spec_dataclass
class Adapter:
    """Low-rank adapters (LoRA) that are trained on a model, which is frozen."""

    rank: Size
    """What lies between the two matrices of an adapter."""
    targets: tuple[str, ...]
    """The matrices that have one: q, k, v, o, up, gate, down, or attention or mlp for all of them; qkv or gate_up where these are one."""
    ranks: tuple[TargetRank, ...] = ()
    """Ranks of targets that have another one than the rest."""
    places: tuple[TargetLayers, ...] = ()
    """Where not every layer has the same adapters: each target with its layers and their rank, in place of ranks."""
    magnitudes: bool = False
    """Whether each output of those matrices has a learned length as well (DoRA)."""
    whole: tuple[Literal["head", "embedding"], ...] = ()
    """Modules of which a copy is trained whole: the projection to the vocabulary, the token embedding."""
    base: str | None = None
    """The model that they were made for, as their file calls it."""

    @property
    def roles(self) -> frozenset[Role]:
        """The roles of the matrices that have one: one name is of one matrix, and not of those that latents are made by."""
        return frozenset(
            role
            for target in self.targets
            for name in JOINED.get(target, (target,))
            for role in TARGETS[name]
            if target in _SEVERAL or role not in _LATENT
        )

    @property
    def is_plain(self) -> bool:
        """Whether all of its adapters have one rank, each is on one matrix, and all layers have the same."""
        return not self.ranks and not self.places and not JOINED.keys() & set(self.targets)

    def on(self, ledger: Ledger) -> Ledger:
        """The adapters on a model's matrices."""
        if self.is_plain:
            return adapters(ledger, self.rank, self.roles, magnitudes=self.magnitudes)
        own = {one.target: one.rank for one in self.ranks}
        where = [(one.target, one.rank, some_layers(ledger, one.layers)) for one in self.places]
        each = [
            adapters(there, rank, replace(self, targets=(target,)).roles, magnitudes=self.magnitudes, joined=target in JOINED)
            for target, rank, there in where or [(one, own.get(one, self.rank), ledger) for one in self.targets]
        ]  # fmt: skip
        return replace(each[0], groups=tuple(group for one in each for group in one.groups))

    def problems(self, d_model: int) -> Iterator[Problem]:
        """Targets that are not known or listed twice, and a rank that is no low one."""
        for place, target in enumerate(self.targets):
            if target not in TARGETS and target not in JOINED:
                yield (
                    ("targets", place),
                    f"{shown(target)} is no matrix that has an adapter: {nearest(target, TARGETS)}",
                )
        if not self.targets:
            yield ("targets",), "an empty list has no adapters: name matrices, such as q and v"
        if len(set(self.targets)) < len(self.targets):
            yield ("targets",), "targets are each listed once"
        for place, one in enumerate(self.ranks):
            if one.target not in self.targets:
                yield ("ranks", place, "target"), f"{shown(one.target)} is no target of these adapters"
        yield from self._place_problems()
        if len(set(self.whole)) < len(self.whole):
            yield ("whole",), "modules are each listed once"
        highest = max(self.rank, *(one.rank for one in self.ranks), *(there.rank for there in self.places), 0)
        if highest > d_model:
            yield ("rank",), f"a rank of {highest:,} is no low one: the model is {d_model:,} wide"
        yield from of_one_line(base=self.base)

    def _place_problems(self) -> Iterator[Problem]:
        """Places of other targets, without layers or with the same one twice, and next to ranks."""
        for place, there in enumerate(self.places):
            if there.target not in self.targets:
                yield ("places", place, "target"), f"{shown(there.target)} is no target of these adapters"
            if not there.layers or len(set(there.layers)) < len(there.layers):
                yield ("places", place, "layers"), "layers are each listed once, and there is at least one"
        if self.places and self.ranks:
            yield ("ranks",), "places say the rank of every target: drop one of the two"
