"""A picture shows the figures of the answer that it belongs to, and only what is known."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from tests.calibration.synthetic import BESIROGLU, runs_of
from tests.helpers import answer
from tscale.analysis.optimal import plots as optimal_of_experts
from tscale.analysis.questions import question
from tscale.answers.plots.attention import attention_plot
from tscale.answers.plots.compare import compare_plot
from tscale.answers.plots.fit import fit_plot
from tscale.answers.plots.loss import loss_plot
from tscale.answers.plots.memory import memory_plot, memory_train_plot
from tscale.answers.plots.optimal import optimal_plots
from tscale.answers.plots.serve import serve_plot
from tscale.calibration.runs import Runs
from tscale.catalogue.hardware import find_hardware
from tscale.catalogue.models import built_in
from tscale.core.dtypes import find_format
from tscale.core.metric import Figure
from tscale.core.plot import Plot, Point, Series
from tscale.errors import NotPublishedError
from tscale.estimates.attention import Ask
from tscale.estimates.budget import amount_given
from tscale.estimates.fit import fitted
from tscale.estimates.memory.serving import Ask as Kept
from tscale.estimates.memory_train.ask import train_ask
from tscale.estimates.serve.times import Ask as Served
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


@pytest.mark.parametrize("name", ["gpt3", "mistral-7b", "deepseek-v3", "bert-base", "t5-small", "jamba"])
@pytest.mark.parametrize("sight", ["full", "causal"])
def test_attention_draws_the_rows_of_its_table(name: str, sight: str) -> None:
    plot = attention_plot(model(name), Ask(sight="causal" if sight == "causal" else "full"))
    scores, rest = (heights(series(plot, of).points) for of in ("attention scores", "all other FLOPs"))
    told = answer("attention", name, f"--{sight}")
    for row in told["rows"]:
        streams = 2 if name == "t5-small" else 1  # source and target are both of the context's length
        assert scores[row["context"]] == row["attention_flops_per_token"]
        left = row["forward_flops_per_sequence"] - row["attention_flops_per_sequence"]
        assert rest[row["context"]] == -(-left // (streams * row["context"]))


def test_attention_marks_where_scores_overtake_the_rest() -> None:
    """Scores of n tokens cost GPT-3 4·L·n·d each; its feed-forward 2·8·L·d^2: equal at n = 4·d = 49,152."""
    plot = attention_plot(model("gpt3"), Ask())
    feed_forward, _ = series(plot, "crossover").points
    assert isinstance(feed_forward.label, Figure)
    assert feed_forward.x == feed_forward.label.value == 4 * 12288
    assert feed_forward.y == heights(series(plot, "feed-forward").points)[4 * 12288] == 2 * 8 * 96 * 12288**2
    told = answer("attention", "gpt3")["crossovers"]
    assert [point.x for point in series(plot, "crossover").points] == [told["feed_forward"], told["all_else"]]


def test_a_model_without_attention_draws_no_scores() -> None:
    plot = attention_plot(model("mamba-130m"), Ask())
    assert {one.name for one in plot.series} == {"all other FLOPs"}


def test_a_crossing_far_off_is_not_drawn() -> None:
    plot = attention_plot(model("gpt3"), Ask(contexts=[512, 1024]))
    assert all(one.name != "crossover" for one in plot.series)
    assert max(point.x for point in series(plot, "attention scores").points) == 1024


def test_compare_draws_the_years_and_parameters_of_its_table() -> None:
    names = ["transformer", "gpt3", "deepseek-v3", "gpt-4"]
    plot = compare_plot([built_in(name) for name in names], None)
    rows = {row["quantity"]: row["values"] for row in answer("compare", *names)["rows"]}
    drawn = series(plot, "parameters").points
    assert [point.x for point in drawn] == rows["year"][:3]
    assert [point.y for point in drawn] == rows["params"][:3]
    assert [point.y for point in series(plot, "active per token").points] == rows["active_params"][2:3]
    assert plot.notes == ("Not drawn, for its size or year is not known: GPT-4.",)


def test_compare_draws_nothing_of_models_of_unknown_size() -> None:
    with pytest.raises(NotPublishedError):
        compare_plot([built_in("gpt-4"), built_in("gpt-3.5-turbo")], None)


def test_optimal_draws_each_laws_optimum_on_the_line_of_the_budget() -> None:
    among, _ = optimal_plots(amount_given("flops", 576 * 10**21), [], None, None)
    told = answer("optimal", "--flops", "5.76e23")["rows"]
    drawn = series(among, "optimum by a law").points
    assert [(point.x, point.y, point.label) for point in drawn] == [
        (row["params"], row["tokens"], row["law"]) for row in told
    ]
    (budget,) = [one for one in among.series if one.style == "line" and not one.quiet]
    for point in (*budget.points, *drawn):
        assert 6 * float(point.x) * float(point.y) == pytest.approx(5.76e23, rel=1e-6)


def test_optimal_draws_models_where_they_were_trained() -> None:
    """Hoffmann 2022, Table 1: Chinchilla on 1.4T tokens, Gopher on 300B."""
    among, _ = optimal_plots(amount_given("flops", 576 * 10**21), [], None, None)
    points = {point.label: point for point in series(among, "models as they were trained").points}
    assert points["Chinchilla 70B"].y == 14 * 10**11
    assert points["Gopher 280B"].y == 3 * 10**11
    assert "DeepSeek-V3" not in points  # a mixture of experts trains fewer parameters a token than it has


@pytest.mark.parametrize("law", ["hoffmann2022-3", "besiroglu2024"])
def test_an_iso_flop_curve_is_lowest_at_the_optimum(law: str) -> None:
    _, curves = optimal_plots(amount_given("flops", 10**22), [law], None, None)
    optima = series(curves, "optimum").points
    lines = [one for one in curves.series if one.style == "line"]
    assert len(optima) == len(lines)
    for best, line in zip(optima, lines, strict=True):
        lowest = min(line.points, key=lambda point: point.y)
        assert float(lowest.y) == pytest.approx(float(best.y), abs=1e-6)
        assert float(lowest.x) == pytest.approx(float(best.x), rel=1e-6)
    (row,) = answer("optimal", "--flops", "1e22", "--law", law)["rows"]
    assert (row["params"], row["loss"]) in {(point.x, point.y) for point in optima}


def test_a_law_without_a_loss_has_no_iso_flop_curves() -> None:
    assert len(optimal_plots(amount_given("params", 7 * 10**9), ["deepseek2024"], None, None)) == 1


BF16 = find_format("bf16", what="--dtype")


@pytest.mark.parametrize("batch", [1, 100, 1000])
def test_serve_draws_the_throughput_of_its_table(batch: int) -> None:
    ask = Served(BF16, BF16, batch=batch, context=128, output=64)
    plot = serve_plot(model("llama-3.1-8b"), find_hardware("h100-sxm", []), ask)
    given = ("--gpu", "h100-sxm", "--batch", str(batch), "--context", "128", "--output", "64")
    told = answer("serve", "llama-3.1-8b", *given)
    (point,) = series(plot, "as asked").points
    assert (point.x, point.y) == (batch, told["tokens_per_second"])
    assert heights(series(plot, "tokens/s").points)[batch] == told["tokens_per_second"]
    ridge, _ = plot.rules
    assert ridge.at == told["compute_bound_from_batch"]


def test_the_ridge_is_where_computing_takes_as_long_as_memory() -> None:
    ask = Served(BF16, BF16, context=128, output=64)
    plot = serve_plot(model("llama-3.1-8b"), find_hardware("h100-sxm", []), ask)
    ridge = int(plot.rules[0].at)
    computing, reading = (heights(series(plot, f"{name} alone").points) for name in ("computing", "memory"))
    assert computing[ridge] <= reading[ridge]
    assert all((computing[batch] <= reading[batch]) == (batch >= ridge) for batch in computing)
    speed = heights(series(plot, "tokens/s").points)
    # A sum of the longer of two is no less than the longer of two sums; a step at the middle stands for all of them.
    assert all(speed[batch] <= 1.001 * min(computing[batch], reading[batch]) for batch in speed)


def test_a_cache_that_is_slower_to_read_than_to_compute_has_no_ridge() -> None:
    ask = Served(BF16, BF16, context=8192)
    plot = serve_plot(model("llama-3.1-8b"), find_hardware("h100-sxm", []), ask)
    assert answer("serve", "llama-3.1-8b", "--gpu", "h100-sxm", "--context", "8k")["compute_bound_from_batch"] is None
    assert "No ridge" in plot.notes[0]
    assert all(not str(rule.label).startswith("ridge") for rule in plot.rules)


def test_the_largest_batch_that_fits_is_the_last_of_which_serve_is_certain() -> None:
    ask = Served(BF16, BF16, context=8192)
    plot = serve_plot(model("llama-3.1-8b"), find_hardware("h100-sxm", []), ask)
    (full,) = plot.rules
    for batch, fits in ((full.at, True), (full.at + 1, None)):
        told = answer("serve", "llama-3.1-8b", "--gpu", "h100-sxm", "--context", "8k", "--batch", str(batch), "--bound")
        assert told["fits"] is fits


@pytest.mark.slow
def test_fit_draws_the_runs_and_the_law_that_fits_them() -> None:
    runs = tuple(runs_of(BESIROGLU, 40, 0.003, 1))
    answered = fitted(Runs("runs.csv", runs, (), ()), 100, 0, "all", "fit")
    plot = fit_plot(answered)
    drawn = [point for one in plot.series if one.style == "points" for point in one.points]
    assert sorted((point.x, point.y) for point in drawn) == sorted((run.flops, run.loss) for run in runs)
    for flops, loss in heights(series(plot, "compute-optimal by the law").points).items():
        assert loss == pytest.approx(BESIROGLU.at_flops(flops).loss, rel=0.02)
    low, high = (one.points for one in plot.series if one.quiet)
    assert all(one.y <= other.y for one, other in zip(low, high, strict=True))


def parts_at(plot: Plot, context: int) -> list[float]:
    """The sizes of the parts that are stacked at a context."""
    tops = [heights(one.points)[context] for one in plot.series]
    return [top - below for below, top in pairwise([0.0, *tops])]


@pytest.mark.parametrize("name", ["llama-3.1-8b", "mistral-7b", "deepseek-v3", "bert-base", "mamba-130m", "t5-small"])
def test_memory_stacks_the_parts_of_its_table(name: str) -> None:
    plot = memory_plot(model(name), Kept(context=4096))
    told = answer("memory", name, "--context", "4k")["per_device_bytes"]
    wanted = [told[part] for part in ("weights", "kv_cache", "activations", "logits") if told[part]]
    assert parts_at(plot, 4096) == wanted
    assert sum(wanted) == told["total"]


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_memory_stacks_what_training_keeps(precision: str) -> None:
    ask = train_ask(precision=precision, optimizer="adamw", rank=None, qlora=False, context=4096)
    told = answer("memory", "llama-3.1-8b", "--train", "--precision", precision, "--context", "4k")["per_device_bytes"]
    parts = ("weights", "gradients", "master_weights", "optimizer", "activations", "logits", "temporary")
    drawn = parts_at(memory_train_plot(model("llama-3.1-8b"), ask), 4096)
    assert drawn == [told[part] for part in parts if told[part]]
    assert sum(drawn) == told["total"]


def test_memory_is_full_where_the_longest_context_ends() -> None:
    """Up to it the stack is below the line of what may be used, and past it above."""
    plot = memory_plot(model("llama-3.1-8b"), Kept(batch=4, context=32768, hardware=find_hardware("h100-sxm", [])))
    told = answer("memory", "llama-3.1-8b", "--gpu", "h100-sxm", "--batch", "4", "--context", "32k")
    asked, full, usable = plot.rules
    assert (asked.at, full.at, usable.at) == (32768, told["max_context"], told["usable_bytes"])
    for context, top in heights(plot.series[-1].points).items():
        assert (top <= usable.at) == (context <= full.at)


@pytest.mark.parametrize("name, law", [("llama-3.1-8b", "besiroglu2024"), ("deepseek-v3", "ludziejewski2025")])
def test_loss_draws_each_law_through_the_loss_of_its_table(name: str, law: str) -> None:
    plot = loss_plot(model(name), 10**12, (), None, None)
    rows = {row["law"]: row["loss"] for row in answer("loss", name, "--tokens", "1e12")["rows"]}
    assert [one.name for one in plot.series] == list(rows)
    line = heights(series(plot, law).points)
    middle = min(line, key=lambda tokens: abs(tokens - 1e12))
    assert middle == pytest.approx(1e12)
    assert line[middle] == pytest.approx(rows[law], abs=1e-5)
    assert sorted(line.values(), reverse=True) == list(line.values())


def test_optimal_draws_the_mixtures_of_its_table() -> None:
    ask = question("optimal").made({"flops": "1e22", "experts": "any"})
    (plot,) = optimal_of_experts(ask)
    rows = answer("optimal", "--flops", "1e22", "--experts", "any")["rows"]
    drawn = series(plot, "ludziejewski2025").points
    assert [point.label for point in drawn] == [f"{row['experts']} experts" for row in rows]
    assert [float(point.x) for point in drawn] == pytest.approx([row["memory_bytes"] for row in rows], rel=1e-9)
