"""Devices, utilisation and time, the third from two, and all that follows: worked out by hand of round numbers."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from tscale.core.metric import Figure
from tscale.core.units import GPU_HOURS
from tscale.errors import RequestError
from tscale.estimates.recomputed import Recomputed
from tscale.estimates.rent import Rent
from tscale.estimates.train import cases, figures, memory
from tscale.estimates.train.ask import Ask
from tscale.estimates.train.cases import Case

PEAK = 10**15


def _cases(**given: Any) -> list[tuple[str, Fraction, int, int]]:
    assumed: Any = SimpleNamespace(low=Fraction(1, 4), middle=Fraction(2, 5), high=Fraction(1, 2))
    return [
        (one.label, one.mfu, int(one.gpus), int(one.seconds))
        for one in cases.cases_of(Ask(**given), 10**9, 10**21, PEAK, assumed)
    ]


def test_the_third_of_devices_utilisation_and_time_follows_from_two() -> None:
    """10^21 FLOPs of 10^9 tokens on devices of 10^15 FLOP/s: a million device-seconds at the peak."""
    assert _cases(gpus=8, mfu=Fraction(2, 5)) == [("", Fraction(2, 5), 8, 312_500)]
    assert _cases(gpus=8, days=Fraction(10)) == [("", Fraction(10**6, 8 * 864_000), 8, 864_000)]
    assert _cases(gpus=8, tokens_per_second=Fraction(1000)) == [("", Fraction(1, 8), 8, 10**6)]
    assert _cases(gpus=8, tokens_per_second=Fraction(999)) == [("", Fraction(999, 8000), 8, 1_001_002)]  # seconds begin
    # 4 days are 345,600 seconds: of 2.5 million device-seconds at 40% 7.2 devices, so that 8 take 312,500
    assert _cases(days=Fraction(4), mfu=Fraction(2, 5)) == [("", Fraction(2, 5), 8, 312_500)]
    assert [(label, gpus, seconds) for label, _, gpus, seconds in _cases(gpus=8)] == [
        ("low", 8, 500_000), ("middle", 8, 312_500), ("high", 8, 250_000),
    ]  # fmt: skip


def test_a_utilisation_has_a_millionth_at_least_and_a_time_is_rounded_up() -> None:
    assert [cases._rounded_up(Fraction(value)) for value in ("3", "3.0001", "2.9999", "0")] == [3, 4, 3, 0]
    assert _cases(gpus=8, mfu=Fraction(1, 10**9))[0][3] == 125_000 * 10**6


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gpus": 8, "mfu": Fraction(1, 2), "tokens_per_second": Fraction(9)}, "say the same in two ways"), ({}, "how many devices, or how long"),
        ({"mfu": Fraction(1, 2)}, "how many devices, or how long"), ({"gpus": 8, "days": Fraction(9), "mfu": Fraction(1, 2)}, "one too many"),
        ({"gpus": 8, "days": Fraction(9), "tokens_per_second": Fraction(9)}, "one too many"), ({"days": Fraction(9), "tokens_per_second": Fraction(9)}, "is that of all devices"),
    ],
)  # fmt: skip
def test_two_of_three_are_given(given: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        _cases(**given)


def _stage(flops: int, tokens: int = 100, each: int = 10) -> Any:
    return SimpleNamespace(flops=lambda *_: flops, run=SimpleNamespace(tokens=each), ran_through=tokens)


def test_ratios_of_stages_are_weighed_by_their_flops(monkeypatch: pytest.MonkeyPatch) -> None:
    """3 of 4 FLOPs at 4/3 and one at 2 are 3/2 in the mean."""
    ratios = iter((Fraction(4, 3), Fraction(2)))
    monkeypatch.setattr(cases, "hardware_flops_ratio", lambda *_: next(ratios))
    redone: Any = SimpleNamespace(parts=lambda _: (), policy="full")
    whole: Any = SimpleNamespace(stages=(_stage(300), _stage(100)))
    assert cases.hardware_ratio(SimpleNamespace(ledger=None), whole, redone) == Fraction(3, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mfu", "said"),
    [(Fraction(1), ""), (Fraction(5, 4), ""), (Fraction(126, 100), "with"), (Fraction(21, 10), "times the peak")],
)
def test_no_device_computes_more_than_its_peak(mfu: Fraction, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Causal attention needs half of what is counted, and with all that is computed again four fifths: MFU up to 2, and up to 5/4.

    Each of 10 sequences takes 5 or 8 of the 100 FLOPs that are counted of all.
    """
    monkeypatch.setattr(cases, "least_flops", lambda _, __, policy, ___: 8 if policy == "full" else 5)
    redone = Recomputed()._replace(policy="full")
    monkeypatch.setattr(Recomputed, "parts", lambda *_: ())
    whole: Any = SimpleNamespace(stages=(_stage(100),), flops=lambda _: 100)
    model: Any = SimpleNamespace(ledger=None)
    if said:
        with pytest.raises(RequestError, match=said):
            cases.check_peak(model, whole, redone, mfu)
    else:
        cases.check_peak(model, whole, redone, mfu)


