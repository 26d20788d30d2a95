"""`tscale serve` of a deployment that is more than tensor parallelism: its steady state, with bounds, and what a device holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tscale.answers.assumptions import rent_notes
from tscale.answers.serve.prediction import answered, dollar_rows, load_text, notes_of_prediction, refusal, tables_of
from tscale.catalogue.hardware import Hardware
from tscale.core.metric import Cell, Column, Derivations, Figure, Report, Table
from tscale.core.number_text import estimate
from tscale.core.units import MILLISECONDS
from tscale.estimates.explaining import OF_SERVING, notes_of
from tscale.estimates.serve.deployed import Deployed, deployed_data, deployed_of
from tscale.estimates.serve.derived import of_request
from tscale.estimates.serve.prediction import Predicted
from tscale.estimates.serve.times import Ask
from tscale.models.spec import ModelSpec


def deployment_report(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Report:
    """Times of requests in steady state, throughput, dollars and memory of each pool. Exit code 3: over capacity.

    Raises `RequestError` for a layout that does not go together, or a model that the calibration does not know.
    """
    deployed = deployed_of(spec, hardware, ask)
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
    priced = () if rent is None else tuple(rent_notes(rent))
    notes = notes_of(spec, *_notes(found), *notes_of_prediction(found), *priced, about=OF_SERVING)
    lead = tuple(filter(None, (refusal(found), *asked.lead())))
    code = 0 if found.times is not None else 3
    steps = Derivations(lambda: of_request(found, f"{spec.name}, in steady state"))
    return Report(title, tuple(tables), deployed_data(spec, hardware, ask, deployed), notes, steps, code, lead=lead)


def _with_rows(table: Table, deployed: Deployed) -> Table:
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
                f"wait for, so that {estimate(case.concurrency * found.times.decoding)} of {case.concurrency:,} decode concurrently. A larger "
                "one brings first tokens sooner and more requests through."
            )
        yield (
            "A prompt's cache is sent from one pool to the other; the runs that constants were fitted to did so too, so that the "
            "predicted time to first token has it."
        )
