"""Training layouts in words, as options and as data: every option is read back, and figures of stand-ins are worked out by hand."""

from __future__ import annotations

from fractions import Fraction
from random import Random
from shlex import split
from types import SimpleNamespace
from typing import Any

import pytest

from tscale.calibration.interval import Interval
from tscale.calibration.training_case import CURRENT
from tscale.core.ledger import Matmul
from tscale.core.parallelism import Parallelism
from tscale.errors import RequestError
from tscale.estimates.media import Media
from tscale.estimates.plan import data, inverse, planned, words
from tscale.estimates.plan import search as plan_search
from tscale.estimates.rent import Rent
from tscale.planning.layouts import Layout

PLAIN = Layout(Parallelism(expert_tensor=1), 1, "none", "bf16", "adamw", None, frozenset())


def _drawn(dice: Random) -> Layout:
    """A layout of which each thing is usual in half of all cases."""

    def one(usual: Any, *others: Any) -> Any:
        return dice.choice([usual] * len(others) + list(others))

    plan = Parallelism(
        tensor=one(1, 2, 8), sequence=one(False, True), pipeline=one(1, 2, 4), interleave=one(1, 2), data=one(1, 16), zero=one(0, 1, 3), shards=one(None, 8),
        context=one(1, 2), expert=one(1, 4), expert_tensor=one(1, 2), stages=one(None, (7, 8, 8, 6), (3, 3)), schedule=one(None, "zero-bubble", "dualpipe"),
    )  # fmt: skip
    again, offload = one(0, 5), one(frozenset(), frozenset({"weights", "states"}))
    policy: Any = "full" if again else one("none", "op", "full")
    return Layout(plan, one(1, 2), policy, one("bf16", "fp8"), one("adamw", "muon"), one(None, "fused"), offload, again)


def _asked(layout: Layout) -> dict[str, str | None]:
    """What `train` must be told of a layout: all degrees that have no default, and what is not usual."""
    plan = layout.plan
    told: dict[str, tuple[Any, Any]] = {
        "sequence": (plan.sequence, False), "context-parallel": (plan.context, 1), "interleave": (plan.interleave, 1), "zero": (plan.zero, 0),
        "shards": (plan.shards, None), "expert": (plan.expert, 1), "expert-tensor": (plan.expert_tensor, 1), "schedule": (plan.schedule, None),
        "precision": (layout.precision, "bf16"), "optimizer": (layout.optimizer, "adamw"), "loss": (layout.loss, None),
    }  # fmt: skip
    found: dict[str, str | None] = {name: str(value) for name, (value, usual) in told.items() if value != usual}
    if plan.sequence:
        found["sequence"] = None
    if plan.stages:
        found["stages"] = ",".join(str(size) for size in plan.stages)
    if layout.recompute != "none":
        found["recompute"] = f"full:{layout.first}" if layout.first else layout.recompute
    if layout.offload:
        found["offload"] = "states,weights"
    degrees = {"tensor": plan.tensor, "pipeline": plan.pipeline, "data": plan.data, "micro-batch": layout.micro_batch}
    return found | {name: str(value) for name, value in degrees.items()}


def _read(options: list[str]) -> dict[str, str | None]:
    """Options by name, each once, with its value where one follows."""
    found: dict[str, str | None] = {}
    for place, word in enumerate(options):
        if word.startswith("--"):
            assert word[2:] not in found
            after = options[place + 1] if place + 1 < len(options) else "--"
            found[word[2:]] = None if after.startswith("--") else after
    return found


