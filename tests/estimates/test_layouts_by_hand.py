"""Layouts of serving in words and those near to one that is refused; designs, optima and kinds of layers, of stand-ins."""

from __future__ import annotations

from fractions import Fraction
from math import gcd
from types import SimpleNamespace
from typing import Any

import pytest

from tscale.core.metric import Figure, Missing
from tscale.core.serving_layout import ServingLayout
from tscale.core.units import COUNT
from tscale.errors import RequestError
from tscale.estimates import design, metrics, optimal
from tscale.estimates.memory import layout

WIDE = ServingLayout(8, 2, 16, 1, 2, 3)
"""8 devices of tensor parallelism, 2 stages, 16 experts apart, 2 copies of attention, and 3 of all."""


def test_degrees_that_are_not_one_are_said() -> None:
    assert layout.in_words(WIDE) == "tensor 8, attention data 2, pipeline 2, expert 16, replicas 3"
    assert layout.in_words(ServingLayout(1, 1, 1, 1, 1)) == ""
    assert (
        layout.spelled(WIDE)
        == "--gpus 96 --tensor 8 --expert 16 --expert-tensor 1 --attention-data 2 --pipeline 2 --replicas 3"
    )
    assert layout.spelled(ServingLayout(4, 1, 1, 4, 1)) == "--gpus 4 --tensor 4"
    staged = ServingLayout(1, 2, 1, 1, 1, 1, (5, 7))
    assert layout.spelled(staged) == "--gpus 2 --tensor 1 --pipeline 2 --stages 5,7"
    data: Any = layout.layout_data(WIDE, 1)
    assert data == {
        "tensor": 8,
        "pipeline": 2,
        "expert": 16,
        "expert_tensor": 1,
        "attention_data": 2,
        "replicas": 3,
        "stage": 2,
    }


def test_a_dozen_stages_are_listed() -> None:
    assert layout._listed([3, 4]) == "3, 4"
    assert layout._listed([1] * 12) == ", ".join(["1"] * 12)
    assert layout._listed([1] * 13) == ", ".join(["1"] * 12) + ", ..."


def test_layouts_near_to_one_that_cannot_be_have_smaller_degrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of no more stages than 3 layers; of degrees that divide those asked for, most ranks first, then copies; experts over what divides the ranks."""
    monkeypatch.setattr(layout, "fits_model", lambda *_: True)
    server: Any = SimpleNamespace(spec=SimpleNamespace(layers=3))
    asked = ServingLayout(4, 8, 6, 1, 2)
    found = list(layout.accepted(server, asked))
    assert list(dict.fromkeys(one.pipeline for one in found)) == [8, 3, 1]
    first = [(one.attention_data, one.tensor) for one in found if one.pipeline == 8]
    assert list(dict.fromkeys(first)) == [(2, 4), (2, 2), (1, 4), (2, 1), (1, 2), (1, 1)]
    for one in found:
        ranks = one.tensor * one.attention_data
        assert one.expert in {6, gcd(6, ranks), 1}
        assert one.expert * one.expert_tensor == ranks
    assert [one.expert for one in found if (one.attention_data, one.tensor, one.pipeline) == (2, 4, 8)] == [2, 1]
    staged = list(layout.accepted(server, ServingLayout(1, 2, 1, 1, 1, 1, (2, 1))))
    assert [(one.pipeline, one.layers) for one in staged] == [
        (2, (2, 1)),
        (1, ()),
    ]  # numbers of layers are of as many stages
    monkeypatch.setattr(layout, "fits_model", lambda _, one: one.tensor == 1)
    assert {one.tensor for one in layout.accepted(server, asked)} == {1}


def test_sizes_are_said_to_three_digits() -> None:
    for value, said in (
        (6_738_415_616, "6.74B"),
        (10**12, "1T"),
        (999, "0.999k"),
        (1000, "1k"),
        (123_456_789, "123M"),
        (10**9, "1B"),
    ):
        assert design.short_size(value) == said


def test_a_design_hits_its_budget_within_a_hundredth() -> None:
    for parts, hits in ((100, True), (-100, True), (101, False), (-101, False)):
        found: Any = (SimpleNamespace(deviation=Fraction(parts, 10_000)),)
        assert design.Design(None, "x", 1, "all", None, None, found, 1, 1, None).hits == hits  # type: ignore[arg-type]


@pytest.mark.parametrize("params", [999, 10**13 + 1])
def test_a_design_of_few_or_many_parameters_is_out_of_range(params: int) -> None:
    wish = design.Wish(params, None, None, "llama", None)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="out of range: ask for 1,000 to 10,000,000,000,000"):
        design.designed(wish, "x")


def test_the_interval_of_an_optimum_is_that_of_its_rows() -> None:
    """Of 6·10^20 FLOPs with 10^9 to 2·10^9 parameters, the tokens are 10^11 to half of that."""
    quantiles = SimpleNamespace(at=lambda *_: (1e9, 2e9))
    law: Any = SimpleNamespace(quantiles=quantiles, draws=())
    for asked, amount, params, tokens in (
        ("flops", 6 * 10**20, (1e9, 2e9), (5e10, 1e11)), ("params", 10**9, (1e9, 1e9), (1e9, 2e9)), ("tokens", 10**11, (1e9, 2e9), (1e11, 1e11)),
    ):  # fmt: skip
        ends = optimal._ends(law, SimpleNamespace(asked=asked, amount=amount))  # type: ignore[arg-type]
        assert ends is not None
        assert ends.params == pytest.approx(params)
        assert ends.tokens == pytest.approx(tokens)
    assert optimal._ends(SimpleNamespace(quantiles=None, draws=()), None) is None  # type: ignore[arg-type]


def test_an_optimum_is_of_a_parameter_and_a_token_at_least() -> None:
    def law(point: tuple[float, float, float]) -> Any:
        formula = SimpleNamespace(at_flops=lambda _: point, at_params=lambda _: point, at_tokens=lambda _: point)
        return SimpleNamespace(law=SimpleNamespace(optima=True, quantiles=None, draws=(), name="law"), formula=formula)

    budget: Any = SimpleNamespace(asked="flops", amount=10**20)
    for point, fits in (
        ((1.0, 1.0, 1.0), True),
        ((0.9, 1.0, 1.0), False),
        ((1.0, 0.9, 1.0), False),
        ((1e60, 1.0, 1.0), False),
        ((9e59, 1.0, 1.0), True),
    ):
        if fits:
            assert optimal.answered(law(point), budget).point == point  # type: ignore[comparison-overlap]
        else:
            with pytest.raises(RequestError, match=r"of 1e20 has no meaningful optimum by law"):
                optimal.answered(law(point), budget)


def test_kinds_of_layers_are_counted_unless_they_were_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """GPT-3's were, as dense and banded ones, which its spec does not say."""
    for published, kinds, note in (
        ((), 1, "kind of layers: all are alike"),
        ((), 2, "kinds of layers"),
        (("gpt3",), 1, None),
    ):
        monkeypatch.setattr(metrics, "layer_kinds", lambda _, kinds=kinds: kinds)
        model = SimpleNamespace(ledger=None, shape_source="s")
        subject: Any = SimpleNamespace(
            spec=SimpleNamespace(figures=lambda _, published=published: published), model=model
        )
        found = metrics._layer_kinds(subject)
        if note is None:
            assert isinstance(found, Missing)
        else:
            assert found == Figure(kinds, COUNT, source="s", note=note)
