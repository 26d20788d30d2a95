"""Spec classes are frozen dataclasses as Python's own are."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle

import pytest

from tscale.blocks.spec_dataclass import spec_dataclass


@spec_dataclass
class Ours:
    a: int
    b: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pythons:
    a: int
    b: str | None = None


def test_it_reads_like_pythons() -> None:
    assert repr(Ours(a=1)) == repr(Pythons(a=1)).replace("Pythons", "Ours")
    assert str(inspect.signature(Ours)) == str(inspect.signature(Pythons)).removesuffix(" -> None")
    assert dataclasses.asdict(Ours(a=1)) == dataclasses.asdict(Pythons(a=1))


def test_two_are_equal_where_all_fields_are() -> None:
    one = Ours(a=1, b="x")
    assert one == copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == dataclasses.replace(Ours(a=2, b="x"), a=1)  # noqa: S301
    assert len({one, copy.deepcopy(one), Ours(a=2, b="x")}) == 2
    assert one != Ours(a=1)
    assert one != object()


def test_nothing_of_it_changes() -> None:
    one = Ours(a=1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'a'"):
        one.a = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'a'"):
        del one.a
    assert one.a == 1


@pytest.mark.parametrize(
    "given, said", [({}, "Ours needs a"), ({"a": 1, "c": 2}, "Ours has no c"), ({"b": "x", "c": 2}, "Ours has no c")]
)
def test_fields_that_are_missing_or_unknown_are_named(given: dict[str, int], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        Ours(**given)  # type: ignore[arg-type]
