"""Matches names of modules against regular expressions and patterns with `*`, in a time that no pattern can blow up.

Files are not trusted, and a backtracking matcher takes longer than the universe over `.?.?.?…Z`. Here a pattern is a machine
that is in a set of places at once and goes through a name a single time (Thompson 1968); the sets that were met are kept.
Read are characters and classes of them, `.`, groups, alternatives and `* + ?`: all that was met in files of models; in patterns over
whole names also what looks ahead, which is a machine of its own for what is left of a name.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_MOST_TEXT: Final = 300
_ATOM: Final = re.compile(r"[\w\-/: ,]|\\[.\-_/:dw]|\.|\[\^?[\w\-.]+\]")
_ANY: Final = "."
_NONE: Final = "(?!)"


class Overspent(Exception):  # noqa: N818 (it is no error: the caller goes on without the pattern)
    """More steps than a file's patterns may take together."""


class Budget:
    """How many steps matching may still take."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def spend(self, steps: int) -> None:
        """Takes some. Raises `Overspent` where there are none left."""
        self.steps -= steps
        if self.steps < 0:
            raise Overspent


class _Edge(NamedTuple):
    """From a place to the next: over a character that `over` matches, or over none where it is empty.

    `ahead`: what the rest of a name must begin with, or with `without` must not, for the edge to lead anywhere.
    """

    over: str
    to: int
    ahead: Machine | None = None
    without: bool = False


class Node:
    """A set of places of a machine, and where each character that was met leads from it."""

    def __init__(self, places: frozenset[int], *, accepts: bool) -> None:
        self.places, self.accepts = places, accepts
        self.after: dict[str, Node] = {}


class Machine:
    """A pattern, ready to be matched from the beginning of a name; `to_end`: up to its end too."""

    def __init__(self, edges: list[list[_Edge]], start: int, accept: int, *, to_end: bool) -> None:
        self._edges, self._accept, self.to_end = edges, accept, to_end
        self._nodes: dict[frozenset[int], Node] = {}
        self._looks = any(edge.ahead is not None for place in edges for edge in place)
        self._first = start
        self.start = self._node({start})

    def walk(self, node: Node, text: str, budget: Budget) -> Node:
        """Where a text leads from a node; no further than what accepts all that may follow, or nothing."""
        budget.spend(len(text))
        for character in text:
            if not node.places or (node.accepts and not self.to_end):
                return node
            following = node.after.get(character)
            if following is None:
                following = self._follow(node, character, budget)
            node = following
        return node

    def matches(self, text: str, budget: Budget) -> bool:
        """Whether a name matches."""
        return self._looking(text, budget) if self._looks else self.walk(self.start, text, budget).accepts

    def _looking(self, text: str, budget: Budget) -> bool:
        """The same where edges look ahead: what a place leads to depends on what is left, so that no set of places is kept."""
        places = self._reached({self._first}, text, budget)
        for at, character in enumerate(text):
            there = {edge.to for place in places for edge in self._edges[place] if _over(edge.over, character)}
            places = self._reached(there, text[at + 1 :], budget)
        return self._accept in places

    def _reached(self, places: set[int], rest: str, budget: Budget) -> set[int]:
        """The places, and all that can be reached from them over nothing, with a rest of the name ahead."""
        waiting, closed = list(places), set(places)
        while waiting:
            budget.spend(8)
            for edge in self._edges[waiting.pop()]:
                if edge.over or edge.to in closed:
                    continue
                if edge.ahead is None or edge.ahead.matches(rest, budget) is not edge.without:
                    closed.add(edge.to)
                    waiting.append(edge.to)
        return closed

    def _follow(self, node: Node, character: str, budget: Budget) -> Node:
        budget.spend(8 * len(node.places))
        there = {edge.to for place in node.places for edge in self._edges[place] if _over(edge.over, character)}
        node.after[character] = self._node(there)
        return node.after[character]

    def _node(self, places: set[int]) -> Node:
        """The node of some places and all that can be reached from them over nothing."""
        waiting, closed = list(places), set(places)
        while waiting:
            for edge in self._edges[waiting.pop()]:
                if not edge.over and edge.to not in closed:
                    closed.add(edge.to)
                    waiting.append(edge.to)
        known = frozenset(closed)
        return self._nodes.setdefault(known, Node(known, accepts=self._accept in known))


def _over(over: str, character: str) -> bool:
    """Whether an edge leads over a character."""
    if len(over) <= 1:
        return over in (_ANY, character) if over else False
    return re.fullmatch(over, character) is not None


class _Builder:
    """Reads a regular expression and builds its machine, piece by piece."""

    def __init__(self, text: str, at: int = 0, *, looks: bool = False) -> None:
        self._text, self._at, self._looks = text, at, looks
        self.edges: list[list[_Edge]] = [[]]

    def alternatives(self, start: int) -> int:
        """Reads what stands between `|`, from one place to the one that is given back."""
        end = self.place()
        while True:
            self.join(self._sequence(start), end)
            if not self._take("|"):
                return end

    def at_end(self) -> bool:
        """Whether all was read."""
        return self._at == len(self._text)

    def place(self) -> int:
        """A new place."""
        self.edges.append([])
        return len(self.edges) - 1

    def join(self, here: int, there: int, over: str = "") -> None:
        """An edge."""
        self.edges[here].append(_Edge(over, there))

    def _take(self, token: str) -> bool:
        taken = self._text.startswith(token, self._at)
        self._at += len(token) if taken else 0
        return taken

    def _sequence(self, start: int) -> int:
        while not self.at_end() and self._text[self._at] not in "|)":
            start = self._piece(start)
        return start

    def _piece(self, start: int) -> int:
        """A character, or a group, with what says how often."""
        own = self.place()
        self.join(start, own)
        if self._looks and (self._text.startswith(("(?=", "(?!"), self._at)):
            return self._ahead(own)
        if self._take("("):
            self._take("?:")
            last = self.alternatives(own)
            if not self._take(")"):
                raise ValueError("a group that is not closed")
        else:
            last = self.place()
            self.join(own, last, self._character())
        return self._repeated(own, last)

    def _ahead(self, own: int) -> int:
        """What looks ahead: it takes no character."""
        inner = _Builder(self._text, self._at + len("(?="))
        machine = Machine(inner.edges, 0, inner.alternatives(0), to_end=False)
        last = self.place()
        self.edges[own].append(_Edge("", last, machine, self._text[self._at + 2] == "!"))
        self._at = inner._at
        if not self._take(")"):
            raise ValueError("what looks ahead is not closed")
        return last

    def _character(self) -> str:
        found = _ATOM.match(self._text, self._at)
        if found is None:
            raise ValueError("not of what is read")
        self._at = found.end()
        atom = found[0]
        if len(atom) == 2 and atom[1] not in "dw":
            atom = atom[1]
            return atom if atom != _ANY else r"\."
        re.compile(atom)
        return atom

    def _repeated(self, own: int, last: int) -> int:
        how = next((sign for sign in "*+?" if self._take(sign)), "")
        self._take("?" if how else "")  # as few as may be: it matches the same names
        end = self.place()
        self.join(last, end)
        if how in ("*", "?"):
            self.join(own, end)
        if how in ("*", "+"):
            self.join(last, own)
        return end


def regex_machine(text: str) -> Machine | None:
    """The machine of a regular expression that matches from the beginning of a name; None of one that is not read."""
    to_end = text.endswith("$") and not text.endswith("\\$")
    inner = text.removeprefix("^").removesuffix("$" if to_end else "")
    anchored = inner != text
    if len(text) > _MOST_TEXT or (anchored and "|" in re.sub(r"\([^()]*\)", "", inner)):
        return None  # an anchor would be of one alternative alone
    return _machine(inner, to_end=to_end)


def whole_machine(text: str) -> Machine | None:
    """The machine of a regular expression that matches a whole name, where anchors at its ends say nothing; None of one that is not read."""
    to_end = text.endswith("$") and not text.endswith("\\$")
    inner = text.removeprefix("^").removesuffix("$" if to_end else "")
    plain = inner.replace(r"[\d]", r"\d").replace("{1,}", "+")  # other spellings of what is read
    return None if len(text) > _MOST_TEXT else _machine(plain, to_end=True, looks=True)


def _machine(inner: str, *, to_end: bool, looks: bool = False) -> Machine | None:
    builder = _Builder(inner, looks=looks)
    try:
        end = builder.alternatives(0)
    except (ValueError, re.error, RecursionError):
        return None
    return Machine(builder.edges, 0, end, to_end=to_end) if builder.at_end() else None


def glob_machine(text: str, *, below: bool = False) -> Machine:
    """The machine of a name with `*` for anything, `?` for a character and `[…]` for one of several.

    `below`: what is inside of such a name too.
    """
    edges: list[list[_Edge]] = [[]]
    for token in re.findall(r"\*+|\[[^\]]+\]|.", text, re.DOTALL):
        here = len(edges) - 1
        if token[0] == "*":
            edges[here].append(_Edge(_ANY, here))
            continue
        edges.append([])
        edges[here].append(_Edge(_of_glob(token), here + 1))
    accept = len(edges) - 1
    if below:
        edges += [[]]
        accept = len(edges) - 1
        edges[accept - 1].append(_Edge("", accept))
        edges += [[_Edge(_ANY, accept + 1), _Edge("", accept)]]
        edges[accept - 1].append(_Edge(r"\.", accept + 1))
    return Machine(edges, 0, accept, to_end=True)


def _of_glob(token: str) -> str:
    """One token of a glob as an edge has it."""
    if token == "?":  # noqa: S105 (of a pattern)
        return _ANY
    if len(token) == 1:
        return r"\." if token == _ANY else token
    inside = "".join(map(_escaped, token[1:-1].removeprefix("!")))
    written = f"[{'^' if token[1] == '!' else ''}{inside}]"
    try:
        re.compile(written)
    except re.error:  # a range that runs backwards: no character is in it
        return _NONE
    return written


def _escaped(character: str) -> str:
    return character if character == "-" else re.escape(character)
