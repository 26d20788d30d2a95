"""Layouts in arrays are those of `memory --train` and `train`: which can be, what they hold and how long they take."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest

from tscale.calibration.training_case import as_cut, prediction
from tscale.catalogue.hardware import find_hardware
from tscale.core.costs.step_time import Batch
from tscale.core.costs.training_setup import Adapters, Training
from tscale.core.dtypes import DTYPES
from tscale.core.ledger import Ledger
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.errors import RequestError
from tscale.estimates.plan.search import Ask, Sized, subject_of
from tscale.models.lower import lower
from tscale.models.resolve import resolve
from tscale.models.spec import ModelSpec
from tscale.models.stages import stages
from tscale.models.trainer import trainer
from tscale.planning import memory, step
from tscale.planning.layouts import Axes, Layout, Layouts, grid, lightest
from tscale.planning.legal import legal

CONTEXT = 2048
HOST: frozenset[Any] = frozenset({"states"})


class Asked(NamedTuple):
    """A model, its devices and its batch, with axes that reach all structures."""

    model: str
    gpus: int
    batch: int
    axes: Axes
    attention: Any = "flash"
    adapters: Adapters | None = None


def _axes(**changes: Any) -> Axes:
    plain: dict[str, Any] = {
        "tensor": (1, 2, 8),
        "pipeline": (1, 2, 4),
        "context": (1, 2),
        "interleave": (1, 2, 3),
        "expert": (1,),
        "expert_tensor": (1,),
        "micro_batch": (1, 2, 4),
        "zero": (0, 1, 2, 3),
        "shards": (0, 2),
        "sequence": (False, True),
        "recompute": ("none", "selective", "op", "full"),
    }
    return Axes(**{**plain, **changes})


ASKED = {
    "dense": Asked("llama-3.1-8b", 64, 128, _axes()),
    "formats": Asked(
        "gpt3-2.7b", 32, 64,
        _axes(
            tensor=(1, 4), context=(1,), interleave=(1,), precision=("bf16", "fp32-master", "fp8"),
            optimizer=("adamw", "muon", "adam-8bit"), zero=(0, 2, 3), recompute=("none", "full"),
        ),
    ),
    "policies": Asked(
        "llama-3.2-1b", 16, 64,
        _axes(
            tensor=(1, 2), context=(1,), interleave=(1,), loss=(None, "plain", "fused-linear", "chunked"),
            offload=(frozenset(), HOST, frozenset({"activations"})), zero=(0, 3), shards=(0,),
        ),
        "naive",
    ),
    "orders": Asked("llama-3.1-8b", 64, 256, _axes(schedule=(None, "1f1b", "zero-bubble", "dualpipe"), zero=(0, 1), shards=(0,))),
    "experts": Asked(
        "deepseek-v3", 256, 1024, _axes(
            tensor=(1, 4), pipeline=(4, 16), context=(1,), interleave=(1, 3), expert=(1, 8, 256), expert_tensor=(1, 2),
            recompute=("none", "full"), micro_batch=(1, 4), zero=(0, 1, 3), shards=(0, 8),
        ),
    ),
    "few experts": Asked("mixtral-8x7b", 64, 256, _axes(expert=(1, 8), expert_tensor=(1, 4), context=(1,), zero=(0, 1), recompute=("none", "full"))),
    "attention experts": Asked("jetmoe-8b", 16, 64, _axes(tensor=(1, 2), expert=(1, 2), zero=(0, 3))),
    "recurrent": Asked("jamba", 64, 64, _axes(tensor=(1, 2), expert=(1, 4), zero=(0, 3), shards=(0,), recompute=("none", "full"))),
    "few micro-batches": Asked(
        "llama-3.1-8b", 64, 32, _axes(
            tensor=(2, 8), pipeline=(2, 4, 8), context=(1,), interleave=(1, 2, 4), micro_batch=(1,), zero=(1, 2), shards=(0,), recompute=("none", "full"),
        ),
    ),
    "uneven": Asked(
        "llama-3.1-8b", 64, 128, _axes(
            context=(1,), stages=(None, (9, 9, 8, 6), (7, 9, 9, 7), (17, 15), (3, 4, 4, 5, 4, 4, 4, 4), (0, 16, 16, 0)),
            of_pieces=False, zero=(0, 1, 3), shards=(0,),
        ),
    ),
    "some layers": Asked(
        "llama-3.1-8b", 64, 128, _axes(
            context=(1,), stages=(None, (9, 9, 8, 6)), recompute=("none", "full"), zero=(0, 1, 3), shards=(0,),
            again=(("full", 1), ("full", 5), ("full", 100)), schedule=(None, "zero-bubble", "dualpipe"),
        ),
    ),
    "some layers of kinds": Asked(
        "jamba", 64, 64, _axes(
            tensor=(1, 2), expert=(1, 4), zero=(0, 3), shards=(0,), recompute=("none",), again=(("full", 1), ("full", 3), ("full", 9)),
        ),
    ),
    "some layers of experts": Asked(
        "deepseek-v3", 256, 1024, _axes(
            tensor=(1, 4), pipeline=(4, 16), context=(1,), interleave=(1, 3), expert=(8, 256), expert_tensor=(1, 2),
            recompute=("none",), micro_batch=(1, 4), zero=(0, 1), shards=(0,), again=(("full", 2), ("full", 7)),
        ),
    ),
    "adapters": Asked("llama-3.1-8b", 64, 128, _axes(interleave=(1, 2)), adapters=Adapters(16)),
    "adapters in few bits": Asked(
        "llama-3.1-8b", 16, 64, _axes(
            tensor=(1, 2), context=(1,), zero=(0, 1, 2), shards=(0,), again=(("full", 3),), precision=("bf16", "pure-bf16"),
            loss=(None, "plain", "fused-linear"),
        ),
        adapters=Adapters(8, frozenset({"q", "v"}), DTYPES["nf4"]),
    ),
    "adapters of experts": Asked(
        "deepseek-v3", 256, 1024, _axes(
            tensor=(1, 4), pipeline=(4, 16), context=(1,), interleave=(1, 3), expert=(1, 8, 256), expert_tensor=(1, 2),
            recompute=("none", "full"), micro_batch=(1, 4), zero=(0, 1, 3), shards=(0, 8),
        ),
        adapters=Adapters(32),
    ),
    "two stacks": Asked("t5-small", 8, 32, _axes(tensor=(1, 2, 4), pipeline=(1, 2))),
    "encoder": Asked("bert-base", 8, 64, _axes(tensor=(1, 2, 3))),
}  # fmt: skip

SMALL = {
    "small": Asked(
        "gpt2", 4, 8, _axes(tensor=(1, 2), pipeline=(1, 2), zero=(0, 1, 2, 3), micro_batch=(1, 2), interleave=(1, 2)),
    ),
    "small, of several kinds": Asked(
        "llama-3.2-1b", 4, 8,
        _axes(
            tensor=(1, 2), pipeline=(1, 2), interleave=(1,), zero=(0, 3), context=(1,), micro_batch=(1,), shards=(0,),
            recompute=("none", "op"), precision=("bf16", "fp8"), loss=(None, "plain", "chunked"),
            offload=(frozenset(), HOST),
        ),
    ),
}  # fmt: skip
"""Few layouts of a small model, of which a good many are looked at in little time."""


class Both(NamedTuple):
    """Layouts of a question that can be, and all of them, with what arrays say."""

    asked: Asked
    every: Layouts
    layouts: Layouts
    held: memory.Held
    seconds: Any
    rejected: dict[str, int]
    sized: Sized


@cache
def _of(name: str) -> Both:
    asked = {**ASKED, **SMALL}[name]
    subject = subject_of(_spec(asked.model), CONTEXT, adapters=asked.adapters)
    chip = ("h100", find_hardware("h100", ()))
    sized = Sized(
        subject, Ask(asked.batch, (asked.gpus,), (chip,), {}, attention=asked.attention), chip, asked.gpus, None
    )
    sized.axes = asked.axes
    every = grid(asked.axes, asked.gpus)
    can = legal(subject.model, every, asked.batch)
    of = subject.model, can.layouts, can.orders, _base(asked, sized)
    held = memory.held(*of, memory.kept(*of))
    case = sized._case("bf16")
    assert case is not None
    seconds = step.seconds(subject.model, can.layouts, can.orders, case, can.micro_batches)
    return Both(asked, every, can.layouts, held, seconds, can.rejected, sized)


@cache
def _spec(name: str) -> ModelSpec:
    return resolve(name)


@cache
def _whole(name: str) -> Ledger:
    return lower(_spec(name))


def _base(asked: Asked, sized: Sized) -> Training:
    own = asked.adapters or Adapters(0)
    return Training(
        PRECISIONS["bf16"], OPTIMIZERS["adamw"], Parallelism(), sized.subject.run, attention=asked.attention,
        batch=asked.batch, rank=own.rank or None, lora_targets=own.targets, base=own.base,
    )  # fmt: skip


def _training(asked: Asked, sized: Sized, layout: Layout) -> Training:
    return _base(asked, sized)._replace(
        precision=PRECISIONS[layout.precision],
        optimizer=OPTIMIZERS[layout.optimizer],
        plan=layout.plan,
        micro_batch=layout.micro_batch,
        recompute=layout.recompute,
        again=layout.again if layout.again.of_some else None,
        loss=layout.loss,
        offload=layout.offload,
    )


def _rows(count: int, size: int, seed: int) -> Iterator[int]:
    yield from random.Random(seed).sample(range(size), min(count, size))  # noqa: S311 (a sample to test)


@pytest.mark.slow
@pytest.mark.parametrize("name", ASKED)
def test_memory_is_that_of_memory_train(name: str) -> None:
    _has_memory_of_train(_of(name), 8)


@pytest.mark.parametrize("name", SMALL)
def test_memory_of_many_small_layouts_is_that_of_memory_train(name: str) -> None:
    _has_memory_of_train(_of(name), 50)


def _has_memory_of_train(both: Both, count: int) -> None:
    for row in _rows(count, both.layouts.size, 1):
        layout = both.layouts.one(row)
        one = trainer(_spec(both.asked.model), _training(both.asked, both.sized, layout), CONTEXT)
        expected = (one.worst()[1].total, one.least_total())
        assert (int(both.held.total[row]), int(both.held.least[row])) == expected, layout


@pytest.mark.parametrize("name", ASKED)
def test_a_step_takes_as_long_as_train_predicts(name: str) -> None:
    both = _of(name)
    case = both.sized._case("bf16")
    assert case is not None
    for row in _rows(15, both.layouts.size, 2):
        layout = both.layouts.one(row)
        plan = as_cut(layout.plan.trained)
        own = both.sized.case_of(layout._replace(precision="bf16"), plan)
        assert both.seconds[row] == pytest.approx(prediction(own).parts.seconds, rel=1e-9), layout


@pytest.mark.parametrize("name", ASKED)
def test_what_is_rejected_is_refused_and_what_is_not_is_taken(name: str) -> None:
    """Each layout is refused by `train` or `memory` where it is rejected; degrees that make up other devices are refused before."""
    both = _of(name)
    taken = {tuple(both.layouts.one(row)) for row in range(both.layouts.size)}
    assert both.every.size - sum(both.rejected.values()) == both.layouts.size == len(taken)
    for row in _rows(60, both.every.size, 3):
        layout = both.every.one(row)
        devices = layout.plan.devices == both.asked.gpus
        meaningless = layout.plan.zero > 0 and layout.plan.data * layout.plan.context == 1
        whole = both.every.columns["shards"][row] == layout.plan.data * layout.plan.context
        if devices and not meaningless and not whole:
            assert (tuple(layout) in taken) == _is_taken(both.asked, both.sized, layout), layout


def _is_taken(asked: Asked, sized: Sized, layout: Layout) -> bool:
    try:
        trainer(_spec(asked.model), _training(asked, sized, layout), CONTEXT)
        stages(_spec(asked.model), as_cut(layout.plan.trained), _whole(asked.model))
        Batch(asked.batch, layout.micro_batch).micro_batches(layout.plan)
    except RequestError:
        return False
    return True


def test_the_lightest_layouts_have_the_least_of_what_only_takes_more_memory() -> None:
    """Of micro-batches, of pieces and of what is kept; the policy that computes the most again, as all else stays as it is."""
    axes = Axes((1, 2), (1, 4), (1,), (3, 2, 5), (1,), (1,), (8, 4, 6), (0, 1), (0,), (False,), partial=True)
    wanted = axes._replace(micro_batch=(4,), interleave=(2,), recompute=("full",), partial=False)
    assert lightest(axes) == wanted
    kept = axes._replace(recompute=("none", "selective", "op"))
    assert lightest(kept) == wanted._replace(recompute=("op",))
    assert lightest(axes._replace(recompute=("none", "selective"))).recompute == ("selective",)
