"""How serving is spread over devices, of whatever was given of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tscale.analysis.request import Request
from tscale.core.counts import parse_count
from tscale.errors import RequestError, nearest, shown

if TYPE_CHECKING:
    from tscale.core.serving_layout import ServingLayout

WAYS: Final = ("tensor", "pipeline", "stages", "expert", "expert_tensor", "attention_data", "replicas")
"""The fields that say how devices share a model that is served, beside their number."""


def pool_of(text: str, what: str) -> ServingLayout:
    """The degrees of a pool of devices: tensor=4,expert=32,attention-data=8,replicas=2. Raises `RequestError`."""
    from tscale.core.serving_layout import serving_layout

    given: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        name = key.strip().replace("-", "_")
        if not equals or name not in WAYS or name == "stages":
            known = [way.replace("_", "-") for way in WAYS if way != "stages"]
            hint = f"known: {', '.join(known)}" if name in WAYS else nearest(name.replace("_", "-"), known)
            raise RequestError(f"{what} takes degrees such as tensor=4,replicas=2, not {shown(part)}: {hint}")
        if name in given:
            raise RequestError(f"{what} gives {key.strip()} twice: give it once")
        given[name] = parse_count(value, what=f"{what} {key.strip()}", most=10**6)
    return serving_layout(None, **given)


def layout_of(request: Request, gpus: int | None) -> ServingLayout | None:
    """The layout that was asked for; None where all devices share each layer. Raises `RequestError`."""
    from tscale.core.serving_layout import serving_layout

    given: dict[str, Any] = {name: getattr(request, name) for name in WAYS if name in request.given}
    return serving_layout(gpus, **given) if given else None
