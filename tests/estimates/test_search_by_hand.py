"""Searches of deployments put together of stand-ins: what is asked, what is tried, which of it is listed, and what would change it."""

from __future__ import annotations

from fractions import Fraction
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from tests.blocks.test_experts_and_latents import spec
from tscale.calibration.interval import Interval
from tscale.calibration.serving_case import Pool
from tscale.catalogue.hardware import find_hardware
from tscale.core.dtypes import DTYPES
from tscale.core.serving_layout import ServingLayout
from tscale.errors import RequestError
from tscale.estimates.plan_serve import data, relax, search, text
from tscale.estimates.plan_serve.search import Chip, ServingPlan
from tscale.estimates.rent import Rent
from tscale.estimates.serve.times import Draft
from tscale.planning.deployment_curves import Rejected, Unit
from tscale.planning.deployment_loads import Targets

SMALL = (
    "name: small\nlayers: 4\nd_model: 64\nvocabulary: 512\ncontext: 4096\ntied: true\nattention: {heads: 4}\npositions: {kind: rotary}\n"
    "norm: {kind: rmsnorm}\nfeed_forward: %s\n"
)
MODEL = spec(SMALL % "{d_ff: 96}")
H100 = find_hardware("h100")
RENT = Rent(Fraction(2), Fraction(3), Fraction(4), "assumed")


def _plan(**given: Any) -> ServingPlan:
    values = {
        "spec": MODEL, "model": ("small",), "chips": (Chip(H100, ("--gpu", "h100"), RENT),), "context": 100, "output": 20, "prefix": 0, "arrivals": "rate", "load": 2.5,
        "devices": None, "targets": Targets(2.0, 0.03), "axes": None, **given,
    }  # fmt: skip
    return ServingPlan(**values)


class _Case(SimpleNamespace):
    def _replace(self, **changed: Any) -> _Case:
        return _Case(**vars(self) | changed)


