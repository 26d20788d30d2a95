"""Recomputation of as few of the first layers of each stage as make a layout fit."""

from __future__ import annotations

import random
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tscale.calibration.training_case import as_cut, prediction
from tscale.catalogue.hardware import find_hardware
from tscale.core.axis import Axis
from tscale.core.costs.training_setup import Training
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.core.recompute import FEWEST, Again
from tscale.estimates.capacity import groups_of
from tscale.estimates.plan.search import Ask, Sized, subject_of
from tscale.models.resolve import resolve
from tscale.models.trainer import trainer
from tscale.planning import partial
from tscale.planning.layouts import Axes, Layout, Layouts
from tscale.planning.memory import Held
from tscale.planning.partial import Guess, Weighed, between, with_fewest

CONTEXT = 8192
AXES = Axes((1,), (1,), (1,), (1,), (1,), (1,), (1,), (0,), (0,), (False,))


@cache
def _sized(model: str, gpus: int, batch: int, *, listed: bool = False) -> Sized:
    chip = ("h100", find_hardware("h100", ()))
    given: dict[str, Any] = {"recompute": Axis("full:K", (Again("full", FEWEST),))} if listed else {}
    subject = subject_of(resolve(model), CONTEXT)
    return Sized(subject, Ask(batch, (gpus,), (chip,), given), chip, gpus, None)


def _bytes(sized: Sized, layout: Layout, again: Again) -> tuple[int, int]:
    """By `memory --train`: what the fullest device holds at the most, and at the least."""
    training = Training(
        PRECISIONS["bf16"], OPTIMIZERS["adamw"], layout.plan, sized.subject.run, micro_batch=layout.micro_batch,
        recompute=again.policy, again=again if again.of_some else None, batch=sized.ask.batch,
    )  # fmt: skip
    return trainer(sized.subject.spec, training, CONTEXT).totals()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "gpus", "batch"), [("llama-3.1-8b", 16, 64), ("mixtral-8x7b", 64, 64), ("jamba", 64, 64)]
)
def test_one_layer_less_does_not_fit(model: str, gpus: int, batch: int) -> None:
    sized = _sized(model, gpus, batch)
    found = sized.found
    rows = np.flatnonzero(found.layouts.columns["first"] > 0).tolist()
    assert len(rows) > 20
    for row in random.Random(4).sample(rows, 6):  # noqa: S311 (a sample to test)
        layout = found.layouts.one(row)
        usable, room = sized._rooms(groups_of(layout.plan))
        at = (int(found.total[row]), int(found.least[row]))
        assert _bytes(sized, layout, layout.again) == at
        less = Again("full", layout.first - 1) if layout.first > 1 else Again()
        total, least = _bytes(sized, layout, less)
        if found.fits[row]:
            assert at[0] <= usable < total
        else:
            assert at[1] <= room < least


def test_each_layer_more_takes_longer() -> None:
    sized = _sized("llama-3.1-8b", 16, 64)
    layouts = sized.found.layouts.only(sized.found.layouts.columns["first"] > 0)
    for row in range(0, layouts.size, 40):
        layout = layouts.one(row)
        own, more = (
            prediction(sized.case_of(layout._replace(first=first), as_cut(layout.plan))).seconds.middle
            for first in (layout.first, layout.first + 1)
        )
        assert own <= more


@pytest.mark.slow
def test_what_is_listed_is_all_that_is_tried() -> None:
    sized = _sized("llama-3.1-8b", 16, 64, listed=True)
    found = sized.found
    assert (found.layouts.columns["first"] >= 1).all()
    assert {found.layouts.one(row).recompute for row in range(20)} == {"full"}
    assert found.evaluated == found.size + sum(found.rejected.values())


def test_a_layout_that_fits_without_needs_none() -> None:
    """Layouts that surely fit without recomputation are not tried with some of it."""
    found = _sized("llama-3.1-8b", 16, 64).found
    columns, names = found.layouts.columns, found.layouts.axes.policies
    degrees = ("tensor", "sequence", "pipeline", "interleave", "stages", "zero", "micro_batch", "context", "expert")
    keys = list(zip(*(columns[name].tolist() for name in degrees), strict=True))
    none = {
        key
        for key, at, fits in zip(keys, columns["recompute"], found.fits, strict=True)
        if names[at] == "none" and fits
    }
    some = {key for key, first in zip(keys, columns["first"], strict=True) if first}
    assert some
    assert not none & some


def test_a_stage_of_dualpipe_has_its_table_and_its_head_whatever_is_recomputed() -> None:
    """The first device has the first stage and the last: with no layer of either computed again it keeps what it does without."""
    sized = _sized("llama-3.1-8b", 16, 64)
    plan = Parallelism(pipeline=4, data=4, schedule="dualpipe")
    layout = sized.found.layouts.one(0)._replace(plan=plan, micro_batch=1)
    assert _bytes(sized, layout, Again("full", layers=())) == _bytes(sized, layout, Again())


