"""Patterns over module paths, as the quantisation methods write them, and whether one is about an entry of a layer.

A path or a part of it of whole steps (`lm_head`, `model.layers.3.mlp.gate`, `self_attn`), with `*` for anything, or a
regular expression. Files are not trusted: of regular expressions those are read whose matching takes no longer than their
text allows, which are all that were met.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import cache
from typing import Final, NamedTuple

from tscale.importer.module_names import EMBEDDINGS, HEADS, paths_in_a_layer, stretches

_OUTER: Final = frozenset(
    [
        "model",
        "module",
        "language_model",
        "transformer",
        "backbone",
        "text_model",
        "llm",
        "thinker",
        "base_model",
        "decoder",
        "gpt_neox",
    ]
)
_LAYERS: Final = frozenset(["layers", "layer", "h", "blocks", "block"])
_BEFORE: Final = ("model.", "", "model.language_model.", "language_model.model.")
_MOST_TEXT = 300
_MOST_STARS: Final = {True: 2, False: 3}  # in a regular expression that is tried on each layer, and in any other
_ATOM: Final = r"(?:[\w\-/: ]|\\[.\-_/dw]|\.|\[[\w\-]+\])"
_WORDS: Final = r"\((?:\?:)?[\w.|\\\-\[\]]+\)"
_SAFE: Final = re.compile(rf"\^?(?:(?:{_ATOM}[*+?]?)|(?:{_WORDS}\??))*\$?")
_ELSEWHERE: Final = re.compile(
    r".*(norm|embed|vis(ion|ual)|image|audio|speech|patch|merger|proj(ect|ector|ection)\b|connector|resampl|tower|"
    r"multi_modal|mm_|mtp|nextn|eagle|medusa|draft|bias|rotary|conv|a_log|dt_bias|score|head|classifier|pooler|output).*",
    re.IGNORECASE,
)


class Pattern(NamedTuple):
    """What a file says of some modules.

    `local` is a path inside of a layer, of `layer` alone where that is given; it `begins` there, or stands anywhere in it.
    `regex` and `glob` are about whole paths.
    """

    text: str
    layer: int | None = None
    local: str = ""
    begins: bool = False
    regex: re.Pattern[str] | None = None
    glob: str | None = None

    @property
    def by_layer(self) -> bool:
        """Whether layers must be told apart to know what it is about."""
        if self.regex is not None:
            return _tells_digits(self.text)
        return self.layer is not None or self.glob is not None


def path_pattern(text: str) -> Pattern:
    """A path, or a part of one, with `*` for anything."""
    steps = [step for step in text.removesuffix(".weight").split(".") if step]
    while len(steps) > 1 and steps[0] in (*_OUTER, "*"):
        steps = steps[1:]
    if len(steps) < 2 or steps[0] not in _LAYERS:
        return Pattern(text, local=".".join(steps))
    rest = ".".join(steps[2:])
    if steps[1].isascii() and steps[1].isdecimal():
        return Pattern(text, int(steps[1][:18]), rest, begins=True)
    if steps[1] == "*":
        return Pattern(text, local=rest, begins=True)
    return Pattern(text, glob=".".join(["layers", *steps[1:]]))


def regex_pattern(text: str) -> Pattern | None:
    """A regular expression that must match from the beginning of a path; None where it is not of those that are read."""
    needed = text.removesuffix("$").removesuffix(".*")
    stars = needed.count("*") + needed.count("+")
    if len(text) > _MOST_TEXT or stars > _MOST_STARS[_tells_digits(text)] or not _SAFE.fullmatch(text):
        return None
    try:
        return Pattern(text, regex=re.compile(text))
    except re.error:
        return None


def _tells_digits(regex: str) -> bool:
    """Whether it matters to a regular expression which digits there are."""
    return re.search(r"\d|\\d|\\w|\[", regex) is not None


def about(pattern: Pattern, entry: str, layer: int | None, family: str) -> bool:
    """Whether a pattern is about an entry in a layer, or outside of the layers, as a family calls it."""
    if pattern.regex is not None:
        return _regex_is_about(pattern.regex, entry, layer, family)
    if layer is None:
        outside = pattern.layer is None and pattern.glob is None and not pattern.begins
        return outside and any(fnmatchcase(name, pattern.local) for name in _outside(entry))
    if pattern.glob is not None:
        return _glob_is_about(pattern.glob, entry, layer, family)
    if pattern.layer is not None and pattern.layer != layer:
        return False
    return _local_is_about(pattern.local, entry, family, begins=pattern.begins)


@cache
def _local_is_about(local: str, entry: str, family: str, *, begins: bool) -> bool:
    """Whether a path inside of a layer is about an entry: from the beginning of its paths, or anywhere in them."""
    if not local:
        return True
    beginnings, inside = stretches(entry, family)
    among = beginnings if begins else inside
    return any(fnmatchcase(stretch, local) for stretch in among) if "*" in local else local in among


def _glob_is_about(glob: str, entry: str, layer: int, family: str) -> bool:
    paths = [f"layers.{layer}.{path}" for path in paths_in_a_layer(entry, family)]
    return any(fnmatchcase(path, glob) or fnmatchcase(path, f"{glob}.*") for path in paths)


def _regex_is_about(regex: re.Pattern[str], entry: str, layer: int | None, family: str) -> bool:
    # what begins with anything matches behind each of them, or behind none
    before = _BEFORE[:1] if regex.pattern.startswith(".*") else _BEFORE
    if layer is None:
        return any(regex.match(outer + name) for name in _outside(entry) for outer in before)
    paths = [f"layers.{layer}.{path}" for path in paths_in_a_layer(entry, family)]
    return any(regex.match(outer + path) for path in paths for outer in before)


def _outside(entry: str) -> tuple[str, ...]:
    """What files call a table or a matrix that stands in no layer."""
    return {"head": HEADS, "embedding.tokens": EMBEDDINGS}.get(entry, ())


def is_elsewhere(pattern: Pattern, layers: int) -> bool:
    """Whether a pattern is about what is no matrix of a layer: norms, towers, heads, or layers past the last."""
    return (pattern.layer is not None and pattern.layer >= layers) or _ELSEWHERE.fullmatch(pattern.text) is not None
