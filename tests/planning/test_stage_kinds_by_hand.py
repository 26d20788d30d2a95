"""Stages of pipelines, layer by layer: which layers each has, and which stages are alike."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from tscale.core.parallelism import Parallelism
from tscale.errors import RequestError
from tscale.models.lower import lower
from tscale.models.resolve import resolve
from tscale.planning import stage_kinds
from tscale.planning.stage_kinds import Model, model_of


@cache
def _model(name: str) -> Model:
    spec = resolve(name)
    return model_of(spec, lower(spec))


def _attends(layer: int) -> bool:
    """Of Jamba's layers, in blocks of 8: the fifth attends, the others are Mamba's."""
    return layer % 8 == 4


def _layers_of(place: int, pipeline: int, interleave: int) -> list[list[int]]:
    """The layers of each piece of a stage, of 32 that are cut evenly and dealt out to the stages in turn."""
    each = 32 // (pipeline * interleave)
    starts = [(turn * pipeline + place) * each for turn in range(interleave)]
    return [list(range(start, start + each)) for start in starts]


def _kind_of(layer: int) -> int:
    """Of Jamba: Mamba before a feed-forward (0) or experts (1), and attention before a feed-forward (2), as they first come."""
    return 2 if _attends(layer) else layer % 2


PIPELINES = [(1, 1), (2, 1), (4, 1), (8, 1), (16, 1), (32, 1), (2, 2), (4, 2), (4, 4), (2, 16)]


@pytest.mark.parametrize(("pipeline", "interleave"), PIPELINES)
def test_stages_have_the_layers_that_are_dealt_out_to_them(pipeline: int, interleave: int) -> None:
    """Of Jamba: how many of its layers attend, are Mamba's, have experts; which kinds; and whether the table and the head."""
    model = _model("jamba")
    names = {place: group.entries[0].name for place, group in enumerate(model.whole.groups)}
    counted = {"attention.q": _attends, "mamba.in": lambda layer: not _attends(layer), "experts.router": lambda layer: layer % 2}  # fmt: skip
    expected: dict[Any, list[int]] = {}
    for place in range(pipeline):
        layers = [layer for piece in _layers_of(place, pipeline, interleave) for layer in piece]
        counts = tuple(sum(map(bool, map(test, layers))) for test in counted.values())
        kinds = tuple(dict.fromkeys(map(_kind_of, layers)))
        ends = (place == 0, place == pipeline - 1)
        expected.setdefault((*ends, counts, kinds if pipeline > 1 else (0, 1, 2)), []).append(place)
    plan = Parallelism(pipeline=pipeline, interleave=interleave)
    found = {}
    for stage in model.stages(plan):
        of = dict(zip((names[group] for group in stage.kind.groups), stage.counts, strict=True))
        counts = tuple(of.get(name, 0) for name in counted)
        found[stage.kind.first, stage.kind.last, counts, stage.kind.layers] = (stage.place, stage.many)
    assert found == {key: (places[0], len(places)) for key, places in expected.items()}


@pytest.mark.parametrize(("pipeline", "interleave"), PIPELINES)
def test_the_first_layers_of_a_stage_are_counted_by_group(pipeline: int, interleave: int) -> None:
    """Of each stage, whose order of layers tells it apart: among its first 0, 1, 2, ... how many attend or have experts."""
    model = _model("jamba")
    names = {place: group.entries[0].name for place, group in enumerate(model.whole.groups)}
    orders = [[n for piece in _layers_of(p, pipeline, interleave) for n in piece] for p in range(pipeline)]
    stages = model.stages(Parallelism(pipeline=pipeline, interleave=interleave), ordered=True)
    assert sum(stage.many for stage in stages) == pipeline
    for stage in stages:
        layers = orders[stage.place]
        tables = dict(zip((names[group] for group in stage.kind.groups), model.firsts(stage), strict=True))
        for name, test in (("attention.q", _attends), ("experts.router", lambda layer: bool(layer % 2))):
            first = [sum(map(test, layers[:many])) for many in range(len(layers) + 1)]
            assert tables.get(name, [0] * len(first)) == first
    ends = [(place == 0, place == pipeline - 1) for place in range(pipeline)]
    apart = {(*end, tuple(map(_kind_of, layers))) for end, layers in zip(ends, orders, strict=True)}
    assert len(stages) == len(apart)


def test_stages_that_dualpipe_shares_have_table_and_head_at_either_end() -> None:
    """A device has a stage and its mirror: of four, the first and the last have the first layers and the last; the middle, the rest."""
    stages = _model("llama-3.2-1b").stages(Parallelism(pipeline=4, schedule="dualpipe"))
    assert [(one.kind.first, one.kind.last, one.many, one.counts[0]) for one in stages] == [
        (True, True, 2, 8),
        (False, False, 2, 8),
    ]


TWO = {
    2: [(True, False, "encoder", True, 0, 6), (True, True, "decoder", True, 1, 6)],
    3: [(True, False, "encoder", False, 0, 3), (False, False, "encoder", True, 1, 3), (True, True, "decoder", True, 2, 6)],
    4: [
        (True, False, "encoder", False, 0, 3), (False, False, "encoder", True, 1, 3),
        (True, False, "decoder", False, 2, 3), (False, True, "decoder", True, 3, 3),
    ],
}  # fmt: skip


@pytest.mark.parametrize("pipeline", TWO)
def test_stages_of_two_stacks_have_layers_of_one(pipeline: int) -> None:
    """T5: 6 layers of an encoder on the first half of the stages (of three, two: 1.5 to the even number), 6 of a decoder on the others."""
    model = _model("t5-small")
    assert (len(model.layers), model.of_layer, model.groups_of) == (2, (0,) * 6 + (1,) * 6, ())
    stages = model.stages(Parallelism(pipeline=pipeline))
    kinds = [(one.kind.first, one.kind.last, one.kind.stack, one.kind.closes, one.place) for one in stages]
    assert kinds == [row[:5] for row in TWO[pipeline]]
    for stage, (*_, stack, _closes, _place, layers) in zip(stages, TWO[pipeline], strict=True):
        own = {model.whole.groups[group].stack for group in stage.kind.groups}
        assert (own, set(stage.counts), stage.many) == ({stack}, {layers}, 1)
        assert stage.kind.layers == ((1,) if stack == "decoder" else (0,))
        where = [g for g, group in enumerate(model.whole.groups) if group.stack == stack and not isinstance(group.where, str)]  # fmt: skip
        assert list(stage.kind.groups) == where


def test_a_single_device_has_all_layers_of_both_stacks() -> None:
    (alone,) = _model("t5-small").stages(Parallelism())
    assert (alone.kind.first, alone.kind.last, alone.kind.layers, set(alone.counts)) == (True, True, (0, 1), {6})
    assert (alone.place, alone.many) == (0, 1)


def test_a_model_of_as_many_layers_as_are_searched_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = resolve("llama-3.2-1b")
    monkeypatch.setattr(stage_kinds, "MOST_LAYERS", 16)
    assert len(model_of(spec, lower(spec)).of_layer) == 16
    monkeypatch.setattr(stage_kinds, "MOST_LAYERS", 15)
    with pytest.raises(RequestError, match="has 16 layers: plan takes models of up to 15"):
        model_of(spec, lower(spec))


def test_a_step_is_timed_by_what_runs() -> None:
    model = _model("llama-3.2-1b")
    assert model.of_a_step is model.whole
    own: Any = object()
    assert model._replace(timed=own).of_a_step is own