def test_options_say_all_of_a_layout_and_nothing_that_is_usual() -> None:
    dice = Random(3)  # noqa: S311 (a sample is no secret)
    for layout in (PLAIN, *(_drawn(dice) for _ in range(300))):
        assert _read(words.layout_options(layout)) == _asked(layout)
        told, plan = words.layout_data(layout), layout.plan
        assert [told[name] for name in ("tensor", "sequence", "context_parallel", "pipeline", "interleave", "data", "zero", "shards", "expert")] == [
            plan.tensor, plan.sequence, plan.context, plan.pipeline, plan.interleave, plan.data, plan.zero, plan.shards, plan.expert
        ]  # fmt: skip
        assert told["stages"] == (None if plan.stages is None else list(plan.stages))
        usual = "interleaved" if plan.interleave > 1 else "1f1b"
        assert told["schedule"] == (None if plan.pipeline == 1 else plan.schedule or usual)
        assert told["expert_tensor"] == plan.expert_tensor
        assert told["recompute"] == (f"full:{layout.first}" if layout.first else layout.recompute)
        assert told["offload"] == (["states", "weights"] if layout.offload else [])


def test_the_command_of_a_layout_asks_all_that_was_asked() -> None:
    given: dict[str, Any] = {
        "changes": "", "batch": 64, "any_tokens": False, "tokens": None, "context": None, "media": Media(), "adapter_words": "", "stack": CURRENT,
        "kernel": None, "attention": "flash", "words": "llama-3.1-8b",
    }  # fmt: skip
    best: Any = SimpleNamespace(chip="h100", gpus=128, layout=PLAIN)
    layout = {"tensor": "1", "pipeline": "1", "data": "1", "micro-batch": "1"}
    plain = {"gpu": "h100", "gpus": "128", "batch": "64", **layout}
    for changed, more in (
        ({}, {}), ({"changes": "--gpu-set memory_gb=80"}, {"gpu-set": "memory_gb=80"}), ({"tokens": 10**12, "context": 4096}, {"tokens": "1000000000000", "context": "4096"}),
        ({"tokens": 5, "any_tokens": True}, {"tokens": "1e12"}), ({"media": Media(images=2, frames=3, seconds=4)}, {"images": "2", "video-frames": "3", "audio-seconds": "4"}),
        ({"media": Media(images=1, height=30, width=40, sized=True)}, {"images": "1", "image-size": "30x40"}), ({"media": Media(height=30)}, {}),
        ({"adapter_words": "--lora-rank 8 --qlora"}, {"lora-rank": "8", "qlora": None}), ({"stack": "other"}, {"stack": "other"}),
        ({"kernel": "fa3"}, {"attention-kernel": "fa3"}), ({"attention": "naive"}, {"attention": "naive"}),
    ):  # fmt: skip
        command = words.command_of(SimpleNamespace(**given | changed), best)  # type: ignore[arg-type]
        assert split(command)[:3] == ["tscale", "train", "llama-3.1-8b"]
        assert _read(split(command)[3:]) == plain | more


def test_a_layout_in_words_leaves_out_what_is_usual() -> None:
    full = Layout(
        Parallelism(8, True, 4, 2, 16, 1, 8, 2, 4, 2, (7, 8, 8, 8, 8, 6, 6), "zero-bubble"), 2, "full", "fp8", "muon", "fused", frozenset({"weights", "states"}), 5
    )  # fmt: skip
    for layout, said in (
        (PLAIN, "micro-batch 1"), (PLAIN._replace(plan=Parallelism(2)), "TP 2, ETP 2, micro-batch 1"),
        (PLAIN._replace(recompute="op"), "micro-batch 1, recompute op"),
        (PLAIN._replace(plan=Parallelism(data=2, zero=2, expert_tensor=1), micro_batch=3), "DP 2, ZeRO 2, micro-batch 3"),
        (PLAIN._replace(precision="fp16"), "micro-batch 1, fp16"), (PLAIN._replace(optimizer="sgd"), "micro-batch 1, sgd"),
        (full, "TP 8 (SP), CP 2, PP 4, VP 2, DP 16, EP 4, ETP 2, stages 7+4×8+2×6, zero-bubble, ZeRO 1 over 8, micro-batch 2, recompute full:5, fp8, muon, loss fused, offload states+weights"),
    ):  # fmt: skip
        assert words.layout_text(layout) == said
    assert words.stages_text((1, 2, 2, 1, 1, 1)) == "1+2×2+3×1"


