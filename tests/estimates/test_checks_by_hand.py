"""What is refused, what would fit on more devices, and what follows from laws and hours: small functions of stand-ins."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.estimates.test_held_by_hand import GUESSER, H100, MODEL, ROUTED, _server, _training
from tscale.core.dtypes import DTYPES
from tscale.core.laws import Kaplan, Parametric, Point, Power
from tscale.core.metric import Figure, Missing
from tscale.core.parallelism import Parallelism
from tscale.core.serving_layout import ServingLayout
from tscale.core.units import COUNT
from tscale.errors import RequestError
from tscale.estimates import capacity, goodput, laws, media
from tscale.estimates.deployment import Deployment
from tscale.estimates.laws import Bound
from tscale.estimates.media import Media
from tscale.estimates.memory import changes, room, serving
from tscale.estimates.memory.held import held
from tscale.estimates.memory_train import figures as train_figures
from tscale.estimates.memory_train import lines as train_lines
from tscale.estimates.post_training import fit
from tscale.estimates.serve import derived as of_serving
from tscale.estimates.serve.reached import check_served
from tscale.estimates.serve.times import Ask, Draft
from tscale.estimates.train import derived
from tscale.models.trainer import trainer

# ---------------------------------------------------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------------------------------------------------


def test_what_cannot_be_timed_is_refused() -> None:
    both: Any = SimpleNamespace(kind="encoder-decoder", label="It")
    half = Fraction(1, 2)
    with pytest.raises(RequestError, match="It is an encoder: it answers nothing token by token"):
        check_served(SimpleNamespace(kind="encoder", label="It"), Ask())  # type: ignore[arg-type]
    for given in ({"prefix": 1}, {"draft": Draft(None, 3, half)}, {"by_sequences": True}):
        with pytest.raises(RequestError, match="are known of decoders alone"):
            check_served(both, Ask(**given))
    for model, ask in ((both, Ask()), (MODEL, Ask(context=100, prefix=99)), (MODEL, Ask(draft=Draft(GUESSER, 3, half))), (MODEL, Ask(draft=Draft(None, 3, half)))):  # fmt: skip
        check_served(model, ask)
    with pytest.raises(RequestError, match="a prefix of 100 leaves nothing of a prompt of 100 tokens"):
        check_served(MODEL, Ask(context=100, prefix=100))
    with pytest.raises(RequestError, match="It is an encoder-decoder, and only a decoder can guess"):
        check_served(MODEL, Ask(draft=Draft(both, 3, half)))


def test_images_that_are_compared_with_texts_come_one_beside_each() -> None:
    def model(kind: str) -> Any:
        return SimpleNamespace(label="It", towers=(SimpleNamespace(pieces=(SimpleNamespace(kind="attend"), SimpleNamespace(kind=kind))),))  # fmt: skip

    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"images": 2}, "images"),
        ({"frames": 1}, "video-frames"),
        ({"images": 1, "frames": 1}, "video-frames"),
        ({"seconds": 5}, "images"),
    )
    for given, name in cases:
        media._check_paired(model("linear"), Media(**given))
        with pytest.raises(RequestError, match=rf"^--{name}: It is trained on pairs"):
            media._check_paired(model("contrast"), Media(**given))
    for fine in (Media(), Media(images=1)):
        media._check_paired(model("contrast"), fine)
    media._check_paired(SimpleNamespace(label="It", towers=None), Media(images=3))  # type: ignore[arg-type]


def test_the_tower_that_reads_has_a_rule_of_its_own() -> None:
    def tower(reads: str, part: str, rule: Any) -> Any:
        return SimpleNamespace(reads=reads, part=part, input=rule)

    sees, projects, hears = tower("images", "vision_tower", "rule"), tower("images", "projector", None), tower("sounds", "audio_tower", None)  # fmt: skip
    queries = tower("images", "projector", "its own")
    for towers, reads, found in (
        ((projects, sees, hears), "images", sees), ((queries,), "images", queries), ((projects,), "images", "has no tower that reads images"), (None, "images", "has no tower that reads images"),
        ((sees, hears), "sounds", "how It reads sounds is not known"), ((sees,), "sounds", "has no tower that reads sounds"),
    ):  # fmt: skip
        model: Any = SimpleNamespace(label="It", towers=towers)
        if isinstance(found, str):
            with pytest.raises(RequestError, match=found):
                media._tower_of(model, reads, "--x")
        else:
            assert media._tower_of(model, reads, "--x") is found
    for bins, said in ((80, "reads sound as its source"), (None, "how It reads sounds is not known")):
        heard: Any = SimpleNamespace(label="It", towers=(hears,), encoder=SimpleNamespace(mel_bins=bins))
        with pytest.raises(RequestError, match=said):
            media._tower_of(heard, "sounds", "--x")


def test_a_layout_that_cannot_be_is_advised_by_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    near = ServingLayout(2, 1, 1, 2)
    for nearest, problem, said in (
        ([near], "3 do not divide: use less", "3 do not divide: use --gpus 2 --tensor 2"), ([], "3 do not divide: use less", "3 do not divide: use less"), ([near], "no engine", "no engine")
    ):  # fmt: skip
        monkeypatch.setattr(serving, "accepted", lambda *_, nearest=nearest: iter(nearest))
        assert serving._advised(problem, None, near) == said  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------------------
# What would fit
# ---------------------------------------------------------------------------------------------------------------------


def _capacity(size: int) -> Any:
    return SimpleNamespace(device="device", share=None, usable=size, fits=lambda total: total <= size)


def test_the_fewest_devices_that_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 4 heads and a table of 512 rows 2 or 4 devices may share each layer; what they hold is counted of each."""
    monkeypatch.setattr(changes, "_priced", lambda *_: "")
    sizes = {gpus: held(_server(batch=8, gpus=gpus)).total for gpus in (1, 2, 4)}
    assert sizes[1] > sizes[2] > sizes[4]
    rooms: list[int] = []
    monkeypatch.setattr(changes, "serving_capacity", lambda *_: _capacity(rooms[-1]))
    for now, size, node, option, costs in (
        (1, sizes[2], 8, "--gpus 2", "2 devices, not 1"), (1, sizes[2] - 1, 8, "--gpus 4", "4 devices, not 1"), (1, sizes[4], 2, "--gpus 4", "4 devices, not 1, more than the 2 of a node"),
        (1, sizes[4], 4, "--gpus 4", "4 devices, not 1"), (1, sizes[4], None, "--gpus 4", "4 devices, not 1"), (2, sizes[2], 8, "--gpus 4", "4 devices, not 2"), (4, 10**12, 8, None, ""), (1, 0, 8, None, ""),
    ):  # fmt: skip
        rooms.append(size)
        chip: Any = SimpleNamespace(devices_per_node=node)
        found = list(changes._more_devices(_server(batch=8, gpus=now), chip, _capacity(size), spelled_out=False))
        assert [(one.option, one.costs) for one in found] == ([] if option is None else [(option, costs)])
        assert all(one.total == sizes[int(one.option.split()[1])] for one in found)
    rooms.append(10**12)
    spread = _server(ROUTED, batch=8, layout=ServingLayout(1, 1, 2, 1, 2))
    (spelled,) = changes._more_devices(spread, SimpleNamespace(devices_per_node=8), _capacity(10**12), spelled_out=True)  # type: ignore[arg-type]  # fmt: skip
    assert spelled.option == "--gpus 4 --tensor 2 --expert 2 --expert-tensor 2 --attention-data 2"


