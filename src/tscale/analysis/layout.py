"""How serving is spread over devices, of whatever was given of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tscale.analysis.request import Request

if TYPE_CHECKING:
    from tscale.core.serving_layout import ServingLayout

WAYS: Final = ("tensor", "pipeline", "stages", "expert", "expert_tensor", "attention_data", "replicas")
"""The fields that say how devices share a model that is served, beside their number."""


def layout_of(request: Request, gpus: int | None) -> ServingLayout | None:
    """The layout that was asked for; None where all devices share each layer. Raises `RequestError`."""
    from tscale.core.serving_layout import serving_layout

    given: dict[str, Any] = {name: getattr(request, name) for name in WAYS if name in request.given}
    return serving_layout(gpus, **given) if given else None
