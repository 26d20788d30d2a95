"""Steps after pre-training: FLOPs counted on paper, what stands on devices by phase, and searches of their layouts, of stand-ins."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from tests.blocks.test_experts_and_latents import spec
from tscale.calibration.interval import Interval
from tscale.calibration.serving_case import Pool
from tscale.core.costs.post_training import Resident, Stage
from tscale.core.dtypes import DTYPES
from tscale.core.metric import Line
from tscale.core.parallelism import Parallelism
from tscale.core.serving_layout import ServingLayout
from tscale.errors import RequestError
from tscale.estimates.explaining import counted
from tscale.estimates.memory.room import Room
from tscale.estimates.plan import post_training as plan
from tscale.estimates.post_training import changes, models, phases, rollout
from tscale.estimates.post_training.flops import Counted, counted_phases
from tscale.estimates.post_training.models import Ask
from tscale.estimates.rent import Rent
from tscale.planning.layouts import Layout

TEXT = (
    "name: small\nlayers: {}\nd_model: 64\nvocabulary: 512\ncontext: 1000\ntied: true\nattention: {{heads: 4}}\npositions: {{kind: rotary}}\n"
    "norm: {{kind: rmsnorm}}\nfeed_forward: {{d_ff: 256}}\n"
)
MODEL, OTHER = spec(TEXT.format(2)), spec(TEXT.format(3))
LAYER = 4 * 64 * 64 + 2 * 64 * 256


def _ask(method: Any = "grpo", *, devices: Parallelism | None = None, hardware: Any = None, **given: Any) -> Ask:
    how = SimpleNamespace(plan=devices or Parallelism(data=8), micro_batch=1, precision=SimpleNamespace(name="bf16"))
    training: Any = SimpleNamespace(how=how, hardware=hardware, memory_share=None)
    return Ask(method, training, **given)


# ---------------------------------------------------------------------------------------------------------------------
# FLOPs
# ---------------------------------------------------------------------------------------------------------------------


def _forward(layers: int, tokens: int, outputs: int = 512, *, causal: bool = False) -> int:
    """Two for each weight and token, and for each of 16 numbers of a key and of a value, of 4 heads, that a token sees."""
    seen = sum(token + 1 if causal else tokens for token in range(tokens))
    return 2 * tokens * (layers * LAYER + 64 * outputs) + 2 * seen * layers * 4 * (16 + 16)


def _both(layers: int, tokens: int, times: int, outputs: int = 512) -> tuple[int, int]:
    return tuple(times * _forward(layers, tokens, outputs, causal=causal) for causal in (False, True))  # type: ignore[return-value]


def test_flops_of_each_phase_are_those_of_its_passes() -> None:
    """4 prompts of 10 tokens with 3 answers of 20 each, trained on twice: a prompt is read once for its group; backward is twice forward."""
    ask = _ask(
        "ppo", group=3, prompts=4, prompt=10, response=20, epochs=2, reference=OTHER, reward=OTHER, value=MODEL, longest=99
    )  # fmt: skip
    answers = _forward(2, 30, causal=True) - _forward(2, 10, causal=True)
    generated = 4 * _forward(2, 10, causal=True) + 12 * answers
    assert list(counted_phases(counted(MODEL), ask, 99)) == [
        Counted("rollout", 240, generated, generated),
        Counted("old log-probs", 360, *_both(2, 30, 12)),
        Counted("reference", 360, *_both(3, 30, 12)),
        Counted("reward", 360, *_both(3, 30, 12, 1)),
        Counted("value", 360, *_both(2, 30, 12, 1)),
        Counted("training", 720, *_both(2, 30, 3 * 2 * 12)),
        Counted("value training", 720, *_both(2, 30, 3 * 2 * 12, 1)),
    ]
    pair = _ask("dpo", prompt=10, response=20, reference=OTHER, batch=8)
    assert list(counted_phases(counted(MODEL), pair, 99)) == [
        Counted("reference", 60, *_both(3, 30, 2)), Counted("training", 60, *_both(2, 30, 3 * 2))
    ]  # fmt: skip
    scored = pair._replace(precomputed=True)
    assert [one.phase for one in counted_phases(counted(MODEL), scored, 99)] == ["training"]
    assert list(counted_phases(counted(MODEL), _ask("sft", batch=8, epochs=3), 50)) == [
        Counted("training", 150, *_both(2, 50, 3 * 3))
    ]


# ---------------------------------------------------------------------------------------------------------------------
# What stands on a device
# ---------------------------------------------------------------------------------------------------------------------


def _needs(first: int) -> Any:
    """Weights of so many bytes, and of all else each one more."""
    names = ("weights", "master", "optimizer", "gradients", "activations", "logits", "temporary")
    parts = {name: SimpleNamespace(total=first + place, lines=()) for place, name in enumerate(names)}
    parts["temporary"].lines = (Line("gathered_weights", 5), Line("layer_again", 9), Line("gathered_weights", 2))
    return SimpleNamespace(total=100 * first, **parts)


def _trainer(first: int, loss: Any = None) -> Any:
    def needs(stage: int) -> Any:
        return _needs(first + stage)

    return SimpleNamespace(needs=needs, least=lambda stage: needs(stage).total - 7, loss=lambda _: loss)


def _models(ask: Ask, **given: Any) -> Any:
    values = {"ask": ask, "policy": SimpleNamespace(model=_trainer(10)), "server": None, "reference": None, "reward": None, "value": None, "spec": MODEL}  # fmt: skip
    return SimpleNamespace(**values | given)


SERVED = SimpleNamespace(weights=3, kv_cache=4, activations=5, logits=6)


def test_what_stands_on_a_device_is_used_in_its_own_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "held_at", lambda *_: SERVED)
    monkeypatch.setattr(phases, "_frozen_bytes", lambda model, stage: model + stage)
    everything = _models(
        _ask("ppo"), server="engine", reference=70, reward=80, value=SimpleNamespace(model=_trainer(40))
    )
    found = [(one.name, one.size, sorted(one.used), one.owner) for one in phases._residents(everything, 1)]
    both = ["old log-probs", "training"]
    assert found == [
        ("policy weights", 11, both, "weights"), ("policy master weights", 12, ["training"], "optimizer"), ("policy optimizer states", 13, ["training"], "optimizer"),
        ("reference weights", 71, ["reference"], "reference"), ("reward weights", 81, ["reward"], "reward"), ("value weights", 41, ["value", "value training"], "value"),
        ("value optimizer states", 42 + 43, ["value training"], "value"), ("rollout weights", 3, ["rollout"], "rollout"), ("KV cache", 4, ["rollout"], "rollout"),
    ]  # fmt: skip
    shared = [sorted(one.used) for one in phases._residents(_models(_ask(shares_reference=True)), 0)]
    assert shared == [["old log-probs", "reference", "training"], ["training"], ["training"]]
    pairs = [sorted(one.used) for one in phases._residents(_models(_ask("dpo")), 0)]
    assert pairs == [["old log-probs", "reference", "training"], ["reference", "training"], ["reference", "training"]]


def test_phases_come_in_their_order_with_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "held_at", lambda *_: SERVED)
    monkeypatch.setattr(phases, "_scoring", lambda model, stage: [Line(f"scoring {model} {stage}", 1)])
    monkeypatch.setattr(phases, "_training", lambda model, stage: [Line(f"training {model} {stage}", 1)])
    monkeypatch.setattr(phases, "_forward_kept", lambda model, stage: [Line(f"kept {model} {stage}", 1)])

    def of(ask: Ask, **given: Any) -> list[tuple[str, list[str]]]:
        one = _models(ask, policy=SimpleNamespace(model="policy"), **given)
        return [(stage.phase, [line.name for line in stage.lines]) for stage in phases._phases(one, 2)]

    value = SimpleNamespace(model="value")
    assert of(_ask("ppo", reference=OTHER), server=1, reference="other", reward="reward", value=value) == [
        ("rollout", ["activations", "logits"]), ("old log-probs", ["scoring policy 2"]), ("reference", ["scoring other 2"]), ("reward", ["scoring reward 2"]),
        ("value", ["scoring value 2"]), ("training", ["training policy 2"]), ("value training", ["training value 2"]),
    ]  # fmt: skip
    assert of(_ask("dpo", reference=OTHER)) == [
        ("reference", ["kept policy 2", "scoring policy 2"]), ("training", ["training policy 2"])
    ]  # fmt: skip
    assert of(_ask("sft")) == [("training", ["training policy 2"])]


def test_devices_apart_hold_what_generates_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    residents = (
        Resident("engine", 7, frozenset({"rollout"}), "rollout"), Resident("weights", 9, frozenset({"training"}), "weights")
    )  # fmt: skip
    stages = (Stage("rollout", (Line("logits", 1), Line("nothing", 0))), Stage("training", (Line("gradients", 2),)))  # fmt: skip
    monkeypatch.setattr(phases, "_residents", lambda *_: residents)
    monkeypatch.setattr(phases, "_phases", lambda *_: stages)
    monkeypatch.setattr(phases, "_capacity", lambda _, generates: "engine's" if generates else "trainer's")
    monkeypatch.setattr(phases, "_spare", lambda _, phase, stage: 10 + stage if phase == "training" else 0)

    def of(**given: Any) -> Any:
        found = phases.held(_models(_ask(asleep=frozenset(), **given)), 3)
        return [(one.phase, [line.name for line in one.lines], one.capacity, one.generates, one.spare) for one in found]

    assert of() == [
        ("rollout", ["engine", "weights", "logits"], "engine's", False, 0), ("training", ["engine", "weights", "gradients"], "trainer's", False, 13)
    ]  # fmt: skip
    assert of(apart=4) == [
        ("rollout", ["engine", "logits"], "engine's", True, 0), ("training", ["weights", "gradients"], "trainer's", False, 13)
    ]  # fmt: skip


def test_what_an_allocator_may_give_back_is_of_what_is_trained() -> None:
    both = _models(_ask("ppo"), value=SimpleNamespace(model=_trainer(40)))
    assert [phases._spare(both, phase, 1) for phase in ("training", "value training", "rollout", "value")] == [
        7, 7, 0, 0
    ]  # fmt: skip
    both.value.model = SimpleNamespace(needs=lambda _: SimpleNamespace(total=50), least=lambda _: 20)
    assert [phases._spare(both, phase, 1) for phase in ("training", "value training")] == [7, 30]


def test_capacities_are_of_the_devices_that_train_or_generate() -> None:
    chip = SimpleNamespace(device=lambda: SimpleNamespace(name="it"))
    ask = _ask(hardware=chip, devices=Parallelism(tensor=2, data=4), apart=16)
    server = SimpleNamespace(layout=ServingLayout(4, 1, 1, 4, 2))
    trains, generates = (phases._capacity(_models(ask, server=server), generates=one) for one in (False, True))
    assert trains is not None
    assert generates is not None
    assert (trains.groups, trains.training, generates.groups, generates.training) == (2, True, 2, False)
    alone = phases._capacity(_models(ask._replace(method="sft")), generates=True)
    assert alone is not None
    assert alone.groups == 0
    assert phases._capacity(_models(_ask()), generates=False) is None


def test_a_model_that_is_only_read_is_in_the_narrowest_format_that_is_multiplied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(phases, "frozen_states", lambda share, kept, plan: SimpleNamespace(weights=SimpleNamespace(total=(share, kept.name, plan))))  # fmt: skip
    for precision, format in (("bf16", "bf16"), ("fp8", "bf16"), ("fp16", "fp16"), ("fp32", "fp32"), ("pure-bf16", "bf16")):  # fmt: skip
        training = SimpleNamespace(precision=SimpleNamespace(name=precision), plan="plan")
        found: Any = phases._frozen_bytes(SimpleNamespace(training=training, shares=("a", "b")), 1)  # type: ignore[arg-type]
        assert found == ("b", format, "plan")


def test_what_a_pass_keeps_and_what_it_needs() -> None:
    lines = {line.name: line.value for line in phases._training(_trainer(10), 1)}
    assert lines == {"gradients": 14, "activations": 15, "logits": 16, "largest temporary": 17}
    for loss, logits in ((None, 0), (SimpleNamespace(kept=33), 33)):
        kept = {line.name: line.value for line in phases._forward_kept(_trainer(10, loss), 1)}
        assert kept == {"gradients": 14, "activations": 15, "logits": logits}


def test_a_forward_pass_needs_a_layer_the_logits_and_what_is_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,001 tokens on 4 devices the first has 251; numbers of 2 bytes are 16 bits."""
    asked: list[Any] = []

    def activations(share: Any, run: Any, sequences: int, tokens: int, d_model: int, bits: int) -> int:
        asked.append((share, int(run.tokens), sequences, tokens, d_model, bits))
        return 11

    monkeypatch.setattr(phases, "activation_bytes", activations)
    monkeypatch.setattr(phases, "scoring_bytes", lambda kernel, logits: f"{kernel} {logits}")
    training = SimpleNamespace(
        plan=Parallelism(context=4), micro_batch=3, precision=SimpleNamespace(activations=2), loss_kernel="eager"
    )
    model = SimpleNamespace(
        training=training, spec=MODEL, context=1001, shares=("a", "b"), kept=("c", "d"), needs=_trainer(0).needs
    )
    for logits, said in ((None, 0), (90, "eager 90")):
        monkeypatch.setattr(phases, "logits_of", lambda *_, logits=logits: logits)
        found: Any = list(phases._scoring(model, 1))  # type: ignore[arg-type]
        assert found == [("forward activations", 11), ("forward logits", said), ("gathered weights", 7)]
    assert asked[0] == ("b", 251, 3, 753, 64, 16)


