"""Which target binds a deployment, and what relaxing each of them, or other formats, would change."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Final, NamedTuple

from tscale.core.dtypes import DTYPES, Dtype
from tscale.core.view import Record
from tscale.estimates.plan_serve.data import load_figure
from tscale.estimates.plan_serve.search import Found, ServingPlan, again, rows_of
from tscale.estimates.release import format_of
from tscale.planning.deployment_curves import Unit, unit_of
from tscale.planning.deployment_loads import Targets
from tscale.planning.deployment_rows import Deployed, ranking
from tscale.planning.deployment_search import Wanted, largest

LOOSER: Final = 2.0
"""What a target is multiplied by to see what it would change."""
_CLOSE: Final = 1.25
_NAMES: Final = {"ttft": "time to first token", "tpot": "time per output token", "memory": "memory"}


class Change(NamedTuple):
    """One thing changed, as the command line says it, and the best deployment then; None where there is none."""

    option: str
    best: Deployed | None

    def data(self, plan: ServingPlan) -> Record:
        """For programs: the chip and the number of devices, and the load that they carry."""
        row = self.best
        if row is None:
            return {"option": self.option, "gpu": None, "gpus": None, "load": None}
        return {
            "option": self.option,
            "gpu": row.case.hardware.name,
            "gpus": row.case.devices,
            "load": load_figure(plan, row.load),
        }


def binding(found: Found, wanted: Wanted) -> str | None:
    """What a quarter more of raises the load of the best deployment the most: a time, or memory; None where nothing does."""
    best = found.rows[0].choice
    gains = {
        "ttft": _load(best.unit, wanted._replace(targets=_looser(wanted.targets, "ttft", _CLOSE))),
        "tpot": _load(best.unit, wanted._replace(targets=_looser(wanted.targets, "tpot", _CLOSE))),
    }
    more = unit_of(best.unit.case, found.calibration, memory=_CLOSE)
    if isinstance(more, Unit):
        gains["memory"] = _load(more, wanted)
    name = max(gains, key=lambda key: gains[key])
    return _NAMES[name] if gains[name] > best.carried.load * (1 + _LEAST_GAIN) else None


_LEAST_GAIN: Final = 0.005


def _load(unit: Unit, wanted: Wanted) -> float:
    carried = largest(unit, wanted)
    return 0.0 if carried is None else carried.load


def _looser(targets: Targets, name: str, times: float) -> Targets:
    return targets._replace(**{name: getattr(targets, name) * times})


def changes(plan: ServingPlan, found: Found) -> Iterator[Change]:
    """Each target twice as long, then weights and cache in 8 bits where they are wider."""
    wanted = plan.wanted
    for name in ("ttft", "tpot"):
        seconds = getattr(wanted.targets, name)
        if seconds < float("inf"):
            looser = wanted._replace(targets=_looser(wanted.targets, name, LOOSER))
            option = f"--{name} {_spelt(LOOSER * seconds)}"
            yield Change(option, next(iter(rows_of(list(found.units), looser, found.calibration, 1)), None))
    yield from _narrower(plan, found)


def _spelt(seconds: float) -> str:
    """A time as an option takes it: 4s, 60ms."""
    return f"{seconds:g}s" if seconds >= 1 else f"{1000 * seconds:g}ms"


def _narrower(plan: ServingPlan, found: Found) -> Iterator[Change]:
    """Formats in 8 bits, where nothing was said of them, they are wider, and devices multiply by them."""
    eight = DTYPES["fp8"]
    if not found.units:
        return
    case = found.units[0].case
    fast, best = case.hardware.dense_tflops.fp8 is not None, ranking(found.rows[0], plan.wanted)
    most = best[0] if plan.load is not None else inf
    if plan.weights == (None,) and isinstance(case.kept, Dtype) and case.kept.bits > eight.bits and fast:
        yield from _better(
            "--dtype fp8",
            again(plan, found, most, kept=format_of(plan.spec, eight), weights="fp8", experts="fp8"),
            best,
            plan,
        )
    if plan.caches == (None,) and case.cache is not None and case.cache.bits > eight.bits:
        yield from _better("--cache-dtype fp8", again(plan, found, most, cache=eight), best, plan)


def _better(option: str, rows: tuple[Deployed, ...], best: tuple[float, float], plan: ServingPlan) -> Iterator[Change]:
    """A change that is for the better: of what was tried with it, which is not all, so that nothing follows where it is not."""
    if rows and ranking(rows[0], plan.wanted) < best:
        yield Change(option, rows[0])
