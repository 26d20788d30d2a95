"""Tables of runs."""

from __future__ import annotations

from random import Random
from typing import Final

import tscale
from tests.calibration.synthetic import BESIROGLU, csv_of, runs_of
from tests.fuzz.dice import decoded, number, scratched, text
from tests.fuzz.kinds.given import file_of
from tests.fuzz.lines import COUNTS
from tscale.calibration.runs import parse_runs
from tscale.catalogue.models import configs

_RUNS: Final = csv_of(runs_of(BESIROGLU, 12, 0.01, 1)).splitlines()


def _table(dice: Random, lines: list[str], rows: int) -> bytes:
    """The head of a table and some of its rows, with some cells that are anything."""
    head, *rest = lines
    found = [head, *dice.sample(rest, min(rows, len(rest)))]
    for _ in range(dice.randrange(4)):
        at = dice.randrange(len(found)) if dice.random() < 0.1 else dice.randrange(1, len(found))
        cells = found[at].split(",")
        cells[dice.randrange(len(cells))] = (
            str(number(dice)) if dice.random() < 0.5 else dice.choice([text(dice), *COUNTS])
        )
        found[at] = ",".join(cells)
    raw = "\n".join(found).encode("utf-8", "surrogatepass")
    return scratched(dice, raw) if dice.random() < 0.2 else raw


def runs(dice: Random) -> None:
    """Runs that a law is fitted to, read."""
    parse_runs(decoded(_table(dice, _RUNS, 12)), "runs.csv", experts=dice.random() < 0.2)


def fit(dice: Random) -> None:
    """Runs, fitted."""
    with file_of("runs.csv", _table(dice, _RUNS, 12)) as name:
        tscale.fit(name, bootstraps=100)


def _measured(name: str) -> list[str]:
    return [
        line
        for line in (configs() / "measured" / name).read_text(encoding="utf-8").splitlines()
        if line and line[0] != "#"
    ]


_MEASURED: Final = [
    _measured(name) for name in ("vtrain.csv", "serving.csv", "training_memory.csv", "published_layouts.csv")
]


def measured(dice: Random) -> None:
    """A table of measured runs next to predictions."""
    with file_of("runs.csv", _table(dice, dice.choice(_MEASURED), dice.choice([1, 1, 2, 4]))) as name:
        tscale.accuracy(name)


def calibration(dice: Random) -> None:
    """Runs that predictions of serving are calibrated to."""
    with file_of("runs.csv", _table(dice, _MEASURED[1], dice.choice([1, 2, 4, 8]))) as name:
        tscale.calibrate(name)