def test_as_few_layers_as_fit_are_those_of_trying_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1 to 40 layers: bytes fall with each that is computed again; the least that may fit is 10 bytes below, with 5 more to have."""
    drawn = random.Random(8)  # noqa: S311 (no secret)
    most = np.array([drawn.choice((1, 2, 7, 40)) for _ in range(200)])
    start, each = (np.array([drawn.randint(*ends) for _ in most]) for ends in ((1020, 1400), (1, 9)))
    usable, room = np.full(len(most), 1100), np.full(len(most), 1105)

    asked: list[int] = []

    def weigh(layouts: Layouts, states: Any) -> Held:
        asked.append(layouts.size)
        assert len(asked) < 40  # or it never ends
        own = layouts.columns["tensor"]
        assert (states[0] == own).all()
        total = start[own] - each[own] * layouts.columns["first"]
        return Held(total, total - 10)

    rows = np.arange(len(most))
    layouts = Layouts(AXES, 1, {"tensor": rows, "first": np.zeros_like(rows)})
    nothing = Held(np.zeros_like(rows), np.zeros_like(rows))
    weighed = Weighed(layouts, rows, rows[np.newaxis], nothing, usable, room)
    monkeypatch.setattr(partial, "_most_layers", lambda *_: most)
    every = weigh(layouts._replace(columns={"tensor": rows, "first": most}), rows[np.newaxis])
    sure = every.total <= usable
    guess = Guess(sure, np.array([drawn.random() for _ in most]))
    for found in (with_fewest(weighed, {}, weigh), with_fewest(weighed, {}, weigh, guess)):
        first = found.layouts.columns["first"]
        for row in rows.tolist():
            some = [(n, int(start[row] - each[row] * n)) for n in range(1, int(most[row]) + 1)]
            fitting = [n for n, total in some if (total <= 1100 if sure[row] else total - 10 <= 1105)]
            assert int(first[row]) == min(fitting, default=int(most[row]))
        assert found.held.total.tolist() == (start - each * first).tolist()
        assert found.held.least.tolist() == (start - each * first - 10).tolist()
    asked.clear()
    right = found.layouts.columns["first"]
    again = with_fewest(weighed, {}, weigh, Guess(sure, (right - 0.5) / most))
    assert again.layouts.columns["first"].tolist() == right.tolist()
    assert asked == [
        len(right) + int((right > 1).sum())
    ]  # each guess that is right, and one layer less where there is one


def test_layouts_that_fit_with_all_and_not_without_any_are_guessed_by_a_straight_line() -> None:
    """Of pairs of 100 usable bytes, or 110 at the least reserve: which are searched, and the share of layers that would just do.

    Where all of them surely fit, bytes at the most are compared with what is usable; else those at the least with the room.
    """
    pairs = [
        ((h, h - 20), (f, f - 20)) for h in (90, 100, 101, 120, 140, 200) for f in (60, 100, 101, 130, 131) if f <= h
    ]
    held = [*(none for none, _ in pairs), *(full for _, full in pairs)]
    many = len(pairs)
    columns = {name: np.array([*[0] * many, *[1] * many]) for name in ("tensor", "recompute")}
    columns |= {"tensor": np.tile(np.arange(many), 2), "first": np.zeros(2 * many, dtype=np.int64)}
    others = {"tensor": [0], "recompute": [1], "first": [3]}  # of the first three layers: no pair has it
    columns = {name: np.concatenate([values, others[name]]) for name, values in columns.items()}
    own = Held(*(np.array([*values, 1]) for values in zip(*held, strict=True)))
    ones = np.ones(2 * many + 1, dtype=np.int64)
    layouts = Layouts(AXES._replace(recompute=("none", "full")), 1, columns)
    found, guess = between(Weighed(layouts, ones, ones[np.newaxis], own, 100 * ones, 110 * ones))
    expected = []
    for place, ((most, least), (fewest, at_least)) in enumerate(pairs):
        if most > 100 and (fewest <= 100 or at_least <= 110):
            sure = fewest <= 100
            before, after, room = (most, fewest, 100) if sure else (least, at_least, 110)
            expected.append((place, sure, (before - room) / max(before - after, 1)))
    assert list(zip(found.layouts.columns["tensor"].tolist(), guess.sure.tolist(), guess.share.tolist(), strict=True)) == expected  # fmt: skip
    assert found.layouts.columns["recompute"].tolist() == [1] * len(expected)
    assert {sure for _, sure, _ in expected} == {True, False}


def test_the_deepest_stage_says_how_many_layers_there_are() -> None:
    """Of rows on one device, on two stages of 3 and 5 layers, and on stages whose order nobody asked for: one at the least."""
    stages: Any = {
        (1, 1, 0, 0): (SimpleNamespace(order=(0,) * 8),),
        (2, 1, 0, 0): (SimpleNamespace(order=(0,) * 3), SimpleNamespace(order=(0,) * 5)),
        (4, 1, 0, 0): (SimpleNamespace(order=()),),
    }
    pipeline = np.array([2, 1, 4, 2])
    columns = {"tensor": pipeline, "pipeline": pipeline, "interleave": pipeline * 0 + 1, "schedule": pipeline * 0, "stages": pipeline * 0}  # fmt: skip
    assert partial._most_layers(Layouts(AXES, 1, columns), stages).tolist() == [5, 8, 1, 5]
