"""The axes of a plan, its best layouts and its budgets: figures of stand-ins that one works out by hand."""

from __future__ import annotations

from fractions import Fraction
from math import gcd, inf
from types import SimpleNamespace
from typing import Any

import pytest

from tests.blocks.test_experts_and_latents import spec
from tscale.catalogue.hardware import find_hardware
from tscale.core.axis import read_axis
from tscale.core.recompute import Again
from tscale.errors import RequestError
from tscale.estimates import budget
from tscale.estimates.budget import Machines, on_machines
from tscale.estimates.memory.peak import products_of
from tscale.estimates.plan import axes, inverse, planned
from tscale.estimates.plan import search as plan_search
from tscale.estimates.utilisation import hours_error
from tscale.models.lower import lower

H100 = find_hardware("h100")


def _axis(text: str) -> Any:
    return read_axis(text, "--it", lambda value, _: int(value))


# ---------------------------------------------------------------------------------------------------------------------
# Axes
# ---------------------------------------------------------------------------------------------------------------------

DENSE = (
    "name: small\nlayers: 12\nd_model: 64\nvocabulary: 512\ncontext: 4096\ntied: true\nattention: {heads: 8, kv_heads: 4}\n"
    "positions: {kind: rotary}\nnorm: {kind: rmsnorm}\nfeed_forward: {d_ff: 128, gated: true}\n"
)
EXPERTS = DENSE.replace("{d_ff: 128, gated: true}", "{kind: experts, experts: 12, top_k: 2, d_ff: 32}")


def _axes(text: str = DENSE, length: int = 4096, *, unfused: bool = False, **given: Any) -> Any:
    model = spec(text)
    return axes.axes_of(model, lower(model), given, 24, 8, 64, length, unfused=unfused)


def test_what_varies_where_nothing_is_given() -> None:
    """24 devices in nodes of 8, 12 layers, 8 heads and 64 sequences: tensor parallelism divides heads of queries and the devices
    within a node, and stages are as many as devices divide and layers reach.
    """
    found = _axes()
    assert (found.tensor, found.pipeline, found.context) == ((1, 2, 4, 8), (1, 2, 3, 4, 6, 8, 12), (1,))
    assert (found.interleave, found.expert, found.expert_tensor) == ((1, 2, 3, 4, 5, 6, 8, 10), (1,), (1,))
    assert (found.micro_batch, found.zero, found.shards, found.data) == ((1, 2, 4, 8, 16), (0, 1, 2, 3), (0,), None)
    assert (found.recompute, found.partial, found.again, found.uneven, found.of_pieces) == (
        ("none", "op", "full"),
        True,
        (),
        False,
        True,
    )
    assert (found.sequence, found.schedule, found.precision, found.optimizer, found.loss) == (
        (False, True),
        (None,),
        ("bf16",),
        ("adamw",),
        (None,),
    )
    assert found.offload == (frozenset(),)
    assert found.stages[0] is None
    assert all(sum(sizes) == 12 for sizes in found.stages[1:])
    assert _axes(unfused=True).recompute == ("none", "selective", "op", "full")


def test_long_sequences_are_cut_over_up_to_sixteen_devices() -> None:
    assert [_axes(length=length).context for length in (32_767, 32_768)] == [(1,), (1, 2, 4, 8)]
    model = spec(DENSE)
    assert axes.axes_of(model, lower(model), {}, 64, 8, 64, 10**6, unfused=False).context == (1, 2, 4, 8, 16)


def test_experts_are_spread_over_what_divides_them_and_stages_have_few_pieces() -> None:
    found = _axes(EXPERTS)
    assert (found.expert, found.interleave) == ((1, 2, 4), (1, 2, 4))
    two = EXPERTS.replace("experts: 12, top_k: 2", "experts: 2, top_k: 1")
    assert (_axes(two).expert, _axes(two).interleave) == ((1, 2), (1, 2, 4))
    assert axes._common({8, 12}) == [n for n in range(1, 13) if gcd(8, 12) % n == 0]
    assert axes._common(set()) == [1]


