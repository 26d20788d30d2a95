"""How passes of serving were made: every derivation comes to its figure, and figures to what follows from times; of small models."""

from __future__ import annotations

from fractions import Fraction
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.blocks.test_experts_and_latents import spec
from tscale.catalogue.hardware import find_hardware
from tscale.core.dtypes import DTYPES
from tscale.core.metric import Figure
from tscale.core.parallelism import Parallelism
from tscale.core.units import USD
from tscale.estimates import release
from tscale.estimates.capacity import Capacity, capacity_data, device_figure, serving_capacity, verdict_text
from tscale.estimates.memory_train import changes
from tscale.estimates.rent import Rent
from tscale.estimates.serve import derived, reached
from tscale.estimates.serve.parts import steps_of_passes
from tscale.estimates.serve.times import Ask, Draft, Memory, Served, Times, served
from tscale.estimates.utilisation import weighted_quantiles
from tscale.models.spec import ModelSpec

TEXT = (
    "name: small\nlayers: 6\nd_model: 64\nvocabulary: 512\ncontext: 4096\ntied: true\nattention: {heads: 4, kv_heads: 2}\npositions: {kind: rotary}\n"
    "norm: {kind: rmsnorm}\nfeed_forward: %s\n"
)
DENSE, ROUTED = spec(TEXT % "{d_ff: 128}"), spec(TEXT % "{kind: experts, experts: 2, top_k: 1, d_ff: 32}")
H100 = find_hardware("h100")


