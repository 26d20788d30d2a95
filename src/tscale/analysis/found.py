"""The models and the hardware that are meant, however they were given: by a name or a file, by a mapping, or as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from tscale.errors import RequestError, UnknownNameError, field, nearest, shown

if TYPE_CHECKING:
    from tscale.catalogue.hardware import Hardware
    from tscale.models.spec import ModelSpec, Spec


def spec_of(
    model: object,
    changes: tuple[str, ...] = (),
    assume: str | None = None,
    *,
    strict: bool = False,
    families: object = None,
) -> Spec:
    """The spec that is meant: by a name or a file, as on the command line, by a mapping like a file's, or a spec itself.

    `families`: a file of further families, or a mapping like one.

    Raises:
        TscaleError: for what is no model, with all that validation finds of a mapping or of a spec.
    """
    if families is None:
        return _spec_of(model, changes, assume, strict=strict)
    from tscale.importer.families import more_families

    with more_families(families):
        return _spec_of(model, changes, assume, strict=strict)


def _spec_of(model: object, changes: tuple[str, ...], assume: str | None, *, strict: bool) -> Spec:
    from tscale.models.made import checked
    from tscale.models.resolve import changed, find
    from tscale.models.spec import ModelSpec

    if isinstance(model, str):
        return find(model, changes, assume, strict=strict)
    if isinstance(model, Mapping):
        return changed(_validated(model, assume, strict=strict), changes)
    from tscale.models.tower_spec import TowerSpec
    from tscale.models.undisclosed import UndisclosedSpec

    if isinstance(model, (ModelSpec, UndisclosedSpec, TowerSpec)):  # a sweep has read its model before
        if assume is not None:
            raise RequestError("--assume is about a config.json: give its file as the model, or drop it")
        return changed(checked(model) if isinstance(model, ModelSpec) else model, changes)
    raise RequestError(f"model must be a name, a path, a mapping or a ModelSpec, such as gpt3, not {shown(model)}")


def draft_of(draft: object, spec: ModelSpec, *, families: object = None) -> ModelSpec:
    """What guesses for a model: one of its heads, by its kind, or another model, as in `spec_of`.

    Raises:
        TscaleError: for what is neither, with the head that was meant where it was a slip of the finger.
    """
    from tscale.models.draft_heads import DRAFT_HEADS, draft_head, head_kind
    from tscale.models.resolve import disclosed

    kind = head_kind(draft)
    if kind is not None:
        return draft_head(spec, kind)
    try:
        return disclosed(spec_of(draft, families=families))
    except UnknownNameError:
        hint = nearest(str(draft).lower(), DRAFT_HEADS)
        if not hint.startswith("did you mean"):
            raise
    raise UnknownNameError(f"{field('draft')}: no model and no head {shown(draft)}: {hint}")


def specs_of(
    models: tuple[object, ...],
    changes: tuple[str, ...],
    assume: str | None,
    *,
    strict: bool = False,
    families: object = None,
) -> list[Spec]:
    """The specs of several models; `assume` is about those that are no built-in ones, if there are any."""
    if families is not None:
        from tscale.importer.families import more_families

        with more_families(families):
            return specs_of(models, changes, assume, strict=strict)
    from tscale.models.resolve import find_all

    if all(isinstance(model, str) for model in models):
        return find_all(cast("tuple[str, ...]", models), changes, assume, strict=strict)
    return [spec_of(model, changes, assume if isinstance(model, str) else None, strict=strict) for model in models]


def hardware_of(gpu: object, changes: tuple[str, ...] = ()) -> Hardware:
    """The hardware that is meant: by a name or a file, by a mapping like a file's, or itself. Raises `TscaleError`."""
    from tscale.catalogue.hardware import Hardware, find_hardware, read_hardware

    if isinstance(gpu, str):
        return find_hardware(gpu, changes)
    if isinstance(gpu, Mapping):
        return read_hardware(_plain(gpu, "gpu"), "gpu", changes)
    if not isinstance(gpu, Hardware):
        raise RequestError(f"gpu must be a name, a path, a mapping or Hardware, such as h100, not {shown(gpu)}")
    if changes:
        raise RequestError("--gpu-set changes hardware that is named: give its name, or a mapping")
    return gpu


def _validated(model: Mapping[str, Any], assume: str | None, *, strict: bool) -> Spec:
    """The spec in a mapping, of tscale's own keys or of a config.json's."""
    import json
    from pathlib import Path

    from tscale.importer.config_file import config_spec, looks_like_config
    from tscale.models.validation import validated
    from tscale.models.yaml_file import Document

    data = _plain(model, "model")
    text = json.dumps(data)
    if looks_like_config(text, Path("-")):
        return config_spec(text, Path("model", "config.json"), "model", assume, strict=strict)
    if assume is not None:
        raise RequestError("--assume is about a config.json: drop it")
    return validated(Document(data, "model", {}, {}))


def _plain(mapping: Mapping[str, Any], what: str) -> dict[str, Any]:
    """A mapping as a file would hold it. Raises `RequestError` where none can, with the reason."""
    import json

    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(mapping)))
    except RecursionError:
        raise RequestError(f"{what}: a mapping holds what a YAML or JSON file can: it is nested too deep") from None
    except (TypeError, ValueError) as error:
        raise RequestError(f"{what}: a mapping holds what a YAML or JSON file can: {error}") from None
    return plain
