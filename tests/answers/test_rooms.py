"""Each question stands under its own name in every room, so that a reader of one finds the others."""

from __future__ import annotations

from importlib.util import find_spec

from tests.helpers import of_each
from tscale.analysis.questions import NAMES, question


@of_each(NAMES, quick=True)
def test_a_question_has_the_same_name_in_each_room(name: str) -> None:
    """In one file, or in a room that begins with `answer`; of two kinds, `plan` has one for each."""
    found = find_spec(f"tscale.answers.{name}")
    assert found is not None
    if found.submodule_search_locations and name != "plan":
        assert find_spec(f"tscale.answers.{name}.answer") is not None
    if question(name).plots is not None:
        assert find_spec(f"tscale.answers.plots.{name}") is not None
