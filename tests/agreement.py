"""Prints what is counted beside what was measured: `python -m tests.agreement`, or with a CSV of the same columns.

One table: case, measured, ours, ratio, the range, and whether the run is said to fit; then the share that is within 10%.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

from tscale.calibration.memory_rows import GIB, MemoryJudged, judge, within
from tscale.catalogue.models import configs
from tscale.errors import TscaleError

NEAR: Final = Fraction(1, 10)


def rows(path: Path | None = None) -> list[dict[str, str]]:
    """The rows of a table, whose first lines are comments; of the shipped one where none is named."""
    path = path or configs() / "measured" / "training_memory.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def case_of(row: dict[str, str]) -> str:
    """A row in a few words."""
    degrees = [f"{name}{row[key]}" for name, key in _DEGREES if row.get(key)]
    words = (row["model"], row["method"], row["precision"], row["context"], *degrees, row["recompute"], row["loss"])
    more = f"{row['gpu_gib']} GiB" if row["what"] == "longest_context" else ""
    return " ".join(word for word in (*words, row["kernels"], more) if word)


_DEGREES: Final = (("mb", "micro_batch"), ("tp", "tensor"), ("pp", "pipeline"), ("vp", "interleave"), ("cp", "context_parallel"), ("dp", "data"))  # fmt: skip


def table(path: Path | None = None) -> Iterator[tuple[str, MemoryJudged | str]]:
    """Each case with what is counted of it, or why nothing is."""
    for row in rows(path):
        try:
            yield case_of(row), judge(row)
        except TscaleError as error:
            yield case_of(row), str(error)


def _shown(value: float, judged: MemoryJudged) -> str:
    return f"{value / GIB:,.2f} GiB" if judged.unit == "bytes" else f"{value:,.0f}"


def main(paths: list[str]) -> None:
    """Prints the table."""
    print(f"{'case':64} {'measured':>11} {'ours':>11} {'ratio':>6}  {'from':>11} {'to':>11}  fits")
    judged = []
    for case, found in table(Path(paths[0]) if paths else None):
        if isinstance(found, str):
            print(f"{case:64} {found}")
            continue
        judged.append(found)
        figures = [_shown(value, found) for value in (found.measured, found.middle, found.low, found.high)]
        print(
            f"{case:64} {figures[0]:>11} {figures[1]:>11} {found.ratio:6.3f}  {figures[2]:>11} {figures[3]:>11}  "
            f"{found.verdict or ''}"
        )
    near = sum(within(one, NEAR) for one in judged)
    print(f"\n{near} of {len(judged)} within 10%; {sum(one.covered for one in judged)} within the range")


if __name__ == "__main__":
    main(sys.argv[1:])