def test_the_fullest_stage_is_the_one_whose_peak_is_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    def held(_: Any, stage: int) -> Any:
        return tuple(phases.Held("training", (Line("x", size),), None) for size in ((5, 9), (1, 12), (8, 12))[stage])

    monkeypatch.setattr(phases, "held", held)
    place, found = phases.fullest(_models(_ask(devices=Parallelism(pipeline=3))))
    assert (place, [one.total for one in found]) == (1, [1, 12])


# ---------------------------------------------------------------------------------------------------------------------
# Which models there are
# ---------------------------------------------------------------------------------------------------------------------


def test_models_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair is two sequences of a micro-batch; a model that scores has no loss; an engine's cache has what it decodes at once."""

    class Training(SimpleNamespace):
        def with_(self, **changed: Any) -> Any:
            return Training(**vars(self) | {"how": SimpleNamespace(**vars(self.how) | changed)})

        def _replace(self, **changed: Any) -> Any:
            return Training(**vars(self) | changed)

    def weighed(spec: Any, training: Any) -> Any:
        how = training.how
        model = (spec.head.kind, how.micro_batch, how.rank, how.base, how.loss, training.context)
        return SimpleNamespace(model=model, context=SimpleNamespace(value=500))

    monkeypatch.setattr(models, "weighed", weighed)
    how = SimpleNamespace(plan=Parallelism(data=8), micro_batch=3, rank=4, base="nf4", loss="fused")
    training: Any = Training(how=how, context=None)
    ask = Ask("ppo", training, reference=OTHER, reward=OTHER, value=MODEL, prompts=6, group=8, prompt=100, response=400, longest=500, rollout_tensor=2, rollout_batch=5)  # fmt: skip
    found: Any = models.models_of(MODEL, ask)
    head = "language-model"
    assert found.policy.model == (head, 3, 4, "nf4", "fused", 500)
    assert found.reference == (head, 3, None, None, "fused", 500)
    assert found.reward == ("none", 3, None, None, None, 500)
    assert found.value.model == ("none", 3, 4, "nf4", None, 500)
    server = found.server
    assert (server.layout.tensor, server.layout.expert_tensor, server.layout.replicas) == (2, 2, 4)
    assert (server.batch, server.context, server.format.name) == (5 * 4, 500, "bf16")
    other: Any = models.models_of(MODEL, ask._replace(rollout_dtype=DTYPES["fp8"]))
    assert other.server.format.name == "fp8"
    pair: Any = models.models_of(MODEL, Ask("dpo", training, reference=OTHER, batch=8))
    assert (pair.policy.model[1], pair.reference[1], pair.server, pair.reward, pair.value) == (6, 6, None, None, None)
    for given in ({"shares_reference": True}, {"precomputed": True}, {"reference": None}):
        assert models.models_of(MODEL, ask._replace(**given)).reference is None
    encoder = replace(MODEL, kind="encoder")
    with pytest.raises(RequestError, match="is of decoders, which write responses"):
        models.models_of(encoder, ask)
    with pytest.raises(RequestError, match="a model that scores reads responses as decoders do"):
        models.models_of(MODEL, ask._replace(reward=encoder))
    supervised: Any = models.models_of(encoder, Ask("sft", training))
    assert supervised.policy.model[1] == 3


