"""Ints, ints that remember and float64 arrays give the same answer, for every built-in model and question."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

from tests.helpers import function_of, of_each, saves, structures
from tscale.catalogue.models import built_in
from tscale.core.costs.activations import Passes, activation_bytes
from tscale.core.costs.cache import cache_bytes
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import active_params, embedding_params, non_embedding_params, params
from tscale.core.costs.recompute import saved_under
from tscale.core.costs.states import in_backward, training_states
from tscale.core.costs.training import training_flops
from tscale.core.costs.weights import weight_bytes
from tscale.core.costs.workspace import workspace_bytes
from tscale.core.dtypes import DTYPES
from tscale.core.ledger import Ledger
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.core.tracing import TracedInt
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError
from tscale.models.lower import lower
from tscale.models.naming import traced
from tscale.models.spec import ModelSpec

MODELS = structures()

QUESTIONS: dict[str, Callable[[Ledger, SequenceLengths], int]] = {
    "params": lambda ledger, _: params(ledger).total,
    "active": lambda ledger, _: active_params(ledger).total,
    "embedding": lambda ledger, _: embedding_params(ledger).total,
    "non-embedding": lambda ledger, _: non_embedding_params(ledger),
    "forward, full": lambda ledger, run: forward_flops(ledger, run, "full").total,
    "forward, causal": lambda ledger, run: forward_flops(ledger, run, "causal").total,
    "training": lambda ledger, run: training_flops(ledger, run, 300 * 10**9, "causal"),
    "weights": lambda ledger, _: weight_bytes(ledger, DTYPES["int8"]).total,
    "workspace": lambda ledger, run: workspace_bytes(ledger, ledger, run, 7, 2048, 64, 16).total,
    "cache": lambda ledger, run: cache_bytes(ledger, run, 16).total,
}
RUN = SequenceLengths(target=5000, source=700)

STATES = {
    "adam-8bit": ("fp8", Parallelism(data=3, zero=3)),
    "adafactor": ("bf16", Parallelism(data=4, zero=1)),
    "muon": ("fp32", Parallelism()),
}
"""Optimizers, each with a recipe and a plan."""


def as_arrays(value: Any) -> Any:
    """A spec whose sizes are arrays of one float each."""
    sizes = {
        field.name: np.array([float(inner)])
        if isinstance(inner := getattr(value, field.name), int) and not isinstance(inner, bool)
        else as_arrays(inner)
        for field in fields(value)
        if is_dataclass(inner := getattr(value, field.name))
        or (isinstance(inner, int) and not isinstance(inner, bool) and field.name != "year")
    }
    return replace(value, **sizes)


@of_each(MODELS)
def test_the_three_kinds_of_number_agree(name: str) -> None:
    """Of every question; those that differ are named."""
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    plain, remembering, arrays = (lower(one) for one in (spec, traced(spec), as_arrays(spec)))
    of_arrays = SequenceLengths(np.array([5000.0]), np.array([700.0]))  # type: ignore[arg-type]
    expected = {question: ask(plain, RUN) for question, ask in QUESTIONS.items()}
    assert {question for question, value in expected.items() if type(value) is not int} == set()
    assert {question: ask(remembering, RUN) for question, ask in QUESTIONS.items()} == expected
    found: dict[str, Any] = {question: ask(arrays, of_arrays) for question, ask in QUESTIONS.items()}
    values = {question: value if isinstance(value, int) else value.item() for question, value in found.items()}
    assert values == pytest.approx(expected, rel=1e-12)


@of_each(MODELS)
def test_a_derivation_made_into_a_function_answers_for_the_model_it_came_from(name: str) -> None:
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    total = params(lower(traced(spec))).total
    assert isinstance(total, TracedInt)
    sizes = dict(_sizes(traced(spec)))
    function = function_of(total)
    wanted = function.__kwdefaults__ or function.__code__.co_varnames
    assert function(**{key: sizes[key] for key in wanted}) == total


def _sizes(value: Any) -> list[tuple[str, int]]:
    if isinstance(value, TracedInt):
        return [(value.label, int(value))]
    if isinstance(value, tuple):
        return [size for inner in value for size in _sizes(inner)]
    if is_dataclass(value):
        return [size for field in fields(value) for size in _sizes(getattr(value, field.name))]
    return []


def has_the_three_kinds(name: str, ask: Callable[[ModelSpec], int]) -> None:
    """What is asked of a spec on numbers of each kind."""
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    plain = ask(spec)
    assert type(plain) is int
    assert ask(traced(spec)) == plain
    assert float(np.squeeze(ask(as_arrays(spec)))) == pytest.approx(plain, rel=1e-12)


@of_each(MODELS)
def test_states_of_the_three_kinds_agree(name: str) -> None:
    for optimizer, (precision, plan) in STATES.items():
        has_the_three_kinds(
            name,
            lambda spec, optimizer=optimizer, precision=precision, plan=plan: sum(  # type: ignore[misc]
                quantity.total
                for quantity in training_states(lower(spec), PRECISIONS[precision], OPTIMIZERS[optimizer], plan)
            ),
        )


@of_each(MODELS)
def test_activations_of_the_three_kinds_agree(name: str) -> None:
    for keeping in ("naive", "full"):
        passes = Passes(3, keeping, dropout=True)
        with suppress(RequestError):  # where nobody knows what it keeps
            has_the_three_kinds(name, lambda spec, passes=passes: activation_bytes(saves(spec), RUN, passes).total)  # type: ignore[misc]


@pytest.mark.parametrize("name", ["llama-3.1-8b", "qwen3-30b-a3b", "deepseek-v3", "gemma-2-9b", "jamba"])
def test_what_is_saved_product_by_product_of_the_three_kinds_agrees(name: str) -> None:
    def kept(spec: ModelSpec) -> int:
        saved = saved_under(lower(spec, saves=True), "op", "flash", compiled=True)
        return activation_bytes(saved, RUN, Passes(3, product_bytes=1, norms="eager")).total

    has_the_three_kinds(name, kept)
    precision, plan = PRECISIONS["fp32-master"], Parallelism(data=4, zero=3)

    def largest(spec: ModelSpec) -> int:
        ledger = lower(spec)
        states = training_states(ledger, precision, OPTIMIZERS["adamw"], plan)
        return in_backward(states, ledger, precision, plan).gradients.total

    has_the_three_kinds(name, largest)
