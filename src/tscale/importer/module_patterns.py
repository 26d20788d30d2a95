"""Patterns over module paths, as the quantisation methods write them, and whether one is about an entry of a layer.

A path or a part of it of whole steps (`lm_head`, `model.layers.3.mlp.gate`, `self_attn`), with `*` for anything, or a
regular expression.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, NamedTuple

from tscale.importer.module_names import EMBEDDINGS, HEADS, paths_in_a_layer, stretches
from tscale.importer.pattern_machine import Budget, Machine, Node, glob_machine, regex_machine

_OUTER: Final = frozenset([
    "model", "module", "language_model", "transformer", "backbone", "text_model", "llm", "thinker", "base_model",
    "decoder", "gpt_neox",
])  # fmt: skip
_LAYERS: Final = frozenset(["layers", "layer", "h", "blocks", "block"])
_BEFORE: Final = ("model.", "", "model.language_model.", "language_model.model.")
_MOST_STEPS: Final = 4_000_000
"""Steps of matching that the patterns of one file may take, some half a second: what is met takes a hundredth."""
_A_CHARACTER: Final = 16
"""Steps that it takes to make one character of a name with `*` into a machine's."""
MOST_EXPRESSIONS: Final = 1000
"""Regular expressions of one file that are read."""
_NUMBERS: Final = (0, 10, 100, 1000)
"""Layers by which it shows whether a pattern without digits depends on how many digits there are."""
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
    regex: Machine | None = None
    glob: str | None = None

    @property
    def by_layer(self) -> bool:
        """Whether layers must be told apart to know what it is about."""
        if self.regex is not None:
            return self.tells_digits or re.search(r"(?<!\\)\.(?![*+])", self.text) is not None
        return self.layer is not None or self.glob is not None

    @property
    def tells_digits(self) -> bool:
        """Whether it matters to a regular expression which digits there are."""
        return re.search(r"\d|\\d|\\w|\[", self.text) is not None


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
    machine = regex_machine(text)
    return None if machine is None else Pattern(text, regex=machine)


class Matching:
    """Which entries the patterns of a file are about, as a family calls them; all together in so many steps."""

    def __init__(self, family: str, steps: int = _MOST_STEPS) -> None:
        self._family, self._budget = family, Budget(steps)
        self._of_local: dict[tuple[str, str, bool], bool] = {}
        self._machines: dict[str, Machine] = {}
        self._reached: dict[tuple[Node, str], bool] = {}
        self._walked: dict[tuple[Node, str], Node] = {}

    def about(self, pattern: Pattern, entry: str, layer: int | None) -> bool:
        """Whether a pattern is about an entry in a layer, or outside of the layers. Raises `Overspent`."""
        if pattern.regex is not None:
            return self._regex_is_about(pattern.regex, pattern.text, entry, layer)
        if layer is None:
            outside = pattern.layer is None and pattern.glob is None and not pattern.begins
            return outside and self._names(pattern.local, _outside(entry))
        if pattern.glob is not None:
            return self._reaches(self._machine(pattern.glob), "", entry, layer)
        if pattern.layer is not None and pattern.layer != layer:
            return False
        return self._local_is_about(pattern.local, entry, begins=pattern.begins)

    def _machine(self, glob: str) -> Machine:
        """The machine of a name with `*` for anything, and of what is inside of such a name. Raises `Overspent`."""
        if glob not in self._machines:
            self._budget.spend(_A_CHARACTER * len(glob))
            self._machines[glob] = glob_machine(glob, below=True)
        return self._machines[glob]

    def in_any_layer(self, pattern: Pattern, entry: str) -> bool:
        """Whether a pattern is about an entry, whatever the number of its layer; not where it depends on that."""
        if pattern.by_layer and (pattern.regex is None or pattern.tells_digits):
            return False
        return all(self.about(pattern, entry, number) for number in _NUMBERS)

    def _local_is_about(self, local: str, entry: str, *, begins: bool) -> bool:
        """Whether a path inside of a layer is about an entry: from the beginning of its paths, or anywhere in them."""
        if not local:
            return True
        key = local, entry, begins
        if key not in self._of_local:
            beginnings, inside = stretches(entry, self._family)
            among = beginnings if begins else inside
            self._of_local[key] = self._names(local, among) if "*" in local else local in among
        return self._of_local[key]

    def _names(self, wanted: str, names: Collection[str]) -> bool:
        """Whether one of some names is wanted, by name or with `*`, `?` and `[…]`."""
        if wanted in names or not re.search(r"[*?\[]", wanted):
            return wanted in names
        machine = glob_machine(wanted)
        return any(machine.matches(name, self._budget) for name in names)

    def _regex_is_about(self, regex: Machine, text: str, entry: str, layer: int | None) -> bool:
        # what begins with anything matches behind each of them, or behind none
        before = _BEFORE[:1] if text.startswith(".*") else _BEFORE
        if layer is None:
            return any(regex.matches(outer + name, self._budget) for name in _outside(entry) for outer in before)
        return any(self._reaches(regex, outer, entry, layer) for outer in before)

    def _reaches(self, machine: Machine, outer: str, entry: str, layer: int) -> bool:
        """Whether a machine accepts one of an entry's paths in a layer."""
        self._budget.spend(8)
        stack = self._walk(machine, machine.start, f"{outer}layers.")
        node = machine.walk(stack, f"{layer}.", self._budget)
        if (node, entry) not in self._reached:
            paths = (path.rpartition(".") for path in paths_in_a_layer(entry, self._family))
            ends = (self._walk(machine, self._walk(machine, node, outer + dot), name) for outer, dot, name in paths)
            self._reached[node, entry] = any(end.accepts for end in ends)
        return self._reached[node, entry]

    def _walk(self, machine: Machine, node: Node, text: str) -> Node:
        """Where a text that comes again and again leads."""
        self._budget.spend(1)
        if (node, text) not in self._walked:
            self._walked[node, text] = machine.walk(node, text, self._budget)
        return self._walked[node, text]


def _outside(entry: str) -> tuple[str, ...]:
    """What files call a table or a matrix that stands in no layer."""
    return {"head": HEADS, "embedding.tokens": EMBEDDINGS}.get(entry, ())


def is_elsewhere(pattern: Pattern, layers: int) -> bool:
    """Whether a pattern is about what is no matrix of a layer: norms, towers, heads, or layers past the last."""
    return (pattern.layer is not None and pattern.layer >= layers) or _ELSEWHERE.fullmatch(pattern.text) is not None
