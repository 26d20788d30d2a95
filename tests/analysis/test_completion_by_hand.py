"""Words that are offered for what was begun, of lists whose last name is being written."""

from __future__ import annotations

import pytest

from tscale.analysis.completion import one_of, some_of, spec_fields, target_names


@pytest.mark.parametrize(
    ("begun", "offered"),
    [
        ("", ["red", "green", "grey"]),
        ("GR", ["green", "grey"]),
        ("grey,", ["grey,red", "grey,green"]),
        ("green,grey,r", ["green,grey,red"]),
        ("red,re", []),
    ],
)
def test_the_last_of_a_list_is_one_that_is_not_named_yet(begun: str, offered: list[str]) -> None:
    assert some_of(("red", "green", "grey"))(begun) == offered
    assert one_of(("red", "green", "grey"))(begun) == ([] if "," in begun else offered)


def test_all_matrices_are_offered_by_themselves_alone() -> None:
    assert "all" in target_names("a")
    assert "q,all" not in target_names("q,a")
    assert "q,attention" in target_names("q,a")
    assert target_names("q,q") == []


def test_fields_of_a_block_are_offered_behind_its_dot() -> None:
    assert spec_fields("laye") == ["layers=", "layer_input="]
    assert spec_fields("norm") == ["norm."]
    assert "norm.kind=" in spec_fields("norm.k")
    assert spec_fields("attention.kv_h") == ["attention.kv_heads="]
    assert spec_fields("layers.") == []
    assert not {"name=", "title=", "notes="} & set(spec_fields(""))