# ---------------------------------------------------------------------------------------------------------------------
# Engines
# ---------------------------------------------------------------------------------------------------------------------


def test_engines_are_a_deployment_that_prefills_and_decodes_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """8 devices of 2 to an engine are 4 engines; of 48 rollouts 12 fall on each."""
    given: list[Any] = []

    class Case(SimpleNamespace):
        def _replace(self, **changed: Any) -> Any:
            return Case(**vars(self) | changed)

    def case_of_ask(*asked: Any) -> Any:
        given.append(asked)
        return Case()

    monkeypatch.setattr(rollout, "case_of_ask", case_of_ask)
    ask = _ask(prompts=6, group=8, prompt=100, response=400, rollout_tensor=2, rollout_dtype=DTYPES["fp8"])
    case: Any = rollout._rollout_case(_models(ask), "chip")  # type: ignore[arg-type]
    (_, chip, asked, deployment) = given.pop()
    assert (chip, asked.weights, asked.gpus, asked.batch, asked.context, asked.output) == ("chip", DTYPES["fp8"], 2, 12, 100, 400)  # fmt: skip
    assert deployment.layout == ServingLayout(2, 1, 1, 2)
    assert case.prefill == case.decode == Pool(ServingLayout(2, 1, 1, 2), 4)
    assert (case.disaggregated, case.decoding, case.concurrency) == (True, 1.0, 48)


