"""What `tscale plan --serve` looks for deployments among, and those that it finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import islice, product
from math import inf
from time import perf_counter
from typing import Final, Literal, NamedTuple

from tscale.blocks.experts import Experts
from tscale.calibration.serving_calibration import Calibration
from tscale.calibration.serving_case import Pool, ServingCase, cluster_of
from tscale.catalogue.hardware import Hardware
from tscale.core.dtypes import Dtype
from tscale.core.kept import keep
from tscale.errors import RequestError, field
from tscale.estimates.deployment import Deployment, Engine
from tscale.estimates.media import Media, MediaCost, check_fits, flops_of, media_costs
from tscale.estimates.rent import Rent, rent_of
from tscale.estimates.serve.prediction import calibration_of, case_of_ask
from tscale.estimates.serve.reached import check_served
from tscale.estimates.serve.times import Ask as Serving
from tscale.estimates.serve.times import Draft
from tscale.models.spec import ModelSpec
from tscale.planning.deployment_curves import Rejected, Unit, units_of, with_pools
from tscale.planning.deployment_layouts import LayoutAxes, Room, layouts
from tscale.planning.deployment_loads import Targets
from tscale.planning.deployment_pools import pooled_cases
from tscale.planning.deployment_rows import Deployed, ranked_rows
from tscale.planning.deployment_search import Arrivals, Wanted

Pools = Literal["any", "aggregated", "disaggregated"]
MOST_LAYOUTS: Final = 5000
_ANY_DEVICES: Final = 10**6


class Chip(NamedTuple):
    """An accelerator, the words that name it on a command line, and what an hour of it costs."""

    hardware: Hardware
    words: tuple[str, ...]
    rent: Rent | None


class ServingPlan(NamedTuple):
    """What is asked: the load and its targets, and what is varied. `model`: the words that name it on a command line.

    `drafts`: what guesses, None for nothing. `most`: requests that a copy takes up at once, at the most.
    """

    spec: ModelSpec
    model: tuple[str, ...]
    chips: tuple[Chip, ...]
    context: int
    output: int
    prefix: int
    arrivals: Arrivals
    load: float | None
    devices: int | None
    targets: Targets
    axes: LayoutAxes
    pools: Pools = "any"
    weights: tuple[Dtype | None, ...] = (None,)
    caches: tuple[Dtype | None, ...] = (None,)
    engines: tuple[Engine, ...] = ("vllm",)
    version: str = ""
    drafts: tuple[Draft | None, ...] = (None,)
    calibration: str = ""
    most: int | None = None
    rank: Literal["devices", "dollars"] = "devices"
    rows: int = 10
    copies: tuple[int, ...] | None = None
    host: Fraction | None = None
    """GB/s at which a device reads the cached prefix of its host's memory."""
    chunks: tuple[int, ...] = (0,)
    """Tokens that a step takes at most; 0 for the engine's default."""
    media: Media = Media()
    """Images and sounds of each prompt."""

    @property
    def wanted(self) -> Wanted:
        """What is looked for, by what deployments are ranked."""
        return Wanted(self.arrivals, self.load, self.devices, self.targets, self.prices, self.copies)

    @property
    def prices(self) -> dict[str, float] | None:
        """Dollars an hour by chip, where deployments are ranked by dollars."""
        if self.rank == "devices":
            return None
        return {chip.hardware.name: float(chip.rent.middle) for chip in self.chips if chip.rent is not None}

    @property
    def media_costs(self) -> tuple[MediaCost, ...]:
        """What the images and sounds of a prompt take. Raises `RequestError` as `media_costs` does."""
        return keep(self.spec.made, self.media, lambda: media_costs(self.spec, self.media))


Key = tuple[object, ...]


def key_of(case: ServingCase) -> Key:
    """What cases differ in that differ in more than their layout and load."""
    return case.engine, id(case.hardware), id(case.kept), case.cache, case.guesses, case.chunk


class Base(NamedTuple):
    """What a row was asked with: the chip, and the formats that were asked for."""

    chip: Chip
    weights: Dtype | None
    cache: Dtype | None
    engine: Engine
    draft: Draft | None
    chunk: int


class Found(NamedTuple):
    """All units with what they were asked with, how many were tried and why others fell, and the best under the load."""

    units: tuple[Unit, ...]
    bases: Mapping[Key, Base]
    rejected: tuple[Rejected, ...]
    rows: tuple[Deployed, ...]
    calibration: Calibration
    seconds: float

    @property
    def evaluated(self) -> int:
        """Deployments that were tried, each at every load."""
        return len(self.units) + len(self.rejected)

    @property
    def reasons(self) -> Counter[str]:
        """How many fell to which reason."""
        return Counter(one.reason for one in self.rejected)

    def base_of(self, case: ServingCase) -> Base:
        """What a case was asked with."""
        return self.bases[key_of(case)]


