"""The search: in order, complete, and no faster than what bounds allow."""

from __future__ import annotations

import json
from functools import cache
from random import Random
from shlex import split
from typing import Any

import numpy as np
import pytest

from tests.helpers import run
from tscale.catalogue.hardware import find_hardware
from tscale.core.axis import Axis
from tscale.errors import RequestError
from tscale.estimates.plan.search import Ask, Sized, pareto, subject_of
from tscale.models.resolve import resolve
from tscale.planning.layouts import Axes, Layout, grid
from tscale.planning.search import _rooms, front


@cache
def _sized(gpus: int = 32, chip: str = "h100", top: int = 10, batch: int = 128) -> Sized:
    named = (chip, find_hardware(chip, ()))
    given = {"tensor": Axis("1,2", (1, 2)), "shards": Axis("8", (8,))} if chip == "h200" else {}
    ask = Ask(batch, (gpus,), (named,), given, top=top)
    return Sized(subject_of(resolve("llama-3.1-8b"), 4096), ask, named, gpus, None)


@pytest.mark.slow
def test_every_layout_is_ranked_or_rejected_for_one_reason() -> None:
    found = _sized().found
    assert found.evaluated == found.size + sum(found.rejected.values())
    assert (np.diff(found.seconds) >= 0).all()


@pytest.mark.slow
def test_the_best_are_the_best_of_all_with_their_bounds() -> None:
    """Each of the first hundreds, predicted alone: no other is among the fastest five, though bounds were not asked of it."""
    sized = _sized(gpus=8, batch=32)
    best = sized.best(5)
    every = sorted(sized._exactly(row).seconds for row in range(min(sized.found.size, 150)))
    distinct = list(dict.fromkeys(every))
    assert [one.seconds for one in best] == sorted(one.seconds for one in best)
    assert best[0].seconds == every[0]
    assert set(distinct[:3]) <= {one.seconds for one in best}


