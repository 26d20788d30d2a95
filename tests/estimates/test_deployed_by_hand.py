"""Pools of deployments, derivations of memory, plans of training and images in a cache: of stand-ins and small models."""

from __future__ import annotations

import re
from fractions import Fraction
from math import ceil, floor
from types import SimpleNamespace
from typing import Any

import pytest

from tests.estimates.test_held_by_hand import GUESSER, H100, MODEL, TOKEN, WINDOWED, _server
from tscale.calibration.interval import Interval
from tscale.calibration.serving_case import Pool
from tscale.core.costs.step_time import Batch
from tscale.core.ledger import Cache
from tscale.core.metric import Figure, Line
from tscale.core.parallelism import Parallelism
from tscale.core.serving_layout import ServingLayout
from tscale.core.tracing import TracedInt
from tscale.core.units import BYTES, FLOPS
from tscale.errors import RequestError
from tscale.estimates import explaining, media
from tscale.estimates.explaining import counted
from tscale.estimates.memory import answered, changes
from tscale.estimates.memory import media as cached
from tscale.estimates.memory.held import Held, held, held_at
from tscale.estimates.memory.serving import Ask as Serving
from tscale.estimates.memory.steps import serving_steps
from tscale.estimates.memory_train.ask import Ask as MemoryAsk
from tscale.estimates.memory_train.ask import train_ask
from tscale.estimates.memory_train.held import weighed
from tscale.estimates.plan import search as plan_search
from tscale.estimates.recomputed import Recomputed
from tscale.estimates.serve import deployed
from tscale.estimates.serve.prediction import Predicted, data_of, speeds_of
from tscale.estimates.train import memory as run_memory
from tscale.estimates.train.plan import planned_step
from tscale.models.lower import run_of

# ---------------------------------------------------------------------------------------------------------------------
# Deployments
# ---------------------------------------------------------------------------------------------------------------------


def _case(**given: Any) -> Any:
    prefill, decode = Pool(ServingLayout(2, 3, 1, 2), 1), Pool(ServingLayout(4, 1, 1, 4), 2)
    values = {
        "engine": "vllm", "version": "", "devices": 14, "concurrency": 6, "chunk_tokens": 512, "host": 0.0, "decode": decode, "prefill": prefill, "disaggregated": True,
        "prompt": 100.4, "output": 20.3, "batch": 3.5, "hardware": "chip", "guesses": 0, "draft": None,
    }  # fmt: skip
    return SimpleNamespace(**values | given)


def _cluster(network: int | None, per_node: int = 8) -> Any:
    device = SimpleNamespace(link_bytes_per_second=1000, device_bytes=90)
    return SimpleNamespace(devices_per_node=per_node, network_bytes_per_second=network, device=device)