def test_shares_of_what_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 FLOPs in full attention, 80 in causal one; 6 for each of 3 parameters and 5 tokens."""
    monkeypatch.setattr(cases, "active_params", lambda _: SimpleNamespace(total=3))
    whole: Any = SimpleNamespace(
        flops=lambda _, sight="full": 80 if sight == "causal" else 100, tokens=SimpleNamespace(value=5)
    )
    model: Any = SimpleNamespace(ledger=None)
    assert [cases.counted_share_of(model, whole, count) for count in ("full", "causal", "6nd")] == [
        1,
        Fraction(4, 5),
        Fraction(90, 100),
    ]


RENT = Rent(Fraction(2), Fraction(3), Fraction(5), "assumed")


def _figures(case: Case, ask: Ask, rent: Rent | None = RENT, watts: int | None = 700) -> dict[str, Any]:
    device: Any = SimpleNamespace(watts=watts)
    whole: Any = SimpleNamespace(tokens=SimpleNamespace(value=10**9))
    return figures.figures_of(case, ask, rent, device, PEAK, Fraction(4, 3), whole, 10**21, "assumed", Fraction(9, 10))


def test_everything_that_follows_from_devices_and_time() -> None:
    """8 devices at 40% for 312,500 s are 694.4 hours; of 700 W with 1.1 for the data centre, and 400 g a kWh; a third more is computed."""
    ask = Ask(gpus=8, pue=Fraction(11, 10), grid=Fraction(400), grid_source="iea")
    found = _figures(Case("", Fraction(2, 5), 8, 312_500), ask)
    hours = Fraction(8 * 312_500, 3600)
    energy = hours * 700 * Fraction(11, 10) / 1000
    values = {
        "gpus": 8, "mfu": Fraction(2, 5) * Fraction(9, 10), "hfu": Fraction(2, 5) * Fraction(4, 3) * Fraction(9, 10), "seconds": 312_500,
        "days": Fraction(312_500, 86_400), "tokens_per_second": Fraction(2, 5) * PEAK * 8 * 10**9 / 10**21, "flops_per_second_per_gpu": Fraction(2, 5) * PEAK * Fraction(9, 10),
        "gpu_hours": hours, "cost_usd": hours * 3, "energy_kwh": energy, "co2e_kg": energy * 400 / 1000,
    }  # fmt: skip
    assert {key: one.value for key, one in found.items()} == values
    assert {key: one.known for key, one in found.items()} == dict.fromkeys(values, "assumed") | {"gpus": "exact"}


def test_what_is_not_known_has_no_figure_and_what_is_given_is_exact() -> None:
    case = Case("", Fraction(2, 5), 8, 864_000)
    none = _figures(case, Ask(gpus=8), rent=None, watts=None)
    assert [key for key, one in none.items() if one is None] == ["cost_usd", "energy_kwh", "co2e_kg"]
    assert _figures(case, Ask(gpus=8))["co2e_kg"] is None
    measured = _figures(
        case,
        Ask(gpus=8, days=Fraction(10), watts=Fraction(500)),
        rent=Rent(Fraction(3), Fraction(3), Fraction(3), "exact"),
    )
    assert {key: measured[key].known for key in ("days", "gpu_hours", "cost_usd", "energy_kwh")} == dict.fromkeys(
        ("days", "gpu_hours", "cost_usd", "energy_kwh"), "exact"
    )
    assert [measured[key].value for key in ("days", "gpu_hours", "energy_kwh")] == [
        10,
        8 * 240,
        8 * 240 * 500 / Fraction(1000),
    ]
    assert _figures(case, Ask(gpus=8, days=Fraction(10)))["energy_kwh"].known == "assumed"
    looked_for = _figures(case, Ask(days=Fraction(10)))["gpus"]
    assert (looked_for.known, bool(looked_for.source)) == ("assumed", True)


def test_the_range_of_a_cost_is_of_the_fewest_hours_at_the_lowest_price() -> None:
    columns: Any = [{"gpu_hours": Figure(hours, GPU_HOURS)} for hours in (30, 10, 20)]
    data: Any = figures.rent_data(columns, RENT)
    assert [data["cost_usd_range"][end].value for end in ("low", "high")] == [10 * 2, 30 * 5]
    alone: Any = figures.rent_data(columns[:1], RENT)
    assert [alone["cost_usd_range"][end].value for end in ("low", "high")] == [30 * 2, 30 * 5]
    assert figures.rent_data(columns, None) == {"cost_usd_range": None, "usd_per_gpu_hour": None}
    single = Rent(Fraction(3), Fraction(3), Fraction(3), "exact")
    assert figures._cost_range(columns[:1], single) is None
    several: Any = figures._cost_range(columns, single)
    assert [several[end].value for end in ("low", "high")] == [30, 90]
    row: Any = figures.in_range(Case("low", Fraction(1), 8, 1), columns[1], RENT)
    assert (row["case"], row["cost_usd_range"]["high"].value) == ("low", 50)
    unpriced: Any = figures.in_range(Case("low", Fraction(1), 8, 1), columns[1], None)
    assert unpriced["cost_usd_range"] is None


def test_states_fit_where_all_devices_have_as_much() -> None:
    """100 GB of states: 80 GB devices must be two."""
    for gpus, total, fits in (
        (1, 80 * 10**9, True),
        (1, 80 * 10**9 + 1, False),
        (2, 100 * 10**9, True),
        (3, 241 * 10**9, False),
    ):
        states = memory.States(gpus, total, gpus * 80 * 10**9)
        assert states.fit == fits
        data: Any = states.data()
        assert (data["verdict"], data["training_state_bytes"].value) == (None if fits else "does_not_fit", total)
    assert memory.States(1, 100 * 10**9, 80 * 10**9).said() == (
        "It does not fit: One device has 80 GB, and weights, gradients and optimizer states alone take 100 GB (bf16, adamw): 2 devices at least."
    )
    assert "3 devices have a total of 240 GB" in memory.States(3, 241 * 10**9, 240 * 10**9).said()
    assert memory.States(3, 241 * 10**9, 240 * 10**9).said().endswith(": 4 devices at least.")


def test_what_a_device_of_a_plan_needs_is_said_as_one_figure_or_from_the_least() -> None:
    def said(verdict: Any, total: int, least: int) -> str:
        return memory.PlanMemory(verdict, total * 10**9, least * 10**9, 80 * 10**9, None, "the command").said()

    assert said("fits", 50, 50) == "The plan fits: a device needs 50 GB and has 80 GB (bf16, adamw)."
    assert (
        said("may_fit", 82, 70)
        == "The plan may fit: a device needs 70 GB to 82 GB and has 80 GB (bf16, adamw); see `the command`."
    )
    assert (
        memory.PlanMemory(None, 0, 0, 0, None, "", why="so it is").said()
        == "What a device of the plan holds is not known here: so it is."
    )
