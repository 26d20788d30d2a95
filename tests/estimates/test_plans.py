"""A plan that `memory --train` takes, `train` takes, and the other way round; and the advice of a refusal can be followed."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

import tscale
from tscale.core.costs.step_prediction import StepSeconds
from tscale.core.costs.step_time import Batch
from tscale.core.costs.training_memory import Training
from tscale.core.device import Cluster, Device
from tscale.core.parallelism import Parallelism, Schedule, divisors
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError
from tscale.estimates.explaining import TracedModel, counted
from tscale.estimates.recomputed import Recomputed
from tscale.estimates.train.plan import planned_step
from tscale.estimates.train.prediction import PARTS
from tscale.models.trainer import trainer

GB = 10**9
NODES_OF_8 = Cluster(Device("h100", {}, 0, 0, 450 * GB, None), 8, 50 * GB)
CONTEXT = 512
MODELS = {
    "llama-3-8b": ["layers=13"],
    "deepseek-v3": ["layers=11"],
    "qwen3-30b-a3b": ["layers=8"],
    "gpt2": ["layers=8"],
    "falcon-h1-0.5b": ["layers=6"],
    "recurrentgemma-2b": [],
    "zamba2-1.2b": [],
    "rwkv-4-3b": ["layers=6"],
    "jetmoe-8b": ["layers=6"],
    "t5-small": [],
}


@cache
def model(name: str) -> TracedModel:
    return counted(tscale.load(name, MODELS[name]))


def memory_says(name: str, plan: Parallelism) -> str:
    """Why `memory --train` refuses a plan; nothing where it takes it."""
    training = Training(PRECISIONS["bf16"], OPTIMIZERS["adamw"], plan, SequenceLengths(target=0))
    try:
        trainer(tscale.load(name, MODELS[name]), training, CONTEXT).worst()
    except RequestError as error:
        return str(error)
    return ""


def time_says(name: str, plan: Parallelism) -> str:
    """Why `train` refuses it, with a batch of four micro-batches for each copy of the model."""
    batch = Batch(4 * plan.data, 1)
    run = SequenceLengths(CONTEXT, CONTEXT) if name.startswith("t5") else SequenceLengths(CONTEXT)
    try:
        planned_step(model(name), run, plan, batch, NODES_OF_8, 10**15, "bf16", Recomputed())
    except RequestError as error:
        return str(error)
    return ""


def drawn(rng: random.Random, name: str) -> Parallelism:
    """A plan of small degrees, which often contradicts itself or the model."""
    layers = model(name).spec.layers
    pipeline = rng.choice((1, 1, 2, 3, 4))
    interleave = rng.choice((1, 1, 1, 2))
    pieces = pipeline * interleave
    stages = None
    if rng.random() < 0.3:
        cuts = sorted(rng.randint(0, layers) for _ in range(pieces - 1))
        ends = [0, *cuts, layers + rng.choice((0, 0, 0, 1))]
        stages = tuple(last - first for first, last in itertools.pairwise(ends))
    schedules: tuple[Schedule | None, ...] = (None, None, None, None, "1f1b", "interleaved", "zero-bubble", "dualpipe")
    data, context = rng.choice((1, 2, 4, 6)), rng.choice((1, 1, 2))
    return Parallelism(
        tensor=rng.choice((1, 1, 2, 3, 4)),
        sequence=rng.random() < 0.3,
        pipeline=pipeline,
        interleave=interleave,
        data=data,
        zero=rng.choice((0, 1, 2, 3)),
        shards=rng.choice((None, None, None, None, *divisors(data * context), 5)),
        context=context,
        expert=rng.choice((1, 1, 1, 1, 2, 4, 8, 5)),
        expert_tensor=rng.choice((None, 1, 2, 4)),
        stages=stages,
        schedule=rng.choice(schedules),
    )


@pytest.mark.parametrize("name", MODELS)
def test_memory_and_time_take_the_same_plans(name: str) -> None:
    """Of random plans both take each, or both refuse it, in the same words."""
    rng = random.Random(name)  # noqa: S311 (seeded, to draw plans)
    taken = 0
    for _ in range(80):
        plan = drawn(rng, name)
        said = memory_says(name, plan)
        assert time_says(name, plan) == said, plan
        taken += not said
    assert 0 < taken < 80


_VALUES: dict[str, Any] = {"1": 1, "None": None, "False": False}


def advised(plan: Parallelism, says: str) -> Iterator[Parallelism]:
    """The plans that a refusal advises, each number in it by itself."""
    numbers = [int(number) for number in re.findall(r"\d+", says.rsplit(": ", 1)[-1].split("...", maxsplit=1)[0])]
    if "--stages" in says:
        if "such as" in says:
            yield plan._replace(stages=tuple(numbers))
        else:
            yield plan._replace(stages=None)
        return
    for pattern, field in (
        ("drop --interleave", "interleave=1"),
        ("set --interleave to", "interleave"),
        ("drop --schedule", "schedule=None"),
        ("drop --expert", "expert=1"),
        ("--expert-tensor", "expert_tensor"),
        ("set --tensor", "sequence=False"),
        ("--pipeline|stages", "pipeline"),
        ("shards do not divide", "shards"),
        ("expert parallelism by|experts of", "expert"),
        ("tensor parallelism of|cannot share", "tensor"),
    ):
        if re.search(pattern, says):
            name, _, value = field.partition("=")
            values: list[Any] = [_VALUES[value]] if value else [*numbers]
            yield from (plan._replace(**{name: one}) for one in values)
            return
    raise AssertionError(says)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_advice_can_be_followed(name: str) -> None:
    """No number that a refusal names is refused for the same reason, and who follows it comes to a plan that is taken."""
    rng = random.Random(f"{name}, advice")  # noqa: S311 (seeded, to draw plans)
    for _ in range(16):
        plan = drawn(rng, name)
        reasons: list[str] = []
        while says := memory_says(name, plan):
            reasons.append(says)
            choices = list(advised(plan, says))
            assert choices, says
            for choice in choices:
                assert kind(memory_says(name, choice)) != kind(says), (choice, says)
            plan = rng.choice(choices)
            assert len(reasons) < 12, reasons


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama-3-8b", "deepseek-v3", "qwen3-30b-a3b", "jetmoe-8b", "falcon-h1-0.5b"])
def test_each_number_of_an_advice_is_taken(name: str) -> None:
    """Of plans that are taken, one number is changed to one that is not: every number that the refusal names is taken."""
    rng = random.Random(f"{name}, numbers")  # noqa: S311 (seeded, to draw plans)
    refused = 0
    while refused < 25:
        plan = drawn(rng, name)
        field = rng.choice(("tensor", "expert", "expert_tensor", "shards"))
        change: dict[str, Any] = {field: rng.choice((3, 5, 6, 7, 12, 64))}
        changed = plan._replace(**change)
        if memory_says(name, plan) or not (says := memory_says(name, changed)):
            continue
        refused += 1
        for choice in advised(changed, says):
            assert not memory_says(name, choice), (choice, says)


def kind(says: str) -> str:
    """A refusal without its numbers and lists."""
    return re.sub(r"\d[\d,]*", "N", says.split(": ", 1)[0])


def test_every_part_of_a_predicted_step_has_a_name() -> None:
    """What takes the longest is named, whichever it is: `train` names three parts, `plan` two."""
    assert list(PARTS) == list(StepSeconds._fields)