def test_a_cache_is_sent_in_equal_parts_over_the_link_of_a_node_or_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a prompt of 100 tokens of 9 bytes, a sixth by each of 2·3 devices."""

    def deployed_on(_: Any, layout: ServingLayout) -> Any:
        assert layout == ServingLayout(), "what one device would keep is the whole of it"
        return SimpleNamespace(sequence_bytes=lambda tokens: 9.0 * tokens)

    monkeypatch.setattr(deployed, "deployed_on", deployed_on)
    for network, per_node, seconds in (
        (50, 8, 150 / 50),
        (50, 14, 150 / 1000),
        (None, 8, None),
        (None, 14, 150 / 1000),
    ):
        monkeypatch.setattr(deployed, "cluster_of", lambda _, given=(network, per_node): _cluster(*given))
        found = deployed._transfer(_case())
        assert found.size.value == 900
        assert (None if found.seconds is None else found.seconds.value) == seconds
        data: Any = found.data()
        assert (data["bytes"], data["seconds_at_least"]) == (found.size, found.seconds)


def test_a_pool_holds_its_stage_of_the_weights_and_of_what_it_has_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """3.5 requests of 121 tokens that are decoded; one that is prefilled, in three stages, of which one has more weights, one more caches."""
    monkeypatch.setattr(deployed, "cluster_of", lambda _: _cluster(50))

    def stages(_: object, layout: ServingLayout) -> list[SimpleNamespace]:
        each = {3: [(17.4, 3.0), (900.0, 1.0), (700.0, 3.0)], 1: [(33.0, 6.0)]}[layout.pipeline]
        return [
            SimpleNamespace(weight_bytes=weights, sequence_bytes=lambda n, cache=cache: cache * n)
            for weights, cache in each
        ]

    monkeypatch.setattr(deployed, "stages_on", stages)
    case = _case()
    found: Any = SimpleNamespace(case=case)
    sizes = [
        {name: figure.value for name, figure in deployed._held(found, pool).items()}
        for pool in (case.prefill, case.decode)
    ]
    assert sizes == [
        {"weight_bytes": 700, "kv_cache_bytes": 363, "memory_bytes": 90},
        {"weight_bytes": 33, "kv_cache_bytes": round(3.5 * 726), "memory_bytes": 90},
    ]


def test_a_prediction_is_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """6 requests at once that take 3 s each are 2 a second, of 20.3 tokens on 14 devices."""
    ttft, tpot, latency = Interval(1.0, 2.0, 3.0), Interval(0.01, 0.05, 0.1), Interval(2.0, 3.0, 4.0)
    times = SimpleNamespace(
        ttft=ttft, tpot=tpot, latency=latency, ttft_bound=0.5, tpot_bound=0.005, latency_bound=1.5, prefill=ttft, prefill_bound=0.5, known="family", kind="dense", fitted_source=None
    )  # fmt: skip
    calibration = SimpleNamespace(name="it", runs=9, others=None)
    monkeypatch.setattr("tscale.estimates.serve.prediction.spread_of", lambda _, figure, *__: SimpleNamespace(median=len(figure) / 100, runs=7))  # fmt: skip
    found: Any = Predicted(_case(), calibration, times)  # type: ignore[arg-type]
    speeds = [value for _, value, _ in speeds_of(found).values()]
    assert speeds == pytest.approx([1 / 0.05, 2 * 20.3 / 14, 2 * 20.3, 2])
    data: Any = data_of(found)
    assert [data[f"{name}_seconds_at_least"].value for name in ("ttft", "tpot", "latency")] == [0.5, 0.005, 1.5]
    assert [data["latency_seconds"][end].value for end in ("low", "middle", "high")] == [2, 3, 4]
    assert (data["host_bytes_per_second"], data["over_capacity"], data["engine_version"]) == (None, None, None)
    assert data["prefill_layout"]["pipeline"] == 3
    assert data["calibration"]["median_error"]["latency"].value == 0.07
    assert (data["calibration"]["judged_runs"], data["calibration"]["judged_runs_left_out"]) == (7, True)
    over: Any = data_of(Predicted(_case(disaggregated=False, host=5e9, version="1"), calibration, None, "too many"))  # type: ignore[arg-type]
    assert (over["over_capacity"], over["ttft_seconds"], over["prefill_layout"]) == ("too many", None, None)
    assert (over["host_bytes_per_second"].value, over["engine_version"]) == (5 * 10**9, "1")


# ---------------------------------------------------------------------------------------------------------------------
# Memory
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {}, {"batch": 3, "gpus": 2}, {"batch": 3, "prefix": 10}, {"batch": 3, "prefix": 20, "page": 16}, {"batch": 5, "gpus": 2, "by_sequences": True},
        {"batch": 4, "layout": ServingLayout(1, 2)}, {"batch": 4, "layout": ServingLayout(1, 1, 1, 2, 2)},
    ],
)  # fmt: skip
def test_what_is_held_is_derived_and_its_numbers_come_to_it(given: dict[str, Any]) -> None:
    server = _server(**given)
    for place in range(len(server.stages)):
        steps = serving_steps(server, place)
        for step in steps:
            numbers = re.sub("⌈(.*?)⌉", r"ceil(\1)", re.sub("⌊(.*?)⌋", r"floor(\1)", step.numbers.replace("·", "*")))
            assert eval(numbers, {"ceil": ceil, "floor": floor, "max": max, "min": min}) == step.figure.value, step.name  # noqa: S307 (our own text)
        own = {step.name: step.figure.value for step in steps}
        assert own["total"] == held_at(server, place).total
        assert own["kv_cache"] == held_at(server, place).kv_cache
    drafted = serving_steps(_server(**given | {"draft": GUESSER, "layout": None}), 0)
    totals = [(step.subject, step.figure.value) for step in drafted if step.name == "total"]
    both = {key: value for key, value in given.items() if key != "layout"}
    assert totals == [
        ("large, a device", held(_server(**both)).total), ("draft, guesser, a device", held(_server(GUESSER, **both)).total)
    ]  # fmt: skip


def test_weights_of_a_mixture_are_narrowed_by_their_whole_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What scales take is not saved: of 8.5 bits 8 are no fewer."""
    monkeypatch.setattr(changes, "_in_format", lambda _, kept: kept)
    monkeypatch.setattr(changes, "held", lambda kept: SimpleNamespace(total=int(kept.bits)))
    for bits, scope, found in (
        (Fraction(17, 2), "all", "int4-g128"), (Fraction(19, 2), "all", "fp8"), (Fraction(17, 2), "matrices", "q6_k"), (Fraction(3), "all", None)
    ):  # fmt: skip
        server: Any = SimpleNamespace(kernel="none", format=SimpleNamespace(bits=bits, scope=scope))
        assert [one.option for one in changes._narrower_weights(server, 10)] == ([f"--dtype {found}"] if found else [])


