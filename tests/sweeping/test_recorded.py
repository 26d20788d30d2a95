"""Rows that are computed as arrays from one that was recorded are what the question answers to each of them alone, to the last digit."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.core.test_shapes import every_shape
from tscale.core.costs.largest import largest
from tscale.core.costs.shapes import Grid, Lines, Proportions, Shape, distance, nearest
from tscale.core.laws import halving
from tscale.core.tracing import ceil_div, maximum, where
from tscale.sweeping import evaluate, shapes
from tscale.sweeping.answers import answer_of
from tscale.sweeping.columns import Part, plain
from tscale.sweeping.compiled import COMPILED, RECORDED
from tscale.sweeping.conversions import recording_conversions
from tscale.sweeping.evaluate import Evaluator
from tscale.sweeping.grid import places_of
from tscale.sweeping.job import QUESTIONS, job_of
from tscale.sweeping.recorded import LostError, Record, Recorded, recording
from tscale.sweeping.replay import Replay
from tscale.sweeping.sweep import Sweep, prepared

H100: dict[str, object] = {"gpu": "h100"}
LLAMA: dict[str, object] = {"model": "llama-3.1-8b", **H100}
SERVED = ["context=1024..32768+512", "batch=1..64+3"]
PIPELINE: dict[str, object] = {"train": True, "gpus": "64", "tensor": "8", "pipeline": "2"}
PLAN: dict[str, object] = {"model": "gpt3", **H100, "gpus": "1024", "tensor": "8", "pipeline": "8"}
SWEEPS: list[tuple[str, dict[str, object], list[str]]] = [
    ("memory", LLAMA, SERVED),
    ("memory", {"model": "deepseek-v3", "gpu": "h200", "gpus": "16", "page": "64"}, SERVED),
    ("memory", {"model": "gemma-3-27b", **H100, "pipeline": "2"}, ["context=2048..8192+1024", "prefix=16..512+16"]),
    ("memory", {**LLAMA, "train": True}, ["context=1024..8192+128", "micro_batch=1..8"]),
    ("memory", {**LLAMA, "train": True}, ["prefix=0..32"]),
    ("serve", LLAMA, ["prefix=0..512+16"]),
    ("serve", {**LLAMA, "prefill": "tensor=1,replicas=8", "decode": "tensor=1"}, ["concurrency=10..4000+133"]),
    ("memory", {**LLAMA, **PIPELINE}, ["context=1024..8192+1024", "batch=64..640+64"]),
    ("train", {"model": "gpt3", **H100}, ["gpus=1024..2048+16", "tokens=100e9..300e9+50000000000"]),
    ("train", LLAMA, ["gpus=2080..2240+10"]),
    ("train", {**LLAMA, "goodput": "90%"}, ["gpus=2080..2240+10"]),
    ("train", {"model": "gpt3", **H100, "mfu": "40%"}, ["gpus=8..4096+8", "tokens=1e9,300e9"]),
    ("train", PLAN, ["context=1024..1536+32", "batch=512,1024"]),
    (
        "train",
        {**PLAN, "batch": "1536", "recompute": "full", "zero": "1"},
        ["context=1024..1536+32", "micro_batch=1,2"],
    ),
    ("serve", LLAMA, ["batch=1..256+5", "context=1024..16384+1024"]),
    ("serve", {"model": "deepseek-v3", "gpu": "h200", "gpus": "8"}, ["batch=1..64+9", "context=512..4096+512"]),
    (
        "serve",
        {**LLAMA, "tensor": "2", "replicas": "2"},
        ["concurrency=1..64+7", "input=512..4096+512", "output=64,300"],
    ),
    ("train", {**LLAMA, "gpus": "64", "tokens": "1e12"}, ["price=1..16", "watts=500..700+50"]),
    ("train", {**LLAMA, "gpus": "64", "tokens": "1e12"}, ["tokens_per_second=1000..1064"]),
    ("serve", LLAMA, ["price=1..16", "batch=1,8"]),
    ("serve", {**LLAMA, "concurrency": "64"}, ["chunk=512..16384+512"]),
    ("serve", {**LLAMA, "tensor": "1"}, ["replicas=1..32"]),
    ("serve", {**LLAMA, "draft": "llama-3.2-1b", "acceptance": "0.8"}, ["draft_tokens=1..8", "batch=1..64+9"]),
    ("memory", {**LLAMA, "draft": "llama-3.2-1b"}, ["draft_tokens=1..8", "batch=1,8"]),
    ("memory", {**LLAMA, "gpus": "64", "tensor": "1"}, ["replicas=1..32"]),
    ("optimal", {"gpu": "h100", "gpus": "64", "dollars": "1e6"}, ["price=1..16"]),
    ("loss", {"model": "llama-3.1-8b"}, ["tokens=1e12..15e12+500000000000"]),
    ("memory", {**LLAMA, "train": True}, ["lora_rank=1..64", "context=1024..4096+1024"]),
    (
        "train",
        {**LLAMA, "gpus": "8", "zero": "3", "batch": "64", "tokens": "1e9"},
        ["lora_rank=1..64+7", "context=1024,2048"],
    ),
    ("train", {**LLAMA, "tokens": "1e9"}, ["lora_rank=8,16", "gpus=8..64+8"]),
    ("summary", LLAMA, ["set.d_ff=8192..16384+512", "set.vocabulary=32000,128256"]),
    (
        "memory",
        LLAMA,
        ["set.attention.heads=1..64", "batch=1,8"],
    ),  # most do not divide the width, or are fewer than the keys'
    ("memory", {**LLAMA, "train": True}, ["set.d_ff=8192..16384+1024", "context=1024,4096"]),
    ("train", {**PLAN, "batch": "1536"}, ["set.d_ff=49152..65536+1024"]),
    ("serve", LLAMA, ["set.layers=16..96+8", "batch=1,8"]),
    ("attention", {"model": "llama-3.1-8b"}, ["context=1024..163840+1024"]),  # past what it was trained on
    ("attention", {"model": "gemma-3-27b", "causal": True}, ["context=512..16384+512"]),
    ("optimal", {}, ["flops=1e21..1e22+100000000000000000000"]),  # past 64 bits
    ("optimal", {}, ["tokens=1e9..300e9+1000000000"]),
    ("optimal", {"inference_tokens": "1e12"}, ["params=1e9..2e10+100000000"]),
    ("optimal", {"flops": "1e23"}, ["unique_tokens=10e9..1000e9+10000000000"]),
    ("optimal", {"gpu": "h100", "gpus": "1024", "mfu": "40%"}, ["days=1..100"]),
    ("design", {}, ["params=1e9..1e11+99000000"]),  # eleven models of the family are patterns in turn
    ("design", {"like": "gpt2", "multiple": "64"}, ["params=1000000..300000000+1000000"]),  # some have none within 1%
    ("design", {"like": "deepseek-v3"}, ["params=1e10..1e12+9900000000"]),
    ("design", {"like": "mixtral-8x7b", "tensor": "4"}, ["flops=1e21..1e23+100000000000000000000"]),
    (
        "optimal",
        {"experts": "8", "active_share": "1/8", "memory_gb": "80"},
        ["flops=1e21..3e22+1000000000000000000000"],
    ),
]


def swept(question: str, fixed: Mapping[str, object], vary: list[str]) -> tuple[Sweep, Evaluator, Part]:
    sweep = prepared(job_of(question, fixed, vary))
    evaluator = Evaluator(sweep.job, sweep.columns)
    return sweep, evaluator, evaluator.part(tuple((0, length) for length in sweep.job.lengths))


@pytest.mark.slow
@pytest.mark.parametrize(("question", "fixed", "vary"), SWEEPS)
def test_rows_are_what_the_question_answers(question: str, fixed: Mapping[str, object], vary: list[str]) -> None:
    sweep, evaluator, part = swept(question, fixed, vary)
    assert [structure.why for structure in evaluator.structures.values()] == [""]
    agrees(sweep, part)


def agrees(sweep: Sweep, part: Part) -> None:
    """A sample of rows is what the question answers to each alone."""
    names = [column.name for column in sweep.columns]
    for row in random.Random(8).sample(range(part.rows), min(part.rows, 6)):  # noqa: S311
        cells = dict(zip(names, part.cells(row, sweep.columns), strict=True))
        alone = answer_of(sweep.job, places_of(row, sweep.job.lengths))
        assert cells["refused"] == alone.refused
        for name, cell in alone.figures.items():
            assert cells.get(name) == plain(cell), (name, cells)


def small(shape: Shape) -> int:
    """The parameters of a gated decoder of 100 tokens, by hand."""
    layers, d, heads, kv_heads, d_ff = shape
    return 100 * d + layers * (2 * d * 16 * (heads + kv_heads) + 3 * d * d_ff + 2 * d)


@pytest.mark.parametrize(
    ("grid", "sharing"),
    [(Grid(16), 2), (Grid(8, 2), 1), (Grid(64), 4)],
)
@pytest.mark.parametrize("most", [10**6, 50])
def test_shapes_of_many_budgets_are_those_of_each(
    grid: Grid, sharing: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against every shape that is counted one by one; `most`: where few are counted at once, budgets are parted."""
    monkeypatch.setattr(shapes, "_MOST_SHAPES", most)
    wanted = Proportions(Fraction(16), Fraction(5, 2), Fraction(1), Fraction(sharing), head_dim=16)
    lines = Lines(wanted, grid, small)
    budgets = [1, 5000, *range(20_000, 300_000, 7001), 10**14]
    record = Record()
    budget = recorded(record, budget=20_000)["budget"]
    with recording(record), recording_conversions():
        (found, *_), (layers,) = nearest(budget, lines, (Lines(wanted, grid, lambda shape: 3 * shape.layers + 1),))
    columns = [again(one, budget=budgets) for one in (*found.shape, found.params, layers)]
    every = every_shape(wanted, grid, 128)
    counted = [(one, small(one)) for one in every]
    assert min(params for one, params in counted if one.d_model == 128) > 1.01 * budgets[-2]
    for place, own in enumerate(budgets[:-1]):  # no design has the last: it would be a row of another way
        *sizes, params, count = (column[place] for column in columns)
        fit = [pair for pair in counted if 100 * abs(pair[1] - own) <= own]
        shape = Shape(*sizes)
        assert (params, count) == (small(shape), 3 * shape.layers + 1)
        if fit:
            assert shape == min(fit, key=lambda pair: distance(pair[0], wanted, pair[1], own))[0]
        else:
            assert abs(params - own) == min(abs(pair[1] - own) for pair in counted)


