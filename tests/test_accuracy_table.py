"""No change makes a group of predictions worse by more than a step without anybody saying so."""

from __future__ import annotations

from functools import cache

import pytest

from tests.accuracy_table import RECORDED, Group, groups, recorded

STEP: dict[str, tuple[float, float]] = {"median": (0.05, 0.005), "p90": (0.05, 0.01)}
"""How much worse an error may become: by this part of itself, or by so much where that is more: 0.5 and 1 points."""


@cache
def now() -> dict[tuple[str, str, str], Group]:
    return {group.key: group for group in groups()}


def allowed(before: float, what: str) -> float:
    part, points = STEP[what]
    return before + max(part * before, points)


@pytest.mark.slow
@pytest.mark.parametrize("what", STEP)
def test_no_group_is_worse_by_more_than_a_step(what: str) -> None:
    """`python -m tests.accuracy_table` records the groups anew; a group that is worse is told in the changelog."""
    worse = [
        f"{' '.join(key)}: {what} {getattr(now()[key], what):.4f}, recorded {getattr(before, what):.4f}"
        for key, before in recorded().items()
        if key in now() and getattr(now()[key], what) > allowed(getattr(before, what), what)
    ]
    assert not worse


@pytest.mark.slow
def test_the_recorded_groups_are_those_that_there_are() -> None:
    """As many figures in each: a group that is refused, or that is lost, is not one that became better."""
    before = {key: group.figures for key, group in recorded().items()}
    assert {key: group.figures for key, group in now().items()} == before, f"write {RECORDED.name} anew"


def test_a_step_is_noticed() -> None:
    """5% of an error of 20% is a point; of a small error, half a point of its median is allowed."""
    assert allowed(0.2, "p90") == pytest.approx(0.21)
    assert allowed(0.02, "median") == pytest.approx(0.025)