def test_a_cache_is_narrowed_to_the_widest_format_that_fits() -> None:
    """Rows of 16 numbers are no blocks of 32, in which llama.cpp keeps them."""
    for given, kept, option in (
        ({"cache_dtype": DTYPES["fp32"]}, "bf16", "bf16"), ({}, "fp8", "fp8"), ({}, "bf16", "fp8"), ({"cache_dtype": DTYPES["fp8"]}, "fp8", "nvfp4"), ({"dtype": DTYPES["q8_0"]}, "fp8", None),
        ({"cache_dtype": DTYPES["nvfp4"]}, "fp8", None),
    ):  # fmt: skip
        server = _server(batch=8, **given)
        usable = held(server._replace(cache_format=DTYPES[kept])).total
        found = list(changes._narrower_cache(server, usable))
        assert [one.option for one in found] == ([] if option is None else [f"--cache-dtype {option}"])
    both = _server(batch=8, draft=GUESSER)
    narrow = changes._in_cache_format(both, DTYPES["fp8"])
    assert narrow.draft is not None
    assert (narrow.cache_format.name, narrow.draft.cache_format.name) == ("fp8", "fp8")
    lighter = changes._in_format(both, DTYPES["fp8"])
    assert lighter.draft is not None
    assert (lighter.format.name, lighter.draft.format.name) == ("fp8", "fp8")


def test_an_answer_that_is_no_has_a_code_of_its_own() -> None:
    one = capacity.Capacity(H100.device())
    for total, least, code in ((one.usable, None, 0), (one.most, None, 0), (one.most + 1, None, 3), (one.most + 1, one.most, 0), (one.most + 2, one.most + 1, 3)):  # fmt: skip
        assert capacity.exit_code(one, total, least) == code
    assert capacity.exit_code(None, 10**15) == 0