def test_the_least_of_a_range_is_the_first_of_the_least() -> None:
    column = np.array([5.0, 2, 7, 2, 9, 1, 4])
    ranges = shapes._Ranges(column, 7)
    pairs = [(a, b) for a in range(7) for b in range(a + 1, 8)]
    found = ranges.least(np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))
    assert found.tolist() == [a + int(column[a:b].argmin()) for a, b in pairs]


@pytest.mark.slow
def test_layers_that_training_counts_through_are_compiled_one_by_one() -> None:
    sweep, evaluator, part = swept("memory", {**LLAMA, "train": True}, ["set.layers=16,32", "micro_batch=1..16"])
    assert [structure.why for structure in evaluator.structures.values()] == ["", ""]
    agrees(sweep, part)


DPO: dict[str, object] = {"model": "qwen3-8b", "gpu": "h100", "gpus": "8", "zero": "3", "method": "dpo"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("question", "fixed"),
    [
        ("memory", {**DPO, "train": True}),
        ("train", {**DPO, "method": "grpo", "prompts": "8"}),
    ],
)
def test_a_row_of_a_method_is_the_answer_to_that_method(question: str, fixed: Mapping[str, object]) -> None:
    """As the command gives it: a step after pre-training holds other figures than one of pre-training."""
    sweep, _, part = swept(question, fixed, ["context=1024,2048"])
    cells = dict(zip([column.name for column in sweep.columns], part.cells(1, sweep.columns), strict=True))
    alone = answer_of(sweep.job, (1,), whole=True).figures
    assert cells["method"] == fixed["method"]
    assert {name: cells.get(name) for name in alone} == {name: plain(cell) for name, cell in alone.items()}


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_is_compiled(question: str) -> None:
    """The compiled ones are compared with their answers above, and in `test_rows`."""
    compared = {"params", "flops"} | {asked for asked, _, _ in SWEEPS}
    assert (question in COMPILED) != (question in RECORDED)
    assert question in compared


