"""A model with a shape that was never published: what was, and what others estimate."""

from __future__ import annotations

from typing import Annotated, Literal

from tscale.blocks.fields import Whole
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.models.spec import Evidence


@spec_dataclass
class Estimate:
    """What a third party estimates of a model that was not disclosed."""

    claim: str
    by: str
    evidence: Evidence = "unconfirmed"


@spec_dataclass
class UndisclosedSpec:
    """A model with a shape that was not published: what was published, and the estimates of others."""

    name: str
    title: str | None = None
    aliases: tuple[str, ...] = ()
    year: Annotated[int, Whole(1900, 2100)] | None = None
    kind: Literal["undisclosed"]
    disclosed: str
    """What its makers published."""
    source: str
    evidence: Evidence = "unconfirmed"
    estimates: tuple[Estimate, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name as its makers write it."""
        return self.title or self.name
