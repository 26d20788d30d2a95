"""The accuracy of predictions by group, as recorded: `python -m tests.accuracy_table` writes tests/measured/accuracy.csv anew.

Two kinds of row: what `tscale accuracy` says of each table in configs/measured, and of those in tests/measured that nothing is fitted
to, by group; and `left out`, the errors of runs that were left out of a fit, as the calibrations say them. A change may make no group worse by more than a step
(`tests/test_accuracy_table.py`); where it has to, the table is written anew and the difference is read.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from tests.helpers import answer

HERE: Final = Path(__file__).parent
RECORDED: Final = HERE / "measured" / "accuracy.csv"
CONFIGS: Final = HERE.parent / "configs"
TABLES: Final = (
    "vtrain.csv",
    "published_layouts.csv",
    "published_26_06.csv",
    "serving.csv",
    "serving_others.csv",
    "training_memory.csv",
)
JUDGES: Final = (
    "published_apart.csv",
    "published_later.csv",
    "published_dgxc.csv",
    "published_shards.csv",
    "published_mlperf.csv",
    "fine_tuning.csv",
    "fine_tuning_later.csv",
    "memory_apart.csv",
    "serving_apart.csv",
    "serving_mlperf.csv",
)
LEAST: Final = 10
"""Figures of a group that is recorded: of fewer, a percentile says nothing."""
COLUMNS: Final = ("source", "of", "group", "figures", "median", "p90")


class Group(NamedTuple):
    """A group's errors: of `figures` predictions, the median and the 90th percentile of |predicted/measured - 1|."""

    source: str
    of: str
    group: str
    figures: int
    median: float
    p90: float

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is a group of."""
        return self.source, self.of, self.group


def groups() -> Iterator[Group]:
    """All groups as predictions are now."""
    for path in (*(CONFIGS / "measured" / table for table in TABLES), *(HERE / "measured" / table for table in JUDGES)):
        table, found = path.name, answer("accuracy", str(path))
        for what in ("step", "tpot", "ttft", "latency", "throughput", "memory"):
            if what in found:
                yield _group(table, what, "all", found[what])
        for one in found["groups"]:
            if one["figures"] >= LEAST:
                yield _group(table, one["what"], f"{one['group']}: {one['value'] or 'not stated'}", one)
    yield from _left_out()


def _left_out() -> Iterator[Group]:
    """The errors of cross-validation, by calibration."""
    for path in sorted((CONFIGS / "calibrations").glob("training-*.yaml")):
        fit = yaml.safe_load(path.read_text(encoding="utf-8"))["fitted_to"]
        yield _group(path.name, "step", "left out", {**fit, "figures": fit["runs"]})
    serving = yaml.safe_load((CONFIGS / "calibrations" / "serving.yaml").read_text(encoding="utf-8"))
    for left, figures in serving["cross_validation"].items():
        group = "in the fit, by the formula alone" if left == "fitted" else f"left out: {left}"
        for what, one in figures.items():
            yield _group("serving.yaml", what, group, {**one, "figures": serving["fitted_to"]["runs"]})


def _group(source: str, of: str, group: str, found: Mapping[str, Any]) -> Group:
    return Group(source, of, group, int(found["figures"]), round(found["median"], 4), round(found["p90"], 4))


def recorded() -> dict[tuple[str, str, str], Group]:
    """The groups as they were recorded."""
    rows = csv.DictReader(
        line for line in RECORDED.read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    )
    found = (
        Group(row["source"], row["of"], row["group"], int(row["figures"]), float(row["median"]), float(row["p90"]))
        for row in rows
    )
    return {group.key: group for group in found}


def main() -> None:
    """Writes the table."""
    out = io.StringIO()
    out.write(
        "# Errors of predictions by group, |predicted/measured - 1|. Made by `python -m tests.accuracy_table`, not by hand.\n"
    )
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(groups())
    RECORDED.write_text(out.getvalue(), encoding="utf-8")


if __name__ == "__main__":
    main()
