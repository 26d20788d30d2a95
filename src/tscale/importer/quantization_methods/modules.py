"""Which modules a file keeps apart, by path or by regular expression, how integers are called, and what a cache is kept in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tscale.errors import shown
from tscale.importer.converted import some_of
from tscale.importer.module_patterns import MOST_EXPRESSIONS, Pattern, path_pattern, regex_pattern
from tscale.importer.quantization_methods.said import Said

_CACHES: Final = {"FP8": "fp8", "INT8": "int8", "NVFP4": "nvfp4"}


def cache_of(said: Said) -> tuple[str | None, tuple[str, ...]]:
    """What a file says that a cache is kept in, where it says anything, and what of it is not read."""
    key = "kv_cache_quant_algo" if said.data.get("kv_cache_scheme") is None else "kv_cache_scheme"
    scheme, words = said.data.get(key), ""
    if isinstance(scheme, Mapping) and key == "kv_cache_scheme":
        words = f"{scheme.get('type')}{scheme.get('num_bits')}".replace("float", "fp").upper().replace("FP4", "NVFP4")
        scheme = f"{scheme.get('type')} of {scheme.get('num_bits')} bits"
    elif isinstance(scheme, str):
        words = scheme.upper()
    elif scheme is not None:
        raise said.wrong(key, "text or an object" if key == "kv_cache_scheme" else "text")
    if words in ("", "NONE") or words in _CACHES:
        return _CACHES.get(words), ()
    return None, (f"{said.key}.{key}: a cache in {shown(scheme)} is not read here",)


def kept_apart(names: list[str], format: str | None = None) -> tuple[tuple[Pattern, str | None], ...]:
    """Modules by path that are kept in something else; None: unconverted."""
    return tuple((path_pattern(name), format) for name in names)


def by_regex(texts: list[tuple[str, str | None]]) -> tuple[tuple[tuple[Pattern, str | None], ...], tuple[str, ...]]:
    """Modules by path or, behind `re:`, by regular expression, and those of the latter that are not read."""
    found: list[tuple[Pattern, str | None]] = []
    unread: list[str] = []
    for number, (text, format) in enumerate(texts):
        if text.startswith("re:"):
            pattern = regex_pattern(text[3:]) if number < MOST_EXPRESSIONS else None
        else:
            pattern = path_pattern(text)
        if pattern is None:
            unread.append(text)
        else:
            found.append((pattern, format))
    return tuple(found), unread_expressions(unread)


def unread_expressions(texts: list[str], key: str = "") -> tuple[str, ...]:
    """What is said of the regular expressions that are not of those that are read."""
    if not texts:
        return ()
    which = "expression" if len(texts) == 1 else "expressions"
    return (f"{key and f'{key}: '}the {which} {some_of(texts)} {'is' if len(texts) == 1 else 'are'} not read here",)


def integers(bits: int, group: int, *, zero: str = "", order: bool = False) -> str:
    """The name of integers with a scale for each group, or for each row where the group is -1."""
    over = "row" if group == -1 else f"g{group}"
    return f"int{bits}-{over}{zero}{'-gidx' if order else ''}"