def test_what_is_given_is_taken_if_it_may_be() -> None:
    found = _axes(tensor=_axis("2,3"), data=_axis("4..8"), shards=_axis("2"), interleave=_axis("2"), zero=_axis("1..2"))
    assert (found.tensor, found.data, found.shards, found.interleave, found.zero, found.uneven) == (
        (2, 3),
        (4, 6, 8),
        (2,),
        (2,),
        (1, 2),
        True,
    )
    with pytest.raises(RequestError, match=r"--tensor 5\.\.7 has no value that can be here: it may be 1, 2, 4, 8$"):
        _axes(tensor=_axis("5..7"))
    with pytest.raises(RequestError, match=r"--tensor 1\.\.1001\+1 has 1,001 values: at most 1,000"):
        _axes(tensor=_axis("1..1001+1"))
    assert len(_axes(tensor=_axis("1..1000+1")).tensor) == 1000


def test_numbers_of_two_are_tried_unless_they_are_few_of_a_handful() -> None:
    """Powers of two among the numbers; all numbers where two or fewer of up to eight are such."""
    for numbers, tried in (
        ([1, 2, 3, 4, 6, 12], [1, 2, 4]), ([1, 3, 9], [1, 3, 9]), ([1, 2, 7, 14], [1, 2, 7, 14]), ([1, 2, 3, 5, 6, 10, 15, 30], [1, 2, 3, 5, 6, 10, 15, 30]),
        ([1, 3, 5, 15, 25, 45], [1]), ([1, 3, 5, 15], [1, 3, 5, 15]), ([1], [1]),
    ):  # fmt: skip
        assert axes._of_two(numbers) == tried


def test_stages_that_are_given_are_of_as_many_stages_or_pieces() -> None:
    """Six numbers are six stages of one piece; of given pieces, or given stages, the other follows."""
    sizes = SimpleNamespace(only=(2,) * 6)
    for given, pipeline, interleave in (
        ({}, [6], [1]), ({"pipeline": _axis("3")}, [6], [2]), ({"pipeline": _axis("2,6")}, [6], [3, 1]), ({"interleave": _axis("2")}, [1, 2, 3, 6], [1]),
        ({"pipeline": _axis("4")}, [6], [1]),
    ):  # fmt: skip
        found = axes._of_given_stages({"stages": sizes, **given})  # type: ignore[dict-item]
        assert found == {"pipeline": pipeline, "interleave": interleave}, given
    assert axes._of_given_stages({"stages": None}) == {}


def test_policies_are_of_all_layers_or_of_the_first_of_each_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    model = spec(DENSE)
    given: Any = SimpleNamespace(
        stepped_size=3, text="x", among=lambda _: (Again("none"), Again("full"), Again("full", 3))
    )
    assert axes._recomputation(model, ("a",), given) == {"recompute": ("none", "full"), "again": (("full", 3),)}
    assert axes._recomputation(model, ("a",), None) == {"recompute": ("a",), "partial": True}
    with pytest.raises(RequestError, match="is about some layers"):
        axes._first(model, Again("selective", 3))

    def no(*_: Any) -> Any:
        raise RequestError("not of two stacks")

    monkeypatch.setattr(axes, "recomputed_stages", no)
    assert axes._first(model, Again("full", 3)) == 3
    monkeypatch.setattr(axes, "lower", lambda _: None)
    with pytest.raises(RequestError, match="not of two stacks"):
        axes._first(SimpleNamespace(kind="encoder-decoder"), Again("full", 3))  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------------------
# Fewest devices, and the order of the best
# ---------------------------------------------------------------------------------------------------------------------