def test_as_many_sequences_are_decoded_at_once_as_fit_for_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is trained may not fit: rollouts alone count. The step as it is asked is not made anew."""
    made, rooms = list[int](), list[int]()

    def models_of(_: Any, ask: Ask) -> Any:
        assert ask.rollout_batch is not None
        made.append(ask.rollout_batch)
        return ask.rollout_batch

    def fullest(models: Any) -> Any:
        size = 12 if isinstance(models, SimpleNamespace) else models
        fits = SimpleNamespace(fits=lambda total: total <= rooms[-1])
        trained = SimpleNamespace(phase="training", total=10**9, capacity=fits)
        return 0, (SimpleNamespace(phase="rollout", total=size, capacity=fits), trained)

    monkeypatch.setattr(rollout, "models_of", models_of)
    monkeypatch.setattr(rollout, "fullest", fullest)
    ask = _ask(prompts=6, group=2)  # 12 rollouts on 8 engines, of which the fullest has 2
    one = _models(_ask(prompts=12, group=8))  # 12 on each
    assert one.ask.waiting == (12, 0)
    for room, most, found in ((12, 12, 12), (20, 12, 12), (11, 12, 11), (5, 12, 5), (5, 3, 3), (0, 12, 0), (7, 7, 7)):
        rooms.append(room)
        made.clear()
        assert rollout._fitting(one, most) == found
        assert 12 not in made
    assert ask.waiting == (2, 0)


def test_a_step_of_decoding_has_the_keys_of_prompt_and_answer_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    class Case(SimpleNamespace):
        def _replace(self, **changed: Any) -> Any:
            return Case(**vars(self) | changed)

    monkeypatch.setattr(rollout, "_predicted", lambda case: case)
    piece: Any = SimpleNamespace(tokens=150.0, sequences=2.6)
    found: Any = rollout._decoded(Case(), piece, _ask(prompt=100, prompts=8))  # type: ignore[arg-type]
    assert (found.prompt, found.output, found.concurrency) == (250.0, 1.0, 3 * 8)


# ---------------------------------------------------------------------------------------------------------------------
# Changes
# ---------------------------------------------------------------------------------------------------------------------


def test_room_is_of_sequences_of_an_engine_and_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device has room for 5 sequences of an engine, of which there are 8, or for 700 tokens."""
    ask = _ask(group=4, prompts=3, rollout_batch=2, longest=100)

    def fits(_: Any, one: Ask) -> bool:
        assert one.group == 1 or one.longest is not None
        return one.waiting[0] <= 5 and (one.longest or 0) <= 700

    monkeypatch.setattr(changes, "_fits", fits)
    assert changes.room_of(_models(ask)) == Room(5, 700)
    assert changes.room_of(_models(_ask("sft", batch=8, longest=100))) == Room(None, 700)


