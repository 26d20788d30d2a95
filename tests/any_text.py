"""Any text, as Hypothesis draws it by itself, without its table of a codec, which takes two seconds to make in a fresh environment."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

_CHARACTERS: Final = st.characters(exclude_categories=["Cs"])  # all that UTF-8 has bytes for


def any_text(most: int | None = None) -> SearchStrategy[str]:
    """Texts of at most so many characters."""
    return st.text(_CHARACTERS, max_size=most)
