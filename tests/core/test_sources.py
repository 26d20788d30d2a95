"""Citations as people read them, and what they point to."""

from __future__ import annotations

import pytest

from tscale.core.sources import cited, reference


@pytest.mark.parametrize(
    ("citation", "said", "full"),
    [
        ("kaplan2020", "Kaplan 2020", "Kaplan 2020: Scaling Laws for Neural Language Models, https://arxiv.org/abs/2001.08361"),
        ("kaplan2020 Table 1", "Kaplan 2020, Table 1", "Kaplan 2020: Scaling Laws for Neural Language Models, https://arxiv.org/abs/2001.08361"),
        ("a table of ours", "a table of ours", ""), ("", "", ""),
    ],
)  # fmt: skip
def test_a_citation_names_its_publication_and_the_place_in_it(citation: str, said: str, full: str) -> None:
    assert (cited(citation), reference(citation)) == (said, full)
