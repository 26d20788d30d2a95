"""What must hold of every answer holds of some requests, always the same; `python -m tests.fuzz.invariants` draws new ones."""

from __future__ import annotations

import pytest

from tests.fuzz.invariants import draw, holds

REQUESTS = 32
SLICES = 4


@pytest.mark.slow
@pytest.mark.parametrize("part", range(SLICES))
def test_invariants_hold(part: int) -> None:
    found = {str(draw(seed)): holds(seed) for seed in range(part, REQUESTS, SLICES)}
    assert not {asked: broken for asked, (_, broken) in found.items() if broken}
    assert sum(answered for answered, _ in found.values()) > len(found) // 2


@pytest.mark.slow
def test_an_invariant_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer with a negative figure is found."""
    monkeypatch.setattr("tests.fuzz.invariants.figures", lambda _: [(".mfu", -1.0)])
    assert holds(0)[1]