def test_a_stage_of_training_holds_its_states_and_what_is_in_flight() -> None:
    """Of two stages and 4 micro-batches the first has two in flight, the last one."""
    how = _training(plan=Parallelism(pipeline=2), batch=4).how
    model = trainer(MODEL, how, 100)
    for place, flight in ((0, 2), (1, 1)):
        needs = model.needs(place)
        row: Any = train_lines.stage_data(model, place, fullest=place == 1)
        assert row["stage"] == ("1", "2, the fullest")[place]
        assert (row["in_flight"].value, row["total"].value, row["activations"].value) == (flight, needs.total, needs.activations.total)  # fmt: skip
        layers = 3 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128 + 2 * 64) + 512 * 64 + (64 if place else 0)
        assert row["states"].value == 16 * layers


def test_growth_of_training_is_of_the_parts_at_each_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_STEPS", 4)
    ask = _training(context=128)
    grown = train_figures.training_growth(GUESSER, ask)
    assert (grown.context, grown.usable, grown.longest) == (128, None, None)
    for context in (1, 128, max(grown.rows)):
        needs = trainer(GUESSER, ask.how, context).worst()[1]
        assert {name: figure.value for name, figure in grown.rows[context].items()} == {
            "weights": needs.weights.total, "gradients": needs.gradients.total, "master weights": needs.master.total, "optimizer states": needs.optimizer.total,
            "activations": needs.activations.total, "logits": needs.logits.total, "largest temporary": needs.temporary.total,
        }  # fmt: skip
    usable = train_figures.training_growth(GUESSER, ask._replace(hardware=H100))
    assert usable.usable is not None
    assert usable.longest is not None


# ---------------------------------------------------------------------------------------------------------------------
# What follows
# ---------------------------------------------------------------------------------------------------------------------


def _law(**given: Any) -> Any:
    exponent = SimpleNamespace(value=0.5, low=0.4, high=0.6, evidence="primary", source="its paper", level="80%")
    return SimpleNamespace(**{"name": "it", "source": "x", "exponent": exponent, "quantiles": None, "losses": "nats per token", **given})  # fmt: skip


def test_intervals_of_laws_are_of_parameters_or_of_exponents() -> None:
    ends = laws.Interval((10.4, 20.6), (1.0, 2.0))
    formula = Parametric(1.5, 400.0, 410.0, 0.3, 0.5)
    of_params: Any = laws.interval(Bound(_law(), formula), ends)
    assert (of_params["of"], of_params["low"].value, of_params["high"].value) == ("params", 10, 21)
    assert of_params["level"].startswith("2.5th to 97.5th")
    held_level: Any = laws.interval(Bound(_law(quantiles=SimpleNamespace(level="its own")), formula), ends)
    assert held_level["level"] == "its own"
    of_exponent: Any = laws.interval(Bound(_law(), formula), None)
    assert (of_exponent["of"], of_exponent["low"].value, of_exponent["high"].value) == ("exponent", 0.4, 0.6)
    assert laws.interval(Bound(_law(exponent=None), formula), None) is None
    published = laws.exponents(_law())
    assert [(one.value, one.known) for one in published] == [(0.5, "cited"), (0.4, "cited"), (0.6, "cited")]
    own = _law()
    own.exponent.evidence = "derived"
    assert laws.exponents(own)[0].known == "convention"


def test_an_exponent_is_published_or_follows_from_the_constants() -> None:
    """beta/(alpha + beta) of Hoffmann's form."""
    formula = Parametric(1.5, 400.0, 410.0, 0.3, 0.5)
    named = laws.exponent_of(Bound(_law(), formula))
    assert isinstance(named, Figure)
    assert named.value == 0.5
    made = laws.exponent_of(Bound(_law(exponent=None), formula))
    assert isinstance(made, Figure)
    assert (made.value, made.known) == (0.625, "convention")
    power = laws.exponent_of(Bound(_law(exponent=None), Power(1.0, 0.7312345)))
    assert isinstance(power, Figure)
    assert power.value == 0.7312
    kaplan = laws.exponent_of(Bound(_law(exponent=None), Kaplan(1, 0.73, 1, 1, 1, 1, 1, 1)))
    assert isinstance(kaplan, Figure)
    assert kaplan.value == 0.73