def _case(name: str = "", **given: Any) -> Any:
    pool = Pool(ServingLayout(4, 2, 1, 4, 1), 3)
    return _Case(
        **{
            "name": name, "disaggregated": False, "decode": pool, "prefill": Pool(ServingLayout(2, 1, 1, 2, 1), 1), "concurrency": 7, "devices": 24, "output": 20.0,
            "prompt": 100.0, "engine": "vllm", "hardware": H100, "kept": DTYPES["bf16"], "cache": None, "guesses": 0, "chunk": 0, "chunk_tokens": 2048, **given,
        }
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# What is asked and answered, as data
# ---------------------------------------------------------------------------------------------------------------------


def test_what_was_asked_is_data() -> None:
    """55.5 GB/s are 55,500,000,000 bytes; a time without a target is null; of requests 90 in 100 are within the first."""
    found: Any = data.asked_data(_plan(host=Fraction(111, 2), targets=Targets(2.0, 0.03, 0.9), devices=64, prefix=9))
    assert (found["model"], found["gpu"], found["gpus"]) == ("small", [H100.name], 64)
    assert (found["input"], found["output"], found["prefix"], found["arrivals"]) == (100, 20, 9, "rate")
    assert (found["host_bytes_per_second"].value, found["load"].value, found["load"].known) == (55_500_000_000, 2.5, "exact")  # fmt: skip
    assert (found["target_ttft_seconds"].value, found["target_tpot_seconds"].value) == (2.0, 0.03)
    assert found["ttft_percentile"] == 90
    bare: Any = data.asked_data(_plan(load=None, targets=Targets(inf, inf)))
    for key in ("host_bytes_per_second", "load", "target_ttft_seconds", "target_tpot_seconds", "ttft_percentile"):
        assert bare[key] is None
    half: Any = data.asked_data(_plan(targets=Targets(inf, 0.03)))
    assert (half["target_ttft_seconds"], half["target_tpot_seconds"].value) == (None, 0.03)


def test_a_deployment_and_its_load_are_data() -> None:
    one: Any = data.at_load_data(_case(guesses=3, cache=DTYPES["fp8"]))
    assert (one["gpu"], one["engine"], one["batch"], one["gpus"], one["chunk"], one["draft_tokens"]) == (H100.name, "vllm", 7, 24, 2048, 3)  # fmt: skip
    degrees = ("tensor", "pipeline", "expert", "expert_tensor", "attention_data", "replicas")
    assert [one[name] for name in degrees] == [4, 2, 1, 4, 1, 3]
    assert (one["pools"], one["dtype"], one["cache_dtype"]) == (None, "bf16", "fp8")
    two: Any = data.at_load_data(_case(disaggregated=True, kept=None))
    assert [[two["pools"][pool][name] for name in degrees] for pool in ("prefill", "decode")] == [
        [2, 1, 1, 2, 1, 1], [4, 2, 1, 4, 1, 3]
    ]  # fmt: skip
    assert (two["dtype"], two["cache_dtype"], two["tensor"]) == (None, None, 4)


def _row(case: Any, load: float = 2.5, most: float = 9.0, **given: Any) -> Any:
    times = SimpleNamespace(ttft=Interval(0.5, 1.0, 1.5), tpot=Interval(0.01, 0.02, 0.04))
    unit = Unit(case, None, memory=False)  # type: ignore[arg-type]
    return SimpleNamespace(
        **{
            "case": case, "times": times, "load": load, "most": most, "places": 11, "waiting": 0.25, "requests_per_second": 4.0, "ttft_at_most": 1.75,
            "meets": lambda _: True, "choice": SimpleNamespace(unit=unit), **given,
        }
    )  # fmt: skip


def _found(*units: Any, rows: tuple[Any, ...] = (), rejected: tuple[Any, ...] = (), base: Any = None) -> Any:
    found = search.Found(units, {}, rejected, rows, "constants", 1.5)  # type: ignore[arg-type]
    if base is None:
        return found
    bases: Any = {search.key_of(row.case): base for row in rows}
    return found._replace(bases=bases)


def _base(rent: Any = RENT) -> Any:
    return search.Base(Chip(H100, ("--gpu", "h100"), rent), None, None, "vllm", None, 0)


def test_a_row_is_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """24 devices at 3 dollars an hour for 2.5 requests a second, a quarter of them for 100 tokens in and the rest for 20 out."""
    monkeypatch.setattr(data, "prompt_share", lambda *_: 0.25)
    monkeypatch.setattr(data, "launches", lambda *_: {"vllm": "run it"})
    row = _row(_case())
    found: Any = data.row_data(_plan(), _found(rows=(row,), base=_base()), row)
    request = 24 * 3 / 3600 / 2.5
    for key, value in (
        ("usd_per_hour", 72), ("usd_per_request", request), ("prompt_share", 0.25), ("usd_per_million_input", 0.25 * request / 100 * 1e6),
        ("usd_per_million_output", 0.75 * request / 20 * 1e6), ("tokens_per_second_per_gpu", 2.5 * 20 / 24), ("tokens_per_second_per_user", 50),
        ("requests_per_second", 2.5), ("load", 2.5), ("largest_load", 9), ("waiting_seconds", 0.25),
    ):  # fmt: skip
        assert found[key].value == pytest.approx(value), key
    assert [found["ttft_seconds"][end].value for end in ("low", "middle", "high")] == [0.5, 1.0, 1.5]
    assert (found["max_batch_per_replica"], found["verdict"], found["flags"]) == (11, "meets", {"vllm": "run it"})
    assert found["command"].startswith("tscale serve small --gpu h100 --tensor 4")
    exact: Any = data.row_data(_plan(), _found(rows=(row,), base=_base(RENT._replace(known="exact"))), row)
    assert [exact[key].known for key in ("usd_per_hour", "usd_per_request")] == ["exact", "predicted"]
    free: Any = data.row_data(_plan(), _found(rows=(row,), base=_base(None)), row)
    priced = ("usd_per_hour", "usd_per_request", "prompt_share", "usd_per_million_input", "usd_per_million_output")
    assert [free[key] for key in priced] == [None] * 5


def test_an_answer_says_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    rejected: Any = Rejected(_case(), "memory", "")
    monkeypatch.setattr(data, "row_data", lambda plan, *_: {"prefix": plan.prefix, "host": plan.host})
    monkeypatch.setattr(data, "pareto", lambda *_: [data.Point(SimpleNamespace(case=_case()), 5, 40.0, 60.0)])  # type: ignore[arg-type]
    found: Any = data.answer_data(_plan(prefix=9, host=Fraction(1)), _found("a", "b", rejected=(rejected,)), [{}], without="it")  # type: ignore[arg-type]  # fmt: skip
    assert (found["meets"], found["evaluated"], found["rejected"], found["search_seconds"].value) == (True, 3, {"memory": 1}, 1.5)  # fmt: skip
    assert found["without_prefix"] == {"prefix": 0, "host": None}
    (point,) = found["pareto"]
    assert (point["batch"], point["tokens_per_second_per_user"].value, point["tokens_per_second_per_gpu"].value) == (5, 40, 60)  # fmt: skip
    nothing: Any = data.answer_data(_plan(), _found())
    assert (nothing["meets"], nothing["without_prefix"]) == (False, None)


def test_engines_that_cannot_have_a_pool_have_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_workers", lambda *_: ["a", "b"])
    monkeypatch.setattr(text, "ENGINES", {"one": lambda launch: f"run {launch}", "none": lambda launch: None if launch == "b" else "x", "few": lambda launch: "" if launch == "a" else "y"})  # fmt: skip
    assert text.launches(_plan(), _base(), None) == {"one": "run a\nrun b", "none": None, "few": "y"}  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------------------
# What is tried
# ---------------------------------------------------------------------------------------------------------------------


def test_prices_rank_where_dollars_are_asked_for() -> None:
    assert _plan().prices is None
    chips = (Chip(H100, (), RENT), Chip(find_hardware("b200"), (), None))
    assert _plan(rank="dollars", chips=chips).prices == {H100.name: 3.0}
    wanted = _plan(rank="dollars", copies=(2,), devices=64).wanted
    assert (wanted.arrivals, wanted.load, wanted.devices, wanted.copies) == ("rate", 2.5, 64, (2,))
    assert search.chip_of(H100, ("x",), Fraction(5)).rent == Rent(Fraction(5), Fraction(5), Fraction(5), "exact")


def test_cases_differ_in_what_was_asked_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two formats of weights, two chunks and a draft or none are eight."""
    monkeypatch.setattr(search, "check_served", lambda *_: None)
    monkeypatch.setattr(search, "case_of_ask", lambda *given: given[2:])
    draft = Draft(None, 3, Fraction(1, 2))
    plan = _plan(weights=(None, DTYPES["fp8"]), chunks=(0, 512), drafts=(None, draft), prefix=9, host=Fraction(5), version="1.0")  # fmt: skip
    found: Any = list(search._bases(plan))
    assert len(found) == 8
    for base, (ask, deployment) in found:
        assert (ask.weights, ask.cache, ask.context, ask.output, ask.prefix, ask.host) == (base.weights, None, 100, 20, 9, 5)  # fmt: skip
        assert (ask.draft, deployment.engine, deployment.version, deployment.chunk) == (base.draft, "vllm", "1.0", base.chunk)  # fmt: skip
    assert {(base.weights, base.chunk, base.draft) for base, _ in found} == {
        (weights, chunk, one) for weights in (None, DTYPES["fp8"]) for chunk in (0, 512) for one in (None, draft)
    }


def test_a_case_is_tried_with_one_pool_and_with_two(monkeypatch: pytest.MonkeyPatch) -> None:
    case = _case()
    fits, small = ServingLayout(8), ServingLayout(1)
    monkeypatch.setattr(search, "layouts", lambda *_: iter((small, fits)))
    monkeypatch.setattr(search, "with_pools", lambda _, prefill, decode: (prefill.layout, prefill is decode))
    monkeypatch.setattr(search, "pooled_cases", lambda singles, *_: ["pooled"] * len(singles))

    def units_of(cases: Any, calibration: Any, most: Any) -> Any:
        assert (calibration, most) == ("constants", 6)
        return [Rejected(case, "memory", "") if case == (small, True) else Unit(case, None, True) for case in cases]  # type: ignore[arg-type]

    monkeypatch.setattr(search, "units_of", units_of)
    for pools, tried in (
        ("any", [(small, True), (fits, True), "pooled"]), ("aggregated", [(small, True), (fits, True)]), ("disaggregated", [(small, True), "pooled"]),
    ):  # fmt: skip
        found: Any = list(search._tried(_plan(pools=pools, most=6), case, "constants"))  # type: ignore[arg-type]
        assert [one.case for one in found] == tried
    monkeypatch.setattr(search, "layouts", lambda *_: iter([fits] * 5000))
    assert len(list(search._tried(_plan(pools="aggregated", most=6), case, "constants"))) == 5000  # type: ignore[arg-type]
    monkeypatch.setattr(search, "layouts", lambda *_: iter([fits] * 5001))
    with pytest.raises(RequestError, match="more than 5,000 layouts"):
        list(search._tried(_plan(most=6), case, "constants"))  # type: ignore[arg-type]


def test_layouts_are_bounded_by_the_node_the_devices_the_layers_and_the_experts() -> None:
    kinds = "{kind: experts, experts: 12, top_k: 2, d_ff: 32, on: {first: 2}}, {kind: experts, experts: 8, top_k: 2, d_ff: 32}"
    routed = spec(SMALL % f"[{kinds}]")
    assert tuple(search.room_of(_plan(spec=routed, devices=64), _case())) == (8, 64, 4, 12)
    assert tuple(search.room_of(_plan(), _case())) == (8, 10**6, 4, 1)


def test_rows_are_the_best_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that are predicted alike the first; none is looked at once there are as many as are listed."""
    rows = [_row(_case("few", devices=3)), _row(_case("first")), _row(_case("twin")), _row(_case("busy"), load=3.0), _row(_case("slow", devices=9))]  # fmt: skip
    for row in rows:
        row.times = (Interval(1, 2, 3), Interval(1, 2, 3), f"latency of {row.case.name}")
    looked_at: list[str] = []

    def ranked(*_: Any) -> Any:
        for row in rows:
            looked_at.append(row.case.name)
            yield row

    monkeypatch.setattr(search, "ranked_rows", ranked)
    found: Any = search.rows_of([], None, None, 3)  # type: ignore[arg-type]
    assert [row.case.name for row in found] == ["few", "first", "busy"]
    assert looked_at == ["few", "first", "twin", "busy"]
    every: Any = search.rows_of([], None, None, 9)  # type: ignore[arg-type]
    assert [row.case.name for row in every] == ["few", "first", "busy", "slow"]


def test_a_search_is_made_once_for_its_answer_and_its_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def of(plan: Any) -> Any:
        made.append(plan)
        return len(made)

    monkeypatch.setattr(search, "_searched", of)
    monkeypatch.setattr(search, "_LAST", [])
    one, other = _plan(), _plan()
    found: list[Any] = [search.searched(plan) for plan in (one, one, other, other, one)]
    assert found == [1, 1, 2, 2, 3]


def test_all_that_was_tried_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    unit, none = Unit(_case(), None, memory=True), Rejected(_case(), "memory", "")  # type: ignore[arg-type]
    monkeypatch.setattr(search, "calibration_of", lambda deployment: deployment.calibration)
    monkeypatch.setattr(search, "_bases", lambda _: [("base", _case()), ("other", _case(chunk=5))])
    monkeypatch.setattr(search, "_tried", lambda *_: [unit, none])
    monkeypatch.setattr(search, "rows_of", lambda units, _, *more: (len(units), *more))
    found: Any = search._searched(_plan(calibration="own.yaml", rows=3))
    assert (found.units, found.rejected, found.rows) == ((unit, unit), (none, none), (2, "own.yaml", 3))
    assert [found.base_of(_case()), found.base_of(_case(chunk=5))] == ["base", "other"]
    assert found.evaluated == 4
    assert 0 <= found.seconds < 60


# ---------------------------------------------------------------------------------------------------------------------
# What would change it
# ---------------------------------------------------------------------------------------------------------------------


def test_layouts_of_one_pool_are_tried_again_and_those_that_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a pipeline or two pools only what is listed; of what fell what had no memory."""
    flat = Pool(ServingLayout(4), 1)
    cases = {name: _case(name, decode=flat) for name in ("fits", "full", "late")}
    cases |= {"staged": _case("staged"), "apart": _case("apart", decode=flat, disaggregated=True), "listed": _case("listed")}  # fmt: skip
    units = [Unit(cases[name], None, memory=True) for name in ("fits", "staged", "apart")]  # type: ignore[arg-type]
    rejected: Any = tuple(Rejected(cases[name], why, "") for name, why in (("full", "memory"), ("late", "latency")))
    tried: list[Any] = []

    def units_of(cases: Any, *_: Any) -> Any:
        tried.extend((case.name, case.kept) for case in cases)
        return [Rejected(case, "memory", "") if case.name == "full" else Unit(case, None, True) for case in cases]  # type: ignore[arg-type]

    monkeypatch.setattr(search, "units_of", units_of)
    monkeypatch.setattr(search, "rows_of", lambda units, *more: ([unit.case.name for unit in units], more[-1]))  # fmt: skip
    found: Any = search.again(_plan(), _found(*units, rows=(_row(cases["listed"]),), rejected=rejected), kept="fp8")
    assert [name for name, _ in tried] == ["fits", "full", "listed"]
    assert {kept for _, kept in tried} == {"fp8"}
    assert found == (["fits", "listed"], 1)
    assert search.again(_plan(), _found(*units, rows=(_row(cases["listed"]),)), 24.0) == found  # of 24 devices each
    assert search.again(_plan(), _found(*units, rows=(_row(cases["listed"]),)), 23.9) == ([], 1)  # type: ignore[comparison-overlap]


def test_targets_are_loosened_and_formats_narrowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the time, where there is a target; 8 bits where nothing was said, what is kept is wider, and devices multiply by them."""
    looked: list[Targets] = []

    def rows_of(units: Any, wanted: Any, calibration: Any, most: int) -> Any:
        assert (units, calibration, most) == ([unit], "constants", 1)
        looked.append(wanted.targets)
        return ("row",) if len(looked) == 1 else ()

    unit: Any = Unit(_case(cache=DTYPES["bf16"]), None, memory=True)  # type: ignore[arg-type]
    monkeypatch.setattr(relax, "rows_of", rows_of)
    monkeypatch.setattr(relax, "ranking", lambda row, _: (row.rank, 0.0))

    def options(unit: Any = unit, rank: int = 3, **given: Any) -> list[str]:
        looked.clear()
        return [one.option for one in relax.changes(_plan(**given), _found(unit, rows=(SimpleNamespace(rank=rank),)))]

    monkeypatch.setattr(relax, "_narrower", lambda *_: iter(()))
    assert options() == ["--ttft 4s", "--tpot 60ms"]
    assert looked == [Targets(4.0, 0.03), Targets(2.0, 0.06)]
    assert options(targets=Targets(inf, 0.03)) == ["--tpot 60ms"]
    first, second = relax.changes(_plan(), _found(unit, rows=(SimpleNamespace(rank=3),)))
    assert (first.best, second.best) == (None, None)
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("given", "case", "rank", "options"),
    [
        ({}, {}, 3, ["--dtype fp8", "--cache-dtype fp8"]), ({}, {}, 2, ["--cache-dtype fp8"]), ({}, {}, 1, []), ({"weights": (DTYPES["bf16"],)}, {}, 3, ["--cache-dtype fp8"]),
        ({"caches": (DTYPES["bf16"],)}, {}, 3, ["--dtype fp8"]), ({}, {"kept": DTYPES["fp8"]}, 3, ["--cache-dtype fp8"]), ({}, {"kept": None}, 3, ["--cache-dtype fp8"]),
        ({"load": None}, {}, 3, ["--dtype fp8", "--cache-dtype fp8"]), ({}, {"cache": DTYPES["fp8"]}, 3, ["--dtype fp8"]), ({}, {"cache": None}, 3, ["--dtype fp8"]), ({}, {"hardware": find_hardware("a100")}, 3, ["--cache-dtype fp8"]),
    ],
)  # fmt: skip
def test_formats_of_8_bits_are_tried_where_they_are_for_the_better(
    given: dict[str, Any], case: dict[str, Any], rank: int, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relax, "ranking", lambda row, _: (row.rank, 0.0))
    asked: list[dict[str, Any]] = []

    def again(plan: Any, found: Any, most: float, **changed: Any) -> Any:
        assert most == (rank if plan.load is not None else inf)  # what costs more than the best is not better
        asked.append(changed)
        return (SimpleNamespace(rank=1 if "cache" in changed else 2),)

    monkeypatch.setattr(relax, "again", again)
    unit: Any = Unit(_case(**{"cache": DTYPES["bf16"], **case}), None, memory=True)  # type: ignore[arg-type]
    found = list(relax._narrower(_plan(**given), _found(unit, rows=(SimpleNamespace(rank=rank),))))
    assert [one.option for one in found] == options
    for changed in asked:
        assert changed in ({"kept": DTYPES["fp8"], "weights": "fp8", "experts": "fp8"}, {"cache": DTYPES["fp8"]})
    assert list(relax._narrower(_plan(), _found())) == []


def test_a_change_says_its_devices_and_its_load() -> None:
    assert relax.Change("--x", None).data(_plan()) == {"option": "--x", "gpu": None, "gpus": None, "load": None}
    found: Any = relax.Change("--x", _row(_case())).data(_plan())
    assert (found["option"], found["gpus"], found["load"].value) == ("--x", 24, 2.5)
