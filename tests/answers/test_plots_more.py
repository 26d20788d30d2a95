"""Pictures of parameters, training FLOPs, training time, of any quantity by another, and of what stood before attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers import answer, run
from tscale.analysis.memory import Ask as Requested
from tscale.analysis.train import Ask as TrainRequested
from tscale.answers.plots.attention import versus_plot
from tscale.answers.plots.compare import compare_plot
from tscale.answers.plots.flops import flops_plot
from tscale.answers.plots.hyper import hyper_plot
from tscale.answers.plots.params import params_plot
from tscale.answers.plots.post_training import phases_plot, seconds_plot
from tscale.answers.plots.train import train_plot
from tscale.catalogue.hardware import find_hardware
from tscale.catalogue.models import built_in
from tscale.core.plot import Plot, Point, Series
from tscale.errors import NotPublishedError
from tscale.estimates.attention import Ask as Attended
from tscale.estimates.conventions import CONVENTIONS
from tscale.estimates.train.ask import Ask as Trained
from tscale.models.spec import ModelSpec


def series(plot: Plot, name: str) -> Series:
    (found,) = [one for one in plot.series if one.name == name]
    return found


def heights(points: Sequence[Point]) -> dict[float, float]:
    return {float(point.x): float(point.y) for point in points}


def model(name: str) -> ModelSpec:
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    return spec


@pytest.mark.parametrize("name", ["gpt3", "deepseek-v3", "t5-small", "jamba", "albert-base", "mamba-130m"])
def test_the_areas_of_parameters_end_at_the_total(name: str) -> None:
    plot = params_plot([built_in(name)])
    total = answer("params", name)["params"]["total"]
    assert float(plot.series[-1].points[-1].y) == total
    for area in plot.series:
        tops = [float(point.y) for point in area.points]
        assert tops == sorted(tops)


def test_a_stack_of_any_depth_is_drawn_in_some_hundred_points() -> None:
    """From the tables of 50,257 tokens and 1,024 positions on, 12·d^2 + 13·d a layer, to the last norm behind the last of 10^12."""
    d, depth = 768, 10**12
    (line, _) = params_plot([replace(model("gpt2"), layers=depth), built_in("gpt3")]).series
    drawn = heights(line.points)
    assert len(drawn) <= 513
    assert drawn[0] == (50257 + 1024) * d
    assert drawn[depth] == drawn[0] + depth * (12 * d * d + 13 * d) + 2 * d


def test_gpt3_grows_by_as_much_in_each_layer() -> None:
    """12·d^2 + 13·d a layer (Brown 2020's shape with biases), from the tables of 50,257 tokens and 2,048 positions."""
    d = 12288
    (line, _) = params_plot([built_in("gpt3"), built_in("gpt2")]).series
    drawn = heights(line.points)
    assert drawn[0] == (50257 + 2048) * d
    assert all(drawn[layer + 1] - drawn[layer] == 12 * d * d + 13 * d for layer in range(95))
    assert drawn[96] - drawn[95] == 12 * d * d + 13 * d + 2 * d  # the last norm stands behind the last layer


def test_dense_layers_come_before_those_with_experts() -> None:
    drawn = heights(params_plot([built_in("deepseek-v3"), built_in("gpt3")]).series[0].points)
    first, fourth = drawn[1] - drawn[0], drawn[4] - drawn[3]
    assert fourth / first == pytest.approx(11.5e9 / 0.58e9, rel=0.05)  # 257 experts of 3·7168·2048, and 3·7168·18432


def test_a_model_of_unknown_shape_is_named_and_left_out() -> None:
    assert params_plot([built_in("gpt-4"), built_in("gpt3")]).notes == (
        "Not drawn, for its shape was never published: GPT-4.",
    )
    with pytest.raises(NotPublishedError):
        params_plot([built_in("gpt-4")])


@pytest.mark.parametrize("name", ["gpt3", "mixtral-8x7b", "t5-small"])
def test_training_flops_of_a_token_are_those_of_the_table(name: str) -> None:
    plot = flops_plot(model(name), 1024)
    told = answer("flops", name, "--tokens", "1e12", "--context", "1024")["training_flops"]
    drawn = {CONVENTIONS[key][0]: flops for key, flops in told.items() if flops is not None}
    assert {one.name for one in plot.series} == set(drawn)
    for one in plot.series:
        assert heights(one.points)[1024] == pytest.approx(drawn[one.name] / 1e12, rel=1e-9)
    assert plot.rules[0].at == 1024


def test_six_n_d_knows_no_length_and_attention_does() -> None:
    plot = flops_plot(model("gpt3"), None)
    assert len(set(heights(series(plot, "6·N·D").points).values())) == 1
    exact = [float(point.y) for point in series(plot, "exact, full attention").points]
    assert exact == sorted(exact)
    assert exact[-1] > 2 * exact[0]


def test_days_fall_as_devices_grow() -> None:
    told = answer("train", "gpt3", "--gpu", "h100", "--gpus", "1024", "--mfu", "0.4")
    plot = train_plot(model("gpt3"), find_hardware("h100"), Trained(gpus=1024, mfu=4 * Trained().pue / 10))
    drawn = heights(series(plot, "40% MFU").points)
    assert drawn[1024] == pytest.approx(told["days"], rel=1e-4)
    assert drawn[2048] == pytest.approx(drawn[1024] / 2)
    (point,) = series(plot, "answer").points
    assert (point.x, float(point.y)) == (1024, drawn[1024])


def test_a_range_of_utilisations_is_a_line_each() -> None:
    plot = train_plot(model("llama-3.1-8b"), find_hardware("h100"), Trained(gpus=512))
    told = answer("train", "llama-3.1-8b", "--gpu", "h100", "--gpus", "512")["range"]
    assert [float(point.y) for point in series(plot, "answer").points] == pytest.approx(
        [row["days"] for row in told], rel=1e-4
    )
    assert sum(one.style == "line" for one in plot.series) == len(told) == 3


def test_compare_draws_any_quantity_by_any_other() -> None:
    names = ["gpt2", "gpt3", "llama-3.1-8b"]
    plot = compare_plot([built_in(name) for name in names], None, "training_tokens", "kv_bytes_per_token")
    rows = {row["quantity"]: row["values"] for row in answer("compare", *names)["rows"]}
    drawn = [(float(point.x), float(point.y)) for one in plot.series for point in one.points]
    assert drawn == list(zip(rows["training_tokens"], rows["kv_bytes_per_token"], strict=True))[1:]
    assert plot.notes == ("Not drawn, for its KV cache per token or training tokens is not known: GPT-2 small.",)


@pytest.mark.slow
def test_compare_takes_the_names_of_its_table(tmp_path: Path) -> None:
    target = tmp_path / "one.svg"
    done = run("compare", "gpt2", "gpt3", "--x", "parameters", "--y", "KV cache per token", "--plot", str(target))
    assert (done.code, target.is_file()) == (0, True)
    done = run("compare", "gpt2", "gpt3", "--x", "colour", "--plot")
    assert done.err.startswith('tscale: --x takes a quantity of the table, such as training_flops, not "colour": ')
    done = run("compare", "gpt2", "gpt3", "--y", "kind")
    assert done.code == 2


def test_versus_draws_the_recurrence() -> None:
    """Table 1 of Vaswani 2017: n^2·d against n·d^2, which meet at n = d."""
    plot = versus_plot(model("gpt3"), Attended(versus=True))
    attention, recurrent = (heights(series(plot, name).points) for name in ("self-attention", "recurrent"))
    assert all(attention[n] == n * n * 12288 for n in attention)
    assert all(recurrent[n] == n * 12288**2 for n in recurrent)
    crossing = series(plot, "attention takes more from here").points
    assert crossing[0].x == 12288 + 1
    told = answer("attention", "gpt3", "--versus")["versus"]
    assert {row["layer"] for row in told} == {one.name for one in plot.series if one.style == "line"}


@pytest.mark.parametrize(
    "command",
    [
        ["params", "gpt3"],
        ["flops", "gpt3"],
        ["train", "gpt3", "--gpu", "h100", "--gpus", "64"],
        ["compare", "gpt2", "gpt3", "--x", "params", "--y", "attention_share"],
        ["attention", "gpt3", "--versus"],
    ],
)
def test_each_is_drawn_in_the_terminal(command: list[str]) -> None:
    plain, drawn = run(*command), run(*command, "--plot")
    assert (drawn.code, drawn.err) == (plain.code, "")
    assert drawn.out.startswith(plain.out)
    assert "┌" in drawn.out[len(plain.out) :]


def test_learning_rates_are_drawn_as_they_are_answered() -> None:
    plot = hyper_plot(model("gpt2"), 10**10, None, ["li2025", "kaplan2020-hyper"])
    rows = {row["law"]: row["learning_rate"] for row in answer("hyper", "gpt2", "--tokens", "1e10")["rows"]}
    for law in ("li2025", "kaplan2020-hyper"):
        assert heights(series(plot, law).points)[10**10] == pytest.approx(rows[law])
    step = heights(series(plot, "li2025").points)
    assert step[max(step)] / step[10**10] == pytest.approx((max(step) / 10**10) ** 0.307)  # Li 2025, Table 1
    assert len({float(point.y) for point in series(plot, "kaplan2020-hyper").points}) == 1  # of parameters alone


@pytest.mark.slow
def test_phases_are_drawn_as_they_are_held() -> None:
    ask = Requested.made({"model": "gpt2", "train": True, "method": "grpo", "gpu": "h100", "context": 768})
    plot = phases_plot(ask.spec, ask.post_training(ask.spec, ask.training, ask.context, ask.batch))
    held = answer("memory", "gpt2", "--train", "--method", "grpo", "--gpu", "h100", "--context", "768")["phases"]
    drawn = [heights(one.points)[768] for one in plot.series]
    assert drawn == [one["per_device_bytes"]["total"] for one in held]


@pytest.mark.parametrize("method", [pytest.param("grpo", marks=pytest.mark.slow), "sft"])
def test_seconds_of_phases_are_stacked_up_to_the_step(method: str) -> None:
    words = ["--gpu", "h100", "--gpus", "8", "--batch", "64", "--zero", "2", "--context", "640", "--method", method]
    found = answer("train", "gpt2", *words)
    ask = TrainRequested.made(
        {"model": "gpt2", "gpu": "h100", "gpus": 8, "batch": 64, "zero": 2, "context": 640, "method": method}
    )
    plot = seconds_plot(ask.spec, ask.step.step, ask.step.how)
    at = 640 if method == "sft" else 128
    assert heights(plot.series[-1].points)[at] == pytest.approx(found["step_seconds"]["middle"])