def _reckoned(numbers: str) -> float:
    return float(eval(numbers.replace("·", "*").replace("^", "**")))  # noqa: S307 (our own text)


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (DENSE, {}), (DENSE, {"efficiency": Fraction(1, 2), "prefix": 10, "gpus": 2}), (ROUTED, {"gpus": 2, "batch": 1}), (ROUTED, {"gpus": 2, "by_sequences": True, "batch": 4}),
        (DENSE, {"weights": DTYPES["fp8"], "draft": Draft(None, 3, Fraction(1, 2))}), (DENSE, {"output": 1}),
    ],
)  # fmt: skip
def test_every_line_of_a_pass_is_derived_and_its_numbers_come_to_it(model: ModelSpec, given: dict[str, Any]) -> None:
    """FLOPs, bytes and seconds of each line as the passes have them in plain numbers; experts that are met by 1 - (1 - k/E)^tokens."""
    one: Served = served(model, H100, Ask(**{"batch": 3, "context": 100, "output": 9} | given))
    found = list(steps_of_passes(one))
    ask = one.ask
    for step in found:
        assert _reckoned(step.numbers) == pytest.approx(float(step.figure.value), rel=1e-9), step.name
    for title, run, tokens in (
        ("prefill", one.prompt, ask.batch * (100 - ask.prefix)), ("decoding", one.step(100 + (ask.output - 1) // 2), ask.batch)
    ):  # fmt: skip
        own = {step.name: step.figure for step in found if step.subject == f"small, {title}"}
        for line in one.works(run):
            if line.flops:
                assert own[f"{line.name}, FLOPs"].value == line.flops
            read = line.weights + line.cache + line.sent
            if f"{line.name}, bytes" in own:
                assert own[f"{line.name}, bytes"].value == pytest.approx(read)
            if line.flops or read:
                assert own[f"{line.name}, time"].value == pytest.approx(one.seconds(line))
                assert own[f"{line.name}, time"].known == (
                    "bound" if not given.keys() & {"efficiency", "draft"} else "assumed"
                )
        assert ("experts that are read in a layer" in own) == (model is ROUTED)
        if model is ROUTED:
            met = own["experts that are read in a layer"].value
            assert met == pytest.approx(2 * (1 - (1 / 2) ** tokens))
        matrices = sum(figure.value for name, figure in own.items() if name.startswith("attention.q, FLOPs"))
        assert matrices == 2 * tokens * 6 * 64 * 64 // ask.gpus
        assert sum(figure.value for name, figure in own.items() if name.endswith(", time")) == pytest.approx(one.pass_seconds(run))  # fmt: skip


def test_a_sum_of_a_pass_has_its_towers() -> None:
    """Towers stand before the prefill, not before a step; a million tokens by 2 devices at 3 dollars."""
    line = SimpleNamespace(name="q")
    one: Any = SimpleNamespace(
        ask=SimpleNamespace(output=5, gpus=2, batch=4, context=100, draft=None, steps=4, efficiency=1), spec=SimpleNamespace(name="it"), seconds=lambda _: 3.0
    )  # fmt: skip
    times = Times(10.0, 2.0, 1.0, 3.0, drafting=1.5, towers=7.0)
    rent = Rent(Fraction(3), Fraction(3), Fraction(3), "exact")
    dollars_in, dollars_out = 2 * (10.0 + 1.5) / 3600 / 400 * 1e6 * 3, 2 * 2.0 / 3600 / 4 * 1e6 * 3
    figures = {
        "prefill_seconds": 10.0, "seconds_per_token": 2.0, "seconds_per_answer": 10 + 1.5 + 4 * 2, "usd_per_million_input_tokens": dollars_in,
        "usd_per_million_output_tokens": dollars_out,
    }  # fmt: skip
    works: Any = {"prefill": [line], "decode_step": [line]}
    steps = list(
        derived.of_passes(one, times, works, {key: Figure(value, USD) for key, value in figures.items()}, rent)
    )
    found = {step.name: (step.numbers, step.figure.value) for step in steps}
    assert found["prefill_seconds"] == ("3 + 7", 10.0)
    assert found["decode_step_seconds"] == ("3", 3.0)
    assert found["seconds_per_token"] == ("8/4", 2.0)
    for name in ("seconds_per_answer", "usd_per_million_input_tokens", "usd_per_million_output_tokens"):
        assert _reckoned(found[name][0]) == pytest.approx(figures[name])
    one.ask.draft = object()
    bare = list(derived.of_passes(one, times, works, {key: Figure(value, USD) for key, value in figures.items()}, None))
    assert [step.name for step in bare] == ["prefill_seconds", "decode_step_seconds", "seconds_per_answer"]


def test_figures_follow_from_the_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """4 sequences of 5 tokens: 10 s, and 1.5 of a draft's own, and 4 steps of 2 s are 19.5 s."""
    monkeypatch.setattr(reached, "turning_batch", lambda _, matrices: None if matrices else 77)
    device = SimpleNamespace(memory_bytes=80)
    one: Any = SimpleNamespace(
        ask=SimpleNamespace(output=5, gpus=2, batch=4, context=100, draft=None, efficiency=1), device=device
    )
    times = Times(10.0, 2.0, 1.0, 3.0, drafting=1.5)
    for rent, known in ((Rent(Fraction(3), Fraction(3), Fraction(3), "exact"), "bound"), (Rent(Fraction(1), Fraction(3), Fraction(4), "assumed"), "assumed"), (None, None)):  # fmt: skip
        found = reached._figures(one, times, Memory(1, 2, 3, None), rent)  # type: ignore[arg-type]
        values = {key: None if figure is None else figure.value for key, figure in found.items()}
        price = None if rent is None else 3
        assert values == {
            "prefill_seconds": 10, "seconds_per_token": 2, "seconds_per_token_first": 1, "seconds_per_token_last": 3, "seconds_per_answer": 19.5, "tokens_per_second": 2,
            "tokens_per_second_per_user": 0.5, "tokens_per_second_with_prefill": 20 / 19.5, "compute_bound_from_batch": 77, "matrices_compute_bound_from_batch": None,
            "weight_bytes": 1, "kv_cache_bytes": 2, "workspace_bytes": 3, "memory_bytes": 80,
            "usd_per_million_input_tokens": price and pytest.approx(2 * 11.5 / 3600 / 400 * 1e6 * 3), "usd_per_million_output_tokens": price and pytest.approx(2 * 2 / 3600 / 4 * 1e6 * 3),
        }  # fmt: skip
        priced = found["usd_per_million_input_tokens"]
        assert (None if priced is None else priced.known) == known


# ---------------------------------------------------------------------------------------------------------------------
# Medians, capacities and plans
# ---------------------------------------------------------------------------------------------------------------------


def test_quantiles_of_equal_weights_are_those_of_a_library() -> None:
    """Hazen's rule: of n values the i-th has (i - 1/2)/n of them below it."""
    dice = Random(7)  # noqa: S311 (a sample is no secret)
    for _ in range(300):
        values = [dice.randrange(1, 20) for _ in range(dice.randrange(1, 7))]
        found = weighted_quantiles([(Fraction(value), 0.25) for value in values], (0.08, 0.5, 0.92))
        assert found == pytest.approx(list(np.quantile(values, (0.08, 0.5, 0.92), method="hazen")))
    assert weighted_quantiles([(Fraction(2), 3.0), (Fraction(1), 1.0)], (0.125, 0.375, 0.625)) == [1, Fraction(3, 2), 2]


def test_what_a_device_has_is_data() -> None:
    capacity = Capacity(H100.device(), share=Fraction(1, 2))
    half = capacity.usable
    for total, least, verdict, missing in ((half, None, "fits", 0), (half + 1, None, "does_not_fit", 1), (half + 5, half, "may_fit", 5), (half + 5, half + 1, "does_not_fit", 5)):  # fmt: skip
        found: Any = capacity_data(capacity, H100, total, "convention", least)
        assert (found["verdict"], found["missing_bytes"].value) == (verdict, missing)
        assert found["fits"] == {"fits": True, "may_fit": None, "does_not_fit": False}[verdict]
        assert found["usable_bytes"][:1] == (half,)
        assert found["usable_bytes"].known == "exact"
    assert verdict_text(capacity, half + 5, half) == "may fit, depending on the framework"
    plain = Capacity(H100.device())
    assert plain.usable < plain.most
    assert verdict_text(plain, plain.most) == "may fit, depending on the reserve"
    assert verdict_text(plain, plain.most + 1, plain.most) == "may fit, depending on the reserve and the framework"
    assert verdict_text(plain, plain.most + 1) == "does not fit"
    assert set(capacity_data(None, H100, 1, "exact").values()) == {None}
    assert [serving_capacity(H100.device(), gpus).groups for gpus in (1, 2, 8)] == [0, 1, 1]
    assert serving_capacity(H100.device(), 8, groups=3).groups == 3


def test_the_memory_of_a_device_is_as_it_reports_or_as_its_vendor_states() -> None:
    """How a report is known is said where it is no primary source; a report without a source of its own is of the vendor's."""
    for reported, grade, source, note, where in (
        (1000, "primary", "it", "", "it"), (1000, "derived", None, "derived", "vendor"), (None, None, None, "as its vendor states it: what the device reports is not known here", "vendor"),
    ):  # fmt: skip
        chip: Any = SimpleNamespace(
            reported_mib=reported, evidence=SimpleNamespace(reported=grade), reported_source=source, source="vendor", device=lambda: SimpleNamespace(device_bytes=9)
        )  # fmt: skip
        found = device_figure(chip)
        assert (found.value, found.known, found.source, found.note) == (9, "cited", where, note)


def test_a_cost_is_said_at_the_ends_of_its_price() -> None:
    """12 dollars at 3 an hour are 8 at 2 and 20 at 5."""
    rent = Rent(Fraction(2), Fraction(3), Fraction(5), "assumed")
    rows = [(words, figure.value, figure.known) for words, figure in rent.at_ends(Figure(12.0, USD, "predicted"))]
    assert rows == [("  at the lowest price", 8.0, "predicted"), ("  at the highest price", 20.0, "predicted")]
    alone = Rent(Fraction(3), Fraction(3), Fraction(3), "exact")
    assert list(alone.at_ends(Figure(12.0, USD))) == []
    ends: Any = rent.range(10, 20)
    assert [ends[end].value for end in ("low", "high")] == [20, 100]
    same: Any = rent.range(10)
    assert [same[end].value for end in ("low", "high")] == [20, 50]
    assert alone.range(10) is None


def test_where_a_price_is_from_is_said() -> None:
    def price(usd: int, date: str, source: str = "a") -> Any:
        return SimpleNamespace(
            source=source, date=date, provider="It", kind="on demand", usd_per_device_hour=Fraction(usd)
        )

    first, later, other = price(2, "2024-05"), price(5, "2025/2026"), price(3, "2025-01", "b")
    for asked, said in (
        ((), "Price assumed: 3 USD per GPU-hour (its file)."), ((first,), "Price assumed: 3 USD per GPU-hour (2 to 5: one source, It, on demand, 2024-05)."),
        ((first, later), "Price assumed: 3 USD per GPU-hour (2 to 5: one source, a)."), ((first, other, later), "Price assumed: 3 USD per GPU-hour (2 to 5: 3 prices, 2024-2026)."),
        ((other, price(3, "2025-07")), "Price assumed: 3 USD per GPU-hour (2 to 5: 2 prices, 2025)."),
    ):  # fmt: skip
        rent = Rent(Fraction(2), Fraction(3), Fraction(5), "assumed", "its file", asked)
        assert rent.said() == said
    assert Rent(Fraction(3), Fraction(3), Fraction(3), "exact").said() == ""
    one = Rent(Fraction(3), Fraction(3), Fraction(3), "assumed", asked=(first,))
    assert one.said() == "Price assumed: 3 USD per GPU-hour (one source, It, on demand, 2024-05)."


def _model(**given: Any) -> Any:
    training = SimpleNamespace(plan=Parallelism(**given))
    return SimpleNamespace(training=training, spec=ROUTED)


def test_plans_that_spread_a_model_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads alone say how a dense part is cut; copies double up to 16,384 devices; experts are spread over what there is."""
    made: list[Any] = []

    def spread(_: Any, option: str, plan: Parallelism, __: str) -> Any:
        made.append((option, plan.tensor, plan.pipeline, plan.data))
        return iter(())

    monkeypatch.setattr(changes, "_spread", spread)
    list(changes._tensor(_model(data=2)))
    assert made == [("--tensor 2", 2, 1, 1), ("--tensor 2", 2, 1, 2), ("--tensor 4", 4, 1, 2)]
    made.clear()
    list(changes._pipeline(_model(data=3)))
    assert made == [
        ("--pipeline 3", 1, 3, 1),
        ("--pipeline 2", 1, 2, 3),
        ("--pipeline 3", 1, 3, 3),
        ("--pipeline 6", 1, 6, 3),
    ]
    made.clear()
    list(changes._data(_model(data=512, tensor=8, zero=1)))
    assert [data for *_, data in made] == [1024, 2048]
    made.clear()
    list(changes._data(_model(data=3, zero=1)))
    assert [data for *_, data in made] == [6, 12, 24, 48, 96, 192, 384, 768, 1536, 3072, 6144, 12_288]
    made.clear()
    for given in ({"data": 8}, {"data": 8, "zero": 1, "shards": 4}):
        list(changes._data(_model(**given)))
    assert made == []
    monkeypatch.setattr(
        changes, "_tried", lambda _, option, __, plan: SimpleNamespace(change=lambda: (option, plan.expert))
    )
    spreads: Any = list(changes._expert(_model(data=6, expert_tensor=1)))
    assert spreads == [("--expert 2", 2), ("--expert 3", 3), ("--expert 6", 6)]
    further: Any = list(changes._expert(_model(data=6, expert=2, expert_tensor=1)))
    assert further == [("--expert 3", 3), ("--expert 6", 6)]


# ---------------------------------------------------------------------------------------------------------------------
# Releases
# ---------------------------------------------------------------------------------------------------------------------


def test_what_is_kept_in_which_format() -> None:
    """A release says so; else 16 bits of the kind that is computed in; llama.cpp keeps states in 32."""
    named = "weights: {format: fp8, rest: bf16, cache: fp8}\n"
    released: Any = spec(TEXT % "{d_ff: 128}" + named)
    whole = release.format_of(released, None)
    assert whole.name != "bf16"
    assert release.format_of(DENSE, None).name == "bf16"
    assert release.format_of(DENSE, DTYPES["fp8"]) == DTYPES["fp8"]
    for asked, weights, name in (
        (None, DTYPES["bf16"], "bf16"), (None, DTYPES["fp16"], "fp16"), (None, DTYPES["fp32"], "fp32"), (None, DTYPES["q8_0"], "fp16"), (DTYPES["fp8"], DTYPES["bf16"], "fp8"),
        (None, whole, "fp8"), (DTYPES["bf16"], whole, "bf16"),
    ):  # fmt: skip
        assert release.cache_format_of(asked, weights).name == name
    fp32 = DTYPES["fp32"]
    states = SimpleNamespace(states=None, mixers=(SimpleNamespace(kind="mamba2"),))
    kimi = SimpleNamespace(states=None, mixers=(SimpleNamespace(kind="kimi-delta"), SimpleNamespace(kind="attention")))
    said = SimpleNamespace(states="fp16", mixers=())
    for model, asked, weights, found in (
        (states, None, DTYPES["bf16"], (None, None)), (states, DTYPES["fp8"], DTYPES["bf16"], (DTYPES["fp8"], None)), (states, None, DTYPES["q8_0"], (fp32, fp32)),
        (states, DTYPES["bf16"], DTYPES["q8_0"], (DTYPES["bf16"], fp32)), (kimi, None, DTYPES["bf16"], (fp32, None)), (kimi, DTYPES["bf16"], DTYPES["bf16"], (DTYPES["bf16"], None)),
        (said, None, DTYPES["bf16"], (DTYPES["fp16"], None)), (said, DTYPES["bf16"], DTYPES["bf16"], (DTYPES["bf16"], None)),
    ):  # fmt: skip
        assert release.state_formats(model, asked, weights) == found  # type: ignore[arg-type]