def test_losses_and_ratios_have_six_digits_and_counts_none() -> None:
    law = _law()
    loss = laws.loss_figure(2.123456789, law)
    assert isinstance(loss, Figure)
    assert (loss.value, loss.known) == (2.123457, "convention")
    assert laws.loss_figure(None, law) == Missing("no loss", settled=True)
    assert laws.per_param(Point(3.0, 10.0, 1.0, None), law).value == 3.333333
    assert laws.range_mark(beyond=True).text == "extrapolated"
    assert laws.range_mark(beyond=False).text == "inside"


def test_hours_and_dollars_are_derived_of_devices_and_seconds() -> None:
    """8 devices for 90,000 s are 200 hours; days that were given themselves are not derived of rounded seconds."""
    values: dict[str, Any] = {
        "gpus": 8, "seconds": 90_000, "days": Fraction(90_000, 86_400), "gpu_hours": 200, "cost_usd": 600, "energy_kwh": Fraction(154), "co2e_kg": Fraction(154 * 400, 1000),
        "elapsed_days": Fraction(90_000, 86_400) / Fraction(9, 10), "elapsed_gpu_hours": 200 / Fraction(9, 10), "elapsed_cost_usd": 600 / Fraction(9, 10),
    }  # fmt: skip
    figures: dict[str, Figure | None] = {key: Figure(value, COUNT) for key, value in values.items()}
    rates = derived.Rates(Fraction(3), Fraction(700), Fraction(11, 10), Fraction(400), Fraction(9, 10))
    found = {step.name: step for step in derived.of_run(figures, rates, "it")}
    assert set(found) == set(values) - {"gpus", "seconds"}
    for name, step in found.items():
        assert eval(step.numbers.replace("·", "*")) == pytest.approx(float(values[name])), name  # noqa: S307 (our own text)
    figures["days"] = Figure(2, COUNT)
    bare = [step.name for step in derived.of_run(figures | {"cost_usd": None}, rates._replace(goodput=None), "it")]
    assert bare == ["gpu_hours", "energy_kwh", "co2e_kg"]


def test_a_request_is_derived_of_its_times() -> None:
    """0.5 s and 20 tokens of 0.05 s are 1.5 s; 6 at once are 4 a second, of 20 tokens on 8 devices."""
    times = SimpleNamespace(ttft=SimpleNamespace(middle=0.5), tpot=SimpleNamespace(middle=0.05), latency=SimpleNamespace(middle=1.5))  # fmt: skip
    steady: Any = SimpleNamespace(case=SimpleNamespace(output=20, concurrency=6, devices=8), times=times, requests_per_second=4.0)  # fmt: skip
    found = {step.name: step for step in of_serving.of_request(steady, "it")}
    for name, value in (("latency", 1.5), ("requests_per_second", 4), ("tokens_per_second_per_gpu", 10)):
        assert found[name].figure.value == value
        assert eval(found[name].numbers.replace("·", "*")) == pytest.approx(value)  # noqa: S307 (our own text)
    steady.times = None
    assert list(of_serving.of_request(steady, "it")) == list(of_serving.of_request("why not", "it")) == []


def test_a_goodput_is_worth_a_word_from_a_hundredth_on_or_where_it_is_given() -> None:
    runs: Any = ("a", "b")
    for middle, given, noticed in ((Fraction(99, 100), runs, True), (Fraction(991, 1000), runs, False), (Fraction(1), (), True)):  # fmt: skip
        one = goodput.Goodput(Fraction(9, 10), middle, Fraction(1), given)
        assert one.noticed == noticed
        assert bool(one.said()) == (noticed and bool(given))
        assert one.known == ("assumed" if given else "exact")


def test_a_deployment_is_laid_out_where_it_is_more_than_devices_that_share_each_layer() -> None:
    cases: tuple[tuple[dict[str, Any], bool], ...] = (
        ({}, False), ({"layout": ServingLayout(4, 1, 1, 4)}, False), ({"layout": ServingLayout(4, 1, 4, 1)}, True), ({"layout": ServingLayout(2, 2, 1, 2)}, True),
        ({"prefill": ServingLayout()}, True), ({"prefill": ServingLayout(), "layout": ServingLayout(4, 1, 1, 4)}, True),
    )  # fmt: skip
    for given, laid_out in cases:
        assert Deployment(**given).is_laid_out == laid_out


def test_a_table_of_steps_is_read_without_its_remarks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    path.write_text("# a remark\nmodel,gpu\nx,y\n# another\nz,w\n", encoding="utf-8")
    monkeypatch.setattr(fit, "_measured", dict)
    found: list[Any] = fit.measured(path)
    assert found == [{"model": "x", "gpu": "y"}, {"model": "z", "gpu": "w"}]
