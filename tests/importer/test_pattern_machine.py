"""Patterns over modules match as Python's own matchers do, in a time that no pattern blows up."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import run
from tscale.importer.pattern_machine import Budget, Overspent, glob_machine, regex_machine, whole_machine

NAMES = st.text(st.sampled_from("ab.1_-c"), max_size=7)
_ATOMS = st.sampled_from(["a", "b", ".", r"\.", r"\d", r"\w", "[ab]", "[a-c]", "[^a]", "1", "_"])
_PIECES = st.tuples(_ATOMS, st.sampled_from(["", "", "*", "+", "?", "*?"])).map("".join)
_PLAIN = st.lists(_PIECES, max_size=4).map("".join)
_GROUPS = st.tuples(st.lists(_PLAIN, min_size=1, max_size=3).map("|".join), st.sampled_from(["", "?"])).map(
    lambda pair: f"({pair[0]}){pair[1]}"
)
REGEXES = st.tuples(
    st.sampled_from(["", "^"]),
    st.lists(st.one_of(_PLAIN, _GROUPS), max_size=3).map("".join),
    st.sampled_from(["", "$"]),
).map("".join)
GLOBS = st.lists(st.sampled_from(["a", "b", "*", "?", ".", "[ab]", "[!a]", "[a-c]", "[", "1"]), max_size=6).map("".join)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(REGEXES, st.lists(NAMES, min_size=1, max_size=4))
def test_a_regular_expression_matches_as_pythons_does(text: str, names: list[str]) -> None:
    machine = regex_machine(text)
    assert machine is not None
    for name in names:
        assert machine.matches(name, Budget(10**9)) == (re.match(text, name) is not None)


_LOOKS = st.tuples(st.sampled_from(["(?=", "(?!"]), st.lists(_PLAIN, min_size=1, max_size=2).map("|".join)).map(
    lambda pair: f"{pair[0]}{pair[1]})"
)
LOOKING = st.lists(st.one_of(_PLAIN, _GROUPS, _LOOKS), min_size=1, max_size=4).map("".join)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(LOOKING, st.lists(NAMES, min_size=1, max_size=4))
def test_a_pattern_that_looks_ahead_matches_whole_names_as_pythons_does(text: str, names: list[str]) -> None:
    machine = whole_machine(text)
    assert machine is not None
    for name in names:
        assert machine.matches(name, Budget(10**9)) == (re.fullmatch(text, name) is not None)


@pytest.mark.parametrize("text", ["(?=(?!a)b)c", "(?!a)*b", "(?<=a)b", "(?!a", "(?:a"])
def test_what_looks_behind_or_within_what_looks_ahead_is_no_machine(text: str) -> None:
    assert whole_machine(text) is None


def test_what_looks_ahead_takes_no_more_steps_than_there_are() -> None:
    machine = whole_machine("((?!.?.?.?.?Z).?)*" * 12)
    assert machine is not None
    with pytest.raises(Overspent):
        machine.matches("a" * 200, Budget(20_000))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(GLOBS, st.lists(NAMES, min_size=1, max_size=4))
def test_a_name_with_stars_matches_as_pythons_does(text: str, names: list[str]) -> None:
    for name in names:
        assert glob_machine(text).matches(name, Budget(10**9)) == fnmatchcase(name, text)
        inside = fnmatchcase(name, text) or fnmatchcase(name, f"{text}.*")
        assert glob_machine(text, below=True).matches(name, Budget(10**9)) == inside


@pytest.mark.parametrize("text", ["(?=a)b", "a{2}", "[", "(a", "a)", "^a|b", "a|b$", "*a", r"\bx", "a" * 400, "[9-0]"])
def test_what_is_not_of_what_is_read_is_no_machine(text: str) -> None:
    assert regex_machine(text) is None


def test_no_more_steps_are_taken_than_there_are() -> None:
    machine = regex_machine(".?" * 100 + "Z")
    assert machine is not None
    with pytest.raises(Overspent):
        machine.matches("a" * 50, Budget(1_000))


LAYERS = 126
BOMBS: dict[str, list[str]] = {
    "optional": ["re:" + ".?" * 140 + "Z"],
    "words": ["re:" + r"\w?" * 40 + "Z"],
    "alternatives": ["re:" + "(.|..)" * 40 + "Z"],
    "nested": ["re:(a|(a|(.*)*)*)*Z"],
    "repeated": ["re:" + "(.*)+" * 50 + "Z"],
    "thousands of them": [f"re:.*layers.*proj{number}" for number in range(6_000)],
    "thousands of long ones": [f"re:{'.?' * 20}{number}" for number in range(4_000)],
    "stars": [f"model.layers.1{'*a' * 100}{number}" for number in range(500)],
    "stars in more than a moment's worth of machines": [
        f"model.layers.1{'*a' * 100}{number}" for number in range(20_000)
    ],
    "stars in the number": [f"model.layers.*[0-9].{number}*" for number in range(5_000)],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_no_list_of_patterns_takes_more_than_a_moment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as a quarter of a megabyte holds; files may be larger, and the steps of matching in all are bounded."""
    made: list[tuple[int, Budget]] = []
    make = Budget.__init__

    def note(budget: Budget, steps: int) -> None:
        make(budget, steps)
        made.append((steps, budget))

    monkeypatch.setattr(Budget, "__init__", note)
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 512, "intermediate_size": 1024,
        "num_hidden_layers": LAYERS, "num_attention_heads": 8, "vocab_size": 1000, "quantization_config": {
            "quant_method": "compressed-tensors", "ignore": BOMBS[name],
            "config_groups": {"g": {"weights": {"num_bits": 4, "type": "int", "strategy": "channel"}}},
        },
    }  # fmt: skip
    done = run("memory", "-", stdin=json.dumps(config).encode())
    assert (done.code, done.err) == (0, "")
    assert "Not read" in done.out
    assert 0 < sum(steps - max(budget.steps, 0) for steps, budget in made) <= 4_100_000