_LAST: Final[list[tuple[ServingPlan, Found]]] = []
"""The last search, of which an answer and its picture are made."""


def searched(plan: ServingPlan) -> Found:
    """The best deployments. Raises `RequestError` for a model that `serve` does not predict."""
    if not _LAST or _LAST[0][0] is not plan:
        _LAST[:] = [(plan, _searched(plan))]
    return _LAST[0][1]


def _searched(plan: ServingPlan) -> Found:
    began = perf_counter()
    calibration = calibration_of(Deployment(calibration=plan.calibration))
    tried, bases = list[Unit | Rejected](), dict[Key, Base]()
    for base, case in _bases(plan):
        bases[key_of(case)] = base
        tried += _tried(plan, case, calibration)
    units = [one for one in tried if isinstance(one, Unit)]
    rejected = tuple(one for one in tried if isinstance(one, Rejected))
    rows = rows_of(units, plan.wanted, calibration, plan.rows)
    return Found(tuple(units), bases, rejected, rows, calibration, perf_counter() - began)


def rows_of(units: list[Unit], wanted: Wanted, calibration: Calibration, most: int) -> tuple[Deployed, ...]:
    """The best deployments under the load, with all copies, the best first: of those that meet the targets.

    Of several that are predicted alike, as experts that are spread or cut often are, the first is one for all.
    """
    found: dict[object, Deployed] = {}
    for row in ranked_rows(units, wanted, calibration):
        found.setdefault((row.case.devices, row.load, row.case.hardware.name, row.times[:2]), row)
        if len(found) == most:
            break
    return tuple(found.values())


def _bases(plan: ServingPlan) -> Iterator[tuple[Base, ServingCase]]:
    """The cases that differ in something else than their layout."""
    check_fits(plan.media_costs, plan.context, "input")
    towers = flops_of(plan.media_costs)
    for base in map(Base._make, product(plan.chips, plan.weights, plan.caches, plan.engines, plan.drafts, plan.chunks)):
        ask = Serving(
            base.weights,
            base.cache,
            context=plan.context,
            output=plan.output,
            prefix=plan.prefix,
            draft=base.draft,
            host=plan.host,
            tower_flops=towers,
        )
        check_served(plan.spec, ask)
        deployment = Deployment(base.engine, plan.version, chunk=base.chunk)
        yield base, case_of_ask(plan.spec, base.chip.hardware, ask, deployment)


def _tried(plan: ServingPlan, case: ServingCase, calibration: Calibration) -> Iterator[Unit | Rejected]:
    """All units of one case: with one pool, and with two."""
    tried = list(islice(layouts(plan.axes, room_of(plan, case), case.engine), MOST_LAYOUTS + 1))
    if len(tried) > MOST_LAYOUTS:
        raise RequestError(
            f"more than {MOST_LAYOUTS:,} layouts: give {field('tensor')}, {field('pipeline')} and the others fewer values"
        )
    pools = [Pool(layout, 1) for layout in tried]
    found = units_of([with_pools(case, pool, pool) for pool in pools], calibration, plan.most)
    singles = [one for one in found if isinstance(one, Unit)]
    yield from (one for one in found if isinstance(one, Rejected))
    if plan.pools != "disaggregated":
        yield from singles
    if plan.pools != "aggregated" and singles:
        yield from units_of(
            list(pooled_cases(singles, plan.targets, calibration, plan.devices)), calibration, plan.most
        )


def room_of(plan: ServingPlan, case: ServingCase) -> Room:
    """What bounds the layouts of a case."""
    node = cluster_of(case.hardware).devices_per_node
    experts = [int(block.experts) for block in plan.spec.feed_forwards if isinstance(block, Experts)]
    return Room(node, plan.devices or _ANY_DEVICES, int(plan.spec.layers), max(experts, default=1))


def chip_of(hardware: Hardware, words: tuple[str, ...], price: Fraction | None) -> Chip:
    """A chip with its price: as given, or as published."""
    return Chip(hardware, words, rent_of(hardware, price))


def again(plan: ServingPlan, found: Found, most: float = inf, **changed: object) -> tuple[Deployed, ...]:
    """The best with something else in all cases: of layouts with one pool and no pipeline, and of those that are listed.

    Layouts that did not fit in memory may then. `most`: those are left out that cost more, whatever they carry.
    """
    cases = [unit.case for unit in found.units] + [one.case for one in found.rejected if one.reason == "memory"]
    tried = [case for case in cases if not case.disaggregated and case.decode.layout.pipeline == 1]
    tried += [row.choice.unit.case for row in found.rows]
    tried = [case for case in tried if plan.wanted.cost(case, case.devices) <= most]
    units = units_of([case._replace(**changed) for case in tried], found.calibration, plan.most)  # type: ignore[arg-type]
    fitting = [unit for unit in units if not isinstance(unit, Rejected)]
    return rows_of(fitting, plan.wanted, found.calibration, 1)
