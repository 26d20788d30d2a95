"""The list of mutants that change no answer is of mutants that there are, each with a reason."""

from __future__ import annotations

import tscale.counting
from tests.helpers import of_each
from tests.mutation import SOURCE, equivalent, is_mirrored, module_of, mutants, ordered, whole


@of_each(equivalent())
def test_a_mutant_that_is_listed_is_one_that_there_is(name: str) -> None:
    """What was renamed or written anew is judged anew."""
    assert equivalent()[name]
    file = SOURCE / name.partition(" ")[0]
    assert sum(mutant.name == name for mutant in mutants(file)) == 1


def test_the_quickest_test_comes_first_and_further_cases_count_for_more() -> None:
    """The cases of `a` come at 1, 2·2 and 3·3 seconds, so that `b` of 3 and `c` of 5 are before the next of it; `d` is new."""
    seconds = {"a[0]": 1.0, "a[1]": 2.0, "a[2]": 3.0, "b": 3.0, "c[x]": 5.0}
    assert ordered([*seconds, "d"], seconds) == ["d", "a[0]", "b", "a[1]", "c[x]", "a[2]"]


def test_a_case_that_was_not_recorded_takes_as_long_as_others_of_its_test() -> None:
    assert ordered(["a[new]", "b", "c"], {"a[0]": 1.0, "a[1]": 3.0, "b": 1.5, "c": 2.5}) == ["b", "a[new]", "c"]


def test_all_cases_of_tests_are_those_that_there_are() -> None:
    assert whole(["a[0]", "b"], ["a[0]", "a[1]", "b", "c", "ab"]) == {"a[0]", "a[1]", "b"}


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