def test_changes_that_are_enough_alone_or_in_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none is enough alone, five pairs of different options, each once."""
    options = ("--a 1", "--a 2", "--b", "--c", "--d", "--e")

    def candidates(_: Any, ask: Any) -> Any:
        return [changes._Tried(option, f"{ask}{option}", f"costs {option}") for option in options]  # type: ignore[arg-type]

    monkeypatch.setattr(changes, "_candidates", candidates)
    one = _models("", spec=MODEL)  # type: ignore[arg-type]
    monkeypatch.setattr(changes, "_held", lambda _, ask: (len(ask), ask in ("--b", "--d")))
    assert [(change.option, change.total, change.costs) for change in changes.changes_of(one)] == [
        ("--b", 3, "costs --b"), ("--d", 3, "costs --d")
    ]  # fmt: skip
    monkeypatch.setattr(changes, "_held", lambda _, ask: (7, ask.count("--") == 2 and "1" not in ask))
    found = changes.changes_of(one)
    assert [change.option for change in found] == ["--a 2 --b", "--a 2 --c", "--a 2 --d", "--a 2 --e", "--b --c"]
    assert (found[0].total, found[0].costs) == (7, "costs --a 2; costs --b")
    every = list(changes._pairs(MODEL, candidates(None, "")))
    pairs = [frozenset(word for word in change.option.split() if word.startswith("--")) for change in every]
    assert len(pairs) == len(set(pairs)) == 10, "five options make ten pairs"


def test_what_cannot_be_holds_nothing_and_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def models_of(_: Any, ask: Any) -> Any:
        if ask == "cannot":
            raise RequestError("no")
        return ask

    def fullest(size: Any) -> Any:
        fits = SimpleNamespace(fits=lambda total: total <= 10)
        return 0, tuple(phases.Held("training", (Line("x", one),), fits) for one in (3, size))  # type: ignore[arg-type]

    monkeypatch.setattr(changes, "models_of", models_of)
    monkeypatch.setattr(changes, "fullest", fullest)
    asked: list[Any] = [5, 12, "cannot"]
    assert [changes._held(MODEL, one) for one in asked] == [(5, True), (12, False), (0, False)]
    assert [changes._fits(_models(_ask()), one) for one in asked[:2]] == [True, False]


# ---------------------------------------------------------------------------------------------------------------------
# A search of them
# ---------------------------------------------------------------------------------------------------------------------

RENT = Rent(Fraction(2), Fraction(3), Fraction(4), "assumed")
LAYOUT = Layout(
    Parallelism(tensor=2, data=8, zero=1), 3, "full", "fp8", "muon", "fused-linear", frozenset({"states"}), 5
)


def _candidate(seconds: float, rent: Any = RENT, *, total: int = 0, **given: Any) -> plan.Candidate:
    best: Any = SimpleNamespace(rent=rent)
    peak: Any = SimpleNamespace(total=total)
    time = Interval(seconds / 2, seconds, 2 * seconds)
    return plan.Candidate(best, _ask(**given), None, time, peak, "fits")  # type: ignore[arg-type]


def test_candidates_are_ranked_by_seconds_device_seconds_or_dollars() -> None:
    """8 devices that train and 4 that only generate, for 10 s at 3 dollars an hour."""
    one = _candidate(10.0, apart=4)
    assert one.usd == pytest.approx(3 * 12 * 10 / 3600)
    assert [one.rank(by) for by in ("time", "throughput", "dollars")] == [10.0, 120.0, one.usd]
    free = _candidate(10.0, None)
    assert (free.usd, free.rank("dollars")) == (None, 80.0)


def test_layouts_are_tried_with_every_way_of_generating(monkeypatch: pytest.MonkeyPatch) -> None:
    def add(self: Any, best: Any, ask: Any) -> None:
        self.count += 1
        self.found.append(_candidate(float(best), total=ask))

    monkeypatch.setattr(plan._Trials, "add", add)
    monkeypatch.setattr(plan, "_asked", lambda *_: [30, 20])
    asked: list[int] = []

    def best(count: int) -> list[int]:
        asked.append(count)
        return [7, 5]

    searches = (SimpleNamespace(best=best), SimpleNamespace(best=lambda _: [6]))
    planned: Any = SimpleNamespace(searches=searches, ask=SimpleNamespace(rank="time", top=4))
    found = plan.candidates(MODEL, planned, _ask(), None)  # type: ignore[arg-type]
    assert [(one.seconds.middle, one.peak.total) for one in found.ranked] == [(5, 20), (5, 30), (6, 20), (6, 30)]
    assert (found.tried, asked, found.nearest, found.why) == (6, [32], None, "")


def test_a_way_of_generating_is_for_each_degree_that_devices_and_heads_allow() -> None:
    """16 devices and 4 heads: of 1, 2 and 4. What trains is as the layout says."""
    changed: dict[str, Any] = {}

    class Training(SimpleNamespace):
        def with_(self, **given: Any) -> Any:
            changed.update(given)
            return Training(**vars(self) | {"how": SimpleNamespace(plan=given["plan"])})

        def _replace(self, **given: Any) -> Any:
            return Training(**vars(self) | given)

    step = Ask("grpo", Training(how=None), group=2, prompts=8, batch=64)  # type: ignore[arg-type]
    best: Any = SimpleNamespace(layout=LAYOUT, hardware="chip")
    found = list(plan._asked(MODEL, best, step))
    assert [ask.rollout_tensor for ask in found] == [1, 2, 4]
    chips: set[Any] = {ask.training.hardware for ask in found}
    assert chips == {"chip"}
    assert (changed["precision"].name, changed["optimizer"].name, changed["plan"]) == ("fp8", "muon", LAYOUT.plan)
    assert (changed["micro_batch"], changed["recompute"], changed["again"].first) == (3, "full", 5)
    assert (changed["loss"], changed["offload"], changed["batch"]) == ("fused-linear", {"states"}, 64)
    every: Any = SimpleNamespace(layout=LAYOUT._replace(first=0), hardware="chip")
    assert [ask.rollout_tensor for ask in plan._asked(MODEL, every, step._replace(rollout_tensor=8))] == [8]
    assert changed["again"] is None
    assert len(list(plan._asked(MODEL, every, Ask("sft", Training(how=None), batch=64)))) == 1  # type: ignore[arg-type]
    wide = spec(TEXT.format(2).replace("heads: 4", "heads: 64"))
    many: Any = SimpleNamespace(layout=LAYOUT._replace(plan=Parallelism(data=128)), hardware="chip")
    assert [ask.rollout_tensor for ask in plan._asked(wide, many, step)] == [1, 2, 4, 8, 16, 32]


def _held(total: int, room: int) -> phases.Held:
    capacity: Any = SimpleNamespace(
        usable=room, verdict=lambda total, _: "fits" if total <= room else "may_fit" if total <= 2 * room else "does_not_fit"
    )  # fmt: skip
    return phases.Held("training", (Line("x", total),), capacity)


def test_what_does_not_fit_is_no_candidate_and_the_nearest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = plan._Trials(MODEL, "how")  # type: ignore[arg-type]
    sizes = {"a": 30, "b": 25, "c": 28, "fits": 10, "may": 15, "slow": 5, "no": 0, "never": 0}

    def models_of(_: Any, ask: Any) -> Any:
        if ask in ("no", "never"):
            raise RequestError(f"{ask}!")
        return ask

    monkeypatch.setattr(plan, "models_of", models_of)
    monkeypatch.setattr(plan, "fullest", lambda ask: (0, (_held(2, 10), _held(sizes[ask], 10))))
    monkeypatch.setattr(plan, "shipped", lambda: "constants")

    def time(models: Any, best: Any) -> Any:
        assert best == "layout"
        found = None if models == "slow" else Interval(1.0, 2.0, 3.0)
        return SimpleNamespace(seconds=lambda constants: found if constants == "constants" else None)

    monkeypatch.setattr(trials, "_time", time)
    for ask in sizes:
        trials.add("layout", ask)  # type: ignore[arg-type]
    assert [(one.ask, one.peak.total, one.verdict) for one in trials.found] == [  # type: ignore[comparison-overlap]
        ("fits", 10, "fits"), ("may", 15, "may_fit")
    ]  # fmt: skip
    assert trials.nearest is not None
    assert (trials.count, trials.nearest.total, trials.why) == (8, 25, "no!")


def test_each_side_of_a_step_is_predicted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rollouts of as many engines once, unless fewer sequences fit beside what trains; training once for each layout."""
    calls: list[str] = []

    def generated(models: Any, how: Any) -> Any:
        calls.append("generation")
        return SimpleNamespace(at_once=models.at_once)

    def trained(models: Any, how: Any) -> Any:
        calls.append("training")
        return "passed"

    monkeypatch.setattr(plan, "generation", generated)
    monkeypatch.setattr(plan, "trained", trained)
    monkeypatch.setattr(plan, "together", lambda *given: given[2:])
    trials = plan._Trials(MODEL, None)  # type: ignore[arg-type]

    def time(layout: str, tensor: int, at_once: int, *, online: bool = True) -> tuple[Any, list[str]]:
        calls.clear()
        ask = SimpleNamespace(online=online, tensor=tensor, engines=8 // tensor, waiting=(6, 0))
        models: Any = SimpleNamespace(ask=ask, at_once=at_once)
        best: Any = SimpleNamespace(hardware=SimpleNamespace(name="chip"), layout=layout)
        return trials._time(models, best), list(calls)

    assert time("a", 2, 6)[1] == ["training", "generation"]
    assert time("a", 2, 6)[1] == []
    assert time("b", 2, 6)[1] == ["training"]
    assert time("b", 4, 5)[1] == ["generation"]
    assert time("a", 4, 5)[1] == ["generation"], "another layout may leave more room"
    assert time("c", 4, 5, online=False) == ((None, "passed"), ["training"])