@pytest.mark.slow
def test_few_rows_are_answered_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thousands of rows the question is asked as often as there are ways, and twice for each as a check."""
    sweep = prepared(job_of("memory", LLAMA, SERVED))
    asked = []

    def counted(job: Any, places: tuple[int, ...]) -> Any:
        asked.append(places)
        return answer_of(job, places)

    monkeypatch.setattr(evaluate, "answer_of", counted)
    part = Evaluator(sweep.job, sweep.columns).part(tuple((0, length) for length in sweep.job.lengths))
    assert part.rows > 1000
    assert len(asked) < 20


@pytest.mark.slow
def test_rows_that_are_refused_say_why_with_their_own_numbers() -> None:
    sweep, evaluator, part = swept("train", PLAN, ["batch=1000..1100"])
    assert [structure.by_row for structure in evaluator.structures.values()] == [False]
    place = [column.name for column in sweep.columns].index("refused")
    said = part.cells(3, sweep.columns)[place]
    assert said.startswith("a batch of 1003 is not 16 copies of the model by micro-batches of 1")


def recorded(record: Record, **numbers: int) -> dict[str, Any]:
    with recording(record):
        return {name: Recorded(value, label=name) for name, value in numbers.items()}


def again(number: Any, **axes: list[int]) -> list[Any]:
    (found,) = Replay([number]).run({name: np.array(values) for name, values in axes.items()})
    listed: list[Any] = np.asarray(found).tolist()
    return listed


def test_numbers_are_computed_again_to_the_last_digit() -> None:
    """Whole numbers past 64 bits, fractions, doubles, and what rounds them, against Python's own."""
    chance = random.Random(3)  # noqa: S311
    pairs = [(chance.randrange(1, 10**9), chance.randrange(1, 10**6)) for _ in range(200)]

    def figures(a: Any, b: Any) -> list[Any]:
        exact = Fraction(3, 7) * a / b + b - Fraction(1, 3)
        real = 1.5 * a / (b * 0.3) + 2
        return [
            a * a * a * b, ceil_div(a, b), maximum(a % b, b // 3), exact, round(exact), exact.__ceil__(), real, round(real),
            real**0.25, where(a > b, a, b), a / b, exact * a * a * a, (a * 2**40) / (b * 2**30), exact + real,
        ]  # fmt: skip

    record = Record()
    numbers = recorded(record, a=5, b=3)
    with recording(record):
        made = figures(numbers["a"], numbers["b"])
    for place, number in enumerate(made):
        own = again(number, a=[a for a, _ in pairs], b=[b for _, b in pairs])
        assert own == [plain(figures(a, b)[place]) for a, b in pairs], place


def test_a_search_is_made_for_each_row() -> None:
    """Against the search itself, where nothing fits, where some do and where all do."""
    record = Record()
    numbers = recorded(record, room=100, each=7)
    with recording(record):
        found = largest(lambda many: many * numbers["each"] + 5 <= numbers["room"], 1000)
    assert isinstance(found, Recorded)
    rooms = [0, 11, 12, 100, 2000, 7004, 7005, 10**6]
    expected = [largest(lambda many, room=room: many * 7 + 5 <= room, 1000) for room in rooms]
    assert again(found, room=rooms, each=[7] * len(rooms)) == [-1 if one is None else one for one in expected]


@pytest.mark.slow
def test_halving_is_done_again_for_each_row() -> None:
    """Against the search itself, to the last digit; one search may stand within another."""
    record = Record()
    numbers = recorded(record, a=5, b=3)

    def root(a: Any) -> Any:
        return halving.where(lambda x: x * x >= a, 1e-3)

    def valley(a: Any, b: Any) -> Any:
        return halving.least(lambda x: a / x + b * x, 1e-3, 1e3 * b)

    def deep(a: Any, b: Any) -> Any:
        return halving.where(lambda x: root(a * x) >= b, 1e-3, 1e6)

    pairs = [(a, b) for a in (1, 2, 5, 77, 10**6) for b in (1, 3, 50)]
    searches: list[Callable[[Any, Any], Any]] = [lambda a, _: root(a), valley, deep]
    for search in searches:
        with recording(record):
            found = search(numbers["a"], numbers["b"])
        assert found.value == search(5, 3)
        own = again(found, a=[a for a, _ in pairs], b=[b for _, b in pairs])
        assert own == [search(a, b) for a, b in pairs]


def test_what_is_called_for_each_row_may_take_several_numbers() -> None:
    record = Record()
    numbers = recorded(record, a=5, b=3)
    with recording(record):
        found = numbers["a"].called("power", lambda a, b: Fraction(a**b, 7), numbers["b"])
    assert again(found, a=[1, 2, 3], b=[5, 4, 3]) == [1 / 7, 16 / 7, 27 / 7]


def test_a_search_that_branches_on_what_is_tried_is_refused() -> None:
    record = Record()
    numbers = recorded(record, room=100)
    with recording(record), pytest.raises(LostError, match="branches on the number that is tried"):
        largest(lambda many: (many if many > 5 else 2 * many) <= numbers["room"], 1000)


@pytest.mark.parametrize("lose", [int, float, range, lambda number: [1, 2, 3][number]])
def test_what_would_lose_the_record_is_refused(lose: Any) -> None:
    record = Record()
    number = recorded(record, a=2)["a"]
    with recording(record), pytest.raises(LostError):
        lose(number)


def test_comparisons_are_noted_unless_signs_settle_them() -> None:
    record = Record()
    number = recorded(record, a=5)["a"]
    with recording(record):
        assert number > 3
        assert number * 2 > 0
        assert number
    assert [guard.condition.op for guard in record.guards.values()] == [">"]