# ---------------------------------------------------------------------------------------------------------------------
# The answer as data
# ---------------------------------------------------------------------------------------------------------------------

RENT = Rent(Fraction(2), Fraction(3), Fraction(4), "assumed")


def _best(seconds: float = 6.0, gpus: int = 16, rent: Any = RENT, layout: Layout = PLAIN, **given: Any) -> Any:
    hardware: Any = SimpleNamespace(name="h100-sxm")
    prediction: Any = SimpleNamespace(seconds=Interval(seconds / 2, seconds, seconds * 2))
    values = {"bound": Fraction(1), "total": 70, "least": 60, "verdict": "fits", "bound_by": "products 80%", "peak": 10, **given}  # fmt: skip
    return plan_search.Best(layout, hardware, "h100", gpus, prediction, rent=rent, **values)


def test_what_a_step_costs_and_reaches() -> None:
    """16 devices for 6 s at 3 dollars an hour; 4,800 FLOPs of a peak of 10 on each."""
    assert _best().usd == pytest.approx(3 * 16 * 6 / 3600)
    assert _best(rent=None).usd is None
    assert (_best().seconds, _best().mfu(4800)) == (6.0, 4800 / (16 * 10 * 6))
    several = [_best(6.0, 16), _best(5.0, 32), _best(20.0, 2, None), _best(9.0, 8)]
    for rank, order in (("time", [1, 0, 3, 2]), ("throughput", [2, 3, 0, 1]), ("dollars", [3, 0, 1, 2])):
        assert plan_search.ranked(several, rank) == [several[place] for place in order]


def _planned(*best: Any, **given: Any) -> Any:
    ask = SimpleNamespace(
        chips=(("h100", SimpleNamespace(name="h100-sxm")), ("b200", SimpleNamespace(name="b200-sxm"))), batch=64, rank="time", tokens=None, dollars=None,
    )  # fmt: skip
    spec, context = SimpleNamespace(name="it"), SimpleNamespace(known="exact")
    subject = SimpleNamespace(
        spec=spec, context=context, run=SimpleNamespace(tokens=1000), flops=75, adapters="some", label="it"
    )

    def nearest(least: int) -> Any:
        return SimpleNamespace(least=least, room=70, layout=PLAIN, change=None)

    def search(gpus: int, near: Any) -> Any:
        found = SimpleNamespace(nearest=near, size=3, evaluated=5, rejected={"memory": gpus, "network": 1})
        own = [one for one in best if one.gpus == gpus]
        return SimpleNamespace(chip="h100", gpus=gpus, found=found, hardware=SimpleNamespace(name="h100-sxm"), best=lambda _: own,
                               flags=lambda _: {"megatron_lm": "--x", "torchtitan": None, "nemo": "--y"}, best_of_frameworks={"torchtitan": best[-1]} if best else {})  # fmt: skip

    searches = (search(8, nearest(100)), search(16, nearest(90)), search(8, None))
    return planned.Planned(subject, SimpleNamespace(**vars(ask) | given), searches, best, 1.5)  # type: ignore[arg-type]


