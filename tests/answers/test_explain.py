"""What --explain prints is what was computed: every derivation is parsed, evaluated and compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import pytest

from tests.core.test_numbers import evaluated
from tests.helpers import keeps, run, structures
from tscale.answers.attention import attention_report
from tscale.answers.compare import compare_report
from tscale.answers.flops import flops_report
from tscale.answers.memory.answer import memory_report
from tscale.answers.memory_train.answer import memory_train_report
from tscale.answers.params.answer import params_report
from tscale.catalogue.models import built_in
from tscale.core.costs.training_setup import Training
from tscale.core.dtypes import DTYPES
from tscale.core.metric import Report, Step
from tscale.core.parallelism import Parallelism
from tscale.core.serving_layout import serving_layout
from tscale.core.tracing import TracedInt
from tscale.errors import RequestError
from tscale.estimates.attention import Ask
from tscale.estimates.memory.serving import Ask as MemoryAsk
from tscale.estimates.memory_train.ask import Ask as TrainAsk
from tscale.models.spec import ModelSpec

MODELS = structures()


def reports(name: str) -> Iterator[Report]:
    """Every question about one model; where one has two ways, models are asked by turns in one and in the other."""
    spec, turn = built_in(name), MODELS.index(name) % 2
    assert isinstance(spec, ModelSpec)
    yield params_report([spec])
    yield flops_report(spec, *((300 * 10**9, None), (10**9 + 7, 1000))[turn])
    yield attention_report(spec, (Ask((512, 5000), "full"), Ask((512, 5000), "causal", "int4"))[turn])
    yield memory_report(spec, MemoryAsk(DTYPES["q4_k"], batch=3, context=5000, page=16))
    with suppress(RequestError):  # where nobody knows what it keeps
        how = Training(plan=Parallelism(data=4, zero=2), micro_batch=3, attention="naive", dropout=True)
        yield memory_train_report(spec, TrainAsk(how, 5000))
    yield compare_report([spec, built_in("gpt3")], None)


class Explained(NamedTuple):
    """A model's name and every report about it."""

    name: str
    reports: tuple[Report, ...]


def leaves(number: int) -> dict[str, int]:
    """The names in a derivation with the numbers that they stand for."""
    found, waiting = dict[str, int](), [number]
    while waiting:
        one = waiting.pop()
        if isinstance(one, TracedInt):
            if one.op == "name":
                found[one.label] = int(one)
            else:
                waiting += one.args
    return found


@cache
def spelled(name: str) -> str:
    """A name as Python can read it."""
    return re.sub(r"\W", "_", name)


def identifiers(text: str, scope: dict[str, int]) -> tuple[str, dict[str, int]]:
    """The same text with every name spelled as Python can read it."""
    for name in sorted(scope, key=len, reverse=True):
        text = text.replace(name, spelled(name))
    return text, {spelled(name): number for name, number in scope.items()}


def holds(step: Step) -> None:
    value = Fraction(step.figure.value)
    assert evaluated(step.numbers) == value, step.name
    if isinstance(step.figure.value, TracedInt):
        text, scope = identifiers(step.names, leaves(step.figure.value))
        assert evaluated(text, **scope) == value, step.name


def every_derivation_evaluates_to_its_figure(explained: Explained) -> None:
    """The reports share many: each is evaluated once."""
    known = set[tuple[Any, ...]]()
    for report in explained.reports:
        assert report.steps
        for step in report.steps:
            same = (step.names, step.numbers, step.figure.value, *sorted(leaves(step.figure.value).items()))  # type: ignore[arg-type]
            if same not in known:
                known.add(same)
                holds(step)


SERVED = [
    ("deepseek-v3", MemoryAsk(batch=70, layout=serving_layout(32, attention_data=2, pipeline=4, expert=4))),
    ("deepseek-v3", MemoryAsk(batch=70, layout=serving_layout(16), cache_form="full", prefix=100)),
    (
        "gpt-oss-20b",
        MemoryAsk(batch=70, layout=serving_layout(8), by_sequences=True, window_cache="whole", padding="marlin"),
    ),
    ("qwen3-next-80b-a3b", MemoryAsk(DTYPES["q4_k_m"], batch=3, layout=serving_layout(stages=(7, 41)), context=5000)),
]


@pytest.mark.parametrize(("name", "asked"), SERVED, ids=range(len(SERVED)))
def test_every_derivation_of_a_layout_evaluates_to_its_figure(name: str, asked: MemoryAsk) -> None:
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    report = memory_report(spec, asked)
    for step in report.steps:
        holds(step)
    data: Any = report.data
    assert report.steps[-1].figure.value == data["per_device_bytes"]["total"].value


def parts(number: int) -> Iterator[tuple[str, int, bool]]:
    """The names in a derivation as it is printed, with their numbers, and whether each was derived in turn."""
    if isinstance(number, TracedInt):
        if number.op == "name":
            yield number.label, int(number), bool(number.args) and isinstance(number.args[0], TracedInt)
        else:
            for argument in number.args:
                yield from parts(argument)


def one_name_means_one_number_wherever_it_is_printed(explained: Explained) -> None:
    """Within a subject (a model, a context) no name is explained as one number and used as another."""
    for report in [*explained.reports, compare_report([built_in("gpt2"), built_in(explained.name)], None)]:
        meanings: dict[tuple[str, str], int] = {}
        for step in report.steps:
            assert meanings.setdefault((step.subject, step.name), int(step.figure.value)) == int(step.figure.value)
            if isinstance(step.figure.value, TracedInt):
                for label, number, _ in leaves_of(step):
                    assert meanings.setdefault((step.subject, label), number) == number, (step.name, label)


