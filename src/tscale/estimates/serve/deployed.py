"""A deployment that is more than tensor parallelism: what is predicted of it, and what its pools hold."""

from __future__ import annotations

from typing import NamedTuple

from tscale.calibration.serving_case import Pool, ServingCase, cluster_of
from tscale.calibration.serving_deployed import deployed_on, stages_on
from tscale.catalogue.hardware import Hardware
from tscale.core.adding import in_order
from tscale.core.costs.collectives import SOURCE as COLLECTIVES
from tscale.core.metric import Data, Figure
from tscale.core.serving_layout import ServingLayout
from tscale.core.units import BYTES, SECONDS
from tscale.estimates.release import Asked
from tscale.estimates.rent import Rent, rent_of
from tscale.estimates.serve.dollars import DOLLARS, dollars_of
from tscale.estimates.serve.prediction import Predicted, data_of, predicted
from tscale.estimates.serve.times import Ask
from tscale.models.spec import ModelSpec


def deployment_figures(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Data:
    """The figures of `deployment_report` by their keys: what a row of a sweep holds."""
    return deployed_data(spec, hardware, ask, deployed_of(spec, hardware, ask))


class Deployed(NamedTuple):
    """A deployment: what is predicted of it, what each pool holds, and what tokens cost."""

    found: Predicted
    asked: Asked
    rent: Rent | None
    held: dict[str, dict[str, Figure]]
    dollars: dict[str, Figure]
    moved: Transfer | None


def deployed_of(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Deployed:
    """What is predicted of a deployment, and what its pools hold. Raises `RequestError` for a layout that does not go together."""
    found = predicted(spec, hardware, ask)
    case, rent = found.case, rent_of(hardware, ask.price)
    pools = {"prefill": case.prefill, "decode": case.decode} if case.disaggregated else {"": case.decode}
    held = {name: _held(found, pool) for name, pool in pools.items()}
    moved = _transfer(case) if case.disaggregated else None
    return Deployed(found, Asked(spec, ask.weights, ask.cache), rent, held, dict(dollars_of(found, rent)), moved)


def deployed_data(spec: ModelSpec, hardware: Hardware, ask: Ask, one: Deployed) -> dict[str, Data]:
    """All of it for programs."""
    case = one.found.case
    return {
        "model": spec.name,
        "gpu": hardware.name,
        "gpus": case.devices,
        "batch": case.concurrency,
        "context": ask.context,
        "output": ask.output,
        "prefix": ask.prefix,
        **one.asked.data(),
        **data_of(one.found),
        **{key: one.dollars.get(key) for key in DOLLARS},
        **{f"predicted_{key}": figure for key, figure in one.dollars.items()},
        "cache_transfer": None if one.moved is None else one.moved.data(),
        "pools": {name or "all": dict(figures) for name, figures in one.held.items()},
    }


class Transfer(NamedTuple):
    """The cache of a prompt on its way from the pool that makes it to the one that decodes: bytes, and the least seconds."""

    size: Figure
    seconds: Figure | None

    def data(self) -> Data:
        """For programs."""
        return {"bytes": self.size, "seconds_at_least": self.seconds}


def _transfer(case: ServingCase) -> Transfer:
    """What a prompt's cache takes to send: each device an equal part, over its NIC, or over the link where one node holds both pools.

    Where several devices keep the same keys, each sends some of them.
    """
    cluster, layout = cluster_of(case.hardware), case.prefill.layout
    whole = deployed_on(case, ServingLayout()).sequence_bytes(round(case.prompt))
    device = cluster.device.link_bytes_per_second
    rate = device if case.devices <= cluster.devices_per_node else cluster.network_bytes_per_second
    seconds = (
        None
        if rate is None
        else Figure(whole / (layout.tensor * layout.pipeline) / rate, SECONDS, "bound", COLLECTIVES)
    )
    return Transfer(Figure(round(whole), BYTES, "convention"), seconds)


def _held(found: Predicted, pool: Pool) -> dict[str, Figure]:
    """Bytes on the fullest device of a pool: weights, and the cache of what it has at once."""
    case = found.case
    requests, tokens = case.batch if pool is case.decode else 1.0, round(case.prompt + case.output)
    held = [(one.weight_bytes, requests * one.sequence_bytes(tokens)) for one in stages_on(case, pool.layout)]
    weights, cache = max(held, key=in_order)
    return {
        "weight_bytes": Figure(round(weights), BYTES, "convention"),
        "kv_cache_bytes": Figure(round(cache), BYTES, "convention"),
        "memory_bytes": Figure(cluster_of(case.hardware).device.device_bytes, BYTES, "cited"),
    }