def test_layouts_of_a_model_with_a_module_that_predicts_further_are_timed_as_each_alone() -> None:
    """GLM-4.5-Air with one behind its 46 layers, whose last stage may have no other layer."""
    named = ("h200", find_hardware("h200", ()))
    given = {"pipeline": Axis("4,16", (4, 16)), "tensor": Axis("1", (1,)), "zero": Axis("1", (1,))}
    ask = Ask(64, (32,), (named,), given, top=4)
    sized = Sized(subject_of(resolve("glm-4.5-air", ["mtp=1"]), 4096), ask, named, 32, None)
    assert sized.found.size > 20
    rows = range(0, sized.found.size, max(sized.found.size // 8, 1))
    assert [sized._exactly(row).seconds for row in rows] == pytest.approx([sized.found.seconds[row] for row in rows])


def test_a_front_is_that_of_all_pairs() -> None:
    """None of the front is beaten, and whatever is beaten is not on it (brute force over all pairs)."""
    rng = np.random.default_rng(1)
    seconds, size = np.sort(rng.random(200)), rng.integers(1, 100, 200)
    expected = [row for row in range(200) if not any(size[other] <= size[row] for other in range(row))]
    assert front(seconds, size).tolist() == expected


def test_the_front_of_a_search_begins_with_the_fastest() -> None:
    sized = _sized()
    points = pareto(sized)
    assert points[0][1] == sized.found.seconds[0]
    assert [size for _, _, size in points] == sorted((size for _, _, size in points), reverse=True)


def test_what_is_nearest_fits_one_change_away() -> None:
    nearest = _sized().found.nearest
    assert nearest is not None
    assert nearest.least > nearest.room
    assert nearest.change is not None
    layout, seconds = nearest.change
    assert _axes_apart(nearest.layout, layout) == 1
    found = _sized().found
    alike = [row for row in range(found.size) if _axes_apart(nearest.layout, found.layouts.one(row)) == 1]
    assert seconds == min(found.seconds[alike])


def _axes_apart(one: Layout, other: Layout) -> int:
    """In how many ways two layouts differ: copies follow from the rest, and what goes together is one way."""

    def ways(layout: Layout) -> list[object]:
        plan = layout.plan
        together = [
            (plan.zero, plan.shards),
            (plan.tensor, plan.sequence),
            (plan.pipeline, plan.interleave, plan.schedule),
        ]
        return [*together, plan.context, plan.expert, plan.expert_tensor, *layout[1:]]

    return sum(mine != yours for mine, yours in zip(ways(one), ways(other), strict=True))


def test_hybrid_shards_are_some_of_the_copies() -> None:
    found = _sized(chip="h200").found
    shards = found.layouts.columns["shards"]
    assert set(np.unique(shards).tolist()) == {8}
    assert (found.layouts.columns["ranks"] > 8).all()


def test_too_many_layouts_are_refused_before_any_is_made() -> None:
    many = tuple(range(1, 200))
    axes = Axes(many, many, many, many, (1,), (1,), many, (0, 1, 2, 3), (0,), (False, True))
    with pytest.raises(
        RequestError, match=r"^plan would try [\d,]+ layouts of 64 devices: at most 4,000,000 here; fix some axes"
    ):
        grid(axes, 64)


@pytest.mark.slow
def test_pieces_of_a_stage_are_equally_deep_unless_others_are_asked_for() -> None:
    """32 layers on 2 stages are 4 pieces of 4 each, not 3 of 6, 6 and 5 or 4, whose stages wait for one another."""
    named = ("h100", find_hardware("h100", ()))

    def tried(**given: Axis) -> set[tuple[int, int]]:
        ask = Ask(128, (32,), (named,), given, top=10)
        layouts = Sized(subject_of(resolve("llama-3.1-8b"), 4096), ask, named, 32, None).found.layouts.columns
        return set(zip(layouts["pipeline"].tolist(), layouts["interleave"].tolist(), strict=True))

    assert (2, 4) in tried()
    assert (2, 3) not in tried()
    assert (2, 3) in tried(interleave=Axis("3", (3,)))


def test_room_is_that_beside_a_reserve_for_each_group_that_a_device_sends_to() -> None:
    """A group of any degree above 1; cut experts have one of their own where they are not cut over tensor parallelism's devices."""
    rows: list[tuple[tuple[int, ...], int]] = [
        ((1, 1, 1, 1, 1, 1), 0), ((2, 1, 1, 1, 1, 1), 1), ((2, 2, 1, 1, 1, 2), 2), ((2, 2, 2, 2, 2, 1), 5),
        ((1, 1, 2, 1, 2, 2), 3), ((4, 1, 2, 1, 2, 2), 4), ((2, 2, 2, 2, 2, 3), 6),
    ]  # fmt: skip
    names = ("tensor", "pipeline", "data", "context", "expert", "expert_tensor")
    columns = {name: np.array([degrees[place] for degrees, _ in rows]) for place, name in enumerate(names)}
    usable, room = _rooms(columns, lambda groups: (100 - groups, 1000 - groups))
    assert usable.tolist() == [100 - groups for _, groups in rows]
    assert room.tolist() == [1000 - groups for _, groups in rows]


_VARIED = {
    "--tensor": "1 2 4 8", "--pipeline": "1 2 4", "--zero": "0 1 2 3", "--micro-batch": "1 2 4", "--recompute": "none full selective op",
    "--precision": "bf16 fp8", "--context-parallel": "1 2 4", "--interleave": "1 2 4", "--schedule": "1f1b interleaved zero-bubble",
    "--optimizer": "adamw muon", "--expert": "1 2 4 8",
}  # fmt: skip
_ASKED = (
    ("qwen3-30b-a3b", "--gpu", "h200", "--gpus", "8", "--batch", "64", "--context", "4k"),
    ("llama-3-8b", "--gpu", "h100", "--gpus", "16", "--batch", "128", "--context", "8k"),
    ("qwen3-0.6b", "--gpu", "gb200", "--gpus", "4,8", "--batch", "64", "--context", "2k"),
    ("llama-3-70b", "--gpu", "h100", "--gpus", "32", "--batch", "64", "--context", "4k", "--lora-rank", "16"),
)


def _rows(*args: str) -> list[dict[str, Any]]:
    """The best two layouts of a search; none where nothing fits, or no layout is legal."""
    done = run("plan", *args, "--train", "--top", "2", "--format", "json")
    return [] if done.code else list(json.loads(done.out)["rows"])


@pytest.mark.parametrize("seed", [9, 16])
def test_more_values_of_an_axis_find_no_slower_layout_and_train_says_the_same_of_it(seed: int) -> None:
    """Some values of three axes at random, and some more; the command of each of the best comes to its figures to the last digit."""
    random = Random(seed)  # noqa: S311 - draws of a test, no secret
    asked = _ASKED[seed % len(_ASKED)]
    few, many = list(asked), list(asked)
    for name in random.sample(sorted(_VARIED), 3):
        values = _VARIED[name].split()
        own = random.sample(values, random.randint(1, len(values) - 1))
        few += [name, ",".join(own)]
        many += [name, ",".join(value for value in values if value in own or random.random() < 0.6)]
    fewer, more = _rows(*few), _rows(*many)
    if fewer:
        assert more[0]["step_seconds"]["middle"] <= fewer[0]["step_seconds"]["middle"], (few, many)
    for row in more:
        _, *words = split(row["command"])
        plan = json.loads(run(*words, "--format", "json").out)["plan"]
        memory = plan["memory"]
        assert {name: row[name] for name in ("step_seconds", "step_seconds_at_least")} == {
            name: plan[name] for name in ("step_seconds", "step_seconds_at_least")
        }
        assert (row["per_device_bytes"], row["least_total_bytes"], row["verdict"]) == (
            memory["per_device_bytes"]["total"],
            memory["least_total_bytes"],
            memory["verdict"],
        )


SMALL = ("plan", "gpt2", "--train", "--gpu", "h100", "--gpus", "8", "--batch", "8", "--tensor", "1")


def test_of_adapters_no_options_of_frameworks_are_written_and_it_says_so() -> None:
    """Megatron-Bridge trains adapters by options of its own (its src/megatron/bridge/peft): that there are none would be wrong."""
    asked = (*SMALL, "--lora-rank", "8")
    said = run(*asked, columns=200).out
    assert "Options of training frameworks are not written for adapters." in said
    assert "Megatron" not in said


@pytest.mark.parametrize(("asked", "what"), [(("--days", "30"), "Days"), (("--dollars", "1000"), "Dollars")])
def test_days_and_dollars_say_that_they_count_steps_alone(asked: tuple[str, str], what: str) -> None:
    given = (*SMALL, "--tokens", "1e9") if what == "Days" else SMALL
    assert f"{what} count steps alone: whole runs had 75%" in run(*given, *asked, columns=200).out


def test_bytes_of_a_lone_layout_may_be_floats() -> None:
    """Of 8-way tensor parallelism over 2,048 copies one layout is left, which is computed as a number."""
    done = run("plan", "llama-3.1-405b", "--train", "--gpu", "h100", "--gpus", "16384", "--batch", "2048")
    assert done.code == 0