def leaves_of(step: Step) -> list[tuple[str, int, bool]]:
    """The names in what a step prints: the formula below its own name."""
    value = step.figure.value
    assert isinstance(value, TracedInt)
    return list(parts(value.args[0] if value.op == "name" and value.args else value))


def a_derived_name_is_explained_before_it_is_used(explained: Explained) -> None:
    for report in explained.reports:
        known: set[tuple[str, str]] = set()
        for step in report.steps:
            if isinstance(step.figure.value, TracedInt):
                for label, _, derived in leaves_of(step):
                    assert not derived or (step.subject, label) in known, (step.name, label)
            known.add((step.subject, step.name))


def names_stand_for_sizes_and_literals_for_rules(explained: Explained) -> None:
    """In a formula with names there is no number that belongs to the model: 2 and 3, bits of a format, nothing large.

    The 2,048 positions after which a scan keeps its states belong to its kernel.
    """
    for report in explained.reports:
        for step in report.steps:
            if isinstance(step.figure.value, TracedInt) and not step.name.startswith("pf_days"):
                literals = [int(text) for text in re.findall(r"(?<![\w.])\d+(?![\w.])", step.names)]
                assert all(literal <= (2048 if step.name.endswith("scan.states") else 128) for literal in literals), (
                    step.name,
                    step.names,
                )


WITHOUT_UNIT = re.compile(r"(.*_)?head_dim|block")
"""Widths of a layer's parts."""


def what_has_a_unit_has_it_behind_its_number(explained: Explained) -> None:
    """Bytes, FLOPs, parameters, tokens and layers, of names within a derivation as well."""
    for report in explained.reports:
        for step in report.steps:
            assert step.figure.unit.word or WITHOUT_UNIT.fullmatch(step.name), (step.name, step.numbers)


@pytest.mark.parametrize("name", MODELS)
def test_the_derivations_of_a_model_keep_every_promise(name: str) -> None:
    """Its reports are made once for all that is asked of them."""
    promises = (
        every_derivation_evaluates_to_its_figure,
        one_name_means_one_number_wherever_it_is_printed,
        a_derived_name_is_explained_before_it_is_used,
        names_stand_for_sizes_and_literals_for_rules,
        what_has_a_unit_has_it_behind_its_number,
    )
    keeps(Explained(name, tuple(reports(name))), promises)


PRINTED = re.compile(
    r"^(?P<name>\S.*)\n    = (?P<names>.+)\n    = (?P<numbers>.+)\n    = (?P<value>[\d,.]+)", re.MULTILINE
)


@pytest.mark.parametrize(
    "command",
    [
        ["params", "gpt3"],
        ["params", "gemma-2-9b", "t5-small"],
        ["flops", "--tokens", "300e9"],
        ["flops", "llama-2-70b"],
        ["attention", "mistral-7b", "--context", "4k,32k", "--causal"],
        ["compare", "transformer", "gpt3"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("columns", [None, 60])
def test_what_the_terminal_prints_evaluates_to_the_printed_value(command: list[str], columns: int | None) -> None:
    """At any width: derivations are not wrapped, so that they can be pasted."""
    out = run(*command, "--explain", columns=columns).out
    found = list(PRINTED.finditer(out))
    assert len(found) > 10
    for match in found:
        printed = match["value"].replace(",", "")
        if "." in printed:
            assert float(evaluated(match["numbers"])) == pytest.approx(float(printed), rel=1e-3)
        else:
            assert evaluated(match["numbers"]) == int(printed), match["name"]


def test_every_line_that_json_gives_carries_its_formula() -> None:
    spec = built_in("llama-2-70b")
    data = params_report([spec]).data
    assert isinstance(data, dict)
    assert all(line["formula"] for line in data["lines"])


def test_a_sum_s_terms_have_its_unit_and_a_product_s_factors_their_own() -> None:
    """Eight caches of so many bytes; a step's tokens by so many numbers of each."""
    done = run("memory", "llama-3.1-8b", "--gpu", "h100", "--batch", "8", "--explain").out
    for name, value in (
        ("cache_of_a_sequence", "1,073,741,824 bytes"),
        ("target_step_tokens", "8,200 tokens"),
        ("attention.outputs", "14,336 numbers per token"),
    ):
        assert re.search(rf"^{re.escape(name)}\n(    = .*\n)*    = {value}", done, re.MULTILINE), name
    done = run("serve", "llama-3.1-8b", "--gpu", "h100", "--concurrency", "8", "--explain").out
    assert re.search(r"^requests_per_second\n(    = .*\n)*    = [\d.]+ requests per second", done, re.MULTILINE)


def test_numbers_without_a_unit_have_no_word_for_one_behind_them() -> None:
    """256 experts are read, at a share of the peak: neither `256 count` nor `57.2% share`."""
    for words in (
        ("serve", "deepseek-v3", "--gpu", "h200", "--gpus", "8"),
        ("train", "gpt2", "--gpu", "h100", "--gpus", "8", "--batch", "64", "--tokens", "1e9"),
    ):
        done = run(*words, "--explain").out
        assert not re.search(r"^    = .* (count|share)\b", done, re.MULTILINE)
        assert "    = " in done
