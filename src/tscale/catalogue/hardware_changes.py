"""Fields of an accelerator that are set from the command line, and the sources that then are no longer theirs."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from tscale.catalogue.hardware import Hardware, Peaks
from tscale.errors import RequestError, called, nearest, shown
from tscale.models.yaml_file import Document, parse_document


def changed_document(document: Document, changes: tuple[str, ...], option: str) -> Document:
    """A document with fields changed from the command line; a bare dtype is one of the peaks."""
    if not isinstance(document.data, dict):
        return document  # which is refused as it stands
    data: dict[str, Any] = dict(document.data)
    changed = set()
    for change in changes:
        key, equals, text = change.partition("=")
        path = key.strip().split(".")
        if not equals or not all(path):
            raise RequestError(f"{option} takes KEY=VALUE, such as memory_gb=96 or bf16=500, not {shown(change)}")
        if path[0] in (field.name for field in fields(Peaks)):
            path = ["dense_tflops", *path]
        if path[0] not in (field.name for field in fields(Hardware)):
            known = [field.name for cls in (Hardware, Peaks) for field in fields(cls)]
            raise RequestError(
                f"{option} {called(change, 80)}: unknown key {shown(path[0])}: {nearest(path[0], known)}"
            )
        changed.add(path[0])
        value = parse_document(text, called(change, 80)).data if text.strip() else None
        inner = data
        for part in path[:-1]:
            held = inner.get(part) or {}
            if not isinstance(held, dict):
                raise RequestError(f"{option} {called(change, 80)}: {part} holds no keys")
            inner[part] = dict(held)
            inner = inner[part]
        inner[path[-1]] = value
    _forget_sources(data, changed)
    data["title"] = f"{data.get('title', data.get('name'))} with {', '.join(changes)}"
    return document._replace(data=data, name=called(" ".join(changes), 80), values_at={}, keys_at={})


def _forget_sources(data: dict[str, Any], changed: set[str]) -> None:
    """Whoever takes a figure away has no use for its source."""
    if {"host_memory_gb", "host_link_gb_per_s"} & changed and "host_source" not in changed:
        data["host_source"] = "as set from the command line"
    if data.get("price_usd_per_hour") is None and "price_source" not in changed:
        data.pop("price_source", None)
    another = "memory_gb" in changed and "reported_mib" not in changed
    if another or (data.get("reported_mib") is None and "reported_source" not in changed):
        _forget_reported(data)


def _forget_reported(data: dict[str, Any]) -> None:
    """Whoever gives another memory_gb means another device, of which nothing has been reported."""
    for key in ("reported_mib", "reported_source"):
        data.pop(key, None)
    if isinstance(data.get("evidence"), dict):
        data["evidence"] = {key: grade for key, grade in data["evidence"].items() if key != "reported"}
