"""What a file of claims may say: who is said to have how much of what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscale.blocks.fields import Positive
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.catalogue.shipped import read_as, shipped_names, shipped_or_file

if TYPE_CHECKING:
    from tscale.models.yaml_file import Document


@spec_dataclass
class Claim:
    """One claim: that `subject` has `claimed` of `quantity`; or that many times what `relative_to` has."""

    subject: str
    """The model that the claim is about: a built-in name, or a file."""
    quantity: str
    """What is claimed, by its key or by the name that tables print."""
    claimed: Positive
    """The value that is claimed; with relative_to, the ratio."""
    relative_to: str | None = None
    """The model that the ratio is to; absent where the value itself is claimed."""
    quote: str | None = None
    """The words of the claim, to print next to it."""
    tolerance: Positive | None = None
    """How far off a claim may be and still hold, as a share of the right value: 0.01 is one percent."""


@spec_dataclass
class Claims:
    """Claims to audit, and where they were made."""

    title: str
    """The title of the audit."""
    source: str | None = None
    """Where the claims were made."""
    claims: tuple[Claim, ...]


def listed_claims() -> list[str]:
    """The names of the files of claims that are shipped."""
    return shipped_names("claims")


def read_claims(name: str) -> tuple[Claims, Document]:
    """The claims in a file, or in one that is shipped, by its name. Raises `TscaleError`."""
    document = shipped_or_file(name, "claims", "claims", "`tscale list claims` names those that are shipped")
    return read_as(Claims, document, {"claims": Claim}), document
