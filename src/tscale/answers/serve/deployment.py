"""`tscale serve` of a deployment that is more than tensor parallelism: its steady state, with bounds, and what a device holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from tscale.answers.explaining import notes_of
from tscale.answers.release import Asked
from tscale.answers.rent import Rent, rent_of
from tscale.answers.serve.derived import of_request
from tscale.answers.serve.dollars import DOLLARS, dollar_rows, dollars_of
from tscale.answers.serve.prediction import (
    Predicted,
    answered,
    data_of,
    load_text,
    notes_of_prediction,
    predicted,
    tables_of,
)
from tscale.answers.serve.times import Ask
from tscale.calibration.serving_case import Pool, ServingCase, cluster_of
from tscale.calibration.serving_cases import deployed_on
from tscale.catalogue.hardware import Hardware
from tscale.core.costs.collectives import SOURCE as COLLECTIVES
from tscale.core.metric import Cell, Column, Data, Figure, Report, Table
from tscale.core.number_text import estimate
from tscale.core.serving_layout import ServingLayout
from tscale.core.units import BYTES, MILLISECONDS, SECONDS
from tscale.models.spec import ModelSpec


def deployment_report(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Report:
    """Times of requests in steady state, throughput, dollars and memory of each pool. Exit code 3: over capacity.

    Raises `RequestError` for a layout that does not go together, or a model that the calibration does not know.
    """
    deployed = _deployed(spec, hardware, ask)
    found, rent, held, asked = deployed.found, deployed.rent, deployed.held, deployed.asked
    case = found.case
    one = "request" if case.concurrency == 1 else "requests"
    load = load_text(ask.deployment, f"{case.concurrency:,} concurrent {one}")
    title = (
        f"{spec.label} on {case.devices:,} × {hardware.label}, {load}, {ask.context:,} input and {ask.output:,} output tokens: "
        f"{answered(found)}"
    )
    tables = [*tables_of(found, spec.name), *(_memory(name, figures, spec.name) for name, figures in held.items())]
    tables[0] = _with_rows(tables[0], deployed)._replace(title=title)
    priced = () if rent is None else tuple(rent.notes())
    notes = notes_of(spec, *_notes(found), *notes_of_prediction(found), *priced)
    lead = tuple(filter(None, (found.refused, *asked.lead())))
    code = 0 if found.times is not None else 3
    steps = tuple(of_request(found, f"{spec.name}, in steady state"))
    return Report(title, tuple(tables), _data(spec, hardware, ask, deployed), notes, steps, code, lead=lead)


def deployment_figures(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Data:
    """The figures of `deployment_report` by their keys: what a row of a sweep holds."""
    return _data(spec, hardware, ask, _deployed(spec, hardware, ask))


class _Deployed(NamedTuple):
    """A deployment: what is predicted of it, what each pool holds, and what tokens cost."""

    found: Predicted
    asked: Asked
    rent: Rent | None
    held: dict[str, dict[str, Figure]]
    dollars: dict[str, Figure]
    moved: _Transfer | None


def _deployed(spec: ModelSpec, hardware: Hardware, ask: Ask) -> _Deployed:
    found = predicted(spec, hardware, ask, ask.deployment)
    case, rent = found.case, rent_of(hardware, ask.price)
    pools = {"prefill": case.prefill, "decode": case.decode} if case.disaggregated else {"": case.decode}
    held = {name: _held(found, pool) for name, pool in pools.items()}
    moved = _transfer(case) if case.disaggregated else None
    return _Deployed(found, Asked(spec, ask.weights, ask.cache), rent, held, dict(dollars_of(found, rent)), moved)


def _data(spec: ModelSpec, hardware: Hardware, ask: Ask, one: _Deployed) -> dict[str, Data]:
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
        "cache_transfer": None if one.moved is None else one.moved.data(),
        "pools": {name or "all": dict(figures) for name, figures in one.held.items()},
    }


class _Transfer(NamedTuple):
    """The cache of a prompt on its way from the pool that makes it to the one that decodes: bytes, and the least seconds."""

    size: Figure
    seconds: Figure | None

    def data(self) -> Data:
        """For programs."""
        return {"bytes": self.size, "seconds_at_least": self.seconds}


def _transfer(case: ServingCase) -> _Transfer:
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
    return _Transfer(Figure(round(whole), BYTES, "convention"), seconds)


def _with_rows(table: Table, deployed: _Deployed) -> Table:
    """The table of a prediction with what tokens cost, and the cache that is sent. Others have no such columns."""
    if len(table.columns) != _PREDICTED_COLUMNS:
        return table
    moved = deployed.moved
    rows: list[tuple[Cell, ...]] = list(dollar_rows(deployed.dollars, deployed.rent))
    if moved is not None and moved.seconds is not None:
        seconds = moved.seconds._replace(value=1000 * moved.seconds.value, unit=MILLISECONDS)
        rows.append(("sending a prompt's cache, ms", "", "", "", seconds))
    return table._replace(rows=(*table.rows, *rows))


_PREDICTED_COLUMNS: Final = 5
_FULL: Final = 0.95
"""The share of the prompts that a pool takes in from which on it is called full."""


def _held(found: Predicted, pool: Pool) -> dict[str, Figure]:
    """Bytes on the fullest device of a pool: weights, and the cache of what it has at once."""
    case = found.case
    one, stages = deployed_on(case, pool.layout), pool.layout.pipeline
    requests = case.batch if pool is case.decode else 1.0
    cache = requests * one.sequence_bytes(round(case.prompt + case.output)) / stages
    return {
        "weight_bytes": Figure(round(one.weight_bytes / stages), BYTES, "convention"),
        "kv_cache_bytes": Figure(round(cache), BYTES, "convention"),
        "memory_bytes": Figure(cluster_of(case.hardware).device.device_bytes, BYTES, "cited"),
    }


def _memory(name: str, figures: dict[str, Figure], subject: str) -> Table:
    of = f"{name} pool, memory per device" if name else "memory per device"
    words = {
        "weight_bytes": "weights",
        "kv_cache_bytes": "KV cache at the last token",
        "memory_bytes": "memory of the device",
    }
    rows = tuple((words[key], figure) for key, figure in figures.items())
    return Table("", (Column(of, "quantity", numeric=False), Column("value", "value")), rows, subject=subject)


def _notes(found: Predicted) -> Iterator[str]:
    case = found.case
    layout = case.decode.layout
    if layout.attention_data > 1:
        yield f"{layout.attention_data:,} copies of attention share the requests: each keeps its weights whole, and a cache of its own."
    if layout.expert > 1:
        yield "Experts are taken to be met alike: the expected distinct ones are read, and devices have equal shares of the tokens."
    if case.disaggregated:
        if found.times is not None and found.requests_per_second > _FULL * found.times.prompts_per_second:
            yield (
                f"The prefill pool takes in {estimate(found.times.prompts_per_second)} prompts/s, and is full: that is what requests "
                "wait for. A larger one brings first tokens sooner and more requests through."
            )
        yield (
            "A prompt's cache is sent from one pool to the other; the runs that constants were fitted to did so too, so that the "
            "predicted time to first token has it."
        )
