"""What is assumed of a run in words and tables: the price of an hour, the goodput, and the published runs that a utilisation is from."""

from __future__ import annotations

from collections.abc import Iterator

from tscale.catalogue.prices import Price
from tscale.core.metric import Column, Detail, Figure, Table
from tscale.core.number_text import significant
from tscale.core.sources import cited
from tscale.core.units import MFU
from tscale.estimates.budget import Budget
from tscale.estimates.goodput import Goodput, goodput_share, usual_goodput
from tscale.estimates.rent import Rent, price_terms, usd_text
from tscale.estimates.utilisation import WHOLE_SHARE, Utilisation, percent_text


def _span(price: Price) -> str:
    return usd_text(price.low) if price.low == price.high else f"{usd_text(price.low)} to {usd_text(price.high)}"


def rent_notes(rent: Rent) -> Iterator[str]:
    """Who asks how much, the least first."""
    if len(rent.asked) > 1:
        each = "; ".join(f"{_span(price)} ({price_terms(price)})" for price in rent.asked)
        yield Detail(
            f"Prices in USD per GPU-hour, of which the assumed one is the median: {each}. --price sets another."
        )


def goodput_note(goodput: Goodput) -> str:
    """What is lost, and where that was published."""
    lost = "What is lost goes to failures, restarts, steps that are done again and checkpoints; energy is that of the steps alone."
    if not goodput.runs:
        return Detail(f"Of the time, {percent_text(goodput.middle)} goes to steps that count (--goodput). {lost}")
    each = "; ".join(
        f"{percent_text(goodput_share(one))} on {one.gpus:,} devices in {significant(one.days, 6)} days ({one.title}: {cited(one.source)})"
        for one in goodput.runs
    )
    return Detail(f"The assumed goodput has as much lost for a device as in {each}. {lost} --goodput sets another.")


def utilisation_note(assumed: Utilisation) -> str:
    """What the range is, and where its runs were published."""
    sources = dict.fromkeys(cited(one.run.source) for one in assumed.runs)
    parted = (
        f" It is that of the steps alone: of the time of published whole runs {percent_text(usual_goodput())} went to steps."
        if assumed.of_steps
        else ""
    )
    return Detail(f"{_range_note(assumed)}{parted} --mfu sets another. Sources: {'; '.join(sources)}.")


def _range_note(assumed: Utilisation) -> str:
    """Of which runs the range is, and what it holds."""
    if not assumed.known:
        return (
            "The assumed MFU is the median of the published whole runs of models of this very shape on about as many of this accelerator, restarts "
            "included; its range is from 10% below the least of them to 10% above the most."
        )
    return (
        f"The assumed MFU is the median of {assumed.known} published runs, weighted by their nearness in size, number and kind of "
        "devices, precision and routed experts, of which the table has those of the most weight; its range leaves 8% of the weight at "
        f"each end. It is of whole runs, restarts included: speeds of steps count {percent_text(WHOLE_SHARE)} of themselves, the median "
        "of what whole runs had of them."
    )


def utilisation_table(assumed: Utilisation, subject: str) -> Table:
    """The runs, each with its utilisation and its weight."""
    columns = (
        Column("assumed from", "run", numeric=False, wraps=16),
        Column("devices", "devices", numeric=False, wraps=16),
        Column("precision", "precision", drop=1, numeric=False),
        Column("of", "of", drop=2, numeric=False),
        Column("MFU", "mfu"),
        Column("weight", "weight"),
    )
    rows = tuple(
        (
            one.title,
            one.run.hardware if one.run.gpus is None else f"{one.run.gpus:,} × {one.run.hardware}",
            one.run.precision,
            "whole run" if one.run.whole else "steps",
            Figure(one.share_of(assumed.peak), MFU, "cited", one.run.source),
            Figure(weight, MFU, "assumed"),
        )
        for one, weight in zip(assumed.runs, assumed.weights, strict=True)
    )
    return Table("", columns, rows, subject=subject, aside=True)


def budget_notes(budget: Budget) -> Iterator[str]:
    """What a budget comes to, and what was assumed for that."""
    yield from budget.notes
    if budget.assumed is not None:
        yield utilisation_note(budget.assumed)
    if budget.rent is not None:
        yield from rent_notes(budget.rent)


def budget_tables(budget: Budget) -> Iterator[Table]:
    """The runs that a utilisation is assumed from."""
    if budget.assumed is not None and budget.hardware is not None:
        yield utilisation_table(budget.assumed, budget.hardware.name)