def test_devices_of_whole_nodes_and_half_as_many_again() -> None:
    """Of nodes of 8: 8, 16, 24 (16 and half of it), 32, 48 and so on; 12 are no whole nodes; at most 1,024 for each sequence."""
    numbers = inverse._numbers(H100, 10**6)
    assert numbers[:8] == [8, 16, 24, 32, 48, 64, 96, 128]
    assert numbers[-2:] == [3 * 2**15, 2**17]  # 131,072 at the most
    assert inverse._numbers(H100, 1)[-1] == 1024


@pytest.mark.parametrize("limit", [0.5, 1.0, 10.0, 39.9, 1e9])
def test_the_fewest_devices_are_those_of_trying_each(limit: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of 1,000 seconds over the devices: looked for halfway each time, as one by one."""
    seen: list[int] = []

    def sized(_subject: Any, _ask: Any, _chip: Any, gpus: int, _rent: Any) -> Any:
        seen.append(gpus)
        return SimpleNamespace(gpus=gpus, best=lambda _: [SimpleNamespace(seconds=1000 / gpus)])

    monkeypatch.setattr(inverse, "Sized", sized)
    ask: Any = SimpleNamespace(sizes=(640, 8, 100, 25, 26, 1001), batch=64)
    found: Any = inverse._fewest_of(None, ask, ("h100", H100), None, limit)  # type: ignore[arg-type]
    enough = [gpus for gpus in sorted(ask.sizes) if 1000 / gpus <= limit]
    assert (None if found is None else found.gpus) == (enough[0] if enough else None)
    assert len(seen) <= 3


def _best(gpus: int, seconds: float, usd: float | None = None, chip: str = "a") -> Any:
    return SimpleNamespace(gpus=gpus, seconds=seconds, usd=usd, chip=chip)


def _plan(rank: str, *best: Any, searches: tuple[Any, ...] = ()) -> planned.Planned:
    subject: Any = SimpleNamespace(run=SimpleNamespace(tokens=1000))
    ask: Any = SimpleNamespace(rank=rank, batch=64, tokens=None)
    return planned.Planned(subject, ask, searches, best, 0.0)


def test_how_far_a_layout_is_behind_the_first() -> None:
    """8 devices for 10 s and 3 dollars, and 16 for 6 s and 4: 60% of the time, 6·16 over 80 device-seconds, 4 thirds of the price."""
    first, other = _best(8, 10.0, 3.0), _best(16, 6.0, 4.0)
    for rank, behind in (("time", 6 / 10 - 1), ("throughput", 6 * 16 / 80 - 1), ("dollars", 4 / 3 - 1)):
        assert planned.behind(_plan(rank, first, other), other) == pytest.approx(behind)
        assert planned.behind(_plan(rank, first, other), first) == 0
    for unknown in (_best(8, 10.0), _best(16, 6.0)):
        one, two = (unknown, other) if unknown.gpus == 8 else (first, unknown)
        assert planned.behind(_plan("dollars", one, two), two) == pytest.approx(6 / 10 - 1)


def test_days_of_a_run_are_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """6.4e9 tokens in steps of 64,000 are 100,000 steps, of 2 seconds each."""
    one = _best(8, 2.0)
    monkeypatch.setattr(planned, "total_tokens", lambda *_: 6_400_000_000)
    assert planned.days_of(_plan("time", one), one) == pytest.approx(200_000 / 86_400)
    assert _plan("time", one).tokens == 64_000
    monkeypatch.setattr(planned, "total_tokens", lambda *_: None)
    assert planned.days_of(_plan("time", one), one) is None


def test_searches_of_several_sizes() -> None:
    """Throughput of a device over that of the first size that fits, of each kind of device."""

    def search(chip: str, gpus: int, best: Any, evaluated: int = 5, nearest: Any = None) -> Any:
        found = SimpleNamespace(evaluated=evaluated, nearest=nearest)
        return SimpleNamespace(chip=chip, gpus=gpus, best=lambda _: [] if best is None else [best], found=found)

    searches = (
        search("a", 8, None), search("a", 16, _best(16, 10.0)), search("a", 32, _best(32, 8.0)), search("b", 8, _best(8, 3.0, chip="b")),
    )  # fmt: skip
    plan = _plan("time", _best(16, 10.0), searches=searches)
    assert [size.efficiency for _, size in planned.sizes_of(plan)] == [None, 1.0, 160 / 256, 1.0]
    assert (plan.evaluated, plan.several) == (20, True)
    assert not _plan("time", searches=searches[:1]).several
    assert planned.search_of(plan, _best(8, 3.0, chip="b")) is searches[3]
    assert planned.search_of(plan, _best(32, 8.0)) is searches[2]
    near = SimpleNamespace(least=100, room=70)
    assert [planned.missing(search("a", 8, None, nearest=one)) for one in (None, near)] == [inf, 30]


def test_frameworks_have_the_first_layout_or_the_best_that_they_have_options_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, other = _best(8, 10.0), _best(8, 11.0)
    search = SimpleNamespace(chip="a", gpus=8, best_of_frameworks={"nemo": other})
    plan = _plan("time", first, searches=(search,))
    for flags, found in (
        (dict.fromkeys(planned.FRAMEWORKS, "x"), dict.fromkeys(planned.FRAMEWORKS, first)),
        (
            {"megatron_lm": "x", "torchtitan": None, "nemo": None},
            {"megatron_lm": first, "torchtitan": None, "nemo": other},
        ),
    ):
        monkeypatch.setattr(planned, "flags_of_best", lambda *_, flags=flags: flags)
        assert planned.of_frameworks(plan) == found


# ---------------------------------------------------------------------------------------------------------------------
# Budgets
# ---------------------------------------------------------------------------------------------------------------------

PEAK = 989_400 * 10**9


def test_devices_and_days_are_gpu_hours_at_a_share_of_the_peak() -> None:
    """8 devices for 2 days at 40% of 989.4 TFLOP/s."""
    found = on_machines(H100, Machines(gpus=8, days=Fraction(2), mfu=Fraction(2, 5)))
    flops = 8 * 2 * 86_400 * PEAK * 2 // 5
    assert (found.asked, found.amount, found.figure.known, found.lead) == ("flops", flops, "exact", ())
    assert (found.hardware, found.assumed, found.rent) == (H100, None, None)
    made: Any = found.made_of
    assert (made["gpu_hours"].value, made["mfu"].value, made["flops_range"], made["utilisation_runs"]) == (
        8 * 48,
        Fraction(2, 5),
        None,
        [],
    )
    assert (made["gpus"].value, made["days"].value, made["dollars"], made["price_per_gpu_hour"]) == (8, 2, None, None)
    assert found.notes[0].startswith(
        "The budget: 8 NVIDIA H100 SXM5 80GB for 2 days is 384 GPU-hours, at 40.0% of a dense peak of 989.4 TFLOP/s in bf16"
    )


def test_dollars_buy_gpu_hours() -> None:
    found = on_machines(H100, Machines(dollars=Fraction(1000), price=Fraction(5, 2), mfu=Fraction(2, 5)))
    assert found.amount == 400 * 3600 * PEAK * 2 // 5
    made: Any = found.made_of
    assert (made["gpu_hours"].value, made["price_per_gpu_hour"].value, made["flops_range"]) == (
        400,
        Fraction(5, 2),
        None,
    )


def test_ranges_of_what_is_assumed_multiply() -> None:
    """A utilisation of 30 to 50% with 40 in the middle, and prices of 2 to 5 with 4: the least at 30% and 5, the most at 50% and 2."""
    assumed: Any = SimpleNamespace(low=Fraction(3, 10), middle=Fraction(4, 10), high=Fraction(5, 10))
    rent: Any = SimpleNamespace(low=Fraction(2), middle=Fraction(4), high=Fraction(5))
    assert budget._range(1000, None, None) == (1000, 1000)  # type: ignore[comparison-overlap]
    assert budget._range(1000, assumed, None) == (750, 1250)  # type: ignore[comparison-overlap]
    assert budget._range(1000, None, rent) == (800, 2000)  # type: ignore[comparison-overlap]
    assert budget._range(1000, assumed, rent) == (600, 2500)  # type: ignore[comparison-overlap]
    assert list(budget._of_range(Fraction(5), Fraction(5))) == []
    assert list(budget._of_range(Fraction(10**21), Fraction(3 * 10**21))) == [
        "Over the assumed ranges, the budget is 1e21 to 3e21 FLOPs."
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Machines(gpus=8, days=Fraction(2), price=Fraction(2)), "is read with"), (Machines(gpus=8), "how many devices, and how long"),
        (Machines(days=Fraction(2)), "how many devices, and how long"), (Machines(gpus=8, dollars=Fraction(9)), "buy GPU-hours, however many"),
        (Machines(days=Fraction(2), dollars=Fraction(9)), "buy GPU-hours, however many"),
        (Machines(dollars=Fraction(1, 10**6), price=Fraction(9), mfu=Fraction(1, 2)), "less than a second of one device"),
    ],
)  # fmt: skip
def test_half_a_budget_or_two_are_none(given: Machines, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        on_machines(H100, given)


def test_a_budget_whose_utilisation_is_assumed_says_its_range_first() -> None:
    found = on_machines(H100, Machines(gpus=1024, days=Fraction(30)))
    assert found.assumed is not None
    made: Any = found.made_of
    for end, share in (("low", found.assumed.low), ("high", found.assumed.high)):
        assert made["flops_range"][end].value == pytest.approx(1024 * 30 * 86_400 * PEAK * share, rel=1e-5)
    assert found.figure.known == "assumed"
    assert found.lead == (found.assumed.said(), hours_error())


def test_dollars_train_whole_steps() -> None:
    """4 devices at 2 dollars an hour for 9 s are 2 cents a step: 1 dollar is 50 of them; and tokens of a run are those asked for, or its own."""
    one: Any = SimpleNamespace(usd=0.02, gpus=4, seconds=9.0)
    assert inverse.most_tokens(one, Fraction(1), 64_000) == 50 * 64_000
    subject: Any = SimpleNamespace(adapters=None, spec=spec(DENSE))
    assert (inverse.total_tokens(subject, 5), inverse.total_tokens(subject, None)) == (5, None)


def test_where_a_chip_has_no_peak_in_any_precision_the_first_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two precisions one that the chip multiplies by is enough."""

    class Sized(SimpleNamespace):
        _search = plan_search.Sized._search

    cases: dict[str, Any] = {"fp8": None, "bf16": None}
    subject = SimpleNamespace(spec="model", run=None, adapters=None, model=None)
    ask = SimpleNamespace(attention="flash", batch=8)
    sized: Any = Sized(
        subject=subject, ask=ask, hardware="chip", gpus=4, _cluster=SimpleNamespace(device="device"), _most=9, _rooms=None,
        _check_range=lambda _: None, _case=cases.get,
    )  # fmt: skip
    asked: list[Any] = []
    monkeypatch.setattr(plan_search, "refuse", lambda *_: None)
    monkeypatch.setattr(plan_search, "peak_of", lambda *of: asked.append(of))
    monkeypatch.setattr(plan_search, "search", lambda run, *of: (run.cases, *of[1:]))
    both: Any = SimpleNamespace(precision=("fp8", "bf16"))
    assert sized._search(both) == ((None, None), 4, 8, 9)
    assert asked == [("device", "chip", products_of("fp8"))]
    cases["bf16"] = "case"
    assert sized._search(both) == ((None, "case"), 4, 8, 9)
    assert len(asked) == 1
