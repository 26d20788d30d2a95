"""No function of the source branches in more than 15 ways, as radon counts: boolean operators and comprehensions too."""

from __future__ import annotations

from pathlib import Path

import pytest
from radon.complexity import cc_visit
from radon.visitors import Function

SOURCE = Path(__file__).parent.parent / "src" / "tscale"
MOST = 15

WAIVED = {
    "checkpoint/matching.py _packings": "one search with its cuts, not yet taken apart",
}
"""The functions that are more complex for now, and why."""


def complex_functions() -> dict[str, int]:
    """The functions past the limit, by file and name, with their complexity; a method by the name of its class too."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for block in cc_visit(path.read_text(encoding="utf-8")):
            if isinstance(block, Function) and block.complexity > MOST:
                name = f"{block.classname}.{block.name}" if block.is_method else block.name
                found[f"{path.relative_to(SOURCE).as_posix()} {name}"] = block.complexity
    return found


@pytest.mark.slow
def test_no_function_is_too_complex() -> None:
    """Split it into parts with names. A waiver says why one is left as it is, and goes when it is split."""
    found = complex_functions()
    assert {name: value for name, value in found.items() if name not in WAIVED} == {}
    assert [name for name in WAIVED if name not in found] == []