def test_the_best_layouts_are_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of 64 sequences of 75 FLOPs and 1,000 tokens, in 6 s on 16 devices of 10 FLOP/s."""
    monkeypatch.setattr(data, "command_of", lambda _, best: f"train on {best.gpus}")
    monkeypatch.setattr(data, "pareto", lambda _: [(PLAIN, 5.0, 80), (PLAIN, 7.0, 40)])
    first, other = _best(), _best(8.0, verdict="may_fit", rent=None)
    found: Any = data.plan_data(_planned(first, other))
    assert (found["model"], found["gpu"], found["gpus"], found["batch"], found["rank"]) == ("it", "h100-sxm", 16, 64, "time")  # fmt: skip
    assert found["searched"] == {"gpu": ["h100-sxm", "b200-sxm"], "gpus": [8, 16]}
    assert (found["evaluated"], found["fitting"], found["search_seconds"].value) == (15, 9, 1.5)
    assert found["rejected"] == {"memory": 32, "network": 3}
    assert found["tokens"] is None
    assert (found["command"], found["nearest"]["least_total_bytes"].value) == ("train on 16", 90)
    assert found["nearest"]["change"] is None
    row, second = found["rows"]
    assert [row["step_seconds"][end].value for end in ("low", "middle", "high")] == [3, 6, 12]
    assert row["step_seconds_at_least"][:1] == (1,)
    assert row["tokens_per_second_per_gpu"].value == pytest.approx(64_000 / 6 / 16)
    assert row["mfu"].value == pytest.approx(64 * 75 / (16 * 10 * 6))
    assert (row["per_device_bytes"].value, row["least_total_bytes"].value, row["mostly"]) == (70, 60, "products 80%")
    assert [(one["verdict"].text, one["verdict"].value) for one in (row, second)] == [("yes", "fits"), ("may", "may_fit")]  # fmt: skip
    assert [one["behind"].value for one in (row, second)] == [0, pytest.approx(8 / 6 - 1)]
    assert row["usd_per_step"].value == pytest.approx(3 * 16 * 6 / 3600)
    assert (second["usd_per_step"], row["days"], row["flags"]["nemo"]) == (None, None, "--y")
    assert [(one["step_seconds"].value, one["per_device_bytes"].value) for one in found["pareto"]] == [(5, 80), (7, 40)]
    eight, sixteen, again = found["sizes"]
    assert eight == {"gpu": "h100-sxm", "gpus": 8, "fits": False}
    assert again == eight
    assert (sixteen["fits"], sixteen["step_seconds"].value, sixteen["scaling_efficiency"].value) == (True, 6, 1)
    assert sixteen["days"] is None
    assert [found["frameworks"][name]["flags"] for name in ("megatron_lm", "nemo")] == ["--x", "--y"]
    assert found["frameworks"]["torchtitan"]["step_seconds"]["middle"].value == 8


def test_what_would_fit_is_data() -> None:
    nearest: Any = SimpleNamespace(least=90, room=70, layout=PLAIN, change=(PLAIN._replace(micro_batch=7), 1.0))
    found: Any = data._nearest_data(nearest)
    assert (found["micro_batch"], found["change"]["micro_batch"]) == (1, 7)


def test_tokens_of_a_run_or_those_that_dollars_buy_are_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """64,000 tokens of a step for 8 cents; or 6.4e8 tokens that are 10,000 steps of 6 s."""
    monkeypatch.setattr(data, "command_of", lambda *_: "")
    monkeypatch.setattr(data, "pareto", lambda _: [])
    bought: Any = data.plan_data(_planned(_best(), dollars=Fraction(100)))
    assert bought["tokens"] == int(100 / (3 * 16 * 6 / 3600) * 64_000)
    asked: Any = data.plan_data(_planned(_best(), tokens=640_000_000))
    assert asked["tokens"] == 640_000_000
    assert asked["rows"][0]["days"].value == pytest.approx(60_000 / 86_400)
    assert asked["sizes"][1]["days"].value == pytest.approx(60_000 / 86_400)
    one_size = _planned(_best())
    alone: Any = data.plan_data(one_size._replace(searches=one_size.searches[1:2]))
    assert alone["sizes"] == []
    nothing: Any = data.plan_data(_planned(dollars=Fraction(100), tokens=7))
    assert (nothing["gpu"], nothing["gpus"], nothing["rows"], nothing["pareto"]) == ("h100-sxm", 16, [], [])
    assert (nothing["tokens"], nothing["command"], nothing["frameworks"]) == (7, None, {})
    assert nothing["nearest"]["least_total_bytes"].value == 90, "of the search in which least is missing"
    assert nothing["nearest"]["usable_bytes"].value == 70


# ---------------------------------------------------------------------------------------------------------------------
# The other way round
# ---------------------------------------------------------------------------------------------------------------------


def test_tokens_of_a_run_are_asked_for_or_published_of_a_whole_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for asked, adapters, own, found in (
        (5, None, 7, 5),
        (None, None, 7, 7),
        (None, None, None, None),
        (None, "some", 7, None),
    ):
        monkeypatch.setattr(
            inverse, "published_total", lambda _, own=own: None if own is None else SimpleNamespace(value=own)
        )
        assert inverse.total_tokens(SimpleNamespace(adapters=adapters, spec=None), asked) == found  # type: ignore[arg-type]


def test_a_time_allows_each_step_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 sequences of 1,000 tokens of 6.4e9 are a hundred-thousandth of 10 days."""
    limits: list[float] = []

    def of(subject: Any, ask: Any, chip: Any, rent: Any, limit: float) -> Any:
        limits.append(limit)
        return None if chip[0] == "slow" else (chip[0], rent)

    monkeypatch.setattr(inverse, "_fewest_of", of)
    subject: Any = SimpleNamespace(run=SimpleNamespace(tokens=1000), adapters="some", label="it", spec=SimpleNamespace(label="It"))  # fmt: skip
    node: Any = SimpleNamespace(cluster=lambda: SimpleNamespace(devices_per_node=8))
    ask: Any = SimpleNamespace(
        tokens=6_400_000_000, days=Fraction(10), batch=64, chips=(("fast", node), ("slow", node)), sizes=()
    )
    rents: dict[str, Any] = {"fast": 3, "slow": 2}
    found: list[Any] = inverse.fewest(subject, ask, rents)
    assert found == [("fast", 3)]
    assert limits == pytest.approx([8.64, 8.64])
    ask.chips = (("slow", node),)
    with pytest.raises(
        RequestError, match=r"no number of devices from 8 to 65,536 trains It in 10 days with a batch of 64"
    ):
        inverse.fewest(subject, ask, rents)
    ask.sizes = (24, 48)
    with pytest.raises(RequestError, match="no number of devices from 24 to 48 trains It"):
        inverse.fewest(subject, ask, rents)
    ask.tokens = None
    with pytest.raises(RequestError, match="the training tokens of it are not known"):
        inverse.fewest(subject, ask, rents)