def test_parts_are_called_by_what_is_kept() -> None:
    def server(*streams: str) -> Any:
        return SimpleNamespace(whole=SimpleNamespace(entries=[_cache(stream) for stream in streams]))

    one = Held(10, 5, 0, 2)
    for streams, name in ((("target",), "KV cache"), (("once", "once"), "states"), (("target", "once"), "KV cache and states")):  # fmt: skip
        found = answered.parts_of(server(*streams), one, "convention", "assumed")
        assert {key: (figure.value, figure.known) for key, figure in found.items()} == {
            "weights": (10, "assumed"), name: (5, "exact"), "logits": (2, "convention")
        }  # fmt: skip
    unsure = answered.parts_of(server("target"), one, "assumed", "exact")
    assert {figure.known for key, figure in unsure.items() if key != "weights"} == {"assumed"}


def _cache(stream: str) -> Any:
    fields: list[Any] = [1] * len(Cache._fields)
    return Cache(*fields)._replace(stream=stream)  # type: ignore[arg-type]


def test_growth_is_of_the_parts_at_each_length() -> None:
    grown = answered.serving_growth(MODEL, Serving(context=1000, batch=2, hardware=H100))
    assert grown.context == 1000
    assert grown.usable is not None
    assert grown.longest is not None
    for context in (1, 1000, max(grown.rows)):
        one = held(_server(batch=2, context=context, chunk=8192))
        assert {name: figure.value for name, figure in grown.rows[context].items()} == {
            "weights": one.weights, "KV cache": one.kv_cache, "activations": one.activations, "logits": one.logits
        }  # fmt: skip
    assert answered.serving_growth(MODEL, Serving(context=1000)).usable is None


def test_images_take_the_cache_of_their_tokens() -> None:
    """Of 2 sequences of 1,000 tokens, 300 of an image; within a window of 128 nothing is saved, and a sequence has a token at the least."""
    for model, tokens, saved in ((MODEL, 300, 300), (WINDOWED, 300, 0), (WINDOWED, 900, 28), (MODEL, 1000, 999), (MODEL, 5000, 999)):  # fmt: skip
        cost: Any = SimpleNamespace(tokens=tokens, outputs=7)
        (found,) = cached.media_cached(_server(model, batch=2), 0, [cost])
        assert found.size == 2 * 6 * 2 * saved * TOKEN


