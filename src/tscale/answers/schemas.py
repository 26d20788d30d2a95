"""`tscale schema`: what the files of each kind may say, as JSON Schema."""

from __future__ import annotations

from typing import Any, Literal


def schema_of(what: Literal["models", "families", "hardware", "laws", "claims"]) -> dict[str, Any]:
    """The JSON Schema of the specs of models, or of files of another kind; that of claims lists what can be claimed."""
    if what == "models":
        from tscale.models.validation import schema

        return schema()
    if what == "claims":
        return _claims()
    if what == "families":
        from tscale.importer.family_schema import schema as of_families

        return of_families()
    from tscale.catalogue.hardware import Hardware
    from tscale.catalogue.laws import Law
    from tscale.catalogue.shipped import adapter_of

    return adapter_of(Hardware if what == "hardware" else Law).json_schema()


def _claims() -> dict[str, Any]:
    from tscale.catalogue.claims import Claims
    from tscale.catalogue.shipped import adapter_of
    from tscale.estimates.metrics import CLAIMABLE

    schema = adapter_of(Claims).json_schema()
    quantity = schema["$defs"]["Claim"]["properties"]["quantity"]
    quantity["description"] += " One of: " + "; ".join(
        key if key == one.name else f"{key} ({one.name})" for key, one in CLAIMABLE.items()
    )
    quantity["examples"] = list(CLAIMABLE)
    return schema
