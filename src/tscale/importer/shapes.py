"""Which known families a file of an unknown one is like, by the keys that it has: names say little of what is inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tscale.importer.families import FAMILIES
from tscale.importer.family import Family
from tscale.importer.harmless import is_harmless

_MOST: Final = 3


def alike(config: Mapping[str, object]) -> list[str]:
    """Families whose sizes the file names as they do, the nearest first: least of the file unread, then least missing.

    Those that are as near are named in the order of the table: the more used come first.
    """
    text = config.get("text_config")
    held = {key for key, value in (text if isinstance(text, dict) else config).items() if value is not None}
    telling = {key for key in held if not is_harmless(key) and not key.endswith(("_id", "_ids", "_config"))}
    distances: dict[str, tuple[int, int]] = {}
    for name, family in FAMILIES.items():
        known, named = {*family.reads, *family.fixed, *family.aliases, *family.harmless}, _renamed(held, family)
        if _sizes(family) <= named:
            distances[name] = (len(telling - known), len(_counted(family) - named))
    ranked = sorted(distances, key=lambda name: distances[name])
    return [name for name in ranked if distances[name][0] == distances[ranked[0]][0]][:_MOST]


def _counted(family: Family) -> set[str]:
    """The keys for which the class takes a number where they are absent: files of its own have them."""
    return {key for key, value in family.reads.items() if isinstance(value, int) and not isinstance(value, bool)}


def _sizes(family: Family) -> set[str]:
    """The keys without which nothing of a family's is its own."""
    keys = family.keys
    named = {keys.vocabulary, keys.d_model, keys.layers, keys.heads}
    return {key for key in named if key in family.reads}


def _renamed(held: set[str], family: Family) -> set[str]:
    return held | {key for alias, key in family.aliases.items() if alias in held}