# ---------------------------------------------------------------------------------------------------------------------
# Searches
# ---------------------------------------------------------------------------------------------------------------------


def _sized(**given: Any) -> Any:
    one: Any = plan_search.Sized.__new__(plan_search.Sized)
    vars(one).update(given)
    return one


def test_the_best_are_those_of_predicting_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in the order of what they take without bounds, which make some slower; of several that come to the same the first."""
    dice = Random(5)  # noqa: S311 (a sample is no secret)
    for _ in range(200):
        size, count, slower = dice.choice([0, 1, 3, 12]), dice.choice([1, 2, 5]), dice.randrange(2)
        seconds = sorted(float(dice.randrange(1, 9)) for _ in range(size))
        total = [dice.randrange(2) for _ in range(size)]
        bounds = [dice.choice([0.0, 5.0, 9.0]) * slower for _ in range(size)]
        one = _sized(found=SimpleNamespace(seconds=seconds, total=total, size=size))
        tried: list[int] = []

        def exactly(row: int, seconds: Any = seconds, bounds: Any = bounds, tried: Any = tried) -> Any:
            tried.append(row)
            return SimpleNamespace(row=row, seconds=max(seconds[row], bounds[row]))

        one._exactly = exactly
        rows = [row for row in range(size) if not row or (seconds[row], total[row]) != (seconds[row - 1], total[row - 1])]  # fmt: skip
        expected = sorted(rows, key=lambda row: (max(seconds[row], bounds[row]), row))[:count]
        found = one.best(count)
        assert [best.seconds for best in found] == [max(seconds[row], bounds[row]) for row in expected]
        assert [best.row for best in found] == expected
        if not any(bounds) and rows:
            assert len(tried) <= count, "no more are predicted than are asked for where no bound makes one slower"


def test_frameworks_have_the_first_row_that_they_have_options_for(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = [{"a": None, "b": None}, {"a": None, "b": "x"}, {"a": None, "b": "y"}, {"a": "z", "b": "z"}, {"a": "w", "b": None}]  # fmt: skip
    layouts = SimpleNamespace(one=lambda row: row)
    one = _sized(subject=SimpleNamespace(adapters=None), found=SimpleNamespace(size=5, layouts=layouts))
    one.flags, one._exactly = flags.__getitem__, lambda row: f"best {row}"
    assert one.best_of_frameworks == {"b": "best 1", "a": "best 3"}
    monkeypatch.setattr(plan_search, "_MOST_TRIED", 3)
    short = _sized(**{key: value for key, value in vars(one).items() if key != "best_of_frameworks"})
    assert short.best_of_frameworks == {"b": "best 1"}
    adapted = _sized(subject=SimpleNamespace(adapters="some"), found=None)
    assert adapted.best_of_frameworks == {}


def test_adapters_have_options_of_no_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_search, "flags_of", lambda layout, job: {"a": (layout, *job)})  # fmt: skip
    monkeypatch.setattr(plan_search, "lacks_of", lambda layout, job: {"a": f"lacks {layout} {job.layers}"})
    context = SimpleNamespace(value=4096)
    for adapters, flags in ((None, ("it", 12, 7, 64, 4096, 8, False, 2)), ("some", None)):
        subject = SimpleNamespace(
            adapters=adapters, spec=SimpleNamespace(layers=12, kind="decoder", mtp=2), experts=7, context=context
        )
        one = _sized(subject=subject, ask=SimpleNamespace(batch=64), _cluster=SimpleNamespace(devices_per_node=8))
        assert (one.flags("it"), one.lacks("it")) == ({"a": flags}, {"a": "lacks it 12"})


def test_routed_experts_are_those_of_the_layer_with_most() -> None:
    for counts, most in (((1,), 0), ((1, 8), 8), ((8, 4, 1), 8), ((2,), 2), ((), 0)):
        whole = SimpleNamespace(
            entries=[Matmul("m", "up", "feed_forward", "target", 2, 2, experts=count) for count in counts]
        )
        subject: Any = plan_search.Subject(None, SimpleNamespace(whole=whole), None, None, 0)  # type: ignore[arg-type]
        assert subject.experts == most


def test_the_two_longest_parts_of_a_step_are_named() -> None:
    parts: Any = SimpleNamespace(
        seconds=Fraction(20), _asdict=lambda: {"computing": Fraction(15), "sums": Fraction(4), "host": Fraction(1)}
    )
    assert plan_search._most_of(SimpleNamespace(parts=parts)) == "products 75%, tensor-parallel all-reduces 20%"  # type: ignore[arg-type]
    alone: Any = SimpleNamespace(seconds=Fraction(15), _asdict=lambda: {"computing": Fraction(15), "sums": Fraction(0)})
    assert plan_search._most_of(SimpleNamespace(parts=alone)) == "products 100%"  # type: ignore[arg-type]


def test_reasons_of_all_searches_are_added() -> None:
    of = [SimpleNamespace(found=SimpleNamespace(rejected=one)) for one in ({"a": 1, "b": 2}, {"b": 3, "c": 4}, {})]
    assert plan_search.total_rejected(of) == {"a": 1, "b": 5, "c": 4}  # type: ignore[arg-type]