def test_a_language_model_does_its_share_for_tokens_of_images() -> None:
    """30 of 100 tokens, each with the average of the pairs."""
    products = 6 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128) + 64 * 512
    whole = 2 * 100 * products + 2 * 100 * 100 * 6 * 4 * (16 + 16)
    cost: Any = SimpleNamespace(tokens=30, outputs=7)
    assert media.language_flops(MODEL, cost, 100) == -(-30 * whole // 100)


# ---------------------------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------------------------


def test_layouts_that_may_pass_64_bits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """(2 + pieces) times a device's bytes, and 8 times as much on the way to it."""
    asked, sizes = list[Any](), list[int]()

    def trainer(spec: Any, training: Any, context: int) -> Any:
        asked.append((training.micro_batch, context))
        return SimpleNamespace(totals=lambda: (sizes[-1], 0), has_loss=True)

    monkeypatch.setattr(plan_search, "trainer", trainer)
    one: Any = plan_search.Sized.__new__(plan_search.Sized)
    one.subject = SimpleNamespace(spec=None, context=SimpleNamespace(value=77))
    one.axes = SimpleNamespace(micro_batch=(1, 16, 4), interleave=(1, 6, 2), loss=(None,))
    base: Any = train_ask(precision="bf16", optimizer="adamw", rank=None, qlora=False).how
    for alone, fits in ((2**63 // 64, True), (2**63 // 64 + 1, False)):
        sizes.append(alone)
        if fits:
            one._check_range(base)
        else:
            with pytest.raises(
                RequestError, match="micro-batches of 16 sequences of 77 tokens are more than plan counts"
            ):
                one._check_range(base)
    assert asked == [(16, 77), (16, 77)]


def test_what_a_plan_sends_and_computes_is_data() -> None:
    """On one device all is computing: three times forward, at the peak; MFU counts full attention, of which half is computed."""
    model, run = counted(MODEL), run_of(MODEL, 100)
    peak = 10**9
    alone = planned_step(model, run, Parallelism(), Batch(4, 2), H100.cluster(), peak, "bf16", Recomputed())
    products = 6 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128) + 64 * 512
    pairs = 6 * 4 * (16 + 16)
    least = 3 * 400 * (2 * products + 2 * Fraction(101, 2) * pairs)
    full = 3 * 400 * (2 * products + 2 * 100 * pairs)
    data: Any = alone.data
    assert data["step_seconds_at_least"].value == data["computing_seconds"].value == least / peak
    assert data["mfu_at_most"].value == data["mfu_in_turn"].value == full / least
    assert (data["micro_batches"], data["micro_batch"], data["batch"], data["bound_by"]) == (2, 2, 4, "computing")
    assert (data["schedule"], data["stages"], alone.micro_batches, alone.bound) == (None, None, 2, "computing")
    eight = planned_step(model, run, Parallelism(data=2), Batch(4, 2), H100.cluster(), peak, "bf16", Recomputed())
    assert eight.step.seconds_by["computing"] == least / peak / 2
    staged = planned_step(model, run, Parallelism(pipeline=2, stages=(2, 4)), Batch(4, 2), H100.cluster(), peak, "bf16", Recomputed())  # fmt: skip
    told: Any = staged.data
    assert (told["schedule"], told["stages"]) == ("1f1b", [2, 4])
    sends = [one for one in told["parts"] if one["bytes"] is not None]
    assert sends
    for one in sends:
        assert one["link_seconds"] is not None
    for step in staged.steps:
        made = eval(step.numbers.replace("·", "*"))  # noqa: S307 (our own text)
        assert made == pytest.approx(float(step.figure.value)), step.name


def test_what_a_device_of_a_plan_holds_is_that_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = train_ask(precision="bf16", optimizer="adamw", rank=None, qlora=False, context=100)
    found = run_memory.plan_memory(MODEL, H100, ask, "the command")
    one = weighed(MODEL, ask._replace(hardware=H100))
    assert (found.verdict, found.total, found.least, found.memory) == ("fits", one.total, one.least, H100.device().device_bytes)  # fmt: skip
    data: Any = found.data
    assert (data["per_device_bytes"]["total"].value, data["command"], data["verdict"]) == (one.total, "the command", "fits")  # fmt: skip
    impossible = MemoryAsk(ask.how._replace(plan=Parallelism(tensor=3)), 100)
    failed = run_memory.plan_memory(MODEL, H100, impossible, "the command")
    assert (failed.verdict, failed.total, failed.data) == (None, 0, {"verdict": None, "why": failed.why})
    assert failed.why
    for gpus in (1, 3):
        states = run_memory.all_states(MODEL, H100, gpus, "bf16")
        assert isinstance(states, run_memory.States)
        params = 512 * 64 + 6 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128 + 2 * 64) + 64
        assert (states.total, states.memory, states.gpus) == (16 * params, gpus * H100.device().device_bytes, gpus)


def test_layers_that_are_computed_again_cost_their_forward_pass() -> None:
    """But for the last product of each, whose result no gradient of the layer needs."""
    model, run = counted(MODEL), run_of(MODEL, 100)
    given = (model, run, Parallelism(), Batch(4, 2), H100.cluster(), 10**9, "bf16")
    plain, again = (planned_step(*given, redone) for redone in (Recomputed(), Recomputed("full")))
    layers = 6 * (64 * 64 * 2 + 64 * 32 * 2 + 2 * 64 * 128)
    forward = 400 * (2 * layers + 2 * Fraction(101, 2) * 6 * 4 * (16 + 16))
    assert again.step.seconds - plain.step.seconds == forward / 10**9


# ---------------------------------------------------------------------------------------------------------------------
# Explaining
# ---------------------------------------------------------------------------------------------------------------------


def test_lines_are_summed_under_their_names() -> None:
    """Sums of plain numbers are plain; one that remembers makes all lines remembered, but for those that are nothing."""
    assert explaining.summed([Line("a", 2), Line("b", 3)]) == 5
    assert not isinstance(explaining.summed([Line("a", 2), Line("b", 3)]), TracedInt)
    width = TracedInt(4, label="width")
    total: Any = explaining.summed([Line("a", width * 2), Line("b", 3), Line("c", 0)], "of.")
    assert (int(total), total.names) == (11, "of.a + of.b")
    assert [(name, figure.value) for name, figure in explaining.line_figures([Line("a", 2)], BYTES, "x", "of.")] == [("of.a", 2)]  # fmt: skip
    steps = list(explaining.steps_of([("total", Figure(total, FLOPS)), ("plain", Figure(5, FLOPS)), ("again", Figure(total, FLOPS))], "it"))  # fmt: skip
    assert [(step.name, step.names, step.numbers) for step in steps][:2] == [("of.a", "width·2", "4·2"), ("total", "of.a + of.b", "8 + 3")]  # fmt: skip
    assert [step.name for step in steps].count("of.a") == 1
    assert explaining.share(1, 4).value == Fraction(1, 4)
    assert explaining.share(1, 0).value == 0


def test_what_notes_are_about() -> None:
    model: Any = SimpleNamespace(
        label="It", mtp=None, notes=("a ",), notes_on={"attention": ("b",), "training": ("c",)}
    )
    assert explaining.notes_of(model, "", "d") == ("It: a", "It: b", "It: c", "d")
    assert explaining.notes_of(model, about=("attention",)) == ("It: a", "It: b")
    assert explaining.notes_of(SimpleNamespace(label="It", mtp=None, notes=(), notes_on=None)) == ()  # type: ignore[arg-type]
