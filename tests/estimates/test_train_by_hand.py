"""Devices, utilisation and time, the third from two, and all that follows: worked out by hand of round numbers."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from tscale.core.costs.step_time import Batch
from tscale.core.metric import Figure
from tscale.core.parallelism import Parallelism
from tscale.core.units import GPU_HOURS
from tscale.errors import RequestError
from tscale.estimates.recomputed import Recomputed
from tscale.estimates.rent import Rent
from tscale.estimates.train import cases, figures, memory, prediction
from tscale.estimates.train.ask import Ask
from tscale.estimates.train.cases import Case
from tscale.estimates.train.plan import PlannedStep, part_data
from tscale.estimates.train.prediction import PredictedStep, plan_utilisation

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
    [
        (Fraction(1), ""),
        (Fraction(5, 4), ""),
        (Fraction(126, 100), "with"),
        (Fraction(21, 10), "2.1 times the devices' peak"),
    ],
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
        assert (data["verdict"], data["training_state_bytes"].value) == ("may_fit" if fits else "does_not_fit", total)
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


# ---------------------------------------------------------------------------------------------------------------------
# Steps of a plan
# ---------------------------------------------------------------------------------------------------------------------


def _part(name: str, link: int, network: int, *, sent: int | None = 5) -> Any:
    least = SimpleNamespace(
        link=SimpleNamespace(seconds=Fraction(link)), network=SimpleNamespace(seconds=Fraction(network))
    )
    return SimpleNamespace(name=name, least=least, sent=sent, seconds=Fraction(link + network), source="s")


def _step(
    bound_by: str = "link",
    *,
    mfu: Fraction = Fraction(1, 2),
    batch: Batch = Batch(64, 4),
    parallel: Parallelism | None = None,
) -> PlannedStep:
    parts = (_part("sums", 5, 1), _part("gradients", 2, 3))
    step: Any = SimpleNamespace(bound_by=bound_by, parts=parts)
    return PlannedStep("it", Parallelism() if parallel is None else parallel, batch, step, mfu, mfu, None, ())


def test_a_plan_is_bound_by_the_part_that_most_of_the_sending_is_of() -> None:
    for bound_by, said in (
        ("link", "the link within nodes (sums)"),
        ("network", "the network between nodes (gradients)"),
        ("computing", "computing"),
    ):
        assert _step(bound_by).bound == said


def test_what_is_said_of_a_plan() -> None:
    """Of 64 sequences in micro-batches of 4, on two copies there are 8 each, of which ZeRO's second stage keeps no whole gradients."""

    def said(
        mfu: Fraction | None = None, *, of: Fraction = Fraction(1, 2), batch: Batch = Batch(64, 4), **degrees: Any
    ) -> list[str]:
        return list(_step(mfu=of, batch=batch, parallel=Parallelism(**degrees)).notes(mfu))

    assert [len(said(mfu)) for mfu in (None, Fraction(1, 2), Fraction(51, 100))] == [2, 2, 3]
    assert said(Fraction(51, 100))[1] == "The MFU above, 51.0%, is more than the plan allows: 50.0%."
    assert ["past 100%" in said(of=of)[0] for of in (Fraction(1), Fraction(101, 100))] == [False, True]
    cases: tuple[tuple[dict[str, Any], Batch, bool], ...] = (
        ({"data": 2, "zero": 2}, Batch(64, 4), True), ({"data": 2, "zero": 2}, Batch(8, 4), False), ({"zero": 2}, Batch(64, 4), False), ({"data": 2}, Batch(64, 4), False),
    )  # fmt: skip
    for degrees, batch, sharded in cases:
        assert any("8 micro-batches sends its own" in line for line in said(batch=batch, **degrees)) == sharded
    assert any("2 micro-batches sends its own" in line for line in said(batch=Batch(16, 4), data=2, zero=2))
    assert ["in the order of 1F1B" in said(pipeline=stages)[0] for stages in (1, 2)] == [False, True]


def test_a_part_that_is_not_sent_has_no_time_on_a_link() -> None:
    data: Any = part_data(_part("sums", 5, 1))
    assert [data[key].value for key in ("seconds", "bytes", "link_seconds", "network_seconds")] == [6, 5, 5, 1]
    alone: Any = part_data(_part("computing", 5, 1, sent=None))
    assert [alone[key] for key in ("bytes", "link_seconds", "network_seconds")] == [None, None, None]


def test_the_utilisation_of_a_plan_is_highest_where_its_steps_are_quickest(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 sequences of 10 FLOPs on 4 devices of 8 FLOP/s: 640 in 40, 50 and 80 s are 1/2, 2/5 and 1/4."""
    monkeypatch.setattr(prediction, "counted_flops", lambda _, __, tokens, ___: 10 * tokens)
    whole: Any = SimpleNamespace(first=SimpleNamespace(run=SimpleNamespace(tokens=1)))
    seconds: Any = SimpleNamespace(seconds=(40.0, 50.0, 80.0))
    found = PredictedStep(seconds, 1, 4, 8)
    model: Any = SimpleNamespace(ledger=None)
    used = plan_utilisation(found, model, whole, Batch(64, 4))
    assert used == (Fraction(1, 4), Fraction(2, 5), Fraction(1, 2))
    assert used is not None
    assert used.said() == ("MFU predicted: 40.0% (25.0% to 50.0%, an 80% interval of the plan below).")
    assert plan_utilisation(None, model, whole, Batch(64, 4)) is None
    assert plan_utilisation(found._replace(found=None), model, whole, Batch(64, 4)) is None
    assert PredictedStep(None, 1, 4, 8).data == {"step_seconds": None, "prediction": None}
    assert PredictedStep(None, 320, 4, 8).utilisation(20.0).value == Fraction(1, 2)


def test_the_three_longest_parts_of_a_step_are_named() -> None:
    parts = SimpleNamespace(
        seconds=10.0, _asdict=lambda: {"computing": 5.0, "attention": 1.0, "sums": 3.0, "gradients": 0.5}
    )
    found: Any = SimpleNamespace(parts=parts)
    assert (
        PredictedStep(found, 1, 4, 8)._longest()
        == "Most of it: products 50%, tensor-parallel all-reduces 30%, attention 10%."
    )
