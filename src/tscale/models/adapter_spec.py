"""Low-rank adapters on a model, as a spec says them: of few models, so a file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final, Literal

from tscale.blocks.fields import CONFIG, Problem, Size, of_one_line
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.costs.states import TARGETS
from tscale.core.roles import Role
from tscale.errors import nearest, shown

_SEVERAL: Final = ("attention", "mlp")
_LATENT: Final[frozenset[Role]] = frozenset({"q_down", "q_up", "kv_down", "kv_up"})


@spec_dataclass
class Adapter:
    """Low-rank adapters (LoRA) that are trained on a model, which is frozen."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    rank: Size
    """What lies between the two matrices of an adapter."""
    targets: tuple[str, ...]
    """The matrices that have one: q, k, v, o, up, gate, down, or attention or mlp for all of them."""
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
            role for target in self.targets for role in TARGETS[target] if target in _SEVERAL or role not in _LATENT
        )

    def problems(self, d_model: int) -> Iterator[Problem]:
        """Targets that are not known or listed twice, and a rank that is no low one."""
        for place, target in enumerate(self.targets):
            if target not in TARGETS:
                yield (
                    ("targets", place),
                    f"{shown(target)} is no matrix that has an adapter: {nearest(target, TARGETS)}",
                )
        if not self.targets:
            yield ("targets",), "an empty list has no adapters: name matrices, such as q and v"
        if len(set(self.targets)) < len(self.targets):
            yield ("targets",), "targets are each listed once"
        if len(set(self.whole)) < len(self.whole):
            yield ("whole",), "modules are each listed once"
        if self.rank > d_model:
            yield ("rank",), f"a rank of {self.rank:,} is no low one: the model is {d_model:,} wide"
        yield from of_one_line(base=self.base)
