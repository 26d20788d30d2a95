"""The list of mutants that change no answer is of mutants that there are, each with a reason."""

from __future__ import annotations

import pytest

import tscale.counting
from tests.mutation import SOURCE, equivalent, is_mirrored, module_of, mutants, ordered


@pytest.mark.parametrize("name", equivalent())
def test_a_mutant_that_is_listed_is_one_that_there_is(name: str) -> None:
    """What was renamed or written anew is judged anew."""
    assert equivalent()[name]
    file = SOURCE / name.partition(" ")[0]
    assert sum(mutant.name == name for mutant in mutants(file)) == 1


def test_a_case_of_each_test_comes_before_another_of_any() -> None:
    tests = [f"a[{case}]" for case in range(8)] + ["b", "c[x]", "c[y]"]
    there = [*tests[1:], "d", "a[9]"]
    tried = ordered(tests, there)
    assert tried[:5] == ["b", "c[x]", "a[1]", "c[y]", "a[2]"]
    assert sorted(tried) == sorted(tests[1:])
    assert ordered(tests, there, whole=True) == [*tried, "a[9]"]


def test_tests_that_are_called_after_a_module_are_its_own() -> None:
    file = "tscale/core/costs/cache.py"
    assert is_mirrored(file, "tests/core/test_cache.py::test_it[x]")
    assert is_mirrored(file, "tests/core/test_cache_by_hand.py")
    assert not is_mirrored(file, "tests/blocks/test_cache.py::test_it")
    assert not is_mirrored(file, "tests/core/test_compressed_cache.py::test_it")


def test_a_package_is_the_module_that_its_file_makes() -> None:
    """A fault that is put into another copy of it would survive any test."""
    assert module_of("tscale/counting/__init__.py") is tscale.counting
    assert module_of("tscale/counting/given.py") is tscale.counting.given
